"""A ChatModel with rails around it: input and output are checked, and some exchanges go to a person.

The rails of a side run at the same time, wherever the `Runner` has them. The strongest action wins; changes to the text
are applied in the rails' order. Output is released sentence by sentence, or token by token where no rail checks it,
byte for byte as the model wrote it unless a rail objects. A rail that raises or times out counts as a finding whose
action is the hand-off, unless it is set to fail open; its decision says which.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, collect, streaming
from inhouse.guardrails import offer
from inhouse.guardrails.buffer import Buffer
from inhouse.guardrails.rail import TOOL, Action, Decision, Finding, Rules, Side, Turn, question_of
from inhouse.guardrails.runner import Result, Runner
from inhouse.types import Json, Message, Passage, Record

log = logging.getLogger(__name__)
REFUSAL = "I am sorry, I cannot help with that."
SECOND_TEMPERATURE = 0.7  # of the second answer
REMOVED = "(removed by a guardrail)"
CHANGES = ("redact", "rewrite")


class GuardedSettings(Record):
    """How `Guarded` behaves apart from its rails.

    Attributes:
        handoff: the reply when a person takes over.
        refusal: the reply when something is blocked.
        offer: added to a hand-off when an answer is missing, with {titles} of related documents; "" for nothing.
        second_tokens: length of a second answer, sampled for rails that check the whole answer; 0 for none.
        report: add a last note, "report", for evaluation: the answer before any rail changed it ("generated"), what
            was left of it when the whole answer was checked ("checked", null where it ended before that), and the
            milliseconds that the exchange waited for each rail ("ms").
    """

    handoff: str
    refusal: str = REFUSAL
    offer: str = ""
    second_tokens: int = 0
    report: bool = False


class Checked(NamedTuple):
    """A decision and the finding behind it; None where the rail failed."""

    decision: Decision
    finding: Finding | None

    @property
    def change(self) -> Finding | None:
        """The finding, where it changes the text."""
        return self.finding if self.decision.action in CHANGES else None


class Guarded:
    """A ChatModel. Adds notes of layer "guarded" just before the end: "findings" where a rail reported something, and
    "handoff" where the question goes to a person, with its "reason" and what was added as an "offer".

    Args:
        model: answers; its passages come from the note of a `Grounded` within.
        runner: runs the rails.
        settings: replies, and what else is generated and reported.
    """

    def __init__(self, model: ChatModel, runner: Runner, settings: GuardedSettings) -> None:
        self.name = model.name
        self.model = model
        self.settings = settings
        self.buffers_answer = any("answer" in r.actions for r in runner.rules)
        self.by_sentence = self.buffers_answer or any("output" in r.actions for r in runner.rules)
        self.filters = any(r.actions.get("passages") in CHANGES for r in runner.rules)
        self._runner = runner

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields what the model says, as far as the rails allow.

        Raises:
            BackendError: the model could not answer.
        """
        async with aclosing(_Exchange(self, request).events()) as events:
            async for event in events:
                yield event

    async def check(self, side: Side, text: str, turn: Turn) -> list[Checked]:
        """Runs every rail of a side at once; the results are in the rails' order."""
        return await self._run([n for n, r in enumerate(self._runner.rules) if side in r.actions], side, text, turn)

    async def is_personal(self, text: str, turn: Turn) -> bool:
        """Whether the rail `pii`, if it is on, finds personal data in the text or fails."""
        rails = [n for n, r in enumerate(self._runner.rules) if r.name == "pii" and "output" in r.actions]
        return bool(await self._run(rails, "output", text, turn))

    async def second(self, request: ChatRequest) -> str | None:
        """The beginning of a second answer to the same request; None where none is wanted."""
        if not self.settings.second_tokens:
            return None
        sampling = {"temperature": SECOND_TEMPERATURE, "seed": 1, "logprobs": None}
        sampled = request.model_copy(update={**sampling, "max_tokens": self.settings.second_tokens})
        return (await collect(self.model, sampled)).text

    def close(self) -> None:
        self._runner.close()

    async def _run(self, which: Sequence[int], side: Side, text: str, turn: Turn) -> list[Checked]:
        """What the rails at those positions found, and those that failed."""
        checked = []
        for n, result in zip(which, await self._runner.run(which, side, text, turn) if which else [], strict=True):
            rules = self._runner.rules[n]
            if side != "passages" or self.filters:  # otherwise the model reads its prompt meanwhile
                turn.spent_s[rules.name] = turn.spent_s.get(rules.name, 0.0) + result.spent_s
            if result.failed or result.finding:
                checked.append(_checked(rules, side, result))
        return checked


class _Exchange:
    """One question on its way through the rails."""

    def __init__(self, guarded: Guarded, request: ChatRequest) -> None:
        self._guarded = guarded
        self._request = request
        self._turn = Turn(request)
        self._decisions: list[Decision] = []
        self._buffer = Buffer(whole=request.json_schema is not None)
        self._passages_check: asyncio.Task[list[Checked]] | None = None
        self._tool_results: tuple[Passage, ...] = ()  # as the rails see them
        self._released = ""
        self._generated = ""
        self._checked: str | None = None  # the whole answer as its last rails saw it
        self._changed_by = ""  # the rail that last changed a sentence

    async def events(self) -> AsyncGenerator[ChatEvent]:
        try:
            stop = self._record(await self._guarded.check("input", question_of(self._request), self._turn))
            if not stop:
                results = [m.content for m in self._request.messages if m.role == "tool"]
                self._tool_results = tuple(Passage(source=TOOL, title="", heading="", text=t) for t in results)
                if self._tool_results:
                    self._start_passages_check(())
                    stop = await self._filter() if self._filters() else None
            if stop:
                for event in await self._end(stop, Finish(reason="stop")):
                    yield event
                return
            async with aclosing(self._answer()) as events:
                async for event in events:
                    yield event
        finally:
            if self._passages_check:
                self._passages_check.cancel()

    async def _answer(self) -> AsyncGenerator[ChatEvent]:
        """The model's answer, as far as the rails allow."""
        async with streaming(self._guarded.model, self._request) as answer:
            async for event in answer:
                stop = None
                if isinstance(event, Note) and (event.layer, event.kind) == ("grounded", "passages"):
                    self._start_passages_check([Passage(**p) for p in event.data])
                    before = self._request
                    stop = await self._filter() if self._filters() else None
                    if not stop and self._request != before:
                        break  # nothing was generated yet: ask again, without those passages
                elif isinstance(event, Finish):
                    async with aclosing(self._finish(event)) as events:
                        async for last in events:
                            yield last
                    return
                self._buffer.add(event)
                self._generated += event.text if isinstance(event, Delta) else ""
                calls_tools = isinstance(event, Delta) and event.tool_calls
                stop = stop or (await self._finish_passages_check() if calls_tools else None)
                stop = stop or await self._check_sentences()
                for ready in self._ready(bool(stop)):
                    yield ready
                if stop:
                    for ready in await self._end(stop, Finish(reason="stop")):
                        yield ready
                    return
        async with aclosing(self._answer()) as events:
            async for event in events:
                yield event

    def _start_passages_check(self, passages: Sequence[Passage]) -> None:
        """Checks passages and tool results while the model reads its prompt."""
        self._turn.passages = (*self._tool_results, *passages)
        if self._passages_check:
            self._passages_check.cancel()
        text = "\n\n".join(p.text for p in self._turn.passages)
        self._passages_check = asyncio.ensure_future(self._guarded.check("passages", text, self._turn))

    async def _finish_passages_check(self) -> Decision | None:
        """Waits for the rails that check passages; returns the decision that ends the exchange, if any."""
        if not self._passages_check:
            return None
        running, self._passages_check = self._passages_check, None
        return self._record(await running)

    def _filters(self) -> bool:
        """Whether the model must wait for the check of the passages, since some may be removed."""
        return self._guarded.filters or any(p.trust == "external" for p in self._turn.passages)

    async def _filter(self) -> Decision | None:
        """Removes passages and tool results that rails redact; returns the decision that ends the exchange, if any."""
        running, self._passages_check = self._passages_check, None
        checked = await running if running else []
        bad = {self._turn.passages[n].text for c in checked if c.change for n in c.change.passages}
        messages = tuple(
            m.model_copy(update={"content": REMOVED}) if m.role == "tool" and m.content in bad else m
            for m in self._request.messages
        )
        self._tool_results = tuple(p for p in self._tool_results if p.text not in bad)
        without = self._request.without | frozenset(bad)
        self._request = self._request.model_copy(update={"messages": messages, "without": without})
        return self._record(checked)

    def _record(self, checked: Sequence[Checked]) -> Decision | None:
        """Keeps the decisions and changes the conversation where they say so; returns the one that ends the exchange,
        if any: a block rather than a hand-off."""
        self._decisions += [c.decision for c in checked]
        changes = [c.change for c in checked if c.decision.side == "input" and c.change]
        for change in changes:
            if not change.removed:
                text = change.replacement(question_of(self._request))
                messages = change.messages or _with_question(self._request, text)
                self._request = self._request.model_copy(update={"messages": messages})
        if removed := {n for change in changes for n in change.removed}:
            left = tuple(m for n, m in enumerate(self._request.messages) if n not in removed)
            self._request = self._request.model_copy(update={"messages": left})
        ends = [c.decision for c in checked if c.decision.action in ("block", "handoff")]
        return min(ends, key=lambda d: d.action != "block", default=None)

    async def _check_sentences(self, last: bool = False) -> Decision | None:
        """Checks the sentences that are complete; returns the decision that ends the answer, if any."""
        while sentence := self._buffer.sentence(last or not self._guarded.by_sentence):
            if stop := await self._finish_passages_check():
                return stop
            checked = await self._guarded.check("output", sentence, self._turn)
            if stop := self._record(checked):
                return stop
            self._turn.sentences.append(sentence)
            text = sentence
            for c in checked:
                if c.change:
                    text = _changed(sentence, text, c.change)
            if text == sentence:
                self._buffer.keep(sentence)
            else:
                self._buffer.change(sentence, text)
                self._changed_by = next(c.decision.rail for c in checked if c.change)
        return None

    async def _finish(self, finish: Finish) -> AsyncGenerator[ChatEvent]:
        buffers = self._guarded.buffers_answer
        self._turn.certainty = finish.confidence
        stop = await self._check_sentences(last=True)
        waiting = list(self._buffer.drop() if stop else self._buffer.ready())
        text = "".join(e.text for e in waiting if isinstance(e, Delta))
        self._checked = None if stop else self._released + text
        if buffers and not stop:
            self._turn.second = await self._guarded.second(self._request)
            checked = await self._guarded.check("answer", text, self._turn)
            stop = self._record(checked)
            for c in checked:
                if c.change:
                    rest = [e for e in waiting if not isinstance(e, Delta)]
                    waiting = [Delta(text=c.change.replacement(text)), *rest]
        if not stop and self._changed_by and not (self._released + text).strip():
            stop = Decision(rail=self._changed_by, side="output", action="handoff", reason="nothing left to answer")
            self._decisions += [stop]
        if stop and buffers:
            waiting = [e for e in waiting if not isinstance(e, Delta)]
        for event in waiting:
            yield self._release(event)
        if self._turn.confidence is not None:
            finish = finish.model_copy(update={"confidence": self._turn.confidence})
        for event in await self._end(stop, finish):
            yield event

    def _ready(self, stopped: bool) -> list[ChatEvent]:
        if self._guarded.buffers_answer:
            return []
        return [self._release(e) for e in (self._buffer.drop() if stopped else self._buffer.ready())]

    def _release(self, event: ChatEvent) -> ChatEvent:
        """The event as it leaves; citations become those of the rail that checks them, where there is one."""
        if isinstance(event, Delta):
            self._released += event.text
        cited = self._turn.cited
        if cited is not None and isinstance(event, Note) and (event.layer, event.kind) == ("grounded", "citations"):
            return event.model_copy(update={"data": list(cited.values())})
        return event

    async def _offer(self, stop: Decision | None) -> str:
        """What a hand-off adds about the documents; nothing where the titles hold personal data."""
        settings = self._guarded.settings
        if not settings.offer or not stop or stop.action != "handoff" or stop.rail not in offer.RAILS:
            return ""
        found = offer.topics(self._turn)
        text = settings.offer.replace("{titles}", "; ".join(found))
        return f" {text}" if found and not await self._guarded.is_personal(text, self._turn) else ""

    async def _end(self, stop: Decision | None, finish: Finish) -> list[ChatEvent]:
        """The events after the answer: the reply of a decision that ended it, notes, and the finish."""
        settings = self._guarded.settings
        events: list[ChatEvent] = []
        added = await self._offer(stop)
        if stop:
            text = settings.refusal if stop.action == "block" else settings.handoff
            gap = " " if self._released and not self._released[-1].isspace() else ""
            events.append(Delta(text=gap + text + added))
            reason = "content_filter" if stop.action == "block" else "stop"
            finish = finish.model_copy(update={"reason": reason})
        if self._decisions:
            events.append(_note("findings", [d.summary() for d in self._decisions]))
        if stop and stop.action == "handoff":
            why: dict[str, Json] = {"reason": f"{stop.rail}: {stop.reason}"}
            events.append(_note("handoff", why | {"offer": added} if added else why))
        if settings.report:
            ms = {rail: round(1000 * s, 3) for rail, s in self._turn.spent_s.items()}
            events.append(_note("report", {"generated": self._generated, "checked": self._checked, "ms": ms}))
        return [*events, finish]


def _checked(rules: Rules, side: Side, result: Result) -> Checked:
    finding = result.finding
    if finding is None:
        log.warning("rail %s %s on side %s%s", rules.name, result.failed, side, f"\n{result.trace}".rstrip())
        return Checked(Decision(
            rail=rules.name, side=side, action="flag" if rules.fail_open else "handoff", reason=result.failed,
            failed="open" if rules.fail_open else "closed",
        ), None)  # fmt: skip
    return Checked(Decision(
        rail=rules.name, side=side, action=_action(finding, rules.actions[side]), score=finding.score,
        reason=finding.reason, spans=finding.spans,
    ), finding)  # fmt: skip


def _action(finding: Finding, configured: Action) -> Action:
    """What is done about a finding. Earlier messages stay where findings of the rail are only flagged."""
    if finding.removed and configured == "flag":
        return configured
    return finding.action or configured


def _note(kind: str, data: Json) -> Note:
    return Note(layer="guarded", kind=kind, data=data)


def _with_question(request: ChatRequest, text: str) -> tuple[Message, ...]:
    """The conversation with its last user message replaced."""
    last = max((n for n, m in enumerate(request.messages) if m.role == "user"), default=-1)
    return tuple(m.model_copy(update={"content": text}) if n == last else m for n, m in enumerate(request.messages))


def _changed(sentence: str, text: str, finding: Finding) -> str:
    """`text` after one more rail's change. Where another rail changed the sentence already, spans of the sentence are
    replaced wherever they still occur."""
    if text == sentence:
        return finding.replacement(sentence)
    if finding.text == "" or not finding.spans:
        return ""
    for start, end, kind in finding.spans:
        if sentence[start:end] not in text:
            return ""  # changed in part already: what is left of it cannot be told
        text = text.replace(sentence[start:end], f"<{kind}>")
    return text
