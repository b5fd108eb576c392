"""What answers cost, and what a resolution costs, with intervals over users.

A **case** is a conversation: its answers, the person's time if it was handed off, and whether its end was accepted. A
case is accepted if a model answered it, nobody took over, nobody said that it was wrong or not resolved, and the same
user did not come back with the same question within some days: a reopened case is never resolved. Users who are not
named cannot be seen to come back; each of their cases counts as a user.

Ratios (cost per accepted resolution, escalations per case) have Fieller's interval (1954, "Some problems in interval
estimation", JRSS B 16) over the users' sums, because one user's cases are alike: the values of R for which the mean of
y - R x over users is not significantly different from 0. It holds where the ratio is skewed and the delta method does
not. Satisfaction and the like are such ratios too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from inhouse.text.words import content_words
from inhouse.types import Array, Contact, Estimate, Record

DAY_MS = 86_400_000
CONVERSATION_MS = DAY_MS  # a conversation that rests for longer goes on as a new case
FEWEST = 10  # users; with fewer there is no interval


class Terms(Record):
    """Prices and rules, from [costs].

    Attributes:
        machine_usd_per_hour: price of the machines, whether they answer or wait.
        person_usd_per_hour: price of the people who answer the inbox.
        minutes_per_handoff: of a person, for a conversation without a reply yet.
        most_minutes: of a person that count for one conversation.
        reopened_days: within which a user who comes back with the same question was not helped.
        similar: share of words in common (Jaccard) of the same question.
    """

    machine_usd_per_hour: float = 0.1
    person_usd_per_hour: float = 30.0
    minutes_per_handoff: float = 6.0
    most_minutes: float = 15.0
    reopened_days: float = 7.0
    similar: float = 0.5


class Case(NamedTuple):
    """A conversation: who (`user` is made up where none was named), when, and what came of it."""

    user: str
    arm: str
    split: bool  # whether a live experiment chose the arm
    at_ms: int
    answers: int
    model_usd: float
    minutes: float  # of a person
    handed_off: bool
    accepted: bool
    confirmed: bool  # a person said that it was resolved
    reopened: bool  # by a later case
    repeat: bool  # it reopens an earlier one
    thumbs_up: int
    thumbs_down: int


class Figures(Record):
    """What an arm costs and reaches; None where nothing is known of it.

    Attributes:
        cases: conversations.
        users: who had them.
        named: share of the cases whose user is named.
        confirmed: share of the accepted cases that a person confirmed.
        first_contact: share of the first cases of their question that were accepted.
        escalation: share of the cases that a person took over.
        reopened: share of the cases that were opened again.
        usd_per_escalation: people's time for one of these. US dollars.
        minutes_per_escalation: minutes of it.
        satisfaction: share of thumbs up.
        usd_per_case: of models, for one case.
        usd_per_resolution: models and people, for one accepted case.
        provisional: whether cases are so young that they may still be reopened.
    """

    cases: int
    users: int
    named: float
    confirmed: float
    first_contact: Estimate | None
    escalation: Estimate | None
    reopened: Estimate | None
    usd_per_escalation: Estimate | None
    minutes_per_escalation: Estimate | None
    satisfaction: Estimate | None
    usd_per_case: Estimate | None
    usd_per_resolution: Estimate | None
    provisional: bool = False


class Spending(Record):
    """Where the money of a period went, in US dollars; `busy` and `idle` are the machines while they answer and wait.

    `elsewhere` are models of others, `shadows` what these were paid for answers that nobody saw. `person_minutes` are
    those of `people`; `answers` and `resolutions` what it was for.
    """

    days: float
    busy: float
    idle: float
    elsewhere: float
    people: float
    person_minutes: float
    answers: int
    resolutions: int
    usd_per_resolution: Estimate | None  # of all of it, with the idle time
    shadows: float = 0.0

    @property
    def total(self) -> float:
        return self.busy + self.idle + self.elsewhere + self.people + self.shadows


# --- cases ------------------------------------------------------------------------------------------------------


class _Open:
    """A case while its contacts are read."""

    def __init__(self, contact: Contact, user: str, words: frozenset[str]) -> None:
        self.user, self.first, self.words = user, contact.first, [words]
        self.contacts = [contact]
        self.reopened = self.repeat = False

    def closed(self, terms: Terms) -> Case:
        rows = self.contacts
        handed = [c for c in rows if c.handed_off]
        minutes = [terms.minutes_per_handoff if c.waited_min is None else max(0.0, c.waited_min) for c in handed]
        verdicts = [c.resolved for c in rows if c.resolved is not None]
        denied = any(c.thumb < 0 for c in rows) or False in verdicts
        accepted = not (handed or denied or self.reopened or all(c.failed for c in rows))
        return Case(
            user=self.user, arm=rows[0].arm, split=rows[0].split, at_ms=rows[0].at_ms, answers=len(rows),
            model_usd=sum(c.cost_usd for c in rows), minutes=sum(min(m, terms.most_minutes) for m in minutes),
            handed_off=bool(handed), accepted=accepted, confirmed=accepted and True in verdicts, reopened=self.reopened,
            repeat=self.repeat, thumbs_up=sum(c.thumb > 0 for c in rows), thumbs_down=sum(c.thumb < 0 for c in rows),
        )  # fmt: skip


def cases_of(contacts: Sequence[Contact], terms: Terms) -> list[Case]:
    """The conversations of answers, which are given oldest first.

    A message with earlier ones continues the user's latest conversation that began with the same message, if that was
    less than a day ago. A message of a named user that has at least `terms.similar` of its words in common with a
    question of an earlier case reopens that case, and a wish for a person reopens the latest one.
    """
    made: list[_Open] = []
    by_user: dict[str, list[_Open]] = {}
    for n, contact in enumerate(contacts):
        words = frozenset(content_words(contact.question))
        if contact.user:
            own = by_user.setdefault(f"u:{contact.user}", [])
        else:
            own = by_user.setdefault(f"c:{contact.first}", [])
        if contact.turn > 1 and (going := _continued(own, contact)):
            going.contacts.append(contact)
            going.words.append(words)
            continue
        case = _Open(contact, (contact.user and f"u:{contact.user}") or f"c:{n}", words)
        if contact.user:
            for earlier in _reopens(own, contact, words, terms):
                earlier.reopened = case.repeat = True
        own.append(case)
        made.append(case)
    return [case.closed(terms) for case in made]


def _continued(own: Sequence[_Open], contact: Contact) -> _Open | None:
    for case in reversed(own):
        if contact.at_ms - case.contacts[-1].at_ms > CONVERSATION_MS:
            return None
        if case.first == contact.first and len(case.contacts) < contact.turn:
            return case
    return None


def _reopens(own: Sequence[_Open], contact: Contact, words: frozenset[str], terms: Terms) -> list[_Open]:
    oldest = contact.at_ms - terms.reopened_days * DAY_MS
    recent = [case for case in own[-20:] if case.contacts[-1].at_ms >= oldest]
    if contact.wish:
        return recent[-1:]
    return [c for c in recent if any(len(words & w) >= terms.similar * len(words | w) for w in c.words if w)]


# --- figures ----------------------------------------------------------------------------------------------------


def ratio(y: Array, x: Array, fixed: float = 0.0) -> Estimate | None:
    """Sum of y over sum of x with Fieller's 95 % interval; None where x is 0.

    Args:
        y: of each user, shape (n,).
        x: of each user, shape (n,).
        fixed: added to the sum of y; it does not vary.
    """
    import numpy as np
    from scipy.stats import t

    n, sum_x = len(x), float(np.sum(x))
    if sum_x <= 0:
        return None
    mean = (float(np.sum(y)) + fixed) / sum_x
    if n < FEWEST:
        return Estimate(mean=mean, low=-math.inf, high=math.inf, n=n)
    my, mx = float(np.sum(y) + fixed) / n, sum_x / n
    syy, sxx = float(np.var(y, ddof=1)) / n, float(np.var(x, ddof=1)) / n
    sxy = float(np.cov(y, x, ddof=1)[0, 1]) / n
    q = float(t.ppf(0.975, n - 1)) ** 2
    a, b, c = mx * mx - q * sxx, my * mx - q * sxy, my * my - q * syy
    if a <= 0:  # x is not significantly above 0: there is no bounded interval
        return Estimate(mean=mean, low=-math.inf, high=math.inf, n=n)
    half = math.sqrt(max(b * b - a * c, 0.0))
    return Estimate(mean=mean, low=(b - half) / a, high=(b + half) / a, n=n)


def share(y: Array, x: Array) -> Estimate | None:
    """A ratio that lies in [0, 1]. If all or none are y, the rule of three widens it (Hanley, Lippman-Hand 1983)."""
    found = ratio(y, x)
    if found is None or math.isinf(found.low):
        return found and found.model_copy(update={"low": 0.0, "high": 1.0})
    low, high = max(0.0, found.low), min(1.0, found.high)
    if found.mean in (0.0, 1.0):
        wide = min(1.0, 3 / found.n)
        low, high = (0.0, wide) if found.mean == 0.0 else (1.0 - wide, 1.0)
    return found.model_copy(update={"low": low, "high": high})


def figures(cases: Sequence[Case], terms: Terms, until_ms: int) -> Figures:
    """What cases cost and came to. Cases that may still be reopened at `until_ms` do not count for what was resolved,
    unless all are so young."""
    import numpy as np

    users = {user: n for n, user in enumerate(dict.fromkeys(c.user for c in cases))}
    at = np.array([users[c.user] for c in cases], dtype=int)

    def by_user(values: Sequence[float]) -> Array:
        if not users:
            return np.zeros(0)
        return np.bincount(at, weights=np.asarray(values, dtype=float), minlength=len(users)).astype(np.float64)

    old = [c.at_ms <= until_ms - terms.reopened_days * DAY_MS for c in cases]
    provisional = not any(old)
    ripe = [True] * len(cases) if provisional else old
    per_minute = terms.person_usd_per_hour / 60
    ones, handed = by_user([1.0] * len(cases)), by_user([c.handed_off for c in cases])
    accepted = [c.accepted and r for c, r in zip(cases, ripe, strict=True)]
    usd = [c.model_usd + per_minute * c.minutes for c in cases]
    busy = handed > 0
    minutes = by_user([c.minutes for c in cases])
    thumbs = by_user([c.thumbs_up + c.thumbs_down for c in cases])
    said = thumbs > 0
    escalated = ratio(minutes[busy], handed[busy])
    return Figures(
        cases=len(cases), users=len(users), named=_part([c.user.startswith("u:") for c in cases]),
        confirmed=_part([c.confirmed for c in cases if c.accepted]),
        first_contact=share(
            by_user([a and not c.repeat for a, c in zip(accepted, cases, strict=True)]),
            by_user([r and not c.repeat for r, c in zip(ripe, cases, strict=True)]),
        ),
        escalation=share(handed, ones),
        reopened=share(by_user([c.reopened and r for c, r in zip(cases, ripe, strict=True)]), by_user(ripe)),
        usd_per_escalation=_scaled(escalated, per_minute),
        minutes_per_escalation=escalated,
        satisfaction=share(by_user([c.thumbs_up for c in cases])[said], thumbs[said]),
        usd_per_case=ratio(by_user([c.model_usd for c in cases]), ones),
        usd_per_resolution=ratio(by_user([u * r for u, r in zip(usd, ripe, strict=True)]), by_user(accepted)),
        provisional=provisional,
    )  # fmt: skip


def _part(values: Sequence[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def _scaled(estimate: Estimate | None, by: float) -> Estimate | None:
    if estimate is None:
        return None
    return Estimate(mean=by * estimate.mean, low=by * estimate.low, high=by * estimate.high, n=estimate.n)


def spending(
    cases: Sequence[Case], terms: Terms, days: float, elsewhere_usd: float = 0.0, shadows_usd: float = 0.0
) -> Spending:
    """Where the money of a period went.

    Args:
        cases: of the period.
        terms: prices.
        days: its length, in which the machines ran.
        elsewhere_usd: what of the cost of answers was paid to others.
        shadows_usd: what was paid to others for shadow answers.
    """
    import numpy as np

    users = {user: n for n, user in enumerate(dict.fromkeys(c.user for c in cases))}
    usd, done = np.zeros(len(users)), np.zeros(len(users))
    for c in cases:
        usd[users[c.user]] += c.model_usd + terms.person_usd_per_hour / 60 * c.minutes
        done[users[c.user]] += c.accepted
    busy = max(0.0, sum(c.model_usd for c in cases) - elsewhere_usd)
    idle = max(0.0, 24 * days * terms.machine_usd_per_hour - busy)
    minutes = sum(c.minutes for c in cases)
    return Spending(
        days=days, busy=busy, idle=idle, elsewhere=elsewhere_usd, people=minutes / 60 * terms.person_usd_per_hour,
        person_minutes=minutes, answers=sum(c.answers for c in cases), resolutions=int(done.sum()),
        usd_per_resolution=ratio(usd, done, fixed=idle + shadows_usd) if users else None, shadows=shadows_usd,
    )  # fmt: skip
