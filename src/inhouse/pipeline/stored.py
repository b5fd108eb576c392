"""Stored completions of another model, such as one fine-tuned at OpenAI, beside the arms of the latest verdict.

The completions are scored as the answers of an arm, on the held-out questions that both answered, with the same
scorers and the same evidence; the differences are paired by question. Nothing is generated: the answers of the arms
are those of the verdict.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from inhouse.assembly.arms import Arms
from inhouse.assembly.experts import closed_tests
from inhouse.assembly.guard import Parts
from inhouse.assembly.workspace import Workspace
from inhouse.datasets.importers.files import entries_of, records
from inhouse.errors import InputError
from inhouse.evaluation.evaluate import ArmRun, answers_in, conversations, evaluate_arm
from inhouse.evaluation.report import Run, build_report
from inhouse.files import file_sha256, write_text
from inhouse.models.stored import Asked, Completion, Stored, asked
from inhouse.pipeline.evaluate import Questions, exam_of
from inhouse.pipeline.opened import built_of
from inhouse.pipeline.questions import questions_of
from inhouse.retrieval.search import gold_passages
from inhouse.types import Artifact, Estimate, Example, Json, Message, Record
from inhouse.verdict import Question, Report, points, read_versioned

STORED, FILE = "stored", "comparison.json"
AGAIN = "`inhouse openai compare` writes it again"


class Comparison(Record):
    """Stored completions beside the arms of a verdict.

    Attributes:
        models: which gave the completions.
        asked: how many questions the verdict asked.
        questions: how many of them have a stored completion.
        unused: stored completions whose question is none of the verdict's.
        sentence: what the comparison says of the recommended arm.
        report: the arms and the completions, as the arm "stored", on the shared questions. Times and costs of stored
            completions are not known, and 0.
        path: the file that holds this.
    """

    version: str = "1.0"
    models: tuple[str, ...]
    asked: int
    questions: int
    unused: int
    sentence: str
    report: Report
    path: str = ""

    def gain(self, arm: str, metric: str = "accuracy") -> Estimate | None:
        """The paired gain of an arm over the stored completions; None for these."""
        return self.report.gain(arm, metric, STORED)


# --- questions for a model elsewhere ----------------------------------------------------------------------------


def write_batch(workspace: Workspace, out: Path, model: str, system: str = "") -> int:
    """Writes the questions of the latest verdict as the input of OpenAI's Batch API; returns how many.

    Raises:
        InputError: there is no verdict.
    """
    verdict = _verdict(workspace)
    report, made = Report.read(Path(verdict.path)), {a.kind: a for _, a in workspace.store.lineage(verdict)}
    first = [{"role": "system", "content": system}] if system else []
    lines = [
        {
            "custom_id": q.id, "method": "POST", "url": "/v1/chat/completions",
            "body": {"model": model, "temperature": 0, "messages": [*first, *(m.to_openai() for m in q.messages)]},
        } for q in _for_all(report, made.get("experts"))
    ]  # fmt: skip
    write_text(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), 0o600)
    return len(lines)


def _for_all(report: Report, experts: Artifact | None) -> list[Question]:
    """The questions of a verdict, without those that only members of groups ask experts: they go nowhere else."""
    closed = {example.id for example, _ in closed_tests(experts)} if experts else set()
    return [q for q in report.table if q.id not in closed]


def _verdict(workspace: Workspace) -> Artifact:
    verdict = workspace.store.latest("report")
    if verdict is None:
        raise InputError("there is no verdict yet, whose questions are asked", "`inhouse build` makes one")
    return verdict


# --- the comparison ---------------------------------------------------------------------------------------------


def compare_stored(workspace: Workspace, files: Sequence[Path]) -> Comparison:
    """Compares the completions in files of `inhouse import openai` with the arms of the latest verdict.

    Raises:
        InputError: there is no verdict, a file holds something else, or no completion is of a question of the verdict.
    """
    verdict, rows = _verdict(workspace), _rows(files)
    inputs: dict[str, Json] = {"content": [file_sha256(f) for f in files]}

    def build(work: Path) -> dict[str, Json]:
        found = _compared(workspace, verdict, rows, work)
        write_text(work / FILE, found.model_dump_json(indent=1))
        return {"questions": found.questions, "sentence": found.sentence}

    source = ["pipeline/stored.py", "models/stored.py", "evaluation"]
    made = workspace.make("comparison", inputs, [verdict], source, build)
    file = Path(made.path) / FILE
    return read_versioned(Comparison, file, 1, AGAIN).model_copy(update={"path": str(file)})


def _rows(files: Sequence[Path]) -> list[tuple[str, tuple[Message, ...], Completion]]:
    """ID, messages, and answer of each completion."""
    rows = []
    for entry in entries_of(files):
        for _, number, row, error, _ in records(entry):
            place = f"{entry.place}:{number}"
            if row is None:
                raise InputError(f"{place}: {error}", "run `inhouse import openai` again")
            if not isinstance(row.get("answer"), str) or "model" not in row:
                hint = "name the file NAME.stored.jsonl that `inhouse import openai` wrote"
                raise InputError(f"{place}: not a stored completion", hint)
            given = [m for m in row["messages"] if m["role"] in ("user", "assistant") and isinstance(m["content"], str)]
            messages = tuple(Message(role=m["role"], content=m["content"]) for m in given)
            usage = row.get("usage", {})
            tokens = (usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0))
            completion = Completion(text=row["answer"], model=row["model"], time=row.get("time", ""), tokens=tokens)
            rows.append((str(row["id"]), messages, completion))
    return rows


def _compared(
    workspace: Workspace, verdict: Artifact, rows: Sequence[tuple[str, tuple[Message, ...], Completion]], work: Path
) -> Comparison:
    made = {a.kind: a for _, a in sorted(workspace.store.lineage(verdict), key=lambda pair: -pair[0])}
    report = Report.read(Path(verdict.path))
    examples = _asked(workspace, made, report)
    known, used = _by_question(workspace, examples, rows)
    covered = [e for turns in conversations(examples) if all(asked(t.messages) in known for t in turns) for e in turns]
    if not covered:
        hint = "`inhouse openai questions` writes the questions for the other model, as long as it answers"
        raise InputError(f"none of the {len(rows)} stored completions is of a question of the verdict", hint)
    opened = workspace.index(made["index"], made["fusion"])
    gold = {e.messages: gold_passages(opened, e.question, e.sources) for e in covered}
    questions = Questions(covered, workspace.examples("train", made["dataset"]), gold)
    arms = Arms(built_of(workspace, made["weights"], None, None, made["index"], made["fusion"]))
    try:
        exam = exam_of(workspace, arms, questions)
    finally:
        arms.close()
    given = asyncio.run(evaluate_arm(Stored(known), exam, work / f"answers-{STORED}.jsonl", workspace.progress))
    runs = {STORED: given}
    for arm in report.arms:
        answers = answers_in(Path(verdict.path) / f"answers-{arm}.jsonl")
        both = [answers[e.id] for e in covered]
        runs[arm] = ArmRun([a for a, _ in both], sum(s for _, s in both) / exam.concurrent)
    project = workspace.project
    subject, price = report.subject, project.model.usd_per_hour
    run = Run(subject, covered, runs, {}, price, over=STORED)
    result = build_report(run, project.evaluation, project.seed)
    arm = project.release.arm or (report.recommendation.arm if report.recommendation else "") or list(report.arms)[-1]
    return Comparison(
        models=tuple(sorted({c.model for c in known.values() if c.model})), asked=len(examples),
        questions=len(covered), unused=len(rows) - used, report=result,
        sentence=_sentence(arm, result.gain(arm, "accuracy", STORED), len(covered)),
    )  # fmt: skip


def _asked(workspace: Workspace, made: Mapping[str, Artifact], report: Report) -> list[Example]:
    """What the verdict asked, in its order."""
    languages = Parts(workspace, workspace.project).languages()
    found = {e.id: e for e in questions_of(workspace, made["documents"], made["dataset"], languages)[0]}
    table = _for_all(report, made.get("experts"))
    if missing := [q.id for q in table if q.id not in found]:
        what = f"the settings changed since the verdict: {len(missing)} of its questions are not made any more"
        raise InputError(what, "run `inhouse evaluate` first")
    return [found[q.id] for q in table]


def _by_question(
    workspace: Workspace, examples: Sequence[Example], rows: Sequence[tuple[str, tuple[Message, ...], Completion]]
) -> tuple[dict[Asked, Completion], int]:
    """The completions by what the user said, the latest of each, and how many rows are of a question of the verdict.

    A row is of a question by its ID or by its words, also once personal data is replaced, as it is in the questions.
    """
    by_id, wanted = {e.id: asked(e.messages) for e in examples}, {asked(e.messages) for e in examples}
    anonymize = workspace.project.curation.anonymize
    anonymizer = workspace.anonymizer() if anonymize and rows else None
    if anonymizer:
        read = workspace.documents()
        anonymizer.keep(d.title for d in read)
        anonymizer.learn(d.text for d in read if not d.access)
    known: dict[Asked, Completion] = {}
    used = 0
    for id, messages, completion in sorted(rows, key=lambda row: row[2].time):
        plain = Example(id=id, messages=messages, target=completion.text)
        safe = anonymizer.anonymize(plain)[0] if anonymizer else plain
        keys = (by_id.get(id), asked(messages), asked(safe.messages))
        if key := next((k for k in keys if k in wanted), None):
            known[key], used = completion.model_copy(update={"text": safe.target}), used + 1
    return known, used


def _sentence(arm: str, gain: Estimate | None, questions: int) -> str:
    if gain is None:
        return f"The accuracy of {arm} was not measured."
    if gain.low > 0:
        return f"{arm} is more accurate than the stored completions: {points(gain)} points."
    if gain.high < 0:
        return f"{arm} is less accurate than the stored completions: {points(gain)} points."
    most = f"it may be up to {-100 * gain.low:.1f} points less accurate"
    return f"{arm} differs by {points(gain)} points, which {questions} questions cannot tell from zero; {most}."
