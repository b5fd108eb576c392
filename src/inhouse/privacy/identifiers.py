"""Numbers and keys that prove themselves: national identity numbers with their check digits, secrets by their shape.

Cards, IBANs, phone numbers and the like are found by the recognizers that also clean training data; these are those
that they leave out. Where a shape alone would take too much, a word beside the number must say what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from inhouse.types import Span

_NEAR = 40  # characters before a number in which its name may stand


def _digits(text: str) -> list[int]:
    return [int(c) for c in text if c.isdigit()]


def luhn(text: str) -> bool:
    total = 0
    for n, d in enumerate(reversed(_digits(text))):
        total += d if n % 2 == 0 else (2 * d - 9 if d > 4 else 2 * d)
    return total % 10 == 0


def _weighted(text: str, weights: tuple[int, ...], modulus: int) -> bool:
    return sum(d * w for d, w in zip(_digits(text), weights, strict=False)) % modulus == 0


def _spanish(text: str) -> bool:
    plain = (
        re.sub(r"[\s-]", "", text)
        .upper()
        .translate(
            str.maketrans("XYZ", "012"),
        )
    )
    number, letter = plain[:-1], text.strip()[-1].upper()
    return number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == letter


def _french(text: str) -> bool:
    plain = re.sub(r"\s", "", text).upper().replace("2A", "19").replace("2B", "18")
    return len(plain) == 15 and plain.isdigit() and 97 - int(plain[:13]) % 97 == int(plain[13:])


def _cpf(text: str) -> bool:
    d = _digits(text)
    if len(d) != 11 or len(set(d)) == 1:
        return False
    for n in (9, 10):
        check = sum(v * w for v, w in zip(d[:n], range(n + 1, 1, -1), strict=True)) * 10 % 11 % 10
        if check != d[n]:
            return False
    return True


_D = [[(i + j) % 5 + 5 * 0 if i < 5 and j < 5 else 0 for j in range(10)] for i in range(10)]
for _i in range(10):  # the dihedral group of order 10 (Verhoeff 1969)
    for _j in range(10):
        _D[_i][_j] = (
            ((_i + _j) % 5 if _j < 5 else 5 + (_i + _j - 5) % 5)
            if _i < 5
            else (5 + (_i - 5 - _j) % 5 if _j < 5 else (_i - _j) % 5)
        )
_P = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
while len(_P) < 8:
    _P.append([_P[-1][_P[1][n]] for n in range(10)])


def verhoeff(text: str) -> bool:
    check = 0
    for n, d in enumerate(reversed(_digits(text))):
        check = _D[check][_P[n % 8][d]]
    return check == 0


def _italian(text: str) -> bool:
    values = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14,
              16, 10, 22, 25, 24, 23)  # fmt: skip
    odd = dict(zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", values, strict=True))
    plain = text.upper()
    even = {c: int(c) if c.isdigit() else ord(c) - 65 for c in odd}
    total = sum(odd[c] if n % 2 == 0 else even[c] for n, c in enumerate(plain[:15]))
    return chr(65 + total % 26) == plain[15]


def _german(text: str) -> bool:
    product = 10
    d = _digits(text)
    for digit in d[:10]:
        total = (digit + product) % 10 or 10
        product = 2 * total % 11
    return len(d) == 11 and d[0] != 0 and (11 - product) % 10 == d[10]


def _iban(text: str) -> bool:
    plain = re.sub(r"\s", "", text).upper()
    moved = "".join(str(int(c, 36)) for c in plain[4:] + plain[:4])
    return 15 <= len(plain) <= 34 and int(moved) % 97 == 1


_Check = Callable[[str], bool]
_NATIONAL: list[tuple[str, _Check | None, str]] = [  # shape, check, a word that must stand before ("" for none)
    (r"\b(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b", None, ""),
    (r"\b(?:\d{8}|[XYZ]-?\d{7})-?[A-Z]\b", _spanish, ""),
    (r"\b[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}\b", _french, ""),
    (r"\b\d{3}\.?\d{3}\.?\d{3}-\d{2}\b", _cpf, ""),
    (r"\b\d{11}\b", _cpf, r"cpf"),
    (r"\b[2-9]\d{3} ?\d{4} ?\d{4}\b", verhoeff, r"aadhaa?r|uidai?"),
    (r"\b[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]\b", _italian, ""),
    (r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b", _german, r"steuer\w*|tax|idnr|tin"),
    (r"\b\d{9}\b", lambda t: _weighted(t, (9, 8, 7, 6, 5, 4, 3, 2, -1), 11), r"bsn|burgerservicenummer|sofi"),
    (r"\b\d{3}[ -]?\d{3}[ -]?\d{3}\b", luhn, r"sin|social insurance"),
    (r"\b\d{3} ?\d{3} ?\d{3}\b", lambda t: _weighted(t, (1, 4, 3, 7, 5, 8, 6, 9, 10), 11), r"tfn|tax file"),
    (r"\b\d{11}\b", lambda t: _weighted(t, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1), 10), r"pesel"),
    (
        r"\b(?:19|20)?\d{6}[-+]?\d{4}\b",
        lambda t: luhn("".join(map(str, _digits(t)))[-10:]),
        r"personnummer|personal number",
    ),
    (
        r"\b(?=[A-Z0-9]*\d{3})[A-Z0-9]{6,9}\b",
        None,
        r"passport|driver'?s? licen[cs]e|licen[cs]e number|national id|identity card",
    ),
    (r"\b9\d{2}[- ]\d{2}[- ]\d{4}\b", None, ""),
]
_SECRETS = [
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\s\S]{0,4000}?-----END [A-Z ]*PRIVATE KEY-----)?",
    r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,}",
    r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_\w{30,}|\bglpat-[\w-]{18,}|\bhf_[A-Za-z0-9]{30,}"
    r"|\bnpm_[A-Za-z0-9]{30,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bih_[A-Za-z0-9_-]{24,}|\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}"
    r"|\bSG\.[\w-]{16,}\.[\w-]{16,}",
    r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    r"\b[a-z][a-z0-9+.-]{2,20}://[^\s:/@]+:[^\s@/]{3,}@",
    r"(?i)\b(?:api|access|secret|auth|bearer|private|client|signing|encryption)[ _-]?(?:key|token"
    r"|secret)?\b\W{0,4}(?:is|=|:)?"
    r"\W{0,4}\K(?=[\w+/=.-]*\d)(?=[\w+/=.-]*[A-Za-z])[\w+/=.-]{16,}",
    r"(?i)\b(?:password|passwd|pwd|passphrase|passcode)\b\s*(?:is|=|:"
    r"|was)\s*[\"'`]?\K(?=[^\s\"'`]*[\d\W_])[^\s\"'`,;]{5,}[^\s\"'`,;.!?]",
]
_PHONES = [
    r"(?<![\w$£€.,/-])(?:\+\d{1,3}[ .-]?)?\(\d{2,5}\)[ .-]?\d{2,4}(?:[ .-]?\d{2,4}){1,3}(?:\s?(?:x"
    r"|ext\.?) ?\d{1,6})?(?!\w)",
    r"(?<![\w$£€.,/-])\+\d{1,3}(?:[ .-]?\(?\d{1,5}\)?){2,6}(?:\s?(?:x|ext\.?) ?\d{1,6})?(?!\w)",
    r"(?<![\w$£€.,:/-])0\d{1,4}(?:[ .-]\d{2,4}){2,4}(?![\w-])",
    r"(?<![\w$£€.,:/-])\d{2}(?P<gap>[ .-])\d{2}(?:(?P=gap)\d{2}){2}(?![\w-]|[.,]\d)",
    r"(?<![\w$£€.,:/-])(?!(?:19|20)\d\d )\d{3,4} \d{4}(?![\w-]|[.,:/]\d| ?%)",
    r"(?<![\w$£€.,:/-])\d{3}[-.]\d{3}[-.]\d{3,4}(?:x\d{1,6})?(?![\w-])|(?<![\w$£€.,:/-])\d{3} \d{3} \d{3,4}(?![\w-])",
    r"(?i)\b(?:phone|mobile|cell|tel|telephone|call(?: \w+)? (?:on|at)|reach(?: \w+)? (?:on|at)|answering at"
    r"|fax|text)\b[^\n\d]{0,15}"
    r"(?<!\d)\K\+?\(?\d(?:[ ().-]{0,2}\d){5,13}(?:\s?(?:x|ext\.?) ?\d{1,6})?\b",
]
_IBANS = [r"(?i)\b[a-z]{2}\d{2}(?: ?[a-z0-9]{2,4}){3,8}\b"]


def _compiled(patterns: list[str]) -> list[re.Pattern[str]]:
    """Patterns whose group "value" counts: what stands before \\K is context."""
    found = []
    for pattern in patterns:
        before, _, after = pattern.removeprefix("(?i)").rpartition(r"\K")
        flags = re.IGNORECASE if pattern.startswith("(?i)") else re.NOFLAG
        found.append(re.compile(f"{before}(?P<value>{after})", flags))
    return found


_RULES = {"SECRET": _compiled(_SECRETS), "PHONE": _compiled(_PHONES), "IBAN": _compiled(_IBANS)}
_IDS = [(re.compile(shape, re.IGNORECASE), check, re.compile(rf"(?i)\b(?:{word})\b") if word else None)
        for shape, check, word in _NATIONAL]  # fmt: skip


def identifiers(text: str) -> Iterator[Span]:
    """Every one in the text; they may overlap."""
    for kind, patterns in _RULES.items():
        for pattern in patterns:
            for found in pattern.finditer(text):
                start, end = found.span("value")
                while kind == "IBAN" and not _iban(text[start:end]) and " " in text[start:end]:
                    end = text.rindex(" ", start, end)  # a word after it is not of it
                if kind != "IBAN" or _iban(text[start:end]):
                    yield Span(start, end, kind)
    for shape, check, word in _IDS:
        for found in shape.finditer(text):
            near = text[max(found.start() - _NEAR, 0) : found.start()]
            if (word is None or word.search(near)) and (check is None or check(found[0])):
                yield Span(found.start(), found.end(), "NATIONAL_ID")
