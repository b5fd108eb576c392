"""How often a canary that is no worse is rolled back, how fast one that is worse is, and what users see of it.

    python benchmarks/rollback.py [--runs 1000] [--only simulate|servers]

Simulated canaries, looked at after every answer, all seven metrics together. `A/A`: both releases are the same; users
ask once, or return (geometric, five answers on average, each user with rates of their own: Beta, correlation .2). Then
one metric of the challenger is worse by ten points, all others the same, at a share of 10 %: the share of runs that are
rolled back within 400 answers of the challenger, the median number of its answers, and the same for a share of 50 %.
`accuracy`: ten points fewer right answers, of which the guards see only the calibrated confidence (AUROC .75). Beside
it a z-test on each metric, looked at after each answer at a level of 1 % / 7 (`peeked z`).

Servers: two gateway processes over a scripted champion and challenger, on SQLite and on PostgreSQL (where
$INHOUSE_TEST_POSTGRES is set), a canary of 50 %, users who ask all the time. The challenger begins to fail; the time
from the decision to its last answer, errors that users saw that were not the challenger's own, and what is served. Then
the same with a kill -9 of one process, and of both right between the record of the incident and the change, and a
restart. Prints tables, and writes JSON to `benchmarks/results/rollback.json`.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy.stats import norm

from inhouse.monitoring.guards import DEFAULTS, LEVEL, METRICS, Guards

HERE = Path(__file__).parent
LIMIT = 400  # answers of the challenger
BASE = {"errors": 0.01, "handoffs": 0.05, "refusals": 0.02}
Z = norm.isf(LEVEL / len(METRICS))


class Peeked:
    """A one-sided z-test of each metric, looked at after each answer once both arms have 30."""

    def __init__(self, runs):
        self.n, self.s, self.q = (np.zeros((len(METRICS), 2, runs)) for _ in range(3))
        self.found = np.zeros(runs, dtype=bool)
        self.runs = np.arange(runs)

    def answer(self, arm, values):
        x = np.stack([np.broadcast_to(values.get(name, np.nan), arm.shape) for name in METRICS])
        known = ~np.isnan(x)
        x = np.where(known, x, 0)
        for sums, value in ((self.n, known), (self.s, x), (self.q, x * x)):
            sums[:, arm.astype(int), self.runs] += value
        mean = self.s / np.maximum(self.n, 1)
        spread = np.maximum(self.q / np.maximum(self.n, 1) - mean**2, 1e-9) / np.maximum(self.n, 1)
        z = (mean[:, 1] - mean[:, 0]) / np.sqrt(spread.sum(axis=1))
        self.found |= ((z > Z) & (self.n >= 30).all(axis=1)).any(axis=0)


def values(rng, arm, worse, by, rate=None):
    """How bad the answers of all runs are, by metric; the challenger's are worse in one of them."""
    n, more = len(arm), by * arm
    found = {
        name: (rng.random(n) < (p if rate is None else rate * p) + more * (worse == name)).astype(float)
        for name, p in BASE.items()
    }
    found["latency"] = rng.lognormal(0, 0.5, n) * np.where(arm & (worse == "latency"), 1.35, 1)
    right = rng.random(n) < 0.85 - more * (worse == "accuracy")
    score = np.where(right, rng.normal(0.954, 1, n), rng.normal(0, 1, n))  # AUROC .75
    confidence = 1 / (1 + 0.15 / 0.85 * np.exp(-0.954 * score + 0.954**2 / 2))  # P(right) at a rate of .85
    found["confidence"] = 1 - np.clip(confidence - more * (worse == "confidence"), 0, 1)
    mean = 0.25 + more * (worse == "groundedness")
    found["groundedness"] = np.where(rng.random(n) < 0.8, rng.beta(3 * mean, 3 * (1 - mean)), np.nan)
    voted = rng.random(n) < 0.2
    return found, np.where(voted, rng.random(n) < 0.15 + more * (worse == "thumbs"), np.nan)


def simulate(seed, runs, share, answers, worse="", by=0.1, returning=False):
    """Rolled back by us and by the peeked test; the challenger's answers until then, infinite where it was not."""
    rng, guards, peeked = np.random.default_rng(seed), Guards(share, DEFAULTS, runs=runs), Peeked(runs)
    theirs, caught = np.zeros(runs), np.full(runs, np.inf)
    users = answers // 5 if returning else answers
    arms, rates = rng.random((runs, users)) < share, rng.beta(4 * 0.25, 4 * 0.75, (runs, users)) / 0.25
    for n in range(answers):
        who = rng.integers(0, users, runs) if returning else np.full(runs, n)
        at = np.arange(runs), who
        arm = arms[at]
        found, votes = values(rng, arm, worse, by, rates[at] if returning else None)
        guards.answer(arm, found, who)
        guards.vote(arm, votes, who)
        peeked.answer(arm, {**found, "thumbs": votes})
        theirs += arm
        now = np.any([*guards.worse().values(), *guards.missing().values()], axis=0)
        caught[np.isinf(caught) & now] = theirs[np.isinf(caught) & now]
    return caught, peeked.found


def false_alarms(runs):
    rows = {}
    for name, share, answers, returning in (
        ("share 10%, one answer a user", 0.1, 2000, False), ("share 50%, one answer a user", 0.5, 800, False),
        ("share 10%, returning users", 0.1, 1000, True), ("share 50%, returning users", 0.5, 800, True),
    ):  # fmt: skip
        caught, peeked = simulate(1, runs, share, answers, returning=returning)
        rows[name] = {"runs": runs, "answers": answers, "false": float(np.isfinite(caught).mean()),
                      "peeked z": float(peeked.mean())}  # fmt: skip
        print(f"{name:<34}{answers:>8}{rows[name]['false']:>10.1%}{rows[name]['peeked z']:>12.1%}", flush=True)
    return rows


def drops(runs):
    rows = {}
    for worse in ("accuracy", *METRICS):
        rows[worse] = {}
        for share in (0.1, 0.5):
            caught, _ = simulate(2, runs, share, round(LIMIT / share * 1.05), worse)
            within = caught <= LIMIT
            median = float(np.median(caught)) if within.mean() > 0.5 else None
            rows[worse][f"{share:.0%}"] = {"caught": float(within.mean()), "median": median}
        ten, half = rows[worse]["10%"], rows[worse]["50%"]
        print(f"{worse:<16}{ten['caught']:>10.1%}{ten['median'] or float('nan'):>9.0f}"
              f"{half['caught']:>12.1%}{half['median'] or float('nan'):>9.0f}", flush=True)  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulated A/A canaries of each case")
    parser.add_argument("--only", choices=["alarms", "drops", "servers"], help="one part")
    given = parser.parse_args()
    started, out = time.perf_counter(), HERE / "results" / "rollback.json"
    out.parent.mkdir(exist_ok=True)
    result = json.loads(out.read_text()) if given.only and out.exists() else {}
    if given.only in (None, "alarms"):
        print(f"A/A, {given.runs} canaries, looked at after each answer, {len(METRICS)} metrics together")
        print(f"{'case':<34}{'answers':>8}{'false':>10}{'peeked z':>12}")
        result["a_a"] = false_alarms(given.runs)
    if given.only in (None, "drops"):
        runs = max(200, given.runs // 4)
        print(
            f"\nten points worse in one metric, {runs} canaries: rolled back within {LIMIT} answers of the challenger"
        )
        print(f"{'metric':<16}{'share 10%':>10}{'median':>9}{'share 50%':>12}{'median':>9}")
        result["drops"] = drops(runs)
    print(f"\n{time.perf_counter() - started:.0f} s")
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
