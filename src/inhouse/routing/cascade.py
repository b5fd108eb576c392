"""A ChatModel of rungs, from the cheapest to the most expensive: each answers only if its score reaches its threshold.

A rung answers as a whole before the first byte is sent, so nothing is ever retracted; the last rung's answer is
streamed. Where similar questions show that a rung would be asked in vain, it is left out: its price is lost whenever
its answer is not good enough.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, Usage, streaming
from inhouse.errors import BackendError, RefusedError
from inhouse.types import Json, Record

Skip = Callable[[ChatRequest], Sequence[bool]]
ABOUT = {("grounded", "passages"), ("private", "egress")}  # notes of a model that a person takes over from
UNSURE = "no model of the cascade was sure enough"
NEAREST = 15  # questions that say whether a rung is left out
FEWEST = 60  # questions, without which none is left out


@dataclass(frozen=True)
class Rung:
    """One rung of a cascade.

    Attributes:
        name: in notes and reports.
        model: answers; its Finish has the score of the answer as its confidence. None is a person.
        threshold: smallest score with which its answer is given.
        usd: price of an answer; None where it is the time that it takes.
        elsewhere: whether others are paid for the answer.
    """

    name: str
    model: ChatModel | None
    threshold: float = 0.0
    usd: float | None = None
    elsewhere: bool = False


class Tried(NamedTuple):
    """A rung that was asked, or left out."""

    rung: str
    score: float | None
    usd: float
    ms: float
    left_out: bool = False
    failed: str = ""
    local: str = ""  # the model here that answered in place of the one elsewhere
    paid: str = ""  # who is paid: "elsewhere", "person", or "" where it is the time of this machine


class Known(Record):
    """What similar questions say of a rung: unit vectors of questions, and whether the rung's answer was given.

    `vectors` has shape (questions, dimensions), rounded; `given` has a row for each question and a column for each rung
    but the last.
    """

    vectors: tuple[tuple[float, ...], ...] = ()
    given: tuple[tuple[bool, ...], ...] = ()

    def shares(self, vector: Sequence[float], but: int = -1) -> list[float]:
        """By rung, the share of the NEAREST questions that it answered; without the question at position `but`.

        Empty where there are fewer than FEWEST questions.
        """
        import numpy as np

        if len(self.given) < FEWEST:
            return []
        near = np.array(self.vectors) @ np.array(vector)
        if but >= 0:
            near[but] = -np.inf
        nearest = np.argsort(-near, kind="stable")[:NEAREST]
        return [float(share) for share in np.array(self.given, dtype=float)[nearest].mean(0)]


def left_out(shares: Sequence[float], usd: Sequence[float]) -> list[bool]:
    """Which rungs to leave out: those whose price is above what they are expected to save, the price of the next rung
    times the share of similar questions that they answer. The last rung is always asked."""
    return [share * usd[n + 1] < usd[n] for n, share in enumerate(shares)]


class Policy(Record):
    """How a cascade decides, as its artifact keeps it.

    Attributes:
        rungs: their names, from the cheapest to the most expensive.
        thresholds: of all rungs but the last; above 1 for a rung that never answers.
        usd: prices of one answer, as given or as measured.
        known: questions with what each rung did, None where no rung is left out.
        certificate: what is certified, for notes; None if nothing is.
    """

    rungs: tuple[str, ...]
    thresholds: tuple[float, ...]
    usd: tuple[float, ...]
    known: Known | None = None
    certificate: Json = None


class Cascaded:
    """A ChatModel. Its note of layer "cascade", kind "rung" says which rung answered, what was tried before it with
    which score, what it cost, and what is certified of it: nothing, if a rung failed or another model answered for it.

    A reply that ends the exchange in another way than by an answer is final where every rung would give it, such as a
    block or a greeting; a hand-off goes to the next rung. A rung that fails is passed over, with a note in what was
    tried, if there is another one.

    Args:
        name: of this model.
        rungs: from the cheapest to the most expensive; at least one.
        handoff: what is said when a person takes over.
        skip: which rungs but the last to leave out for a request; None for none.
        usd_per_s: price of a second of this machine.
        certificate: says what is certified, for the note; None where nothing is.
        declines: whether a text is the model's own hand-off.
    """

    def __init__(
        self, name: str, rungs: Sequence[Rung], handoff: str, skip: Skip | None = None, usd_per_s: float = 0.0,
        certificate: Callable[[], Json] = lambda: None, declines: Callable[[str], bool] = lambda text: False,
    ) -> None:  # fmt: skip
        self.name = name
        self._rungs = rungs
        self._handoff = handoff
        self._skip = skip
        self._usd_per_s = usd_per_s
        self._certificate = certificate
        self._declines = declines

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the first answer whose score is high enough.

        Raises:
            RefusedError: a model rejects the request.
            BackendError: the last rung that was asked failed.
        """
        skipped = list(self._skip(request)) if self._skip else []
        tried: list[Tried] = []
        usage = Usage()
        about: list[Note] = []  # the passages of the model that was asked last, and what left for it
        for n, rung in enumerate(self._rungs):
            last = n + 1 == len(self._rungs)
            if not last and n < len(skipped) and skipped[n]:
                tried.append(Tried(rung.name, None, 0.0, 0.0, left_out=True))
                continue
            if rung.model is None:
                tried.append(Tried(rung.name, None, rung.usd or 0.0, 0.0, paid="person"))
                for event in [*self._to_person(request), *about, self._note(tried), Finish(reason="stop", usage=usage)]:
                    yield event
                return
            events: list[ChatEvent] = []
            started = time.perf_counter()
            try:
                async with streaming(rung.model, request) as answer:
                    async for event in answer:
                        events.append(event)
                        if last and not isinstance(event, Finish):
                            yield event
            except RefusedError:
                raise
            except BackendError as error:
                if last:
                    raise
                tried.append(self._tried(rung, None, started)._replace(failed=str(error)))
                continue
            finish = _end(rung, events)
            usage = _sum(usage, finish.usage)
            score = self._score(events, finish)
            tried.append(self._tried(rung, score, started, events))
            about = [e for e in events if isinstance(e, Note) and (e.layer, e.kind) in ABOUT] or about
            if last or score >= rung.threshold:
                for event in () if last else events[:-1]:
                    yield event
                yield self._note(tried)
                yield finish.model_copy(update={"usage": usage})
                return
        raise BackendError(f"{self.name}: no rung answered")

    def _score(self, events: Sequence[ChatEvent], finish: Finish) -> float:
        """The score of a complete reply: 1 where every rung would give the same one, 0 for a hand-off and for a refusal
        of the form that was asked for, or else the confidence in the answer."""
        notes = {(e.layer, e.kind) for e in events if isinstance(e, Note)}
        deltas = [e for e in events if isinstance(e, Delta)]
        if ("guarded", "handoff") in notes:
            return 1.0 if ("acts", "act") in notes else 0.0
        if finish.reason == "content_filter" or notes & {("acts", "act"), ("reuse", "reply")}:
            return 1.0
        if any(d.refusal for d in deltas) or self._declines("".join(d.text for d in deltas)):
            return 0.0
        return finish.confidence or 0.0

    def _to_person(self, request: ChatRequest) -> list[ChatEvent]:
        schema = request.json_schema is not None
        return [
            Delta(text=self._handoff, refusal=schema),
            Note(layer="guarded", kind="handoff", data={"reason": UNSURE}),
        ]

    def _tried(
        self, rung: Rung, score: float | None, started: float, events: Sequence[ChatEvent] = ()
    ) -> Tried:  # fmt: skip
        seconds = time.perf_counter() - started
        here = next((e.data for e in events if isinstance(e, Note) and (e.layer, e.kind) == ("private", "local")), None)
        usd = seconds * self._usd_per_s if here or rung.usd is None else rung.usd
        paid = "elsewhere" if rung.elsewhere and not here else ""
        return Tried(rung.name, score, usd, 1000 * seconds, local=str(here["model"]) if here else "", paid=paid)

    def _note(self, tried: Sequence[Tried]) -> Note:
        data: dict[str, Json] = {"rung": tried[-1].rung, "usd": round(sum(t.usd for t in tried), 9)}
        data["tried"] = [_shown(t) for t in tried]
        as_measured = not any(t.failed or t.local for t in tried)
        if as_measured and (certified := self._certificate()):
            data["certificate"] = certified
        return Note(layer="cascade", kind="rung", data=data)


def _end(rung: Rung, events: Sequence[ChatEvent]) -> Finish:
    if events and isinstance(events[-1], Finish):
        return events[-1]
    raise BackendError(f"{rung.name} ended its answer without a finish event")


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(**{name: getattr(one, name) + getattr(other, name) for name in Usage.model_fields})


def _shown(tried: Tried) -> dict[str, Json]:
    shown: dict[str, Json] = {"rung": tried.rung, "usd": round(tried.usd, 9), "ms": round(tried.ms, 1)}
    if tried.score is not None:
        shown["score"] = round(tried.score, 4)
    if tried.left_out:
        shown["left_out"] = True
    if tried.failed:
        shown["failed"] = tried.failed
    if tried.local:
        shown["local"] = tried.local
    if tried.paid:
        shown["paid"] = tried.paid
    return shown
