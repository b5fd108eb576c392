"""Drift: what has changed in live traffic, whether it does harm, and what to do about it.

The last days are compared with usual traffic: that of the first weeks of the release. A change is an alarm only if it
is certainly larger than what does no harm, at a level at which all monitors together raise less than one false alarm in
a month of daily looks (`windows`). Where there is too little traffic to see the smallest change that matters, the state
says so, and nothing is an alarm. Every alarm has questions as examples, a cost of waiting, and something to do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from inhouse.monitoring import windows
from inhouse.monitoring.alarms import Cost, Monitored, State, Waiting
from inhouse.monitoring.monitors import COMMON, MONITORS, TEXTS, Asked, Monitor
from inhouse.monitoring.windows import LEAST_DAYS, SPANS, Shift, Units, Usual
from inhouse.text.language import language
from inhouse.types import Array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from inhouse.monitoring.windows import Ints

    Bools = NDArray[np.bool_]

DAY_S = 86_400
USUAL_DAYS = 28  # of the first weeks, at most
COLLECTING = f"Usual traffic is being collected: it takes {LEAST_DAYS} days and one to compare."
URGENT = 2.0  # the last day is also judged by itself where it shows a change of so many times the size that matters
EXAMPLES = 5


@dataclass(frozen=True)
class Traffic:
    """Requests up to a moment, in arrays.

    Attributes:
        rows: the requests.
        day: of each, shape (n,): -1 is the last 24 hours, -2 those before, so that every day is whole.
        user: number of the user, shape (n,); requests without one are each of a user of their own.
        until: the moment.
        usual: the days that are usual traffic.
        last: the last day, -1 unless days are counted otherwise.
    """

    rows: Sequence[Asked]
    day: Ints
    user: Ints
    until: datetime
    usual: Sequence[int]
    last: int = -1
    users: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "users", int(self.user.max()) + 1 if len(self.user) else 0)

    @property
    def recent(self) -> int:
        """How many days there are after the usual ones."""
        return self.last - max(self.usual, default=self.last)

    def per_day(self) -> float:
        """Requests a day in the last week after the usual days, or in all of them."""
        import numpy as np

        span = min(7, self.recent) or max(len(self.usual), 1)
        return float(np.sum(self.day > self.last - span)) / span

    def date(self, ahead: int) -> str:
        """The date so many days from now."""
        return f"{self.until + timedelta(days=ahead):%Y-%m-%d}"


def traffic(rows: Sequence[Asked], until: str, since: str = "", unnamed: Collection[str] = ()) -> Traffic:
    """Requests as arrays; those of the first whole days from `since` on, at most USUAL_DAYS, are usual.

    Args:
        rows: requests in any order; those after `until` or before `since` are left out.
        until: ISO 8601.
        since: ISO 8601; empty begins with the first request.
        unnamed: users that are none, such as IDs of API keys that many people use.
    """
    import numpy as np

    end = moment(until)
    start = moment(since) if since else min((moment(r.at) for r in rows), default=end)
    kept = [r for r in rows if start <= moment(r.at) < end]
    seconds = np.array([(moment(r.at) - end).total_seconds() for r in kept])
    days = np.floor(seconds / DAY_S).astype(np.int64)
    names: dict[str, int] = {}
    users = [names.setdefault(r.user if r.user and r.user not in unnamed else f"\0{n}", len(names))
             for n, r in enumerate(kept)]  # fmt: skip
    first = -int((end - start).total_seconds() // DAY_S)
    usual = range(first, min(first + USUAL_DAYS, -1)) if first < -LEAST_DAYS else range(0)
    return Traffic(kept, days, np.array(users, dtype=np.int64), end, usual)


def moment(at: str) -> datetime:
    time = datetime.fromisoformat(at)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


# --- means ------------------------------------------------------------------------------------------------------


def values(monitor: Monitor, seen: Traffic) -> Array:
    """The monitor's figure of each request, NaN where it is unknown."""
    import numpy as np

    if monitor.name in TEXTS:
        return _rare(seen, TEXTS[monitor.name])
    assert monitor.value is not None
    found = [monitor.value(row) for row in seen.rows]
    return np.array([math.nan if v is None else v for v in found], dtype=np.float64)


def _rare(seen: Traffic, text: Callable[[Asked], str]) -> Array:
    """1 for a text in a language that is rare in usual traffic, 0 for one in another, NaN where it is not clear."""
    import numpy as np

    known: dict[str, str] = {}
    codes = [known[t] if t in known else known.setdefault(t, language(t)) for t in map(text, seen.rows)]
    days = set(seen.usual)
    usual = Counter(c for c, d in zip(codes, seen.day, strict=True) if c and int(d) in days)
    common = {c for c, n in usual.items() if n >= COMMON * usual.total()}
    return np.array([math.nan if not c else float(c not in common) for c in codes])


@dataclass(frozen=True)
class Judged:
    """A monitor before alarms are decided: p not adjusted, the shift that it is of, and the days of the window.

    `full`: there is traffic to find the smallest change that matters; without a shift there is not even enough to find
    an urgent one.
    """

    p: float
    shift: Shift | None
    days: int
    needed: float
    full: bool


def judge(monitor: Monitor, known: Usual, later: Units, span: range, family: int) -> Judged:
    """One mean, judged over the shortest window with the power for the smallest change that matters, and over the last
    day where that has the power for an URGENT one; their p-values are adjusted for there being two.

    Args:
        monitor: which one.
        known: what is usual.
        later: units of days after the usual ones; others are not looked at.
        span: those days, up to the last.
        family: number of monitors.
    """
    last = span.stop - 1
    counts = {days: int((later.day > last - days).sum()) for days in SPANS if days <= len(span)}
    scale = math.sqrt(known.spread + known.between) if monitor.kind == "score" else 1.0

    def planned(size: float) -> tuple[int, float]:
        changed = min(max(known.overall + size, 0.0), 0.5) if monitor.kind == "share" else 0.0
        room, level = (size - monitor.harmless) * scale, windows.daily_level() / (2 * family)
        return windows.span_of(known, counts, room, level, changed * (1 - changed))

    days, needed = planned(monitor.matters)
    spans = sorted({days, int(planned(URGENT * monitor.matters)[0] == 1)} - {0})
    tried = [
        (shift.p(monitor.harmless * scale, monitor.harm), own, shift)
        for own in spans
        if (shift := windows.compare(known, _part(later, later.day > last - own)))
    ]
    if not tried:
        return Judged(1.0, None, 0, needed, full=False)
    p, own, shift = min(tried, key=lambda t: (t[0], -t[1]))
    if len(tried) > 1 and p * len(tried) > windows.daily_level():
        _, own, shift = tried[-1]  # nothing to report: show the window that tells most
    scale = scale or 1.0
    scaled = Shift(shift.effect / scale, shift.error / scale, shift.freedom, shift.units, shift.mean, shift.usual)
    return Judged(min(1.0, p * len(tried)), scaled, own, needed, full=days > 0)


def judge_traffic(monitor: Monitor, value: Array, seen: Traffic, family: int) -> Judged:
    """One mean of the traffic; `value` has the figure of each request."""
    import numpy as np

    units = windows.units_of(seen.day, seen.user, value)
    known = windows.usual(_part(units, np.isin(units.day, list(seen.usual))), seen.users)
    return judge(monitor, known, units, range(seen.last - seen.recent + 1, seen.last + 1), family)


def _part(units: Units, which: Bools) -> Units:
    return Units(units.day[which], units.user[which], units.value[which])


# --- the monitors of a day --------------------------------------------------------------------------------------


def decide(
    found: Mapping[str, Monitored], family: int, per_day: float, waiting: Waiting | None = None
) -> list[Monitored]:  # fmt: skip
    """The state of each monitor, with p-values adjusted for all, and what waiting costs where there is an alarm.

    `found` has raw p-values, and the state that each monitor has unless it is an alarm.
    """
    adjusted = windows.holm({name: m.p for name, m in found.items() if m.effect is not None}, family)
    decided = []
    for name, m in found.items():
        now = m.model_copy(update={"p": adjusted.get(name, 1.0)})
        if now.p <= windows.daily_level():
            cost = waiting(now, per_day) if waiting else Cost(None)
            now = now.model_copy(update={"state": "changed", "waiting_usd": cost.usd, "waiting": cost.says})
        else:
            now = now.model_copy(update={"groups": (), "examples": (), "todo": ""})
        decided.append(now)
    return decided


def monitored(monitor: Monitor, judged: Judged, seen: Traffic, level: float) -> Monitored:
    """A mean in words, with its p-value not adjusted and without examples.

    Args:
        monitor: which one.
        judged: what was found.
        seen: the traffic.
        level: of one test, for the interval.
    """
    common = {"name": monitor.name, "area": monitor.area, "needed": _whole(judged.needed)}
    ready, missing = ("", "") if judged.full else _missing(monitor, judged.needed, seen)
    state: State = "no change" if judged.full else "not enough traffic"
    if judged.shift is None:
        return Monitored(state=state, says=missing, ready_on=ready, **common)
    shift = judged.shift
    low, high = shift.interval(1 - 2 * level if monitor.harm else 1 - level)
    shown = (shift.effect, low, high)
    mean, before = shift.mean, shift.usual
    if monitor.kind == "ratio":
        shown = tuple(math.expm1(min(v, 50.0)) for v in shown)  # type: ignore[assignment]
        mean, before = math.exp(mean), math.exp(before)
    return Monitored(
        state=state, says=f"{_sentence(monitor, shown, (mean, before), judged.days)} {missing}".rstrip(),
        effect=shown[0], low=shown[1], high=shown[2], now=mean, usual=before, p=judged.p, days=judged.days,
        units=shift.units, todo=monitor.todo, ready_on=ready, **common,
    )  # fmt: skip


def _whole(needed: float) -> int:
    return -1 if math.isinf(needed) else math.ceil(needed)


def _missing(monitor: Monitor, needed: float, seen: Traffic) -> tuple[str, str]:
    """When there will be enough traffic, "" if unknown, and a sentence."""
    if not seen.usual:
        return "", COLLECTING
    least = change_in_words(monitor, monitor.matters)
    if math.isinf(needed):
        return "", f"Usual traffic is too little, or its days differ too much, to see a change of {least}."
    per_day = max(seen.per_day(), 1e-9)
    days = math.ceil(needed / per_day)
    text = f"It takes {_whole(needed):,} users and days to see a change of {least}"
    if days > max(SPANS):
        return "", f"{text}: {days:,} days of this traffic, more than the {max(SPANS)} that are compared."
    ready = seen.date(max(days - seen.recent, 1))
    return ready, f"{text}: about {days} {'day' if days == 1 else 'days'} of this traffic."


def change_in_words(monitor: Monitor, change: float) -> str:
    """A size of a change, with its unit."""
    if monitor.kind == "ratio":
        return f"{100 * math.expm1(change):.0f}%"
    return f"{change:.1f} standard deviations" if monitor.kind == "score" else f"{100 * change:.0f} points"


def _sentence(monitor: Monitor, effect: Sequence[float], means: tuple[float, float], days: int) -> str:
    when = "the last day" if days == 1 else f"the last {days} days"
    mean, low, high = effect
    if monitor.kind == "share":
        values, change = f"{means[0]:.1%} in {when}, usually {means[1]:.1%}", (
            f"{100 * mean:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
        )  # fmt: skip
    elif monitor.kind == "ratio":
        values = f"{means[0]:.3g} in {when}, usually {means[1]:.3g}"
        change = f"{100 * mean:+.0f}% [{100 * low:+.0f}%, {100 * high:+.0f}%]"
    else:
        values = f"{means[0]:.2f} in {when}, usually {means[1]:.2f}"
        change = f"{mean:+.2f} standard deviations [{low:+.2f}, {high:+.2f}]"
    return f"{monitor.about} is {values}: {change}."


def names() -> list[str]:
    """Those of all monitors of traffic."""
    return list(MONITORS)
