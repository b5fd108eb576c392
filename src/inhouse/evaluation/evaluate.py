"""Every arm is asked the same questions, through the engine that serves; answers are written as they come."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.errors import InhouseError
from inhouse.evaluation.outcomes import GOOD, Ended, Outcome, outcome_of, shares
from inhouse.evaluation.scorers import Scorer
from inhouse.files import write_text
from inhouse.types import Example, Json, Message, Passage, Progress, Record


class Answer(Record):
    """One arm's answer to one question. `failed` says why there is none; times in seconds.

    `unguarded` is the model's own text where the guardrails changed it, with `unguarded_scores`; `checked_scores` are
    those of the text that the last rails, which look at whole answers, replaced. `outcome` is one of
    evaluation/outcomes.py. `ended` says how the assistant ended the exchange without an answer, "" if it did not. `usd`
    is the price of the answer where it has one other than the time that it took.
    """

    id: str
    arm: str
    text: str = ""
    failed: str = ""
    outcome: Outcome = "failed"
    ended: Literal["", "act", "block", "handoff"] = ""
    usd: float | None = None
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
        groups: of who asks a question, by its id; nobody's where it has none.
    """

    examples: Sequence[Example]
    evidence: Mapping[str, Sequence[str]]
    scorer: Scorer
    max_tokens: int
    timeout_s: float
    concurrent: int
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)


class ArmRun(NamedTuple):
    """An arm's answers in the order of the questions, and the seconds that it took."""

    answers: Sequence[Answer]
    seconds: float


async def evaluate_arm(model: ChatModel, exam: Exam, out: Path, progress: Progress) -> ArmRun:
    """Asks the arm `model` every question and scores the answers.

    The turns of a conversation are asked in order, each after the arm's own earlier answers. Answers are appended to
    `out` as they come; questions that it holds already are not asked again.
    """
    done = _earlier(out)
    free = asyncio.Semaphore(exam.concurrent)
    with progress.step(f"asking {model.name}", len(exam.examples)) as step, out.open("a", encoding="utf-8") as log:
        step.advance(sum(e.id in done for e in exam.examples))

        async def one(conversation: Sequence[Example]) -> None:
            said: list[str] = []
            for example in conversation:
                if example.id not in done:
                    async with free:
                        started = time.perf_counter()
                        answer = await _ask(model, exam, example, _after(example, said))
                        busy_s = time.perf_counter() - started
                    done[example.id] = (answer, busy_s)
                    log.write(json.dumps({"busy_s": busy_s, "answer": answer.model_dump(mode="json")}) + "\n")
                    log.flush()
                    step.advance()
                said.append(done[example.id][0].text)

        await asyncio.gather(*(one(turns) for turns in conversations(exam.examples)))
    seconds = sum(done[e.id][1] for e in exam.examples) / exam.concurrent
    return ArmRun([done[e.id][0] for e in exam.examples], seconds)


def conversations(examples: Sequence[Example]) -> list[list[Example]]:
    """The turns of each test conversation in order; a question by itself is a conversation of one turn."""
    turns: dict[str, list[Example]] = {}
    for n, example in enumerate(examples):
        turns.setdefault(f"conversation {example.group}" if example.turn else f"question {n}", []).append(example)
    return [sorted(own, key=lambda e: e.turn) for own in turns.values()]


def asked(examples: Sequence[Example], answers: Sequence[Answer]) -> list[tuple[Example, tuple[Message, ...]]]:
    """Each question with the conversation as the arm was asked it."""
    texts = {a.id: a.text for a in answers}
    return [
        (e, _after(e, [texts[before.id] for before in turns[:n]]))
        for turns in conversations(examples)
        for n, e in enumerate(turns)
    ]


def _after(example: Example, said: Sequence[str]) -> tuple[Message, ...]:
    """The conversation up to this turn with what the arm has said; a question by itself keeps its history."""
    if not example.turn:
        return example.messages
    own = iter(said)
    return tuple(m.model_copy(update={"content": next(own)}) if m.role == "assistant" else m for m in example.messages)


async def _ask(model: ChatModel, exam: Exam, example: Example, messages: tuple[Message, ...]) -> Answer:
    groups = exam.groups.get(example.id, frozenset())
    request = ChatRequest(messages=messages, max_tokens=exam.max_tokens, temperature=0.0, groups=groups)
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
    offer = (reply.note("guarded", "handoff") or {}).get("offer", "")  # titles, which nothing has to support
    scores, citations = score(reply.text.removesuffix(offer)), tuple(reply.note("grounded", "citations") or ())
    blocked, handed_off = reply.finish.reason == "content_filter", reply.note("guarded", "handoff") is not None
    if reply.note("acts", "act"):  # the project's own words, which no document has to support
        scores = {k: v for k, v in scores.items() if k not in ("unsupported", "hallucinated")}
        scores["accuracy"] = float(example.checks.small_talk or not example.answerable)
    ended: Ended = "block" if blocked else "handoff" if handed_off or exam.scorer.declines(reply.text) else ""
    outcome = outcome_of(example, reply.text, scores, ended, bool(citations))
    if example.checks.any:
        scores["accuracy"] = float(outcome in GOOD)
    checked_scores = {}
    if checked not in (None, reply.text):
        checked_scores = score(checked)
        checked_scores |= shares(outcome_of(example, checked, checked_scores, "", False))
    return Answer(
        id=example.id,
        arm=model.name,
        text=reply.text,
        outcome=outcome,
        ended="act" if reply.note("acts", "act") and not handed_off else ended,
        usd=(reply.note("cascade", "rung") or {}).get("usd"),
        scores=scores | shares(outcome),
        declined=exam.scorer.declines(unguarded),
        unguarded=unguarded if unguarded != reply.text else None,
        unguarded_scores=score(unguarded) if unguarded != reply.text else {},
        checked_scores=checked_scores,
        findings=tuple(reply.note("guarded", "findings") or ()),
        rails_ms=report["ms"],
        first_token_s=reply.first_token_s,
        latency_s=reply.latency_s,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        confidence=reply.finish.confidence,
        passages=tuple(Passage(**p) for p in reply.note("grounded", "passages") or ()),
        citations=citations,
    )


def _failure(example: Example, arm: str, reason: str) -> Answer:
    scores = FAILED_SCORES | shares("failed")
    if not example.answerable:
        del scores["facts"]
    return Answer(id=example.id, arm=arm, failed=reason, scores=scores)


def answers_in(file: Path) -> dict[str, tuple[Answer, float]]:
    """The answers in a file that `evaluate_arm` wrote, with the seconds that each took, by question; a line that was
    cut short is no answer."""
    answers: dict[str, tuple[Answer, float]] = {}
    for _, row in _lines_of(file):
        answer = Answer.model_validate(row["answer"])
        answers[answer.id] = (answer, row["busy_s"])
    return answers


def _lines_of(file: Path) -> Iterator[tuple[str, dict[str, Json]]]:
    for line in file.read_text(encoding="utf-8").split("\n") if file.exists() else ():
        with suppress(ValueError):
            yield line, json.loads(line)


def _earlier(out: Path) -> dict[str, tuple[Answer, float]]:
    """The answers that an interrupted run left; a last line that was cut short is dropped."""
    answers = answers_in(out)
    if out.exists():
        write_text(out, "".join(f"{line}\n" for line, _ in list(_lines_of(out))))
    return answers
