"""Clean text: NFC, no invisible characters, Markdown headings; and a title for it.

Joiners (U+200C, U+200D) and direction marks (U+200E, U+200F) are kept: emoji, Persian and Hebrew need them. Zero-width
spaces, direction overrides and tag characters are removed: with them, text can be hidden from people but not from a
model.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MOST_MARKS = 30  # combining marks in a row that are kept, as in the Stream-Safe Text Format (Unicode Annex 15)
MAX_HEADING_CHARS = 300  # longer lines are text, and longer titles are cut: every chunk repeats them
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_TRAILING = re.compile(r"(?<![ \t])[ \t]++(?=\n)")  # starts once per run of spaces: a long run takes linear time
_RULE = re.compile(r"^(={3,}|-{3,})[ \t]*$", re.MULTILINE)
_NO_HEADING = re.compile(r"\s*[-*+>|#`~]|\s*\d+[.)]|    |\t")  # the start of a list item, quote, table or code line
_HEADING_OR_FENCE = re.compile(rf"^ {{0,3}}(?:(#{{1,6}})[ \t]+(\S.{{0,{MAX_HEADING_CHARS}}})$|(```|~~~))", re.MULTILINE)
_MARKUP = re.compile(r"\*\*|`|!?\[([^\[\]\n]*)\]\([^()\n]*\)")
_NO_TITLE = re.compile(
    r"(?i)(untitled.*|microsoft (word|excel|powerpoint).*|powerpoint presentation|presentation|document\d*"
    r"|\(?(anonymous|unspecified)\)?|.*\.(docx?|xlsx?|pptx?|pdf|indd|html?))"
)


def clean_text(text: str) -> str:
    """Normalized text: at most one blank line in a row, no spaces at line ends, empty when nothing is visible."""
    text = _LINE_ENDS.sub("\n", text)
    if not text.isascii():
        text = _SPACES.sub(" ", text)
    text = _normalized(_INVISIBLE.sub("", text))
    text = _TRAILING.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n").rstrip()


def _normalized(text: str) -> str:
    """NFC. Marks beyond MOST_MARKS in a row are dropped, because ordering a run takes time quadratic in its length."""
    if unicodedata.is_normalized("NFC", text):
        return text
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MOST_MARKS:
            kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def underlined_headings(text: str) -> str:
    """Rewrites Markdown headings underlined with === or --- to # and ##."""
    parts, done = [], 0
    for rule in _RULE.finditer(text):
        end = rule.start() - 1
        start = text.rfind("\n", 0, max(end, 0)) + 1
        line = text[start : max(end, 0)]
        apart = start == 0 or text[max(start - 2, 0) : start] in {"\n", "\n\n"}
        short = 0 < len(line.strip()) <= MAX_HEADING_CHARS
        if start >= done and apart and short and not _NO_HEADING.match(line) and "|" not in line:
            parts += [text[done:start], "# " if rule[1][0] == "=" else "## ", line.strip()]
            done = rule.end()
    return "".join([*parts, text[done:]])


def headings(text: str) -> Iterable[tuple[int, str]]:
    """Level (1 to 6) and text of each Markdown heading, in order; code blocks are skipped."""
    fence = ""
    for match in _HEADING_OR_FENCE.finditer(text):
        if mark := match[3]:
            fence = "" if fence == mark else fence or mark
        elif not fence:
            words = match[2].rstrip()
            without_marks = words.rstrip("#")
            yield len(match[1]), plain(without_marks if without_marks.endswith((" ", "\t")) else words)


def plain(text: str) -> str:
    """A line of Markdown without bold marks, code marks and links."""
    return _MARKUP.sub(lambda m: m[1] or "", text).strip()


def title_of(text: str, metadata: str, stem: str) -> str:
    """The first level-1 heading, or else the title in the file's metadata, or else the file name made readable."""
    first = next((words for level, words in headings(text) if level == 1 and words), "")
    metadata = " ".join(clean_text(metadata).split())[:MAX_HEADING_CHARS]
    if first or (metadata and not _NO_TITLE.fullmatch(metadata)):
        return first or metadata
    words = re.sub(r"[_\s]+|(?<=\w)-(?=\w)", " ", stem).strip() or stem
    return words[:1].upper() + words[1:]
