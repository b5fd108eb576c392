"""What deciding when to build costs over a year, against fixed cadences and against building on every drift alarm.

    python benchmarks/triggers.py [--runs 300] [--quick]

Each run is a business for 12 months, with its own traffic, prices, and world: the accuracy that was measured after a
build erodes with a speed that changes, sudden events (a new product, a new policy) take away some at once, and a build
mends most of it. Families of worlds differ in what they have most of. Nobody knows the loss: once a week there is an
estimate with an error and a bias, from calibrated confidence and a dozen labels; the monthly one has an error of about
two points. The replay gives every policy the same world and the same estimates:

- `watch`: monitoring/triggers.py as it is, with the estimate, the last week's volume, prices, and its own past;
- `cadence`: a build every k weeks (or never), with the k that is cheapest on average in hindsight for the family;
- `any drift`: a build when any of six signals (questions, documents, retrieval, answers, guardrails, cost) drifts,
  each tested at 5% once a week without correction, as dashboards do. Signals drift with the loss, and also without any
  (seasons, campaigns, other words for the same); `one signal` is the same with one test;
- `known`: `watch` with the true loss instead of the estimate: what better estimates could save;
- `least`: a bound: no policy costs less, even one that knows the whole year ahead.

Cost: wrong answers that a build right before would not have given, times their price, and builds. Prints a table and
writes `benchmarks/results/triggers.json`. The target: at most 105% of the best cadence, and at most half of any drift.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from inhouse.monitoring import triggers as t

HERE = Path(__file__).parent
DAYS, WEEK, RUNS, QUICK_RUNS = 364, 7, 300, 60
CADENCES = (1, 2, 3, 4, 6, 8, 10, 13, 17, 22, 26, 35, 0)  # weeks; 0 is never
SIGNALS = 6
GRID = 400  # losses of the bound
SD_WEEK, BIAS = 0.03, 0.01  # of the estimate of a week: about two points when four are taken together; of its bias
FAMILIES = {
    # drift: median points of accuracy lost a year; events a year, and the largest; harmless: drift of the questions
    # alone, in standard deviations of the weekly test per week; volume a day; build in US dollars
    "slow": {"drift": 3, "events": 0.3, "size": 0.05, "harmless": 0.3, "volume": 500, "build": 480},
    "steady": {"drift": 12, "events": 0.3, "size": 0.05, "harmless": 0.3, "volume": 500, "build": 480},
    "fast": {"drift": 40, "events": 1, "size": 0.05, "harmless": 0.5, "volume": 500, "build": 480},
    "sudden": {"drift": 2, "events": 4, "size": 0.20, "harmless": 0.3, "volume": 500, "build": 480},
    "mixed": {"drift": 10, "events": 2, "size": 0.15, "harmless": 0.5, "volume": 1000, "build": 480},
    "harmless": {"drift": 1, "events": 0.1, "size": 0.05, "harmless": 1.5, "volume": 500, "build": 480},
    "seasonal": {"drift": 10, "events": 1, "size": 0.10, "harmless": 1.0, "volume": 500, "build": 480, "season": 0.7},
    "costly builds": {"drift": 10, "events": 1, "size": 0.10, "harmless": 0.5, "volume": 300, "build": 4800},
    "much traffic": {"drift": 8, "events": 1, "size": 0.10, "harmless": 0.5, "volume": 5000, "build": 480},
}


class World:
    """One business for a year: what a day adds to the loss, its traffic, and what it pays."""

    def __init__(self, rng: np.random.Generator, settings: dict) -> None:
        speed = settings["drift"] / 100 / 365 * rng.lognormal(0, 0.6)
        regimes = np.repeat(rng.lognormal(0, 0.8, DAYS // 91 + 1), 91)[:DAYS]  # the speed changes each quarter
        events = rng.poisson(settings["events"] / 365, DAYS) * rng.uniform(0.02, settings["size"], DAYS)
        self.adds = speed * regimes / regimes.mean() + events
        trend = np.linspace(1, rng.uniform(0.7, 1.6), DAYS)
        season = 1 + settings.get("season", 0.2) * np.sin(np.arange(DAYS) / 365 * 2 * np.pi + rng.uniform(0, 6.28))
        self.volume = settings["volume"] * rng.lognormal(0, 0.5) * trend * season * rng.lognormal(0, 0.1, DAYS)
        self.wrong_usd = rng.lognormal(np.log(2.0), 0.6)
        self.build_usd = settings["build"] * rng.lognormal(0, 0.5)
        self.mends = rng.uniform(0.65, 1.0, DAYS)  # what a build on that day would mend
        self.noise = rng.normal(0, SD_WEEK, DAYS // WEEK + 1) + rng.normal(0, BIAS)
        self.harmless = np.abs(rng.normal(0, settings["harmless"], DAYS // WEEK + 1))
        self.alarm = rng.normal(0, 1, (DAYS // WEEK + 1, SIGNALS))
        self.measured = rng.lognormal(0, 0.1)  # error of what a build is thought to cost

    def cost(self, builds) -> tuple[float, int]:
        """What a policy, asked each week whether to build, costs in US dollars, and how many builds it makes."""
        loss, mixed, paid, made = 0.0, 0.0, 0.0, 0
        for day in range(DAYS):
            loss = min(loss + self.adds[day], 0.9)
            mixed += 30 * self.adds[day]
            paid += loss * self.volume[day] * self.wrong_usd
            if (day + 1) % WEEK == 0:
                mixed += self.harmless[day // WEEK]
                if builds(day, loss, mixed):
                    loss, mixed, made = loss * (1 - self.mends[day]), 0.0, made + 1
        return paid + made * self.build_usd, made

    def least(self) -> float:
        """A bound that no policy can be below: the cost of the best builds of whoever knows the whole year ahead.

        Dynamic programming over weeks and a grid of losses. The cost of what is left is concave in the loss, being the
        least of straight lines, so interpolation between points of the grid is never above it.
        """
        grid, left = np.linspace(0, 0.9, GRID), np.zeros(GRID)
        for week in range(DAYS // WEEK - 1, -1, -1):
            days = slice(week * WEEK, (week + 1) * WEEK)
            loss = np.minimum(grid[:, None] + self.adds[days].cumsum(), 0.9)
            paid = loss @ (self.volume[days] * self.wrong_usd)
            kept, built = loss[:, -1], loss[:, -1] * (1 - self.mends[days][-1])
            left = paid + np.minimum(np.interp(kept, grid, left), self.build_usd + np.interp(built, grid, left))
        return float(left[0])


def every(weeks: int):
    return lambda day, loss, mixed: bool(weeks) and (day + 1) % (weeks * WEEK) == 0


def any_drift(world: World, signals: int = SIGNALS):
    """The first signal is the one that drifts most; the others have half of its drift."""
    shares = np.array([1.0, *[0.5] * (signals - 1)])
    return lambda day, loss, mixed: bool((mixed * shares + world.alarm[day // WEEK, :signals] > 1.645).any())


def watch(world: World, known: bool = False):
    """The decision of monitoring/triggers.py, with what an installation knows."""
    last, left, history, past = -1, 0.0, [], []

    def builds(day: int, loss: float, mixed: float) -> bool:
        nonlocal last, left, history
        since = float(day - last)
        error = 0.0 if known else world.noise[day // WEEK]
        sd = 0.002 if known else float(np.hypot(SD_WEEK, BIAS))
        history.append(t.Seen(day=since, loss=loss + error, sd=sd))
        drift = t.drift_of([*past, [s.model_copy(update={"loss": s.loss - left}) for s in history]])
        ahead = t.forecast(history, since, drift, left)
        volume = float(world.volume[day - WEEK + 1 : day + 1].mean())
        economy = t.Economy(
            requests=volume, wrong_usd=world.wrong_usd, build_usd=world.build_usd * world.measured, cooldown_days=7
        )
        due = t.date_trigger(since, economy.date_days)
        decision = t.decide("", since, ahead, economy, due)
        if decision.action == "wait":
            return False
        past.append([s.model_copy(update={"loss": s.loss - left}) for s in history])
        last, left, history = day, (1 - economy.mends) * ahead.mean, []
        return True

    return builds


def family(settings: dict, runs: int, seed: int) -> dict:
    worlds = [World(np.random.default_rng([seed, n]), settings) for n in range(runs)]
    cadence = {k: [w.cost(every(k)) for w in worlds] for k in CADENCES}
    best = min(cadence, key=lambda k: np.mean([usd for usd, _ in cadence[k]]))
    policies = {
        "watch": [w.cost(watch(w)) for w in worlds],
        "cadence": cadence[best],
        "any drift": [w.cost(any_drift(w)) for w in worlds],
        "one signal": [w.cost(any_drift(w, 1)) for w in worlds],
        "known": [w.cost(watch(w, known=True)) for w in worlds],
        "quarterly": cadence[13],
        "never": cadence[0],
        "least": [(w.least(), 0) for w in worlds],
    }
    row = {p: {"usd": float(np.mean([u for u, _ in c])), "builds": float(np.mean([b for _, b in c]))}
           for p, c in policies.items()}  # fmt: skip
    ours, theirs = (np.array([u for u, _ in policies[p]]) for p in ("watch", "cadence"))
    draws = np.random.default_rng(seed).integers(0, runs, (2000, runs))
    ratio = ours[draws].mean(axis=1) / theirs[draws].mean(axis=1)
    row["over"] = [float(ours.mean() / theirs.mean()), *map(float, np.percentile(ratio, [2.5, 97.5]))]
    row["of_drift"] = row["watch"]["usd"] / row["any drift"]["usd"]
    row["best_weeks"] = best
    return row


def summed(rows: dict) -> dict[str, float]:
    """The cost of each policy over all families."""
    policies = ("watch", "cadence", "any drift", "one signal", "known", "least")
    return {p: sum(row[p]["usd"] for row in rows.values()) for p in policies}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seed", type=int, default=23)
    given = parser.parse_args()
    runs = QUICK_RUNS if given.quick else given.runs
    rows = {name: family(s, runs, given.seed) for name, s in FAMILIES.items()}
    print(f"{runs} replays of 12 months in each family; mean cost in US dollars (builds)\n")
    heads = ("watch", "best cadence", "any drift", "known loss")
    widths = (15, 24, 15, 15)
    print(f"{'family':14}", *(f"{h:>{w}}" for h, w in zip(heads, widths, strict=True)), " watch/cadence       /drift")
    for name, row in rows.items():
        cells = {
            p: f"{row[p]['usd']:,.0f} ({row[p]['builds']:.1f})" for p in ("watch", "cadence", "any drift", "known")
        }
        weeks = f"{row['best_weeks']} weeks" if row["best_weeks"] else "never"
        over, low, high = row["over"]
        print(f"{name:14} {cells['watch']:>15} {cells['cadence'] + ' ' + weeks:>24} {cells['any drift']:>15} "
              f"{cells['known']:>15}  {over:.2f} [{low:.2f}, {high:.2f}]  {row['of_drift']:.2f}")  # fmt: skip
    sums = {1.0: summed(rows)}
    for factor in (1 / 3, 3.0):
        cheaper = (
            family({**s, "build": factor * s["build"]}, max(runs // 3, 20), given.seed) for s in FAMILIES.values()
        )
        sums[factor] = summed(dict(enumerate(cheaper)))
    print("\nall families together (targets: 1.05 of the best cadences, .50 of any drift)")
    for factor, s in sums.items():
        print(f"  builds at {factor:.2f} of the price: watch / best cadences {s['watch'] / s['cadence']:.3f}, "
              f"/ any drift {s['watch'] / s['any drift']:.3f}, / one signal {s['watch'] / s['one signal']:.3f}, "
              f"/ known loss {s['watch'] / s['known']:.3f}; of any drift: known loss "
              f"{s['known'] / s['any drift']:.3f}, least {s['least'] / s['any drift']:.3f}")  # fmt: skip
    (HERE / "results").mkdir(exist_ok=True)
    text = json.dumps({"runs": runs, "families": rows, "sums": sums}, indent=1)
    (HERE / "results" / "triggers.json").write_text(text)


if __name__ == "__main__":
    main()
