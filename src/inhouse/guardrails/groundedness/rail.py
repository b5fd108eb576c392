"""Whether each sentence of an answer stands in the passages; the others are cut, marked or handed off.

A head (`alignment`) reads each beside the sentences of the sources that come nearest, word by word, and weighs what can
be checked: numbers with their units, names, negations, conditions and comparisons, how much of the wording the sources
share, and the likeness of embeddings. The sentences that stand are cited; a mark such as [2] of a passage that does not
carry its sentence is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from inhouse.guardrails.groundedness.alignment import Alignment, Projected
from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.features import signs_of
from inhouse.guardrails.groundedness.fields import fields, stands
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text import claims as wording
from inhouse.text.cache import CachedEmbedder, Recent
from inhouse.types import Passage, Span, SupportScorer

_MARK = re.compile(r"\s?\[(\d{1,2})\]")
_JOINT = re.compile(r"(?:, |; | )(?:and|but|while)\s+|; ")
NEARLY = 0.85  # share of a value's words in one place of the sources from which it counts as copied
WRONG = 0.02
PROJECTED = 2000  # sentences, some 20 kB each
SURE = 0.9  # from which the parts of a statement are not looked at
TYPO_LENGTH = 5  # letters from which a name with one wrong is still that name
_MONEY = frozenset("$£€%")


def contradicted(statement: str, evidence: Evidence) -> str:
    """What in the statement the sources rule out, whatever the head thinks of the rest; "" for nothing.

    A number, amount or name must stand in the sources or in the conversation.
    """
    said = evidence.said
    for m in wording.numbers(statement):
        if m.written and m.value not in evidence.values and m.value not in said:
            return f"{m.value} is not in the sources"
        units = {u for v, u in evidence.numbers if v == m.value}
        if m.unit in _MONEY and units and units.isdisjoint({m.unit, ""}) and m.value not in said:
            return f"{m.unit} {m.value} is something else in the sources"
    there = frozenset().union(*evidence.text_sets) if evidence.text_sets else frozenset()
    known = there | said
    for name in wording.names(statement):
        if any(w not in known and w not in wording.PLACES and not _typo(w, known) for w in wording.words(name)):
            return f"{name} is not in the sources"
    return ""


def _typo(word: str, known: frozenset[str]) -> bool:
    """Whether a word differs from a known one by a letter: misspelled, but no other name."""
    from rapidfuzz.distance import Levenshtein

    return len(word) >= TYPO_LENGTH and any(Levenshtein.distance(word, k, score_cutoff=1) <= 1 for k in known)


def _joined(statement: str) -> list[str]:
    """The parts of a statement that "and", "but" or a semicolon joins, where each could stand alone; none of others."""
    parts = [p.strip(" ,") for p in _JOINT.split(statement)]
    whole = all(len(p.split()) > 3 and len(wording.words(p)) > 1 for p in parts)
    return parts if whole and len(parts) > 1 else []


def statements(text: str) -> list[str]:
    """The sentences of an answer that have words to check."""
    return [s for s in wording.sentences(_MARK.sub("", text)) if len(wording.words(s)) > 1]


class Groundedness:
    """The rail: sides "passages", to read them ahead, and "output".

    Args:
        embedder: for likeness of meaning.
        head: gives the probability that a statement is not carried.
        statements: tells which sentences claim something; the others pass.
        least: a statement must be carried with a larger probability; None takes what the head was shipped with.
    """

    name = "groundedness"
    sides: frozenset[Side] = frozenset({"passages", "output"})

    def __init__(
        self, embedder: CachedEmbedder, classifier: Alignment, statements: SupportScorer, least: float | None = None
    ) -> None:
        self._embedder = embedder
        self._head = classifier
        self._least = 1 - classifier.threshold if least is None else least
        self._statements = statements
        self._projected: Recent[list[Projected]] = Recent(PROJECTED)

    def support(self, statement: str, evidence: Evidence) -> float:
        """How likely the evidence carries the statement, in [0, 1]; at most WRONG where it says otherwise.

        What joins two things that are said in different places is carried as well as the worse of them.
        """
        if not evidence.windows:
            return WRONG
        evidence.read_ahead([statement])
        whole = self._carried(statement, evidence)
        if contradicted(statement, evidence):
            return min(whole, WRONG)
        parts = _joined(statement) if whole < SURE else []
        evidence.read_ahead(parts)
        return max(whole, min((self._carried(p, evidence) for p in parts), default=0.0))

    def _carried(self, statement: str, evidence: Evidence) -> float:
        premises = evidence.premises(statement)
        known = self._projected.filled([statement, *premises], self._project)
        signs = signs_of(statement, evidence)
        return 1 - self._head.probability(known[statement], [known[p] for p in premises], signs)

    def _project(self, sentences: list[str]) -> list[list[Projected]]:
        return [self._head.project(tokens) for _, tokens in self._embedder.read(sentences)]

    def claims(self, text: str, evidence: Evidence) -> list[tuple[str, float]]:
        """What the text says, a sentence or a field of JSON each, and how likely the evidence carries it."""
        return [(claim, by(evidence)) for claim, by in self._claims(text)]

    def _claims(self, text: str) -> list[tuple[str, Callable[[Evidence], float]]]:
        if (found := fields(text)) is None:
            return [(s, partial(self.support, s)) for s in self._statements.statements(text)]
        told = [(k, v) for k, v in found if isinstance(v, (int, float, str)) and not isinstance(v, bool) and v != ""]
        return [(f"{key}: {value}", partial(self._field, key, value)) for key, value in told]

    def _field(self, key: str, value: float | str, evidence: Evidence) -> float:
        if not isinstance(value, str):
            return 1.0 if stands(key, value, evidence.numbers, evidence.said) else WRONG
        wanted = frozenset(wording.words(value))
        nearest = max((len(wanted & s) / max(len(wanted), 1) for s in evidence.sets), default=0.0)
        said = self.support(value, evidence)
        return max(said, nearest) if nearest >= NEARLY and said > WRONG else said

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        if not turn.passages:
            return None
        if side == "passages" or "evidence" not in turn.kept:  # what there is to read may change
            turn.kept["evidence"] = evidence_of(turn, self._embedder)
            _ = turn.kept["evidence"].vectors
        return None if side == "passages" else self._judged(text, turn)

    def _judged(self, text: str, turn: Turn) -> Finding | None:
        cited = turn.cited = {} if turn.cited is None else turn.cited
        evidence: Evidence = turn.kept["evidence"]
        bare = _MARK.sub("", text)
        worst = 1.0
        claims = self._claims(bare)
        for statement, by in claims:
            support = by(evidence)
            worst = min(worst, support)
            if support > self._least:
                for number in evidence.nearest(statement):
                    if (alone := by(evidence.only(number))) > self._least:
                        cited[statement] = {
                            "sentence": statement, "passage": number + 1, "source": turn.passages[number].source,
                            "support": round(alone, 3),
                        }  # fmt: skip
                        break
        if worst <= self._least:
            for statement, _ in claims:
                cited.pop(statement, None)
            return Finding(score=1 - worst, reason="not in the sources", text="")
        wrong = [m for m in _MARK.finditer(text) if not self._carries(int(m[1]), bare, evidence)]
        if not wrong:
            return None
        spans = tuple(Span(m.start(), m.end(), "CITATION") for m in wrong)
        kept = text
        for m in reversed(wrong):
            kept = kept[: m.start()] + kept[m.end() :]
        return Finding(
            score=0.5, reason="cites a passage that does not carry it", spans=spans, text=kept, action="rewrite"
        )

    def _carries(self, number: int, text: str, evidence: Evidence) -> bool:
        if not 1 <= number <= len(evidence.texts):
            return False
        return all(support > self._least for _, support in self.claims(text, evidence.only(number - 1)))


def evidence_of(turn: Turn, embedder: CachedEmbedder) -> Evidence:
    """The turn's passages made ready; what was said in the conversation, by whom ever, may be named again."""
    said = "\n".join(m.content for m in turn.request.messages if m.role in ("user", "assistant"))
    return Evidence([spoken(p) for p in turn.passages], embedder, said)


def spoken(passage: Passage) -> str:
    """A passage with what it stands under."""
    return ". ".join(filter(None, (passage.title, passage.heading.rpartition(" > ")[2], passage.text)))
