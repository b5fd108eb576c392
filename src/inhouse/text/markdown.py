"""Which lines of a Markdown text are code, or otherwise no text that a reader sees."""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r"[ \t]*(?:[-*+>] +|\d{1,9}[.)] +)?(`{3,}|~{3,})(.*)")
_FRONT = re.compile(r"(---|\+\+\+)[ \t]*")
_LISTED = re.compile(r"\s*(?:[-*+•]|\d{1,9}[.)])\s")
_RAW = re.compile(r" {0,3}<(?:(pre|script|style|textarea)\b|!--)", re.IGNORECASE)


def lines_with_code(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether it is code: within a fence, with its marks; indented by four after a blank line outside of
    lists; in raw HTML or a comment; or front matter at the beginning.

    A fence that is never closed holds the rest, as in CommonMark.
    """
    lines = text.split("\n")
    front = _front_matter(lines)
    end = ""  # of the raw HTML, or the marks of the fence, that the line is in
    blank, listed, indented = True, False, False
    for n, line in enumerate(lines):
        if n < front:
            yield line, True
            continue
        mark = _FENCE.match(line)
        if end:
            closes = end in line.lower() if end[0] in "<-" else mark and not mark[2].strip() and mark[1].startswith(end)
            end = "" if closes else end
            yield line, True
            continue
        if mark and not (mark[1][0] == "`" and "`" in mark[2]):
            end = mark[1]
        elif raw := _RAW.match(line):
            close = f"</{raw[1].lower()}>" if raw[1] else "-->"
            end = "" if close in line.lower() else close
        if end or (raw := _RAW.match(line)):
            yield line, True
            continue
        empty = not line.strip()
        if not empty:
            listed = (bool(_LISTED.match(line)) and not indented) or (listed and line[0].isspace())
            indented = line.startswith(("    ", "\t")) and not listed and (indented or blank)
        blank = empty
        yield line, indented and not empty


def _front_matter(lines: list[str]) -> int:
    """How many lines at the beginning are front matter: `key: value` or `key = value` between two marks."""
    mark = _FRONT.fullmatch(lines[0])
    if not mark or len(lines) < 3 or not re.match(r"[A-Za-z][\w -]*[:=]", lines[1]):
        return 0
    ends = (mark[1], "...") if mark[1] == "---" else (mark[1],)
    return next((n + 1 for n, line in enumerate(lines[1:], 1) if line.rstrip() in ends), 0)
