"""How often the monitors of drift raise a false alarm, and how soon they find a planted shift and name its questions.

    python benchmarks/drift.py [--months 200] [--question-months 20] [--seeds 5] [--cache FOLDER] [--quick]
    python benchmarks/drift.py --seed 1 --pools concierge      # other traffic, other questions

Traffic is simulated from real questions (banking77 and CLINC150 in ../shared/data, and harmless questions of other
languages; `concierge` has what guests of the concierge asked, whose topics are clusters of its words), embedded with
the product's default embedder: 28 usual days, then 30 days that are looked at each evening. 4,000 users come back (log-
normal: some ask 20 times as often as others), each has a favorite topic and habits; the mix of topics and every figure
differ by day of the week and by day.

A/A: nothing changes. `means` are the twelve monitors without embeddings, over `--months` months at 1,000 requests a
day and at 50; `questions` are the two with embeddings, over `--question-months` months. Both have the level that they
have in the family of all fourteen. Beside them, on the first quarter of the months: a test a column and day at p < .05
on requests as if these were independent (Kolmogorov-Smirnov; a z-test for shares), as dashboards of drift do by
default; the same with Bonferroni over columns; and the product's test without its margins of harm.

Planted: a shift begins after the usual days. Each of its first four days is looked at by itself, in `--seeds` months
each. `found` is the share of these days with an alarm of a monitor that the shift is about; `named` is the share of the
questions shown as examples that belong to the shift, where the shift has new questions.

Writes benchmarks/results/drift.json.
"""

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.cluster.vq import kmeans2
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds
from scipy.stats import ks_2samp, norm

from inhouse.config.sections import Retrieval
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.monitoring import drift, windows
from inhouse.monitoring.drift import Traffic
from inhouse.monitoring.monitors import MONITORS
from inhouse.monitoring.subjects import Embedded, explained, questions_of
from inhouse.monitoring.topics import Questions
from inhouse.text.language import language
from inhouse.text.words import content_words
from inhouse.types import digest_of

HERE = Path(__file__).parent
DATA = HERE.parent.parent / "shared" / "data"
USUAL, LOOKS, USERS = 28, 30, 4000
UNTIL = datetime(2026, 11, 30, tzinfo=UTC)
DAY_CONCENTRATION = 2000.0  # of the topics of a day around those of its day of the week: one of 1.3 % varies by a fifth
OWN_TOPIC = 0.3  # share of a user's questions that are about a favorite topic
FOREIGN = ("es", "de", "fr", "it", "pt")
WATCHED = [m for m in MONITORS.values() if m.kind not in ("area", "group")]
LEVEL = windows.single_level(len(MONITORS))
SEED: list[int] = []  # before every other number that traffic is drawn from


# --- questions --------------------------------------------------------------------------------------------------


@dataclass
class Pool:
    """Questions by topic, with their vectors."""

    texts: list[str]
    topic: np.ndarray
    vectors: np.ndarray
    topics: int  # those after are of other languages
    members: list[np.ndarray] = field(init=False)
    rare: np.ndarray = field(init=False)  # whether the language is not English, NaN where that is not clear

    def __post_init__(self):
        self.members = [np.flatnonzero(self.topic == k) for k in range(int(self.topic.max()) + 1)]
        codes = [language(t) for t in self.texts]
        self.rare = np.array([np.nan if not c else float(c != "en") for c in codes])


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
    files = [HERE / f"jailbreak_languages{which}.tsv" for which in ("", "_blind")]
    others = [line.split("\t") for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    foreign = [text for code, kind, text in others if kind == "harmless" and code in FOREIGN]
    texts = [*(text for text, _ in rows), *foreign]
    topic = [*(names.index(t) for _, t in rows), *[len(names)] * len(foreign)]
    return Pool(texts, np.array(topic), embedded(texts, cache), len(names))


def lines(file: Path):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def bank(data: Path):
    return [(r["text"], r["intent"]) for r in lines(data / "bank" / "intents_train.jsonl")]


def clinc(data: Path):
    return [(r["text"], r["intent"]) for r in lines(data / "router" / "train.jsonl") if r["intent"] != "oos"]


def concierge(data: Path):
    """What guests said, with a topic by its words: nobody has named any. k-means on 60 directions of TF-IDF."""
    rows = lines(data / "concierge" / "conversations.jsonl")
    texts = sorted({m["content"] for r in rows for m in r["messages"] if m["role"] == "user"})
    terms = [sorted(set(content_words(text))) for text in texts]
    often = Counter(t for own in terms for t in own)
    column = {t: n for n, t in enumerate(t for t, count in often.items() if count >= 5)}
    at = [(row, column[t], np.log(len(texts) / often[t])) for row, own in enumerate(terms) for t in own if t in column]
    row, col, weight = (np.array(part) for part in zip(*at, strict=True))
    left, size, _ = svds(csr_matrix((weight, (row, col)), (len(texts), len(column))), 60, rng=0)
    place = left * size
    place /= np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-9)
    _, topic = kmeans2(place, 60, minit="++", rng=0)
    many = Counter(topic.tolist())
    return [(text, f"{t:02}") for text, t in zip(texts, topic, strict=True) if many[t] >= 20]


POOLS = {"bank": bank, "clinc": clinc, "concierge": concierge}


def pools(names, data: Path, cache: Path, most: int) -> list[Pool]:
    """Those of the names, with at most so many questions each."""
    found = []
    for name in names:
        rows = POOLS[name](data)
        keep = np.sort(np.random.default_rng(0).permutation(len(rows))[: most or len(rows)])
        found.append(pool_of([rows[n] for n in keep], cache))
    return found


# --- traffic ----------------------------------------------------------------------------------------------------

RATES = {"nothing found": 0.04, "no answer": 0.12, "apologies": 0.06, "exclamations": 0.2, "findings": 0.02,
         "errors": 0.004, "language of questions": 0.01, "language of answers": 0.01}  # fmt: skip
MEANS = {"retrieval score": (0.62, 0.14, 0.05, 0.01), "length of answers": (3.6, 0.5, 0.2, 0.03),
         "latency": (0.1, 0.6, 0.1, 0.08), "cost": (-8.5, 0.5, 0.2, 0.03)}  # fmt: skip
"""Level, noise of a request, habit of a user, and variation by day, of the other figures."""
LOCATED = 0.25  # share of the traffic whose topics a shift of an index, of hand-offs, or of findings is about
SHIFTS = {
    "topic mix, 20 %": {"topics": 0, "new questions": 0},
    "new product, 5 %": {"topics": 0, "new questions": 0},
    "other language, 20 %": {"topics": 0, "new questions": 0, "language of questions": 0},
    "worse index": {"retrieval score": -0.12, "nothing found": 0.12},
    "more hand-offs, +15 points": {"no answer": 0.15},
    "findings, +8 points": {"findings": 0.08},
    "longer answers, x 1.9": {"length of answers": float(np.log(1.9)), "cost": float(np.log(1.6))},
    "slower engine, x 2": {"latency": float(np.log(2.0))},
}
"""What is planted: the monitors that it is about, with the change of their mean over all requests."""
NAMED = list(SHIFTS)[:6]  # those with questions of their own


@dataclass
class Month:
    """Usual days, which are negative, and the days from 0 on; row of the pool and every figure of each request."""

    day: np.ndarray
    user: np.ndarray
    row: np.ndarray
    planted: np.ndarray
    figures: dict[str, np.ndarray]


def who(rng, per_day):
    weight = rng.lognormal(0, 1.0, USERS)
    user = rng.choice(USERS, per_day * (USUAL + LOOKS), p=weight / weight.sum())
    return np.repeat(np.arange(-USUAL, LOOKS), per_day), user


def figures(rng, day, user, shifts, where) -> dict[str, np.ndarray]:
    """Every mean of a request: habits of users, days of the week, days, and noise; shifts for the requests `where`."""
    n, days, found = len(day), np.arange(USUAL + LOOKS), {}
    late = where * (where[day >= 0].size / max(where[day >= 0].sum(), 1))
    for name, rate in RATES.items():
        habit = rng.beta(4 * rate, 4 * (1 - rate), USERS)
        each = 0.1 * rate * rng.standard_normal(len(days)) + 0.15 * rate * rng.standard_normal(7)[days % 7]
        found[name] = (rng.random(n) < habit[user] + each[day + USUAL] + late * shifts.get(name, 0.0)).astype(float)
    for name, (level, noise, habit, by_day) in MEANS.items():
        each = by_day * rng.standard_normal(len(days)) + by_day * rng.standard_normal(7)[days % 7]
        own = habit * rng.standard_normal(USERS)
        found[name] = level + own[user] + each[day + USUAL] + noise * rng.standard_normal(n)
        found[name] += late * shifts.get(name, 0.0)
    found["retrieval score"] = np.clip(found["retrieval score"], 0, 1)
    found["retrieval score"][found["nothing found"] > 0] = np.nan
    return found


def asked(rng, pool, day, user, kind):
    """A row of the pool for each request, and which are planted."""
    base = rng.dirichlet(np.full(pool.topics, 2.0))
    new = int(rng.integers(pool.topics))
    if kind.startswith("new product"):
        base[new] = 0
    base /= base.sum()
    week = rng.dirichlet(np.full(pool.topics, 30.0), 7)
    drawn, topic = rng.random(len(day)), np.empty(len(day), dtype=int)
    for d in range(-USUAL, LOOKS):
        mix = base * week[d % 7]
        edges = rng.dirichlet(DAY_CONCENTRATION * mix / mix.sum() + 1e-9).cumsum()
        topic[day == d] = np.searchsorted(edges, drawn[day == d]).clip(0, pool.topics - 1)
    favorite = rng.choice(pool.topics, USERS, p=base)
    topic = np.where(rng.random(len(day)) < OWN_TOPIC, favorite[user], topic)
    late, chance = day >= 0, rng.random(len(day))
    planted = late & (
        chance < {"topic mix": 0.2, "new product": 0.05, "other language": 0.2}.get(kind.split(",")[0], 0)
    )
    if kind.startswith("topic mix"):
        chosen = rng.choice(np.flatnonzero(base > 0), 6, replace=False)
        topic = np.where(planted, rng.choice(chosen, len(day)), topic)
        planted = late & np.isin(topic, chosen)
    elif planted.any():
        topic = np.where(planted, new if kind.startswith("new") else pool.topics, topic)
    elif kind in NAMED:
        order = rng.permutation(pool.topics)
        chosen = order[: np.searchsorted(base[order].cumsum(), LOCATED) + 1]
        planted = late & np.isin(topic, chosen)
    elif kind:
        planted = late
    sizes = np.array([len(m) for m in pool.members])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = np.concatenate(pool.members)[starts[topic] + (rng.random(len(day)) * sizes[topic]).astype(int)]
    return rows, planted


def month(rng, pool, per_day=1000, kind="") -> Month:
    day, user = who(rng, per_day)
    row, planted = asked(rng, pool, day, user, kind)
    made = figures(rng, day, user, SHIFTS.get(kind, {}), planted)
    if kind.startswith("other language"):
        made["language of questions"] = pool.rare[row]
    return Month(day, user, row, planted, made)


# --- looks ------------------------------------------------------------------------------------------------------


class Means:
    """The monitors without embeddings, over the days of a month."""

    def __init__(self, m: Month, margins=True):
        self.monitors = [m if margins else replace(m, harmless=0.0) for m in WATCHED]
        self.units = {w.name: windows.units_of(m.day, m.user, m.figures[w.name]) for w in WATCHED}
        self.known = {name: windows.usual(part(u, u.day < 0), USERS) for name, u in self.units.items()}

    def look(self, day) -> dict[str, float | None]:
        """p-values at the end of a day, not adjusted; None where there is not enough traffic for any."""
        found = {}
        for monitor in self.monitors:
            units = self.units[monitor.name]
            later = part(units, (units.day >= 0) & (units.day <= day))
            judged = drift.judge(monitor, self.known[monitor.name], later, range(day + 1), len(MONITORS))
            found[monitor.name] = judged.p if judged.shift else None
        return found


def part(units, which):
    return windows.Units(units.day[which], units.user[which], units.value[which])


def alarms(ps) -> list[str]:
    adjusted = windows.holm({name: p for name, p in ps.items() if p is not None}, len(MONITORS))
    return [name for name, p in adjusted.items() if p <= windows.daily_level()]


def daily_tests(m: Month, day):
    """p-values of a test a column of one day against all usual requests, as if requests were independent."""
    found = []
    for monitor in WATCHED:
        value = m.figures[monitor.name]
        a, b = (value[which & ~np.isnan(value)] for which in (m.day == day, m.day < 0))
        if monitor.kind == "share":
            rate = np.concatenate([a, b]).mean()
            error = np.sqrt(rate * (1 - rate) * (1 / len(a) + 1 / len(b)))
            found.append(float(2 * norm.sf(abs(a.mean() - b.mean()) / error)) if error else 1.0)
        else:
            found.append(float(ks_2samp(a, b[:: max(len(b) // 5000, 1)], method="asymp").pvalue))
    return np.array(found)


def aa_means(per_day, months):
    """False alarms of the monitors without embeddings, and those of simpler tests beside them."""
    product, without, plain, corrected, silent = [], [], [], [], []
    for n in range(months):
        rng = np.random.default_rng([*SEED, 1, per_day, n])
        day, user = who(rng, per_day)
        m = Month(day, user, day, day < -USUAL, figures(rng, day, user, {}, np.zeros(len(day))))
        means = Means(m)
        rows = [means.look(d) for d in range(LOOKS)]
        product.append(sum(len(alarms(row)) for row in rows))
        silent.append(np.mean([p is None for row in rows for p in row.values()]))
        if n < -(-months // 4):
            bare = Means(m, margins=False)
            without.append(sum(len(alarms(bare.look(d))) for d in range(LOOKS)))
            tests = np.array([daily_tests(m, d) for d in range(LOOKS)])
            plain.append((tests < 0.05).sum())
            corrected.append((tests < 0.05 / len(WATCHED)).sum())
    return {
        "requests a day": per_day, "months": months, "false alarms": sum(product),
        "false alarms a month": float(np.mean(product)), "not enough traffic": float(np.mean(silent)),
        "months of those beside": len(plain), "without margins": float(np.mean(without)),
        "p < .05 a column": float(np.mean(plain)), "with Bonferroni": float(np.mean(corrected)),
    }  # fmt: skip


class Asked:
    """The questions of a month, of which one a user and day is embedded."""

    def __init__(self, m: Month, pool: Pool):
        self.m, self.pool, self.known = m, pool, {}
        order = np.random.default_rng(0).permutation(len(m.day))
        _, at = np.unique(np.stack([m.day[order], m.user[order]]), axis=1, return_index=True)
        self.rows = order[np.sort(at)]

    def seen(self, last, first=0):
        """The traffic at the end of a day, without the days after the usual ones before `first`."""
        keep = (self.m.day < 0) | ((self.m.day >= first) & (self.m.day <= last))
        rows = self.rows[keep[self.rows]]
        seen = Traffic(self, self.m.day, self.m.user, UNTIL, range(-USUAL, 0), last)
        return seen, Embedded(Questions(self.m.day[rows], self.m.user[rows], self.pool.vectors[self.m.row[rows]]), rows)

    def __getitem__(self, n):
        kind = "planted" if self.m.planted[n] else "usual"
        return SimpleNamespace(exchange=f"{kind}-{n}", question=self.pool.texts[int(self.m.row[n])])

    def look(self, last, first=0):
        seen, own = self.seen(last, first)
        return questions_of(seen, own, LEVEL, self.known)


def aa_questions(pools, per_day, months):
    """False alarms of the monitors with embeddings."""
    counts, silent = [], []
    for n in range(months):
        pool = pools[n % len(pools)]
        of = Asked(month(np.random.default_rng([*SEED, 2, per_day, n]), pool, per_day), pool)
        rows = [r for d in range(LOOKS) for r in of.look(d).values()]
        silent.append(np.mean([r.state == "not enough traffic" for r in rows]))
        counts.append(sum(r.p <= LEVEL for r in rows))
    return {"requests a day": per_day, "months": months, "false alarms": int(sum(counts)),
            "false alarms a month": float(np.mean(counts)), "not enough traffic": float(np.mean(silent))}  # fmt: skip


# --- planted ----------------------------------------------------------------------------------------------------


def planted(kind, pools, seeds):
    """How often one day of a shift raises the alarm, and whose the questions are that are shown."""
    found, belong, of_groups, monitors = [], [], [], Counter()
    for n in range(seeds):
        pool = pools[n % len(pools)]
        m = month(np.random.default_rng([*SEED, 3, list(SHIFTS).index(kind), n]), pool, 1000, kind)
        questions, means = Asked(m, pool), Means(m)
        for day in range(4):
            hits = of_questions(questions, day, kind) + of_means(questions, means, day, kind)
            found.append(bool(hits))
            monitors.update(r.name for r in hits)
            if hits and kind in NAMED:
                shown = [e.exchange.startswith("planted") for r in hits for e in r.examples]
                belong.append(np.mean(shown))
                of_groups += [g.question.exchange.startswith("planted") for r in hits for g in r.groups]
    return {"days": len(found), "found": float(np.mean(found)), "alarms": dict(monitors),
            "named": float(np.mean(belong)) if belong else None,
            "days named in 8 of 10": float(np.mean(np.array(belong) >= 0.8)) if belong else None,
            "groups": len(of_groups), "groups named": float(np.mean(of_groups)) if of_groups else None}  # fmt: skip


def of_questions(questions, day, kind):
    if not {"topics", "new questions"} & SHIFTS[kind].keys():
        return []
    rows = questions.look(day, first=day).values()
    return [r for r in rows if r.p <= LEVEL]


def of_means(questions, means, day, kind):
    """Alarms of the monitors of the shift among those without embeddings, with their examples."""
    found = []
    for name in SHIFTS[kind].keys() & means.units.keys():
        units, monitor = means.units[name], MONITORS[name]
        judged = drift.judge(
            monitor, means.known[name], part(units, units.day == day), range(day, day + 1), len(MONITORS)
        )
        if judged.shift and judged.p <= LEVEL:
            seen, own = questions.seen(day, first=day)
            row = drift.monitored(monitor, judged, seen, LEVEL)
            found.append(explained(seen, own, monitor, questions.m.figures[name], row))
    return found


# --- the whole --------------------------------------------------------------------------------------------------


def show(title, rows):
    print(f"\n{title}")
    for name, row in rows.items():
        print(f"  {name}: " + ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--months", type=int, default=200)
    parser.add_argument("--question-months", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--cache", type=Path, default=HERE / "results" / "cache")
    parser.add_argument("--seed", type=int, default=0, help="another one than 0 draws other traffic")
    parser.add_argument("--pools", nargs="*", choices=POOLS, default=["bank", "clinc"])
    parser.add_argument("--most", type=int, default=0, help="questions of a pool, 0 for all")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument(
        "--only", choices=("means", "questions", "planted"), help="one part; the others stay as they were"
    )
    args = parser.parse_args()
    if args.quick:
        args.months, args.question_months, args.seeds = 8, 2, 1
    SEED[:] = [args.seed] if args.seed else []
    file = HERE / "results" / (f"drift-{args.seed}-{'-'.join(args.pools)}.json" if args.seed else "drift.json")
    results = {}
    if args.only in (None, "means"):
        results["means"] = {f"{n} a day": aa_means(n, args.months) for n in (1000, 50)}
        show("A/A, monitors without embeddings", results["means"])
    if args.only in (None, "questions", "planted"):
        loaded = pools(args.pools, args.data, args.cache, args.most)
    if args.only in (None, "questions"):
        results["questions"] = {f"{n} a day": aa_questions(loaded, n, args.question_months) for n in (1000, 50)}
        show("A/A, monitors with embeddings", results["questions"])
    if args.only in (None, "planted"):
        results["planted"] = {kind: planted(kind, loaded, args.seeds) for kind in SHIFTS}
        show("Planted shifts, each day by itself", results["planted"])
    file.parent.mkdir(exist_ok=True)
    if args.only and file.is_file():
        results = json.loads(file.read_text()) | results
    file.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
