"""Where an answer sends people: links, addresses, and payment details that the business's documents hold, no others.

A poisoned document can make a model send customers to an attacker's page, or show a picture whose address carries what
the customer said. So of what `targets` finds an answer keeps what trusted documents hold, and what the results of the
caller's tools hold; pictures only of the documents. A link passes if the documents have it, or one above it without a
query. What the user wrote is no reason to repeat it: who asks whether a link is the bank's must not read it in a "yes".
Only the number of an order, a case, or the like may be repeated. A request for a secret (PIN, card number, password,
one-time code) goes to a person, unless a trusted passage asks the same.

The text is also read without its markup, gaps, and codes. What only such a reading holds takes the sentence along.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from inhouse.guardrails.rail import TOOL, Finding, Side, Turn
from inhouse.guardrails.secrets import requests
from inhouse.guardrails.targets import MOST_SHORT, NUMBERS, Target, targets
from inhouse.text.cache import Recent
from inhouse.text.codes import decoded, unescaped
from inhouse.text.disguise import readings
from inhouse.types import Span

CACHED_TEXTS = 2000
BEFORE_CHARS = 160  # of the sentences before, since what stands on two lines is one link
COUNTRY_DIGITS = 3  # of a country code, which may be before a number that the documents have without it
_IMAGE = re.compile(r"!\[[^\]\n]{0,500}\]\([^)\n]{0,2000}\)?|<img\b[^>]{0,2000}>?", re.IGNORECASE)
_LABELED = re.compile(r"\[[^\]\n]{0,500}\]\(\s*<?([^)\s>]{1,2000})[^)\n]{0,300}\)?")
_ODD_TARGET = re.compile(
    r"&(?:#|colon|sol|tab|newline)|^[^/?#]{0,40}?(?<!http)(?<!https)(?<!mailto)(?<!tel):", re.IGNORECASE
)
_TAG = re.compile(r"<!--.{0,2000}?-->|</?[a-z][^<>]{0,500}>", re.IGNORECASE | re.DOTALL)
_MARKS = re.compile(r"\\(?=[^\w\s])|[*`~\u20e3]{1,6}")
_LETTERS = re.compile(r"(?<![^\W_])(?:[^\W_] |[.@:/-] ){2,200}[^\W_](?![^\W_])")
_BACKWARDS = "\u202e\u202d\u2067"


class Known(NamedTuple):
    """Targets that may be in an answer: those of documents, and hosts of which every link may be."""

    keys: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    def has(self, target: Target) -> bool:
        if target.kind in NUMBERS:
            return self._has_number(target.key.split())
        if target.key in self.keys:
            return True
        if target.kind == "EMAIL":
            return target.key.partition("@")[2] in self.hosts
        if target.kind != "LINK":
            return False
        host = target.key.partition("/")[0].partition("?")[0]
        if host in self.hosts:
            return True
        above, query, _ = target.key.partition("?")
        parts = above.split("/")
        return not query and any("/".join(parts[:n]) in self.keys for n in range(1, len(parts)))

    def _has_number(self, groups: Sequence[str]) -> bool:
        """Whether the number is known: with a country code more, or without what comes first; or several beside each
        other."""
        number = "".join(groups).lstrip("0")
        if any(k in self.keys for k in (_number(number), _tail(number))):
            return True
        if any(_number(number[n:].lstrip("0")) in self.keys for n in range(1, COUNTRY_DIGITS + 1)):
            return True
        rest = [*groups]
        for start, end in sorted(combinations(range(len(groups) + 1), 2), key=lambda part: part[0] - part[1]):
            if all(rest[start:end]) and _number("".join(groups[start:end]).lstrip("0")) in self.keys:
                rest[start:end] = [""] * (end - start)
        return len("".join(rest)) <= MOST_SHORT < len(number)


def known(texts: Iterable[str]) -> Known:
    """What the texts hold."""
    return Known(frozenset(key for text in texts for key in _keys(text)))


def _keys(text: str) -> Iterator[str]:
    for target in targets(text):
        if target.kind not in NUMBERS:
            yield target.key
            continue
        number = "".join(target.key.split()).lstrip("0")
        yield _number(number)
        yield from (_tail(number[n:]) for n in range(len(number) - MOST_SHORT))


def _number(digits: str) -> str:
    return f"#{digits}"


def _tail(digits: str) -> str:
    """The key of the last digits of a number, as one calls it from nearby."""
    return f"#...{digits.lstrip('0')}"


class Links:
    """The rail on each sentence of an answer.

    Args:
        trusted: what the trusted documents and the settings hold.
    """

    name = "links"
    sides: frozenset[Side] = frozenset({"output"})

    def __init__(self, trusted: Known) -> None:
        self._trusted = trusted
        self._seen: Recent[frozenset[str]] = Recent(CACHED_TEXTS)

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        passages = [p for p in turn.passages if p.trust == "trusted" and p.source != TOOL]
        before = "".join(turn.sentences)[-BEFORE_CHARS:]
        asked = {r for some in (before + text, *_readings(text), *readings(text)) for r in requests(some)}
        if asked and (asked := asked - requests(before) - {r for p in passages for r in requests(p.text)}):
            what = ", ".join(sorted({kind for _, kind in asked}))
            return Finding(score=1, reason=f"asks the customer for a secret: {what}", action="handoff")
        held = Known(self._held([p.text for p in passages]))
        results = Known(self._held([p.text for p in turn.passages if p.source == TOOL]))
        said = Known(self._held([m.content for m in turn.request.messages if m.role == "user"]))
        allowed = _Allowed((self._trusted, held), results, said)
        at = len(before)
        spans = [s._replace(start=max(s.start - at, 0), end=s.end - at)
                 for s in _refused(before + text, allowed) if s.end > at]  # fmt: skip
        if not spans and _hides(before + text, allowed) and not (before and _hides(before, allowed)):
            spans = [Span(0, len(text), "LINK")]
        if not spans:
            return None
        kinds = ", ".join(sorted({s.kind.lower().replace("_", " ") for s in spans}))
        return Finding(score=1, reason=f"not in trusted documents: {kinds}", spans=tuple(spans))

    def _held(self, texts: Sequence[str]) -> frozenset[str]:
        made = self._seen.filled(texts, lambda new: (frozenset(_keys(text)) for text in new))
        return frozenset().union(*(made[t] for t in texts))


class _Allowed(NamedTuple):
    """What an answer may hold: what documents hold, what tools returned, and some of what the user wrote."""

    documents: tuple[Known, ...]
    results: Known
    said: Known

    def has(self, target: Target, in_image: bool) -> bool:
        if any(k.has(target) for k in self.documents):
            return True
        return not in_image and (self.results.has(target) or (target.kind == "REFERENCE" and self.said.has(target)))


def _refused(text: str, allowed: _Allowed) -> list[Span]:
    """The parts of a text that must not leave."""
    images = [(m.start(), m.end(), "IMAGE") for m in _IMAGE.finditer(text)]
    labeled = [(m.start(), m.end(), "LINK") for m in _LABELED.finditer(text)]
    spans = [Span(*m.span(), "LINK") for m in _LABELED.finditer(text) if _ODD_TARGET.search(m[1])]
    for t in targets(text):
        around = next((i for i in images if i[0] <= t.start < i[1]), None)
        if allowed.has(t, around is not None):
            continue
        around = around or next((i for i in labeled if i[0] <= t.start < i[1]), None)
        spans.append(Span(*around) if around else Span(t.start, t.end, t.kind))
    return _widest(spans)


def _hides(text: str, allowed: _Allowed) -> bool:
    """Whether another reading of the text has a part that must not leave."""
    return any(_refused(other, allowed) for other in _readings(_without(text, allowed)))


def _without(text: str, allowed: _Allowed) -> str:
    """The text without the targets that may be in it: read in another way they would be others."""
    for t in sorted(targets(text), reverse=True):
        if allowed.has(t, False):
            text = f"{text[: t.start]} {text[t.end :]}"
    return text


def _readings(text: str) -> list[str]:
    """What else a text says: without escapes, markup, gaps between letters, and codes, or as it is shown backwards."""
    bare = html.unescape(unescaped(text))
    rendered = _MARKS.sub("", _TAG.sub("", bare))
    joined = _LETTERS.sub(lambda m: m[0].replace(" ", ""), rendered)
    found = [bare, rendered, joined, *decoded(bare)]
    if any(mark in text for mark in _BACKWARDS):
        found.append(text[::-1])
    return [r for r in dict.fromkeys(found) if r != text]


def _widest(spans: Sequence[Span]) -> list[Span]:
    """The spans without those that others cover, in order, and without overlaps."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (s.start, -s.end)):
        if kept and span.start < kept[-1].end:
            kept[-1] = kept[-1]._replace(end=max(kept[-1].end, span.end))
        else:
            kept.append(span)
    return kept
