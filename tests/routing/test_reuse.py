"""Approved replies: who gets them, for which questions, and what is compared before that is known."""

import pytest

from inhouse.chat import ChatRequest, collect
from inhouse.models.scripted import Scripted
from inhouse.routing.reuse import Approved, NoMatchError, Reused, ReuseFirst
from inhouse.types import Message, together


def said(*texts):
    roles = ("user", "assistant")
    return tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(texts))


def ask(*texts, groups=(), **more):
    return ChatRequest(messages=said(*texts), groups=frozenset(groups), **more)


def reply(*texts, answer="It costs $25.", groups=(), documents=(frozenset(),), **more):
    access = (together(groups), *documents)
    given = {"id": texts[-1], "by": "bea", "at": "2026-11-01T10:00:00+00:00", "sources": ("fees.md",), **more}
    return Approved(messages=said(*texts), answer=answer, access=access, **given)


class Seen:
    """The real embedder, and the texts that it was given."""

    def __init__(self, embedder):
        self.name, self.dimensions, self.sides = embedder.name, embedder.dimensions, embedder.sides
        self.count_tokens, self.parts, self._embed, self.texts = (
            embedder.count_tokens,
            embedder.parts,
            embedder.embed,
            [],
        )

    def embed(self, texts, query=False):
        self.texts += texts
        return self._embed(texts, query)


@pytest.fixture
def seen(embedder):
    return Seen(embedder)


@pytest.fixture
def reused(seen):
    """Makes the rung of these replies."""
    return lambda *replies, similar=0.6, **more: Reused(lambda: replies, seen, similar, **more)


QUESTION = "How much does a wire transfer cost?"


async def test_the_same_question_gets_the_approved_reply(reused):
    rung = reused(reply(QUESTION))
    answer = await collect(rung, ask("hi, how much does a WIRE transfer cost"))
    assert answer.text == "It costs $25."
    assert answer.note("reuse", "reply") == {
        "reply": QUESTION, "question": QUESTION, "how": "exact", "score": 1.0, "by": "bea",
        "at": "2026-11-01T10:00:00+00:00", "sources": ["fees.md"],
    }  # fmt: skip
    similar = await collect(rung, ask("What is the price of a wire transfer?"))
    note = similar.note("reuse", "reply")
    assert (similar.text, note["how"]) == ("It costs $25.", "similar")
    assert 0.6 <= note["score"] < 1


@pytest.mark.parametrize(
    "near",
    ["How much does a bank transfer cost?", "How much does a wire transfer not cost?", "Is a wire transfer fast?"],
)
async def test_another_question_gets_none(reused, near):
    rung = reused(reply(QUESTION))
    assert rung.match(ask(near)) is None
    with pytest.raises(NoMatchError):
        await collect(rung, ask(near))


def test_the_threshold_counts(reused):
    other = ask("What is the price of a wire transfer?")
    assert reused(reply(QUESTION), similar=0.6).match(other)
    assert reused(reply(QUESTION), similar=0.999).match(other) is None
    assert reused(reply(QUESTION), similar=1).match(ask(QUESTION)).how == "exact"


def test_other_languages_match_only_as_they_are_written(reused):
    rung = reused(reply("Was kostet eine Überweisung ins Ausland?"))
    assert rung.match(ask("was kostet eine Überweisung ins Ausland"))
    assert rung.match(ask("Was kosten Überweisungen ins Ausland?")) is None


# --- groups -----------------------------------------------------------------------------------------------------


def test_a_reader_needs_all_groups_of_the_asker_and_every_document(reused):
    rung = reused(reply(QUESTION, groups=("staff", "berlin"), documents=(frozenset({"legal", "board"}), frozenset())))
    assert rung.match(ask(QUESTION, groups=("staff", "berlin", "board")))
    assert rung.match(ask(QUESTION, groups=("staff", "berlin", "legal")))
    for groups in ((), ("staff",), ("staff", "legal"), ("staff", "berlin"), ("berlin", "legal", "board")):
        assert rung.match(ask(QUESTION, groups=groups)) is None, groups


def test_what_one_may_not_read_is_never_compared(reused, seen):
    """Whoever guesses another group's question takes the same path as with any other question: nothing is embedded."""
    rung = reused(reply(QUESTION, groups=("staff",)), reply("Is there a teller limit?", groups=("staff",)))
    rung.match(ask("hello", groups=("staff",)))
    seen.texts.clear()
    for guess in (QUESTION, "What is the price of a wire transfer?", "Do you sell boats?"):
        assert rung.match(ask(guess)) is None
    assert seen.texts == []
    rung.match(ask("Do you sell boats?", groups=("staff",)))
    assert seen.texts == ["Do you sell boats?"]


def test_no_vector_of_a_question_is_kept(reused, seen):
    rung = reused(reply(QUESTION))
    for _ in range(2):
        rung.match(ask("Do you sell boats?"))
    assert seen.texts == [QUESTION, "Do you sell boats?", "Do you sell boats?"]


def test_per_key_only_who_asked_gets_it(reused):
    rung = reused(reply(QUESTION, key="k1"), per="key")
    assert rung.match(ask(QUESTION, key="k1"))
    assert rung.match(ask(QUESTION, key="k2")) is None


# --- conversations and requests ---------------------------------------------------------------------------------


def test_a_follow_up_needs_the_same_conversation(reused):
    plain, later = reply("How much is it?"), reply("Do you have loans?", "Yes.", "How much is it?", answer="5%")
    rung = reused(plain, later)
    assert rung.match(ask("How much is it?")).approved == plain
    assert rung.match(ask("do you have loans", "yes!", "How much is it?")).approved == later
    assert rung.match(ask("Do you have cards?", "Yes.", "How much is it?")) is None
    assert rung.match(ask("Do you have loans?", "No.", "How much is it?")) is None
    assert rung.match(ask("Hello!", "Hi, how can I help?", "How much is it?")).approved == plain


@pytest.mark.parametrize(
    "more",
    [
        {"json_schema": {"type": "object"}},
        {"logprobs": 0},
        {"stop": ("$",)},
        {"extra": {"tools": []}},
        {"max_tokens": 1},
    ],
)
def test_a_request_for_more_than_a_text_goes_on(reused, more):
    rung = reused(reply(QUESTION, answer="It costs $25 for each transfer."))
    assert rung.match(ask(QUESTION))
    assert rung.match(ask(QUESTION, **more)) is None


def test_system_messages_matter_where_they_are_read(reused):
    system = (Message(role="system", content="Answer in verse."), *said(QUESTION))
    assert reused(reply(QUESTION)).match(ChatRequest(messages=system))
    assert reused(reply(QUESTION), reads_system=True).match(ChatRequest(messages=system)) is None


def test_of_several_replies_the_latest_counts(reused):
    old, new = reply(QUESTION, id="a"), reply(QUESTION, id="b", at="2026-11-02T10:00:00+00:00", answer="It costs $30.")
    assert reused(new, old).match(ask(QUESTION)).approved == new


def test_replies_may_change_at_any_time(embedder):
    replies = []
    rung = Reused(lambda: replies, embedder, 0.6)
    assert rung.match(ask(QUESTION)) is None
    replies.append(reply(QUESTION))
    assert rung.match(ask("What is the price of a wire transfer?"))
    replies.clear()
    assert rung.match(ask(QUESTION)) is None


# --- before a model ---------------------------------------------------------------------------------------------


async def test_the_model_answers_everything_else(reused):
    rung = reused(reply(QUESTION))
    model = ReuseFirst(Scripted(lambda r: "model"), rung, rung)
    assert (await collect(model, ask(QUESTION))).text == "It costs $25."
    other = await collect(model, ask("Do you sell boats?"))
    assert (other.text, other.note("reuse", "reply")) == ("model", None)


async def test_a_question_that_a_rail_changes_goes_to_the_model(reused, seen):
    nothing = reused()
    model = ReuseFirst(Scripted(lambda r: "model"), reused(reply(QUESTION)), nothing)
    assert (await collect(model, ask(QUESTION))).text == "model"
