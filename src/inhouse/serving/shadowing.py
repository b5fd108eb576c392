"""Shadow traffic: another release answers a copy of some requests after their users were answered, and nobody sees it.

It runs while a slot is free and ends at once when users need all of them; then it is tried again later. A copy has the
groups of its request, so it retrieves no more than its user may read. Releases with agents are refused, since their
tools would act twice. The answers are kept beside their exchanges (`store.shadows`), where nothing counts them.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from inhouse.assembly.wrappers import CUSTOM
from inhouse.chat import ChatModel, ChatRequest, Exchange, Reply, collect, paid
from inhouse.errors import ConfigError, InhouseError, InputError
from inhouse.gateway.metrics import Metrics
from inhouse.serving.releases import Releases, label
from inhouse.serving.state import Serving, Shadowing, Step
from inhouse.store.audit import Audit
from inhouse.store.erasure import REDACTED
from inhouse.store.shadows import Shadow
from inhouse.store.tables import now_ms, to_iso

MOST_KEPT = 200  # copies that wait for a free slot; then the oldest is dropped
TRIES = 3
LOOK_S = 0.02  # between two looks whether users need the slot
IDLE_S = 0.2
LIMIT_S = 120.0  # of one answer
COPIED = ("stop", "length", "content_filter")  # reasons of answers that are worth a comparison
log = logging.getLogger("inhouse.gateway")


def set_shadow(releases: Releases, percent: float, which: str = "") -> Serving:
    """That share of the requests is answered by the release too, unseen; 0 ends it.

    Raises:
        ConfigError: the share is not from 0 to 100, or the release is in production.
        InputError: the release has agents, or there is no such release.
    """
    if not 0 <= percent <= 100:
        raise ConfigError(f"shadow of {percent:g}%: not from 0 to 100", "0% ends it")
    if not percent:
        return releases.change(_ended)
    release = releases.get(which)
    name = label(release)
    if release.team:
        raise InputError(f"{name} has agents, whose tools would act twice", "measure it with `inhouse evaluate`")

    def change(now: Serving) -> Step:
        if name == now.production:
            raise ConfigError(f"{name} is in production already", "choose another release for the shadow")
        shadow = Shadowing(release=name, percent=percent, since=to_iso(now_ms()))
        return Step(now.model_copy(update={"shadow": shadow}), "shadow started", name)

    return releases.change(change)


def _ended(now: Serving) -> Step | None:
    if now.shadow is None:
        return None
    return Step(now.model_copy(update={"shadow": None}), "shadow stopped", now.shadow.release)


class Shadows:
    """The copies of a server process, and the task that answers them.

    Args:
        serving: what is served now.
        model: the model with a name.
        audit: keeps the answers.
        spare: whether a slot is free that no user waits for.
        handoff: the sentence with which the assistant passes someone to a person.
        metrics: of the process.
    """

    def __init__(
        self, serving: Callable[[], Serving], model: Callable[[str], ChatModel], audit: Audit,
        spare: Callable[[], bool], handoff: str, metrics: Metrics,
    ) -> None:  # fmt: skip
        self._serving, self._model, self._audit = serving, model, audit
        self._spare, self._metrics = spare, metrics
        self._handoff = " ".join(handoff.casefold().split())
        self._shadow: Shadowing | None = None
        self._copies: deque[tuple[Exchange, ChatRequest, int]] = deque()
        self._random = random.Random()  # noqa: S311  a sample, not a secret

    def observe(self, exchange: Exchange, request: ChatRequest) -> None:
        """Takes a copy of an answered request, if it is one of the share; it waits for nothing."""
        shadow = self._shadow
        if shadow is None or exchange.model != CUSTOM or exchange.reason not in COPIED or exchange.reused:
            return
        if exchange.release != shadow.release and self._random.random() * 100 < shadow.percent:
            if len(self._copies) >= MOST_KEPT:
                self._copies.popleft()
                self._metrics.shadows.labels("dropped").inc()
            self._copies.append((exchange, request, 0))

    async def run(self) -> None:
        """Answers copies until it is cancelled."""
        looked, now = 0.0, asyncio.get_running_loop().time
        while True:
            try:
                if now() > looked:
                    self._shadow = (await asyncio.to_thread(self._serving)).shadow
                    looked = now() + 1.0
                if self._shadow is None:
                    self._copies.clear()
                if self._copies and self._spare():
                    await self._answer(self._shadow, *self._copies.popleft())
                    continue
            except InhouseError as error:
                log.warning("a shadow answer failed", exc_info=error)
            except Exception as error:
                log.error("the shadow failed", exc_info=error)
            await asyncio.sleep(IDLE_S)

    async def _answer(self, shadow: Shadowing | None, exchange: Exchange, request: ChatRequest, tries: int) -> None:
        if shadow is None:
            return
        try:
            asking = asyncio.create_task(collect(self._model(shadow.release), request))
        except InputError:  # not open yet
            self._copies.append((exchange, request, tries))
            await asyncio.sleep(IDLE_S)
            return
        try:
            if not await self._alone(asking):
                if tries + 1 < TRIES:
                    self._copies.append((exchange, request, tries + 1))
                self._metrics.shadows.labels("interrupted").inc()
                return
            kept = self._kept(exchange, shadow.release, asking)
        finally:
            if not asking.done():
                asking.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await asking
        stored = await asyncio.to_thread(self._audit.get, exchange.id)
        if stored is not None and stored.answer != REDACTED:
            await self._audit.shadowed(kept)
            self._metrics.shadows.labels(kept.reason).inc()

    async def _alone(self, asking: asyncio.Task[Reply]) -> bool:
        """Whether the answer was complete before users needed its slot."""
        until = asyncio.get_running_loop().time() + LIMIT_S
        while not asking.done():
            if not self._spare() or asyncio.get_running_loop().time() > until:
                return False
            await asyncio.wait({asking}, timeout=LOOK_S)
        return True

    def _kept(self, exchange: Exchange, release: str, asking: asyncio.Task[Reply]) -> Shadow:
        if (error := asking.exception()) is not None:
            if not isinstance(error, InhouseError):
                raise error
            return Shadow(exchange=exchange.id, release=release, answer="", reason="error")
        reply = asking.result()
        handed = reply.note("guarded", "handoff") is not None or (
            bool(self._handoff) and self._handoff in " ".join(reply.text.casefold().split())
        )
        return Shadow(
            exchange=exchange.id, release=release, answer=reply.text, reason=reply.finish.reason, handed_off=handed,
            confidence=reply.finish.confidence, latency_s=round(reply.latency_s, 4),
            completion_tokens=reply.finish.usage.completion_tokens,
            elsewhere_usd=paid(reply.note("cascade", "rung"), "elsewhere"),
        )  # fmt: skip
