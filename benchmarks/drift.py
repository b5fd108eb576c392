"""How often the monitors of drift raise a false alarm, and how soon they find a planted shift and name its questions.

    python benchmarks/drift.py [--months 200] [--question-months 40] [--seeds 10] [--cache FOLDER] [--quick]

Traffic is simulated from real questions (banking77 and CLINC150 in ../shared/data, and the tests of the example bank),
embedded with the product's default embedder: 28 usual days, then 30 days that are looked at each evening. Users come
back (4,000 of them, some ask 20 times as often as others), each has a favorite topic and habits of their own; the mix
of topics, and every figure, differ by day of the week and by day.

A/A: nothing changes. `means` are the twelve monitors without embeddings, over `--months` months at 1,000 requests a
day, and again at 50; `all` are all fourteen with embeddings, over `--question-months` months. Beside them a
Kolmogorov-Smirnov test (shares: a z-test) a column and day at p < .05, as dashboards of drift do by default, the same
with Bonferroni over columns, and the product's test without its margins of harm.

Planted: each shift begins after the usual days and is looked at once, at the end of its first day, in `--seeds` months
each. `found` is an alarm of a monitor that the shift is about; `named` is the share of the questions shown as examples
that belong to the shift.

Writes benchmarks/results/drift.json.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from scipy.stats import ks_2samp, norm

from inhouse.config.sections import Retrieval
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.monitoring import drift, windows
from inhouse.monitoring.monitors import MONITORS
from inhouse.monitoring.subjects import Embedded, examine, questions_of
from inhouse.monitoring.topics import Questions
from inhouse.types import digest_of

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
USUAL, LOOKS, USERS = 28, 30, 4000
UNTIL = datetime(2026, 11, 30, tzinfo=UTC)
DAY_CONCENTRATION = 2000.0  # of the topics of a day around those of its day of the week: 1.3 % vary by a fifth
OWN_TOPIC = 0.3  # of what a user asks
AA_LIMIT = 1.0
MEANS = [m for m in MONITORS.values() if m.kind not in ("area", "group")]


# --- questions --------------------------------------------------------------------------------------------------


@dataclass
class Pool:
    """Questions by topic, with their vectors."""

    texts: list[str]
    topic: np.ndarray
    vectors: np.ndarray
    members: list[np.ndarray] = field(init=False)

    def __post_init__(self):
        self.members = [np.flatnonzero(self.topic == k) for k in range(int(self.topic.max()) + 1)]


def embedder():
    name = Retrieval().embedder
    return OnnxEmbedder(Catalog().find(name, Path()), name=name)


def embedded(texts, cache: Path):
    file = cache / f"{digest_of(texts)[:16]}.npy"
    if not file.is_file():
        model = embedder()
        made = np.concatenate([model.embed(texts[i : i + 256]) for i in range(0, len(texts), 256)])
        cache.mkdir(parents=True, exist_ok=True)
        np.save(file, made.astype("float32"))
    return np.load(file)


def pool_of(rows, cache) -> Pool:
    names = sorted({topic for _, topic in rows})
    texts = [text for text, _ in rows]
    return Pool(texts, np.array([names.index(t) for _, t in rows]), embedded(texts, cache))


def lines(file: Path):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def pools(cache: Path) -> dict[str, Pool]:
    bank = [(r["text"], r["intent"]) for r in lines(DATA / "bank" / "intents_train.jsonl")]
    clinc = [(r["text"], r["intent"]) for r in lines(DATA / "router" / "train.jsonl") if r["intent"] != "oos"]
    return {"bank": pool_of(bank, cache), "clinc": pool_of(clinc, cache)}


# --- traffic ----------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """A request as the product's monitors read it."""

    exchange: str
    at: str
    user: str
    question: str
    answer: str
    retrieval: float | None
    passages: int
    handed_off: bool
    reason: str
    latency_s: float
    cost_usd: float
    findings: tuple[str, ...]


RATES = {"nothing found": 0.04, "no answer": 0.12, "apologies": 0.06, "exclamations": 0.2, "findings": 0.02,
         "errors": 0.004, "language of questions": 0.01, "language of answers": 0.01}  # fmt: skip
SHIFTS = {  # what is planted: monitor -> change of the rate, or of the mean
    "worse index": {"retrieval score": -0.12, "nothing found": 0.14},
    "longer answers": {"length of answers": np.log(1.9), "cost": np.log(1.6)},
    "more hand-offs": {"no answer": 0.15},
    "slower engine": {"latency": np.log(2.0)},
    "guardrail findings": {"findings": 0.08},
    "other language": {"language of questions": 0.20, "language of answers": 0.20},
}


@dataclass
class Month:
    """Usual days and the days after them: day, user, and topic or pool row of each request, and every figure."""

    day: np.ndarray
    user: np.ndarray
    row: np.ndarray
    planted: np.ndarray
    figures: dict[str, np.ndarray]


def who(rng, per_day, days):
    weight = rng.lognormal(0, 1.0, USERS)
    user = rng.choice(USERS, per_day * days, p=weight / weight.sum())
    return np.repeat(np.arange(-days, 0), per_day), user


def figures(rng, day, user, shifts) -> dict[str, np.ndarray]:
    """Every mean of a request: habits of users, days of the week, days, and noise; shifts from day -LOOKS on."""
    n, late = len(day), day >= -LOOKS
    first = int(-day.min())
    found = {}
    for name, rate in RATES.items():
        habit = rng.beta(4 * rate, 4 * (1 - rate), USERS)
        each = 0.1 * rate * rng.standard_normal(first) + 0.15 * rate * rng.standard_normal(7)[np.arange(-first, 0) % 7]
        p = habit[user] + each[day + first] + late * shifts.get(name, 0.0)
        found[name] = (rng.random(n) < p).astype(float)

    def level(spread, habit, by_day, shift):
        days = by_day * rng.standard_normal(first) + by_day * rng.standard_normal(7)[np.arange(-first, 0) % 7]
        own = habit * rng.standard_normal(USERS)
        return own[user] + days[day + first] + spread * rng.standard_normal(n) + late * shift

    found["retrieval score"] = np.clip(0.62 + level(0.14, 0.05, 0.01, shifts.get("retrieval score", 0.0)), 0, 1)
    found["length of answers"] = 3.6 + level(0.5, 0.2, 0.03, shifts.get("length of answers", 0.0))
    found["latency"] = 0.1 + level(0.6, 0.1, 0.08, shifts.get("latency", 0.0))
    found["cost"] = -8.5 + level(0.5, 0.2, 0.03, shifts.get("cost", 0.0))
    for name in ("retrieval score", "nothing found"):
        found[name][found["errors"] > 0] = np.nan
    return found


def topics_of(rng, pool, day, user, kind, without=()):
    """Rows of the pool for each request, and which are planted; `without` are topics that usual traffic has not."""
    topics = len(pool.members)
    base = rng.dirichlet(np.full(topics, 2.0))
    base[list(without)] = 0
    base /= base.sum()
    first = int(-day.min())
    week = rng.dirichlet(np.full(topics, 30.0), 7)
    mixes = np.stack([rng.dirichlet(DAY_CONCENTRATION * m / m.sum() + 1e-9)
                      for d in range(-first, 0) for m in [base * week[d % 7]]])  # fmt: skip
    edges = mixes.cumsum(1)
    drawn = rng.random(len(day))
    topic = np.empty(len(day), dtype=int)
    for d in range(first):
        own = day == d - first
        topic[own] = np.searchsorted(edges[d], drawn[own]).clip(0, topics - 1)
    favorite = rng.choice(topics, USERS, p=base)
    loyal = rng.random(len(day)) < OWN_TOPIC
    topic = np.where(loyal, favorite[user], topic)
    planted = np.zeros(len(day), dtype=bool)
    late = day >= -LOOKS
    if kind == "topic mix":
        chosen = rng.choice(np.flatnonzero(base > 0), 6, replace=False)
        planted = late & (rng.random(len(day)) < 0.20)
        topic = np.where(planted, rng.choice(chosen, len(day)), topic)
        planted = late & np.isin(topic, chosen)
    elif kind == "new product":
        planted = late & (rng.random(len(day)) < 0.05)
        topic = np.where(planted, rng.choice(list(without), len(day)), topic)
    pick = rng.random(len(day))
    sizes = np.array([len(m) for m in pool.members])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    flat = np.concatenate(pool.members)
    return flat[starts[topic] + (pick * sizes[topic]).astype(int)], planted


def month(rng, pool, per_day=1000, kind="", days=USUAL + LOOKS) -> Month:
    day, user = who(rng, per_day, days)
    without = [int(rng.integers(len(pool.members)))] if kind == "new product" else []
    row, planted = topics_of(rng, pool, day, user, kind, without)
    made = figures(rng, day, user, SHIFTS.get(kind, {}))
    return Month(day, user, row, planted, made)


# --- looks ------------------------------------------------------------------------------------------------------


def units(m: Month, name, upto):
    """The units of a monitor as they are seen at the end of day `upto`, which is then day -1."""
    keep = m.day <= upto
    return windows.units_of(m.day[keep] - upto - 1, m.user[keep], m.figures[name][keep])


def looks_of_means(m: Month, looks=LOOKS, margins=True):
    """The raw p-values of a month, by look and monitor; None where there is not enough traffic."""
    found = []
    for look in range(looks):
        upto = look - LOOKS
        usual = range(-USUAL - look - 1, -look - 1)
        row = {}
        for monitor in MEANS:
            judged = drift.judge(monitor if margins else bare(monitor), units(m, monitor.name, upto), usual, USERS,
                                 len(MONITORS))  # fmt: skip
            row[monitor.name] = judged.p if judged.enough else None
        found.append(row)
    return found


def bare(monitor):
    return type(monitor)(**{**monitor.__dict__, "harmless": 0.0})


def alarms(row) -> list[str]:
    tested = {name: p for name, p in row.items() if p is not None}
    adjusted = windows.holm(tested, len(MONITORS))
    return [name for name, p in adjusted.items() if p <= windows.daily_level()]


def daily_tests(m: Month, look):
    """p-values of a test a column of the last day against all usual requests, as if requests were independent."""
    now, then = m.day == look - LOOKS, m.day < -LOOKS
    found = []
    for monitor in MEANS:
        a, b = m.figures[monitor.name][now], m.figures[monitor.name][then]
        a, b = a[~np.isnan(a)], b[~np.isnan(b)]
        if monitor.kind == "share":
            rate = np.concatenate([a, b]).mean()
            error = np.sqrt(rate * (1 - rate) * (1 / len(a) + 1 / len(b)))
            found.append(float(2 * norm.sf(abs(a.mean() - b.mean()) / error)) if error else 1.0)
        else:
            found.append(float(ks_2samp(a, b, method="asymp").pvalue))
    return np.array(found)


def aa_means(args, per_day, months):
    """False alarms of the monitors without embeddings, and those of simpler tests beside them."""
    product, without, plain, corrected, silent = [], [], [], [], []
    for n in range(months):
        rng = np.random.default_rng([1, per_day, n])
        day, user = who(rng, per_day, USUAL + LOOKS)
        m = Month(day, user, day, day < -1000, figures(rng, day, user, {}))
        rows = looks_of_means(m)
        product.append(sum(len(alarms(row)) for row in rows))
        silent.append(np.mean([p is None for row in rows for p in row.values()]))
        if n < months // 4:
            without.append(sum(len(alarms(row)) for row in looks_of_means(m, margins=False)))
            tests = [daily_tests(m, look) for look in range(LOOKS)]
            plain.append(int(sum((t < 0.05).sum() for t in tests)))
            corrected.append(int(sum((t < 0.05 / len(MEANS)).sum() for t in tests)))
    return {
        "requests a day": per_day, "months": months, "false alarms a month": float(np.mean(product)),
        "months with any": float(np.mean(np.array(product) > 0)),
        "not enough traffic": float(np.mean(silent)),
        "without margins": float(np.mean(without)), "p < .05 a column": float(np.mean(plain)),
        "with Bonferroni": float(np.mean(corrected)), "months of those": len(plain),
    }  # fmt: skip


def seen_at(m: Month, look, pool):
    """The traffic and its embedded questions at the end of a day."""
    keep = m.day <= look - LOOKS
    day, user, row = m.day[keep] - (look - LOOKS) - 1, m.user[keep], m.row[keep]
    usual = range(-USUAL - look - 1, -look - 1)
    seen = drift.Traffic(_Lazy(m, keep, pool), day, user, UNTIL, usual)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(day))
    _, at = np.unique(np.stack([day[order], user[order]]), axis=1, return_index=True)
    rows = order[np.sort(at)]
    return seen, Embedded(Questions(day[rows], user[rows], pool.vectors[row[rows]]), rows)


class _Lazy:
    """Rows that are made when they are asked for."""

    def __init__(self, m: Month, keep, pool):
        self.m, self.at, self.pool = m, np.flatnonzero(keep), pool

    def __len__(self):
        return len(self.at)

    def __getitem__(self, n):
        return request(self.m, int(self.at[n]), self.pool)


OTHER = {True: "¿Cómo puedo pedir una tarjeta nueva para mi cuenta de ahorros, por favor?", False: ""}


def request(m: Month, n: int, pool) -> Row:
    f = {name: values[n] for name, values in m.figures.items()}
    foreign = bool(f["language of questions"])
    words = max(1, round(float(np.exp(f["length of answers"]))))
    text = ("Sorry, " if f["apologies"] else "") + " ".join(["the card is sent to you in a few days"] * (words // 9 + 1))
    text += "!" if f["exclamations"] else "."
    spanish = " ".join(["la tarjeta nueva llega a su casa en pocos días"] * (words // 9 + 1))
    at = UNTIL + timedelta(days=int(m.day[n]) + 0.5)
    return Row(
        exchange=f"{'planted' if m.planted[n] else 'usual'}-{n}", at=at.isoformat(), user=f"u{m.user[n]}",
        question=OTHER[True] if foreign else pool.texts[int(m.row[n])],
        answer=spanish if f["language of answers"] else text,
        retrieval=None if np.isnan(f["retrieval score"]) else float(f["retrieval score"]),
        passages=0 if f["nothing found"] == 1 else 4, handed_off=bool(f["no answer"]),
        reason="error" if f["errors"] else "stop", latency_s=float(np.exp(f["latency"])),
        cost_usd=float(np.exp(f["cost"])), findings=("pii",) if f["findings"] else (),
    )  # fmt: skip


def aa_questions(pools, months, per_day=1000):
    """False alarms of the two monitors on embeddings, with the level that they have among all fourteen."""
    level = windows.single_level(len(MONITORS))
    counts, states = [], []
    for n in range(months):
        rng = np.random.default_rng([2, per_day, n])
        pool = pools[("bank", "clinc")[n % 2]]
        m = month(rng, pool, per_day)
        count = 0
        for look in range(LOOKS):
            seen, own = seen_at(m, look, pool)
            found = questions_of(seen, own, level)
            states += [r.state == "not enough traffic" for r in found.values()]
            count += sum(r.p <= level for r in found.values() if r.state != "not enough traffic")
        counts.append(count)
    return {"requests a day": per_day, "months": months, "false alarms a month": float(np.mean(counts)),
            "not enough traffic": float(np.mean(states))}  # fmt: skip
