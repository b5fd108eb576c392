"""Personal data: taken out of what the model reads, put back into what the same user reads, and kept in otherwise.

Each value in the user's messages becomes a placeholder such as <CARD_NUMBER_1>, the same throughout the conversation,
as in the training data. The values live in that exchange alone, so that no other user's answer can show them. In an
answer, numbers and addresses of people stand only where the user, the passages or the business's documents have them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.privacy.identifiers import identifiers
from inhouse.privacy.tagger import Entities, Tagger
from inhouse.text.cache import Recent
from inhouse.types import Message, Span

KEPT = "personal data"
PLACEHOLDER = re.compile(r"<[A-Z_]+_\d+>")
BY_NAME = frozenset({"PERSON", "PLACE", "ADDRESS", "ORGANIZATION"})
ORDER = (
    "SECRET", "EMAIL", "IBAN", "CARD_NUMBER", "SSN", "NATIONAL_ID", "PIN", "DATE_OF_BIRTH", "ACCOUNT_NUMBER",
    "IP_ADDRESS", "PHONE", "ORDER_NUMBER", "ADDRESS", "PERSON", "PLACE", "ORGANIZATION",
)  # fmt: skip
"""Every kind; where two cover the same text, the earlier wins, unless the later covers more."""
DEFAULT = tuple(k for k in ORDER if k not in ("PLACE", "ORGANIZATION", "ORDER_NUMBER"))
CARD_DIGITS = 15
REMEMBERED = 5000
_MAY_HOLD = re.compile(r"\d|@|://|-----|(?i:pass|secret|key|token)")  # what answers lose has one of these


class Finder(Protocol):
    """Finds personal data in conversations: `inhouse.datasets.anonymize.Anonymizer`."""

    def spans(self, turns: Sequence[Message]) -> Sequence[Sequence[tuple[str, int, int, bool]]]:
        """Of each turn what is personal: kind, start, end, and whether it is sure."""
        ...

    def entities(self, text: str) -> Entities:
        """What spaCy takes for a name, of whatever kind."""
        ...

    def is_public(self, value: str) -> bool:
        """Whether the business's own documents write the value."""
        ...


class Pii:
    """The rail. `kinds` are replaced in questions; in answers those of them that are no names."""

    name = "pii"
    sides: frozenset[Side] = frozenset({"input", "output"})

    def __init__(self, finder: Finder, names: Tagger, kinds: Sequence[str] = DEFAULT) -> None:
        self._finder = finder
        self._names = names
        self._kinds = frozenset(kinds)
        self._seen: Recent[list[Span]] = Recent(REMEMBERED)  # a conversation comes again with each of its turns

    def spans(self, messages: Sequence[Message]) -> list[list[Span]]:
        """What is personal in each message, without overlaps."""
        found = []
        for message, shapes in zip(messages, self._finder.spans(messages), strict=True):
            text = message.content
            own = [Span(start, end, _kind(kind, text[start:end])) for kind, start, end, _ in shapes]
            named = self._seen.filled([text], lambda new: map(self._named, new))[text]
            found.append(settled([s for s in (*own, *named) if s.kind in self._kinds], text))
        return found

    def _named(self, text: str) -> list[Span]:
        """Names and identifiers."""
        named = [s for s in self._names.find(text, self._finder.entities(text))
                 if self._private(text[s.start : s.end], s.kind)]  # fmt: skip
        return [*identifiers(text), *named]

    def _private(self, value: str, kind: str) -> bool:
        """Whether a name may be somebody's: not one of the business's own, and an address only with its number."""
        return (kind != "ADDRESS" or any(c.isdigit() for c in value)) and not self._finder.is_public(value)

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        return self._input(text, turn) if side == "input" else self._output(text, turn)

    def _input(self, text: str, turn: Turn) -> Finding | None:
        asked = [m for m in turn.request.messages if m.role in ("user", "assistant")]
        spans = self.spans(asked)
        swap = Placeholders()
        for message, own in zip(asked, spans, strict=True):
            for start, end, kind in own:
                if message.role == "user":
                    swap.add(kind, message.content[start:end])
        if not swap.values:
            return None
        turn.kept[KEPT] = {placeholder: value for value, placeholder in reversed(swap.values.items())}
        messages = tuple(
            m.model_copy(update={"content": swap(m.content)}) if m.role in ("user", "assistant") else m
            for m in turn.request.messages
        )
        last = max((n for n, m in enumerate(asked) if m.role == "user"), default=-1)
        return Finding(
            score=1,
            reason=_told(swap.counts),
            spans=tuple(spans[last]) if last >= 0 else (),
            text=swap(text),
            messages=messages,
        )

    def _output(self, text: str, turn: Turn) -> Finding | None:
        known: dict[str, str] = turn.kept.get(KEPT, {})
        allowed = " ".join(
            [*known.values(), *(m.content for m in turn.request.messages), *(p.text for p in turn.passages)]
        )
        plain = _key(allowed)
        told = [Message(role="user", content=text)] if _MAY_HOLD.search(text) else []
        own = [s for spans in self.spans(told) for s in spans]  # as strictly as what a user says
        leaks = [s for s in own if s.kind not in BY_NAME and not PLACEHOLDER.match(text, s.start)]
        leaks = [
            s
            for s in leaks
            if _key(text[s.start : s.end]) not in plain and not self._finder.is_public(text[s.start : s.end])
        ]
        changed = text
        for start, end, kind in sorted(leaks, reverse=True):
            changed = f"{changed[:start]}<{kind}>{changed[end:]}"
        restored = PLACEHOLDER.sub(lambda m: known.get(m[0], m[0]), changed)
        if leaks:
            return Finding(score=1, reason=_told(Counter(s.kind for s in leaks)), spans=tuple(leaks), text=restored)
        if restored != text:
            return Finding(score=1, reason="the user's own values put back", text=restored, action="rewrite")
        return None


class Placeholders:
    """Values with their placeholders; called with a text it puts them in, wherever a value stands."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self._by_key: dict[str, str] = {}

    def add(self, kind: str, value: str) -> None:
        key = _key(value)
        if not key or value in self.values:
            return
        same = self._by_key.get(key)
        if same is None and kind == "PERSON":  # a first name after the whole one
            words = set(value.casefold().split())
            same = next(
                (p for v, p in self.values.items() if p.startswith("<PERSON") and words <= set(v.casefold().split())),
                None,
            )
        if same is None:
            self.counts[kind] += 1
            same = f"<{kind}_{self.counts[kind]}>"
        self._by_key[key] = self.values[value] = same

    def __call__(self, text: str) -> str:
        if not self.values:
            return text
        longest = sorted(self.values, key=len, reverse=True)
        pattern = "|".join(
            rf"(?<!\w){re.escape(v)}(?!\w)" if v[0].isalnum() and v[-1].isalnum() else re.escape(v) for v in longest
        )
        return re.sub(pattern, lambda m: self.values[m[0]], text)


def settled(spans: Sequence[Span], text: str) -> list[Span]:
    """Spans without overlaps: like ones joined, else the longer, then by ORDER."""
    joined: list[Span] = []
    for span in sorted(spans):
        if joined and joined[-1].kind == span.kind and span.start <= joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end), span.kind)
        else:
            joined.append(span)
    taken: list[Span] = []
    for span in sorted(joined, key=lambda s: (s.kind in BY_NAME, s.start - s.end, ORDER.index(s.kind), s.start)):
        if not any(span.start < t.end and t.start < span.end for t in taken):
            taken.append(span)
    return sorted(taken)


def _kind(kind: str, value: str) -> str:
    """A long number of which nothing says what it is counts as a card's or an account's, as in the training data."""
    if kind != "NUMBER":
        return kind
    return "CARD_NUMBER" if sum(c.isdigit() for c in value) >= CARD_DIGITS else "ACCOUNT_NUMBER"


def _key(value: str) -> str:
    return re.sub(r"[\s().-]", "", value.casefold())


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {kind.lower().replace('_', ' ')}" for kind, n in sorted(counts.items()))
