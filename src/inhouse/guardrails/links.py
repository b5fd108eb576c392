"""Where an answer sends people: links, addresses, and payment details that the business's documents hold, no others.

A poisoned document can make a model send customers to an attacker's page, or show a picture whose address carries what
the customer said. So of links, pictures, e-mail addresses, phone numbers, account numbers and wallets an answer keeps
what trusted documents hold, what the results of the caller's tools hold, and what the user wrote; pictures only of the
documents. A link passes if the documents have it, or one above it without a query. A request for a secret (PIN, card
number, password, one-time code) goes to a person, unless a trusted passage asks the same.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from inhouse.guardrails.rail import TOOL, Finding, Side, Turn
from inhouse.guardrails.secrets import requests
from inhouse.privacy.identifiers import identifiers
from inhouse.text.cache import Recent
from inhouse.text.codes import unescaped
from inhouse.text.visible import visible
from inhouse.types import Span

CACHED_TEXTS = 2000
PHONE_DIGITS = 7  # that are compared: what comes before depends on where one calls from
_REST = r"[^\s<>\"'`)\]}|]"
_URL = re.compile(rf"(?:\b[a-z][a-z0-9+.-]{{1,20}}:)?(?:\\?/|\\){{2}}{_REST}{{1,2000}}", re.IGNORECASE)
_SCHEME = re.compile(
    rf"\b(?:javascript|vbscript|whatsapp|tg|bitcoin|ethereum|intent|smsto|sms|skype|blob|data(?=:[a-z]+/)):{_REST}{{1,2000}}",
    re.IGNORECASE,
)
_DOMAIN = re.compile(
    rf"(?<![\w@.-])(?:[\w-]{{1,63}}\.){{1,8}}([^\W\d_]{{2,24}})(?![\w-])(?::\d{{2,5}})?(?:[/?#]{_REST}{{0,2000}})?"
)
_SPELLED = re.compile(
    r"\b[\w-]{2,63}\s?(?:[\[({]\s?(?:\.|dot|punkt|point|punto|ponto)\s?[\])}]|\sdot\s)\s?([a-z]{2,12})\b", re.IGNORECASE
)
_COMMON = frozenset("com net org info biz io co app site online shop xyz top example".split())  # noqa: SIM905
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,6}")
_HANDLE = re.compile(r"(?<![\w.@/])@[A-Za-z]\w{3,31}\b")
_WALLET = re.compile(
    r"\b(?:bc1[a-z0-9]{20,60}|[13][1-9A-HJ-NP-Za-km-z]{25,34}|0x[0-9a-fA-F]{40}|T[1-9A-HJ-NP-Za-km-z]{33})\b"
)
_ACCOUNT = re.compile(
    r"(?:account|acct|sort code|routing|iban|konto|kontonummer|blz|compte|cuenta|clabe|conto|conta|rekening|сч[её]та?"
    r"|账号|账户|帐号|口座|حساب)[^\d\n]{0,30}(\d(?:[ -]?\d){5,22})", re.IGNORECASE
)  # fmt: skip
_CARD = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
_IMAGE = re.compile(r"!\[[^\]\n]{0,500}\]\([^)\n]{0,2000}\)?|<img\b[^>]{0,2000}>?", re.IGNORECASE)
_LABELED = re.compile(r"\[[^\]\n]{0,500}\]\(\s*<?([^)\s>]{1,2000})[^)\n]{0,300}\)?")
_ODD_TARGET = re.compile(
    r"&(?:#|colon|sol|tab|newline)|^[^/?#]{0,40}?(?<!http)(?<!https)(?<!mailto)(?<!tel):", re.IGNORECASE
)
_CANDIDATE = re.compile(r"[@\d\\]|\w\.\w|//|:\S|&#|\bdot\b|[\[(]", re.IGNORECASE)
_RESERVED = frozenset("example test invalid localhost onion internal local i2p".split())  # noqa: SIM905


class Target(NamedTuple):
    """Something in a text that a reader can follow, call, or pay to; `key` is one spelling of it."""

    start: int
    end: int
    kind: str
    key: str


class Known(NamedTuple):
    """Targets that may be in an answer: those of documents, and hosts of which every link may be."""

    keys: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    def has(self, target: Target) -> bool:
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


def known(texts: Iterable[str]) -> Known:
    """What the texts hold."""
    return Known(frozenset(t.key for text in texts for t in targets(text)))


def targets(text: str) -> list[Target]:
    """All targets in the text as a reader sees it, by offsets in the text; a part may count as several."""
    if not _CANDIDATE.search(text) and text.isascii():
        return []
    seen = visible(text)
    return [t._replace(start=a, end=b) for t in _targets(seen.text) for a, b in [seen.span(t.start, t.end)]]


def _targets(text: str) -> Iterator[Target]:
    mails = [m.span() for m in _EMAIL.finditer(text)]
    for start, end in mails:
        yield Target(start, end, "EMAIL", text[start:end].lower().strip("."))
    for pattern in (_URL, _SCHEME, _DOMAIN):
        for match in pattern.finditer(text):
            link = match[0].rstrip(".,;:!?*_'\"")
            in_mail = any(a <= match.start() < b for a, b in mails) and pattern is _DOMAIN
            if not in_mail and (key := _link_key(link, match)):
                yield Target(match.start(), match.start() + len(link), "LINK", key)
    for match in _SPELLED.finditer(text):
        if match[1].lower() in _COMMON:
            yield Target(*match.span(), "LINK", re.sub(r"\s?[\[({]?\s?(?:\.|dot)\s?[\])}]?\s?", ".", match[0].lower()))
    for match in _HANDLE.finditer(text):
        yield Target(*match.span(), "HANDLE", match[0].lower())
    for match in _WALLET.finditer(text):
        yield Target(*match.span(), "WALLET", match[0])
    yield from _numbers(text)


def _numbers(text: str) -> Iterator[Target]:
    shaped = [s for s in identifiers(text) if s.kind in ("IBAN", "PHONE")]
    whole = [Target(*s, "".join(text[s.start : s.end].upper().split())) for s in shaped if s.kind == "IBAN"]
    cards = (Target(*m.span(), "CARD_NUMBER", _digits(m[0])) for m in _CARD.finditer(text))
    whole += [card for card in cards if _luhn(card.key)]
    parts = [Target(*s, _digits(text[s.start : s.end])[-PHONE_DIGITS:]) for s in shaped if s.kind == "PHONE"]
    parts += [Target(*m.span(1), "ACCOUNT_NUMBER", _digits(m[1])) for m in _ACCOUNT.finditer(text)]
    yield from whole
    yield from (p for p in parts if not any(p.start < w.end and w.start < p.end for w in whole))


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(d), 10)) if n % 2 else int(d) for n, d in enumerate(reversed(digits)))
    return sum(doubled) % 10 == 0


def _link_key(link: str, match: re.Match[str]) -> str:
    """Host, path, and query of a link; empty if it is none."""
    scheme, _, rest = link.partition(":") if re.match(r"[A-Za-z][\w+.-]*:[\\/]", link) else ("", "", link)
    rest = unquote(rest.replace("\\/", "/").replace("\\", "/")).lstrip("/")
    authority, rest = re.match(r"([^/?#]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    host = authority.rpartition("@")[2].partition(":")[0].lower().rstrip(".").removeprefix("www.")
    path, _, query = rest.partition("#")[0].partition("?")
    if match.re is _SCHEME:
        return link
    if match.re is _DOMAIN and not _is_domain(host, match[1]):
        return ""
    if match.re is _URL and not scheme and not _is_domain(host, host.rpartition(".")[2]):
        return ""
    return host + path.rstrip("/") + (f"?{query}" if query else "")


def _is_domain(host: str, last: str) -> bool:
    """Whether a word with dots is a domain; "you.Please" is the end of a sentence and the beginning of the next."""
    return "." in host and (last.islower() or last.isupper()) and (last.lower() in _endings() or not last.isascii())


@lru_cache(maxsize=1)
def _endings() -> frozenset[str]:
    """The last parts of public domains, from the list that comes with `tldextract`."""
    from tldextract import TLDExtract

    rules = TLDExtract(suffix_list_urls=(), cache_dir=None).tlds
    return frozenset(rule.rpartition(".")[2] for rule in rules) | _RESERVED


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
        if asked := requests(text) - {r for p in passages for r in requests(p.text)}:
            what = ", ".join(sorted({kind for _, kind in asked}))
            return Finding(score=1, reason=f"asks the customer for a secret: {what}", action="handoff")
        held = self._keys([p.text for p in passages])
        said = self._keys([
            *(m.content for m in turn.request.messages if m.role == "user"),
            *(p.text for p in turn.passages if p.source == TOOL),
        ])  # fmt: skip
        spans = self._refused(text, held, said)
        if not spans and (other := html.unescape(unescaped(text))) != text and self._refused(other, held, said):
            spans = [Span(0, len(text), "LINK")]
        if not spans:
            return None
        kinds = ", ".join(sorted({s.kind.lower().replace("_", " ") for s in spans}))
        return Finding(score=1, reason=f"not in trusted documents: {kinds}", spans=tuple(spans))

    def _refused(self, text: str, held: frozenset[str], said: frozenset[str]) -> list[Span]:
        """The parts of a text that must not leave."""
        sources = (self._trusted, Known(held))
        images = [(m.start(), m.end(), "IMAGE") for m in _IMAGE.finditer(text)]
        labeled = [(m.start(), m.end(), "LINK") for m in _LABELED.finditer(text)]
        odd = [Span(*m.span(), "LINK") for m in _LABELED.finditer(text) if _ODD_TARGET.search(m[1])]
        spans = []
        for t in targets(text):
            around = next((i for i in images if i[0] <= t.start < i[1]), None)
            if any(s.has(t) for s in sources) or (t.key in said and not around):
                continue
            around = around or next((i for i in labeled if i[0] <= t.start < i[1]), None)
            spans.append(Span(*around) if around else Span(t.start, t.end, t.kind))
        return _widest([*spans, *odd])

    def _keys(self, texts: Sequence[str]) -> frozenset[str]:
        made = self._seen.filled(texts, lambda new: (frozenset(t.key for t in targets(text)) for text in new))
        return frozenset().union(*(made[t] for t in texts))


def _widest(spans: Sequence[Span]) -> list[Span]:
    """The spans without those that others cover, in order, and without overlaps."""
    kept: list[Span] = []
    for span in sorted(set(spans), key=lambda s: (s.start, -s.end)):
        if kept and span.start < kept[-1].end:
            kept[-1] = kept[-1]._replace(end=max(kept[-1].end, span.end))
        else:
            kept.append(span)
    return kept
