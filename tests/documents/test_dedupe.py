"""Near duplicates are found exactly, and no fact is lost with them."""

import random

import pytest

from inhouse.documents.dedupe import duplicates, facts, ngrams
from inhouse.types import Document

POLICY = "the customer may close the account at any branch by post or in the app after all open items are settled and "
STEPS = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"]
LONG = " ".join(f"{POLICY} step {word}" for word in STEPS)


def documents(*texts, access=()):
    groups = access or [()] * len(texts)
    return [
        Document(source=f"{i}.md", text=text, title="", access=frozenset(group))
        for i, (text, group) in enumerate(zip(texts, groups, strict=True))
    ]


def test_exact_and_near_duplicates_fall_to_the_first():
    near = LONG.replace("step bravo", "stage bravo")
    repeats = duplicates(documents("other", LONG, near, LONG, near), 0.8)
    assert {i: j for i, (j, _) in repeats.items()} == {2: 1, 3: 1, 4: 1}
    assert repeats[3][1] == 1
    assert 0.8 <= repeats[2][1] == repeats[4][1] < 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("costs $25 a month", "costs $30 a month"),
        ("paid by Blue Card holders", "paid by Green Card holders"),
        ("it is refunded later", "it is not refunded later"),
        ("is 3 % in May and 4 % in June", "is 4 % in May and 3 % in June"),
    ],
)
def test_documents_that_differ_in_a_fact_are_both_kept(one, other):
    assert duplicates(documents(f"{LONG} {one}", f"{LONG} {other}"), 0.5) == {}


def test_documents_for_different_groups_are_never_merged():
    assert duplicates(documents(LONG, LONG, LONG, access=[(), ("staff",), ("staff", "hr")]), 0.5) == {}
    repeats = duplicates(documents(LONG, LONG, LONG, access=[(), ("staff",), ("staff",)]), 0.5)
    assert repeats == {2: (1, 1.0)}


def test_a_threshold_of_one_keeps_all_but_copies():
    respaced = LONG.replace(" ", "  ")
    assert duplicates(documents(LONG, respaced, LONG), 1.0) == {2: (0, 1.0)}
    assert set(duplicates(documents(LONG, respaced), 0.99)) == {1}


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9])
def test_finds_what_comparing_all_pairs_finds(threshold):
    draw = random.Random(3)
    words = [a + b for a in "bcdfghklmr" for b in "aeiouyxzst"]
    texts = []
    for _ in range(30):
        base = [draw.choice(words) for _ in range(draw.randint(3, 300))]
        for changes in (0, 1, 3, 6):
            changed = list(base)
            for _ in range(changes):
                changed[draw.randrange(len(base))] = draw.choice(words)
            texts.append(" ".join(changed))
    texts = list(dict.fromkeys(texts))
    sets = [set(ngrams(text).tolist()) for text in texts]
    expected: dict[int, int] = {}
    for i in range(len(texts)):
        for j in range(i):
            if j not in expected and len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= threshold:
                expected[i] = j
                break
    assert len(expected) > 10
    assert {i: j for i, (j, _) in duplicates(documents(*texts), threshold).items()} == expected


def test_facts_are_numbers_names_and_negations():
    assert facts("The fee is $25. It isn't due\nin May; not ever.\n\n# Blue Card") == [
        "$25", "isn't", "May", "not", "Blue", "Card",
    ]  # fmt: skip
