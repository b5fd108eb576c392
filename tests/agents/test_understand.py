"""What code reads of a message without a model."""

from datetime import date

import pytest

from inhouse.agents.answers import asks, polarity_of, stops
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


@pytest.mark.parametrize("text", [
    "never mind", "hmm, never mind", "actually, forget it", "sorry, I changed my mind", "let's leave it",
    "I don't want to do this", "can we stop", "stop", "cancel that please",
])  # fmt: skip
def test_who_wants_to_stop_is_understood(text):
    assert stops(text)


@pytest.mark.parametrize("text", [
    "don't stop", "please do not cancel", "I changed my mind about the day", "no", "yes please", "can I stop by at 3",
    "cancel my other visit on Friday", "thanks", "another time please", "I have enough",
])  # fmt: skip
def test_other_messages_do_not_stop(text):
    assert not stops(text)


@pytest.mark.parametrize(("text", "wanted"), [
    ("ok, when do you open?", True), ("so what does it cost", True), ("hi, can you book me in?", False),
    ("ok, can we get an appointment then?", False), ("good morning", False), ("is that all", True), ("", False), ("well?", True),
])  # fmt: skip
def test_a_question_may_begin_with_other_words(text, wanted):
    assert asks(text) == wanted


async def test_a_polite_question_in_a_procedure_is_answered_from_the_documents():
    assert await understood("can I pay in cash?", asked="stylist") == [("answer", "", None)]
    assert await understood("can I pay in cash", asked="stylist") == [("other", "", None)]


VISIT = {
    "number": Slot(type="id", pattern=r"P\d{4}", ask="Which number?"),
    "patient": Slot(type="name", ask="Your name?"),
    "day": Slot(type="date", ask="Which day?"),
    "time": Slot(type="time", ask="Dana is free on March 11 at 9:30 am, 11:00 am, 3:00 pm. Which time?"),
    "doctor": Slot(type="choice", choices_from="found.names", ask="Which doctor: Dr. Okafor, Dr. Berg?"),
    "reason": Slot(type="text", ask="What is it about?"),
}


async def visited(text, asked="", said=""):
    """The values that a message sets while a procedure asks for `asked`."""
    doctors = {"doctor": ["Dr. Okafor", "Dr. Berg"]}
    question = VISIT[asked].ask if asked else ""
    now = Open(VISIT, doctors, Situation(active="visit", asked=asked), date(2027, 3, 9), question, said)
    request = ChatRequest(messages=(Message(role="user", content=text),))
    return {c.name or c.kind: c.value for c in (await Understanding(no_starts)(request, now)).commands}


@pytest.mark.parametrize(("text", "day"), [
    ("as soon as possible", "2027-03-09"), ("the earliest you have", "2027-03-09"), ("any day is fine", "2027-03-09"),
    ("not on Wednesday, Thursday please", "2027-03-11"), ("any day but not friday", "2027-03-09"),
    ("any day next week", "2027-03-15"), ("next week please", "2027-03-15"),
])  # fmt: skip
async def test_the_first_day_may_be_asked_for(text, day):
    assert await visited(text, "day") == {"day": day}


@pytest.mark.parametrize(("text", "time"), [
    ("the first one", "09:30"), ("the last one please", "15:00"), ("in the afternoon", "15:00"), ("morning", "09:30"),
    ("whichever", "09:30"), ("the second", "11:00"), ("10", "10:00"),
])  # fmt: skip
async def test_one_of_the_times_offered_may_be_picked(text, time):
    assert await visited(text, "time") == {"time": time}


async def test_a_day_that_is_full_is_not_picked_again():
    said = "Dr. Berg has no free time on Tuesday, March 9. The next day with free times is Thursday, March 11.\n\nWhich day?"
    for text in ("whichever", "the first one", "ok, the next available"):
        assert await visited(text, "day", said) == {"day": "2027-03-11"}


async def test_what_is_not_offered_is_not_picked():
    assert await visited("in the evening", "time") == {"other": None}
    assert await visited("is there any parking?", "day") == {"answer": None}


async def test_any_choice_is_the_first_that_a_tool_found_never_of_a_fixed_list():
    assert await visited("either of them", "doctor") == {"doctor": "Dr. Okafor"}
    assert await understood("any", asked="stylist") == [("other", "", None)]


@pytest.mark.parametrize("text", [
    "I need to come in, I'm P1007, Peter Novak", "this is Peter Novak, P1007", "P1007 Peter Novak here",
    "my name is Peter Novak and my number is P1007",
])  # fmt: skip
async def test_a_name_that_is_introduced_needs_no_question(text):
    assert await visited(text, "number") == {"number": "P1007", "patient": "Peter Novak"}


@pytest.mark.parametrize("text", ["I'm pregnant, P1007", "P1007, for Monday", "P1007. Dr. Okafor please"])
async def test_other_words_are_no_name(text):
    assert "patient" not in await visited(text, "number")


async def test_a_wish_to_stop_is_no_text():
    assert await visited("never mind", "reason") == {"cancel": None}
    assert await visited("my knee hurts", "reason") == {"reason": "my knee hurts"}


@pytest.mark.parametrize(("text", "wanted"), [
    ("it is plumbing, not heating", ["plumbing"]), ("not the heating, electrical", ["electrical"]),
    ("locks instead of heating", ["locks"]), ("not heating", []),
    ("plumbing or heating", ["plumbing", "heating"]),
])  # fmt: skip
def test_a_choice_that_is_denied_is_not_chosen(text, wanted):
    slot = Slot(type="choice", choices=("plumbing", "heating", "electrical", "locks"))
    assert [v.value for v in found(slot, text, date(2027, 3, 9), slot.choices)] == wanted


@pytest.mark.parametrize("part", [
    "not the not ", "I'm P1007 ", "A1 B2 ", "P-1-", "any ", "not heating instead of ", "Peter Novak ", "never mind ", "?",
    "1", "the first next ", "as soon as ", "my name is ",
])  # fmt: skip
@pytest.mark.parametrize("offered", [(), ("book", "move")])
def test_a_hostile_message_takes_linear_time(takes_linear_time, part, offered):
    titles = {"book": "Book a visit", "move": "Move a visit"}
    active = "" if offered else "visit"
    now = Open(VISIT, {"doctor": ["Dr. Okafor", "Dr. Berg"]}, Situation(procedures=titles, active=active, asked="time"),
               date(2027, 3, 9), VISIT["time"].ask, "", offered)  # fmt: skip
    understanding = Understanding(lambda text: {"book": 0.4, "move": 0.3})
    assert takes_linear_time(lambda text: understanding.read(text, now), lambda n: part * n)
