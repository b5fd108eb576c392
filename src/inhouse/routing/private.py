"""A model elsewhere that sees no personal data: what goes to it has surrogates, and what it answers has them no more.

Three policies, by the groups of the user: `local-only` is answered here, `surrogates` as above, `clear` as it is. What
leaves is recorded before it does; what cannot be recorded does not. A remote model that fails, or says nothing in
time, is replaced by the local one until the first byte is out; after that its error ends the answer, and nothing is
retracted.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Egress, Finish, Note, streaming
from inhouse.errors import BackendError, RefusedError
from inhouse.routing.outgoing import Role, rewritten
from inhouse.routing.restore import Stream, Table
from inhouse.routing.surrogates import REPLACED, Conversation, Surrogates
from inhouse.types import Json, Message, Span, canonical_json, digest_of

Policy = Literal["local-only", "surrogates", "clear"]
STRICTEST: tuple[Policy, ...] = ("local-only", "surrogates", "clear")
Find = Callable[[Sequence[Message]], Sequence[Sequence[Span]]]
"""The personal data in each message, without overlaps."""
Send = Callable[[Egress], Awaitable[object]]


@dataclass(frozen=True)
class Rules:
    """What may leave, and how.

    Attributes:
        default: the policy of users in none of the `groups`.
        groups: the policy by group; of several the strictest.
        never: more kinds of personal data that never leave.
    """

    default: Policy = "local-only"
    groups: Mapping[str, Policy] = field(default_factory=dict)
    never: frozenset[str] = frozenset()

    def of(self, groups: frozenset[str]) -> Policy:
        """The policy of a user in these groups."""
        return min((self.groups[g] for g in groups if g in self.groups), key=STRICTEST.index, default=self.default)


class Leaving(NamedTuple):
    """A request as it leaves, the way back, and what is recorded of it."""

    request: ChatRequest
    back: Table
    egress: Egress


class Private:
    """A ChatModel. Its note of layer "private" says what left (kind "egress"), or why nothing did (kind "local").

    Log-probabilities are not asked for under `surrogates`: their tokens are of what the remote model wrote.

    Args:
        name: of this model.
        remote: answers elsewhere.
        local: answers here where nothing may leave, or the remote model fails; None if nothing does.
        find: finds personal data.
        rules: what may leave.
        secret: of the surrogates.
        record: writes down what leaves, before it does.
    """

    def __init__(
        self, name: str, remote: ChatModel, local: ChatModel | None, find: Find, rules: Rules, secret: bytes,
        record: Send,
    ) -> None:  # fmt: skip
        self.name = name
        self._remote, self._local, self._find = remote, local, find
        self._rules, self._secret, self._record = rules, secret, record

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields the remote model's answer with the user's own values, or the local one's.

        Raises:
            RefusedError: the model rejects the request.
            BackendError: nothing may leave and there is no local model; the remote one failed after its first byte;
                what leaves could not be recorded, and there is no local model.
        """
        policy = self._rules.of(request.groups)
        why, said = "the policy of the user's groups", False
        if policy != "local-only":
            try:
                leaving = await asyncio.to_thread(self.leaving, request, policy)
                await self._record(leaving.egress)
                async with aclosing(self._asked(leaving)) as events:
                    async for event in events:
                        said = said or isinstance(event, Delta)
                        yield event
                return
            except RefusedError:
                raise
            except BackendError as error:
                if said:
                    raise
                why = str(error)
        if self._local is None:
            raise BackendError(f"{self.name}: nothing leaves this machine ({why}), and no local model is set",
                               "set `local` in [[private]], or allow it to the user's groups")  # fmt: skip
        yield Note(layer="private", kind="local", data={"model": self._local.name, "why": why})
        async with streaming(self._local, request) as events:
            async for event in events:
                yield event

    def leaving(self, request: ChatRequest, policy: Policy) -> Leaving:
        """What leaves for a request.

        Raises:
            BackendError: it has more personal data than is replaced.
        """
        clear = policy == "clear"
        sent, dropped, surrogates = self._replaced(request, only_never=clear)
        if request.logprobs is not None and not clear:
            sent, dropped = sent.model_copy(update={"logprobs": None}), (*dropped, "logprobs")
        body = canonical_json(sent.model_dump(mode="json", exclude_defaults=True)).encode("utf-8", "surrogatepass")
        counts = surrogates.counts
        kept = {kind for kind in REPLACED if not self._stays(kind)}
        egress = Egress(
            exchange=request.exchange, upstream=self.name, policy="clear" if clear else "surrogates",
            sha256=hashlib.sha256(body).hexdigest(), bytes=len(body), dropped=dropped,
            replaced={k: n for k, n in sorted(counts.items()) if k in kept},
            removed={k: n for k, n in sorted(counts.items()) if k not in kept},
        )  # fmt: skip
        return Leaving(sent, surrogates.back(), egress)

    def _stays(self, kind: str) -> bool:
        """Whether values of this kind never leave."""
        return kind not in REPLACED or kind in self._rules.never

    # --- on the way out -----------------------------------------------------------------------------------------

    def _replaced(
        self, request: ChatRequest, only_never: bool
    ) -> tuple[ChatRequest, tuple[str, ...], Surrogates]:  # fmt: skip
        """The request with surrogates, the fields that are not sent, and the surrogates; with `only_never` it is as it
        was but for values that never leave."""
        said: list[tuple[str, Role, str]] = []

        def collect(text: str, role: Role, key: str) -> str:
            said.append((text, role, key))
            return text

        rewritten(request, collect)
        first = next((m.content for m in request.messages if m.role == "user"), "")
        id = digest_of([request.key, request.user, request.scope, request.conversation or first])
        conversation = Conversation(self._secret, id, self._rules.never)
        surrogates = Surrogates(conversation, [text for text, _, _ in said])
        found = self._found(said)
        if only_never:
            found = [[span for span in spans if self._stays(span.kind)] for spans in found]
        for (text, _, _), spans in zip(said, found, strict=True):
            surrogates.learn(text, spans)
        in_order = iter(found)
        sent, dropped = rewritten(request, lambda text, role, key: surrogates(text, next(in_order)))
        return sent, dropped, surrogates

    def _found(self, said: Sequence[tuple[str, Role, str]]) -> list[list[Span]]:
        """The personal data in each text. Texts of JSON are read with their keys, which may say what they are."""
        spoken = [n for n, (_, role, key) in enumerate(said) if role != "tool" and not key]
        data = [n for n, (text, _, _) in enumerate(said) if n not in set(spoken) and text]
        found: list[list[Span]] = [[] for _ in said]
        turns = [Message(role=said[n][1], content=said[n][0]) for n in spoken]
        for n, spans in zip(spoken, self._find(turns), strict=True):
            found[n] = list(spans)
        labels = [f"{said[n][2].replace('_', ' ')}: " if said[n][2] else "" for n in data]
        turns = [Message(role="user", content=label + said[n][0]) for n, label in zip(data, labels, strict=True)]
        for n, label, spans in zip(data, labels, self._find(turns), strict=True):
            shifted = (Span(max(s.start - len(label), 0), s.end - len(label), s.kind) for s in spans)
            found[n] = [s for s in shifted if s.end > s.start]
        return found

    # --- on the way back ----------------------------------------------------------------------------------------

    async def _asked(self, leaving: Leaving) -> AsyncGenerator[ChatEvent]:
        restoring = _Restoring(leaving.back)
        begun = False
        try:
            async with streaming(self._remote, leaving.request) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        for rest in restoring.rest():
                            yield rest
                        yield Note(layer="private", kind="egress", data=_shown(leaving.egress, restoring.count))
                        yield event
                        return
                    begun = begun or isinstance(event, Delta)
                    if (restored := restoring(event)) is not None:
                        yield restored
            raise BackendError(f"{self.name} ended its answer without a finish event")
        except RefusedError as error:
            message = leaving.back(str(error))
            raise RefusedError(message, error.hint, error.code, error.param) from error
        except BackendError:
            if begun and (text := restoring.text.cut()):
                yield Delta(text=text)
            raise


class _Restoring:
    """The events of one answer with the originals in place of their surrogates."""

    def __init__(self, table: Table) -> None:
        self.text = Stream(table)
        self._table = table
        self._arguments: dict[int, Stream] = {}  # of calls of tools, by their index

    @property
    def count(self) -> int:
        return self.text.replaced + sum(s.replaced for s in self._arguments.values())

    def __call__(self, event: ChatEvent) -> ChatEvent | None:
        """The event; None where all of it is held back."""
        if not isinstance(event, Delta):
            return event
        text = self.text.feed(event.text) if event.text else ""
        calls = tuple(self._call(call, n) for n, call in enumerate(event.tool_calls))
        if not (text or calls or event.logprobs):
            return None
        return event.model_copy(update={"text": text, "tool_calls": calls})

    def rest(self) -> list[Delta]:
        """What was held back, at the end of the answer."""
        deltas = []
        if text := self.text.feed("", last=True):
            deltas.append(Delta(text=text))
        for index, stream in sorted(self._arguments.items()):
            if text := stream.feed("", last=True):
                deltas.append(Delta(text="", tool_calls=({"index": index, "function": {"arguments": text}},)))
        return deltas

    def _call(self, call: dict[str, Json], place: int) -> dict[str, Json]:
        function = call.get("function")
        whole = {k: self._table(v) if isinstance(v, str) else v for k, v in call.items() if k != "function"}
        if not isinstance(function, dict):
            return whole
        said = {k: self._table(v) if isinstance(v, str) else v for k, v in function.items() if k != "arguments"}
        if function.get("arguments"):
            index = call.get("index", place)
            stream = self._arguments.setdefault(index, Stream(self._table))
            said["arguments"] = stream.feed(str(function["arguments"]))
        elif "arguments" in function:
            said["arguments"] = function["arguments"]
        return {**whole, "function": said}


def _shown(egress: Egress, restored: int) -> Json:
    facts = egress.model_dump(mode="json", exclude={"exchange"}, exclude_defaults=True)
    return {**facts, "restored": restored}
