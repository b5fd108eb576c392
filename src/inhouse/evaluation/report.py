"""The verdict put together: report.json, one self-contained page, and the table at the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inhouse.config.sections import Evaluation
from inhouse.evaluation import compare, recommend
from inhouse.evaluation.evaluate import Answer
from inhouse.files import write_text
from inhouse.types import Estimate, Example, Json

if TYPE_CHECKING:
    from rich.console import Group

METRICS = (
    "accuracy",
    "facts",
    "format",
    "exact",
    "rouge_l",
    "similarity",
    "unsupported",
    "hallucinated",
    "tone",
    "judged",
)
LOWER_IS_BETTER = {"unsupported", "hallucinated"}
SHOWN = ("facts", "format", "unsupported", "rouge_l", "tone")
PAIRS = (("tuned+rag", "rag"), ("tuned+rag", "tuned"), ("rag", "prompt"))


def build_report(
    arms: Mapping[str, tuple[Sequence[Answer], float]],
    examples: Sequence[Example],
    settings: Evaluation,
    seed: int,
    general: Mapping[str, Sequence[float]],
    extras: Mapping[str, Json],
    usd_per_hour: float,
) -> dict[str, Json]:
    """Everything that the report shows.

    Args:
        arms: answers in the examples' order, with the seconds that the arm took.
        examples: the questions.
        settings: the [evaluation] section.
        seed: of the bootstrap.
        general: right or not on the general tasks, by "base" and "tuned".
        extras: what the page shows besides: project, data card, parity, retrieval, judge, training.
        usd_per_hour: price of the machine.
    """
    scores = {arm: {m: _column(answers, m) for m in METRICS} for arm, (answers, _) in arms.items()}

    def gain(metric: str, arm: str, other: str) -> Estimate | None:
        return compare.gain(scores[arm][metric], scores[other][metric], seed)

    rows = {arm: _arm(arm, *arms[arm], scores[arm], usd_per_hour, seed) for arm in arms}
    compared = [(arm, "base") for arm in arms if arm != "base"] if "base" in arms else []
    compared += [pair for pair in PAIRS if pair[0] in arms and pair[1] in arms]
    gains: dict[str, dict[str, Json]] = {}
    p_values: dict[str, float] = {}
    for arm, other in compared:
        name = f"{arm} over {other}"
        gains[name] = {m: e.model_dump() for m in METRICS if (e := gain(m, arm, other))}
        p_values[name] = compare.p_value(scores[arm]["accuracy"], scores[other]["accuracy"], seed)
    corrected = compare.holm(p_values)
    for name, found in gains.items():
        found["p"] = {"raw": p_values[name], "holm": corrected[name]}
    best = next((a for a in ("tuned+rag", "rag", "prompt") if a in arms), "base")
    detectable = compare.smallest_detectable(scores[best]["accuracy"], scores["base"]["accuracy"]) if compared else 1.0
    change = compare.gain(general["tuned"], general["base"], seed) if {"base", "tuned"} <= general.keys() else None
    means = {arm: e["mean"] for arm, row in rows.items() if (e := row["metrics"].get("accuracy"))}
    return {
        **extras,
        "questions": len(examples),
        "seed": seed,
        "arms": rows,
        "gains": gains,
        "gap_closed": recommend.gap_closed(means) if "base" in means else {},
        "smallest_detectable_gain": detectable,
        "general": {name: sum(v) / len(v) for name, v in general.items() if v},
        "general_change": change.model_dump() if change else None,
        "recommendation": recommend.recommend(
            list(arms), gain, settings.smallest_gain, detectable, len(examples), change
        ) if "base" in arms else None,
        "rules": recommend.explained(),
        "table": [_question(e, {arm: some[n] for arm, (some, _) in arms.items()}) for n, e in enumerate(examples)],
    }  # fmt: skip


def _column(answers: Sequence[Answer], metric: str) -> list[float]:
    return [float(a.scores.get(metric, math.nan)) for a in answers]


def _arm(
    name: str,
    answers: Sequence[Answer],
    busy_s: float,
    scores: Mapping[str, list[float]],
    usd_per_hour: float,
    seed: int,
) -> dict[str, Any]:
    good = [a for a in answers if not a.failed]
    each_s = busy_s / max(len(answers), 1)
    return {
        "metrics": {m: e.model_dump() for m in METRICS if (e := compare.estimate(scores[m], seed))},
        "latency_ms": compare.percentiles_ms([a.latency_s for a in good]),
        "first_token_ms": compare.percentiles_ms([a.first_token_s for a in good]),
        "prompt_tokens": round(sum(a.prompt_tokens for a in good) / max(len(good), 1), 1),
        "answer_tokens": round(sum(a.completion_tokens for a in good) / max(len(good), 1), 1),
        "usd_per_1000": round(each_s * 1000 / 3600 * usd_per_hour, 4),
        "seconds": round(busy_s, 1),
        "failed": len(answers) - len(good),
        "name": name,
    }


def _question(example: Example, answers: Mapping[str, Answer]) -> dict[str, Json]:
    passages = next(
        (a.passages for arm in ("tuned+rag", "rag") if arm in answers for a in [answers[arm]] if a.passages), ()
    )
    return {
        "id": example.id,
        "messages": [m.to_openai() for m in example.messages],
        "reference": example.target,
        "checks": example.checks.model_dump(mode="json", exclude_defaults=True),
        "answerable": example.answerable,
        "tags": list(example.tags),
        "passages": [p.model_dump() for p in passages],
        "answers": {
            arm: {
                "text": a.text, "failed": a.failed, "scores": {k: round(v, 3) for k, v in a.scores.items()},
                "latency_ms": round(a.latency_s * 1000), "citations": list(a.citations), "said": a.said,
                "findings": [dict(v) for v in a.findings],
            }
            for arm, a in answers.items()
        },
    }  # fmt: skip


def write_report(report: Mapping[str, Json], out: Path) -> None:
    """Writes report.json and report.html into `out`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from inhouse.evaluation import plots

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["points"] = lambda e: f"{100 * e['mean']:.1f}"
    environment.filters["range"] = lambda e: f"{100 * e['low']:.1f} to {100 * e['high']:.1f}"
    environment.filters["percentiles"] = _percentiles
    environment.filters["label"] = _label
    environment.filters["p"] = _p
    environment.filters["signed"] = lambda e: recommend.points(Estimate(**e))
    page = environment.get_template("report.html").render(
        r=report, metrics=METRICS, gains_plot=plots.gains(report), latency_plot=plots.latencies(report),
        changed_plot=plots.changed(report), rails=_rails(report),
    )  # fmt: skip
    for name, text in (("report.json", json.dumps(report, indent=1, ensure_ascii=False)), ("report.html", page)):
        write_text(out / name, text, errors="replace")


def _rails(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The part on guardrails for the best arm, drawn; None where there are none."""
    from inhouse.evaluation import plots

    found, arm = report.get("guardrails"), plots.best_arm(report)
    if not found or arm not in found["here"]:
        return None
    knowing = found["knowing"].get(arm)
    return {
        "arm": arm, "here": found["here"][arm], "did": found["effect"][arm], "knowing": knowing,
        "curve": plots.risk_coverage(knowing) if knowing else "", "bins": plots.reliability(knowing) if knowing else "",
        "quality": {name: [q for q in found["quality"] if q["rail"] == name] for name in found["names"]},
    }  # fmt: skip


def render_table(report: Mapping[str, Any]) -> Group:
    """The verdict for a terminal of 80 columns: arms by scores and by cost, then the recommendation."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    title = f"{report['project']}: {report['questions']} held-out questions"
    arms = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=0)
    arms.add_column("arm", no_wrap=True)
    for head in ("accuracy", "gain [95 %]", *(_label(m).replace("unsupported", "unsup.") for m in SHOWN), "failed"):
        arms.add_column(head, justify="right", no_wrap=True)
    costs = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    costs.add_column("arm", no_wrap=True)
    for head in ("p50 / p95 / p99 ms", "first token", "tokens in / out", "$ per 1,000"):
        costs.add_column(head, justify="right")
    for arm, row in report["arms"].items():
        over = report["gains"].get(f"{arm} over base", {}).get("accuracy")
        accuracy = row["metrics"]["accuracy"]
        scores = [row["metrics"].get(m) for m in SHOWN]
        arms.add_row(
            arm,
            f"{100 * accuracy['mean']:.1f}",
            f"{100 * over['mean']:+.1f} [{100 * over['low']:+.0f}, {100 * over['high']:+.0f}]" if over else "",
            *(f"{100 * e['mean']:.1f}" if e else "" for e in scores),
            str(row["failed"]),
        )
        tokens = f"{row['prompt_tokens']:.0f} / {row['answer_tokens']:.0f}"
        first = f"{row['first_token_ms']['p50']:.0f}"
        costs.add_row(arm, _percentiles(row["latency_ms"]), first, tokens, f"{row['usd_per_1000']:.3f}")
    lines = [Text(f"Smallest gain this test could have seen: {100 * report['smallest_detectable_gain']:.1f} points.")]
    if report["general_change"]:
        before, after = report["general"]["base"], report["general"]["tuned"]
        lines.append(Text(f"General ability: {100 * before:.0f} % before tuning, {100 * after:.0f} % after."))
    if found := report["recommendation"]:
        lines += [Text(f"Recommendation: {found['sentence']}", style="bold")]
        lines += [Text(f"  {rule}", style="dim") for rule in found["rules"]]
        lines += [Text(f"  warning: {w}", style="yellow") for w in found["warnings"]]
    return Group(arms, costs, *lines)


def _label(metric: str) -> str:
    return {"rouge_l": "ROUGE-L", "unsupported": "unsupported"}.get(metric, metric)


def _percentiles(ms: Mapping[str, float]) -> str:
    return f"{ms['p50']:.0f} / {ms['p95']:.0f} / {ms['p99']:.0f}"


def _p(value: float) -> str:
    return "p < 0.001 (Holm)" if value < 0.001 else f"p {value:.3f} (Holm)"
