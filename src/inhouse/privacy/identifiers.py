"""Numbers and keys with a shape that proves their kind: national identity numbers by check digits, secrets by prefixes.

The recognizers that also clean training data find cards, phone numbers and the like; these are the kinds that they do
not cover. Where the shape alone would match too much, a word before the number must name the kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from stdnum import iban, luhn
from stdnum.at import vnr
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.br import cpf
from stdnum.ch import ssn as ahv
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.es import nif
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.in_ import aadhaar
from stdnum.it import codicefiscale
from stdnum.jp import in_ as my_number
from stdnum.kr import rrn
from stdnum.nl import bsn
from stdnum.pl import nip, pesel
from stdnum.pt import cc
from stdnum.pt import nif as nif_pt

from inhouse.privacy.match import spaced, with_extension
from inhouse.types import Span

_NEAR = 40  # characters before a number in which its kind may be named


def _luhn(text: str) -> bool:
    """Whether the check digit is right. Weaker than the country's own rule: numbers that are never issued count too."""
    return bool(luhn.is_valid("".join(c for c in text if c.isdigit())[-10:]))


def _iban(text: str) -> bool:
    return bool(iban.is_valid(text, check_country=False))


_Check = Callable[[str], bool]
_NATIONAL: list[tuple[str, _Check | None, str]] = [  # shape, check, a word that must come before ("" for none)
    (r"\b(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b", None, ""),
    (r"\b(?:\d{8}|[XYZ]-?\d{7})-?[A-Z]\b", nif.is_valid, ""),
    (r"\b[12] ?\d{2} ?(?:0[1-9]|1[0-2]|[2-9]\d) ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}\b", nir.is_valid, ""),
    (r"\b\d{3}\.?\d{3}\.?\d{3}-\d{2}\b", cpf.is_valid, ""),
    (r"\b\d{11}\b", cpf.is_valid, r"cpf"),
    (r"\b[2-9]\d{3} ?\d{4} ?\d{4}\b", aadhaar.is_valid, r"aadhaa?r|uidai?"),
    (r"\b[A-Z]{6}\d{2}[A-EHLMPR-T]\d{2}[A-Z]\d{3}[A-Z]\b", codicefiscale.is_valid, ""),
    (r"\b\d{2} ?\d{3} ?\d{3} ?\d{3}\b", idnr.is_valid, r"steuer\w{0,40}|tax|idnr|tin"),
    (r"\b\d{9}\b", bsn.is_valid, r"bsn|burgerservicenummer|sofi"),
    (r"\b\d{3}[ -]?\d{3}[ -]?\d{3}\b", _luhn, r"sin|social insurance"),
    (r"\b\d{3} ?\d{3} ?\d{3}\b", tfn.is_valid, r"tfn|tax file"),
    (r"\b\d{11}\b", pesel.is_valid, r"pesel"),
    (r"\b(?:19|20)?\d{6}[-+]?\d{4}\b", _luhn, r"personnummer|personal number"),
    (
        r"\b(?=[A-Z0-9]*\d{3})[A-Z0-9]{6,9}\b",
        None,
        r"passport|driver'?s? licen[cs]e|licen[cs]e number|national id|identity card",
    ),
    (r"\b9\d{2}[- ]\d{2}[- ]\d{4}\b", None, ""),
    (r"\b\d{17}[\dX]\b", ric.is_valid, ""),
    (r"\b\d{17}[\dX]\b", None, r"身份证\w{0,40}|身分证\w{0,40}"),
    (r"\b\d{4}[ -]?\d{4}[ -]?\d{4}\b", my_number.is_valid, r"マイナンバー\w{0,40}|個人番号\w{0,40}|my number"),
    (r"\b\d{6}-[1-4]\d{6}\b", rrn.is_valid, ""),
    (r"\b\d{3} ?\d{3} ?\d{3}\b", nif_pt.is_valid, r"nif|contribuinte"),
    (r"\b\d{8} ?\d ?[A-Z0-9]{2}\d\b", cc.is_valid, r"cartão de cidadão|cc"),
    (r"\b\d{3}-?\d{3}-?\d{2}-?\d{2}\b", nip.is_valid, r"nip"),
    (r"\b[A-Z]{3} ?\d{6}\b", None, r"dow[óo]d\w{0,40}(?: osobist\w{1,40})?"),
    (r"\b756\.?\d{4}\.?\d{4}\.?\d{2}\b", ahv.is_valid, ""),
    (r"\b\d{4} ?\d{6}\b", vnr.is_valid, r"sozialversicherungs\w{0,40}|sv-?n\w{0,40}"),
    (
        r"\b\d{2}\.?\d{2}\.?\d{2}-?\d{3}\.?\d{2}\b",
        nn.is_valid,
        r"rijksregister\w{0,40}|registre national|national\w{0,40} number",
    ),
    (r"\b\d{3} ?\d{3} ?\d{4}\b", nhs.is_valid, r"nhs"),
    (r"\b[CFGHJKLMNPRTVWXYZ0-9]{9,10}\b", None, r"(?:personal)?ausweis\w{0,40}|reisepass\w{0,40}|pass-?nummer"),
    (r"\b\d{2}[ /]?\d{10}\b|\b\d{2}[ /]\d{8}[ /]\d{2}\b", None, r"seguridad social|nss|afiliación"),
    (r"\b\d{2} ?\d{6} ?[A-Z] ?\d{3}\b", None, r"(?:renten|sozial)versicherungs\w{0,40}"),
    (r"\b[A-Z]{2} ?\d{5} ?[A-Z]{2}\b", None, r"carta d.identit\w{1,40}"),
    (r"\b\d{1,2}\.?\d{3}\.?\d{3}-?[\dX]\b", None, r"rg|identidade|rut"),
    (r"\b[A-Z]{4}\d{6}[HMX][A-Z]{5}[A-Z0-9]\d\b", None, ""),
    (r"\b\d{1,3}\.\d{3}\.\d{3}\b|\b\d{7,10}\b", None, r"dni|c[ée]dula|documento nacional|carteira de identidade"),
]
_SECRETS = [
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\s\S]{0,4000}?-----END [A-Z ]*PRIVATE KEY-----)?",
    r"\b(?:sk|pk|rk)[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{16,}",
    r"\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}\b",
    r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_\w{30,}|\bglpat-[\w-]{18,}|\bhf_[A-Za-z0-9]{30,}"
    r"|\bnpm_[A-Za-z0-9]{30,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|\bih_[A-Za-z0-9_-]{24,}|\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}"
    r"|\bSG\.[\w-]{16,}\.[\w-]{16,}",
    r"\beyJ[\w-]{8,1000}\.eyJ[\w-]{8,}\.[\w-]{8,}",
    r"\b[a-z][a-z0-9+.-]{2,20}://[^\s:/@]+:[^\s@/]{3,}@",
    r"(?i)\b(?:api|access|secret|auth|bearer|private|client|signing|encryption)[ _-]?(?:key|token"
    r"|secret)?\b\W{0,4}(?:is|=|:)?"
    r"\W{0,4}\K(?=[\w+/=.-]{0,200}\d)(?=[\w+/=.-]{0,200}[A-Za-z])[\w+/=.-]{16,}",
    r"(?i)\b(?:password|passwd|pwd|passphrase|passcode)\b\s*(?:is|=|:"
    r"|was)\s*[\"'`]?\K(?=[^\s\"'`]{0,200}[\d\W_])[^\s\"'`,;]{5,}[^\s\"'`,;.!?]",
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
    """Patterns with the group "value"; what comes before \\K is context."""
    compiled = []
    for pattern in patterns:
        before, _, after = pattern.removeprefix("(?i)").rpartition(r"\K")
        flags = re.IGNORECASE if pattern.startswith("(?i)") else re.NOFLAG
        compiled.append(re.compile(f"{before}(?P<value>{after})", flags))
    return compiled


_RULES = {"SECRET": _compiled(_SECRETS), "PHONE": _compiled(_PHONES), "IBAN": _compiled(_IBANS)}
_IDS = [(re.compile(shape, re.IGNORECASE), check, re.compile(rf"(?i)(?<![a-z])(?:{word})(?![a-z])") if word else None)
        for shape, check, word in _NATIONAL]  # fmt: skip


def identifiers(text: str) -> Iterator[Span]:
    """All identifiers in the text; they may overlap."""
    bare = spaced(text)
    for kind, patterns in _RULES.items():
        for pattern in patterns:
            for match in pattern.finditer(bare):
                start, end = match.span("value")
                while kind == "IBAN" and not _iban(text[start:end]) and " " in text[start:end]:
                    end = text.rindex(" ", start, end)  # the last word is not part of it
                if kind == "PHONE":
                    end = with_extension(text, end)
                if kind != "IBAN" or _iban(text[start:end]):
                    yield Span(start, end, kind)
    yield from national_ids(text)


def national_ids(text: str) -> Iterator[Span]:
    """Identity numbers of states, by their check digits or the word before them; they may overlap."""
    bare = spaced(text)
    for shape, check, word in _IDS:
        for match in shape.finditer(bare):
            near = text[max(match.start() - _NEAR, 0) : match.start()]
            if (word is None or word.search(near)) and (check is None or check(match[0])):
                yield Span(match.start(), match.end(), "NATIONAL_ID")
