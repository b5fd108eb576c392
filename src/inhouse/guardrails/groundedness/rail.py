"""Whether the passages support each sentence of an answer; sentences that they do not support are cut or handed off.

A classifier (`alignment`) compares a sentence with the nearest sentences of the sources, token by token, and weighs
features that can be named: numbers and their units, names, negations, conditions and comparisons, how much of the
wording the sources share, and similarity of embeddings. A value that the sources say of something else is not supported
either, whatever the classifier says (`subjects`). Supported sentences are cited. A mark such as [2] is removed
if that passage does not support its sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from inhouse.guardrails.groundedness.alignment import Alignment, Projected
from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.features import features_of
from inhouse.guardrails.groundedness.fields import fields, is_supported
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text import claims
from inhouse.text.arithmetic import is_calculation
from inhouse.text.cache import CachedEmbedder, Recent
from inhouse.text.numbers import numbers
from inhouse.text.sentences import sentences
from inhouse.text.words import content_words, tokens
from inhouse.types import Passage, Span, SupportScorer

EVIDENCE = "evidence"  # in the state of a turn
_MARK = re.compile(r"\s?\[(\d{1,2})\]")
_JOINT = re.compile(r"(?:, |; | )(?:and|but|while)\s+|; ")
COPIED = 0.85  # share of a value's words in one window from which it counts as copied
CONTRADICTED = 0.02  # the most support of a statement that the sources rule out
CERTAIN = 0.9  # support from which the parts of a statement are not checked separately
CACHED_SENTENCES = 2000  # projected, some 20 kB each
TYPO_LENGTH = 5  # letters from which a name with one wrong letter counts as misspelled
_CURRENCIES = frozenset("$£€")
_MONEY = _CURRENCIES | {"%"}


def contradiction(statement: str, evidence: Evidence) -> str:
    """What in the statement the sources rule out, whatever the classifier says of the rest; "" for nothing.

    Numbers, amounts and names must be in the sources or in the conversation.
    """
    for m in numbers(statement):
        if m.value in evidence.conversation:
            continue
        if m.written and m.value not in evidence.values:
            return f"{m.value} is not in the sources"
        units = {u for v, u in evidence.numbers if v == m.value}
        if m.unit in _MONEY and units and units.isdisjoint({m.unit, ""}):
            return f"{m.unit} {m.value} has a different unit in the sources"
    known = evidence.conversation.union(*evidence.text_sets)
    for name in claims.names(statement):
        if any(w not in known and w not in claims.PLACES and not _typo(w, known) for w in content_words(name)):
            return f"{name} is not in the sources"
    return ""


def mistaken(text: str, evidence: Evidence) -> str:
    """An amount, percentage, duration, or time in an answer that the sources say of something else; "" for none.

    A sentence that does not say what its value is of answers the question; so does a value in JSON.
    """
    if (pairs := fields(text)) is None:
        said = sentences(text)
    else:
        said = [f"{key}: {_sign(key)}{value}" for key, value in pairs if value is not None]
    for sentence in said:
        value = evidence.subjects.mistaken(sentence, evidence.questions)
        if value and not is_calculation(sentence, [*evidence.texts, evidence.said]):
            return value
    return ""


def _sign(key: str) -> str:
    """The sign of an amount whose key names its currency, as in "fee usd"."""
    return next((unit for word in key.split() if (unit := numbers(f"1 {word}")[0].unit) in _CURRENCIES), "")


def _typo(word: str, known: frozenset[str]) -> bool:
    """Whether a word differs from a known one by a letter: a misspelling rather than another name."""
    from rapidfuzz.distance import Levenshtein

    return len(word) >= TYPO_LENGTH and any(Levenshtein.distance(word, k, score_cutoff=1) <= 1 for k in known)


def _parts(statement: str) -> list[str]:
    """The parts of a statement joined by "and", "but" or a semicolon, if each could be a sentence by itself."""
    parts = [p.strip(" ,") for p in _JOINT.split(statement)]
    complete = all(len(p.split()) > 3 and len(content_words(p)) > 1 for p in parts)
    return parts if complete and len(parts) > 1 else []


def statements(text: str) -> list[str]:
    """The sentences of an answer that have words to check."""
    return [s for s in sentences(_MARK.sub("", text)) if len(content_words(s)) > 1]


class Groundedness:
    """The rail. It prepares the passages on side "passages" and checks sentences on side "output".

    Args:
        embedder: for similarity.
        classifier: gives the probability that a statement is not supported.
        statements: says which sentences state something; the others pass.
        min_support: a statement must be supported with a larger probability; None for the classifier's threshold.
    """

    name = "groundedness"
    sides: frozenset[Side] = frozenset({"passages", "output"})

    def __init__(
        self, embedder: CachedEmbedder, classifier: Alignment, statements: SupportScorer,
        min_support: float | None = None,
    ) -> None:  # fmt: skip
        self._embedder = embedder
        self._classifier = classifier
        self._min_support = 1 - classifier.threshold if min_support is None else min_support
        self._statements = statements
        self._projected: Recent[list[Projected]] = Recent(CACHED_SENTENCES)

    def support(self, statement: str, evidence: Evidence) -> float:
        """The probability that the evidence supports the statement; at most CONTRADICTED where it says otherwise.

        A statement that joins two is supported at least as well as the worse of them, since they may be supported in
        different places.
        """
        if not evidence.windows:
            return CONTRADICTED
        if tokens(statement) in evidence.copies or is_calculation(statement, [*evidence.texts, evidence.said]):
            return 1.0
        evidence.embed_ahead([statement])
        whole = self._supported(statement, evidence)
        if contradiction(statement, evidence):
            return min(whole, CONTRADICTED)
        parts = _parts(statement) if whole < CERTAIN else []
        evidence.embed_ahead(parts)
        return max(whole, min((self._supported(p, evidence) for p in parts), default=0.0))

    def _supported(self, statement: str, evidence: Evidence) -> float:
        premises = evidence.premises(statement)
        projected = self._projected.filled([statement, *premises], self._project)
        features = features_of(statement, evidence)
        return 1 - self._classifier.probability(projected[statement], [projected[p] for p in premises], features)

    def _project(self, sentences: list[str]) -> list[list[Projected]]:
        return [self._classifier.project(tokens) for _, tokens in self._embedder.read(sentences)]

    def claims(self, text: str, evidence: Evidence) -> list[tuple[str, float]]:
        """What the text states, one sentence or JSON field each, and the probability that the evidence supports it."""
        return [(claim, support(evidence)) for claim, support in self._claims(text)]

    def _claims(self, text: str) -> list[tuple[str, Callable[[Evidence], float]]]:
        """What the text states, each with the function that computes its support."""
        if (pairs := fields(text)) is None:
            return [(s, partial(self.support, s)) for s in self._statements.statements(text)]
        stated = [(k, v) for k, v in pairs if isinstance(v, (int, float, str)) and not isinstance(v, bool) and v != ""]
        return [(f"{key}: {value}", partial(self._field_support, key, value)) for key, value in stated]

    def _field_support(self, key: str, value: float | str, evidence: Evidence) -> float:
        if not isinstance(value, str):
            return 1.0 if is_supported(key, value, evidence) else CONTRADICTED
        words = frozenset(content_words(value))
        shared = max((len(words & s) / max(len(words), 1) for s in evidence.sets), default=0.0)
        support = self.support(value, evidence)
        return max(support, shared) if shared >= COPIED and support > CONTRADICTED else support

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        if not turn.passages:
            return None
        if side == "passages" or EVIDENCE not in turn.state:  # passages may have been removed since
            evidence = turn.state[EVIDENCE] = evidence_of(turn, self._embedder)
            _ = evidence.vectors, evidence.subjects  # computed now, while the model reads its prompt
        return None if side == "passages" else self._check_sentence(text, turn)

    def _check_sentence(self, text: str, turn: Turn) -> Finding | None:
        evidence: Evidence = turn.state[EVIDENCE]
        cited = turn.cited = {} if turn.cited is None else turn.cited
        bare = _MARK.sub("", text)
        stated = self._claims(bare)
        value = mistaken(bare, evidence)
        supports = [CONTRADICTED] if value else [support(evidence) for _, support in stated]
        if supports and min(supports) <= self._min_support:
            for claim, _ in stated:
                cited.pop(claim, None)
            reason = f"in the sources, {value} is about something else" if value else "not supported by the sources"
            return Finding(score=1 - min(supports), reason=reason, text="")
        for claim, support in stated:
            for number in evidence.nearest(claim):
                if (alone := support(evidence.only(number))) > self._min_support:
                    cited[claim] = {
                        "sentence": claim, "passage": number + 1, **turn.passages[number].where,
                        "support": round(alone, 3),
                    }  # fmt: skip
                    break
        wrong = [m for m in _MARK.finditer(text) if not self._supports(int(m[1]), bare, evidence)]
        if not wrong:
            return None
        spans = tuple(Span(m.start(), m.end(), "CITATION") for m in wrong)
        kept = text
        for m in reversed(wrong):
            kept = kept[: m.start()] + kept[m.end() :]
        reason = "cites a passage that does not support it"
        return Finding(score=0.5, reason=reason, spans=spans, text=kept, action="rewrite")

    def _supports(self, number: int, text: str, evidence: Evidence) -> bool:
        """Whether the passage of that number, from 1, supports all of the text."""
        if not 1 <= number <= len(evidence.texts):
            return False
        return all(support > self._min_support for _, support in self.claims(text, evidence.only(number - 1)))


def evidence_of(turn: Turn, embedder: CachedEmbedder) -> Evidence:
    """The evidence in the turn's passages. Names and numbers from the conversation may be repeated without support."""
    conversation = "\n".join(m.content for m in turn.request.messages if m.role in ("user", "assistant"))
    questions = [m.content for m in reversed(turn.request.messages) if m.role == "user"]
    return Evidence([with_title(p) for p in turn.passages], embedder, conversation, questions)


def with_title(passage: Passage) -> str:
    """A passage after its title and its last heading."""
    return ". ".join(filter(None, (passage.title, passage.heading.rpartition(" > ")[2], passage.text)))
