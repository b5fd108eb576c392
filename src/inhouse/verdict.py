"""The verdict as values: the report of the arms, as report.json holds it.

One Report is read by the console, the release gate, report.html, the table in the terminal and the model card.
Fields that a later minor version adds are ignored on reading; a later major version is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self, TypeVar

from pydantic import ValidationError

from inhouse.errors import InputError
from inhouse.types import Checks, Estimate, Json, Message, Passage, Record

R = TypeVar("R", bound=Record)
REPORT, PAGE = "report.json", "report.html"  # in a verdict's folder
MAJOR = 1
LOWER_IS_BETTER = frozenset({"wrong", "needless", "unsupported", "hallucinated"})


class Percentiles(Record):
    """Of times in milliseconds."""

    p50: float
    p95: float
    p99: float


class Facts(Record):
    """Some of the facts of an artifact, which may have others."""

    @classmethod
    def of(cls, facts: Mapping[str, Json]) -> Self:
        return cls.model_validate(facts, extra="ignore")


# --- what was measured ------------------------------------------------------------------------------------------


class SplitFacts(Record):
    examples: int
    groups: int = 0
    unanswerable: int = 0


class DataFacts(Facts):
    """The data card in figures: the splits by name, how many pieces of personal data were replaced by kind, which may
    remain in the languages of the data, and what the models do not know of these."""

    sets: Mapping[str, SplitFacts] = {}
    personal_data: Mapping[str, int] = {}
    personal_data_gaps: tuple[str, ...] = ()
    language_gaps: tuple[str, ...] = ()


class RetrievalFacts(Facts):
    """How dense and full-text search are weighed. `recall` is measured only where the weights were fitted."""

    weight: float
    mention_boost: float
    tuned: bool = False
    questions: int = 0
    recall: float | None = None


class TrainingFacts(Facts):
    """How a model was fine-tuned. `hardly_trained` says why it had too little training to judge it by; "" if enough."""

    method: str
    examples: int
    steps: int
    validation_loss_first: float | None = None
    validation_loss: float | None = None
    stopped: str = ""
    hardly_trained: str = ""


class ParityVariant(Record):
    """One way of serving a model, compared with the trained model called `counterpart`."""

    name: str
    counterpart: str
    passed: bool
    template_equal: bool
    mean_divergence_nats: float
    max_divergence_nats: float
    greedy_agreement: float
    same_answers: float


class Parity(Facts):
    """Whether the served model is the trained one; `moved` says what changed it. Of a model at an endpoint: how many of
    `prompts` got the same answer twice (a share), and the mean overlap of the two (ROUGE-L)."""

    passed: bool
    moved: str = ""
    prompts: int = 0
    variants: tuple[ParityVariant, ...] = ()
    max_divergence_nats: float = 0.0
    min_greedy_agreement: float = 0.0
    same_answers: float | None = None
    overlap: float | None = None


class Subject(Record):
    """What the verdict is about: the project, and how its parts were built. Nothing trained: no training, no parity."""

    project: str
    base_model: str
    engine: str = ""
    data: DataFacts = DataFacts()
    retrieval: RetrievalFacts | None = None
    training: TrainingFacts | None = None
    parity: Parity | None = None


# --- what came of it --------------------------------------------------------------------------------------------


class ArmResult(Record):
    """One arm's scores and costs. `gap_closed` is the share of the way from base to oracle, None without an oracle."""

    metrics: Mapping[str, Estimate]
    latency_ms: Percentiles
    first_token_ms: Percentiles
    prompt_tokens: float
    answer_tokens: float
    usd_per_1000: float
    seconds: float
    failed: int
    gap_closed: float | None = None


class Kind(Record):
    """One kind of question: how many, what each counts in the scores, and by arm the share of each outcome."""

    name: str
    questions: int
    weight: float
    outcomes: Mapping[str, Mapping[str, Estimate]]


class Gain(Record):
    """Paired differences of an arm over another by metric; `p` is of accuracy, `p_corrected` after Holm."""

    arm: str
    over: str
    metrics: Mapping[str, Estimate]
    p: float = 1.0
    p_corrected: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.arm} over {self.over}"


class GeneralAbility(Record):
    """Share of the general tasks that were right, before and after fine-tuning."""

    base: float
    tuned: float | None = None
    change: Estimate | None = None


class PretrainingEffect(Record):
    """What continued pre-training changed: bits per byte of held-out rewrites of the documents (domain) and of general
    text, by "before" and "after", and the share of the general questions that are right, paired; None where nothing
    was measured; `tuned` where fine-tuning came after it. `forgets` says why it may not be promoted, "" if it may."""

    domain: Mapping[str, float] = {}
    general: Mapping[str, float] = {}
    questions: Estimate | None = None
    tuned: bool = False
    forgets: str = ""

    @property
    def sentence(self) -> str:
        parts = [
            f"bits per byte of {what} {values['before']:.3f} before and {values['after']:.3f} after"
            for what, values in (("held-out rewrites", self.domain), ("general text", self.general))
            if values
        ]
        parts += [f"general questions {points(self.questions)} points"] if self.questions else []
        end = f" Not promoted: {self.forgets}." if self.forgets else ""
        return f"Continued pre-training{' and fine-tuning' * self.tuned}: {', '.join(parts)}.{end}"


class FeedbackEffect(Record):
    """What learning from feedback changed in accuracy: in an arm over the one without, on questions that are similar to
    one with feedback (touched) and on all others (untouched). Changes are paired; None where there are no questions."""

    arm: str
    over: str
    touched: int
    untouched: int
    touched_change: Estimate | None = None
    untouched_change: Estimate | None = None

    @property
    def sentence(self) -> str:
        parts = [
            f"{points(change)} points on {count} questions {which} feedback"
            for change, count, which in ((self.touched_change, self.touched, "like those with"),
                                         (self.untouched_change, self.untouched, "without"))
            if change
        ]  # fmt: skip
        return f"{self.arm} over {self.over}: {', '.join(parts)}."


class Recommendation(Record):
    """The arm to use, the reason, what each rule found, and the rules in words."""

    arm: str
    sentence: str
    rules: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    method: str = ""


class JudgeAgreement(Record):
    """How well the judge model agrees with people: Cohen's kappa with its 95 % interval over `n` labels."""

    n: int
    agreement: float
    kappa: float
    low: float
    high: float
    trusted: bool


# --- guardrails -------------------------------------------------------------------------------------------------


class RailQuality(Facts):
    """What a rail reached on labeled lines: shares, with how many `bad` and `good` lines there were.

    `false` is the share of the good that were taken for bad, `chat` the share of ordinary business chat that was
    blocked; None is what was not measured.
    """

    rail: str
    side: str = ""
    on: str
    bad: int
    good: int
    recall: float
    precision: float
    false: float | None = None
    chat: float | None = None


class RailCounts(Record):
    """One rail on one arm's answers: questions with a finding by side, answers ended, failures, and time added."""

    sides: Mapping[str, int]
    ended: int
    failed: int
    ms: Percentiles


class RailsEffect(Record):
    """What the guardrails changed in one arm's answers: unsupported statements without and with them, the share that
    they `cut`, and of the answers that were right without them how many were lost; `won` became right."""

    questions: int
    changed: int
    without: Estimate | None
    guarded: Estimate | None
    change: Estimate | None
    cut: float
    right_without: int
    lost: int
    won: int


class CurvePoint(Record):
    """With answers from this confidence on: the share of questions answered, and the share of those that is wrong."""

    answered: float
    wrong: float
    confidence: float


class ConfidenceBin(Record):
    """Answers of similar confidence: its mean, and the share that is right."""

    confidence: float
    right: float
    n: int


class ConfidenceResults(Record):
    """How well confidence tells right answers from wrong ones, and what the error target led to.

    `error_target` is the one that the threshold keeps, 1 for none; `wanted` is the one of the project file. `reason`
    says why the arm could not be calibrated.
    """

    calibrated: bool
    error_target: float
    wanted: float = 0.0
    reason: str = ""
    questions: int
    given: int
    declined: int
    handed_off: int
    answered: int
    wrong: int
    calibration_error: float
    curve: tuple[CurvePoint, ...]
    bins: tuple[ConfidenceBin, ...]


class GuardrailResults(Record):
    """The guardrails by arm, and by rail in their order; arms without confidence have no entry under `confidence`."""

    names: tuple[str, ...]
    quality: tuple[RailQuality, ...]
    counts: Mapping[str, Mapping[str, RailCounts]]
    effect: Mapping[str, RailsEffect]
    confidence: Mapping[str, ConfidenceResults]


# --- tasks with tools ---------------------------------------------------------------------------------------------


class TaskArm(Record):
    """What an arm did with the tasks.

    `passed` is the share of tasks, `pass_hat` by k the probability that k tries all pass, `forbidden` the share in
    which something forbidden was done or said, and `handoff` that in which a person took over exactly if one should.
    `scores` are the others of evaluation/acting.py. Turns of the user, calls of a model to understand, and seconds are
    means over conversations; `failed` is the number of conversations that ended in an error.
    """

    passed: Estimate
    pass_hat: Mapping[str, float] = {}
    forbidden: Estimate
    handoff: Estimate
    scores: Mapping[str, Estimate] = {}
    turns: float
    model_calls: float
    seconds: float
    failed: int = 0


class TaskKind(Record):
    """One kind of task: how many, and by arm the share that is passed."""

    name: str
    tasks: int
    passed: Mapping[str, Estimate]


class TaskTrial(Record):
    """The first try of a task; `why` says what it lacks."""

    passed: bool
    why: tuple[str, ...] = ()
    talk: tuple[Message, ...] = ()


class TaskRow(Record):
    """A task with what every arm made of it."""

    id: str
    kind: str = ""
    agent: str = ""
    tried: Mapping[str, TaskTrial]


class TaskResults(Record):
    """Tasks with tools by arm; `gains` are paired by task, in the metric "passed"; `sentence` says what they mean."""

    tasks: int
    trials: int
    arms: Mapping[str, TaskArm]
    gains: tuple[Gain, ...] = ()
    kinds: tuple[TaskKind, ...] = ()
    sentence: str = ""
    table: tuple[TaskRow, ...] = ()

    @property
    def failed(self) -> tuple[TaskRow, ...]:
        """The tasks that some arm did not pass."""
        return tuple(row for row in self.table if not all(t.passed for t in row.tried.values()))


# --- every question ---------------------------------------------------------------------------------------------


class ArmAnswer(Record):
    """`failed` says why there is no answer; `outcome` is one of evaluation/outcomes.py; `unguarded` is the model's text
    where the guardrails changed it."""

    text: str
    failed: str = ""
    outcome: str = ""
    scores: Mapping[str, float] = {}
    latency_ms: float = 0.0
    citations: tuple[dict[str, Json], ...] = ()
    unguarded: str | None = None
    findings: tuple[dict[str, Json], ...] = ()


class Question(Record):
    """A held-out question, or the turn of a test conversation (counted from 1), with every arm's answer; `made` from
    the user's tests and documents."""

    id: str
    kind: str = ""
    turn: int = 0
    made: bool = False
    messages: tuple[Message, ...]
    reference: str
    checks: Checks = Checks()
    answerable: bool = True
    tags: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    answers: Mapping[str, ArmAnswer]


# --- the whole --------------------------------------------------------------------------------------------------


class Report(Record):
    """The verdict. `recommendation` is None where base was not among the arms.

    `unmade` are the kinds of questions that could not be made from this data, with the reason.
    """

    version: str = f"{MAJOR}.0"
    subject: Subject
    questions: int
    seed: int = 0
    arms: Mapping[str, ArmResult]
    gains: tuple[Gain, ...] = ()
    smallest_detectable_gain: float = 1.0
    kinds: tuple[Kind, ...] = ()
    unmade: Mapping[str, str] = {}
    general: GeneralAbility | None = None
    feedback: tuple[FeedbackEffect, ...] = ()
    pretraining: PretrainingEffect | None = None
    pretraining_tuned: PretrainingEffect | None = None
    recommendation: Recommendation | None = None
    judge: JudgeAgreement | None = None
    guardrails: GuardrailResults | None = None
    tasks: TaskResults | None = None
    table: tuple[Question, ...] = ()

    def compared(self, arm: str, over: str = "base") -> Gain | None:
        """The arm compared with another; None where they were not."""
        return next((g for g in self.gains if (g.arm, g.over) == (arm, over)), None)

    def gain(self, arm: str, metric: str, over: str = "base") -> Estimate | None:
        """The paired gain of an arm in a metric; None where it was not measured."""
        gain = self.compared(arm, over)
        return gain.metrics.get(metric) if gain else None

    @classmethod
    def read(cls, folder: Path) -> Report:
        """The report in a verdict's folder.

        Raises:
            InputError: the file is gone or damaged, or a newer or older program wrote it.
        """
        return read_versioned(cls, folder / REPORT, MAJOR, "`inhouse evaluate` writes it again")


def points(e: Estimate) -> str:
    """A difference in points of a hundred, with its interval: "+4.0 [+1.2, +6.8]"."""
    return f"{100 * e.mean:+.1f} [{100 * e.low:+.1f}, {100 * e.high:+.1f}]"


def read_versioned(kind: type[R], file: Path, major: int, again: str) -> R:
    """A record with a `version` such as "1.0", from its JSON file; fields of a later minor version are ignored.

    Args:
        kind: of the record.
        file: where it is.
        major: the version that this program reads.
        again: how to make the file again, for messages.

    Raises:
        InputError: the file is gone or damaged, or a newer or older program wrote it.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if int(str(values["version"]).partition(".")[0]) > major:
            hint = f"this program reads reports up to version {major}: upgrade inhouse, or {again}"
            raise InputError(f"{file}: report version {values['version']} is too new", hint)
        return kind.model_validate(values, extra="ignore")
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})", again) from error
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not a report of this version ({str(error).splitlines()[0]})", again) from error
