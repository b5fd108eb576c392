"""What drift is looked for in: a monitor is one figure of a request, with the change that does no harm, the change that
matters, and what to do about it.

Shares are compared in points, times, costs, and lengths by the logarithm, scores in standard deviations of usual
requests, since scores of different indexes do not compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from inhouse.text.words import length_in_words, words

Area = Literal["questions", "retrieval", "answers", "guardrails", "operation"]
Kind = Literal["share", "ratio", "score", "area", "group"]
FAILED = frozenset({"error", "cancelled", "interrupted"})  # reasons with which there is no answer to judge
REFUSED = frozenset({"refused", "content_filter"})
COMMON = 0.05  # share of usual texts from which a language is one of the usual ones
APOLOGIES = frozenset(
    """sorry apologize apologise apologies apology unfortunately regret regrettably leider entschuldigung entschuldigen
    bedauern désolé désolée malheureusement regrettons lamento lamentamos lamentablemente desafortunadamente disculpe
    spiacente spiacenti purtroppo desculpe infelizmente helaas niestety przepraszamy üzgünüz""".split()  # noqa: SIM905
)


class Asked(Protocol):
    """A request with its answer, as `store.signals.Signal` has it."""

    @property
    def exchange(self) -> str: ...
    @property
    def at(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def retrieval(self) -> float | None: ...
    @property
    def passages(self) -> int: ...
    @property
    def handed_off(self) -> bool: ...
    @property
    def reason(self) -> str: ...
    @property
    def latency_s(self) -> float: ...
    @property
    def cost_usd(self) -> float: ...
    @property
    def findings(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Monitor:
    """One figure that is watched.

    Attributes:
        about: what it is, to begin a sentence with.
        harmless: the largest change that does no harm.
        matters: the smallest change that must be found: windows are as long as that takes.
        harm: +1 where only more is bad, -1 where only less is, 0 for both.
        todo: what to do about a change, a sentence.
        value: of one request, None if unknown; None for those on embeddings and languages.
    """

    name: str
    area: Area
    about: str
    kind: Kind
    harmless: float
    matters: float
    harm: int
    todo: str
    value: Callable[[Asked], float | None] | None = None


def answered(row: Asked) -> bool:
    """Whether there is an answer to judge."""
    return row.reason not in FAILED


def _of_answers(value: Callable[[Asked], float]) -> Callable[[Asked], float | None]:
    return lambda row: value(row) if answered(row) else None


def _logarithm(value: Callable[[Asked], float]) -> Callable[[Asked], float | None]:
    return lambda row: math.log(v) if answered(row) and (v := value(row)) > 0 else None


def _retrieval(row: Asked) -> float | None:
    return row.retrieval if answered(row) else None


def _apologizes(row: Asked) -> float:
    return float(not APOLOGIES.isdisjoint(words(row.answer)))


MOST_POINTS, FEW_POINTS, LITTLE = (0.03, 0.10), (0.01, 0.05), (math.log(1.15), math.log(1.5))
"""Pairs of harmless and matters: for shares that are often high, for those that are nearly none, for ratios."""

_MONITORS = (
    Monitor("topics", "questions", "What users ask about as a whole", "area", 0.01, 0.11, 1,
            "Have questions like the examples labeled, add them to the tests, and run `inhouse evaluate`."),
    Monitor("new questions", "questions", "The largest group of questions that has grown", "group", 0.01, 0.05, 1,
            "Check that the documents answer these questions, add them to the tests, and run `inhouse evaluate`."),
    Monitor("language of questions", "questions", "The share of questions in a language that was rare", "share",
            0.02, 0.10, 1, "Check that documents, models, and guardrails know the language: `inhouse check`."),
    Monitor("retrieval score", "retrieval", "The score of the best passage", "score", 0.2, 0.6, -1,
            "Check what changed in the documents and the index, run `inhouse index`, and search for the examples.",
            _retrieval),
    Monitor("nothing found", "retrieval", "The share of requests without any passage", "share", *MOST_POINTS, 1,
            "Search for the examples with `inhouse search`; add the documents that are missing.",
            _of_answers(lambda r: float(r.passages == 0))),
    Monitor("no answer", "answers", "The share of requests that were refused or handed to a person", "share",
            *MOST_POINTS, 1, "Read the examples in the inbox; add documents or approved replies for them.",
            _of_answers(lambda r: float(r.handed_off or r.reason in REFUSED))),
    Monitor("length of answers", "answers", "The length of answers", "ratio", math.log(1.2), math.log(1.5), 0,
            "Compare the examples with earlier answers; check the prompt, the model, and max_tokens.",
            _logarithm(lambda r: float(length_in_words(r.answer)))),
    Monitor("apologies", "answers", "The share of answers that apologize", "share", *MOST_POINTS, 1,
            "Read the examples: the model may find less than before, or the prompt has changed.",
            _of_answers(_apologizes)),
    Monitor("exclamations", "answers", "The share of answers with an exclamation mark", "share", 0.05, 0.15, 0,
            "Compare the tone of the examples with earlier answers; check the prompt and the model.",
            _of_answers(lambda r: float("!" in r.answer or "！" in r.answer))),
    Monitor("language of answers", "answers", "The share of answers in a language that was rare", "share", 0.02, 0.10,
            1, "Check whether these users asked in that language, and whether it is supported: `inhouse check`."),
    Monitor("findings", "guardrails", "The share of requests with a finding of the guardrails", "share", *FEW_POINTS,
            1, "Read the examples: an attack, or a rail that is wrong about new questions (`inhouse guard test`).",
            lambda r: float(bool(r.findings))),
    Monitor("errors", "operation", "The share of requests that failed", "share", *FEW_POINTS, 1,
            "Read the log of the server and the state of the engine and of upstreams.",
            lambda r: float(r.reason == "error")),
    Monitor("cost", "operation", "The cost of an answer", "ratio", *LITTLE, 1,
            "Check lengths of prompts and answers, the share of rungs of a cascade, and prices.",
            _logarithm(lambda r: r.cost_usd)),
    Monitor("latency", "operation", "The time to answer", "ratio", *LITTLE, 1,
            "Check the load of the machine, lengths of prompts and answers, and upstreams.",
            _logarithm(lambda r: r.latency_s)),
)  # fmt: skip
MONITORS: Mapping[str, Monitor] = {m.name: m for m in _MONITORS}
TEXTS: Mapping[str, Callable[[Asked], str]] = {
    "language of questions": lambda r: r.question,
    "language of answers": lambda r: r.answer if answered(r) else "",
}
"""Of which text a monitor of languages is."""
