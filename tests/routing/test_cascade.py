"""Cascades: who answers, what it costs, and what the client sees."""

from __future__ import annotations

import pytest

from inhouse.chat import ChatRequest, Delta, Finish, Note, Usage, collect
from inhouse.errors import BackendError, RefusedError
from inhouse.routing.cascade import FEWEST, NEAREST, Cascaded, Known, Rung, left_out
from inhouse.types import Message

ASKED = ChatRequest(messages=(Message(role="user", content="What does a wire cost?"),))


class Says:
    """Yields given events, or raises."""

    def __init__(self, name, *events, error=None):
        self.name, self.events, self.error, self.asked = name, events, error, 0

    async def stream(self, request):
        self.asked += 1
        for event in self.events:
            yield event
        if self.error:
            raise self.error


def says(name, text, score, *notes, reason="stop", error=None):
    usage = Usage(prompt_tokens=10, completion_tokens=2)
    events = [Delta(text=text), *notes, Finish(reason=reason, usage=usage, confidence=score)]
    return Says(name, *(events if error is None else events[:1]), error=error)


def handoff(reason="relevance"):
    return Note(layer="guarded", kind="handoff", data={"reason": reason})


def cascaded(*models, thresholds=(0.9, 0.9), skip=None, usd=(0.001, 0.01, 0.1)):
    thresholds = (*thresholds[: len(models) - 1], 0.0)
    rungs = [
        Rung(m.name if m else "person", m, t, u) for m, t, u in zip(models, thresholds, usd[: len(models)], strict=True)
    ]
    return Cascaded("cascade", rungs, "A colleague takes over.", skip)


@pytest.mark.parametrize(
    ("scores", "said", "rung", "usd"),
    [((0.95, 0.1), "one", "a", 0.001), ((0.9, 0.1), "one", "a", 0.001), ((0.89, 0.95), "two", "b", 0.011),
     ((0.5, 0.5), "three", "c", 0.111)],
)  # fmt: skip
async def test_the_first_sure_rung_answers(scores, said, rung, usd):
    models = says("a", "one", scores[0]), says("b", "two", scores[1]), says("c", "three", 0.2)
    reply = await collect(cascaded(*models), ASKED)
    note = reply.note("cascade", "rung")
    assert (reply.text, note["rung"], note["usd"]) == (said, rung, pytest.approx(usd))
    asked = sum(m.asked for m in models)
    assert [t["rung"] for t in note["tried"]] == ["a", "b", "c"][:asked]
    assert reply.finish.usage == Usage(prompt_tokens=10 * asked, completion_tokens=2 * asked)


async def test_nothing_of_a_rejected_answer_is_seen():
    passages = Note(layer="grounded", kind="passages", data=["of a"])
    reply = await collect(cascaded(says("a", "one", 0.1, passages), says("b", "two", 0.1)), ASKED)
    assert reply.text == "two"
    assert reply.note("grounded", "passages") is None


async def test_an_answer_without_a_score_is_not_given():
    reply = await collect(cascaded(says("a", "one", None), says("b", "two", None)), ASKED)
    assert reply.text == "two"


async def test_a_handoff_goes_up_and_a_block_does_not():
    asks_person = says("a", "A colleague.", 0.99, handoff())
    assert (await collect(cascaded(asks_person, says("b", "two", 0.99)), ASKED)).text == "two"
    top = says("b", "two", 0.99)
    reply = await collect(cascaded(says("a", "I cannot help.", None, reason="content_filter"), top), ASKED)
    assert (reply.text, reply.finish.reason, top.asked) == ("I cannot help.", "content_filter", 0)


async def test_a_reply_to_a_greeting_or_a_wish_for_a_person_is_final():
    act = Note(layer="acts", kind="act", data={"act": "person"})
    top = says("b", "two", 0.99)
    reply = await collect(cascaded(says("a", "A colleague.", None, act, handoff("asked for a person")), top), ASKED)
    assert (reply.text, top.asked) == ("A colleague.", 0)


async def test_an_approved_reply_is_final():
    note = Note(layer="reuse", kind="reply", data={"question": "What does a wire cost?"})
    top = says("b", "two", 0.99)
    assert (await collect(cascaded(says("a", "It is $25.", None, note), top), ASKED)).text == "It is $25."
    assert top.asked == 0


async def test_the_last_rung_may_be_a_person():
    reply = await collect(cascaded(says("a", "one", 0.2), None), ASKED)
    assert reply.text == "A colleague takes over."
    assert reply.note("guarded", "handoff")["reason"] == "no model of the cascade was sure enough"
    assert reply.note("cascade", "rung")["rung"] == "person"


async def test_a_person_gets_the_passages_of_the_model_asked_last_and_what_left_for_it():
    passages = Note(layer="grounded", kind="passages", data=[{"document": "fees.md"}])
    left = Note(layer="private", kind="egress", data={"upstream": "cloud"})
    model = cascaded(says("a", "one", 0.1, passages, left), None, usd=(0.001, 2.0))
    reply = await collect(model, ASKED)
    assert reply.text == "A colleague takes over."
    assert reply.note("grounded", "passages") == [{"document": "fees.md"}]
    assert reply.note("private", "egress") == {"upstream": "cloud"}


async def test_where_a_form_was_asked_for_a_person_is_a_refusal_of_it():
    request = ASKED.model_copy(update={"json_schema": {"type": "object"}})
    events = [e async for e in cascaded(says("a", "{}", 0.1), None, usd=(0.001, 2.0)).stream(request)]
    assert [e.refusal for e in events if isinstance(e, Delta)] == [True]


async def test_a_refusal_of_the_form_goes_up_however_sure_it_is():
    refuses = Says("a", Delta(text="I cannot.", refusal=True), Finish(reason="stop", confidence=0.99))
    reply = await collect(cascaded(refuses, says("b", "{}", 0.2)), ASKED)
    assert (reply.text, reply.note("cascade", "rung")["rung"]) == ("{}", "b")


async def test_what_was_not_measured_has_no_certificate():
    def note(*models):
        rungs = [Rung(m.name, m, 0.9, 0.01) for m in models]
        return Cascaded("cascade", rungs, "A colleague.", certificate=lambda: "at most 5% wrong")

    async def certified(*models):
        return "certificate" in (await collect(note(*models), ASKED)).note("cascade", "rung")

    assert await certified(says("a", "one", 0.95), says("b", "two", 0.2))
    fails = says("a", "", 0.1, error=BackendError("gone"))
    assert not await certified(fails, says("b", "two", 0.2))
    here = Note(layer="private", kind="local", data={"model": "custom", "why": "the policy of the user's groups"})
    model = note(says("a", "one", 0.1), says("b", "two", 0.2, here))
    data = (await collect(model, ASKED)).note("cascade", "rung")
    assert "certificate" not in data
    assert (data["tried"][1]["local"], data["usd"]) == ("custom", 0.01)  # the time on this machine, which is free here


async def test_it_says_who_is_paid():
    here = Note(layer="private", kind="local", data={"model": "custom", "why": "the server is gone"})

    async def paid(*events):
        rungs = [Rung("a", says("a", "one", 0.1), 0.9), Rung("b", says("b", "two", 0.1, *events), 0.9, 0.01, True),
                 Rung("inbox", None, usd=3.0)]  # fmt: skip
        tried = (await collect(Cascaded("cascade", rungs, "A colleague."), ASKED)).note("cascade", "rung")["tried"]
        return [t.get("paid", "") for t in tried]

    assert await paid() == ["", "elsewhere", "person"]
    assert await paid(here) == ["", "", "person"]


async def test_a_rung_that_fails_is_passed_over_and_named():
    broken = says("a", "half an", 0.99, error=BackendError("the server is gone"))
    reply = await collect(cascaded(broken, says("b", "two", 0.1)), ASKED)
    assert reply.text == "two"
    assert reply.note("cascade", "rung")["tried"][0]["failed"] == "the server is gone"


async def test_the_last_rungs_failure_and_a_refusal_are_the_callers():
    with pytest.raises(BackendError, match="gone"):
        await collect(cascaded(says("a", "one", 0.1), says("b", "", 1, error=BackendError("gone"))), ASKED)
    top = says("b", "two", 1)
    with pytest.raises(RefusedError):
        await collect(cascaded(says("a", "", 1, error=RefusedError("too long")), top), ASKED)
    assert top.asked == 0


async def test_the_last_rung_is_streamed_as_it_comes():
    class Slow(Says):
        async def stream(self, request):
            yield Delta(text="first")
            assert seen == ["first"]
            yield Finish(reason="stop")

    seen = []
    async for event in cascaded(says("a", "one", 0.1), Slow("b")).stream(ASKED):
        if isinstance(event, Delta):
            seen.append(event.text)
    assert seen == ["first"]


async def test_a_rung_may_be_left_out():
    small = says("a", "one", 0.99)
    reply = await collect(cascaded(small, says("b", "two", 0.1), skip=lambda request: [True]), ASKED)
    assert (reply.text, small.asked) == ("two", 0)
    assert reply.note("cascade", "rung")["tried"][0] == {"rung": "a", "usd": 0.0, "ms": 0.0, "left_out": True}


def test_a_rung_is_left_out_when_it_costs_more_than_it_saves():
    assert left_out([0.05, 0.5], [0.001, 0.01, 0.1]) == [True, False]
    assert left_out([], [0.001, 0.01]) == []


def test_similar_questions_say_what_a_rung_does():
    near, far = (1.0, 0.0), (0.0, 1.0)
    half = FEWEST // 2
    known = Known(vectors=(near,) * half + (far,) * half, given=((True,),) * half + ((False,),) * half)
    assert known.shares(near) == [1.0]
    assert known.shares(far) == [0.0]
    assert Known(vectors=(near,) * 5, given=((True,),) * 5).shares(near) == []
    odd = Known(vectors=(near, *((far,) * FEWEST)), given=((True,), *(((False,),) * FEWEST)))
    assert odd.shares(near) == [pytest.approx(1 / NEAREST)]
    assert odd.shares(near, but=0) == [0.0]
