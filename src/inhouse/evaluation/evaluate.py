"""Every arm asked the same questions, through the engine that serves; answers are written as they come."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.config.sections import Evaluation
from inhouse.errors import InhouseError
from inhouse.evaluation.scorers import Scorer
from inhouse.files import write_text
from inhouse.types import Example, Json, Passage, Progress, Record


class Answer(Record):
    """One arm's answer to one question. `failed` says why there is none; times in seconds.

    `said` is what the model said where the guardrails let something else pass, `said_scores` what that is worth, and
    `checked_scores` what the answer was worth when the last rails, which look at the whole of it, ended it.
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
    said: str | None = None
    said_scores: Mapping[str, float] = {}
    checked_scores: Mapping[str, float] = {}
    findings: tuple[dict[str, Json], ...] = ()
    rails_ms: Mapping[str, float] = {}


FAILED_SCORES = {"accuracy": 0.0, "facts": 0.0, "format": 0.0, "rouge_l": 0.0, "similarity": 0.0, "tone": 0.0}


async def evaluate_arm(
    arm: str,
    model: ChatModel,
    examples: Sequence[Example],
    settings: Evaluation,
    max_tokens: int,
    scorer: Scorer,
    evidence: Mapping[str, Sequence[str]],
    concurrent: int,
    out: Path,
    progress: Progress,
) -> tuple[list[Answer], float]:
    """Asks every question and scores the answers; returns them in the questions' order, and the seconds it took.

    Answers are appended to `out` as they come; questions that it holds already are not asked again.
    """
    done = _earlier(out)
    free = asyncio.Semaphore(concurrent)
    waiting = [e for e in examples if e.id not in done]
    with progress.step(f"asking {arm}", len(examples)) as step, out.open("a", encoding="utf-8") as log:
        step.advance(len(examples) - len(waiting))

        async def one(example: Example) -> None:
            async with free:
                started = time.perf_counter()
                answer = await _ask(arm, model, example, settings.timeout_s, max_tokens, scorer, evidence[example.id])
                done[example.id] = (answer, time.perf_counter() - started)
            log.write(json.dumps({"busy_s": done[example.id][1], "answer": answer.model_dump(mode="json")}) + "\n")
            log.flush()
            step.advance()

        await asyncio.gather(*(one(e) for e in waiting))
    answers = [done[e.id][0] for e in examples]
    return answers, sum(done[e.id][1] for e in examples) / concurrent


async def _ask(
    arm: str,
    model: ChatModel,
    example: Example,
    timeout_s: float,
    max_tokens: int,
    scorer: Scorer,
    evidence: Sequence[str],
) -> Answer:
    request = ChatRequest(messages=example.messages, max_tokens=max_tokens, temperature=0.0)
    try:
        async with asyncio.timeout(timeout_s):
            reply = await collect(model, request)
    except TimeoutError:
        return _failure(example, arm, f"no answer within {timeout_s:g} s")
    except InhouseError as error:
        return _failure(example, arm, str(error))
    usage = reply.finish.usage
    inside = reply.note("guarded", "inside") or {"said": reply.text, "checked": reply.text, "ms": {}}

    def worth(text: str) -> dict[str, float]:
        return scorer.score(example, text, evidence, reply.finish.reason == "length")

    said, checked = inside["said"], inside["checked"]
    return Answer(
        id=example.id,
        arm=arm,
        text=reply.text,
        scores=worth(reply.text),
        declined=scorer.declines(said),
        said=said if said != reply.text else None,
        said_scores=worth(said) if said != reply.text else {},
        checked_scores=worth(checked) if checked not in (None, reply.text) else {},
        findings=tuple(reply.note("guarded", "findings") or ()),
        rails_ms=inside["ms"],
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
    found: dict[str, tuple[Answer, float]] = {}
    if not out.exists():
        return found
    whole = []
    for line in out.read_text(encoding="utf-8").split("\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        answer = Answer.model_validate(row["answer"])
        found[answer.id] = (answer, row["busy_s"])
        whole.append(line)
    write_text(out, "".join(f"{line}\n" for line in whole))
    return found
