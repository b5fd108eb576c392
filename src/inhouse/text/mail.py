"""What of a mail's text is content: not the headers of quoted mails, signatures, and footers of mail programs.

Headers and footers are recognized in English, Dutch, French, German, Italian, Portuguese, and Spanish, in plain text
and in Markdown made from HTML. Quoted text stays, as does everything in code blocks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MAX_SIGNATURE = 20  # lines with text; what is longer is content
MAX_BLOCK = 60  # lines of a block of headers
_MAX_ATTRIBUTION = 3  # lines
_MAX_FOOTER_CHARS = 100
_SENDER = frozenset({"from", "von", "de", "da", "van"})
_SUBJECT = frozenset({"subject", "betreff", "objet", "asunto", "assunto", "oggetto", "onderwerp"})
_SENT = frozenset({"sent", "gesendet", "envoyé", "enviado", "enviada", "inviato", "verzonden"})
_DATE = frozenset({"date", "datum", "fecha", "data"})
_OTHERS = frozenset(
    """to an à para a aan cc bcc sender reply-to importance attachments message-id in-reply-to references mime-version
    content-type content-transfer-encoding received return-path delivered-to""".split()  # noqa: SIM905
)
_HEADERS = _SENDER | _SUBJECT | _SENT | _DATE | _OTHERS
_SEPARATORS = frozenset(
    {"original message", "forwarded message", "begin forwarded message", "ursprüngliche nachricht",
     "weitergeleitete nachricht", "message d'origine", "message transféré", "mensaje original", "mensaje reenviado",
     "messaggio originale", "messaggio inoltrato", "mensagem original", "mensagem encaminhada",
     "oorspronkelijk bericht", "doorgestuurd bericht"})  # fmt: skip
_ON = ("on ", "at ", "am ", "le ", "el ", "il ", "op ", "em ")
_WROTE = ("wrote", "schrieb", "a écrit", "escribió", "ha scritto", "escreveu", "schreef")
_TIME = re.compile(r"\d[:.h]\d\d")
_FOOTER = re.compile(
    r"sent from (?:my|mail for|outlook|yahoo|proton) .*|get outlook for .*|von meinem .* gesendet"
    r"|gesendet (?:von|mit) (?:meinem|mail|outlook) .*|envoyé (?:de|depuis) (?:mon|outlook) .*"
    r"|enviado (?:desde mi|do meu|desde outlook) .*|inviato da(?:l mio)? (?:iphone|ipad|outlook|smartphone).*"
    r"|verzonden (?:vanaf|vanuit|met) (?:mijn|outlook) .*"
)

_LIST_FOOTER = re.compile(r"_{10,}|-{10,}|={10,}")  # of mailing lists, with what it is in the line below
_LIST_NAMED = re.compile(
    r"\bmailing list\b|\bmailingliste\b|\blist[ae] de (?:diffusion|distribución|correo)", re.IGNORECASE
)
_DISCLAIMER = re.compile(
    r"(?:(?:confidentiality|legal) (?:notice|disclaimer)|disclaimer\b|this (?:e-?mail|message|communication)\b"
    r"|the (?:information|contents?) (?:contained )?(?:in|of) this (?:e-?mail|message)|diese (?:e-?mail|nachricht)\b"
    r"|ce (?:message|courriel|mail)\b|este (?:mensaje|correo|e-?mail|mensagem)\b|esta mensagem\b|questo messaggio\b"
    r"|il presente messaggio|dit (?:bericht|e-?mailbericht)\b)", re.IGNORECASE,
)  # fmt: skip
_CONFIDENTIAL = re.compile(
    r"confidential|privileged|intended (?:solely|only|recipient)|delete (?:it|this)|vertraulich|confidentiel"
    r"|confidencial|riservat[oi]|vertrouwelijk|delivered by zendesk", re.IGNORECASE,
)  # fmt: skip
_MAX_DISCLAIMER = 20  # lines


class _Line(NamedTuple):
    """A line's depth of quotation, its words without the marks of quotations and bold text, and the lower-case name of
    the header that it may be, or ""."""

    depth: int
    words: str
    name: str


def mail_content(text: str) -> str:
    """The text without headers of mails in it, signatures, and footers of mail programs; the same if it has none."""
    given = text.splitlines()
    lines = [_line(line) for line in given]
    headers = [_header(lines, i) for i in range(len(lines))]
    kept: list[str] = []
    fenced, i = False, 0
    while i < len(lines):
        fenced ^= lines[i].words.startswith(("```", "~~~"))
        dropped = 0 if fenced else headers[i] or _signature(lines, headers, i) or _footer(lines, headers, i)
        if not dropped:
            kept.append(given[i])
        i += dropped or 1
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() if len(kept) < len(given) else text


def _line(given: str) -> _Line:
    said = given.lstrip("> \t")
    words = said.replace("*", "").strip()
    name, colon, _ = words.partition(":")
    name = name.strip().lower()
    known = colon and (name in _HEADERS or name.startswith("x-"))
    return _Line(given[: len(given) - len(said)].count(">"), words, name if known else "")


def _next(lines: Sequence[_Line], i: int) -> int:
    """The first line from `i` on that has words, or the number of lines."""
    return next((j for j in range(i, len(lines)) if lines[j].words), len(lines))


def _header(lines: Sequence[_Line], i: int) -> int:
    """How many lines the header of a quoted mail has that begins at `i`; 0 if none does."""
    words = lines[i].words
    if not words:
        return 0
    if lines_of_block := _block(lines, i) or _attribution(lines, i):
        return lines_of_block
    named = words.strip("-_ :").lower()
    if named in _SEPARATORS or (words[:2] in ("--", "__") and words[-2:] == words[:2] and len(words) > 2):
        start = _next(lines, i + 1)
        block = _block(lines, start) if start < len(lines) and start <= i + 3 else 0
        return start - i + block if block else int(named in _SEPARATORS)
    return 0


def _block(lines: Sequence[_Line], i: int) -> int:
    """Lines of "Name: value" with a sender, a subject, and when it was sent; some may be blank or wrapped.

    Those of a memo or a trip are content: they have neither an address nor a time.
    """
    names: set[str] = set()
    end, others = i, 0
    for j in range(i, min(i + MAX_BLOCK, len(lines))):
        depth, words, name = lines[j]
        if not words:
            continue
        if depth != lines[i].depth:
            break
        if name:
            names.add(name)
            end, others = j + 1, 0
        elif not names or others == 2 or not lines[j - 1].words:
            break
        else:
            others += 1
    if not (names & _SENDER and names & _SUBJECT and names & (_SENT | _DATE)):
        return 0
    mail = names & _SENT or any("@" in line.words or _TIME.search(line.words) for line in lines[i:end])
    return end - i if mail else 0


def _attribution(lines: Sequence[_Line], i: int) -> int:
    """A sentence such as "On Monday at 9:15, Ann <ann@bank.example> wrote:", which may be wrapped."""
    if not lines[i].words.lower().startswith(_ON):
        return 0
    sentence = ""
    for j in range(i, min(i + _MAX_ATTRIBUTION, len(lines))):
        depth, words, _ = lines[j]
        if not words or depth != lines[i].depth:
            return 0
        sentence += f" {words.lower()}"
        if words.endswith(":") and any(f" {verb}" in sentence for verb in _WROTE):
            after = _next(lines, j + 1)
            quoted = after < len(lines) and lines[after].depth > depth
            dated = any(character.isdigit() for character in sentence)
            return j + 1 - i if dated and (quoted or "@" in sentence or _TIME.search(sentence)) else 0
    return 0


def _signature(lines: Sequence[_Line], headers: Sequence[int], i: int) -> int:
    """The delimiter "-- " and what follows, up to a quoted mail or the end."""
    if lines[i].words != "--" or (i and lines[i - 1].words.startswith("--")):
        return 0
    end, j = i + 1, _next(lines, i + 1)
    if j < len(lines) and lines[j].words.startswith("--") and not headers[j]:
        return 0  # comments of a program
    for _ in range(MAX_SIGNATURE + 1):
        if j == len(lines) or lines[j].depth != lines[i].depth or headers[j]:
            return end - i
        end, j = j + 1, _next(lines, j + 1)
    return 0


def _footer(lines: Sequence[_Line], headers: Sequence[int], i: int) -> int:
    """A line such as "Sent from my iPhone", if it is the last one of its mail."""
    words = lines[i].words
    if len(words) > _MAX_FOOTER_CHARS or not _FOOTER.fullmatch(words.replace("[", "").lower()):
        return 0
    after = _next(lines, i + 1)
    return int(after == len(lines) or lines[after].depth != lines[i].depth or headers[after] > 0)


def _list_footer(lines: Sequence[_Line], i: int) -> int:
    """What a mailing list adds below a rule: its name, its address, how to leave it; to the end of the mail."""
    if not _LIST_FOOTER.fullmatch(lines[i].words) or i + 1 >= len(lines) or not _LIST_NAMED.search(lines[i + 1].words):
        return 0
    end = next((j for j in range(i, len(lines)) if lines[j].depth != lines[i].depth), len(lines))
    return end - i if end - i <= MAX_SIGNATURE else 0


def _disclaimer(lines: Sequence[_Line], headers: Sequence[int], i: int) -> int:
    """The last paragraphs of a mail, if they say that the mail is confidential, or which service sent it."""
    if not i or lines[i - 1].words or not _DISCLAIMER.match(lines[i].words):
        return 0
    start = i
    while start < len(lines) and lines[start].depth == lines[i].depth and not headers[start]:
        end = next((j for j in range(start, len(lines)) if not lines[j].words), len(lines))
        paragraph = " ".join(line.words for line in lines[start:end])
        if end - start > _MAX_DISCLAIMER or not _CONFIDENTIAL.search(paragraph):
            return 0
        start = _next(lines, end)
    return start - i


def reply_content(text: str) -> str:
    """What the writer of a mail added: without older mails, quoted or not, signatures, and footers of mail programs,
    of mailing lists, and of legal departments.

    A mail that only forwards another keeps that one, as `mail_content` does.
    """
    given = text.splitlines()
    lines = [_line(line) for line in given]
    headers = [_header(lines, i) or _quote_introduction(lines, i) for i in range(len(lines))]
    kept: list[str] = []
    i = 0
    while i < len(lines):
        if _ABOVE.search(lines[i].words):
            break  # the help desk's own mark: what follows is its quotation
        if headers[i]:
            i += headers[i]
            following = _next(lines, i)
            if any(kept) and (following == len(lines) or not lines[following].depth):
                break  # an older mail without marks of quotation goes on to the end
            continue
        dropped = (lines[i].depth and _quoted(given[i])) or _signature(lines, headers, i) or _footer(lines, headers, i)
        dropped = dropped or _list_footer(lines, i) or _disclaimer(lines, headers, i)
        if not dropped:
            kept.append(given[i])
        i += dropped or 1
    new = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
    answers = any(headers) and any(line.depth for line in lines)  # an answer with nothing but quotations is empty
    return new if new or answers else mail_content(text).strip()


_ABOVE = re.compile(r"^#{2}-.{1,80}-#{2}$")  # Zendesk: "##- Please type your reply above this line -##"


def _quoted(line: str) -> int:
    """1 for a line of a quoted mail; what begins with a mark for another reason, such as "> 10 mm", is none."""
    return int(bool(re.match(r"\s*+>(?:\s*+>)*+(?:\s|$|[^\s\d=])", line)))


def _quote_introduction(lines: Sequence[_Line], i: int) -> int:
    """A dated sentence in any language that ends with a colon before a quotation, such as "W dniu ... napisał:"."""
    begins = not i or not lines[i - 1].words or lines[i - 1].depth != lines[i].depth
    for j in range(i, min(i + _MAX_ATTRIBUTION, len(lines))):
        depth, words, _ = lines[j]
        if not words or depth != lines[i].depth:
            return 0
        if words.endswith((":", "：")):
            after = _next(lines, j + 1)
            quoted = after < len(lines) and lines[after].depth > depth
            later = any(_dated(lines[k : j + 1]) for k in range(i + 1, j + 1))
            alone = begins or _dated(lines[i : i + 1])
            return j + 1 - i if quoted and alone and not later and _dated(lines[i : j + 1]) else 0
    return 0


def _dated(lines: Sequence[_Line]) -> bool:
    """Whether there are a number and a time or an address in the lines."""
    sentence = " ".join(line.words for line in lines)
    return any(c.isdigit() for c in sentence) and ("@" in sentence or _TIME.search(sentence) is not None)
