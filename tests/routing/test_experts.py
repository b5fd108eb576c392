"""One expert for each request: rights first, then the best class; what belongs to none goes to the fallback."""

import asyncio

import pytest

from inhouse.chat import ChatRequest, collect
from inhouse.models.scripted import Scripted
from inhouse.routing.classifier import Prediction
from inhouse.routing.experts import Experts
from inhouse.types import Message

WORDS = {"card": "bank", "hotel": "concierge", "salary": "staff"}


def choose(text, among):
    found = [name for word, name in WORDS.items() if word in text and name in among]
    return Prediction(name=(found or sorted(among))[0], probability=0.9, in_scope=bool(found), score=1)


@pytest.fixture
def ask():
    """Who answers, and whom the note names."""
    models = {name: Scripted(lambda r, name=name: name, name) for name in WORDS.values()}
    groups = {"bank": frozenset(), "concierge": frozenset(), "staff": frozenset({"hr", "board"})}
    model = Experts("experts", choose, models, groups, Scripted(lambda r: "base", "base"))

    def asked(*texts, groups=()):
        messages = tuple(Message(role=("user", "assistant")[n % 2], content=t) for n, t in enumerate(texts))
        reply = asyncio.run(collect(model, ChatRequest(messages=messages, groups=frozenset(groups))))
        return reply.text, reply.note("router", "expert")["expert"]

    return asked


def test_the_best_expert_answers(ask):
    assert ask("my card is gone") == ("bank", "bank")
    assert ask("a hotel please") == ("concierge", "concierge")
    assert ask("who won the cup?") == ("base", "")


@pytest.mark.parametrize(
    ("groups", "who"), [((), "base"), (("sales",), "base"), (("hr",), "staff"), (("board", "x"), "staff")]
)
def test_an_expert_answers_only_its_groups(ask, groups, who):
    assert ask("what is the salary of a teller", groups=groups)[0] == who


def test_a_caller_outside_gets_another_expert_where_it_fits(ask):
    assert ask("a card for my salary", groups=()) == ("bank", "bank")


def test_a_short_follow_up_counts_with_the_message_before_it(ask):
    assert ask("my card is gone", "I am sorry.", "and abroad?") == ("bank", "bank")
    long = "and what do people in other countries do about that then?"
    assert ask("my card is gone", "I am sorry.", long) == ("base", "")
    assert ask("what is the salary", "No.", "and mine?") == ("base", "")


def test_without_a_message_of_the_user_the_fallback_answers(ask):
    assert ask("") == ("base", "")
