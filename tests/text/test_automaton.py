"""Transitions in blocks are those of the array."""

import random
from array import array

from py3langid.langid import MODEL_FILE, LanguageIdentifier

from inhouse.text.automaton import Transitions
from inhouse.text.language import identifier_of


def test_every_transition_is_kept():
    rng = random.Random(1)
    rows = [array("I", (rng.choice((0, 0, 0, 70_000, n)) for n in range(256))) for _ in range(40)]
    states = array("I", b"".join(rng.choice(rows).tobytes() for _ in range(200)))
    blocks = Transitions(states)
    assert [blocks[n] for n in range(len(states))] == list(states)
    assert len(blocks._blocks) <= 40 * 256


def test_texts_are_classified_as_by_the_array():
    whole = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    small = identifier_of(whole.labels)
    assert len(small.tk_nextmove._blocks) < len(whole.tk_nextmove) / 8
    for text in (
        "Where is my card?",
        "Wo ist meine Karte?",
        "¿Dónde está mi tarjeta?",
        "我的卡在哪里?",
        "",
        "\udcff é",
    ):
        assert small.classify(text) == whole.classify(text)
