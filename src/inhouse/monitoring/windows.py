"""Whether the mean of a figure has moved between usual traffic and the last days, and how much traffic it takes to say.

A figure is compared with the same days of the week of the usual traffic. What one user asks on one day counts once, by
its mean, and requests of a user on several days are not independent: the standard error is clustered by user (Liang
and Zeger 1986, "Longitudinal data analysis using generalized linear models", Biometrika). What all users of a day have
in common is estimated from the days of the usual traffic by the method of moments; the t distribution with degrees of
freedom after Satterthwaite (1946, Biometrics) allows for how few days there are. A change must be larger than what does
no harm, not only larger than zero (Hodges and Lehmann 1954, "Testing the approximate validity of statistical
hypotheses", JRSS B), so that more traffic does not make more alarms.

False alarms: those of a month share BUDGET. Every day gets the same part of it, whatever was looked at before
(Bonferroni over time, valid for dependent looks); the monitors of a day share that part by Holm's method (1979,
Scandinavian Journal of Statistics), valid for dependent monitors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inhouse.types import Array

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

BUDGET = 0.5  # expected false alarms in LOOKS daily looks, of all monitors together, at most
LOOKS = 30
POWER = 0.9  # of finding the smallest change that matters
SPANS = (1, 2, 3, 7, 14, 28)  # days of a window, the shortest that has the power
WEEK = 7
LEAST_DAYS = 14  # of usual traffic: with fewer, nothing is known of how days differ
LEAST_UNITS = 30  # in a window: with fewer, a mean is not normal enough
NO_DIFFERENCE = 1e-9  # standard error below which nothing varies


@dataclass(frozen=True)
class Units:
    """One row for each user and day on which they asked.

    Attributes:
        day: number of the day, shape (n,); consecutive, a multiple of 7 apart for the same day of the week.
        user: number of the user, shape (n,); the same number is the same user in every Units that are compared.
        value: mean of what is monitored, shape (n,).
    """

    day: Ints
    user: Ints
    value: Array


def units_of(day: Ints, user: Ints, value: Array) -> Units:
    """The means by user and day of one value a request; NaN is unknown and left out. Users are numbers from 0."""
    import numpy as np

    known = ~np.isnan(value)
    if not known.any():
        return Units(day[:0], user[:0], np.zeros(0))
    day, user, value = day[known], user[known], value[known]
    keys, at = np.unique((day - day.min()) * (int(user.max()) + 1) + user, return_inverse=True)
    sums = np.bincount(at, weights=value, minlength=len(keys))
    mean = sums / np.bincount(at, minlength=len(keys))
    days, users = np.divmod(keys, int(user.max()) + 1)
    return Units(days + day.min(), users, mean)


@dataclass(frozen=True)
class Usual:
    """What a figure is in usual traffic.

    Attributes:
        mean: by day of the week, shape (7,); NaN for one without traffic.
        units: number by day of the week, shape (7,).
        days: number of days with traffic by day of the week, shape (7,).
        spread: variance of a unit within its day.
        between: variance of what the units of a day have in common; 0 where none can be seen.
        noise: variance of a day's mean, that of its units and that between days together.
        freedom: degrees of freedom of `between`.
        residuals: sums by user and day of the week of values less means, over units of that day, shape (users, 7).
        squares: sum over units of (share of the day)^2, by day of the week: what `between` counts, shape (7,).
    """

    mean: Array
    units: Array
    days: Array
    spread: float
    between: float
    noise: float
    freedom: int
    residuals: Array
    squares: Array

    @property
    def overall(self) -> float:
        """The mean over all units."""
        import numpy as np

        return float(np.nansum(self.mean * self.units) / self.units.sum()) if self.units.sum() else math.nan


def usual(reference: Units, users: int) -> Usual:
    """What is usual, from the units of the reference; `users` is the number of users that there are in all."""
    import numpy as np

    week = reference.day % WEEK
    count = np.bincount(week, minlength=WEEK).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(week, weights=reference.value, minlength=WEEK) / count
    residual = reference.value - mean[week]
    names, at = np.unique(reference.day, return_inverse=True)
    size = np.bincount(at, minlength=len(names)).astype(float)
    off = np.bincount(at, weights=residual, minlength=len(names)) / np.maximum(size, 1)
    inner = np.bincount(at, weights=(residual - off[at]) ** 2, minlength=len(names))
    within = float(inner.sum() / max(len(residual) - len(names), 1))
    kind = names % WEEK
    days = np.bincount(kind, minlength=WEEK).astype(float)
    freedom = int(np.maximum(days - 1, 0).sum())
    again = days[kind] > 1
    stretched = off**2 * np.where(again, days[kind] / np.maximum(days[kind] - 1, 1), 0.0)
    of_days = float(stretched[again].mean()) if again.any() else 0.0
    expected = float((within / size[again]).mean()) if again.any() else 0.0
    residuals: Array = np.zeros(users * WEEK)
    np.add.at(residuals, reference.user * WEEK + week, residual)
    squares: Array = np.zeros(WEEK)
    np.add.at(squares, kind, (size / np.maximum(count[kind], 1)) ** 2)
    return Usual(
        mean=mean, units=count, days=days, spread=within, between=max(0.0, of_days - expected),
        noise=max(of_days, expected), freedom=freedom, residuals=residuals.reshape(users, WEEK), squares=squares,
    )  # fmt: skip


@dataclass(frozen=True)
class Shift:
    """How far the mean of a window is from the usual one, with its standard error and degrees of freedom."""

    effect: float
    error: float
    freedom: float
    units: int
    mean: float  # of the window
    usual: float  # of the same days of the week

    def interval(self, level: float) -> tuple[float, float]:
        from scipy.stats import t

        wide = float(t.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.effect - wide, self.effect + wide

    def p(self, harmless: float, harm: int) -> float:
        """The p-value of "the change does no harm": of at most `harmless` in the direction `harm` (+1, -1, or 0 for
        both)."""
        from scipy.stats import t

        if self.error <= NO_DIFFERENCE:
            over = self.effect * harm if harm else abs(self.effect)
            return 0.0 if over > harmless + NO_DIFFERENCE and self.units >= LEAST_UNITS else 1.0
        if harm:
            return float(t.sf((harm * self.effect - harmless) / self.error, self.freedom))
        far = abs(self.effect)
        return float(sum(t.sf((far + side) / self.error, self.freedom) for side in (-harmless, harmless)))


def compare(known: Usual, window: Units) -> Shift | None:
    """The shift of a window; None where it has no unit of a day of the week that the reference knows."""
    import numpy as np

    week = window.day % WEEK
    keep = known.units[week] > 0
    value, user, day, week = window.value[keep], window.user[keep], window.day[keep], week[keep]
    n = len(value)
    if n < 2:
        return None
    mix = np.bincount(week, minlength=WEEK) / n
    ahead = value - known.mean[week]
    effect = float(ahead.mean())
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(known.units > 0, mix / known.units, 0.0)
    influence = -known.residuals @ weight
    np.add.at(influence, user, (ahead - effect) / n)
    squares = influence**2
    users = int((squares > 0).sum())
    by_user = float(squares.sum()) * (users / (users - 1) if users > 1 else 1.0)
    days = np.bincount(day - day.min()) / n
    load = float((days**2).sum() + (mix**2 * known.squares).sum())
    variance = by_user + load * known.between
    unsure = float((squares**2).sum()) + (load * known.noise) ** 2 / max(known.freedom, 1)
    freedom = variance**2 / unsure if unsure > 0 else 1.0
    center = float(np.nansum(np.where(mix > 0, known.mean * mix, 0.0)))
    return Shift(effect, math.sqrt(variance), max(freedom, 1.0), n, center + effect, center)


# --- how much traffic it takes ----------------------------------------------------------------------------------


def units_needed(known: Usual, room: float, alpha: float, days: int, least_spread: float = 0.0) -> float:
    """Units in a window of so many days with which a change that is `room` beyond harmless is found with POWER.

    Infinite where even any number of users would not do, since days differ too much; `least_spread` is a variance that
    a unit has at least once the figure has changed.
    """
    from scipy.stats import norm, t

    if known.freedom < 1:
        return math.inf
    reach = float(t.ppf(1 - alpha, max(known.freedom, 1)) + norm.ppf(POWER))
    same = float(known.days[known.days > 0].mean()) * min(days, WEEK)  # days that the window is compared with
    spread = max(known.spread, least_spread)
    fixed = known.between * (1 / days + 1 / same) + spread / (float(known.units.sum()) * min(days, WEEK) / WEEK)
    left = (room / reach) ** 2 - fixed
    return max(spread / left, LEAST_UNITS) if left > 0 else math.inf


def span_of(
    known: Usual, counts: Mapping[int, int], room: float, alpha: float, least_spread: float = 0.0
) -> tuple[int, float]:
    """The shortest window with the power, in days, and the units that it takes; 0 days where none has it.

    Args:
        known: what is usual.
        counts: units of the last days by number of days, for SPANS.
        room: the change that matters less the one that does no harm.
        alpha: level of the test.
        least_spread: as above.
    """
    needed = {days: units_needed(known, room, alpha, days, least_spread) for days in SPANS}
    for days in SPANS:
        if counts.get(days, 0) >= needed[days]:
            return days, needed[days]
    return 0, min(needed.values())


# --- many looks -------------------------------------------------------------------------------------------------


def daily_level() -> float:
    """The level that the monitors of one day share."""
    return BUDGET / LOOKS


def holm(ps: Mapping[str, float], family: int) -> dict[str, float]:
    """By name, the p-value adjusted for a family of so many tests: those that have no p-value count too."""
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, (name, p) in enumerate(sorted(ps.items(), key=lambda item: item[1])):
        highest = max(highest, min(1.0, p * (family - rank)))
        adjusted[name] = highest
    return adjusted


def single_level(monitors: int) -> float:
    """The level that each of so many monitors is tested at first, and with which window lengths are planned."""
    return daily_level() / max(monitors, 1)
