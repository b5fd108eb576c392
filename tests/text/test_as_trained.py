"""Shipped weights were trained on what these functions made of texts; `as_trained.json` is what they made then."""

import json
from pathlib import Path

import pytest

from inhouse.text import claims, numbers, sentences, words

ROWS = json.loads((Path(__file__).parent / "as_trained.json").read_text(encoding="utf-8"))
FUNCTIONS = {
    "sentences": sentences.sentences, "every_sentence": sentences.every_sentence, "windows": sentences.windows,
    "clauses": claims.clauses, "content_words": words.content_words, "tokens": words.tokens,
    "numbers": numbers.numbers, "bounds": claims.bounds, "names": claims.names, "compares": claims.compares,
}  # fmt: skip


def as_json(value):
    match value:
        case frozenset():
            return sorted(value)
        case dict():
            return {key: as_json(inner) for key, inner in value.items()}
        case list() | tuple():
            return [as_json(inner) for inner in value]
    return value


@pytest.mark.parametrize("name", FUNCTIONS)
def test_output_is_what_the_weights_were_trained_with(name):
    for row in ROWS:
        assert as_json(FUNCTIONS[name](row["text"])) == row[name], row["text"]
