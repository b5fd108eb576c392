"""When to build again: what happened since the last build, what waiting costs, and what a build costs.

A trigger is an occasion to decide, and never the decision. The decision forecasts how much accuracy is lost, and how
sure that is, and compares the costs of a wrong answer and of a build, as in "When to Retrain a Machine Learning Model"
(Regol, Schwinn, Sprague, Coates, Markovich 2025). Here is what is ours:

The loss d(t), the share of the answers that are wrong and were not after the last build, is a local level with drift:
d(t + dt) = d(t) + r dt + noise. A Kalman filter takes the estimates of live traffic, however many labels they rest on.
An estimate that the forecast makes very unlikely, twice in a row or once by far, is a sudden change, and the filter
follows it at once. The drift r is learned from all estimates since the first build.

With V requests a day, a price p of a wrong answer, and a build that costs C and mends a share m of the loss, linear
drift makes it cheapest to build every T = sqrt(2 C / (V p m r)) days, as in the economic order quantity (Harris 1913).
That is when the loss costs V p m d = C / H a day, with the horizon H = T / 2. So a build pays once

    expected loss d * volume V * price p * what a build mends m * horizon H > cost of a build C

and the same holds for a sudden loss. H is how long a build pays before the next one is due, within cooldown and date.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from inhouse.types import Estimate, Matrix, Record

Kind = Literal["documents", "topic", "accuracy", "feedback", "date", "marked"]
KINDS: tuple[Kind, ...] = ("documents", "topic", "accuracy", "feedback", "date", "marked")
Z = 1.959964  # standard normal quantile of .975
MONTH_DAYS = 30.0
DRIFT_A_DAY = 0.02 / 91  # before anything is known: two points a quarter
LEFT = 0.005  # standard deviation of the loss right after a build
WANDERS = 0.002  # standard deviation of what a day adds to the loss beside the drift
LEAPS = 0.07  # standard deviation of a sudden change
UNLIKELY, VERY_UNLIKELY = 2.0, 3.0  # standard deviations from the forecast: twice in a row, or once
SAME_TOPIC = 0.6  # cosine of two questions
MANY = 3  # questions that make a topic


class Trigger(Record):
    """An occasion to decide.

    `questions` are examples. `share` is the part of the traffic that it shows to be wrong, where it says so: the
    estimate of accuracy may not have it yet.
    """

    kind: Kind
    text: str
    questions: tuple[str, ...] = ()
    share: float = 0.0


class Seen(Record):
    """An estimate of the loss, so many days after the last build: accuracy then less accuracy now, and its error."""

    day: float
    loss: float
    sd: float


class Loss(Record):
    """A forecast of the loss as a share of all answers: its mean and standard deviation, and the drift a day."""

    mean: float
    sd: float
    drift: float

    def above(self, least: float) -> float:
        """The probability that the loss is larger."""
        return 0.5 * math.erfc((least - self.mean) / max(self.sd, 1e-9) / math.sqrt(2))


class Economy(Record):
    """What decides: requests a day, prices in US dollars, the share of the loss that a build mends, and days.

    `date_days` is how often a build is due by the calendar, 0 for never.
    """

    requests: float
    wrong_usd: float
    build_usd: float
    mends: float = 0.8
    cooldown_days: float = 7.0
    date_days: float = 91.0


class Decision(Record):
    """A decision with its figures. Costs of waiting are a month's, in US dollars, with their 95% interval.

    `pays` is the probability that a build now is worth more than it costs.
    """

    at: str
    action: Literal["wait", "build"]
    reason: str
    triggers: tuple[Trigger, ...] = ()
    waiting_usd: float = 0.0
    waiting_low: float = 0.0
    waiting_high: float = 0.0
    build_usd: float = 0.0
    horizon_days: float = 0.0
    pays: float = 0.0
    loss: Loss | None = None
    days: float = 0.0  # since the last build
    requests: float = 0.0

    @property
    def text(self) -> str:
        """The decision in one sentence."""
        now = "build" if self.action == "build" else "wait"
        return (
            f"waiting costs ${self.waiting_usd:,.0f} a month [{self.waiting_low:,.0f}, {self.waiting_high:,.0f}], "
            f"a build costs ${self.build_usd:,.2f} and pays within {self.horizon_days:.0f} days with probability "
            f"{self.pays:.0%}; therefore {now}: {self.reason}"
        )


# --- the loss ---------------------------------------------------------------------------------------------------


def seen(day: float, then: Estimate, now: Estimate) -> Seen:
    """What two estimates of accuracy say about the loss: right after the last build, and now."""
    sd = math.hypot(then.high - then.low, now.high - now.low) / (2 * Z)
    return Seen(day=day, loss=then.mean - now.mean, sd=max(sd, 1e-4))


def drift_of(cycles: Sequence[Sequence[Seen]]) -> float:
    """The loss that a day adds: a regression of all estimates on the days since their build, with a prior.

    The prior has the mean DRIFT_A_DAY, and the same as standard deviation; what a build left is to be subtracted.
    """
    precision, weighted = 1 / DRIFT_A_DAY**2, 1 / DRIFT_A_DAY
    for s in (s for cycle in cycles for s in cycle):
        var = s.sd**2 + WANDERS**2 * s.day
        precision += s.day**2 / var
        weighted += s.day * s.loss / var
    return max(weighted / precision, DRIFT_A_DAY / 20)


def forecast(history: Sequence[Seen], day: float, drift: float, left: float = 0.0) -> Loss:
    """The loss on a day after the last build, from the estimates until then, in their order.

    `left` is what the last build is expected to have left of the loss before it.
    """
    mean, var, at, before = left, LEFT**2 + (left / 2) ** 2, 0.0, 0.0
    for s in history:
        step = max(s.day - at, 0.0)
        mean, var, at = mean + drift * step, var + WANDERS**2 * step, s.day
        off = (s.loss - mean) / math.sqrt(var + s.sd**2)
        if abs(off) > VERY_UNLIKELY or (abs(off) > UNLIKELY and off * before > 0 and abs(before) > UNLIKELY):
            var += LEAPS**2
        gain = var / (var + s.sd**2)
        mean, var, before = mean + gain * (s.loss - mean), (1 - gain) * var, off
    step = max(day - at, 0.0)
    return Loss(mean=max(mean + drift * step, 0.0), sd=math.sqrt(var + WANDERS**2 * step), drift=drift)


def horizon(economy: Economy, drift: float) -> float:
    """Days that a build pays before the next one is due: half of the cheapest interval, within cooldown and date."""
    a_day = economy.requests * economy.wrong_usd * economy.mends
    best = math.sqrt(economy.build_usd / (2 * a_day * drift)) if a_day > 0 else math.inf
    return max(min(best, economy.date_days or 365.0), economy.cooldown_days, 1.0)


# --- the decision -----------------------------------------------------------------------------------------------


def decide(at: str, days: float, loss: Loss, economy: Economy, triggers: Sequence[Trigger] = ()) -> Decision:
    """Whether to build now.

    A build is made when it pays by the mean of the forecast, and not within the cooldown. What a trigger shows to be
    wrong counts where it is more than the forecast says. On the date, it is made unless even the upper end of the
    forecast, until the next date, costs less than a build. A change that a person marked is built whatever it costs.

    Args:
        at: the time, ISO 8601.
        days: since the last build.
        loss: its forecast for now.
        economy: what decides.
        triggers: what happened since the last build.
    """
    shown = max((t.share for t in triggers), default=0.0)
    if shown > loss.mean:
        loss = loss.model_copy(update={"mean": shown})
    a_day = economy.requests * economy.wrong_usd * economy.mends
    until, low, high = horizon(economy, loss.drift), max(loss.mean - Z * loss.sd, 0.0), loss.mean + Z * loss.sd
    gained = a_day * loss.mean * until
    pays = loss.above(economy.build_usd / (a_day * until)) if a_day > 0 else 0.0
    kinds = {t.kind for t in triggers}
    action: Literal["wait", "build"] = "wait"
    if "marked" in kinds:
        action, reason = "build", "a person marked a change"
    elif days < economy.cooldown_days:
        reason = f"the last build is {days:.1f} days old, and the cooldown is {economy.cooldown_days:g} days"
    elif gained > economy.build_usd:
        action, reason = "build", f"the loss costs ${gained:,.0f} until a build pays"
    elif "date" in kinds and a_day * high * economy.date_days > economy.build_usd:
        most = a_day * high * economy.date_days
        action, reason = "build", f"it is due, and waiting for the next date may cost ${most:,.0f}"
    elif "date" in kinds:
        reason = "it is due, but a build costs more than all that it could gain until the next date"
    else:
        reason = f"a build would gain ${gained:,.0f} in that time"
    month = economy.requests * economy.wrong_usd * MONTH_DAYS
    return Decision(
        at=at, action=action, reason=reason, triggers=tuple(triggers), waiting_usd=month * loss.mean,
        waiting_low=month * low, waiting_high=month * high, build_usd=economy.build_usd, horizon_days=until, pays=pays,
        loss=loss, days=days, requests=economy.requests,
    )  # fmt: skip


# --- triggers ---------------------------------------------------------------------------------------------------


def accuracy_trigger(now: Estimate | None, threshold: float) -> list[Trigger]:
    """Estimated accuracy below a threshold in [0, 1]: only where its whole interval is. 0 is no threshold."""
    if now is None or now.high >= threshold:
        return []
    text = f"estimated accuracy {now.mean:.1%} [{now.low:.1%}, {now.high:.1%}] is below {threshold:.0%}"
    return [Trigger(kind="accuracy", text=text)]


def feedback_trigger(then: tuple[int, int], now: tuple[int, int], at_least: int = 5) -> list[Trigger]:
    """More bad feedback than before: (bad, requests) of two periods, by a two-sided exact test at 1%.

    Bad is a thumb down, an answer that a person corrected, or a case that was opened again. Fewer than `at_least`
    decide nothing.
    """
    from scipy.stats import fisher_exact

    (bad_then, all_then), (bad, requests) = then, now
    if bad < at_least or not requests or (all_then and bad / requests <= bad_then / all_then):
        return []
    table = [[bad, requests - bad], [bad_then, all_then - bad_then]]
    if all_then and float(fisher_exact(table).pvalue) > 0.01:
        return []
    was = f", {bad_then} of {all_then:,} before" if all_then else ""
    return [Trigger(kind="feedback", text=f"{bad} of {requests:,} answers have bad feedback{was}")]


def date_trigger(days: float, every: float) -> list[Trigger]:
    """A build that is due by the calendar; 0 for never."""
    if not every or days < every:
        return []
    return [Trigger(kind="date", text=f"the last build is {days:.0f} days old; one is due every {every:g} days")]


def topics(
    questions: Sequence[str], vectors: Matrix, failed: Sequence[bool], known: Matrix | None = None
) -> list[Trigger]:
    """Topics whose questions fail, the largest first; those that nobody asked about before are called new.

    A question joins the first topic whose first question is similar (leader clustering, Hartigan 1975), in the order
    of how many others each is similar to. A topic fails when the lower end of the interval of its share of failures
    (Wilson 1927) is above the share of all.

    Args:
        questions: of live traffic, as text.
        vectors: their unit vectors, shape (n, dimensions).
        failed: whether nothing, or nothing good, came of each.
        known: unit vectors of the questions that the last build learned and tested; None if there are none.
    """
    import numpy as np

    if not questions:
        return []
    alike = vectors @ vectors.T >= SAME_TOPIC
    order, topic_of = np.argsort(-alike.sum(axis=1), kind="stable"), np.full(len(questions), -1)
    for n in map(int, order):
        if topic_of[n] < 0:
            topic_of[alike[n] & (topic_of < 0)] = n
    wrong, found = np.array(failed, dtype=bool), []
    overall = float(wrong.mean())
    for leader in dict.fromkeys(topic_of[order].tolist()):
        own = np.flatnonzero(topic_of == leader).tolist()
        bad = int(wrong[own].sum())
        if len({questions[n] for n in own}) < MANY or wilson_low(bad, len(own)) <= overall:
            continue
        new = known is None or not len(known) or float(np.median((vectors[own] @ known.T).max(axis=1))) < SAME_TOPIC
        what = "a new topic" if new else "a topic"
        text = f"{what} fails: {bad} of {len(own)} questions such as {questions[leader][:120]!r}"
        some = tuple(dict.fromkeys(questions[n] for n in own if wrong[n]))
        excess = (bad - overall * len(own)) / len(questions)
        found.append(Trigger(kind="topic", text=text, questions=some[:10], share=max(excess, 0.0)))
    return sorted(found, key=lambda t: -t.share)


def wilson_low(successes: int, n: int) -> float:
    """The lower end of the 95% interval of a share (Wilson 1927)."""
    if not n:
        return 0.0
    share, z2 = successes / n, Z * Z
    return (share + z2 / (2 * n) - Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
