"""What code reads of a message without a model."""

from datetime import date

import pytest

from inhouse.agents.answers import polarity_of
from inhouse.agents.commands import Situation
from inhouse.agents.procedure import Slot
from inhouse.agents.understand import Open, Understanding, no_starts
from inhouse.agents.values import found
from inhouse.chat import ChatRequest
from inhouse.types import Message

SLOTS = {
    "amount": Slot(type="money", ask="For how much?"),
    "stylist": Slot(type="choice", choices=("Dana", "Milo"), ask="Who?"),
}


async def understood(text, **situation):
    now = Open(
        SLOTS, {"stylist": ["Dana", "Milo"]}, Situation(active="card", **situation), date(2027, 3, 9), "Shall I?"
    )
    request = ChatRequest(messages=(Message(role="user", content=text),))
    found = await Understanding(no_starts)(request, now)
    return [(c.kind, c.name, c.value) for c in found.commands]


@pytest.mark.parametrize("text", ["a card for 50 dollars", "I need a $50 card", "50 bucks, please"])
async def test_an_amount_with_a_currency_needs_no_question(text):
    assert await understood(text) == [("set", "amount", 50)]


async def test_a_bare_number_is_an_amount_only_where_it_was_asked_for():
    assert await understood("it is for 2 of us") == [("other", "", None)]
    assert await understood("50", asked="amount") == [("set", "amount", 50)]


async def test_a_number_corrects_the_only_number_that_is_to_be_confirmed():
    known = {"amount": 60, "stylist": "Dana"}
    assert await understood("no, 70", confirming=True, known=known) == [("set", "amount", 70)]


async def test_one_of_several_is_no_number():
    known = {"amount": 60, "stylist": "Dana"}
    assert await understood("the second one, yes", confirming=True, known=known) != [("set", "amount", 1)]
    assert await understood("one", asked="amount") == [("set", "amount", 1)]


async def test_a_question_for_a_change_is_a_change():
    known = {"amount": 60, "stylist": "Dana"}
    asked = await understood("actually can Milo do it instead?", confirming=True, known=known)
    assert asked == [("set", "stylist", "Milo")]


@pytest.mark.parametrize(
    ("text", "said"), [("oh no, then I'll come", False), ("well yes, I have a card", True), ("oh, the red one", None)]
)
def test_a_sigh_before_a_yes_or_no(text, said):
    assert polarity_of(text, "Shall I cancel it?") is said


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("a trim please", ["haircut"]), ("I want a hair cut", ["haircut"]), ("a beard trim", ["beard trim"]),
     ("my roots", ["color"]), ("trimm", ["haircut"]), ("some cake", [])],
)  # fmt: skip
def test_a_choice_has_other_names(text, wanted):
    also = {"haircut": ("trim", "hair cut"), "color": ("roots",)}
    slot = Slot(type="choice", choices=("haircut", "beard trim", "color"), also=also)
    assert [v.value for v in found(slot, text, date(2027, 3, 9), slot.choices)] == wanted
