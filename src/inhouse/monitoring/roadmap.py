"""The rules of the roadmap: from what was built, measured and served to the stages of the path, and what is next.

The stages are data audit, retrieval (RAG), fine-tuning, hardening, and scale. A stage is not needed where the evidence
says that it gains nothing: "do not fine-tune" is an answer. The first open stage is next; those after it come later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inhouse.roadmap import Figure, Learning, Roadmap, Stage, State, Todo
from inhouse.types import Estimate, GateRule
from inhouse.verdict import Report, points

ENOUGH_TO_TUNE = 500  # training examples
LITTLE_LEFT = 0.9  # accuracy of retrieval from which fine-tuning has little to gain
ENOUGH_TESTS = 100  # held-out questions
ENOUGH_REQUESTS, ENOUGH_RATINGS = 1000, 100
RETRIEVAL_ARMS = '["base", "prompt", "rag"]'
ALL_ARMS = '["base", "prompt", "rag", "tuned", "tuned+rag"]'


@dataclass(frozen=True)
class Grades:
    """A data audit: level, value and what to do by name; `fresh` says whether it is of the data as it is now."""

    levels: Mapping[str, str]
    values: Mapping[str, str]
    todo: Mapping[str, str]
    titles: Mapping[str, str]
    fresh: bool = True


@dataclass(frozen=True)
class Facts:
    """What is known of a project.

    Attributes:
        project: its name.
        files: how many files its documents folder has.
        documents: how many were read into the index; None without an index.
        audit: of the data, None without one.
        examples: training examples after curation; None without a data set.
        report: the verdict that counts now: of the release in production, else the latest.
        gate: the rules of the release gate for the recommended arm.
        releases: how many were made.
        production: the release that is served, "" for none.
        canary: the release that some users get.
        experiment: what the live experiment says, "" for none.
        requests: answered since the project began.
        ratings: thumbs on them; `satisfied` are those that are up.
        handoffs: answers left to a person.
        waiting: conversations that wait in the inbox.
        accuracy: estimated of live traffic, None where nothing estimates it.
        incidents: of the last 30 days, None where nothing counts them.
        learning: what more data would help, None where that was not computed.
    """

    project: str
    files: int = 0
    documents: int | None = None
    audit: Grades | None = None
    examples: int | None = None
    report: Report | None = None
    gate: Sequence[GateRule] = ()
    releases: int = 0
    production: str = ""
    canary: str = ""
    experiment: str = ""
    requests: int = 0
    ratings: int = 0
    satisfied: Estimate | None = None
    handoffs: int = 0
    waiting: int = 0
    accuracy: Estimate | None = None
    incidents: int | None = None
    learning: Learning | None = field(default=None)

    @property
    def arm(self) -> str:
        """The arm that the verdict recommends."""
        return self.report.recommendation.arm if self.report and self.report.recommendation else ""


def roadmap(facts: Facts) -> Roadmap:
    """Where the project stands and what is next."""
    stages = [_audit(facts), _retrieval(facts), _tuning(facts), _hardening(facts), _scale(facts)]
    seen = False
    for n, stage in enumerate(stages):
        if stage.state == "next" and seen:
            stages[n] = stage.model_copy(update={"state": "later"})
        seen = seen or stage.state == "next"
    current = next((s for s in stages if s.state == "next"), None)
    headline = f"Next: {current.title.lower()}. {current.summary}" if current else _finished(facts)
    return Roadmap(
        project=facts.project, headline=headline, stages=tuple(stages), evidence=tuple(_evidence(facts)),
        learning=facts.learning,
    )  # fmt: skip


def _finished(facts: Facts) -> str:
    served = facts.production or "nothing"
    return f"Every stage is done or not needed: {served} is served. Keep it good with feedback and audits."


def _evidence(facts: Facts) -> list[str]:
    said = []
    if facts.report and facts.report.recommendation:
        said += [facts.report.recommendation.sentence, *facts.report.recommendation.warnings]
        if not any(arm.startswith("tuned") for arm in facts.report.arms):
            said[0] += " No fine-tuned model was among the arms."
    if facts.learning:
        said.append(facts.learning.sentence)
    if facts.experiment:
        said.append(facts.experiment)
    return said


def percent(e: Estimate) -> Figure:
    """The value and the interval of a share, without a label."""
    return Figure(label="", value=f"{100 * e.mean:.0f}%", detail=f"{100 * e.low:.0f} to {100 * e.high:.0f}")


def _share(label: str, e: Estimate | None) -> list[Figure]:
    return [percent(e).model_copy(update={"label": label})] if e else []


def _gained(label: str, e: Estimate | None) -> list[Figure]:
    if e is None:
        return []
    return [
        Figure(label=label, value=f"{100 * e.mean:+.1f}", detail=f"{100 * e.low:+.1f} to {100 * e.high:+.1f} points")
    ]


# --- stages -----------------------------------------------------------------------------------------------------


def _audit(f: Facts) -> Stage:
    run = Todo(text="Grade documents and conversations.", command="inhouse audit-data", page="")
    about = {"name": "audit", "title": "Data audit"}
    if not f.files:
        put = Todo(text="Put your documents into the documents folder.", command="inhouse check")
        steps: tuple[Todo, ...] = (put, run)
        return Stage(state="next", summary="There are no documents yet.", steps=steps, **about)
    if f.audit is None:
        steps = (run,) if f.documents is not None else (Todo(text="Index the documents.", command="inhouse index"), run)
        state: State = "next" if f.report is None else "later"
        summary = f"{f.files} files are there; nothing says yet what they cover, lack, and contradict."
        return Stage(state=state, summary=summary, steps=steps, **about)
    poor = [name for name, level in f.audit.levels.items() if level == "poor" and name != "cases"]
    shown = ("coverage", "retrieval", "volume", "contradictions", "cases")
    figures = tuple(
        Figure(label=f.audit.titles[name], value=f.audit.values[name], detail=f.audit.levels[name])
        for name in shown
        if name in f.audit.values
    )
    steps = tuple(Todo(text=f"{f.audit.titles[n]}: {f.audit.todo[n]}") for n in poor if f.audit.todo.get(n))
    summary = (
        f"{len(poor)} of {len(f.audit.levels)} grades are poor: {', '.join(f.audit.titles[n].lower() for n in poor)}."
        if poor
        else "No grade of the data is poor."
    )
    if not f.audit.fresh:
        summary += " The documents or conversations have changed since."
        steps = (run, *steps)
    return Stage(state="done", summary=summary, figures=figures, steps=steps, **about)


def _retrieval(f: Facts) -> Stage:
    about = {"name": "rag", "title": "Retrieval (RAG)"}
    measure = Todo(
        text="Measure the base model with and without your documents.",
        command=f"inhouse build --set 'evaluation.arms={RETRIEVAL_ARMS}'",
    )  # fmt: skip
    if f.report is None:
        ready = f.documents is not None
        summary = "Retrieval is not measured yet: no question was asked with and without it."
        return Stage(state="next" if ready or f.files else "later", summary=summary, steps=(measure,), **about)
    r, gain = f.report, f.report.gain("rag", "accuracy")
    if gain is None:
        summary = "The verdict has no arm with retrieval to compare with the base model."
        return Stage(state="next", summary=summary, steps=(measure,), **about)
    figures = (
        *_share("Accuracy, base model", r.arms["base"].metrics.get("accuracy")),
        *_share("Accuracy with retrieval", r.arms["rag"].metrics.get("accuracy")),
        *_gained("Gain of retrieval", gain),
        *_share(
            "Of the gap to all right that it closes",
            f.learning.closed if f.learning and f.learning.arm == "rag" else None,
        ),
    )
    steps: tuple[Todo, ...] = (Todo(text="See every question with its answers.", page="verdict"),)
    if f.arm and "rag" not in f.arm and f.arm != "cascade":
        summary = f"Retrieval is not worth its cost here ({points(gain)} points); the verdict recommends {f.arm}."
        return Stage(state="not needed", summary=summary, figures=figures, steps=steps, **about)
    if f.audit and f.audit.levels.get("coverage") in ("poor", "fair"):
        steps = (
            Todo(text="Retrieval can answer only what is written: fill the gaps that the data audit names."),
            *steps,
        )
    return Stage(
        state="done",
        summary=f"Retrieval gains {points(gain)} points over the base model.",
        figures=figures,
        steps=steps,
        **about,
    )


def _tuning(f: Facts) -> Stage:
    about = {"name": "tuning", "title": "Fine-tuning"}
    build = Todo(
        text="Train, and compare with retrieval.",
        command=f"inhouse build --set 'evaluation.arms={ALL_ARMS}'",
        page="verdict",
    )
    if f.report is None:
        return Stage(state="later", summary="It is decided after retrieval was measured.", steps=(build,), **about)
    tuned = [a for a in ("tuned+rag", "tuned") if a in f.report.arms]
    if tuned:
        return _tuned(f, f.report, tuned[0], build)
    best = f.report.arms[f.arm].metrics.get("accuracy") if f.arm in f.report.arms else None
    if best and best.low >= LITTLE_LEFT:
        summary = f"Do not fine-tune: {f.arm} already answers {percent(best).value} right."
        return Stage(state="not needed", summary=summary, figures=tuple(_share(f"Accuracy, {f.arm}", best)), **about)
    if f.examples is not None and f.examples < ENOUGH_TO_TUNE:
        summary = f"{f.examples} training examples; from {ENOUGH_TO_TUNE} on it is worth a try."
        steps = (Todo(text="Add conversations.", command="inhouse import", page="data"), build)
        return Stage(state="later", summary=summary, steps=steps, **about)
    summary = f"{_count(f.examples)} are there, and no fine-tuned model was compared yet."
    return Stage(state="next", summary=summary, steps=(build,), **about)


def _tuned(f: Facts, r: Report, arm: str, build: Todo) -> Stage:
    """The stage after a fine-tuned arm was compared."""
    over = "rag" if "rag" in r.arms and arm == "tuned+rag" else "base"
    gain = r.gain(arm, "accuracy", over)
    training = r.subject.training
    figures = (*_share(f"Accuracy, {arm}", r.arms[arm].metrics.get("accuracy")), *_gained(f"Gain over {over}", gain),
               *([Figure(label="Training examples", value=f"{training.examples:,}")] if training else []),
               *_gained("General ability", r.general.change if r.general else None))  # fmt: skip
    steps = (Todo(text="See every question with its answers.", page="verdict"),)
    about = {"name": "tuning", "title": "Fine-tuning", "figures": figures}
    said = f"{points(gain)} points over {over}" if gain else "not compared"
    if f.arm.startswith("tuned"):
        return Stage(
            state="done", summary=f"Fine-tuning is worth its cost: {f.arm} gains {said}.", steps=steps, **about
        )
    if training and training.hardly_trained:
        summary = f"The custom model is hardly trained, so its arms say little: {training.hardly_trained}."
        return Stage(state="next", summary=summary, steps=(build, *steps), **about)
    summary = f"Do not fine-tune: {arm} gains {said}, and the verdict recommends {f.arm or 'no arm'}."
    return Stage(state="not needed", summary=summary, steps=steps, **about)


def _count(examples: int | None) -> str:
    return f"{examples:,} training examples" if examples is not None else "Training examples"


def _hardening(f: Facts) -> Stage:
    about = {"name": "hardening", "title": "Hardening"}
    if f.report is None or not f.arm:
        return Stage(state="later", summary="It begins with a verdict.", **about)
    if f.arm == "base":
        summary = "The verdict recommends the base model, which is served as it is."
        return Stage(state="not needed", summary=summary, **about)
    figures, weak = _hardened(f, f.report)
    failed = [rule for rule in f.gate if not rule.passed]
    steps = [Todo(text=f"The release gate refuses: {rule.text}.") for rule in failed]
    steps += [Todo(text=text) for text in weak]
    if failed:
        summary = f"{len(failed)} of {len(f.gate)} rules of the release gate do not hold."
        return Stage(state="next", summary=summary, figures=tuple(figures), steps=tuple(steps), **about)
    if not f.releases:
        steps = [Todo(text="Make a release; the gate checks it.", command="inhouse release"), *steps]
        return Stage(
            state="next", summary="The release gate passes.", figures=tuple(figures), steps=tuple(steps), **about
        )
    summary = f"{f.releases} {'release' if f.releases == 1 else 'releases'} passed the gate."
    return Stage(state="done", summary=summary, figures=tuple(figures), steps=tuple(steps), **about)


def _hardened(f: Facts, r: Report) -> tuple[list[Figure], list[str]]:
    """The figures of guardrails, gate and tests, and what is weak in them."""
    figures = [Figure(label="Held-out questions", value=f"{r.questions:,}",
                      detail=f"show gains of {100 * r.smallest_detectable_gain:.0f} points or more")]  # fmt: skip
    weak = [f"Write more test questions: {r.questions} show large gains only."] if r.questions < ENOUGH_TESTS else []
    figures += _share("Wrong answers", r.arms[f.arm].metrics.get("wrong") if f.arm in r.arms else None)
    rails = r.guardrails
    if rails is None:
        weak.append("Turn guardrails on under [guardrails], and build again.")
    else:
        effect = rails.effect.get(f.arm)
        figures += _share("Unsupported statements without guardrails", effect.without if effect else None)
        figures += _share("Unsupported statements with them", effect.guarded if effect else None)
        confidence = rails.confidence.get(f.arm)
        if confidence:
            kept = confidence.calibrated and confidence.error_target <= (confidence.wanted or 1)
            state = "calibrated" if confidence.calibrated else "not calibrated"
            target = (
                f"at most {100 * confidence.error_target:.0f}% wrong" if confidence.calibrated else confidence.reason
            )
            figures.append(Figure(label="Confidence", value=state, detail=target))
            weak += [] if kept else [f"The error target is not kept: {confidence.reason or 'see the verdict'}."]
    passed = sum(rule.passed for rule in f.gate)
    figures += [Figure(label="Rules of the release gate", value=f"{passed} of {len(f.gate)} hold")] if f.gate else []
    return figures, weak


def _scale(f: Facts) -> Stage:
    about = {"name": "scale", "title": "Scale"}
    if not f.releases:
        return Stage(state="later", summary="It begins with a release.", **about)
    figures = (
        Figure(label="In production", value=f.production or "nothing", detail=f"canary {f.canary}" if f.canary else ""),
        Figure(label="Requests", value=f"{f.requests:,}"), Figure(label="Handed to a person", value=f"{f.handoffs:,}"),
        *_share("Thumbs up", f.satisfied), *_share("Estimated accuracy", f.accuracy),
        *([Figure(label="Incidents in 30 days", value=str(f.incidents))] if f.incidents is not None else []),
    )  # fmt: skip
    if not f.production:
        steps = (
            Todo(text="Serve the release to everyone.", command="inhouse release promote"),
            Todo(text="Or serve it to a share of the users first.", command="inhouse release canary"),
        )
        return Stage(state="next", summary="No release is in production.", figures=figures, steps=steps, **about)
    steps_: list[Todo] = []
    if not f.requests:
        steps_ += [Todo(text="Start the server.", command="inhouse serve", page="traffic"),
                   Todo(text="Give your application a key.", command="inhouse keys create")]  # fmt: skip
    if f.waiting:
        steps_.append(Todo(text=f"{f.waiting} conversations wait for a person.", page="inbox"))
    if f.requests and f.ratings < ENOUGH_RATINGS:
        steps_.append(
            Todo(
                text=f"Send feedback of users: {f.ratings} ratings are there, {ENOUGH_RATINGS} say more.",
                page="traffic",
            )
        )
    if f.requests and not f.experiment:
        steps_.append(
            Todo(
                text="Compare with the base model on live traffic.",
                command="inhouse experiment start",
                page="experiments",
            )
        )
    if f.requests < ENOUGH_REQUESTS:
        summary = f"{f.production} is served; {f.requests:,} requests so far."
        return Stage(state="next", summary=summary, figures=figures, steps=tuple(steps_), **about)
    return Stage(
        state="done",
        summary=f"{f.production} has answered {f.requests:,} requests.",
        figures=figures,
        steps=tuple(steps_),
        **about,
    )
