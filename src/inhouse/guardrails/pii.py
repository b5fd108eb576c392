"""Personal data (PII): removed from what the model reads, restored in what the same user reads, and not leaked.

Each value in the user's messages is replaced by a placeholder such as <CARD_NUMBER_1>, the same one throughout the
conversation, as in the training data. The values exist in that exchange alone, so no other user's answer can show them.
An answer keeps numbers and addresses only if the user, the passages or the business's documents contain them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.privacy.anonymize import CARD_DIGITS, PLACEHOLDER
from inhouse.privacy.context import NOT_PEOPLE, SURNAMES_TOO, THINGS
from inhouse.privacy.foreign import RULES
from inhouse.privacy.identifiers import identifiers
from inhouse.privacy.match import Parts, with_values
from inhouse.privacy.spelled import spelled_cards
from inhouse.privacy.tagger import Entities, Tagger
from inhouse.text.cache import Recent
from inhouse.text.visible import visible
from inhouse.types import Message, Span

VALUES = "pii"  # in the state of a turn: values by placeholder
BY_NAME = frozenset({"PERSON", "PLACE", "ADDRESS", "ORGANIZATION"})
ORDER = (
    "SECRET", "EMAIL", "IBAN", "CARD_NUMBER", "SSN", "NATIONAL_ID", "PIN", "DATE_OF_BIRTH", "ACCOUNT_NUMBER",
    "IP_ADDRESS", "PHONE", "ORDER_NUMBER", "ADDRESS", "PERSON", "PLACE", "ORGANIZATION",
)  # fmt: skip
"""Every kind. Of two that cover the same text the earlier wins, unless the later covers more."""
DEFAULT_KINDS = tuple(k for k in ORDER if k not in ("PLACE", "ORGANIZATION", "ORDER_NUMBER"))
CACHED_TEXTS = 5000
_CANDIDATE = re.compile(r"\d|@|://|-----|(?i:pass|secret|key|token)")  # whatever is redacted in answers has one
_AMOUNT = re.compile(
    r"[$£€]\s?\d[\d,.]*[kKmM]?|\b\d{1,3}(?:,\d{3})+(?:\.\d+)?\b|\b\d+(?:[.,]\d+)?\s?(?:%|k\b|percent\b|dollars?\b|usd\b"
    r"|euros?\b|eur\b|pounds?\b|gbp\b|bucks\b|cents?\b)", re.IGNORECASE
)  # fmt: skip
_NAME_WORD = re.compile(r"[^\W\d_]+")
_BEFORE_ZIP = re.compile(r"(?:\b[A-Z]{2}|\b[A-Z][a-z]+,?|(?i:\bzip|post ?code|postal)[^\d\n]{0,20})[\s-]*$")


class Finder(Protocol):
    """Finds personal data in conversations, as `inhouse.privacy.anonymize.Anonymizer` does."""

    def spans(self, turns: Sequence[Message]) -> Sequence[Sequence[tuple[str, int, int, bool]]]:
        """The personal data in each turn: kind, start, end, and whether the match is certain."""
        ...

    def languages(self, turns: Sequence[Message]) -> Sequence[str]:
        """The language of each turn."""
        ...

    def entities(self, text: str) -> Entities:
        """The named entities that spaCy finds, of any kind."""
        ...

    def is_public(self, value: str) -> bool:
        """Whether the business's own documents contain the value."""
        ...


class Pii:
    """The rail.

    Args:
        finder: finds values by their shape and context.
        names: finds names of people, places and organizations.
        kinds: what is replaced in questions; of these, everything but names is redacted in answers.
    """

    name = "pii"
    sides: frozenset[Side] = frozenset({"input", "output"})

    def __init__(self, finder: Finder, names: Tagger, kinds: Sequence[str] = DEFAULT_KINDS) -> None:
        self._finder = finder
        self._names = names
        self._kinds = frozenset(kinds)
        self._cache: Recent[list[Span]] = Recent(CACHED_TEXTS)  # each turn of a conversation repeats those before it

    def spans(self, messages: Sequence[Message]) -> list[list[Span]]:
        """The personal data in each message, without overlaps."""
        spans = []
        shown = [visible(m.content) for m in messages]  # other forms of digits, invisible characters
        messages = [m.model_copy(update={"content": v.text}) for m, v in zip(messages, shown, strict=True)]
        languages = self._finder.languages(messages)
        found = self._finder.spans(messages)
        for seen, language, shapes in zip(shown, languages, found, strict=True):
            text = seen.text
            shaped = [Span(start, end, _kind(kind, text[start:end])) for kind, start, end, _ in shapes]
            if language in RULES:  # the tagger learned from English: it takes German nouns for names
                named = list(identifiers(text))
            else:
                named = self._cache.filled([text], lambda new: map(self._named, new))[text]
            every = (*shaped, *named, *spelled_cards(text))
            own = without_overlaps([s for s in every if s.kind in self._kinds])
            spans.append([Span(*seen.span(s.start, s.end), s.kind) for s in own])
        return spans

    def _named(self, text: str) -> list[Span]:
        """Names and identifiers."""
        amounts = Parts(m.span() for m in _AMOUNT.finditer(text))
        named = [s for s in self._names.find(text, self._finder.entities(text))
                 if self._private(text, s) and not amounts.overlapping(s.start, s.end)]  # fmt: skip
        return [*identifiers(text), *named]

    def _private(self, text: str, span: Span) -> bool:
        """Whether a name may be a person's: it is not in the business's documents, nor of a thing, and an address has a
        number and a street or a place."""
        value = text[span.start : span.end]
        if span.kind == "PERSON":
            words = set(_NAME_WORD.findall(value.lower()))
            if words <= NOT_PEOPLE or words & (THINGS - SURNAMES_TOO):
                return False
        if span.kind == "ADDRESS":
            if not any(c.isdigit() for c in value):
                return False
            named = any(c.isalpha() for c in value) or _BEFORE_ZIP.search(text, max(span.start - 40, 0), span.start)
            if not named:
                return False  # a number alone
        return not self._finder.is_public(value)

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        return self._input(text, turn) if side == "input" else self._output(text, turn)

    def _input(self, text: str, turn: Turn) -> Finding | None:
        spoken = [m for m in turn.request.messages if m.role in ("user", "assistant")]
        spans = self.spans(spoken)
        placeholders = Placeholders()
        for message, own in zip(spoken, spans, strict=True):
            for start, end, kind in own:
                if message.role == "user":
                    placeholders.add(kind, message.content[start:end])
        if not placeholders.values:
            return None
        turn.state[VALUES] = {placeholder: value for value, placeholder in reversed(placeholders.values.items())}
        messages = tuple(
            m.model_copy(update={"content": placeholders(m.content)}) if m.role in ("user", "assistant") else m
            for m in turn.request.messages
        )
        last = max((n for n, m in enumerate(spoken) if m.role == "user"), default=-1)
        return Finding(
            score=1,
            reason=_listed(placeholders.counts),
            spans=tuple(spans[last]) if last >= 0 else (),
            text=placeholders(text),
            messages=messages,
        )

    def _output(self, text: str, turn: Turn) -> Finding | None:
        values: dict[str, str] = turn.state.get(VALUES, {})
        known = [*(m.content for m in turn.request.messages), *(p.text for p in turn.passages)]
        allowed = _key(" ".join([*values.values(), *known]))

        def leaks(span: Span) -> bool:
            value = text[span.start : span.end]
            if span.kind in BY_NAME or PLACEHOLDER.match(text, span.start):
                return False
            return _key(value) not in allowed and not self._finder.is_public(value)

        as_user = [Message(role="user", content=text)] if _CANDIDATE.search(text) else []  # as strict as on the input
        leaked = [s for spans in self.spans(as_user) for s in spans if leaks(s)]
        kept, at = [], 0
        for start, end, kind in sorted(leaked):
            kept += [text[at:start], f"<{kind}>"]
            at = end
        redacted = "".join([*kept, text[at:]])
        restored = PLACEHOLDER.sub(lambda m: values.get(m[0], m[0]), redacted)
        if leaked:
            reason = _listed(Counter(s.kind for s in leaked))
            return Finding(score=1, reason=reason, spans=tuple(leaked), text=restored)
        if restored != text:
            return Finding(score=1, reason="the user's own values restored", text=restored, action="rewrite")
        return None


class Placeholders:
    """Values and their placeholders. Called with a text, it replaces each value wherever it occurs."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self._by_key: dict[str, str] = {}
        self._people: dict[str, dict[int, str]] = {}  # by a word of the name, in the order of coming

    def add(self, kind: str, value: str) -> None:
        key = _key(value)
        if not key or value in self.values:
            return
        same = self._by_key.get(key)
        if same is None and kind == "PERSON":  # a first name after the full name
            same = self._named(value)
        if same is None:
            self.counts[kind] += 1
            same = f"<{kind}_{self.counts[kind]}>"
        self._by_key[key] = self.values[value] = same
        for word in set(value.casefold().split()) if same.startswith("<PERSON") else ():
            self._people.setdefault(word, {})[len(self.values)] = same

    def _named(self, value: str) -> str | None:
        """The placeholder of the earliest person whose name has all words of the value."""
        of_words = [self._people.get(word, {}) for word in set(value.casefold().split())]
        fewest = min(of_words, key=len, default={})
        return next((fewest[n] for n in fewest if all(n in people for people in of_words)), None)

    def __call__(self, text: str) -> str:
        return with_values(text, self.values)


def without_overlaps(spans: Sequence[Span]) -> list[Span]:
    """Joins spans of the same kind. Of others the longer wins, then the earlier in ORDER; names yield to the rest."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and joined[-1].kind == span.kind and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end), span.kind)
        else:
            joined.append(span)
    parts, taken = Parts(), list[Span]()
    for span in sorted(joined, key=lambda s: (s.kind in BY_NAME, s.start - s.end, ORDER.index(s.kind), s.start)):
        if not parts.overlapping(span.start, span.end):
            parts.add(span.start, span.end)
            taken.append(span)
    return sorted(taken)


def _kind(kind: str, value: str) -> str:
    """The kind of a value. A long number without context counts as a card or an account, as in the training data."""
    if kind != "NUMBER":
        return kind
    return "CARD_NUMBER" if sum(c.isdigit() for c in value) >= CARD_DIGITS else "ACCOUNT_NUMBER"


def _key(value: str) -> str:
    """One spelling of a value."""
    return re.sub(r"[\s().-]", "", visible(value).text.casefold())


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {kind.lower().replace('_', ' ')}" for kind, n in sorted(counts.items()))
