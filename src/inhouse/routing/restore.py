"""Text with some values replaced, as it streams: whole or cut anywhere, the result is the same.

A value is looked up where it can begin, and is replaced where it stands alone. What could still become one is held
back: at most the longest value and the two characters after it. In JSON a value may be escaped ("Andr\\u00e9"); it is
replaced by the other one, escaped in the same way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from inhouse.privacy.match import spaced

AFTER = 2  # characters after a value that say whether it stands alone: "Webers", and a border
BEFORE = 8  # characters before it: an escape such as \\u00e9, and one more
_PLAIN = re.compile(r"[ !#-\[\]-~]*")  # what JSON writes as it is
_ESCAPED_SPACE = re.compile(r"\\[nrtbf]\Z")
_ESCAPED_CHARACTER = re.compile(r"\\u([0-9a-fA-F]{4})\Z")


class Table:
    """What is replaced by what.

    Args:
        pairs: old and new texts; of two for the same old one, the first counts.
        words: the old texts that may be followed by an s, such as names.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], words: Iterable[str] = ()) -> None:
        self.new: dict[str, str] = {}
        names, self._words = frozenset(words), set[str]()
        for old, new in pairs:
            olds = [old] if _PLAIN.fullmatch(old) and _PLAIN.fullmatch(new) else _forms(old)
            for form, value in zip(olds, _forms(new), strict=False):
                self.new.setdefault(form, value)
                if old in names:
                    self._words.add(form)
        self._from: dict[str, list[str]] = {}
        for form in sorted(self.new, key=lambda f: (-len(f), f)):
            self._from.setdefault(form[0], []).append(form)
        self._begins = re.compile("[" + "".join(map(re.escape, self._from)) + "]") if self._from else None

    def __call__(self, text: str) -> str:
        """The text with the values replaced."""
        return Stream(self).feed(text, last=True)

    def parts(self, text: str) -> Iterator[tuple[str, str]]:
        """The text in parts: what is before a value, and what the value is replaced by, "" after the last one."""
        at, start = 0, self.begins(text, 0)
        while start >= 0:
            form, _ = self.at(text, start, text[max(start - BEFORE, 0) : start], last=True)
            if form:
                yield text[at:start], self.new[form]
                at = start + len(form)
            start = self.begins(text, max(start + 1, at))
        yield text[at:], ""

    def begins(self, text: str, at: int) -> int:
        """The next place where a value may begin, -1 if there is none."""
        match = self._begins.search(text, at) if self._begins else None
        return match.start() if match else -1

    def at(self, text: str, start: int, before: str, last: bool) -> tuple[str, bool]:
        """The value that begins there, "" if none does; and whether more text is needed to know.

        Args:
            text: what is there so far.
            start: where the value begins.
            before: the characters before it, also those before the text.
            last: whether the text is complete.
        """
        left = len(text) - start
        for form in self._from.get(text[start], ()):
            if left < len(form) + AFTER and not last and form.startswith(text[start : start + len(form)]):
                if not _border(before, form[0]):
                    continue
                return "", True
            if text.startswith(form, start) and _border(before, form[0]) and self._ends(text, start, form):
                return form, False
        return "", False

    def _ends(self, text: str, start: int, form: str) -> bool:
        after = text[start + len(form) : start + len(form) + AFTER]
        if not after or not _joins(form[-1], after[0]):
            return True
        return form in self._words and after[0] in "sS" and not (len(after) > 1 and _joins("s", after[1]))


class Stream:
    """The pieces of one text, with the values of a table replaced."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._held = self._before = ""
        self.replaced = 0  # values so far

    def feed(self, text: str, last: bool = False) -> str:
        """What can be said after another piece of the text, or after the last one."""
        text = self._held + text
        done: list[str] = []
        at = 0  # what is before is done
        start = self._table.begins(text, 0)
        while start >= 0:
            before = (self._before + text[max(start - BEFORE, 0) : start])[-BEFORE:]
            form, more = self._table.at(text, start, before, last)
            if more:
                break
            if form:
                done += [text[at:start], self._table.new[form]]
                at = start + len(form)
                self.replaced += 1
            start = self._table.begins(text, max(start + 1, at))
        end = len(text) if start < 0 else start
        done.append(text[at:end])
        self._held, self._before = text[end:], (self._before + text[max(end - BEFORE, 0) : end])[-BEFORE:]
        return "".join(done)

    def cut(self) -> str:
        """What can be said when the rest never comes: half a value is left out."""
        whole = Stream(self._table)
        whole._before = self._before
        text = whole.feed(self._held, last=True)
        return text if whole.replaced else ""


def _forms(value: str) -> list[str]:
    """The value as it is; as JSON writes it, with other letters as they are or escaped in lower or upper case; and as
    JSON inside a text of JSON has it."""
    plain, lower = json.dumps(value, ensure_ascii=False)[1:-1], json.dumps(value)[1:-1]
    upper = re.sub(r"\\u[0-9a-f]{4}", lambda m: "\\u" + m[0][2:].upper(), lower)
    return [value, plain, lower, upper, *(json.dumps(form)[1:-1] for form in (plain, lower, upper))]


def _border(before: str, first: str) -> bool:
    """Whether a value may begin with `first` after these characters."""
    if not before or not _joins(before[-1], first):
        return True
    if "\\" not in before:
        return False
    if _ESCAPED_SPACE.search(before):
        return True
    match = _ESCAPED_CHARACTER.search(before)
    return match is not None and not _joins(chr(int(match[1], 16)), first)


def _joins(one: str, other: str) -> bool:
    """Whether two characters belong to one word or number; those of scripts without spaces never do."""
    return one.isalnum() and other.isalnum() and bool(spaced(one).strip()) and bool(spaced(other).strip())
