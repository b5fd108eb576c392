"""Answering one request over HTTP: admit, ask the model, record, finish.

The question is on disk before anything is sent, and QUESTION_S after it came at the latest; each piece of a stream is
before it is sent, and the record (the audit log, and the inbox if a person takes over) before a plain reply begins and
before the last chunk of a stream. So the audit log holds all that a client can have received, even if the process is
killed. What cannot be recorded is not sent: 503, or an error event in a stream that has begun. After a failure to
record, a model is asked only when its question is on disk. A disconnected client or a passed deadline stops the model;
that is recorded too.

A stream begins FIRST_BYTE_S after the request at the latest, with comments until the model speaks; before that, an
error can still set the status.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from typing import TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inhouse.chat import ChatEvent, ChatRequest, Delta, Exchange, Finish, Note, Usage, streaming
from inhouse.errors import CONTEXT_LENGTH, BackendError, InputError, RefusedError, RestartingError
from inhouse.gateway.auth import hand_over, need_system
from inhouse.gateway.budgets import GRACE_S, limits_of, reserved, settlement
from inhouse.gateway.contract import UNSUPPORTED
from inhouse.gateway.errors import INTERNAL, HttpError, unavailable
from inhouse.gateway.lengthy import beginning
from inhouse.gateway.limits import Place
from inhouse.gateway.state import State
from inhouse.gateway.wire import Asked, event
from inhouse.store.budgets import Amount
from inhouse.store.keys import Key
from inhouse.types import Json, Passage

QUESTION_S = 0.1  # an answer that is complete sooner is recorded at once, with its question
FIRST_BYTE_S = 0.8
ALIVE_S = 5.0  # between two comments while the model says nothing
UNANSWERED = ("error", "cancelled", "refused")
PIECE_S = 0.25  # between two pieces of a stream, because each is an entry in the audit log
MOST_UNSENT_CHARS = 64_000  # more than an answer has; then the model waits for the client
STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
NAMED = {"cascade": "rung", "fallback": "served"}  # notes that the answer and the audit log have as they are
T = TypeVar("T")
log = logging.getLogger("inhouse.gateway")


class Run:
    """One request to one model, and the record of it."""

    def __init__(self, id: str, state: State, key: Key, asked: Asked, request: ChatRequest, trace: str = "") -> None:
        self.id, self.user = id, request.user
        self.deltas: list[Delta] = []  # those with more than text
        self._parts: list[str] = []
        self.finish: Finish | None = None
        self._state, self._key, self._name, self._parameters = state, key, asked.model, asked.parameters()
        self._model, self._request, self._trace = state.fleet.model(asked.model), request, trace
        self._notes: dict[tuple[str, str], Json] = {}
        self._steps: list[Json] = []  # of agents
        self._shows_steps = bool(getattr(asked, "include_steps", None))
        self._at, self._began = datetime.now(UTC), time.perf_counter()
        self._first_s = self._engine_s = 0.0
        self._share = 1  # number of requests that ran at the same time
        self._handoff = ""
        self.begun = self.asked = self.settled = False  # on disk; asked a model; what it used of budgets
        self.hold: Amount | None = None  # of budgets
        self._failed = False
        self.too_long = False  # for the model, so the record has only the beginning
        self._record: asyncio.Task[None] | None = None

    @property
    def text(self) -> str:
        return "".join(self._parts)

    async def events(self, place: Place) -> AsyncGenerator[ChatEvent]:
        """The events of the model, once the queue has a free slot."""
        async with self._state.queue.slot(place):
            started, self._share, self.asked = time.perf_counter(), self._state.queue.running, True
            try:
                async with streaming(self._model, self._request) as events:
                    async for event_ in events:
                        self._take(event_)
                        yield event_
                        if self._shows_steps and (shown := self._call(event_)):
                            self._take(shown)
                            yield shown
            except BackendError:
                self._failed = True
                raise
            finally:
                self._engine_s = time.perf_counter() - started
        if self.finish is None:
            raise BackendError(f"{self._name} ended its answer without a finish event")

    def _take(self, event_: ChatEvent) -> None:
        match event_:
            case Delta():
                self._first_s = self._first_s or time.perf_counter() - self._began
                self._parts.append(event_.text)
                if event_.logprobs or event_.tool_calls or event_.refusal:
                    self.deltas.append(event_)
            case Note(layer="agent", kind="step", data=data):
                self._steps.append(data)
            case Note(layer=layer, kind=kind, data=data):
                self._notes[layer, kind] = data
            case Finish():
                self.finish = event_

    def _call(self, event_: ChatEvent) -> Delta | None:
        """A call of a tool by an agent, as OpenAI has calls; it is there to be read, not to be run."""
        if not isinstance(event_, Note) or event_.kind != "step" or event_.data.get("kind") != "call":
            return None
        step, index = event_.data, sum(s["kind"] == "call" for s in self._steps) - 1
        function = {"name": step["tool"], "arguments": json.dumps(step["arguments"], ensure_ascii=False)}
        return Delta(
            text="", tool_calls=({"index": index, "id": step["key"], "type": "function", "function": function},)
        )

    def ours(self) -> dict[str, Json]:
        """The extension field `inhouse`, with what is known so far."""
        served = self._notes.get(("release", "served")) or {}
        ignored = self._last("ignored")  # messages of the client that the model does not see
        reused, routed = self._notes.get(("reuse", "reply")), self._notes.get(("router", "expert"))
        return {
            "id": self.id,
            "release": served.get("release", "" if self._name == "custom" else self._name),
            "arm": served.get("arm", ""),
            "passages": self._notes.get(("grounded", "passages"), []),
            "citations": self._last("citations"),
            "confidence": self.finish.confidence if self.finish else None,
            "findings": self._last("findings"),
            "handoff": self._handoff or None,
            **({"ignored": ignored} if ignored else {}),
            **({"reused": reused} if reused else {}),
            **({"expert": routed["expert"]} if routed else {}),
            **{layer: self._notes[layer, kind] for layer, kind in NAMED.items() if (layer, kind) in self._notes},
            **self._elsewhere(),
            **self._acted(),
        }

    def _acted(self) -> dict[str, Json]:
        """What agents did; nothing where there are none."""
        if ("agent", "conversation") not in self._notes:
            return {}
        routed = self._notes.get(("router", "routed")) or {}
        waits = next((s["key"] for s in reversed(self._steps) if s.get("status") == "proposed"), None)
        return {"conversation": self._notes["agent", "conversation"]["id"], "agent": routed.get("agent"),
                "steps": list(self._steps), "approval": waits}  # fmt: skip

    def _elsewhere(self) -> dict[str, Json]:
        """What was sent to a model elsewhere, or why a model here answered in its place."""
        notes = {kind: self._notes[layer, kind] for layer, kind in self._notes if layer == "private"}
        return {"private": notes} if notes else {}

    def _last(self, kind: str) -> Json:
        notes = [data for (_, k), data in self._notes.items() if k == kind]
        return notes[-1] if notes else None

    def exchange(self, reason: str) -> Exchange:
        ours = self.ours()
        split = self._notes.get(("split", "arm")) or {}
        calls = [call for d in self.deltas for call in d.tool_calls]
        latency_s = time.perf_counter() - self._began
        return Exchange(
            id=self.id,
            at=self._at.isoformat(timespec="milliseconds"),
            user=self._request.user,
            key=self._key.id,
            model=self._name,
            messages=beginning(self._request.messages) if self.too_long else self._request.messages,
            answer=self.text + (event(calls) if calls else ""),
            passages=tuple(Passage(**p) for p in ours["passages"]),
            reason=reason,
            **{name: ours[name] for name in ("release", "arm", "citations", "findings", "confidence")},
            usage=self.finish.usage if self.finish else Usage(),
            first_token_s=round(self._first_s or latency_s, 4),
            latency_s=round(latency_s, 4),
            cost_usd=round(self._usd(), 9),
            experiment=f"{split['experiment']}:{split['arm']}" if split else "",
            groups=self._request.groups,
            parameters=self._parameters,
            steps=ours.get("steps"),
            reused=ours.get("reused"),
            cascade=ours.get("cascade"),
            expert=ours.get("expert"),
        )

    def worst(self) -> Amount:
        """The most that the answer may use."""
        return self._state.prices.worst(self._name, self._request)

    def _used(self) -> Usage | None:
        """None if that is not known, because the answer was cut off."""
        cut_off = self.asked and not self.finish and (self._parts or not self._failed)
        return None if cut_off else self.finish.usage if self.finish else Usage()

    def _usd(self) -> float:
        machine_s = self._engine_s / self._share
        return self._state.prices.cost(self._name, self._request, self._notes, self._used(), machine_s)

    async def begin(self) -> None:
        """Writes the question to disk.

        Raises:
            HttpError: 503, it could not be recorded.
        """
        question = self.exchange("").model_copy(update={"answer": ""})
        await self._recorded(self._state.audit.begin(question))
        self.begun = True

    async def sent(self, deltas: Sequence[Delta]) -> None:
        """Writes the next piece of the answer to disk, before it is sent.

        Raises:
            HttpError: 503, it could not be recorded.
        """
        text = "".join(d.text + (event(list(d.tool_calls)) if d.tool_calls else "") for d in deltas)
        if text:
            await self._recorded(self._state.audit.sent(self.id, text))

    async def _recorded(self, writing: Awaitable[T]) -> T:
        try:
            return await writing
        except Exception as error:  # of any kind: what is not recorded is not sent
            self._state.metrics.audit_failures.inc()
            log.error("an answer could not be recorded", exc_info=error)
            raise unrecorded() from error

    async def record(self, reason: str) -> None:
        """Writes the exchange to disk once, however often it is called. A cancelled caller does not stop the write.

        Raises:
            HttpError: 503, the exchange could not be recorded; 429, it would be a hand-off, and the key has had all
                that it may have.
        """
        if self._record is None:
            self._record = asyncio.create_task(self._write(reason))
        await asyncio.shield(self._record)

    async def _write(self, reason: str) -> None:
        exchange, metrics, began = self.exchange(reason), self._state.metrics, time.perf_counter()
        why = "" if reason in UNANSWERED else self._handoff_reason(exchange.answer)
        spent = settlement(self, exchange.cost_usd, self._used())
        try:
            if why:
                hand_over(self._state, self._key.id)
        except HttpError:
            await self._recorded(self._state.audit.append(exchange.model_copy(update={"reason": "refused"}), spent))
            self.settled = True
            raise
        await self._recorded(self._state.audit.append(exchange, spent))
        self.settled = True
        if why:
            self._handoff = await self._recorded(asyncio.to_thread(self._state.inbox.add, exchange, why))
            metrics.handoffs.labels(self._name).inc()
        metrics.audit_s.observe(time.perf_counter() - began)
        metrics.answered(exchange)
        self._state.traces.answered(exchange, self._request, self._trace)
        for observe in self._state.observers:
            observe(exchange, self._request)

    def _handoff_reason(self, answer: str) -> str:
        """Why a person takes over, "" if none does."""
        for layer in ("guarded", "agent"):
            if (layer, "handoff") in self._notes:
                return str((self._notes[layer, "handoff"] or {}).get("reason") or layer)
        sentence = " ".join(self._state.project.assistant.handoff.casefold().split())
        return "declined" if sentence and sentence in " ".join(answer.casefold().split()) else ""


class Answer(Response):
    """The response to a request for an answer, plain or streamed, in the format that was asked in. The console uses
    it too, with the key of its session.

    Raises:
        HttpError: 404, the model does not exist; 403, the key may not send a system message. While sending, 429 if the
            queue is full.
    """

    def __init__(self, state: State, key: Key, asked: Asked, trace: str = "") -> None:
        super().__init__()
        if asked.model not in state.fleet.names():
            message = f"the model '{asked.model[:100]}' does not exist; GET /v1/models lists those that do"
            raise HttpError(404, message, code="model_not_found", param="model")
        upstreams = {table.name for table in state.project.upstream}
        if asked.model not in upstreams and (param := asked.upstream_only()):
            message = f"Unsupported parameter: '{param}' is not supported with this model."
            raise HttpError(400, message, code=UNSUPPORTED, param=param)
        usual, most = state.project.assistant.max_tokens, state.project.gateway.max_tokens
        request = asked.to_request(frozenset(key.groups), key.id, usual, most)
        id = f"{asked.ID}{uuid.uuid4().hex}"
        request = request.model_copy(update={"key": key.id, "role": key.role, "exchange": id})
        need_system(key, state, request.messages)
        self.run = Run(id, state, key, asked, request, trace)
        self._state, self._key, self._streams = state, key, bool(asked.stream)
        self._envelope = asked.envelope(id)
        self._started = self._begun = self._gone = False
        self._said: list[Delta] = []  # and not sent yet
        self._unsent = 0  # characters of it
        self._news, self._taken = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = self._state
        with state.queue.admitted(self._key.id) as self._place:
            if state.audit.trouble and state.queue.open > 1:  # one request tests the audit log, the others fail early
                raise unrecorded()
            limits = limits_of(state.project, self._key, self.run.user) if state.reservations else []
            lease_s = state.project.gateway.deadline_s + GRACE_S
            async with reserved(state.reservations, limits, self.run, self.run.worst, lease_s):
                await self._handled(receive, send)

    async def _handled(self, receive: Receive, send: Send) -> None:
        try:
            await self._attended(receive, send)
        except HttpError as error:
            await self._refuse(send, await self._failed(error, "refused") if self.run.begun else error)
        except BackendError as error:
            if isinstance(error, RefusedError):
                self.run.too_long = error.code == CONTEXT_LENGTH
            else:
                log.warning("the model could not answer", exc_info=error)
            await self._refuse(send, await self._failed(refusal(error)))
        except InputError as error:  # the model is no longer served
            await self._refuse(send, await self._failed(HttpError(404, str(error), code="model_not_found")))
        except asyncio.CancelledError:  # the server stops and its time to drain is over
            await self.run.record("cancelled")
            raise
        except Exception as error:
            log.error("internal error while answering", exc_info=error)
            await self._refuse(send, await self._failed(HttpError(500, INTERNAL, "server_error")))

    async def _attended(self, receive: Receive, send: Send) -> None:
        """Answers until the client disconnects or the deadline passes."""
        watcher: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(self._state.project.gateway.deadline_s) as limit:
                watcher = asyncio.create_task(self._watch(receive, limit))
                if self._state.audit.trouble:
                    await self.run.begin()
                await self._answered(send)
        except TimeoutError:
            if self._gone:
                await self.run.record("cancelled")
                return
            raise await self._failed(HttpError(504, "the answer took too long", "server_error", "deadline")) from None
        finally:
            if watcher:
                watcher.cancel()

    async def _watch(self, receive: Receive, limit: asyncio.Timeout) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        limit.reschedule(asyncio.get_running_loop().time())

    async def _failed(self, error: HttpError, reason: str = "error") -> HttpError:
        """Records that the request failed; returns `error`, or the error of recording it."""
        try:
            await self.run.record(reason)
        except HttpError as worse:
            return worse
        return error

    async def _answered(self, send: Send) -> None:
        run, model = self.run, asyncio.create_task(self._listen())
        try:
            if self._streams:
                with suppress(TimeoutError):
                    async with asyncio.timeout(QUESTION_S):
                        await self._news.wait()
            else:
                await asyncio.wait({model}, timeout=QUESTION_S)
            if not (model.done() or run.begun):
                await run.begin()
            if self._streams:
                await self._pieces(send, model)
            await model
        finally:
            if not model.done():
                model.cancel()
                await asyncio.wait({model})
        assert run.finish is not None
        await run.record(run.finish.reason)
        await (self._end(send) if self._streams else self._plain(send))

    async def _plain(self, send: Send) -> None:
        body = json.dumps(self._envelope.plain(self.run), ensure_ascii=False, separators=(",", ":"))
        headers = {"x-inhouse-queue": str(self._place.turns)}
        self._started = True
        await _send(send, Response(body.encode("utf-8", "replace"), headers=headers, media_type="application/json"))

    async def _end(self, send: Send) -> None:
        await self._begin(send)
        rest = "".join(self._envelope.delta(d) for d in self._said)
        await _more(send, rest + self._envelope.end(self.run), more=False)

    async def _listen(self) -> None:
        """Takes what the model says at its own speed, so that a client that reads slowly does not keep its slot."""
        try:
            async with aclosing(self.run.events(self._place)) as events:
                async for event_ in events:
                    if isinstance(event_, Delta):
                        self._said.append(event_)
                        self._news.set()
                        self._unsent += len(event_.text)
                        if self._streams and self._unsent > MOST_UNSENT_CHARS:
                            self._taken.clear()
                            await self._taken.wait()
        finally:
            self._news.set()

    async def _pieces(self, send: Send, model: asyncio.Task[None]) -> None:
        """Sends what the model says until it ends; what it said last is left for the end of the stream."""
        now = asyncio.get_running_loop().time
        piece_due, alive_due = 0.0, now() + FIRST_BYTE_S
        while True:
            try:
                async with asyncio.timeout_at(alive_due):
                    await self._news.wait()
            except TimeoutError:
                await self._head(send)
                turns = self._state.queue.position(self._place)
                await _more(send, f": queued, {turns} before it is answered\n\n" if turns else ": keep-alive\n\n")
                alive_due = now() + ALIVE_S
                continue
            if not model.done() and piece_due > now():
                await asyncio.wait({model}, timeout=piece_due - now())
            if model.done():
                return
            said, self._said, self._unsent = self._said, [], 0
            self._news.clear()
            self._taken.set()
            await self.run.sent(said)
            await self._begin(send)
            await _more(send, "".join(self._envelope.delta(d) for d in said))
            piece_due, alive_due = now() + PIECE_S, now() + ALIVE_S

    async def _head(self, send: Send) -> None:
        if not self._started:
            self._started = True
            headers = STREAM_HEADERS | {"x-inhouse-queue": str(self._place.turns)}
            raw = [(k.encode(), v.encode()) for k, v in headers.items()]
            await send({"type": "http.response.start", "status": 200, "headers": raw})

    async def _begin(self, send: Send) -> None:
        """Sends what comes before the first delta."""
        await self._head(send)
        if not self._begun:
            self._begun = True
            await _more(send, self._envelope.begin(self.run))

    async def _refuse(self, send: Send, error: HttpError) -> None:
        if not self._started:
            await _send(send, error.response())
        elif self._streams:
            await _more(send, self._envelope.failed(error.body), more=False)


def unrecorded() -> HttpError:
    return unavailable("the audit log is not available, so no answer is given", "audit_unavailable")


def refusal(error: BackendError) -> HttpError:
    """The HTTP error for a failed model. Details of the engine are included only for rejected requests."""
    if isinstance(error, RefusedError):
        param = error.param or ("messages" if error.code == CONTEXT_LENGTH else None)
        return HttpError(400, str(error)[:300], code=error.code or None, param=param)
    if isinstance(error, RestartingError):
        return unavailable("the model is being restarted; try again in a moment", "model_restarting")
    return HttpError(502, "the model could not answer", "server_error", "model_failed")


async def _more(send: Send, text: str, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": text.encode("utf-8", "replace"), "more_body": more})


async def _send(send: Send, response: Response) -> None:
    await send({"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})
