"""What else a text says: the readings of it that a model may find and a detector would not.

People hide an instruction from a filter by other alphabets, gaps and signs between letters, digits for letters, marks
of markup, codes (Base64, hex, Morse, rot13, ...), or by writing it backwards. `readings` undoes these. A reading is
something to check besides the text, never instead of it: the text itself stays as it is. Whether a decoded text is
one is decided by the share of its letters that are in usual words (`usual.txt`), so ordinary text has no readings.

All of it takes time linear in the length of the text.
"""

from __future__ import annotations

import html
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import regex

from inhouse.text import codes
from inhouse.text.codes import USUAL
from inhouse.text.visible import visible

LONGEST_WORD = max(map(len, USUAL))
KNOWN, UNKNOWN = 0.7, 0.45  # shares of letters in usual words: of a decoded text at least, of a disguised one at most
FEW_LETTERS = 12  # of a decoded text
RECENT = 100  # clauses whose meanings are kept
GAPPED = 3  # pieces that are joined to words, at least
_MARKS = regex.compile(r"\p{Mn}{2,}|(?<=[^\p{L}\p{M}])\p{Mn}+|[\u0334-\u0338\u20d0-\u20ff]+")
_ACCENTS = regex.compile(r"\p{Mn}+")
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}'’]+")
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_COMMENTS = (("<!--", "-->"), ("/*", "*/"), ("<![CDATA[", "]]>"))
_LINK = re.compile(r"https?://[^\s<>\"]{12,2000}")
_LINK_SIGNS = re.compile(r"[/?&=+_.,;:-]+")
_TAG = re.compile(r"</?[A-Za-z!][^<>]{0,2000}>")
_ATTRIBUTE = re.compile(r"[\"']([^\"'<>]{8,1000})[\"']")
_SIGNS = re.compile(r"[\s*#`>.,:;!?()。、，；：？！（）-]+")
_QUOTES = re.compile(r"\"([^\"]{12,})\"|`([^`]{12,})`")
_CODE_COMMENT = re.compile(r"(?:#|//|--|;)[ \t]{0,9}([^\n]{12,})")
_WITHIN = re.compile(r"(?<=[A-Za-z])(?:</?[A-Za-z]{1,10}>){1,4}(?=[A-Za-z])|(?<=[A-Za-z])[*~`]{1,3}(?=[A-Za-z])")
_FENCED = re.compile(r"```[^`]{0,20000}+(?:```|\Z)")
_COMMAND = re.compile(r"\\[A-Za-z]{2,20}\*?\{([^{}\\]{0,2000})\}")
_LATEX = re.compile(r"\\(?:[A-Za-z]{2,20}\*?|[,;:! ])(?=[{\\ ,$}])|[{}$]|\\\\")
_JOINED = re.compile(r"[\"'`]\s{0,5}[+.,&]\s{0,5}[\"'`]")
_EMPHASIS = re.compile(r"[*_~`|]{1,6}")
_IN_WORDS = re.compile(r"(?<=\w)_(?=\w)")
_LINE_START = re.compile(r"(?m)^[ \t]{0,8}(?:[#>*+%;-]{1,6}|//|\d{1,3}[.)])[ \t]+")
_HYPHENATED = re.compile(r"(?<=[A-Za-z])-[ \t]*\n[ \t]*(?=[a-z])")
_LEET = str.maketrans("0134567890@$!|+€£¥", "oieasgtbgoasiitely")
_DIGITS_FOR_LETTERS = re.compile(r"[0-9@$!|+€£¥]")
_TURNED = str.maketrans("ɐqɔpǝɟƃɥᴉıɾʞlɯuodbɹsʇnʌʍxʎz˙", "abcdefghiijklmnopqrstuvwxyz.")
_TURNED_SIGNS = frozenset("ɐɔǝɟɥɾʞɯɹʇʌʍʎ")
_CLAUSE = re.compile(r"([.:;!?\n\"“”()\[\]{}<>`]+)")
_DOUBLED = re.compile(r"(?:([A-Za-z])\1){3,40}")
_VOWELS = re.compile(r"[aeiou*]")
_REPEATED = re.compile(r"([A-Za-z])\1{2,}")
_SPLIT = regex.compile(r"[^\p{L}\p{M}\p{N}@$!|]+")


@lru_cache(maxsize=1)
def _lookalikes() -> dict[int, str]:
    lines = (Path(__file__).parent / "lookalikes.txt").read_text(encoding="utf-8").splitlines()
    return {ord(c): line[0] for line in lines if not line.startswith("#") for c in line[2:]}


@lru_cache(maxsize=1)
def _scrambled() -> dict[str, str]:
    """Usual words by their letters, of which the first and the last stay in their places."""
    return {_shape(word): word for word in sorted(USUAL) if len(word) > 3}


@lru_cache(maxsize=1)
def _starred() -> dict[str, str]:
    """Usual words by what is left where their vowels are stars."""
    return {_VOWELS.sub("*", word): word for word in sorted(USUAL) if len(word) > 3}


def _shape(word: str) -> str:
    return word[:1] + "".join(sorted(word[1:-1])) + word[-1:]


def readings(text: str, markup: bool = True) -> list[str]:
    """Other readings of the text, without those that differ in case, spaces, and punctuation alone.

    Args:
        text: as it was written.
        markup: also read it without Markdown, HTML, LaTeX, and quotes. Documents are full of these, so only what they
            hide (comments, attributes) is read otherwise.
    """
    seen = visible(text).text
    bare = _unescaped(seen)
    found = [bare, *hidden(bare)]
    if markup:
        found += [unmarked(bare), *_quoted(bare)]
    decoded = [d for some in dict.fromkeys((seen, bare)) for d in (*codes.decoded(some), *_shifted(some))]
    if any(c in _TURNED_SIGNS for c in seen) and len(_TURNED_SIGNS & set(seen)) > 2:
        decoded.append(seen.translate(_TURNED)[::-1])
    decoded += [d for some in decoded[:4] for d in (*codes.decoded(some), *_shifted(some))]  # a code in a code
    found += decoded
    found += [plain_words(some) for some in dict.fromkeys((*(found[:3] if markup else found[:1]), *decoded))]
    known = {_key(text)}
    return [r for r in found if len(r) > 3 and (key := _key(r)) not in known and not known.add(key)]  # type: ignore[func-returns-value]


def written(text: str) -> frozenset[str]:
    """The words of two letters and more, in lower case."""
    return frozenset(_LETTERS.findall(text.lower()))


def unseen(reading: str, seen: frozenset[str]) -> float:
    """The share of a reading's letters in words that were not `written` in the text."""
    found = _LETTERS.findall(reading.lower())
    return sum(len(w) for w in found if w not in seen) / max(sum(map(len, found)), 1)


def restored(text: str) -> str:
    """The text with codes in it replaced by what they say, and without the marks that stand within its words.

    It says all that the text says, so a detector may judge it instead: a code or a mark says nothing by itself.
    """
    if _WITHIN.search(text):
        text = _EMPHASIS.sub(lambda m: m[0] if "|" in m[0] else "", _WITHIN.sub("", text))
    return "".join(meanings[-1] for _, meanings in _clauses(codes.restored(_JOINED.sub("", text))))


def _unescaped(text: str) -> str:
    """The text without escapes; two rounds, since escapes may be escaped. A command of LaTeX is none."""
    for _ in range(2):
        text = html.unescape(codes.unescaped(_COMMAND.sub(r"\1", text) if "\\" in text else text))
    return text


def _key(text: str) -> str:
    """The words of the text: punctuation and marks of lists change nothing in how a detector reads it."""
    return " ".join(_SIGNS.split(text.casefold())).strip()


def hidden(text: str) -> list[str]:
    """What a reader overlooks: the texts of comments and of attributes of HTML, and the words of links."""
    links = [w for m in _LINK.finditer(text) if (w := _LINK_SIGNS.sub(" ", m[0])).count(" ") > 4]
    if "<" not in text and "/*" not in text:
        return links
    comments = [text[start + len(marks[0]) : end - len(marks[1])] for start, end, marks in _comments(text)]
    tags = (m[0] for m in _TAG.finditer(text))
    attributes = (a[1] for tag in tags for a in _ATTRIBUTE.finditer(tag))
    return [*links, *(t for t in (*comments, *attributes) if " " in t.strip())]


def _quoted(text: str) -> list[str]:
    """What stands in quotes, such as the values of JSON, and in the comments of code blocks, a line each."""
    blocks = _FENCED.findall(text)
    values = [m[1] or m[2] for m in _QUOTES.finditer(_FENCED.sub("\n", text))]
    comments = [m[1] for some in blocks or [text] for m in _CODE_COMMENT.finditer(some)]
    return ["\n".join(some) for some in ([v for v in values if v.count(" ") > 1], comments) if some]


def _comments(text: str) -> Iterator[tuple[int, int, tuple[str, str]]]:
    """Where comments of HTML and of programs begin and end, and their marks."""
    for marks in _COMMENTS:
        end = 0
        while (start := text.find(marks[0], end)) >= 0 and (close := text.find(marks[1], start + 2)) >= 0:
            end = close + len(marks[1])
            yield start, end, marks


def unmarked(text: str) -> str:
    """The text without marks of Markdown, HTML, LaTeX, program comments, and joined strings."""
    kept, at = [], 0
    for start, end, _ in sorted(_comments(text)):
        kept.append(text[at:start])
        at = max(at, end)
    text = _TAG.sub("", "".join((*kept, text[at:])))
    text = _LATEX.sub("", text) if "\\" in text else text
    text = _HYPHENATED.sub("", _JOINED.sub("", _LINE_START.sub("", text)))
    return str(_EMPHASIS.sub(lambda m: " " if "|" in m[0] else "", _IN_WORDS.sub(" ", text)))


def plain_words(text: str) -> str:
    """The text in plain Latin letters, its gapped, run together, misspelled, or digit-for-letter words written out."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", text)))
        foreign = any(not w.isascii() and not w.translate(_lookalikes()).isascii() for w in _unaccented(text).split())
        text = _WORD.sub(lambda m: _latin(m[0], foreign), text)
    tokens = text.split()
    spelled = [_spelled(token) for token in tokens]
    if (
        sum(a != b and not a.isalpha() for a, b in zip(tokens, spelled, strict=True)) > 1
    ):  # digits for letters: all digits
        spelled = [_in_letters(token) if not any(map(str.isalpha, token)) else token for token in spelled]
    plain = _regapped(spelled)
    return plain[:1].upper() + plain[1:]


def _latin(word: str, foreign: bool) -> str:
    """A word of letters that look like Latin ones, in these; one of another alphabet stays as it is where the text has
    more in that alphabet (`foreign`). Accents go where the word is a usual one without."""
    if word.isascii():
        return word
    bare = _unaccented(word)
    other = bare.translate(_lookalikes())
    if bare.isascii():
        return str(bare) if len(bare) > 3 and bare.lower() in USUAL else word
    mixed = any(c.isascii() and c.isalpha() for c in bare)
    return other if mixed or (other.isascii() and not foreign) else word


def _unaccented(text: str) -> str:
    return str(_ACCENTS.sub("", unicodedata.normalize("NFD", text)))


def _spelled(token: str) -> str:
    """A word with digits and signs for letters, or with its inner letters scrambled, as the usual word that it is."""
    lower = token.lower()
    bare = lower.strip(".,;:?!\"'")
    if bare in USUAL:
        return token
    if bare.isalpha():
        if (once := _REPEATED.sub(r"\1", bare)) in USUAL or (_DOUBLED.fullmatch(bare) and (once := bare[::2])):
            return once
        return _scrambled().get(_shape(bare), token)
    if "-" in bare and (joined := bare.replace("-", "")) in USUAL and not all(p in USUAL for p in bare.split("-")):
        return joined
    if "*" in bare.strip("*"):
        return _starred().get(_VOWELS.sub("*", bare), token)
    signs = _DIGITS_FOR_LETTERS.findall(bare)
    if not signs or not any(c.isalpha() for c in bare) or len(bare) > LONGEST_WORD + 2:
        return token
    if (usual := _in_letters(bare)) != bare:
        return usual
    letters = sum(c.isalpha() for c in bare)
    return bare.translate(_LEET) if letters >= len(signs) and letters > 2 and bare[0].isalpha() else token


def _in_letters(word: str) -> str:
    """A word with signs for letters as the usual word that it is; as it was if it is none."""
    bare = word.rstrip(".,;:?")
    if len(bare) > LONGEST_WORD + 2:
        return word
    tried = (v for variant in _variants(bare) for v in (variant, variant.rstrip("i")))  # "n0w!"
    return next((v for v in tried if v in USUAL), word)


def _variants(word: str) -> Iterator[str]:
    """The word with letters for digits; 1, !, and | may be i or l, and 9 may be g."""
    usual = word.translate(_LEET)
    yield usual
    at = [n for n, c in enumerate(word) if c in "1!|"][:4]
    for letters in itertools.product("il", repeat=len(at)):
        changed = list(usual)
        for n, letter in zip(at, letters, strict=True):
            changed[n] = letter
        yield "".join(changed)


def _regapped(tokens: Sequence[str]) -> str:
    """The tokens with the gaps of words: runs of pieces of words are joined, and long ones cut into usual words."""
    found: list[str] = []
    run: list[str] = []
    for token in [*tokens, ""]:
        if token and _is_piece(token):
            run.append(token)
            continue
        if run:
            found += _cut_run(run)
            run = []
        found += [token] if token else []
    return " ".join(_syllables(found))


def _is_piece(token: str) -> bool:
    """Whether a token may be a piece of a word, or several words without a gap."""
    parts = [p for p in _SPLIT.split(token) if p]
    if not parts:
        return not any(c.isalnum() for c in token)  # a sign between letters
    longest = max(map(len, parts))
    return len(parts) > 2 or longest <= 2 or longest > LONGEST_WORD


def _cut_run(run: Sequence[str]) -> list[str]:
    """A run of pieces as words, where they are usual ones; otherwise as it was."""
    letters = "".join(_letters(token) for token in run)
    pieces = sum(len(_SPLIT.split(token)) for token in run)
    if _is_one_word(run, letters):
        return [letters]
    if len(letters) < 8 or (pieces < GAPPED and len(letters) <= LONGEST_WORD):
        return list(run)
    if known_share(run) > KNOWN:  # "it is to be"
        return list(run)
    words = segmented(letters)
    if known_share(words) < KNOWN:
        words = segmented(letters.translate(_LEET))
    shreds = 2 * sum(len(w) < 3 for w in words) > len(words)  # "image_media_type" is no "i m age me d i a type"
    return words if known_share(words) >= KNOWN and not shreds else list(run)


def _is_one_word(run: Sequence[str], letters: str) -> bool:
    """Whether letters with gaps between them are one usual word: "i d i o t", not "A, B, C"."""
    return len(letters) > 3 and letters in USUAL and all(len(p) < 2 for token in run for p in _SPLIT.split(token))


def _syllables(tokens: Sequence[str]) -> list[str]:
    """The tokens, joined and cut anew where they are mostly short pieces that are no words."""
    letters = "".join(_letters(t) for t in tokens)
    before = known_share(tokens)
    if len(tokens) < 6 or len(letters) > 6 * len(tokens) or before > KNOWN:
        return list(tokens)
    words = segmented(letters)
    joined = len(words) < 0.9 * len(tokens) and known_share(words) > max(0.85, before + 0.2)
    return words if joined else list(tokens)


def _letters(token: str) -> str:
    return "".join(c for c in token.lower() if c.isalnum() or c in "@$!|")


def known_share(tokens: Sequence[str]) -> float:
    """The share of the letters that are in usual words; short words count little, since anything contains them."""
    total = known = 0.0
    for token in tokens:
        bare = token.lower().strip(".,;:!?\"'()")
        if not bare:
            continue
        weight = len(bare) if len(bare) > 2 else 0.5 * len(bare)
        total += weight
        known += weight if bare in USUAL else 0
    return known / total if total else 0.0


def segmented(letters: str) -> list[str]:
    """A text without gaps cut into usual words, as long ones as possible; what is none stays together."""
    best = [0.0]
    back = [0]
    for end in range(1, len(letters) + 1):
        score, start = best[end - 1] - 1.0, end - 1
        for size in range(1, min(LONGEST_WORD, end) + 1):
            if letters[end - size : end] in USUAL and best[end - size] + size * size - 0.5 > score:
                score, start = best[end - size] + size * size - 0.5, end - size
        best.append(score)
        back.append(start)
    words: list[str] = []
    end = len(letters)
    loose = ""
    while end:
        start = back[end]
        piece = letters[start:end]
        if end - start == 1 and piece not in USUAL:
            loose = piece + loose
        else:
            words += [loose, piece] if loose else [piece]
            loose = ""
        end = start
    return [*([loose] if loose else []), *reversed(words)]


def _shifted(text: str) -> list[str]:
    """The clauses of the text that are usual words backwards, or with each letter shifted in the alphabet."""
    return [said for clause, meanings in _clauses(text) for said in meanings if said != clause]


def _clauses(text: str) -> Iterator[tuple[str, list[str]]]:
    """The clauses of the text and the signs between them, each with what it may say, which mostly is itself."""
    for clause in _CLAUSE.split(text):
        yield clause, [clause, *_meanings(clause)]


@lru_cache(maxsize=RECENT)
def _meanings(clause: str) -> tuple[str, ...]:
    """What a clause that is hardly made of usual words says backwards or shifted, where that is. A text is read several
    times, with the same clauses."""
    tokens = clause.split()
    if len(tokens) < GAPPED or sum(map(len, tokens)) < FEW_LETTERS or known_share(tokens) > UNKNOWN:
        return ()
    some = " ".join(tokens[:40])
    kinds = (kind for kind, other in codes.ciphers(some) if known_share(other.split()) >= KNOWN)
    return tuple(codes.deciphered(kind, clause) for kind in kinds)
