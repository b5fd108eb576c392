"""What a certified cascade saves, and how often its certificate is broken.

    python benchmarks/cascade.py [--data ../shared/data] [--embed] [--quick]
    python benchmarks/cascade.py --recorded FILE [--wrong .05] [--loss .02] [--person | --models] [--draw N] [--quick]
    python benchmarks/cascade.py --rows FILE --project bank [--wrong .2] [--draw N] [--quick]

RouteLLM's replay: questions of MMLU with whether Mixtral-8x7B (weak) and GPT-4 (strong) were right. The answers
themselves and the probabilities of their tokens are not in it, so scores can only be predicted from the question: the
gain of asking GPT-4, by ridge regression on words and pairs of words and on vectors (of MiniLM with --embed, else of
the words in few dimensions), by the nearest questions, and by a mixture of these with the subject, fitted on the half
of the questions that is used for nothing else. On the other half: AUROC, APGR (area under the recovered gap by share of
GPT-4 calls), CPT50 (share that recovers half of the gap), and the share of calls for 97 % of GPT-4's accuracy, chosen
in hindsight and certified.

Recalibrations draw questions for selection and certificate from the other half, fit, and look whether the target is
broken on the whole half, from which they were drawn with replacement ("drawn"), and on the questions that were not
drawn ("rest"). Beside it the threshold whose observed risk meets the target.

`--recorded` does so for a file of JSON lines {"id": ..., "rungs": [{"score": .8, "right": 1, "usd": .001}, ...]} in
which the last rung needs no score, such as the recorded.jsonl that `inhouse cascade fit` writes; `--models` leaves out
its last rung, the person, and `--draw` sets how many questions a recalibration draws. Where the lines have a "split",
the thresholds are fitted on "selection", and the cascade is compared with always asking the top rung on "certificate":
quality, cost, and the share of each rung, with 95% intervals, of differences by drawing whole conversations again
("group"). `--rows` takes the answers of the default model that estimate_rows.py records (condition "good"), with a
person above it, and as score the confidence that is fitted on the other folds. The feasibility line is held against
every candidate there. Prints, and writes results/cascade*.json.
"""

import argparse
import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inhouse import bounds
from inhouse.errors import InhouseError, InputError
from inhouse.guardrails.confidence.calibration import fit as fit_confidence
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.routing import certificate as c
from inhouse.routing.measure import auroc

HERE = Path(__file__).parent
RUNS, QUICK_RUNS, KEPT, DELTA = 500, 40, 0.97, 0.05
NEAREST, FOLDS, SMOOTHING = 60, 5, 20.0
REDRAWS = 2000  # for intervals of differences
BEGINNING = 250  # characters of a question that are embedded: what it is about, without most of the choices
PRICES = {"weak": 0.6, "strong": 10.0}  # US dollars for a million tokens, as of the data; only the ratio counts
PRICES |= {"local": 0.0001, "person": 3.0}  # US dollars for an answer
TARGET = 0.05  # of the confidence; its probabilities do not depend on it


# --- RouteLLM's replay ------------------------------------------------------------------------------------------


def replayed(folder: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Prompts, subjects as numbers, and whether each model was right, shape (n, 2)."""
    texts, subjects, right = [], [], []
    for number, file in enumerate(sorted(folder.glob("mmlu_*.csv"))):
        with file.open(newline="", encoding="utf-8") as lines:
            rows = csv.reader(lines)
            next(rows)
            for prompt, weak, strong in rows:
                texts.append(prompt)
                subjects.append(number)
                right.append([weak == "True", strong == "True"])
    if not texts:
        raise InputError(f"{folder}: no files mmlu_*.csv", "give the folder of the data with --data")
    return texts, np.array(subjects), np.array(right, dtype=float)


def embedded(texts: list[str]) -> np.ndarray:
    """Embeddings of the beginnings of the questions, kept beside the results from one run to the next."""
    texts = [text[:BEGINNING] for text in texts]
    kept = HERE / "results" / f"cascade_{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:12]}.npy"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        np.save(kept, OnnxEmbedder(Catalog().folder / "minilm-l6-v2").embed(texts, True))
    return np.load(kept)


def reduced(grams) -> np.ndarray:
    """The words in few dimensions (latent semantic analysis), as unit vectors, where nothing is embedded."""
    from sklearn.decomposition import TruncatedSVD

    vectors = TruncatedSVD(100, n_iter=2, random_state=0).fit_transform(grams)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def predictors(texts, embed, subjects, target, train) -> dict[str, np.ndarray]:
    """Predictions of the target for every question by models that have not seen it: in the training half by folds, and
    for the others by models of the whole training half."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import Ridge

    weights = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True, dtype=np.float32)
    grams = weights.fit_transform(texts)  # from all questions, but from no label
    vectors = embedded(texts) if embed else reduced(grams)

    def single(known, asked) -> np.ndarray:
        """Three predictions and the mean of the subject, shape (asked, 4)."""
        base = target[known].mean()
        columns = [
            base
            + Ridge(alpha=8.0, solver="lsqr", tol=1e-3).fit(grams[known], target[known] - base).predict(grams[asked])
        ]
        columns.append(base + Ridge(alpha=4.0).fit(vectors[known], target[known] - base).predict(vectors[asked]))
        near = vectors[asked] @ vectors[known].T
        best = np.argpartition(-near, NEAREST, axis=1)[:, :NEAREST]
        weight = np.exp(8 * np.take_along_axis(near, best, 1))
        columns.append((weight * target[known][best]).sum(1) / weight.sum(1))
        counts = np.bincount(subjects[known], minlength=subjects.max() + 1)
        sums = np.bincount(subjects[known], target[known], minlength=subjects.max() + 1)
        columns.append(((sums + SMOOTHING * base) / (counts + SMOOTHING))[subjects[asked]])
        return np.stack(columns, 1)

    parts, rest = np.zeros((len(texts), 4)), np.setdiff1d(np.arange(len(texts)), train)
    fold = np.arange(len(train)) % FOLDS
    for k in range(FOLDS):
        parts[train[fold == k]] = single(train[fold != k], train[fold == k])
    parts[rest] = single(train, rest)
    names = ("words", "vectors", "nearest", "subject")
    found = {name: parts[:, n] for n, name in enumerate(names)}
    found["mixture"] = Ridge(alpha=1.0).fit(parts[train], target[train]).predict(parts)
    return found


def shares(gain: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """How well the questions are ordered: those with the most gain go to the strong model first."""
    weak, strong = right.T
    order = np.argsort(-gain, kind="stable")
    quality = weak.mean() + np.append(0, np.cumsum((strong - weak)[order])) / len(gain)
    recovered = (quality - weak.mean()) / (strong.mean() - weak.mean())
    own = np.flatnonzero(quality >= KEPT * strong.mean())
    return {
        "auroc of gain": auroc(gain[strong > weak], gain[strong <= weak]),
        "auroc of weak wrong": auroc(gain[weak == 0], gain[weak == 1]),
        "apgr": float(recovered.mean()), "cpt50": float(np.argmax(recovered >= 0.5) / len(gain)),
        f"share for {KEPT:.0%} in hindsight": float(own[0] / len(gain)),
    }  # fmt: skip


def routellm(data: Path, embed: bool, results: dict) -> tuple[c.Answers, dict[str, float]]:
    """The answers of the half that nothing was fitted on, with its scores; and the target."""
    texts, subjects, right = replayed(data / "cascade")
    drawn = np.random.default_rng(7).permutation(len(texts))
    train, held = np.sort(drawn[: len(texts) // 2]), np.sort(drawn[len(texts) // 2 :])
    weak, strong = right.T
    print(f"{len(texts)} questions, weak {weak.mean():.3f}, strong {strong.mean():.3f}; {len(held)} held out")
    gains = predictors(texts, embed, subjects, strong - weak, train)
    rows = {name: shares(gain[held], right[held]) for name, gain in gains.items()}
    for name, row in rows.items():
        print(f"{name:16}" + "".join(f"  {k} {v:.3f}" for k, v in row.items()))
    results["predictors"] = rows
    gain = gains["mixture"]
    ranks = np.searchsorted(np.sort(gain[train]), gain) / len(train)  # in [0, 1], most gain last
    answers = c.Answers(1 - ranks[held, None], right[held], np.array([PRICES["weak"], PRICES["strong"]]))
    target = (1 - KEPT) * strong[train].mean()
    print(f"target: at most {100 * target:.2f} points lost, {1 - KEPT:.0%} of the strong model's on the training half")
    return answers, {"loss": float(target)}


# --- recorded answers ---------------------------------------------------------------------------------------------


class Recorded(NamedTuple):
    """Answers, with the split and the conversation of each question; "" and the line's number where none is given."""

    answers: c.Answers
    split: np.ndarray
    group: np.ndarray


def recorded(file: Path, person: bool, models: bool) -> Recorded:
    """
    Raises:
        InputError: a line is not as described at the top.
    """
    scores, right, usd, splits, groups = [], [], [], [], []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            rungs = row["rungs"][: -1 if models else None]
            splits.append(row.get("split", ""))
            groups.append(row.get("group", number))
            scores.append([float(rung["score"]) for rung in rungs[:-1]])
            right.append([float(rung["right"]) for rung in rungs])
            usd.append([float(rung.get("usd", 0)) for rung in rungs])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            hint = 'each line is {"id": ..., "rungs": [{"score": .8, "right": 1, "usd": .001}, ...]}'
            raise InputError(f"{file}:{number}: not recorded answers ({error!r})", hint) from error
    if len({len(row) for row in right}) != 1:
        raise InputError(f"{file}: questions have different numbers of rungs", "record every rung for every question")
    answers = c.Answers(np.array(scores), np.array(right), np.array(usd), person).checked()
    return Recorded(answers, np.array(splits), np.unique(np.array(groups, dtype=str), return_inverse=True)[1])


def answered(file: Path, project: str) -> c.Answers:
    """A cascade of the default model and a person, from the rows of estimate_rows.py.

    Raises:
        InputError: there are too few rows to fit a confidence.
    """
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if (row["project"], row["condition"]) == (project, "good")]
    features = np.array([[float(value) for value in row["features"].values()] for row in rows])
    right = np.array([bool(row["right"]) for row in rows])
    fold, scores = np.arange(len(rows)) % FOLDS, np.zeros(len(rows))
    for f in range(FOLDS):
        fitted = fit_confidence(features[fold != f], list(right[fold != f]), TARGET)
        scores[fold == f] = fitted.probability(features[fold == f])
    print(f"{project}: {len(rows)} answers, {right.mean():.3f} right; AUROC of the score "
          f"{auroc(scores[right], scores[~right]):.3f}")  # fmt: skip
    both = np.stack([right, np.ones(len(rows))], 1).astype(float)
    return c.Answers(scores[:, None], both, np.array([PRICES["local"], PRICES["person"]]), True).checked()


def against_top(known: Recorded, risks: Mapping, results: dict) -> None:
    """The cascade fitted on one split, beside always asking the top rung, on the other."""
    rows = np.arange(len(known.split))
    chosen, tested = rows[known.split == "selection"], rows[known.split == "certificate"]
    fitted = c.fit(known.answers, chosen, tested, risks, DELTA)
    thresholds = fitted.thresholds if fitted.passed or fitted.plain is None else fitted.plain.thresholds
    kind = "certified" if fitted.passed else "not certified, plain"
    own = known.answers.take(tested)
    at, n, top = c.replay(own, thresholds), len(tested), own.right.shape[1] - 1
    shares = [
        (float((at.rung == k).mean()), *bounds.binomial_interval(int((at.rung == k).sum()), n)) for k in range(top + 1)
    ]
    members = [np.flatnonzero(known.group[tested] == g) for g in np.unique(known.group[tested])]
    rng, drawn = np.random.default_rng(5), []
    cost = np.broadcast_to(own.usd, own.right.shape)[:, top]
    for _ in range(REDRAWS):
        some = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        drawn.append((-at.loss[some].mean(), at.usd[some].sum() / max(cost[some].sum(), 1e-12)))
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    found = {
        "kind": kind, "n": n, "thresholds": thresholds, "shares": shares, "quality": float(at.right.mean()),
        "top": float(own.right[:, top].mean()), "difference": [-float(at.loss.mean()), float(low[0]), float(high[0])],
        "cost": [float(at.usd.sum() / max(cost.sum(), 1e-12)), float(low[1]), float(high[1])],
        "rungs alone": own.right.mean(0).tolist(),
    }  # fmt: skip
    results["against the top"] = found
    print(f"{kind}, {n} questions: quality {found['quality']:.3f}, top rung {found['top']:.3f}, difference "
          f"{_interval(found['difference'])}; cost of the top rung's {_interval(found['cost'])}")  # fmt: skip
    for k, share in enumerate(shares):
        print(f"  rung {k}: answers {_interval(share)}; alone it is not wrong in {own.right[:, k].mean():.3f}")
    line_holds(own, risks, results)


def line_holds(answers: c.Answers, risks: Mapping, results: dict) -> None:
    """Looks for thresholds that meet a target with fewer questions for the top rung than the feasibility line says."""
    tried = [c.point(answers, t) for t in c.candidates(answers.scores)]
    for line in c.feasibility(answers, risks, DELTA):
        least = min((p.share_up for p in tried if (getattr(p, line.risk) or 0.0) <= line.target), default=1.0)
        results[f"line of {line.risk}"] = {"line": line.smallest_share_up, "least": least, "tried": len(tried)}
        print(f"{line.risk}: line {line.smallest_share_up:.3f}; least share up of {len(tried)} thresholds {least:.3f}")
        if least < line.smallest_share_up - 1e-9:
            raise SystemExit(f"the feasibility line of {line.risk} does not hold")


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


# --- both -------------------------------------------------------------------------------------------------------


def once(answers: c.Answers, risks: Mapping, results: dict) -> None:
    """One certificate: a third for selection, a third to certify, and the last third to see what it is worth."""
    n = len(answers.right)
    rows = np.random.default_rng(1).permutation(n)
    chosen, tested, fresh = np.array_split(rows, 3)
    lines = c.feasibility(answers.take(chosen), risks, DELTA, len(tested))
    for line in lines:
        print(line.sentence)
    fitted = c.fit(answers, chosen, tested, risks, DELTA)
    new = answers.take(fresh)
    found = c.estimate(new, c.candidates(new.scores), risks)
    hindsight = found.thresholds[np.where(found.meets, found.usd, np.inf).argmin()] if found.meets.any() else None
    shown = {"certified": fitted.thresholds, "plain": fitted.plain and fitted.plain.thresholds, "hindsight": hindsight}
    top = new.right[:, -1].mean()
    rungs = c.rung_results(new, fitted.thresholds, [f"rung {k}" for k in range(new.right.shape[1])],
                           ["model"] * (new.right.shape[1] - 1) + ["person" if new.person else "model"])  # fmt: skip
    print(c.recommendation(fitted, rungs))
    results["feasibility"] = [line.model_dump() for line in lines]
    results["certificates"] = [own.model_dump() for own in fitted.certificates]
    for name, thresholds in shown.items():
        if thresholds is None:
            continue
        at = c.point(new, thresholds)
        results[name] = at.model_dump() | {"kept": at.quality / top, "fewer_top_calls": 1 - at.share_up}
        print(f"{name:10} to the top rung {at.share_up:.3f}  quality kept {at.quality / top:.4f}  loss {at.loss:.4f}"
              f"  wrong {at.wrong if at.wrong is None else round(at.wrong, 4)}  cost {at.usd:.4g}")  # fmt: skip
    line_holds(answers, risks, results)
    for own in fitted.certificates:
        print(f"{own.risk}: observed {own.observed:.4f}, bound {own.bound:.4f}, target {own.target:.4f}, n {own.n}")


def broken(answers: c.Answers, thresholds, risks: Mapping) -> bool:
    values = {risk: c.test_of(answers, thresholds, risk)[0] for risk in risks}
    return any(len(v) and v.mean() > risks[risk] + 1e-12 for risk, v in values.items())


def recalibrations(answers: c.Answers, risks: Mapping, runs: int, draw: int, results: dict) -> None:
    """Simulated recalibrations, with and without replacement; with replacement of `draw` questions, 0 for half."""
    n = len(answers.right)
    for kind in ("drawn", "rest"):
        rng, counts, ups = np.random.default_rng(3), {"certified": 0, "plain": 0, "passed": 0, "no plain": 0}, []
        for _ in range(runs):
            if kind == "drawn":
                rows = rng.integers(0, n, draw or n // 2)
                some, world = answers.take(rows), answers
            else:
                rows = rng.permutation(n)
                some, world = answers.take(rows[: n // 2]), answers.take(rows[n // 2 :])
            half = len(some.right) // 2
            fitted = c.fit(some, np.arange(half), np.arange(half, len(some.right)), risks, DELTA)
            counts["passed"] += fitted.passed
            counts["certified"] += fitted.passed and broken(world, fitted.thresholds, risks)
            if fitted.plain is None:
                counts["no plain"] += 1
            else:
                counts["plain"] += broken(world, fitted.plain.thresholds, risks)
            ups.append(c.point(world, fitted.thresholds).share_up)
        results[kind] = counts | {"runs": runs, "share_up": float(np.mean(ups))}
        print(
            f"{kind}: of {runs} recalibrations {counts['passed']} certified, target broken by {counts['certified']}; "
            f"by plain thresholds {counts['plain']} of {runs - counts['no plain']}; to the top rung {np.mean(ups):.3f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--embed", action="store_true", help="embed the questions: minutes")
    parser.add_argument("--recorded", type=Path, help="JSON lines of recorded answers, in place of RouteLLM's")
    parser.add_argument("--rows", type=Path, help="rows of estimate_rows.py, in place of RouteLLM's answers")
    parser.add_argument("--project", default="bank", help="with --rows: whose answers")
    parser.add_argument("--wrong", type=float, help="target of wrong answers among those of models")
    parser.add_argument("--loss", type=float, help="target of the loss against the top rung")
    parser.add_argument("--person", action="store_true", help="with --recorded: the top rung is a person")
    parser.add_argument("--models", action="store_true", help="with --recorded: leave out the last rung, the person")
    parser.add_argument("--draw", type=int, default=0, help="questions of a recalibration; 0 for half of those known")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} recalibrations in place of {RUNS}")
    options = parser.parse_args()
    results: dict = {}
    try:
        if options.rows:
            answers, risks = answered(options.rows, options.project), {"wrong": options.wrong or TARGET}
            once(answers, risks, results)
        elif options.recorded:
            known = recorded(options.recorded, options.person, options.models)
            answers, risks = known.answers, {k: v for k in ("wrong", "loss") if (v := getattr(options, k)) is not None}
            if {"selection", "certificate"} <= {*known.split}:
                against_top(known, risks, results)
            else:
                once(answers, risks, results)
        else:
            answers, risks = routellm(options.data, options.embed, results)
            once(answers, risks, results)
        recalibrations(answers, risks, QUICK_RUNS if options.quick else RUNS, options.draw, results)
    except InhouseError as error:
        raise SystemExit(f"error: {error}\nhint: {error.hint}") from error
    source = f"_{options.project}_rows" if options.rows else f"_{options.recorded.stem}" if options.recorded else ""
    out = HERE / "results" / f"cascade{source}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
