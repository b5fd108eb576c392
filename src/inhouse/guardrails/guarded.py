"""A ChatModel with rails around it: what comes in and what goes out is checked, and some of it goes to a person.

The rails of a side run concurrently, each in a thread; the strongest action wins, and changes of the text are made in
the rails' order. Output is released sentence by sentence, byte for byte as the model wrote it while no rail objects.
A rail that raises or takes too long counts as a finding whose action is the hand-off, unless its settings let it open;
its decision says which.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import cast

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, collect
from inhouse.guardrails.buffer import Buffer
from inhouse.guardrails.rail import Decision, Finding, Guard, Side, Turn
from inhouse.types import Message, Passage

log = logging.getLogger(__name__)
REFUSAL = "I am sorry, I cannot help with that."
DRAWN_AT = 0.7  # temperature of a second answer
REMOVED = "(taken out by a guardrail)"
Checked = list[tuple[Decision, Finding | None]]


class Guarded:
    """A ChatModel. Notes of layer "guarded": "findings" when a rail had something to say, "handoff" when the question
    goes to a person; both come just before the end.

    Args:
        model: what answers; its passages are taken from the note of a `Grounded` within.
        guards: rails in their order.
        handoff: what is said when a person takes over.
        refusal: what is said when something is blocked.
        second_tokens: length of a second answer, drawn at a temperature, for rails that look at the whole answer; 0
            draws none.
        tells: a last note, "inside", says what the model said before any rail changed it ("said"), what was left of it
            when the whole answer was looked at ("checked", null where it was ended before), and the milliseconds that
            each rail took while it was waited for ("ms"): for evaluation, which asks what the rails are good for.
    """

    def __init__(
        self, model: ChatModel, guards: Sequence[Guard], handoff: str, refusal: str = REFUSAL, second_tokens: int = 0,
        tells: bool = False,
    ) -> None:  # fmt: skip
        self.name = model.name
        self._model = model
        self._guards = tuple(guards)
        self._handoff = handoff
        self._refusal = refusal
        self._second_tokens = second_tokens
        self._tells = tells
        self._waits = any("answer" in g.actions for g in guards)
        self._sifts = any(g.actions.get("passages") in ("redact", "rewrite") for g in guards)
        self._threads = ThreadPoolExecutor(4 * max(len(guards), 1), thread_name_prefix="rail")

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields what the model says as far as the rails let it.

        Raises:
            BackendError: the model could not answer.
        """
        events_of = cast("AsyncGenerator[ChatEvent]", _Exchange(self, request).events())
        async with aclosing(events_of) as events:
            async for event in events:
                yield event

    async def check(self, side: Side, text: str, turn: Turn) -> Checked:
        """What every rail of a side says about a text, all at once; in the rails' order."""
        found = await asyncio.gather(*(self._ask(g, side, text, turn) for g in self._guards if side in g.actions))
        return [f for f in found if f]

    async def second(self, request: ChatRequest) -> str | None:
        """The beginning of another answer to the same request; None where none is wanted."""
        if not self._second_tokens:
            return None
        drawn = {"temperature": DRAWN_AT, "seed": 1, "max_tokens": self._second_tokens, "logprobs": None}
        return (await collect(self._model, request.model_copy(update=drawn))).text

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, guard: Guard, side: Side, text: str, turn: Turn) -> tuple[Decision, Finding | None] | None:
        loop, rail = asyncio.get_running_loop(), guard.rail
        started = time.perf_counter()
        try:
            async with asyncio.timeout(guard.timeout_s):
                found = await loop.run_in_executor(self._threads, rail.check, side, text, turn)
        except Exception as error:
            reason = "took too long" if isinstance(error, TimeoutError) else f"failed ({type(error).__name__})"
            log.warning(
                "rail %s %s on the %s side", rail.name, reason, side, exc_info=not isinstance(error, TimeoutError)
            )
            failed = Decision(rail=rail.name, side=side, action="flag" if guard.opens else "handoff", reason=reason,
                             failed="open" if guard.opens else "closed")  # fmt: skip
            return failed, None
        finally:
            if side != "passages" or self._sifts:  # else the model reads its prompt meanwhile
                turn.spent_s[rail.name] = turn.spent_s.get(rail.name, 0.0) + time.perf_counter() - started
        if found is None:
            return None
        action = found.action or guard.actions[side]
        return Decision(
            rail=rail.name, side=side, action=action, score=found.score, reason=found.reason, spans=found.spans
        ), found


class _Exchange:
    """One question on its way through the rails."""

    def __init__(self, guarded: Guarded, request: ChatRequest) -> None:
        self._guarded = guarded
        self._request = request
        self._turn = Turn(request)
        self._findings: list[Decision] = []
        self._held = Buffer(whole=request.json_schema is not None)
        self._reading: asyncio.Task[Checked] | None = None
        self._tools: tuple[Passage, ...] = ()  # results of tools, as the rails look at them
        self._said = ""  # what has left
        self._model_said = ""
        self._checked: str | None = None  # the whole answer as its last rails saw it
        self._cutter = ""  # the rail that last changed a sentence

    async def events(self) -> AsyncIterator[ChatEvent]:
        try:
            if stop := self._note(await self._guarded.check("input", _question(self._request), self._turn)):
                for event in self._end(stop, Finish(reason="stop")):
                    yield event
                return
            results = [m.content for m in self._request.messages if m.role == "tool"]
            self._tools = tuple(Passage(source="tool", title="", heading="", text=t) for t in results)
            if self._tools:
                self._read(())
                stop = await self._sifted() if self._guarded._sifts else None
                if stop:
                    for event in self._end(stop, Finish(reason="stop")):
                        yield event
                    return
            async for event in self._answered():
                yield event
        finally:
            if self._reading:
                self._reading.cancel()

    async def _answered(self) -> AsyncIterator[ChatEvent]:
        """What the model says to the question, as far as the rails let it."""
        stream = cast("AsyncGenerator[ChatEvent]", self._guarded._model.stream(self._request))
        async with aclosing(stream) as answer:
            async for event in answer:
                if isinstance(event, Note) and (event.layer, event.kind) == ("grounded", "passages"):
                    self._read([Passage(**p) for p in event.data])
                    shown = self._request
                    stop = await self._sifted() if self._guarded._sifts else None
                    if not stop and self._request != shown:
                        break  # nothing was generated yet: asked again, without them
                elif isinstance(event, Finish):
                    async for last in self._finish(event):
                        yield last
                    return
                else:
                    stop = None
                self._held.add(event)
                self._model_said += event.text if isinstance(event, Delta) else ""
                calls = isinstance(event, Delta) and event.tool_calls
                stop = stop or (await self._have_read() if calls else None) or await self._decide()
                for ready in self._ready(bool(stop)):
                    yield ready
                if stop:
                    for ready in self._end(stop, Finish(reason="stop")):
                        yield ready
                    return
        async for event in self._answered():
            yield event

    async def _sifted(self) -> Decision | None:
        """Takes out what the rails want taken out of passages and tool results; the decision that ends the exchange."""
        reading, self._reading = self._reading, None
        checked = await reading if reading else []
        bad = {
            self._turn.passages[n].text
            for v, found in checked if found and v.action in ("redact", "rewrite") for n in found.passages
        }  # fmt: skip
        messages = tuple(
            m.model_copy(update={"content": REMOVED}) if m.role == "tool" and m.content in bad else m
            for m in self._request.messages
        )
        self._tools = tuple(p for p in self._tools if p.text not in bad)
        self._request = self._request.model_copy(
            update={"messages": messages, "without": self._request.without | frozenset(bad)}
        )
        return self._note(checked)

    def _read(self, passages: Sequence[Passage]) -> None:
        """Has passages and tool results looked at while the model reads its prompt."""
        self._turn.passages = (*self._tools, *passages)
        if self._reading:
            self._reading.cancel()
        text = "\n\n".join(p.text for p in self._turn.passages)
        self._reading = asyncio.ensure_future(self._guarded.check("passages", text, self._turn))

    def _note(self, checked: Checked) -> Decision | None:
        """Keeps the findings, changes the conversation where they say so; the one that ends the exchange, if any."""
        self._findings += [v for v, _ in checked]
        for decision, found in checked:
            if decision.side == "input" and found and decision.action in ("redact", "rewrite"):
                messages = found.messages or _with_question(self._request, found.replacement(_question(self._request)))
                self._request = self._request.model_copy(update={"messages": messages})
        return _ending([v for v, _ in checked])

    async def _decide(self, last: bool = False) -> Decision | None:
        """Checks the sentences that are whole; the decision that ends the answer, if any."""
        while sentence := self._held.sentence(last):
            if stop := await self._have_read():
                return stop
            checked = await self._guarded.check("output", sentence, self._turn)
            if stop := self._note(checked):
                return stop
            self._turn.sentences.append(sentence)
            text = sentence
            for decision, found in checked:
                if found and decision.action in ("redact", "rewrite"):
                    text = _changed(sentence, text, found)
            if text == sentence:
                self._held.keep(sentence)
            else:
                self._held.change(sentence, text)
                self._cutter = next(v.rail for v, _ in checked if v.action in ("redact", "rewrite"))
        return None

    async def _have_read(self) -> Decision | None:
        """Waits for the rails that look at passages; the decision that ends the exchange, if any."""
        if not self._reading:
            return None
        reading, self._reading = self._reading, None
        return self._note(await reading)

    async def _finish(self, finish: Finish) -> AsyncIterator[ChatEvent]:
        self._turn.certainty = finish.confidence
        stop = await self._decide(last=True)
        waiting = list(self._held.drop() if stop else self._held.ready())
        text = "".join(e.text for e in waiting if isinstance(e, Delta))
        self._checked = None if stop else self._said + text
        if self._guarded._waits and not stop:
            self._turn.second = await self._guarded.second(self._request)
            checked = await self._guarded.check("answer", text, self._turn)
            stop = self._note(checked)
            for decision, found in checked:
                if found and decision.action in ("redact", "rewrite"):
                    rest = [e for e in waiting if not isinstance(e, Delta)]
                    waiting = [Delta(text=found.replacement(text)), *rest]
        if not stop and self._cutter and not (self._said + text).strip():
            stop = Decision(rail=self._cutter, side="output", action="handoff", reason="nothing was left")
            self._findings += [stop]
        if stop and self._guarded._waits:
            waiting = [e for e in waiting if not isinstance(e, Delta)]
        for event in waiting:
            yield self._sent(event)
        if self._turn.confidence is not None:
            finish = finish.model_copy(update={"confidence": self._turn.confidence})
        for event in self._end(stop, finish):
            yield event

    def _ready(self, stopped: bool) -> list[ChatEvent]:
        if self._guarded._waits:
            return []
        return [self._sent(e) for e in (self._held.drop() if stopped else self._held.ready())]

    def _sent(self, event: ChatEvent) -> ChatEvent:
        if isinstance(event, Delta):
            self._said += event.text
        if isinstance(event, Note) and (event.layer, event.kind) == ("grounded", "citations"):
            return event.model_copy(update={"data": _standing(event.data, self._turn.cited)})
        return event

    def _end(self, stop: Decision | None, finish: Finish) -> list[ChatEvent]:
        """What is said when the answer is over: why it was ended, the findings, the finish."""
        events: list[ChatEvent] = []
        if stop:
            text = self._guarded._refusal if stop.action == "block" else self._guarded._handoff
            gap = " " if self._said and not self._said[-1].isspace() else ""
            events.append(Delta(text=gap + text))
            update = {"reason": "content_filter"} if stop.action == "block" else {"reason": "stop"}
            finish = finish.model_copy(update=update)
        if self._findings:
            events.append(Note(layer="guarded", kind="findings", data=[v.told() for v in self._findings]))
        if stop and stop.action == "handoff":
            events.append(Note(layer="guarded", kind="handoff", data={"reason": f"{stop.rail}: {stop.reason}"}))
        if self._guarded._tells:
            ms = {rail: round(1000 * s, 3) for rail, s in self._turn.spent_s.items()}
            inside = {"said": self._model_said, "checked": self._checked, "ms": ms}
            events.append(Note(layer="guarded", kind="inside", data=inside))
        return [*events, finish]


def _question(request: ChatRequest) -> str:
    return next((m.content for m in reversed(request.messages) if m.role == "user"), "")


def _with_question(request: ChatRequest, text: str) -> tuple[Message, ...]:
    last = max((n for n, m in enumerate(request.messages) if m.role == "user"), default=-1)
    return tuple(m.model_copy(update={"content": text}) if n == last else m for n, m in enumerate(request.messages))


def _changed(sentence: str, text: str, found: Finding) -> str:
    """The text after one more rail's change; one that another rail changed already loses the spans where they stand."""
    if text == sentence:
        return found.replacement(sentence)
    if found.text is not None or not found.spans:
        return "" if found.text == "" or not found.spans else text
    for start, end, kind in found.spans:
        text = text.replace(sentence[start:end], f"<{kind}>")
    return text


def _ending(findings: Sequence[Decision]) -> Decision | None:
    """The decision that ends the exchange: a block before a hand-off."""
    ends = [v for v in findings if v.action in ("block", "handoff")]
    return min(ends, key=lambda v: v.action != "block", default=None)


def _standing(citations: list[dict[str, object]], cited: dict[str, object] | None) -> list[object]:
    """The citations that hold: those of the rail that checks them, where there is one."""
    return list(citations) if cited is None else list(cited.values())
