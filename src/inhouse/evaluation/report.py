"""The verdict put together: report.json, one self-contained page, and the table in the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inhouse.config.sections import Evaluation
from inhouse.evaluation import compare, recommend
from inhouse.evaluation.evaluate import ArmRun
from inhouse.evaluation.outcomes import OUTCOMES
from inhouse.evaluation.untouched import lost
from inhouse.files import write_text
from inhouse.types import Estimate, Example
from inhouse.verdict import (
    PAGE,
    REPORT,
    ArmAnswer,
    ArmResult,
    FeedbackEffect,
    Gain,
    GeneralAbility,
    GuardrailResults,
    JudgeAgreement,
    Kind,
    Percentiles,
    PretrainingEffect,
    Question,
    Report,
    Subject,
    TaskResults,
    points,
)

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

METRICS = (
    "accuracy",
    "wrong",
    "answered",
    "needless",
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
SHOWN = ("wrong", "answered", "format", "unsupported", "rouge_l")
SAMPLED = 3  # made questions of each kind that the page lists
QUESTION = "question"  # the kind of a test that names none
PAIRS = (("tuned+rag", "rag"), ("tuned+rag", "tuned"), ("rag", "prompt"), ("tuned+feedback", "tuned"),
         ("tuned+feedback+rag", "tuned+rag"), ("experts", "tuned"), ("experts+rag", "tuned+rag"), ("cpt", "tuned"),
         ("cpt+rag", "rag"), ("cpt+tuned", "tuned"), ("cpt+tuned+rag", "tuned+rag"), ("cpt+tuned+rag", "cpt+rag"),
         ("cascade+private", "cascade"))  # fmt: skip


@dataclass(frozen=True)
class Run:
    """Everything that was asked and answered.

    Attributes:
        subject: the project, and how its parts were built.
        examples: the questions.
        unmade: kinds of questions that could not be made, with the reason.
        arms: answers in the order of the examples.
        general: right (1) or wrong (0) on the general tasks, by "base" and "tuned".
        usd_per_hour: price of the machine.
        judge: how well the judge agrees with people.
        guardrails: what they did.
        confidence: by arm, why the error target of the project file is not kept.
        over: the arm that all others are compared with.
        pretraining: what was changed by continued pre-training ("cpt") and with fine-tuning after it ("cpt+tuned"), as
            far as arms ask it.
        feedback: what learning from feedback changed.
        max_loss: in accuracy, that other questions may lose by it.
        closed: names of the experts that only members of groups are answered by.
    """

    subject: Subject
    examples: Sequence[Example]
    arms: Mapping[str, ArmRun]
    general: Mapping[str, Sequence[float]]
    usd_per_hour: float
    judge: JudgeAgreement | None = None
    guardrails: GuardrailResults | None = None
    unmade: Mapping[str, str] = field(default_factory=dict)
    confidence: Mapping[str, str] = field(default_factory=dict)
    over: str = "base"
    pretraining: Mapping[str, PretrainingEffect] = field(default_factory=dict)
    feedback: tuple[FeedbackEffect, ...] = ()
    max_loss: float = 0.0
    closed: Sequence[str] = ()


def build_report(run: Run, settings: Evaluation, seed: int) -> Report:
    """The verdict of a run; `seed` is that of the bootstrap."""
    scores = {arm: {m: _column(answers, m) for m in METRICS} for arm, (answers, _) in run.arms.items()}
    weights = [settings.kinds.get(e.kind or QUESTION, 1.0) for e in run.examples]
    groups = [e.group if e.group and (e.turn or e.origin == "human") else e.id for e in run.examples]
    sample = compare.Sample(seed, groups, weights)

    def gain(metric: str, arm: str, other: str) -> Estimate | None:
        return sample.gain(scores[arm][metric], scores[other][metric])

    general, based = _general(run.general, seed), "base" in run.arms and run.over == "base"
    means = {arm: e.mean for arm, columns in scores.items() if (e := sample.estimate(columns["accuracy"]))}
    closed = recommend.gap_closed(means) if "base" in means else {}
    best = next((a for a in ("tuned+rag", "rag", "prompt") if a in run.arms), "base")
    compared = based and len(run.arms) > 1
    detectable = sample.smallest_detectable(scores[best]["accuracy"], scores["base"]["accuracy"]) if compared else 1.0
    evidence = recommend.Evidence(
        list(run.arms), gain, settings.smallest_gain, detectable, len(run.examples),
        general.change if general else None, run.subject.training.hardly_trained if run.subject.training else "",
        run.confidence, {name: effect.forgets for name, effect in run.pretraining.items()},
        {a: why for a in run.arms if "+feedback" in a and (why := lost(a, run.feedback, run.max_loss))}, run.closed,
    )  # fmt: skip
    return Report(
        subject=run.subject,
        questions=len(run.examples),
        seed=seed,
        arms={
            arm: _arm(answers, scores[arm], run.usd_per_hour, sample).model_copy(update={"gap_closed": closed.get(arm)})
            for arm, answers in run.arms.items()
        },
        gains=tuple(_gains(scores, sample, run.over)),
        smallest_detectable_gain=detectable,
        kinds=tuple(_kinds(run, weights, groups, seed)),
        unmade=run.unmade,
        general=general,
        recommendation=recommend.recommend(evidence) if based else None,
        judge=run.judge,
        feedback=run.feedback,
        pretraining=run.pretraining.get("cpt"),
        pretraining_tuned=run.pretraining.get("cpt+tuned"),
        guardrails=run.guardrails,
        table=tuple(_question(e, run.arms, n) for n, e in enumerate(run.examples)),
    )


def _column(answers: Sequence[Any], metric: str) -> list[float]:
    return [float(a.scores.get(metric, math.nan)) for a in answers]


def _general(right: Mapping[str, Sequence[float]], seed: int) -> GeneralAbility | None:
    means = {name: sum(v) / len(v) for name, v in right.items() if v}
    if "base" not in means:
        return None
    change = compare.Sample(seed).gain(right["tuned"], right["base"]) if "tuned" in means else None
    return GeneralAbility(**means, change=change)


def _kinds(run: Run, weights: Sequence[float], groups: Sequence[str], seed: int) -> list[Kind]:
    """What came of each kind of question, in the order in which they were asked."""
    places: dict[str, list[int]] = {}
    for n, example in enumerate(run.examples):
        places.setdefault(example.kind or QUESTION, []).append(n)
    kinds = []
    for name, own in places.items():
        sample = compare.Sample(seed, [groups[n] for n in own])
        outcomes: dict[str, dict[str, Estimate]] = {}
        for arm, (answers, _) in run.arms.items():
            columns = {o: [float(answers[n].outcome == o) for n in own] for o in OUTCOMES}
            outcomes[arm] = {o: e for o, v in columns.items() if any(v) and (e := sample.estimate(v))}
        kinds.append(Kind(name=name, questions=len(own), weight=weights[own[0]], outcomes=outcomes))
    return kinds


def _gains(scores: Mapping[str, Mapping[str, list[float]]], sample: compare.Sample, over: str) -> list[Gain]:
    """Every arm over base, and the pairs that show what one step adds; p-values corrected for being many. Over another
    arm than base: these alone."""
    pairs = [(arm, over) for arm in scores if arm != over] if over in scores else []
    pairs += [(arm, other) for arm, other in PAIRS if arm in scores and other in scores and over == "base"]
    p_values = {
        f"{arm} over {other}": sample.p_value(scores[arm]["accuracy"], scores[other]["accuracy"])
        for arm, other in pairs
    }
    corrected = compare.holm(p_values)
    gains = []
    for arm, other in pairs:
        name = f"{arm} over {other}"
        metrics = {m: e for m in METRICS if (e := sample.gain(scores[arm][m], scores[other][m]))}
        gains.append(Gain(arm=arm, over=other, metrics=metrics, p=p_values[name], p_corrected=corrected[name]))
    return gains


def _arm(run: ArmRun, scores: Mapping[str, list[float]], usd_per_hour: float, sample: compare.Sample) -> ArmResult:
    good = [a for a in run.answers if not a.failed]
    each_s = run.seconds / max(len(run.answers), 1)
    prices = [a.usd for a in good if a.usd is not None]
    priced = sum(prices) / len(prices) if prices else None
    return ArmResult(
        metrics={m: e for m in METRICS if (e := sample.estimate(scores[m]))},
        latency_ms=compare.percentiles_ms([a.latency_s for a in good]),
        first_token_ms=compare.percentiles_ms([a.first_token_s for a in good]),
        prompt_tokens=round(sum(a.prompt_tokens for a in good) / max(len(good), 1), 1),
        answer_tokens=round(sum(a.completion_tokens for a in good) / max(len(good), 1), 1),
        usd_per_1000=round(1000 * priced if priced is not None else each_s * 1000 / 3600 * usd_per_hour, 4),
        seconds=round(run.seconds, 1),
        failed=len(run.answers) - len(good),
    )


def _question(example: Example, arms: Mapping[str, ArmRun], n: int) -> Question:
    answers = {arm: answered[n] for arm, (answered, _) in arms.items()}
    retrieved = (answers[arm].passages for arm in ("tuned+rag", "rag") if arm in answers)
    return Question(
        id=example.id,
        kind=example.kind,
        turn=example.turn,
        made=example.origin == "synthetic",
        messages=example.messages,
        reference=example.target,
        checks=example.checks,
        answerable=example.answerable,
        tags=example.tags,
        passages=next((passages for passages in retrieved if passages), ()),
        answers={
            arm: ArmAnswer(
                text=a.text, failed=a.failed, outcome=a.outcome, scores={k: round(v, 3) for k, v in a.scores.items()},
                latency_ms=round(a.latency_s * 1000), citations=a.citations, unguarded=a.unguarded, findings=a.findings,
            ) for arm, a in answers.items()
        },
    )  # fmt: skip


# --- shown ------------------------------------------------------------------------------------------------------


def write_report(report: Report, out: Path) -> None:
    """Writes report.json and report.html into `out`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from inhouse.evaluation import plots

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["points"] = lambda e: f"{100 * e.mean:.1f}"
    environment.filters["range"] = lambda e: f"{100 * e.low:.1f} to {100 * e.high:.1f}"
    environment.filters["percent"] = lambda share: f"{100 * share:.0f}%"
    environment.filters["percentiles"] = _percentiles
    environment.filters["label"] = _label
    environment.filters["p"] = _p
    environment.filters["signed"] = points
    page = environment.get_template("report.html").render(
        r=report, metrics=METRICS, outcomes=OUTCOMES, best=plots.best_arm(report), plots=plots, sample=_sample(report)
    )
    values = json.dumps(report.model_dump(mode="json"), indent=1, ensure_ascii=False)
    for name, text in ((REPORT, values), (PAGE, page)):
        write_text(out / name, text, errors="replace")


def render_table(report: Report) -> Group:
    """The verdict for a terminal of 80 columns: arms by scores and by cost, then the recommendation."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    title = f"{report.subject.project}: {report.questions} held-out questions"
    arms = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    arms.add_column("arm", max_width=14, overflow="fold")
    for head in ("accuracy", "gain [95%]", *(_label(m).replace("unsupported", "unsup.") for m in SHOWN), "failed"):
        arms.add_column(head, justify="right", no_wrap=True)
    costs = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    costs.add_column("arm", max_width=14, overflow="fold")
    for head in ("p50 / p95 / p99 ms", "first token", "tokens in / out", "$ per 1,000"):
        costs.add_column(head, justify="right")
    for arm, row in report.arms.items():
        over, scores = report.gain(arm, "accuracy"), [row.metrics.get(m) for m in SHOWN]
        arms.add_row(
            arm,
            f"{100 * row.metrics['accuracy'].mean:.1f}",
            f"{100 * over.mean:+.1f} [{100 * over.low:+.0f}, {100 * over.high:+.0f}]" if over else "",
            *(f"{100 * e.mean:.1f}" if e else "" for e in scores),
            str(row.failed),
        )
        tokens = f"{row.prompt_tokens:.0f} / {row.answer_tokens:.0f}"
        costs.add_row(
            arm, _percentiles(row.latency_ms), f"{row.first_token_ms.p50:.0f}", tokens, f"{row.usd_per_1000:.3f}"
        )
    lines = [Text(f"Smallest gain that this test set can show: {100 * report.smallest_detectable_gain:.1f} points.")]
    if (general := report.general) and general.tuned is not None:
        before, after = 100 * general.base, 100 * general.tuned
        lines.append(Text(f"General ability: {before:.0f}% before fine-tuning, {after:.0f}% after."))
    lines += [Text(f"Feedback: {effect.sentence}") for effect in report.feedback]
    lines += [Text(effect.sentence) for effect in (report.pretraining, report.pretraining_tuned) if effect]
    if advice := report.recommendation:
        lines += [Text(f"Recommendation: {advice.sentence}", style="bold")]
        lines += [Text(f"  {rule}", style="dim") for rule in advice.rules]
        lines += [Text(f"  warning: {w}", style="yellow") for w in advice.warnings]
    return Group(arms, "", costs, "", *lines, *(_tasks(report.tasks) if report.tasks else []))


def _tasks(tasks: TaskResults) -> list[Table | Text]:
    """The tasks with tools, for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    tries = f", {tasks.trials} tries each" if tasks.trials > 1 else ""
    title = f"{tasks.tasks} tasks with tools{tries}"
    table = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("arm", max_width=18, overflow="fold")
    hat = [f"pass^{tasks.trials}"] if tasks.trials > 1 else []
    for head in ("passed [95%]", *hat, "forbidden", "hand-offs", "turns", "calls", "s"):
        table.add_column(head, justify="right", no_wrap=True)
    for arm, row in tasks.arms.items():
        passed = f"{100 * row.passed.mean:.1f} [{100 * row.passed.low:.0f}, {100 * row.passed.high:.0f}]"
        shares = [f"{100 * row.pass_hat[str(tasks.trials)]:.1f}"] if hat else []
        shares += [f"{100 * e.mean:.1f}" for e in (row.forbidden, row.handoff)]
        table.add_row(arm, passed, *shares, *(f"{v:.1f}" for v in (row.turns, row.model_calls, row.seconds)))
    return [Text(), table, Text(), Text(f"Tasks: {tasks.sentence}", style="bold")]


def _sample(report: Report) -> set[str]:
    """Some of the questions that were made, by id: the first of each kind."""
    made: dict[str, list[str]] = {}
    for question in report.table:
        if question.made and question.kind:
            made.setdefault(question.kind, []).append(question.id)
    return {name for own in made.values() for name in own[:SAMPLED]}


LABELS = {
    "rouge_l": "ROUGE-L", "needless": "needless hand-offs", "wrong": "wrong", "proper_handoff": "properly handed off",
    "needless_handoff": "handed off needlessly", "wrong_refusal": "refused wrongly",
}  # fmt: skip


def _label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " "))


def _percentiles(ms: Percentiles) -> str:
    return f"{ms.p50:.0f} / {ms.p95:.0f} / {ms.p99:.0f}"


def _p(value: float) -> str:
    return "p < 0.001 (Holm)" if value < 0.001 else f"p {value:.3f} (Holm)"
