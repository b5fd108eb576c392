"""What customization returns: the table of base against custom, what it depends on, and four options by volume.

Everything follows from a few **inputs**, each with where it comes from: measured in live traffic, taken from the
verdict, assumed in [costs], or typed in. With V conversations in a month, of which the share e goes to people at c US
dollars each, and a US dollars for the model's answers to one conversation, a side costs V (e c + a) + m a month, where
m is what it costs each month besides. The net saving is what base costs less what custom costs, and the payback time
what customization cost once, divided by it. A machine that waits costs both sides the same, so it is shown apart.

The interval of the net saving adds the squares of what each input's interval moves it (MOVER: Zou and Donner 2008,
"Construction of confidence limits about effect measures", Statistics in Medicine 27); inputs are taken as independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Literal

from inhouse.errors import InputError
from inhouse.types import Estimate, Record

Source = Literal["measured", "verdict", "assumed", "typed in"]
NAMES = {
    "conversations_per_month": "Conversations per month",
    "base_first_contact": "First-contact resolution, base",
    "custom_first_contact": "First-contact resolution, custom",
    "base_escalation": "Escalation rate, base",
    "custom_escalation": "Escalation rate, custom",
    "usd_per_escalation": "Cost per escalation",
    "base_satisfaction": "Satisfaction, base",
    "custom_satisfaction": "Satisfaction, custom",
    "base_usd_per_conversation": "Answers per conversation, base",
    "custom_usd_per_conversation": "Answers per conversation, custom",
    "base_usd_per_month": "Other costs per month, base",
    "custom_usd_per_month": "Other costs per month, custom",
    "customization_usd": "Customization, once",
}
"""Every input by its name; those with "first_contact" and "satisfaction" are shown, and do not change the saving."""
SHARES = tuple(
    name for name in NAMES if name.endswith(("first_contact", "escalation", "satisfaction")) and "usd" not in name
)
SHOWN_ALONE = tuple(name for name in NAMES if name.endswith(("first_contact", "satisfaction")))
SWING = 0.2  # by which inputs without an interval are varied
MONTH_HOURS = 730.0
LARGEST = 3_000_000  # volume of the comparison of options


class Input(Record):
    """A value with its interval (None where there is none), where it comes from, and what should be known of it."""

    value: float | None
    low: float | None = None
    high: float | None = None
    source: Source = "assumed"
    note: str = ""

    @classmethod
    def of(cls, estimate: Estimate | None, source: Source = "measured", note: str = "") -> Input:
        """From a measurement; one without an interval has none."""
        if estimate is None:
            return cls(value=None, source=source, note=note)
        known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
        bounds = {"low": estimate.low, "high": estimate.high} if known else {}
        return cls(value=estimate.mean, source=source, note=note, **bounds)


class Side(Record):
    """What base or custom costs in a month, in US dollars."""

    escalations: float
    escalations_usd: float
    answers_usd: float
    other_usd: float

    @property
    def total_usd(self) -> float:
        return self.escalations_usd + self.answers_usd + self.other_usd


class Swing(Record):
    """The net saving when one input is at its low and at its high end; the interval's, or SWING below and above."""

    name: str
    at_low: float
    at_high: float
    low: float
    high: float
    interval: bool

    @property
    def size(self) -> float:
        return abs(self.high - self.low)


class Roi(Record):
    """The table. `missing` names inputs without which there is no saving to compute; then the sides are None.

    `payback_months` is None where the net saving is not above 0; `payback_low` and `payback_high` are those of the ends
    of the interval of the net saving, None likewise.
    """

    inputs: Mapping[str, Input]
    missing: tuple[str, ...] = ()
    base: Side | None = None
    custom: Side | None = None
    net_usd: Estimate | None = None
    payback_months: float | None = None
    payback_low: float | None = None
    payback_high: float | None = None
    swings: tuple[Swing, ...] = ()


def typed_in(texts: Mapping[str, str]) -> dict[str, float]:
    """Inputs as people write them: 0.33 or 33% for shares, 12 or $12 or 100,000 for others. Empty ones are left out.

    Raises:
        InputError: a name is unknown, or a value is not a number in its range.
    """
    found = {}
    for name, text in texts.items():
        if name not in NAMES:
            close = get_close_matches(name, NAMES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(NAMES)}"
            raise InputError(f"{name[:60]}: there is no such input", hint)
        plain = text.strip().removeprefix("$").replace("_", "")
        if "," in plain:  # only as in 1,234,567.50: elsewhere a comma begins the cents
            whole, _, rest = plain.partition(".")
            first, *groups = whole.split(",")
            plain = "".join([first, *groups, "." * bool(rest), rest]) if _thousands(first, groups, rest) else "?"
        if not plain:
            continue
        try:
            value = float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)
        except ValueError:
            value = math.nan
        most = 1.0 if name in SHARES else 1e12
        if not 0 <= value <= most:
            hint = "write a share as 0.33 or 33%" if name in SHARES else "write a number from 0, such as 12.50 or 1,250"
            raise InputError(f"{name}: {text.strip()[:40]!r} is not a value for it", hint)
        found[name] = value
    return found


def _thousands(first: str, groups: Sequence[str], rest: str) -> bool:
    """Whether the commas of a number are between groups of three digits, before the point."""
    return 1 <= len(first) <= 3 and all(len(g) == 3 and g.isdigit() for g in groups) and "," not in rest


def roi(inputs: Mapping[str, Input]) -> Roi:
    """The table from the inputs; those that are not given are unknown, and costs among them 0."""
    free = ("base_usd_per_month", "custom_usd_per_month", "base_usd_per_conversation", "custom_usd_per_conversation",
            "customization_usd")  # fmt: skip
    given = {name: inputs.get(name, Input(value=0.0 if name in free else None)) for name in NAMES}
    values = {name: i.value for name, i in given.items()}
    needed = ("conversations_per_month", "base_escalation", "custom_escalation", "usd_per_escalation")
    missing = tuple(name for name in needed if values[name] is None)
    if missing:
        return Roi(inputs=given, missing=missing)
    known = {name: value or 0.0 for name, value in values.items()}
    net = net_of(known)

    def payback(saving: float) -> float | None:
        return known["customization_usd"] / saving if saving > 0 else None

    swings = [s for name in NAMES if name not in SHOWN_ALONE and (s := _swing(name, given[name], known))]
    estimate = _interval(net, swings)
    return Roi(
        inputs=given, base=side(known, "base"), custom=side(known, "custom"), net_usd=estimate,
        payback_months=payback(net), payback_low=payback(estimate.high), payback_high=payback(estimate.low),
        swings=tuple(sorted((s for s in swings if s.size > 0), key=lambda s: -s.size)),
    )  # fmt: skip


def side(values: Mapping[str, float], name: str) -> Side:
    """What a side costs in a month."""
    volume = values["conversations_per_month"]
    escalations = volume * values[f"{name}_escalation"]
    return Side(
        escalations=escalations, escalations_usd=escalations * values["usd_per_escalation"],
        answers_usd=volume * values[f"{name}_usd_per_conversation"], other_usd=values[f"{name}_usd_per_month"],
    )  # fmt: skip


def net_of(values: Mapping[str, float]) -> float:
    """The net monthly saving. US dollars."""
    return side(values, "base").total_usd - side(values, "custom").total_usd


def _swing(name: str, given: Input, values: Mapping[str, float]) -> Swing | None:
    if name == "customization_usd" or given.value is None:
        return None
    interval = given.low is not None and given.high is not None
    ends = (given.low or 0.0, given.high or 0.0) if interval else ((1 - SWING) * given.value, (1 + SWING) * given.value)
    low, high = (net_of({**values, name: end}) for end in ends)
    return Swing(name=name, at_low=ends[0], at_high=ends[1], low=low, high=high, interval=interval)


def _interval(net: float, swings: Sequence[Swing]) -> Estimate:
    own = [s for s in swings if s.interval]
    down = math.sqrt(sum((net - min(s.low, s.high, net)) ** 2 for s in own))
    up = math.sqrt(sum((max(s.low, s.high, net) - net) ** 2 for s in own))
    return Estimate(mean=net, low=net - down, high=net + up, n=len(own))


# --- the four options -------------------------------------------------------------------------------------------


class Option(Record):
    """One way to answer, by what it costs.

    Attributes:
        name: of it.
        usd_per_conversation: of models, for one conversation.
        escalation: share of conversations that go to people.
        usd_per_month: whatever the volume.
        machine_usd_per_month: of one machine; 0 for none.
        machine_conversations: that one machine can answer in a month.
        note: where the figures come from.
    """

    name: str
    usd_per_conversation: float
    escalation: float
    usd_per_month: float = 0.0
    machine_usd_per_month: float = 0.0
    machine_conversations: float = 0.0
    note: str = ""

    def monthly(self, volume: float, usd_per_escalation: float) -> float:
        """What it costs in a month. US dollars."""
        machines = math.ceil(max(1.0, volume / self.machine_conversations)) if self.machine_conversations else 0
        people = self.escalation * usd_per_escalation
        return (
            self.usd_per_month + machines * self.machine_usd_per_month + volume * (self.usd_per_conversation + people)
        )


class BreakEven(Record):
    """From `volume` conversations a month on, `cheaper` costs less than `than`; None where it never does, 0 where it
    always does."""

    cheaper: str
    than: str
    volume: float | None


class Options(Record):
    """The options at a volume, cheapest first at it, with the volumes at which one overtakes another."""

    volume: float
    usd_per_escalation: float
    options: tuple[Option, ...]
    monthly: tuple[float, ...]
    break_even: tuple[BreakEven, ...]


def compared(options: Sequence[Option], volume: float, usd_per_escalation: float) -> Options:
    """The options at a volume. Break-even volumes are found up to LARGEST conversations a month, to 1 %."""
    monthly = {o.name: o.monthly(volume, usd_per_escalation) for o in options}
    order = sorted(options, key=lambda o: monthly[o.name])

    def crossing(late: Option, early: Option) -> BreakEven:
        def difference(v: float) -> float:
            return late.monthly(v, usd_per_escalation) - early.monthly(v, usd_per_escalation)

        return BreakEven(cheaper=late.name, than=early.name, volume=overtakes(difference))

    return Options(
        volume=volume, usd_per_escalation=usd_per_escalation, options=tuple(order),
        monthly=tuple(monthly[o.name] for o in order),
        break_even=tuple(crossing(b, a) for n, a in enumerate(options) for b in options[n + 1 :]),
    )  # fmt: skip


def overtakes(difference: Callable[[float], float]) -> float | None:
    """The volume from which a difference of costs stays below 0, up to LARGEST; 0 if it always is, None if never."""
    volumes = [10 * 1.01**n for n in range(math.ceil(math.log(LARGEST / 10) / math.log(1.01)))]
    below = [difference(v) < 0 for v in volumes]
    if not below[-1]:
        return None
    last = max((n for n, b in enumerate(below) if not b), default=-1)
    if last < 0:
        return 0.0
    low, high = volumes[last], volumes[last + 1]
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if difference(middle) < 0 else (middle, high)
    return high
