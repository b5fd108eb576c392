"""Whether the intervals of costs cover the truth, on simulated months of traffic, and the mission's example.

    python benchmarks/roi.py [--months 300] [--users 500]

A month is a live experiment: users are split between base and custom and ask, some of them often, with words that tell
one question from another. What a model answers is right with a probability of the user's own, so that one user's cases
are alike. Someone whose answer is wrong comes back with the same question in the days after it (60 %), votes it down
(10 %), or says nothing; a person takes over with a probability of the arm, and needs minutes that are log-normal and
bounded, as `[costs]` bounds them. The messages go through the product: cases, reopened ones, figures, and the table.

The truth is what the same rules give on 200,000 users of each arm. An interval should cover it in 95 % of the
months; the goal is 90 to 97 %. Beside Fieller's: the usual interval that takes all cases as independent. Then the
mission's example is typed in. Prints a table, and writes JSON to `benchmarks/results/roi.json`.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np

from inhouse.monitoring.costs import DAY_MS, Case, Figures, Terms, cases_of, figures
from inhouse.monitoring.roi import Input, roi, typed_in
from inhouse.types import Contact, Estimate

HERE = Path(__file__).parent
TERMS = Terms(person_usd_per_hour=30.0, most_minutes=15.0)
ARMS = {
    "base": {"right": 0.55, "escalated": 0.30, "usd": 0.0004},
    "custom": {"right": 0.85, "escalated": 0.13, "usd": 0.0009},
}
VOLUME = 50_000.0
EXAMPLE = {"conversations_per_month": "100000", "base_escalation": "33%", "custom_escalation": "14.5%",
           "usd_per_escalation": "12", "custom_usd_per_month": "8000", "customization_usd": "48000"}  # fmt: skip
SHOWN = ("first_contact", "escalation", "reopened", "usd_per_escalation", "satisfaction", "usd_per_case",
         "usd_per_resolution")  # fmt: skip


def month(rng: np.random.Generator, users: int, arm: str, offset: int = 0) -> list[Contact]:
    """The messages of a month to one arm, oldest first."""
    own = ARMS[arm]
    counts = rng.negative_binomial(0.8, 0.8 / (0.8 + 2.2), users) + 1  # some ask often
    skill = rng.beta(6 * own["right"], 6 * (1 - own["right"]), users)
    needs = rng.beta(4 * own["escalated"], 4 * (1 - own["escalated"]), users)
    slow = rng.normal(0, 0.4, users)  # some people's cases take longer
    who = np.repeat(np.arange(users), counts)
    n = len(who)
    at = rng.uniform(0, 23 * DAY_MS, n)  # in time to come back in the month
    handed = rng.random(n) < needs[who]
    minutes = np.exp(rng.normal(1.7 + slow[who], 0.7))
    right = rng.random(n) < skill[who]
    usd = own["usd"] * rng.gamma(4, 0.25, n)
    back = ~right & ~handed & (rng.random(n) < 0.6)
    votes = rng.random(n)
    later = at + rng.uniform(0.02, 6.0, n) * DAY_MS
    rows = []
    for k in range(n):
        word = f"q{k}x q{k}y q{k}z"
        thumb = 1 if right[k] and votes[k] < 0.15 else -1 if not right[k] and votes[k] < 0.10 else 0
        rows.append(Contact(
            user=f"{arm}{offset + who[k]}", at_ms=int(at[k]), question=word, first=word, turn=1, arm=arm, split=True,
            cost_usd=float(usd[k]), handed_off=bool(handed[k]), waited_min=float(minutes[k]) if handed[k] else None,
            thumb=thumb,
        ))  # fmt: skip
        if back[k]:
            rows.append(rows[-1]._replace(at_ms=int(later[k]), handed_off=False, waited_min=None, thumb=0))
    return sorted(rows, key=lambda c: c.at_ms)


def seen(contacts: list[Contact]) -> tuple[list[Case], Figures]:
    cases = cases_of(contacts, TERMS)
    return cases, figures(cases, TERMS, 30 * DAY_MS)


def plain(cases: list[Case]) -> dict[str, Estimate]:
    """Intervals that take cases as independent, and the ratio's by the delta method."""
    y = np.array([c.model_usd + 0.5 * c.minutes for c in cases if c.at_ms <= 23 * DAY_MS])
    x = np.array([float(c.accepted) for c in cases if c.at_ms <= 23 * DAY_MS])
    handed = np.array([float(c.handed_off) for c in cases])
    first = np.array([float(c.accepted) for c in cases if not c.repeat])

    def share(v: np.ndarray) -> Estimate:
        half = 1.96 * math.sqrt(v.mean() * (1 - v.mean()) / len(v))
        return Estimate(mean=v.mean(), low=v.mean() - half, high=v.mean() + half, n=len(v))

    r = y.sum() / x.sum()
    half = 1.96 * np.std(y - r * x, ddof=1) / math.sqrt(len(x)) / x.mean()
    return {"escalation": share(handed), "first_contact": share(first),
            "usd_per_resolution": Estimate(mean=r, low=r - half, high=r + half, n=len(x))}  # fmt: skip


def saving(sides: dict[str, Figures], everyone: Figures):
    made = {"conversations_per_month": Input(value=VOLUME, source="typed in"),
            "usd_per_escalation": Input.of(everyone.usd_per_escalation)}  # fmt: skip
    for name, side in sides.items():
        made |= {
            f"{name}_escalation": Input.of(side.escalation),
            f"{name}_usd_per_conversation": Input.of(side.usd_per_case),
        }
    return roi(made)


def truth(seed: int, rounds: int = 10, users: int = 20_000) -> dict:
    rng, sums = np.random.default_rng(seed), []
    for n in range(rounds):
        rows = {arm: seen(month(rng, users, arm, n * users)) for arm in ARMS}
        everyone = figures([c for cases, _ in rows.values() for c in cases], TERMS, 30 * DAY_MS)
        sides = {arm: f for arm, (_, f) in rows.items()}
        values = {f"{arm} {name}": getattr(f, name).mean for arm, f in sides.items() for name in SHOWN}
        sums.append(values | {"net saving": saving(sides, everyone).net_usd.mean})
    return {name: float(np.mean([s[name] for s in sums])) for name in sums[0]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--months", type=int, default=300)
    parser.add_argument("--users", type=int, default=500, help="of each arm")
    parser.add_argument("--truth", type=int, default=10, help="rounds of 20,000 users for the truth")
    parser.add_argument("--quick", action="store_true", help="20 months")
    given = parser.parse_args()
    if given.quick:
        given.months, given.truth = 20, 2
    began = time.perf_counter()
    known = truth(11, given.truth)
    covered: dict[str, list[bool]] = {}
    width: dict[str, list[float]] = {}
    rng = np.random.default_rng(5)

    def look(name: str, found: Estimate, at: str = "") -> None:
        value = known[at or name]
        covered.setdefault(name, []).append(found.low <= value <= found.high)
        width.setdefault(name, []).append((found.high - found.low) / value)

    contacts = 0
    for _ in range(given.months):
        rows = {arm: seen(month(rng, given.users, arm)) for arm in ARMS}
        contacts += sum(len(cases) for cases, _ in rows.values())
        sides = {arm: f for arm, (_, f) in rows.items()}
        for arm, found in sides.items():
            for name in SHOWN:
                look(f"{arm} {name}", getattr(found, name))
        for name, found in plain(rows["custom"][0]).items():
            look(f"custom {name}, cases as independent", found, f"custom {name}")
        everyone = figures([c for cases, _ in rows.values() for c in cases], TERMS, 30 * DAY_MS)
        look("net saving", saving(sides, everyone).net_usd)
    print(f"{given.months} months, {contacts / given.months:,.0f} cases a month, {time.perf_counter() - began:.0f} s\n")
    print(f"{'':52} {'truth':>10} {'covered':>9} {'width':>7}")
    results = {}
    for name, hits in covered.items():
        value = known[name.partition(",")[0]]
        share, wide = float(np.mean(hits)), float(np.mean(width[name]))
        error = 1.96 * math.sqrt(share * (1 - share) / len(hits))
        results[name] = {"truth": value, "covered": share, "error": error, "relative width": wide}
        print(f"{name:52} {value:10.4f} {100 * share:5.1f} ±{100 * error:3.1f} {100 * wide:6.1f}%")
    table = roi({name: Input(value=v, source="typed in") for name, v in typed_in(EXAMPLE).items()})
    example = (table.base.escalations_usd, table.custom.escalations_usd, table.net_usd.mean)
    print("\nthe mission's example: " + ", ".join(f"${v:,.0f}" for v in example))
    file = HERE / "results" / "roi.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"months": given.months, "intervals": results, "example": example}, indent=1))


if __name__ == "__main__":
    main()
