"""`inhouse calibrate`: asks the recommended arm the validation questions and fits its confidence to the results.

These questions are held out from training. Those of the test are not used, so that the error target can be verified on
them. The arm is asked behind all of its other guardrails, so the answers are those that the confidence rail will see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from inhouse.assembly.guard import Parts, wrapped
from inhouse.assembly.workspace import Workspace
from inhouse.evaluation.evaluate import Answer, Exam, evaluate_arm
from inhouse.evaluation.scorers import Scorer, is_right
from inhouse.guardrails.confidence.calibration import fit, strictest_support
from inhouse.guardrails.confidence.features import Features
from inhouse.guardrails.confidence.rail import FeatureRecorder, conversation_digest
from inhouse.pipeline.ask import open_arms, recommended
from inhouse.pipeline.stages import curate, fusion, index, weights
from inhouse.types import Artifact, Digest, Example, Json

LOST = 0.05  # share of the right answers that a stricter groundedness rail may cut
MOST_QUESTIONS = 200  # where training questions are added to those of the validation


def calibration(workspace: Workspace) -> Artifact:
    """The artifact with calibration.json and the answers that it was fitted on."""
    arm = recommended(workspace)
    data, custom = curate(workspace), workspace.store.latest("adapter")
    parents = [
        weights(workspace),
        index(workspace),
        fusion(workspace),
        data,
        *([custom] if custom and arm.startswith("tuned") else []),
    ]
    project = workspace.project
    inputs: dict[str, Json] = {
        "arm": arm,
        "assistant": project.assistant.model_dump(mode="json"),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "guardrails": project.guardrails.model_dump(mode="json")
        | {"rails": [r for r in project.guardrails.rails if r != "confidence"]},
        "replies": project.replies.model_dump(mode="json"),
    }

    def build(work: Path) -> dict[str, Json]:
        import numpy as np

        examples = workspace.examples("validation", data)
        if arm == "rag":  # it was trained on no questions; a custom model would be too good on its training questions
            examples += workspace.examples("train", data)[: max(MOST_QUESTIONS - len(examples), 0)]
        recorder = FeatureRecorder(Parts(workspace, project).features(), work / "features.jsonl")
        answers = asyncio.run(_answers(Parts(workspace, project, recorder=recorder, report=True), arm, examples, work))
        rows, right = labeled(examples, answers, recorder.rows())
        fitted = fit(np.array(rows), right, project.guardrails.max_wrong)
        (work / "calibration.json").write_text(fitted.model_dump_json(), encoding="utf-8")
        given = len(rows) / len(examples)
        return {
            "arm": arm, "asked": len(examples), "examples": fitted.examples, "right": sum(right) / len(right),
            "target": fitted.target, "answered": fitted.answered * given, "wrong": fitted.wrong,
            "error": fitted.error, "min_support": strictest_support(rows, right, LOST),
            "targets": [(t.target, t.answered * given, t.wrong) for t in fitted.targets],
        }  # fmt: skip

    source = ["guardrails", "pipeline/calibrate.py", "evaluation", "assembly/guard.py", "routing", "text", "privacy"]
    return workspace.make("calibration", inputs, parents, source, build)


async def _answers(parts: Parts, arm: str, examples: Sequence[Example], work: Path) -> Sequence[Answer]:
    workspace, project = parts.workspace, parts.project
    arms = open_arms(workspace, bare=True)
    try:
        exam = Exam(
            examples, {e.id: [e.target] for e in examples},
            Scorer(workspace.embedder, workspace.support, [e.target for e in examples]),
            project.assistant.max_tokens, project.evaluation.timeout_s, project.model.parallel,
        )  # fmt: skip
        answers, _ = await evaluate_arm(
            wrapped(parts, arms.open(arm)), exam, work / "answers.jsonl", workspace.progress
        )
        return answers
    finally:
        arms.close()


def labeled(
    examples: Sequence[Example], answers: Sequence[Answer], rows: Mapping[Digest, Features]
) -> tuple[list[Features], list[bool]]:
    """The features of each answer that was given, and whether it was right; a reply that declines is no answer."""
    given = [
        (rows[conversation_digest(e.messages)], is_right(a.scores))
        for e, a in zip(examples, answers, strict=True)
        if conversation_digest(e.messages) in rows and not a.declined
    ]
    return [row for row, _ in given], [right for _, right in given]
