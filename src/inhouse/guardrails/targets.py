"""What in a text a reader can follow, call, or pay to: links, addresses, handles, numbers, accounts, wallets, markup.

People write these in many ways: with brackets for dots, gaps, words for signs, a digit in words. Each has a key, by
which two ways of writing the same are the same. Of numbers, every run of seven digits and more counts that is no date,
time, year, or sum of money: what an attacker's number looks like cannot be known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from stdnum import iban

from inhouse.privacy.identifiers import identifiers
from inhouse.privacy.spelled import DIGIT_WORDS
from inhouse.text.visible import visible

NUMBERS = ("PHONE", "ACCOUNT_NUMBER", "REFERENCE", "NUMBER")  # kinds whose keys are groups of digits
MOST_SHORT = 6  # digits of a number that is not cut
_REST = r"[^\s<>\"'`)\]}|]"
_DOTS = r"dot|punkt|point|punto|ponto|точка|点"
_URL = re.compile(
    rf"(?:\b[a-z][a-z0-9+.-]{{1,20}}:)?(?:\\?/|\\){{2}}(?:\[[0-9a-f:.]{{2,45}}\]{_REST}{{0,2000}}|{_REST}{{1,2000}})",
    re.IGNORECASE,
)
_SCHEME = re.compile(
    r"\b(?:javascript|vbscript|whatsapp|tg|bitcoin|ethereum|litecoin|monero|lightning|intent|smsto|sms|skype|blob|sips?"
    r"|facetime|facetime-audio|callto|upi|xmpp|viber|live"
    rf"|data(?=:(?:[a-z]{{2,20}}/|[\w/.+-]{{0,40}}(?:;[\w=-]{{1,40}}){{0,4}},))):{_REST}{{1,2000}}",
    re.IGNORECASE,
)
_LABEL = r"[\w\u2600-\u27bf\U0001f300-\U0001faff-]{1,63}"
_PATH = rf"(?::\d{{2,5}})?(?:[/?#]{_REST}{{0,2000}})?"
_DOMAIN = re.compile(rf"(?<![\w@.-])(?:{_LABEL}\.){{1,8}}([^\W\d_]{{2,24}})(?![\w-]){_PATH}")
_ADDRESS = re.compile(rf"(?<![\w.])(\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?!\.?\w){_PATH}")
_BRACKETED = re.compile(
    rf"\b([\w-]{{2,63}})\s?[\[({{<]\s?(?:\.|{_DOTS})\s?[\])}}>]\s?([^\W\d_]{{2,24}})\b(/{_REST}{{0,2000}})?", re.I
)
_SPELLED = re.compile(rf"\b([\w-]{{2,63}})\s(?:{_DOTS})\s([a-z]{{2,12}})\b(/{_REST}{{0,2000}})?", re.I)
_GAPPED = re.compile(
    r"\b([\w-]{2,63})(?:\s{1,3}\.\s{0,3}(?=(?:com|net|org|io|biz|info|co|xyz)\b)|\.\s{1,3}(?=(?:com|org|biz|xyz)\b)"
    r"|\.\s{1,3}(?=(?:net|info|io|co|app|site|online|top)/)|,(?=(?:com|net|org|biz|info)\b))"
    rf"([a-z]{{2,6}})(/{_REST}{{0,2000}})?"
)
_COMMON = frozenset("com net org info biz io co app site online shop xyz top example".split())  # noqa: SIM905
_CAPITALIZED = frozenset(("com", "org", "biz", "xyz"))  # of which "you.Com" is no beginning of a sentence
_OTHER_DOT = re.compile(r"(?<=[A-Za-z0-9-])[。｡](?=[A-Za-z]{2})")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,6}")
_APPS = r"telegram|whatsapp|signal|wechat|line|skype|discord|viber|venmo|cash ?app|paypal|zelle|instagram|kakaotalk"
_HANDLE = re.compile(
    rf"(?<![\w.@/])@[A-Za-z]\w{{3,31}}\b|(?<![\w$])\$[a-z][a-z\d_]{{3,19}}\b"
    rf"|\b(?=\w{{0,30}}[\d_])\w{{4,32}}(?= (?:on|via|auf|en|sur|su|no|в) (?:{_APPS})\b)"
    rf"|(?<=: )(?=\w{{0,30}}[\d_])[A-Za-z]\w{{3,31}}(?= \((?:{_APPS})\))", re.IGNORECASE
)  # fmt: skip
_WALLET = re.compile(r"\b(?:(?:bc1|ltc1|lnbc)[a-z0-9]{20,500}|0x[0-9a-fA-F]{40}|[\w-]{3,40}\.eth|[A-Za-z\d]{25,200})\b")
_ACCOUNT = re.compile(
    r"(?:account|acct?\b|a/c|sort code|routing|iban|konto|kontonummer|blz|compte|cuenta|clabe|conto|conta|rekening"
    r"|сч[её]та?|账号|账户|帐号|口座|حساب)[^\d\n]{0,30}(\d(?:[ -]?\d){5,22})", re.IGNORECASE
)  # fmt: skip
_BANK = re.compile(r"\b(?:swift|bic)\b[^\n]{0,20}?\b((?-i:[A-Z]{6}[A-Z\d]{2}(?:[A-Z\d]{3})?))\b", re.IGNORECASE)
_IBAN = re.compile(r"(?<![A-Za-z\d])(?=([A-Za-z] ?[A-Za-z][ .-]?\d ?\d(?:[ .-]?[A-Za-z\d]){11,30}))")
_REFERENCE = re.compile(
    r"(?:order|case|ticket|claim|reference|invoice|booking|contract|policy|form|bestell|auftrag|vorgang|rechnung|vertrag"
    r"|commande|dossier|facture|pedido|factura|ordine|fattura|fatura|zamówieni|заказ|обращени|订单|注文)\w{0,12}"
    r"(?: (?:number|no\.?|nr\.?|id))?[ :#]{0,3}\Z", re.IGNORECASE
)  # fmt: skip
REFERENCE_CHARS = 40  # before a number, in which its kind is named
_CARD = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
_RUN = re.compile(r"(?<![\w$£€])\+?\(?\d(?:(?:[ ().\-/–—−·]{0,3}|[-/–—]\n)\d){6,40}(?!\d)")
_ORDINARY = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])"
    r"|(?:0?[1-9]|[12]\d|3[01])([-/. ])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d"
    r"|(?:19|20)\d\d ?[-–/] ?(?:19|20)\d\d|\d{1,2}\.\d\d ?[-–] ?\d{1,2}\.\d\d|\d{0,6}00 ?[-–] ?\d{0,6}(?:00|99)"
    r"|[1-9]\d{0,2}(?:[. ]?000){1,3}|\d{1,3}(?:\.\d{3}){1,3}(?=,\d\d(?!\d)))(?!\d)"
)
_SUM = re.compile(r"\s?(?:[$€£¥₽₴₹]|(?:EUR|USD|CHF|GBP|euros?|dollars?|Kč|zł|kr|руб|Ft)\b)", re.IGNORECASE)
_VANITY = re.compile(
    r"(?<![\w-])(?:\+?1[ -])?\(?[89]\d\d\)?[ -](?=[A-Z\d-]{7,14}\b)(?=[\d-]{0,8}[A-Z])"
    r"[A-Z\d]{2,10}(?:-[A-Z\d]{2,10}){0,2}\b"
)
_SHORT = re.compile(
    r"\b(?:(?:text|sms|message)\b[^\d\n.!?]{0,30}\bto|(?:dial|text|wählen sie|marque|composez|digiti|наберите))"
    r" (\d{3,6})\b(?![-.]?\d)|拨打? ?(\d{3,6})(?!\d)", re.IGNORECASE
)  # fmt: skip
_EMERGENCY = frozenset("000 110 111 112 113 115 117 118 119 144 911 988 999".split())  # noqa: SIM905
_SERVICE_CODE = re.compile(r"(?<![\w*#])[*#]{1,2}\d{1,4}(?:[*#]\d{1,15}){0,4}#|(?<![\w*#])\*\d{2,3}\*\d{5,15}\b")
_WORD = rf"(?:{'|'.join(sorted(DIGIT_WORDS, key=len, reverse=True))})"
_IN_WORDS = re.compile(
    rf"(?<!\w){_WORD}(?:[\s,-]{{1,3}}(?:{_WORD}|\d)(?!\w)){{6,30}}|[零一二三四五六七八九〇]{{7,30}}", re.I
)
_MARKUP = re.compile(
    r"<(?:script|iframe|object|embed|form|meta|base|link|style|input|button)\b[^>]{0,2000}>?"
    r"|<[a-z][a-z\d]{0,20}\b[^<>]{0,300}[\s\"'/]on[a-z]{3,20}\s?=[^>]{0,2000}>?", re.IGNORECASE
)  # fmt: skip
_CANDIDATE = re.compile(
    rf"[@\d\\*#]|\w\s{{0,3}}[.,]\s{{0,3}}\w|//|:\S|&#|\b(?:{_DOTS})\b|[\[(<$_]|{_WORD}\b|[A-Za-z\d]{{25}}",
    re.IGNORECASE,
)
_RESERVED = frozenset("example test invalid localhost onion internal local i2p".split())  # noqa: SIM905


class Target(NamedTuple):
    """Something in a text that a reader can follow, call, or pay to; `key` is one spelling of it."""

    start: int
    end: int
    kind: str
    key: str


def targets(text: str) -> list[Target]:
    """All targets in the text as a reader sees it, by offsets in the text; a part may count as several."""
    if not _CANDIDATE.search(text) and text.isascii():
        return []
    seen = visible(text)
    plain = _OTHER_DOT.sub(".", seen.text)
    return [t._replace(start=a, end=b) for t in _targets(plain) for a, b in [seen.span(t.start, t.end)]]


def digits_of(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _targets(text: str) -> Iterator[Target]:
    mails = [m.span() for m in _EMAIL.finditer(text)]
    for start, end in mails:
        yield Target(start, end, "EMAIL", text[start:end].lower().strip("."))
    yield from _links(text, mails)
    for kind, pattern in (("HANDLE", _HANDLE), ("MARKUP", _MARKUP)):
        for match in pattern.finditer(text):
            yield Target(*match.span(), kind, " ".join(match[0].lower().split()))
    for match in _WALLET.finditer(text):
        if not match[0].isalnum() or len(match[0]) < 25 or match[0][:3] in ("bc1", "ltc", "lnb") or _mixed(match[0]):
            yield Target(*match.span(), "WALLET", match[0])
    yield from _numbers(text)


def _mixed(word: str) -> bool:
    """Whether a word has capitals, small letters, and digits, as keys have."""
    return any(map(str.isupper, word)) and any(map(str.islower, word)) and any(map(str.isdigit, word))


def _links(text: str, mails: list[tuple[int, int]]) -> Iterator[Target]:
    for pattern in (_URL, _SCHEME, _DOMAIN):
        for match in pattern.finditer(text):
            link = match[0].rstrip(".,;:!?*_'\"")
            in_mail = any(a <= match.start() < b for a, b in mails) and pattern is _DOMAIN
            if not in_mail and (key := _link_key(link, match)):
                yield Target(match.start(), match.start() + len(link), "LINK", key)
                inner = link.find("://", link.find("://") + 3)
                if inner > 0:  # a link within a link: a redirection
                    yield Target(match.start(), match.start() + len(link), "LINK", link[inner:])
    for match in _ADDRESS.finditer(text):
        if all(int(part) < 256 for part in match[1].split(".")):
            yield Target(*match.span(), "LINK", match[0].rstrip("."))
    for pattern in (_BRACKETED, _SPELLED, _GAPPED):
        for match in pattern.finditer(text):
            ending = match[2].lower()
            far = pattern is _BRACKETED or (pattern is _SPELLED and " dot " in match[0].lower() and len(ending) > 2)
            if ending in _COMMON or (far and ending in _endings()):
                yield Target(*match.span(), "LINK", f"{match[1]}.{ending}{match[3] or ''}".lower())


def _numbers(text: str) -> Iterator[Target]:
    whole = list(_ibans(text))
    cards = (Target(*m.span(), "CARD_NUMBER", digits_of(m[0])) for m in _CARD.finditer(text))
    whole += [card for card in cards if _luhn(card.key)]
    whole += [Target(*m.span(1), "ACCOUNT_NUMBER", m[1]) for m in _BANK.finditer(text)]
    accounts = [m.span(1) for m in _ACCOUNT.finditer(text)]
    phones = [(s.start, s.end) for s in identifiers(text) if s.kind == "PHONE"]
    phones += [m.span(1) if m[1] else m.span(2) for m in _SHORT.finditer(text)
               if (m[1] or m[2]) not in _EMERGENCY]  # fmt: skip
    runs = list(_runs(text))
    found = [Target(a, b, _kind(text, a, b, accounts, phones), "") for a, b in runs]
    found += [Target(a, b, "ACCOUNT_NUMBER", "") for a, b in accounts if not _over(a, b, runs)]
    found += [Target(a, b, "PHONE", "") for a, b in phones if not _over(a, b, runs) and not _is_sum(text, a, b)]
    yield from whole
    for t in found:
        if not any(t.start < w.end and w.start < t.end for w in whole):
            yield t._replace(key=" ".join(re.findall(r"\d+", text[t.start : t.end])))
    for match in _IN_WORDS.finditer(text):
        yield Target(*match.span(), "PHONE", _from_words(match[0]))
    for pattern in (_VANITY, _SERVICE_CODE):
        for match in pattern.finditer(text):
            yield Target(*match.span(), "PHONE", match[0].upper())


def _kind(text: str, start: int, end: int, accounts: list[tuple[int, int]], phones: list[tuple[int, int]]) -> str:
    """The kind of a run of digits."""
    if _REFERENCE.search(text, max(start - REFERENCE_CHARS, 0), start):
        return "REFERENCE"
    return "PHONE" if _over(start, end, phones) else "ACCOUNT_NUMBER" if _over(start, end, accounts) else "NUMBER"


def _over(start: int, end: int, spans: list[tuple[int, int]]) -> bool:
    return any(start < b and a < end for a, b in spans)


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Where runs of seven digits and more are, without the dates, times, and sums in them."""
    for match in _RUN.finditer(text):
        if _is_sum(text, *match.span()):
            continue
        at = match.start()
        for ordinary in (*_ORDINARY.finditer(text, *match.span()), None):
            end = ordinary.start() if ordinary else match.end()
            if len(digits_of(text[at:end])) > MOST_SHORT:
                part = text[at:end]
                yield at + len(part) - len(part.lstrip(" .-/–")), at + len(part.rstrip(" .-/–("))
            at = ordinary.end() if ordinary else end


def _is_sum(text: str, start: int, end: int) -> bool:
    """Whether a number with gaps of thousands alone has a sign of money after it or before it."""
    grouped = re.fullmatch(r"\d{1,3}(?:[. ]\d{3}){1,4}|\d{4,9}", text[start:end])
    return bool(grouped and (_SUM.match(text, end) or _SUM.search(text, max(start - 4, 0), start)))


def _ibans(text: str) -> Iterator[Target]:
    taken = 0
    for match in _IBAN.finditer(text):
        if match.start() < taken:
            continue
        chars = [(n, c) for n, c in enumerate(match[1].upper(), match.start()) if c.isalnum()]
        number = "".join(c for _, c in chars)
        size = next((n for n in range(len(number), 14, -1) if iban.is_valid(number[:n])), 0)
        if size:
            taken = chars[size - 1][0] + 1
            yield Target(match.start(), taken, "IBAN", number[:size])


def _from_words(text: str) -> str:
    words = re.split(r"[\s,-]+", text.lower())
    parts = words if len(words) > 1 else list(text)
    return "".join(DIGIT_WORDS.get(word, digits_of(word)) for word in parts)


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
    if match.re is _DOMAIN and not _is_domain(host, match[1], authority.lower().startswith("www.") or bool(path)):
        return ""
    if match.re is _URL and not scheme and not _is_domain(host, host.rpartition(".")[2], True):
        return ""
    return host + path.rstrip("/") + (f"?{query}" if query else "")


def _is_domain(host: str, last: str, sure: bool) -> bool:
    """Whether a word with dots is a domain; "you.Please" is the end of a sentence and the beginning of the next, unless
    something else shows that it is one (`sure`)."""
    even = last.islower() or last.isupper() or sure or last.lower() in _CAPITALIZED
    return "." in host and even and (last.lower() in _endings() or not last.isascii())


@lru_cache(maxsize=1)
def _endings() -> frozenset[str]:
    """The last parts of public domains, from the list that comes with `tldextract`."""
    from tldextract import TLDExtract

    rules = TLDExtract(suffix_list_urls=(), cache_dir=None).tlds
    return frozenset(rule.rpartition(".")[2] for rule in rules) | _RESERVED
