"""Acts are answered with the project's replies, without the model; the rest reaches it unchanged."""

import pytest

from inhouse.chat import ChatRequest, collect
from inhouse.config.sections import Replies
from inhouse.models.scripted import Scripted
from inhouse.routing.replies import OTHER_LANGUAGE, WANTS_PERSON, WithReplies
from inhouse.types import Message


def request(*texts, **more):
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(texts))
    return ChatRequest(messages=messages, **more)


@pytest.fixture
def ask():
    """Asks a model behind replies; `replies` are settings."""

    async def reply(asked, languages=(), **replies):
        model = WithReplies(Scripted(lambda r: "model"), Replies(**replies), "Alder Bank", languages)
        return await collect(model, asked)

    return reply


async def test_an_act_is_answered_without_the_model(ask):
    reply = await ask(request("who are you?"))
    assert reply.text.startswith("I am the automated assistant of Alder Bank, not a person.")
    assert reply.note("acts", "act") == {"act": "identity"}
    assert reply.note("guarded", "handoff") is None
    assert reply.finish.reason == "stop"


async def test_a_wish_for_a_person_is_a_hand_off(ask):
    reply = await ask(request("let me talk to a human"))
    assert reply.text == Replies().person
    assert reply.note("guarded", "handoff") == {"reason": WANTS_PERSON}


async def test_replies_are_in_the_users_language_unless_the_project_has_its_own(ask):
    assert (await ask(request("Guten Morgen"))).text == "Hallo! Wie kann ich Ihnen helfen?"
    assert (await ask(request("Guten Morgen"), greeting="Welcome to {name}.")).text == "Welcome to Alder Bank."
    earlier = request("Wanneer is de bank open? Ik wil dat graag weten.", "Om negen uur.", "hallo")
    assert (await ask(earlier)).text == "Hallo! Waarmee kan ik u helpen?"


@pytest.mark.parametrize(
    "asked",
    [
        request("hello, what does it cost?"),
        request("hello", json_schema={"type": "object"}),
        request("hello", "Hi."),
        ChatRequest(messages=(Message(role="user", content="hello"), Message(role="tool", content="thanks"))),
        ChatRequest(messages=()),
    ],
)
async def test_everything_else_reaches_the_model(ask, asked):
    assert (await ask(asked)).text == "model"


@pytest.mark.parametrize(("act", "text"), [("greeting", "hello"), ("person", "I want a human")])
async def test_an_empty_reply_turns_its_act_off(ask, act, text):
    reply = await ask(request(text), **{act: ""})
    assert (reply.text, reply.notes) == ("model", ())


async def test_a_question_in_another_language_is_handed_off_in_that_language(ask):
    reply = await ask(request("Was kostet eine Überziehung?"), languages={"en"})
    assert reply.text.startswith("In dieser Sprache kann ich leider nicht antworten.")
    assert reply.note("acts", "act") == {"act": OTHER_LANGUAGE}
    assert reply.note("guarded", "handoff") == {"reason": "asked in another language (de)"}


async def test_the_projects_own_text_wins_and_an_unlisted_language_gets_the_default(ask):
    asked = request("Was kostet eine Überziehung?")
    assert (await ask(asked, languages={"en"}, other_language="English only.")).text == "English only."
    assert (await ask(asked, languages={"en"}, other_language="")).text == "model"
    assert (await ask(request("Jak mohu zablokovat kartu?"), languages={"en"})).text == Replies().other_language


@pytest.mark.parametrize(
    ("texts", "languages"),
    [
        (("Was kostet eine Überziehung?",), {"de"}),
        (("Was kostet eine Überziehung?",), ()),
        (("What does an overdraft cost?",), {"en"}),
        (("Giovanni Bianchi",), {"en"}),
        (("¿Cuánto cuesta una transferencia?", "...", "In English please: what does a wire cost?"), {"en"}),
        (("What does a wire cost?", "$28.", "Jürgen Müller"), {"en"}),
    ],
)
async def test_no_other_question_is(ask, texts, languages):
    assert (await ask(request(*texts), languages=languages)).text == "model"


async def test_a_message_that_is_not_clear_is_in_the_language_of_the_one_before_it(ask):
    reply = await ask(request("Was kostet eine Überziehung?", "...", "Dispo?"), languages={"en"})
    assert reply.text.startswith("In dieser Sprache")


async def test_a_greeting_and_a_wish_for_a_person_come_first(ask):
    assert (await ask(request("Guten Morgen"), languages={"en"})).text == "Hallo! Wie kann ich Ihnen helfen?"
    wish = await ask(request("Ich möchte mit einem Mitarbeiter sprechen"), languages={"en"})
    assert wish.note("guarded", "handoff") == {"reason": WANTS_PERSON}


async def test_a_greeting_that_answers_a_question_is_none(ask):
    assert (await ask(request("a visit please", "When suits you?", "morning"))).text == "model"
    assert (await ask(request("a visit please", "Noted.", "morning"))).text == Replies().greeting
    assert (await ask(request("hi", Replies().greeting, "hello"))).text == Replies().greeting
