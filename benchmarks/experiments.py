"""How often live experiments that are checked after every user declare a false winner, and the users they need.

    python benchmarks/experiments.py [--runs 2000] [--users 10000] [--quick]

A/A tests: both arms are the same. Users arrive one by one, are assigned to an arm at random, and the figures are
checked after each user. A run has a false winner if any check excludes "no difference". Cases: resolved or not, at
several base rates; latency (log-normal; means per user, compared on the logarithm); and returning users, each with
their own rate (Beta distribution, correlation .2 within a user), who ask 1 to 20 times in random order, so that a
user's value changes after the first request. `false winners` is the product's method, with one value per user; `by
requests` is the same interval over requests as if they were independent; `peeked z-test` is an ordinary z-test at every
check.

Power: with 70 % and 75 % resolved, the number of users (both arms together) until a difference shows, in 50 % and in
80 % of the runs. Compared with a z-test checked once, at the sample size for 80 % power (Fleiss 1981, without
correction), and with the same z-test at every check, which needs the fewest users but declares false winners in the
share of A/A runs shown. Split: 60 to 40 users where 50 to 50 was planned, and false alarms of the split check.

Intervals and standard errors are computed by the product's functions over cumulative sums. Prints tables, and writes
JSON to `benchmarks/results/experiments.json`. `--quick` takes 200 runs of 2,000 users.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np

from inhouse.monitoring.experiments import (
    FIRST_LOOK,
    LOG_SPREAD,
    SHARE_SPREAD,
    SPLIT_LEVEL,
    radius,
    sample_ratio,
    standard_error,
)

HERE = Path(__file__).parent
Z = 1.959964
AT_ONCE = 100  # runs in one array


class Looks:
    """Estimate and standard error after each user, for many runs at once; shape (runs, users)."""

    def __init__(self, arms: np.ndarray, values: np.ndarray) -> None:
        self.estimate, self.error = self.looked(
            *(np.cumsum(np.where(arms == a, x, 0.0), axis=1) for a in (1, 0) for x in (1.0, values, values**2))
        )

    @staticmethod
    def looked(n1, s1, q1, n0, s0, q0) -> tuple[np.ndarray, np.ndarray]:
        """From the count, sum and sum of squares of each arm."""
        means, variances = [], []
        for n, s, q in ((n1, s1, q1), (n0, s0, q0)):
            m = s / np.maximum(n, 1)
            means.append(m)
            variances.append(np.maximum(q - n * m**2, 0) / np.maximum(n - 1, 1))
        return means[0] - means[1], standard_error(n1, variances[0], n0, variances[1])

    def shown(self, spread: float) -> np.ndarray:
        """Where the product's interval excludes 0."""
        return np.abs(self.estimate) > radius(self.error, spread)

    def peeked(self) -> np.ndarray:
        """Where an ordinary 95 % interval excludes 0."""
        return (self.error > 0) & (np.abs(self.estimate) > Z * self.error)


def assigned(rng: np.random.Generator, runs: int, users: int) -> np.ndarray:
    return rng.integers(0, 2, (runs, users))


# --- A/A --------------------------------------------------------------------------------------------------------


def resolved(rate: float):
    return lambda rng, shape: (rng.random(shape) < rate).astype(float)


def log_latency(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Logarithm of a user's mean of one to six log-normal latencies with sigma .8, a long right tail."""
    requests = rng.integers(1, 7, shape)
    total = sum(np.where(requests > n, rng.lognormal(0.5, 0.8, shape), 0.0) for n in range(6))
    return np.log(total / requests)


def simple_case(draw, spread: float, rng: np.random.Generator, runs: int, users: int) -> dict[str, float]:
    ours = peeked = 0
    for start in range(0, runs, AT_ONCE):
        shape = (min(AT_ONCE, runs - start), users)
        looks = Looks(assigned(rng, *shape), draw(rng, shape))
        ours += looks.shown(spread).any(axis=1).sum()
        peeked += looks.peeked().any(axis=1).sum()
    return {"users": ours / runs, "peeked z": peeked / runs}


def returning_case(rate: float, rng: np.random.Generator, runs: int, users: int) -> dict[str, float]:
    """Returning users; checked after every request."""
    ours = requests = peeked = 0
    for _ in range(runs):
        who, arm, y = returning(rate, rng, users)
        looks = by_user(who, arm, y)
        ours += np.any(np.abs(looks[0]) > radius(looks[1], SHARE_SPREAD))
        peeked += np.any((looks[1] > 0) & (np.abs(looks[0]) > Z * looks[1]))
        naive = Looks(arm[who][None], y[None])
        requests += np.any(naive.shown(SHARE_SPREAD))
    return {"users": ours / runs, "peeked z": peeked / runs, "requests": requests / runs}


def returning(rate: float, rng: np.random.Generator, users: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The user of each request in order, the arm of each user, and the outcome of each request."""
    count = np.minimum(rng.geometric(0.2, users), 20)
    who = np.repeat(np.arange(users), count)
    first = rng.random(users)
    at = np.where(np.r_[True, who[1:] != who[:-1]], first[who], first[who] + rng.exponential(0.2, len(who)))
    who = who[np.argsort(at)]
    own = rng.beta(4 * rate, 4 * (1 - rate), users)  # correlation within a user 1 / (1 + 4)
    return who, rng.integers(0, 2, users), (rng.random(len(who)) < own[who]).astype(float)


def by_user(who: np.ndarray, arm: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Estimate and standard error over the users' means after each request."""
    order = np.argsort(who, kind="stable")
    starts = np.r_[True, who[order][1:] != who[order][:-1]]
    block = np.cumsum(starts) - 1
    begin = np.flatnonzero(starts)
    total = np.cumsum(y[order])
    total = total - np.r_[0.0, total][begin][block]
    mean = total / (np.arange(len(who)) - begin[block] + 1)
    before = np.where(starts, 0.0, np.r_[0.0, mean[:-1]])
    change = np.empty((3, len(who)))  # of the number of users, the sum of their means, and the sum of squares
    change[:, order] = [starts.astype(float), mean - before, mean**2 - before**2]
    sums = [np.cumsum(np.where(arm[who] == a, row, 0.0)) for a in (1, 0) for row in change]
    return Looks.looked(*sums)


# --- power and split --------------------------------------------------------------------------------------------


def power(rng: np.random.Generator, runs: int, low: float, high: float) -> dict[str, float]:
    users = 12_000
    first: dict[str, list[int]] = {"ours": [], "peeked z": []}
    fixed_users = 2 * fixed_size(low, high)
    fixed = 0
    for start in range(0, runs, AT_ONCE):
        shape = (min(AT_ONCE, runs - start), users)
        arms = assigned(rng, *shape)
        looks = Looks(arms, (rng.random(shape) < np.where(arms == 1, high, low)).astype(float))
        for name, shown in (("ours", looks.shown(SHARE_SPREAD)), ("peeked z", looks.peeked())):
            first[name] += np.where(shown.any(axis=1), shown.argmax(axis=1) + 1, users + 1).tolist()
        fixed += looks.peeked()[:, fixed_users - 1].sum()
    figures = {"fixed z users": fixed_users, "fixed z power": fixed / runs}
    for name, at in first.items():
        for share in (50, 80):
            figures[f"{name} users {share} %"] = float(np.percentile(at, share, method="higher"))
        figures[f"{name} mean users"] = float(np.mean(at))
    return figures


def fixed_size(low: float, high: float) -> int:
    """Users in each arm for 80 % power at a two-sided level of 5 %."""
    mean = (low + high) / 2
    root = Z * math.sqrt(2 * mean * (1 - mean)) + 0.841621 * math.sqrt(low * (1 - low) + high * (1 - high))
    return math.ceil((root / (high - low)) ** 2)


def split(rng: np.random.Generator, runs: int, users: int) -> dict[str, float]:
    alarms = sum(sample_ratio(rng.integers(0, 2, users), [1, 1]) < SPLIT_LEVEL for _ in range(runs))
    skewed = [rng.random(users) < 0.4 for _ in range(runs)]
    detected = [sample_ratio(s.astype(int), [1, 1]) < SPLIT_LEVEL for s in skewed]
    at_500 = [sample_ratio(s[:500].astype(int), [1, 1]) < SPLIT_LEVEL for s in skewed]
    return {
        "false alarms": alarms / runs,
        "60/40 detected": sum(detected) / runs,
        "60/40 detected by 500": sum(at_500) / runs,
    }


# --- all --------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="simulated experiments of each case")
    parser.add_argument("--users", type=int, default=10_000, help="users in each experiment")
    parser.add_argument("--quick", action="store_true", help="200 runs of 2,000 users")
    given = parser.parse_args()
    if given.quick:
        given.runs, given.users = 200, 2000
    rng = np.random.default_rng(7)
    started = time.perf_counter()
    print(f"{given.runs} A/A runs of {given.users} users, checked after each user once both arms have {FIRST_LOOK}")
    print(f"{'case':<34}{'false winners':>14}{'peeked z-test':>15}{'by requests':>13}")
    cases = {f"resolved {rate:.0%}": (resolved(rate), SHARE_SPREAD) for rate in (0.02, 0.1, 0.3, 0.5, 0.7, 0.95)}
    cases["latency, log of a user's mean"] = (log_latency, LOG_SPREAD)
    a_a = {}
    for name, (draw, spread) in cases.items():
        a_a[name] = simple_case(draw, spread, rng, given.runs, given.users)
        show(name, a_a[name])
    for rate in (0.1, 0.7):
        name = f"returning users, resolved {rate:.0%}"
        a_a[name] = returning_case(rate, rng, given.runs, given.users // 4)
        show(name, a_a[name])
    result = {"runs": given.runs, "users": given.users, "a_a": a_a, "power": power(rng, given.runs, 0.70, 0.75),
             "split": split(rng, given.runs, given.users)}  # fmt: skip
    for part in ("power", "split"):
        print(f"\n{part}")
        for name, value in result[part].items():
            print(f"  {name:<28}{value:>10,.3f}" if value <= 1 else f"  {name:<28}{value:>10,.0f}")
    print(f"\n{time.perf_counter() - started:.0f} s")
    out = HERE / "results" / "experiments.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def show(name: str, row: dict[str, float]) -> None:
    requests = f"{row['requests']:.1%}" if "requests" in row else ""
    print(f"{name:<34}{row['users']:>14.1%}{row['peeked z']:>15.1%}{requests:>13}", flush=True)


if __name__ == "__main__":
    main()
