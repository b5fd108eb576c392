"""What came of an answer, and conversations asked turn by turn."""

import asyncio

import pytest

from inhouse.evaluation.evaluate import Exam, conversations, evaluate_arm
from inhouse.evaluation.outcomes import outcome_of, shares
from inhouse.evaluation.scorers import Scorer
from inhouse.models.scripted import Scripted
from inhouse.text.support import LexicalSupport
from inhouse.types import Checks, Example, Message, Silent

HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."


def example(**checks):
    own = Checks(**checks)
    return Example(id="x", messages=(Message(role="user", content="?"),), target="", checks=own,
                   answerable=own.answerable)  # fmt: skip


@pytest.mark.parametrize(
    ("checks", "text", "ended", "cited", "expected"),
    [
        ({"must_include": [["$8"]]}, "It is $8.", "", True, "right"),
        ({"must_include": [["$8"]]}, "It is $9.", "", True, "wrong"),
        ({"must_include": [["$8"], ["$5"]]}, "It is $8.", "", True, "partly"),
        ({"must_include": [["$8"], ["$5"]], "must_not_include": ["$9"]}, "It is $8 or $9.", "", True, "wrong"),
        ({"must_include": [["$8"]]}, HANDOFF, "handoff", False, "needless_handoff"),
        ({"must_include": [["$8"]], "may_hand_off": True}, HANDOFF, "handoff", False, "proper_handoff"),
        ({"must_include": [["$8"]]}, "Sorry.", "block", False, "wrong_refusal"),
        ({"must_not_answer": True}, HANDOFF, "handoff", False, "proper_handoff"),
        ({"must_not_answer": True}, "I am sorry, I cannot help with that.", "block", False, "proper_handoff"),
        ({"must_not_answer": True}, "It is $9.", "", True, "wrong"),
        ({"must_hand_off": True}, "I am sorry, I cannot help with that.", "block", False, "wrong_refusal"),
        ({"must_hand_off": True}, HANDOFF, "handoff", False, "proper_handoff"),
        ({"small_talk": True}, "Hello! How can I help?", "", False, "right"),
        ({"small_talk": True}, "The code is valid for 12 minutes.", "", False, "wrong"),
        ({"small_talk": True}, "Choose Forgot Password.", "", True, "wrong"),
        ({"small_talk": True}, HANDOFF, "handoff", False, "needless_handoff"),
    ],
)
def test_outcomes(embedder, checks, text, ended, cited, expected):
    wanted = example(**checks)
    scores = Scorer(embedder, LexicalSupport(HANDOFF), ["Hello."]).score(wanted, text, [], False)
    assert outcome_of(wanted, text, scores, ended, cited) == expected


def test_a_reference_alone():
    wanted = example()
    assert outcome_of(wanted, "x", {"facts": 0.5}, "", True) == "right"
    assert outcome_of(wanted, "x", {"facts": 0.3}, "", True) == "partly"
    assert outcome_of(wanted, "x", {"facts": 0.1}, "", True) == "wrong"
    assert outcome_of(wanted, "x", {"facts": 0.1, "agrees": 1.0}, "", True) == "right"


def test_shares_of_an_outcome():
    assert shares("wrong") == {"wrong": 1.0, "answered": 1.0, "needless": 0.0}
    assert shares("wrong_refusal") == {"wrong": 0.0, "answered": 0.0, "needless": 1.0}
    assert shares("proper_handoff") == {"wrong": 0.0, "answered": 0.0, "needless": 0.0}


def turn(n, question, reference, *before):
    messages = [Message(role=role, content=text) for role, text in before]
    return Example(
        id=f"k.{n}", messages=(*messages, Message(role="user", content=question)), target=reference, group="k", turn=n,
        checks=Checks(must_include=(("7",),)),
    )  # fmt: skip


def test_a_turn_is_asked_after_the_arms_own_answers(embedder, tmp_path):
    asked = []

    def answer(request):
        asked.append([m.content for m in request.messages])
        return f"own answer {len(asked)}, 7"

    second = turn(2, "and abroad?", "It is 7.", ("user", "the fee?"), ("assistant", "the reference"))
    exam = Exam(
        [second, turn(1, "the fee?", "It is 7.")], {"k.1": [], "k.2": []},
        Scorer(embedder, LexicalSupport(HANDOFF), ["Hi."]), 20, 10, 4,
    )  # fmt: skip
    run = asyncio.run(evaluate_arm(Scripted(answer, "arm"), exam, tmp_path / "answers.jsonl", Silent()))
    assert asked == [["the fee?"], ["the fee?", "own answer 1, 7", "and abroad?"]]
    assert [a.text for a in run.answers] == ["own answer 2, 7", "own answer 1, 7"]


def test_an_interrupted_conversation_goes_on_with_the_answers_that_were_given(embedder, tmp_path):
    exam = Exam([turn(1, "the fee?", "")], {"k.1": [], "k.2": []},
                Scorer(embedder, LexicalSupport(HANDOFF), ["Hi."]), 20, 10, 4)  # fmt: skip
    out = tmp_path / "answers.jsonl"
    asyncio.run(evaluate_arm(Scripted(lambda _: "first 7", "arm"), exam, out, Silent()))
    asked = []

    def answer(request):
        asked.append([m.content for m in request.messages])
        return "second"

    both = [*exam.examples, turn(2, "and abroad?", "", ("user", "the fee?"), ("assistant", "reference"))]
    again = Exam(both, exam.evidence, exam.scorer, 20, 10, 4)
    asyncio.run(evaluate_arm(Scripted(answer, "arm"), again, out, Silent()))
    assert asked == [["the fee?", "first 7", "and abroad?"]]


def test_questions_by_themselves_are_conversations_of_one_turn():
    single = Example(id="a", messages=(Message(role="user", content="?"),), target="", group="k")
    assert [len(c) for c in conversations([single, single, turn(2, "b", ""), turn(1, "a", "")])] == [1, 1, 2]
