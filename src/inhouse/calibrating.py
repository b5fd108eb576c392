"""`inhouse calibrate`: the recommended arm is asked the validation questions, its confidence fitted to what came out.

The questions are held out from training; those of the test are not touched, so that the promise can be checked there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inhouse.asking import open_arms, recommended
from inhouse.evaluation.evaluate import Answer, evaluate_arm
from inhouse.evaluation.scorers import Scorer
from inhouse.guardrails.confidence import FEWEST, fit, signals
from inhouse.pipeline import Site, _examples, curate, index, tune, weights
from inhouse.rails import Parts
from inhouse.types import Artifact, Example, Json

RIGHT = 0.5
"""From this accuracy on an answer counts as right: all checks hold, or half of the reference's facts are recalled."""


def calibration(site: Site) -> Artifact:
    """The artifact with calibration.json and the answers that it was fitted on."""
    arm = recommended(site)
    data, custom = curate(site), site.store.latest("adapter")
    made_from = [
        weights(site),
        index(site),
        tune(site),
        data,
        *([custom] if custom and arm.startswith("tuned") else []),
    ]
    settings = site.project
    inputs: dict[str, Json] = {
        "arm": arm,
        "max_wrong": settings.guardrails.max_wrong,
        "assistant": settings.assistant.model_dump(mode="json"),
        "retrieval": settings.retrieval.model_dump(mode="json"),
    }

    def build(work: Path) -> dict[str, Json]:
        asked = _examples(data, "validation")
        if len(asked) < 2 * FEWEST:  # a small project: what the custom model learned from would flatter it
            asked += _examples(data, "train")[: 2 * FEWEST - len(asked)] if arm == "rag" else []
        answers = _answers(site, arm, asked, work)
        rows, right = outcomes(site, asked, answers)
        import numpy as np

        fitted = fit(np.array(rows), right, settings.guardrails.max_wrong)
        (work / "calibration.json").write_text(fitted.model_dump_json(), encoding="utf-8")
        return {
            "arm": arm, "examples": fitted.examples, "right": sum(right) / len(right), "promise": fitted.promise,
            "answered": fitted.answered, "wrong": fitted.wrong, "error": fitted.error,
        }  # fmt: skip

    return site.make("calibration", inputs, made_from, ["guardrails", "calibrating.py", "evaluation"], build)


def _answers(site: Site, arm: str, asked: Sequence[Example], work: Path) -> list[Answer]:
    arms = open_arms(site, bare=True)
    try:
        replies = [e.target for e in asked]
        evidence = {e.id: [e.target] for e in asked}
        scorer = Scorer(site.embedder, site.support, replies)
        answers, _ = asyncio.run(evaluate_arm(
            arm, arms.open(arm), asked, site.project.evaluation, site.project.assistant.max_tokens, scorer, evidence,
            site.project.model.parallel, work / "answers.jsonl", site.progress,
        ))  # fmt: skip
        return answers
    finally:
        arms.close()


def outcomes(site: Site, asked: Sequence[Example], answers: Sequence[Answer]) -> tuple[list[list[float]], list[bool]]:
    """Signals of each answer, and whether it was right."""
    parts = Parts(site, site.project)
    facts = parts.facts()
    rows = [
        signals(e.question, a.text, a.passages, a.confidence, facts, parts.support, parts.embedder)
        for e, a in zip(asked, answers, strict=True)
    ]
    return rows, [a.scores.get("accuracy", 0.0) >= RIGHT for a in answers]


def read_answers(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["answer"] for line in file.read_text(encoding="utf-8").splitlines()]
