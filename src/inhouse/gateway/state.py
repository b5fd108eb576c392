"""The state of a running gateway, and the interface to the models it serves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from inhouse.chat import ChatModel, ChatRequest, Exchange
from inhouse.config.sections import Project
from inhouse.gateway.budgets import Prices
from inhouse.gateway.console.seams import Insight
from inhouse.gateway.limits import Queue, Rates
from inhouse.gateway.metrics import Metrics, Traces
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.incidents import Line
from inhouse.store.keys import Keys
from inhouse.store.ratings import Ratings
from inhouse.store.reservations import Reservations
from inhouse.store.sessions import Sessions
from inhouse.store.traffic import Traffic
from inhouse.store.turns import StoredTurns
from inhouse.tools import Call, Calls
from inhouse.types import Embedder

MOST_WAITS = 100  # requests that wait for a person's reply at the same time


class Fleet(Protocol):
    """The models by name: `custom`, `base`, releases as NAME/VERSION, and upstreams."""

    def names(self) -> Sequence[str]: ...

    def model(self, name: str) -> ChatModel: ...

    async def refresh(self) -> Any:
        """Opens the releases to serve if they have changed."""
        ...

    async def settle(self, call: Call) -> Call:
        """Runs a call that was approved, or finds out what became of one."""
        ...

    def trouble(self) -> str:
        """Why a model cannot answer now; "" if all can."""
        ...

    def close(self) -> Any: ...


@dataclass
class State:
    """The state of the gateway, one per process, at `app.state.inhouse`."""

    project: Project
    fleet: Fleet
    audit: Audit
    keys: Keys
    inbox: Inbox
    feedback: Feedback
    traffic: Traffic
    embedder: Embedder | None = None
    insight: Insight | None = None  # what was built, for the console
    calls: Calls | None = None  # of tools by agents
    turns: StoredTurns | None = None  # of conversations with agents
    rates: Rates = field(default_factory=Rates)
    metrics: Metrics = field(default_factory=Metrics)
    traces: Traces = field(default_factory=Traces)
    guards: Callable[[], Sequence[Line]] = tuple  # how the canary stands
    background: tuple[Callable[[], Awaitable[None]], ...] = ()  # what runs beside the answers; it ends with the server
    observers: tuple[Callable[[Exchange, ChatRequest], None], ...] = ()  # called with each answer that is recorded
    draining: bool = False

    def __post_init__(self) -> None:
        settings = self.project.gateway
        self.queue = Queue(settings.parallel or self.project.model.parallel, settings.waiting, settings.key_parallel)
        self.waits = Queue(MOST_WAITS, 0)
        self.embedding = Queue(1, settings.waiting)  # texts are embedded beside the answers
        self.ratings = Ratings(self.keys.ledger)
        self.prices = Prices(self.project)
        self.reservations = Reservations(self.keys.ledger) if self.project.budget else None
        self.sessions = Sessions(self.keys.ledger, settings.session_idle_minutes * 60)

    def close(self) -> None:
        """Writes what is queued, and closes the models."""
        self.audit.close()
        if self.reservations is not None:
            self.reservations.close()
        self.fleet.close()
