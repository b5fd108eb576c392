"""Regular expressions that people write into settings and requests, matched in time linear in the text.

The engine is RE2, which cannot backtrack. The patterns of this package itself use `re`; tests/text/test_patterns.py
holds each of them to linear time.
"""

from __future__ import annotations

import re2

MAX_CHARS = 10_000


class LinearPattern:
    r"""A pattern in the syntax of RE2. `\w`, `\d`, and `\b` know ASCII only; `\p{L}` is any letter.

    Raises:
        ValueError: the pattern is invalid, too large, or needs backtracking (lookaround, backreferences).
    """

    def __init__(self, pattern: str, *, dot_matches_newline: bool = False) -> None:
        if len(pattern) > MAX_CHARS:
            raise ValueError(f"longer than {MAX_CHARS:,} characters")
        options = re2.Options()
        options.log_errors = False
        options.dot_nl = dot_matches_newline
        try:
            self._compiled = re2.compile(_readable(pattern), options)
        except re2.error as error:
            reason = error.args[0] if error.args else "invalid"
            reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
            raise ValueError(_in_words(reason)) from error

    def fullmatch(self, text: str) -> bool:
        """Whether the pattern matches the whole text."""
        return self._compiled.fullmatch(_readable(text)) is not None

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text."""
        return self._compiled.search(_readable(text)) is not None


def _readable(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _in_words(reason: str) -> str:
    """What RE2 says of a pattern, with the names of what it does not have."""
    if "(?" in reason and "perl operator" in reason:
        return f"lookahead, lookbehind, and atomic groups are not supported ({reason})"
    if "invalid escape sequence" in reason and reason.rstrip()[-1:].isdigit():
        return f"backreferences are not supported ({reason})"
    return reason
