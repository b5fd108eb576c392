"""Every arm is asked the same questions, through the engine that serves; answers are written as they come."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.errors import InhouseError
from inhouse.evaluation.scorers import Scorer
from inhouse.files import write_text
from inhouse.types import Example, Json, Passage, Progress, Record


class Answer(Record):
    """One arm's answer to one question. `failed` says why there is none; times in seconds.

    `unguarded` is the model's own text where the guardrails changed it, with `unguarded_scores`; `checked_scores` are
    those of the text that the last rails, which look at whole answers, replaced.
    """

    id: str
    arm: str
    text: str = ""
    failed: str = ""
    scores: Mapping[str, float] = {}
    first_token_s: float = 0.0
    latency_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    confidence: float | None = None
    passages: tuple[Passage, ...] = ()
    citations: tuple[dict[str, Json], ...] = ()
    declined: bool = False  # by the model itself
    unguarded: str | None = None
    unguarded_scores: Mapping[str, float] = {}
    checked_scores: Mapping[str, float] = {}
    findings: tuple[dict[str, Json], ...] = ()
    rails_ms: Mapping[str, float] = {}


FAILED_SCORES = {"accuracy": 0.0, "facts": 0.0, "format": 0.0, "rouge_l": 0.0, "similarity": 0.0, "tone": 0.0}


@dataclass(frozen=True)
class Exam:
    """What every arm is asked, and how the answers are scored.

    Attributes:
        examples: the questions.
        evidence: by question id, the texts that may support an answer: the same for every arm.
        scorer: scores an answer.
        max_tokens: of an answer.
        timeout_s: after which an answer counts as failed.
        concurrent: questions asked at the same time.
    """

    examples: Sequence[Example]
    evidence: Mapping[str, Sequence[str]]
    scorer: Scorer
    max_tokens: int
    timeout_s: float
    concurrent: int


class ArmRun(NamedTuple):
    """An arm's answers in the order of the questions, and the seconds that it took."""

    answers: Sequence[Answer]
    seconds: float


async def evaluate_arm(model: ChatModel, exam: Exam, out: Path, progress: Progress) -> ArmRun:
    """Asks the arm `model` every question and scores the answers.

    Answers are appended to `out` as they come; questions that it holds already are not asked again.
    """
    done = _earlier(out)
    free = asyncio.Semaphore(exam.concurrent)
    waiting = [e for e in exam.examples if e.id not in done]
    with progress.step(f"asking {model.name}", len(exam.examples)) as step, out.open("a", encoding="utf-8") as log:
        step.advance(len(exam.examples) - len(waiting))

        async def one(example: Example) -> None:
            async with free:
                started = time.perf_counter()
                answer = await _ask(model, exam, example)
                done[example.id] = (answer, time.perf_counter() - started)
            log.write(json.dumps({"busy_s": done[example.id][1], "answer": answer.model_dump(mode="json")}) + "\n")
            log.flush()
            step.advance()

        await asyncio.gather(*(one(e) for e in waiting))
    seconds = sum(done[e.id][1] for e in exam.examples) / exam.concurrent
    return ArmRun([done[e.id][0] for e in exam.examples], seconds)


async def _ask(model: ChatModel, exam: Exam, example: Example) -> Answer:
    request = ChatRequest(messages=example.messages, max_tokens=exam.max_tokens, temperature=0.0)
    try:
        async with asyncio.timeout(exam.timeout_s):
            reply = await collect(model, request)
    except TimeoutError:
        return _failure(example, model.name, f"no answer within {exam.timeout_s:g} s")
    except InhouseError as error:
        return _failure(example, model.name, str(error))
    usage = reply.finish.usage
    report = reply.note("guarded", "report") or {"generated": reply.text, "checked": reply.text, "ms": {}}

    def score(text: str) -> dict[str, float]:
        return exam.scorer.score(example, text, exam.evidence[example.id], reply.finish.reason == "length")

    unguarded, checked = report["generated"], report["checked"]
    return Answer(
        id=example.id,
        arm=model.name,
        text=reply.text,
        scores=score(reply.text),
        declined=exam.scorer.declines(unguarded),
        unguarded=unguarded if unguarded != reply.text else None,
        unguarded_scores=score(unguarded) if unguarded != reply.text else {},
        checked_scores=score(checked) if checked not in (None, reply.text) else {},
        findings=tuple(reply.note("guarded", "findings") or ()),
        rails_ms=report["ms"],
        first_token_s=reply.first_token_s,
        latency_s=reply.latency_s,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        confidence=reply.finish.confidence,
        passages=tuple(Passage(**p) for p in reply.note("grounded", "passages") or ()),
        citations=tuple(reply.note("grounded", "citations") or ()),
    )


def _failure(example: Example, arm: str, reason: str) -> Answer:
    scores = dict(FAILED_SCORES)
    if not example.answerable:
        del scores["facts"]
    return Answer(id=example.id, arm=arm, failed=reason, scores=scores)


def _earlier(out: Path) -> dict[str, tuple[Answer, float]]:
    """The answers that an interrupted run left; a last line that was cut short is dropped."""
    answers: dict[str, tuple[Answer, float]] = {}
    if not out.exists():
        return answers
    whole = []
    for line in out.read_text(encoding="utf-8").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        answer = Answer.model_validate(row["answer"])
        answers[answer.id] = (answer, row["busy_s"])
        whole.append(line)
    write_text(out, "".join(f"{line}\n" for line in whole))
    return answers
