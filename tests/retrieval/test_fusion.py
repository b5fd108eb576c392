"""Fitting the fusion to a corpus."""

import json

import pytest

from inhouse.retrieval.fusion import choose, fit_fusion
from inhouse.retrieval.grounded import Grounding
from inhouse.retrieval.search import Fusion, Index, gold_passages, read_fusion
from inhouse.types import Example, Silent, Source


@pytest.fixture
def opened(folder, embedder, settings, assistant):
    """A separate index with its retrieval, because fitting changes the fusion of the index."""
    index = Index(folder, embedder)
    return index, Grounding(index, embedder, settings, assistant)


@pytest.fixture
def gold(index, say):
    """Thirty questions with their passages, half of them about wires, half about cards."""
    questions = [(f"What does a wire cost? {n}", "wires.md") for n in range(15)]
    questions += [(f"Is there cash back? {n}", "cards.md") for n in range(15)]
    return [
        (
            Example(id=text, messages=say(text), target=""),
            gold_passages(index, text[:-2], [Source(document=source)])[:1],
        )
        for text, source in questions
    ]


def test_the_fusion_is_at_least_as_good_as_each_search_alone(opened, gold, tmp_path):
    facts = fit_fusion(*opened, gold, [], 1, tmp_path, Silent())
    table = json.loads((tmp_path / "fusion.json").read_text())["table"]
    assert facts["recall"] >= max(row["recall"] for row in table if row["weight"] in (0.0, 1.0))


def test_every_fusion_is_tried(opened, gold, tmp_path):
    fit_fusion(*opened, gold, [], 1, tmp_path, Silent())
    assert len(json.loads((tmp_path / "fusion.json").read_text())["table"]) == 33


def test_the_index_and_the_file_get_the_fusion(opened, gold, tmp_path):
    facts = fit_fusion(*opened, gold, [], 1, tmp_path, Silent())
    assert opened[0].fusion == read_fusion(tmp_path) == Fusion(facts["weight"], facts["mention_boost"])


def test_with_few_questions_the_default_stays(opened, gold, tmp_path):
    facts = fit_fusion(*opened, gold[:29], [], 1, tmp_path, Silent())
    assert not facts["tuned"]
    assert read_fusion(tmp_path) == Fusion()


def test_questions_without_passages_do_not_count(opened, gold, tmp_path):
    assert fit_fusion(*opened, [*gold[:3], (gold[3][0], [])], [], 1, tmp_path, Silent())["questions"] == 3


DEFAULT, BETTER, TEXT, DENSE = Fusion(), Fusion(0.7, 1.0), Fusion(0.0, 1.0), Fusion(1.0, 1.0)
ALL, NONE = [1.0] * 30, [0.0] * 30


def test_a_clearly_better_fusion_is_chosen():
    assert choose({DEFAULT: [0.0] * 10 + [1.0] * 20, BETTER: ALL, TEXT: NONE}, DEFAULT, [TEXT]) == BETTER


def test_the_default_stays_when_another_is_hardly_better():
    assert choose({DEFAULT: [0.0, *ALL[1:]], BETTER: ALL, TEXT: NONE}, DEFAULT, [TEXT]) == DEFAULT


def test_a_single_search_is_chosen_when_the_default_is_behind_it():
    scores = {DEFAULT: [0.0, *ALL[1:]], TEXT: NONE, DENSE: ALL}
    assert choose(scores, DEFAULT, [TEXT, DENSE]) == DENSE


def test_of_equal_fusions_the_nearest_to_the_default_is_chosen():
    scores = {DEFAULT: NONE, Fusion(0.9, 1.0): ALL, Fusion(0.5, 1.0): ALL, TEXT: NONE}
    assert choose(scores, DEFAULT, [TEXT]) == Fusion(0.5, 1.0)
