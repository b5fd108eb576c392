"""Whether documents answer questions, judged by replies; and which questions are alike."""

import pytest

from inhouse.datasets.coverage import clusters, judge
from inhouse.text.support import LexicalSupport
from inhouse.types import Passage

HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."
WIRE = Passage(source="wires.md", title="Wire transfers", heading="What does a wire cost?", text="An outgoing domestic wire costs $21.50.")  # fmt: skip
BOX = Passage(source="boxes.md", title="Safe deposit boxes", heading="What does a box cost?", text="A small box costs $48 a year.")  # fmt: skip


@pytest.fixture(scope="module")
def support(embedder):
    return LexicalSupport(HANDOFF, embedder)


@pytest.mark.parametrize(
    ("reply", "found", "near", "state", "by_question"),
    [
        ("An outgoing domestic wire costs $21.50.", [WIRE], [], "answered", True),
        ("An outgoing domestic wire costs $21.50.", [BOX], [WIRE], "answered", False),
        ("An outgoing domestic wire costs $25.", [WIRE], [], "differs", True),
        ("The museum is on King Street and opens at ten.", [WIRE, BOX], [], "missing", False),
        (HANDOFF, [WIRE], [], "declined", False),
        ("What do you mean?", [WIRE], [], "unjudged", False),
        ('{"fee_usd": 21.5}', [WIRE], [], "answered", True),
        ('{"fee_usd": 30}', [WIRE], [], "missing", False),
        ("An outgoing domestic wire costs $21.50.", [], [], "missing", False),
    ],
)
def test_states(chat, support, reply, found, near, state, by_question):
    judged = judge(chat("What does a domestic wire cost?", reply), found, near, support)
    assert (judged.state, judged.found) == (state, by_question)


def test_figures_of_another_thing_are_a_gap_and_no_difference(chat, support):
    ridge = Passage(source="ridge.md", title="Ridge Checking", heading="", text="Ridge Checking costs $14.20 a month.")
    judged = judge(chat("What does Alder Checking cost?", "Alder Checking costs $7.40 a month."), [ridge], [], support)
    assert judged.state == "missing"
    assert judged.nearest == "ridge.md"


def test_what_differs_is_quoted(chat, support):
    judged = judge(
        chat("What does a domestic wire cost?", "An outgoing domestic wire costs $25."), [BOX, WIRE], [], support
    )
    assert (judged.statement, judged.nearest, judged.passage) == (
        "An outgoing domestic wire costs $25.", "wires.md", WIRE.text,
    )  # fmt: skip


def test_questions_for_one_thing_are_one_cluster_named_by_a_typical_one(chat, support, embedder):
    asked = [
        "price of a safe deposit box",
        "how much is a safe deposit box",
        "safe deposit box cost",
        "when is the museum open",
    ]
    rows = [judge(chat(q, "A box is $48." if "box" in q else "It opens at ten."), [WIRE], [], support) for q in asked]
    found = clusters(rows, embedder)
    assert [len(c.questions) for c in found] == [3, 1]
    assert "box" in found[0].questions[0].question
    assert found[0].documents == ("wires.md",)
    assert clusters([], embedder) == []
