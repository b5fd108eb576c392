"""Text as the other rooms want it: NFC, without invisible characters, with Markdown headings; and its title.

Joiners (U+200C, U+200D) and direction marks (U+200E, U+200F) stay: emoji, Persian and Hebrew need them. Zero-width
spaces, direction overrides and tag characters go: they hide text from people that a model would read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060-\u2064\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_TRAILING = re.compile(r"(?<![ \t])[ \t]++(?=\n)")  # tries each run of spaces once: a long one costs no more
_RULE = re.compile(r"^(={3,}|-{3,})[ \t]*$", re.MULTILINE)
_NO_HEADING = re.compile(r"\s*[-*+>|#`~]|\s*\d+[.)]|    |\t")  # how lists, quotes, tables and code begin
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_PAIR = re.compile(r"^([A-Za-z][\w -]*):(.*)$", re.MULTILINE)
_HEADING_OR_FENCE = re.compile(r"^ {0,3}(?:(#{1,6})[ \t]+(\S.*)$|(```|~~~))", re.MULTILINE)
_MARKUP = re.compile(r"\*\*|`|!?\[([^\[\]\n]*)\]\([^()\n]*\)")
_NO_TITLE = re.compile(
    r"(?i)(untitled.*|microsoft (word|excel|powerpoint).*|powerpoint presentation|presentation|document\d*"
    r"|\(?(anonymous|unspecified)\)?|.*\.(docx?|xlsx?|pptx?|pdf|indd|html?))"
)


def clean_text(text: str) -> str:
    """Normalized text: at most one blank line in a row, no spaces at line ends, empty when nothing can be read."""
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    text = _LINE_ENDS.sub("\n", text)
    text = _SPACES.sub(" ", text)
    text = _INVISIBLE.sub("", text)
    text = _TRAILING.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n").rstrip()


def underlined_headings(text: str) -> str:
    """Writes Markdown headings that are underlined with === or --- as # and ##."""
    parts, done = [], 0
    for rule in _RULE.finditer(text):
        end = rule.start() - 1
        start = text.rfind("\n", 0, max(end, 0)) + 1
        line = text[start : max(end, 0)]
        apart = start == 0 or text[max(start - 2, 0) : start] in {"\n", "\n\n"}
        if start >= done and apart and line.strip() and not _NO_HEADING.match(line) and "|" not in line:
            parts += [text[done:start], "# " if rule[1][0] == "=" else "## ", line.strip()]
            done = rule.end()
    return "".join([*parts, text[done:]])


def front_matter(text: str) -> tuple[dict[str, str], str]:
    """The plain `key: value` lines of YAML front matter, and the text without it."""
    found = _FRONT_MATTER.match(text)
    if not found or not (
        pairs := {m[1].lower(): value for m in _PAIR.finditer(found[1]) if (value := m[2].strip(" \t'\""))}
    ):
        return {}, text
    return pairs, text[found.end() :]


def headings(text: str) -> Iterable[tuple[int, str]]:
    """Level (1 to 6) and text of each Markdown heading, in order; code blocks are passed over."""
    fence = ""
    for match in _HEADING_OR_FENCE.finditer(text):
        if mark := match[3]:
            fence = "" if fence == mark else fence or mark
        elif not fence:
            words = match[2].rstrip()
            open_end = words.rstrip("#")
            yield len(match[1]), plain(open_end if open_end.endswith((" ", "\t")) else words)


def plain(text: str) -> str:
    """A line of Markdown without emphasis, code marks and links."""
    return _MARKUP.sub(lambda m: m[1] or "", text).strip()


def title_of(text: str, metadata: str, stem: str) -> str:
    """The first heading of level 1, else the title in the file's metadata, else the file's name made readable."""
    first = next((words for level, words in headings(text) if level == 1 and words), "")
    metadata = " ".join(clean_text(metadata).split())
    if first or (metadata and not _NO_TITLE.fullmatch(metadata)):
        return first or metadata
    words = re.sub(r"[_\s]+|(?<=\w)-(?=\w)", " ", stem).strip() or stem
    return words[:1].upper() + words[1:]
