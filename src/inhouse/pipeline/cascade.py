"""A cascade fitted and certified: every rung is asked every question, and code decides which answers would be given.

The selection questions are those that confidence is calibrated on: they fit each rung's score, say which rungs are left
out for which questions, and choose the thresholds to try. The certificate's questions are a share of the tests that
nothing else uses. A rung is asked behind its own guardrails, through the engine that serves it, so what is certified is
what is served.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from inhouse.assembly.arms import Arms
from inhouse.assembly.cascade import POLICY, RUNGS, Ladder, check_rungs
from inhouse.assembly.guard import Parts, calibration_file
from inhouse.assembly.standing import digests_of
from inhouse.assembly.workspace import Workspace
from inhouse.certificate import CascadeReport, RiskName
from inhouse.config.cascade import Rung, Score
from inhouse.errors import InputError
from inhouse.evaluation.evaluate import Answer, ArmRun, Exam, asked, evaluate_arm
from inhouse.evaluation.outcomes import GOOD
from inhouse.evaluation.probes import make_probes
from inhouse.evaluation.scorers import Scorer
from inhouse.files import write_text
from inhouse.guardrails.confidence.calibration import constant
from inhouse.guardrails.confidence.calibration import fit as fit_confidence
from inhouse.guardrails.confidence.features import Features
from inhouse.guardrails.confidence.rail import FeatureRecorder, conversation_digest
from inhouse.pipeline.calibrate import held_questions, labeled, words_of
from inhouse.pipeline.questions import parted, questions_of, sample
from inhouse.routing.cascade import Known, Policy, left_out
from inhouse.routing.certificate import Answers, feasibility, fit, labels_in_words, recommendation, rung_results
from inhouse.types import Artifact, Example, Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

RungKind = Literal["model", "person"]
KINDS: dict[str, RungKind] = {"inbox": "person"}  # of rungs, by arm
RECORDED = "recorded.jsonl"
GIVEN = GOOD | {"partly"}
COLUMNS: dict[Score, tuple[str, ...]] = {
    "confidence": Features._fields,
    "retrieval": ("passage_score", "passage_lead", "passage_scores", "question_similarity", "cited_score"),
    "groundedness": ("answer_similarity", "least_support", "mean_support", "no_claim"),
    "certainty": ("certainty", "log_certainty"),
    "agreement": ("second_similarity", "second_words_shared", "second_numbers_shared"),
}
"""The features that each score looks at."""


@dataclass(frozen=True)
class Recorded:
    """What the rungs did, in the order of the questions. What a person answers is right.

    Attributes:
        scores: with which each rung's answer would be judged, shape (questions, rungs); NaN for a person. 0 for what
            goes to the next rung in any case, 1 for what every rung would say.
        good: whether the answer is right or partly right, or a proper hand-off; shape (questions, rungs).
        wrong: whether it is wrong; shape (questions, rungs).
        usd: mean price of an answer, shape (rungs,).
        seconds: of an answer, shape (questions, rungs), NaN for a person.
        first_s: until its first token, of the same shape.
        reasons: by rung, why all its answers have the same score.
    """

    scores: Floats
    good: Bools
    wrong: Bools
    usd: Floats
    seconds: Floats
    first_s: Floats
    reasons: dict[str, str]

    def part(self, which: Bools) -> Recorded:
        """Of some of the questions."""
        own = {name: getattr(self, name)[which] for name in ("scores", "good", "wrong", "seconds", "first_s")}
        return replace(self, **own)


def record(
    ladder: Ladder, arms: Arms, selection: Sequence[Example], held: Sequence[Example], work: Path
) -> Recorded:  # fmt: skip
    """Asks every rung every question, and fits the score of each on the selection's.

    Writes answers-RUNG.jsonl, features-RUNG.jsonl and calibration-RUNG.json into `work`; an interrupted run goes on
    with what is there.
    """
    import numpy as np

    rungs, examples = check_rungs(ladder.parts.project), [*selection, *held]
    shape = (len(examples), len(rungs))
    scores, seconds, first = (np.full(shape, np.nan) for _ in range(3))
    good, wrong = np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool)
    usd = np.array([r.usd for r in rungs])
    reasons: dict[str, str] = {}
    for n, table in enumerate(rungs):
        if table.arm == "inbox":
            continue
        run, rows = _asked(ladder, arms, table, examples, work)
        scores[:, n], reason = _scored(ladder, table, (selection, examples), run.answers, rows, work)
        reasons |= {table.label: reason} if reason else {}
        good[:, n] = [a.outcome in GIVEN for a in run.answers]
        wrong[:, n] = [a.outcome in ("wrong", "failed") for a in run.answers]
        seconds[:, n] = [a.latency_s for a in run.answers]
        first[:, n] = [a.first_token_s for a in run.answers]
        usd[n] = usd[n] or run.seconds / len(examples) * ladder.parts.project.model.usd_per_hour / 3600
    return Recorded(scores, good, wrong, usd, seconds, first, reasons)


def _asked(
    ladder: Ladder, arms: Arms, table: Rung, examples: Sequence[Example], work: Path
) -> tuple[ArmRun, dict[str, Features]]:  # fmt: skip
    """One rung's answers, and their features by the digest of the conversation."""
    parts = ladder.parts
    workspace, project = parts.workspace, parts.project
    recorder = FeatureRecorder(parts.features(), work / f"features-{table.label}.jsonl")
    scorer = Scorer(workspace.embedder, workspace.support, [e.target for e in examples])
    exam = Exam(
        examples, {e.id: [e.target] for e in examples}, scorer, project.assistant.max_tokens,
        project.evaluation.timeout_s, project.model.parallel,
    )  # fmt: skip
    model = ladder.open(table, arms, recorder)
    run = asyncio.run(evaluate_arm(model, exam, work / f"answers-{table.label}.jsonl", workspace.progress))
    return run, recorder.rows()


def _scored(
    ladder: Ladder, table: Rung, questions: tuple[Sequence[Example], Sequence[Example]], answers: Sequence[Answer],
    rows: dict[str, Features], work: Path,
) -> tuple[list[float], str]:  # fmt: skip
    """The score of each answer, and why all have the same, "" where they have not: a rung that is always right is worth
    asking, though no score can be fitted on its answers.

    Args:
        ladder: has the settings.
        table: the rung.
        questions: those that the score is fitted on, and all, of which they are the first.
        answers: to all of them.
        rows: the features by the digest of the conversation.
        work: folder for the calibration.
    """
    import numpy as np

    selection, examples = questions
    settings = ladder.parts.project.cascade
    looked_at = np.array([name in COLUMNS[settings.score] for name in Features._fields])
    own, right = labeled(selection, answers[: len(selection)], rows)
    try:
        fitted = fit_confidence(np.reshape(own, (-1, len(looked_at))) * looked_at, right, settings.max_wrong)
        reason = ""
    except InputError as error:
        fitted, reason = constant(right, settings.max_wrong), str(error)
    everything = fitted.model_copy(update={"threshold": 0.0})  # the cascade decides
    write_text(calibration_file(work, table.label), everything.model_dump_json())
    at = {e.id: conversation_digest(messages) for e, messages in asked(examples, answers)}

    def score(example: Example, answer: Answer) -> float:
        if answer.ended in ("act", "block"):
            return 1.0
        if answer.ended or answer.failed or answer.declined or at[example.id] not in rows:
            return 0.0
        return float(fitted.probability(np.array([rows[at[example.id]]]) * looked_at)[0])

    return [score(e, a) for e, a in zip(examples, answers, strict=True)], reason


def known_of(ladder: Ladder, selection: Sequence[Example], recorded: Recorded) -> Known:
    """What the selection's questions say of later ones: an answer counts as given from the score on at which it is
    expected to be right often enough."""
    vectors = ladder.parts.embedder.embed([e.question for e in selection])
    enough = 1 - ladder.parts.project.cascade.max_wrong
    given = recorded.scores[:, :-1] >= enough
    return Known(
        vectors=tuple(tuple(round(float(x), 4) for x in v) for v in vectors),
        given=tuple(tuple(bool(g) for g in row) for row in given),
    )


def skipped(ladder: Ladder, known: Known, examples: Sequence[Example], usd: Sequence[float], own: int) -> Bools:
    """Which rungs are left out for each question, shape (questions, rungs - 1); the first `own` questions are those
    that are known, and are not looked up among themselves."""
    import numpy as np

    vectors = ladder.parts.embedder.embed([e.question for e in examples])
    rows = [
        left_out(known.shares([float(x) for x in v], n if n < own else -1), usd) or [False] * (len(usd) - 1)
        for n, v in enumerate(vectors)
    ]
    return np.array(rows, dtype=bool)


def fit_cascade(
    workspace: Workspace, arms: Arms, others: Mapping[str, Artifact], made: Mapping[str, Artifact | None], work: Path
) -> dict[str, Json]:  # fmt: skip
    """Writes policy.json, rungs.json, cascade.json and what they were made from into `work`; returns the facts.

    Args:
        workspace: the project.
        arms: without guardrails.
        others: weights of the rungs' own models, by name.
        made: the artifacts of the project by kind.
        work: folder of the artifact.

    Raises:
        InputError: there are no questions to select thresholds or to certify them with.
    """
    import numpy as np

    project, settings = workspace.project, workspace.project.cascade
    parts = Parts(workspace, project)
    ladder, tables = Ladder(parts, others, measured=True), check_rungs(project)
    selection, held = questions(parts, made)
    risks: dict[RiskName, float] = {"wrong": settings.max_wrong, "loss": settings.max_loss}
    with workspace.progress.step(labels_in_words(risks, settings.delta, len(held)), None):
        pass  # said before hours of questions
    recorded = record(ladder, arms, selection, held, work)
    known, usd, own = None, recorded.usd, len(selection)
    scores = recorded.scores[:, :-1].copy()
    if settings.skip:
        known = known_of(ladder, selection, recorded)
        out = skipped(ladder, known, [*selection, *held], [float(u) for u in usd], own)
        scores[out] = 0.0
    answers = Answers(scores, 1.0 - recorded.wrong, usd, tables[-1].arm == "inbox")
    rows = np.arange(own), np.arange(own, own + len(held))
    fitted = fit(answers, *rows, risks, settings.delta, digests_of(workspace, made))
    tested, labels = answers.take(rows[1]), [t.label for t in tables]
    kinds: list[RungKind] = [KINDS.get(t.arm, "model") for t in tables]
    results = rung_results(
        tested.checked(), fitted.thresholds, labels, kinds, 1000 * recorded.seconds[own:], 1000 * recorded.first_s[own:]
    )
    report = CascadeReport(
        rungs=results, certificates=fitted.certificates, curve=fitted.curve, certified=fitted.certified,
        feasibility=feasibility(answers.take(rows[0]), risks, settings.delta, len(held)), plain=fitted.plain,
        top=fitted.top, recommendation=recommendation(fitted, results),
        questions={"selection": own, "certificate": len(held)},
    )  # fmt: skip
    report.write(work)
    _write(work, report, ladder, known, [float(u) for u in usd])
    _export(work, recorded, [*selection, *held], own, scores)
    certified = report.certified is not None and report.recommendation.startswith("Cascade")
    return {
        "certified": certified, "recommendation": report.recommendation, "questions": dict(report.questions),
        "thresholds": list(report.thresholds), "not_scored": recorded.reasons,
    }  # fmt: skip


def questions(parts: Parts, made: Mapping[str, Artifact | None]) -> tuple[list[Example], list[Example]]:
    """Those that select thresholds, and those that certify them: a share of the tests, with questions made from them.

    Raises:
        InputError: there are none.
    """
    workspace, project = parts.workspace, parts.project
    documents, data = made["documents"], made["dataset"]
    assert documents is not None
    assert data is not None
    read, handoff, languages = workspace.documents(documents), project.assistant.handoff, parts.languages()
    verdict, _ = questions_of(workspace, documents, data, languages)
    selection = held_questions(parts, workspace.examples("validation", data), read, verdict)
    _, tests = parted(workspace, data)
    probes, _ = make_probes(tests, read, handoff, languages, project.evaluation.probes, project.seed + 2)
    taken = {words_of(e) for e in (*verdict, *selection)}
    held = [*tests, *(e for e in probes if not e.turn and words_of(e) not in taken)]
    if not selection or not held:
        raise InputError(
            f"{len(selection)} questions to fit a cascade on, and {len(held)} to certify it with: too few",
            "add conversations, or tests of your own",
        )
    most = project.cascade.max_questions
    return sample(selection, most, project.seed), sample(held, most, project.seed)


def _write(work: Path, report: CascadeReport, ladder: Ladder, known: Known | None, usd: list[float]) -> None:
    summary = [
        {"risk": c.risk, "target": c.target, "confidence": 1 - c.delta, "bound": round(c.bound, 4), "n": c.n}
        for c in report.certificates
        if c.passed
    ]
    names = tuple(r.name for r in report.rungs)
    policy = Policy(rungs=names, thresholds=report.thresholds, usd=tuple(usd), known=known, certificate=summary or None)
    write_text(work / POLICY, policy.model_dump_json())
    write_text(work / RUNGS, json.dumps({name: a.key for name, a in ladder.others.items()}))


def _export(work: Path, recorded: Recorded, examples: Sequence[Example], own: int, scores: Floats) -> None:
    """What every rung did, a line a question, for benchmarks/cascade.py and for people."""
    lines = [
        json.dumps({
            "id": e.id, "split": "selection" if n < own else "certificate", "group": e.group or e.id,
            "rungs": [
                {"score": round(float(scores[n, k]), 6) if k < scores.shape[1] else None,
                 "right": not bool(recorded.wrong[n, k]), "good": bool(recorded.good[n, k]),
                 "usd": float(recorded.usd[k]), "ms": _ms(recorded.seconds[n, k])}
                for k in range(len(recorded.usd))
            ],
        })
        for n, e in enumerate(examples)
    ]  # fmt: skip
    write_text(work / RECORDED, "".join(f"{line}\n" for line in lines))


def _ms(seconds: float) -> float | None:
    """Milliseconds; None for NaN, which JSON does not have."""
    return None if math.isnan(seconds) else round(1000 * float(seconds), 1)
