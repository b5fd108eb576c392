"""Training rows, made as the model will be served: the same prompt, with the passages that retrieval finds.

After RAFT (Zhang et al. 2024): most rows have the passages with the answer among retrieved distractors; some lose them,
and their target becomes the hand-off sentence; some have no passages, so that the model also answers without any.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inhouse.config.sections import Training
from inhouse.text.numbers import digits, says
from inhouse.text.support import SUPPORTED
from inhouse.types import Example, Grounder, Message, Passage, Progress, Record, SupportScorer, last_question


class Row(Record):
    """One training row: the prompt as served, and the answer to learn."""

    messages: tuple[Message, ...]
    target: str
    kind: str  # "grounded", "without_answer", "closed_book" or "handoff"


@dataclass(frozen=True)
class Mixer:
    """Turns examples into training rows. The kind of a row depends only on the seed and the example's id.

    Args:
        grounder: finds passages and puts them into a prompt, as in serving.
        gold: the passages known to contain an example's answer.
        ungrounded: the prompt without passages.
        support: decides which passages contain an answer where the data does not say it.
        settings: the [training] section.
        handoff: the sentence that hands a question to a person.
        seed: for the random draws.
    """

    grounder: Grounder
    gold: Callable[[Example], Sequence[Passage]]
    ungrounded: Callable[[Sequence[Message]], tuple[Message, ...]]
    support: SupportScorer
    settings: Training
    handoff: str
    seed: int

    def rows(self, examples: Sequence[Example], progress: Progress) -> tuple[list[Row], dict[str, int]]:
        """Rows in the order of the examples, and counts by kind; "unsupported" counts examples that were left out."""
        rows: list[Row] = []
        counts: Counter[str] = Counter()
        with progress.step("finding passages for training", len(examples)) as step:
            for example in examples:
                made = self.row(example)
                counts[made.kind if made else "unsupported"] += 1
                if made:
                    rows.append(made)
                step.advance()
        return rows, dict(counts)

    def row(self, example: Example) -> Row | None:
        """The row of an example; None where nothing supports its figures."""
        rng = random.Random(f"{self.seed}|{example.id}")  # noqa: S311  a draw, not a secret
        retrieved = list(self.grounder.passages(example.messages, frozenset()))
        if not example.answerable:
            return Row(
                messages=self.grounder.ground(example.messages, retrieved), target=example.target, kind="handoff"
            )
        holding = list(self.gold(example)) or self._supporting(example.target, retrieved)
        results = _results(example)
        if not holding and not set(digits(example.target)) <= set(digits(results)):
            return None  # a figure that nothing supports would teach the model to invent figures
        if rng.random() < self.settings.closed_book:
            return Row(messages=self.ungrounded(example.messages), target=example.target, kind="closed_book")
        lose = rng.random() < self.settings.without_answer / max(1 - self.settings.closed_book, 1e-9)
        if lose and holding and not results and self._supported(example.target, holding):
            texts = {p.text for p in holding}
            distractors = [p for p in retrieved if p.text not in texts and not self._supported(example.target, [p])]
            messages = self.grounder.ground(example.messages, distractors)
            return Row(messages=messages, target=self.handoff, kind="without_answer")
        messages = self.grounder.ground(example.messages, _with(holding, retrieved, rng))
        return Row(messages=messages, target=example.target, kind="grounded")

    def _supported(self, target: str, passages: Sequence[Passage]) -> bool:
        """Whether the passages visibly support the answer. Where not even those that contain it do, as with a summary
        in other words, other passages cannot be ruled out either: such a row never loses its answer."""
        return self.support.support(target, [p.text for p in passages]) >= SUPPORTED

    def _supporting(self, target: str, retrieved: Sequence[Passage]) -> list[Passage]:
        """The passages that contain the answer, where the data does not say it."""
        if values := _json_values(target):
            return [p for p in retrieved if all(says(p.text, v) for v in values)]
        statements = self.support.statements(target) or [target]
        return [p for p in retrieved if max(self.support.support(s, [p.text]) for s in statements) >= SUPPORTED]


def _results(example: Example) -> str:
    """What tools returned to the question."""
    after = example.messages[last_question(example.messages) :]
    return "\n".join(m.content for m in after if m.role == "tool")


def _json_values(target: str) -> list[str]:
    """The numbers and texts of a JSON answer. Its keys are words of the question, not of the documents."""
    try:
        waiting = [json.loads(target)] if target[:1] in ("{", "[") else []
    except ValueError:
        return []
    values: list[str] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, str | int | float) and not isinstance(value, bool):
            values.append(f"{value:.12g}" if isinstance(value, float) else str(value))
    return values


def _with(holding: Sequence[Passage], retrieved: Sequence[Passage], rng: random.Random) -> list[Passage]:
    """The passages as retrieved; those that contain the answer and were not retrieved are put in random places.

    They replace the last passages without the answer.
    """
    texts, present = {p.text for p in holding}, {p.text for p in retrieved}
    room = max(len(retrieved), 1) - len(present & texts)
    missing = [p for p in holding if p.text not in present][:room]
    others = [p for p in retrieved if p.text not in texts][: room - len(missing)]
    left = {p.text for p in others} | texts
    kept = [p for p in retrieved if p.text in left]
    for passage in missing:
        kept.insert(rng.randrange(len(kept) + 1), passage)
    return kept
