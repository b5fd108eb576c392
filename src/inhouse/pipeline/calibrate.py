"""`inhouse calibrate`: the recommended arm is asked the validation questions, its confidence fitted to what came out.

The questions are held out from training; those of the test are not touched, so that the promise can be checked there.
The arm stands behind all of its other guardrails, so the answers are those that the confidence rail will see.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from inhouse.assembly.guard import Parts, guarded
from inhouse.assembly.workspace import Workspace
from inhouse.evaluation.evaluate import Answer, Exam, evaluate_arm
from inhouse.evaluation.scorers import Scorer, is_right
from inhouse.guardrails.confidence.calibration import fit, strictest
from inhouse.guardrails.confidence.features import of
from inhouse.guardrails.confidence.rail import Watching
from inhouse.pipeline.ask import open_arms, recommended
from inhouse.pipeline.stages import _examples, curate, fusion, index, weights
from inhouse.types import Artifact, Digest, Example, Json

LOST = 0.05  # of the right answers, by a stricter rail facts
MOST_ASKED = 200  # questions, where more than those of the validation may be asked


def calibration(workspace: Workspace) -> Artifact:
    """The artifact with calibration.json and the answers that it was fitted on."""
    arm = recommended(workspace)
    data, custom = curate(workspace), workspace.store.latest("adapter")
    made_from = [
        weights(workspace),
        index(workspace),
        fusion(workspace),
        data,
        *([custom] if custom and arm.startswith("tuned") else []),
    ]
    settings = workspace.project
    inputs: dict[str, Json] = {
        "arm": arm,
        "assistant": settings.assistant.model_dump(mode="json"),
        "retrieval": settings.retrieval.model_dump(mode="json"),
        "guardrails": settings.guardrails.model_dump(mode="json")
        | {"rails": [r for r in settings.guardrails.rails if r != "confidence"]},
    }

    def build(work: Path) -> dict[str, Json]:
        import numpy as np

        asked = _examples(data, "validation")
        if arm == "rag":  # which learned from none of them; a custom model's training questions would flatter it
            asked += _examples(data, "train")[: max(MOST_ASKED - len(asked), 0)]
        watching = Watching(Parts(workspace, settings).signals(), work / "signals.jsonl")
        answers = asyncio.run(_answers(workspace, arm, asked, watching, work))
        rows, right = outcomes(asked, answers, watching.rows())
        fitted = fit(np.array(rows), right, settings.guardrails.max_wrong)
        (work / "calibration.json").write_text(fitted.model_dump_json(), encoding="utf-8")
        return {
            "arm": arm, "asked": len(asked), "examples": fitted.examples, "right": sum(right) / len(right),
            "promise": fitted.promise, "answered": fitted.answered * len(rows) / len(asked), "wrong": fitted.wrong,
            "error": fitted.error, "min_support": strictest(np.array(rows), right, LOST),
            "others": [(share, a * len(rows) / len(asked), w) for share, a, w in fitted.others],
        }  # fmt: skip

    source = ["guardrails", "pipeline/calibrate.py", "evaluation", "assembly/guard.py", "text", "privacy"]
    return workspace.make("calibration", inputs, made_from, source, build)


async def _answers(
    workspace: Workspace, arm: str, asked: Sequence[Example], watching: Watching, work: Path
) -> Sequence[Answer]:
    arms = open_arms(workspace, bare=True)
    try:
        scorer = Scorer(workspace.embedder, workspace.support, [e.target for e in asked])
        model = guarded(workspace, arms.open(arm), workspace.project, watching=watching, tells=True)
        exam = Exam(
            asked, {e.id: [e.target] for e in asked}, scorer, workspace.project.assistant.max_tokens,
            workspace.project.evaluation.timeout_s, workspace.project.model.parallel,
        )  # fmt: skip
        answers, _ = await evaluate_arm(model, exam, work / "answers.jsonl", workspace.progress)
        return answers
    finally:
        arms.close()


def outcomes(
    asked: Sequence[Example], answers: Sequence[Answer], rows: Mapping[Digest, list[float]]
) -> tuple[list[list[float]], list[bool]]:
    """Signals of each answer that was given, and whether it was right; a reply that declines is no answer."""
    given = [
        (rows[of(e.messages)], is_right(a.scores))
        for e, a in zip(asked, answers, strict=True)
        if of(e.messages) in rows and not a.declined
    ]
    return [row for row, _ in given], [right for _, right in given]
