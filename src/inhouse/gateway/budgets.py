"""Prices of requests, and budgets: what a request may use is reserved before a model is asked, or it gets 429.

What an answer used is settled with its record. The most that it may use: an engine of this server has `context_tokens`
for prompt and answer together, once for each rung of a cascade, and at most the deadline of machine time; a model
elsewhere has a token for each byte of the request, and max_tokens; a rung has its price. An answer that was cut off has
no count of tokens: it is charged at the most that it may have used.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from inhouse.chat import ChatRequest, Usage
from inhouse.config.prices import check_prices
from inhouse.config.sections import Project
from inhouse.errors import BackendError
from inhouse.gateway.errors import HttpError, unavailable
from inhouse.store.budgets import NANO, Amount, Budgets, Limit, Refusal, Settlement
from inhouse.store.keys import Key, Keys
from inhouse.store.ledger import Ledger
from inhouse.store.reservations import Reservations
from inhouse.store.tables import now_ms, to_ms
from inhouse.types import Json, Record

GRACE_S = 15.0  # after the deadline, until a model has stopped
LEASE_S = 60.0  # after that, until a reservation is charged
MESSAGE_TOKENS = 32  # that the template of a model elsewhere adds to a message
EMBEDDED_PER_S = 200.0  # tokens that are embedded in a second, at least
Notes = Mapping[tuple[str, str], Json]


class Prices:
    """Prices of the models of a project."""

    def __init__(self, project: Project) -> None:
        check_prices(project)
        self._project = project
        self._per_s = (project.costs.machine_usd_per_hour or project.model.usd_per_hour) / 3600
        self._upstreams = {table.name: table for table in project.upstream}
        self._prices = {p.upstream: p for p in project.costs.price}
        self._rungs = project.cascade.rung if len(project.cascade.rung) > 1 else ()

    def worst(self, model: str, request: ChatRequest) -> Amount:
        """The most that a request to a model may use, with those that answer if it fails."""
        context, longest_s = self._project.model.context_tokens, self._project.gateway.deadline_s + GRACE_S
        usd, tokens = longest_s * self._per_s, 0
        for name in self._chain(model):
            if name in self._upstreams:
                prompt = _bytes(request) + MESSAGE_TOKENS * (len(request.messages) + 1)
                usd += self._tokens_usd(name, prompt, request.max_tokens)
                tokens += prompt + request.max_tokens
            else:
                rungs = self._rungs if name != "base" else ()
                tokens += context * max(1, len(rungs)) + (_bytes(request) if any(r.upstream for r in rungs) else 0)
                usd += sum(rung.usd for rung in rungs)
        return Amount(math.ceil(usd * NANO), tokens, 1)

    def texts(self, texts: Sequence[str]) -> Amount:
        """The most that embedding texts may use: a token for each byte, and those that begin and end their parts."""
        tokens = sum(len(text.encode("utf-8", "surrogatepass")) * 33 // 32 + 16 for text in texts)
        return Amount(math.ceil(self.machine_usd(tokens / EMBEDDED_PER_S + 1) * NANO), tokens, 1)

    def machine_usd(self, seconds: float) -> float:
        """Price of the machine for a time."""
        return seconds * self._per_s

    def cost(self, model: str, request: ChatRequest, notes: Notes, usage: Usage | None, machine_s: float) -> float:
        """What an answer cost, in US dollars; `usage` is None if it was cut off, and not known."""
        if rung := notes.get(("cascade", "rung")):
            return float(rung["usd"])
        served = (notes.get(("fallback", "served")) or {}).get("model", model)
        if usage is None and (served in self._prices or (self._rungs and served not in self._upstreams)):
            return self.worst(model, request).usd
        if served in self._prices and usage is not None:
            return self._tokens_usd(served, usage.prompt_tokens, usage.completion_tokens)
        return self.machine_usd(machine_s)

    def _tokens_usd(self, name: str, prompt: int, answer: int) -> float:
        if (price := self._prices.get(name)) is None:
            return 0.0
        return (prompt * price.usd_per_million_prompt + answer * price.usd_per_million_answer) / 1e6

    def _chain(self, model: str) -> list[str]:
        """A model and those that are asked if it fails, each once."""
        chain, ahead = [], [model]
        while ahead:
            if (name := ahead.pop(0)) not in chain:
                chain.append(name)
                ahead += self._upstreams[name].fallback if name in self._upstreams else ()
        return chain


def _bytes(request: ChatRequest) -> int:
    """Of all that a request sends; a token has at least one."""
    sent: Json = [[m.to_openai() for m in request.messages], request.extra, request.json_schema]
    return len(json.dumps(sent, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def limits_of(project: Project, key: Key, user: str) -> list[Limit]:
    """The budgets that a request counts for. One with a name takes the place of those without."""
    subjects: dict[str, list[tuple[str, Iterable[str]]]] = {
        "project": [("", ("",))],
        "team": [(group, (group,)) for group in key.groups],
        "key": [(key.id, (key.id, key.name))],
        "user": [(user, (user,))],
    }
    found = []
    for per, period in dict.fromkeys((table.per, table.period) for table in project.budget):
        tables = [t for t in project.budget if (t.per, t.period) == (per, period)]
        for subject, names in subjects[per]:
            own = [t for t in tables if t.of and t.of in names] or [t for t in tables if not t.of]
            for t in own:
                most = Amount.of(t.usd, t.tokens, t.requests)
                found.append(Limit(per=per, subject=subject, period=period, most=most, alert_at=t.alert_at))
    return found


class BudgetLine(Record):
    """A budget in this day or month, in words; `share` is the largest share used of what it limits."""

    name: str
    used: str
    held: str
    limit: str
    left: str
    share: float
    resets_at: str


def budget_lines(project: Project, ledger: Ledger) -> list[BudgetLine]:
    """What was used of each budget that is set, those that used the largest share first. A user is named as long as
    the audit log names them."""
    budgets, keys = Budgets(ledger), {key.id: key.name for key in Keys(ledger).all()}
    uses = budgets.used()
    users = budgets.users(min((u.start for u in uses if u.per == "user"), default=""))
    lines = []
    for use in uses:
        subject = users.get(use.subject, use.subject[:15]) if use.per == "user" else use.subject
        names = (subject, keys.get(subject, subject))
        tables = [t for t in project.budget if (t.per, t.period) == (use.per, use.period)]
        for t in [t for t in tables if t.of and t.of in names] or [t for t in tables if not t.of]:
            most = Amount.of(t.usd, t.tokens, t.requests)
            left = Amount(*(max(0, m - s - h) for m, s, h in zip(most, use.spent, use.held, strict=True)))
            share = max(s / m for m, s in zip(most, use.spent, strict=True) if m)
            whose = "project" if use.per == "project" else f"{use.per} {names[1]}"
            used, held, limit, rest = (in_words(a, most) for a in (use.spent, use.held, most, left))
            lines.append(BudgetLine(name=f"{whose}, this {use.period}", used=used, held=held, limit=limit, left=rest,
                                    share=share, resets_at=use.resets_at))  # fmt: skip
    return sorted(lines, key=lambda line: -line.share)


def in_words(amount: Amount, limited: Amount) -> str:
    """What is limited of an amount."""
    usd = f"${amount.usd:,.2f}" if amount.usd >= 0.1 or not amount.nano_usd else f"${amount.usd:.6f}"
    words = (usd, f"{amount.tokens:,} tokens", f"{amount.requests:,} requests")
    return ", ".join(w for w, m in zip(words, limited, strict=True) if m)


class Budgeted(Protocol):
    """A request whose amount is reserved: whether a model was `asked`, and whether what it used was `settled`."""

    id: str
    hold: Amount | None
    asked: bool
    settled: bool


@asynccontextmanager
async def reserved(
    reservations: Reservations | None, limits: list[Limit], run: Budgeted, worst: Callable[[], Amount], lease_s: float
) -> AsyncIterator[None]:
    """Reserves `worst` for the time of the block, and sets `run.hold`. What is not settled by then is given back if no
    model was asked; if one was, it is charged when the lease ends.

    Raises:
        HttpError: 429, a budget has not enough left; 503, the database fails.
    """
    if reservations is None or not limits:
        yield
        return
    try:
        run.hold = await _held(reservations, limits, run, worst(), lease_s)
        yield
    finally:
        if not (run.asked or run.settled):
            reservations.release(run.id)


async def _held(
    reservations: Reservations, limits: list[Limit], run: Budgeted, worst: Amount, lease_s: float
) -> Amount:
    try:
        refusal = await reservations.reserve(run.id, limits, worst, round(1000 * (lease_s + LEASE_S)))
    except BackendError as error:
        raise unavailable("budgets cannot be checked", "store_unavailable") from error
    if refusal is not None:
        run.settled = True
        raise too_little(refusal)
    return worst


def settlement(run: Budgeted, usd: float, usage: Usage | None) -> Settlement | None:
    """What a request used; `usage` is None if that is not known. None where nothing is reserved."""
    if run.hold is None:
        return None
    if not run.asked:
        return Settlement(run.id, Amount())
    tokens = run.hold.tokens if usage is None else usage.prompt_tokens + usage.completion_tokens
    return Settlement(run.id, Amount.of(usd, tokens, 1))


def too_little(refusal: Refusal) -> HttpError:
    """429 with what is left of the budget, and when it is full again."""
    reset_s = max(1, (to_ms(refusal.resets_at) - now_ms()) // 1000)
    unit = {"nano_usd": "USD", "tokens": "tokens", "requests": "requests"}[refusal.unit]
    left, most, wanted = (_shown(a, refusal.unit) for a in (refusal.left, refusal.limit.most, refusal.wanted))
    then = "try again when the requests that are being answered have ended" if refusal.waits else "it is used up"
    message = (
        f"The {refusal.limit.name} has {left} of {most} {unit} left, and this request may use {wanted}: {then}. "
        f"It resets at {refusal.resets_at}."
    )
    headers = {
        "Retry-After": "1" if refusal.waits else str(reset_s),
        "x-inhouse-budget-remaining": f"{left} {unit}",
        "x-inhouse-budget-reset": refusal.resets_at,
        **({} if refusal.waits else {"x-should-retry": "false"}),  # for OpenAI's clients
    }
    code = "rate_limit_exceeded" if refusal.waits else "insufficient_quota"
    return HttpError(429, message, "requests" if refusal.waits else "insufficient_quota", code, headers=headers)


def _shown(amount: Amount, unit: str) -> str:
    return f"{amount.usd:.6f}".rstrip("0").rstrip(".") if unit == "nano_usd" else f"{getattr(amount, unit)}"


async def settled(reservations: Reservations | None, of: Settlement | None) -> None:
    """Settles what the audit log does not record.

    Raises:
        HttpError: 503, the database fails.
    """
    if reservations is None or of is None:
        return
    try:
        await asyncio.to_thread(reservations.settle, of)
    except BackendError as error:
        raise unavailable("budgets cannot be written", "store_unavailable") from error
