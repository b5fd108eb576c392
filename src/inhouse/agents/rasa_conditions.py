"""Conditions of Rasa's flows (in the language of pypred) as expressions of procedures."""

from __future__ import annotations

import re
from collections.abc import Callable

from inhouse.agents.expression import Expression
from inhouse.errors import ConfigError

_TOKEN = re.compile(r"""\s*(?:("[^"]*"|'[^']*')|(>=|<=|!=|==|=|>|<|\(|\)|\{|\}|,)|([\w.\-]+))""")
_HOLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,100})\}")
_WORDS = {
    "and": "and", "or": "or", "not": "not", "true": "True", "false": "False", "null": "None", "undefined": "None",
    "empty": "None", "=": "==",
}  # fmt: skip
_REFUSED = frozenset(["matches", "{", "}", ","])


class Untranslated(ValueError):
    """The condition has no counterpart; the message says which part."""


def holding(condition: str, where: Callable[[str], str]) -> str:
    """The condition as an expression; `where` gives the name or member for a slot.

    Raises:
        Untranslated: it cannot be expressed.
    """
    parts = [_word(token, where) for token in _joined(_tokens(condition))]
    for at, part in enumerate(parts):
        if part == "contains":  # SET contains VALUE
            if not 0 < at < len(parts) - 1:
                raise Untranslated("contains")
            parts[at - 1 : at + 2] = [f"{parts[at + 1]} in {parts[at - 1]}", "", ""]
    text = " ".join(part for part in parts if part).replace("( ", "(").replace(" )", ")")
    try:
        return Expression(text).text
    except ConfigError as error:
        raise Untranslated(str(error)) from error


def replaced(text: str, where: Callable[[str], str]) -> str:
    """A text of a response with the names or members in the place of its slots."""
    return _HOLE.sub(lambda found: f"{{{where(found[1])}}}", text)


def _tokens(condition: str) -> list[str]:
    found, at = [], 0
    condition = condition.strip()
    while at < len(condition):
        match = _TOKEN.match(condition, at)
        if not match:
            raise Untranslated(condition[at : at + 20])
        found.append(match[match.lastindex or 0].strip())
        at = match.end()
    return found


def _joined(words: list[str]) -> list[str]:
    """With "is" and "is not" as the comparisons that they are."""
    found: list[str] = []
    for at, word in enumerate(words):
        if word.lower() == "is":
            found.append("!=" if [w.lower() for w in words[at + 1 : at + 2]] == ["not"] else "==")
        elif not (word.lower() == "not" and at and words[at - 1].lower() == "is"):
            found.append(word)
    return found


def _word(token: str, where: Callable[[str], str]) -> str:
    if token.lower() in _REFUSED or token.startswith("context."):
        raise Untranslated(token)
    if token.lower() in _WORDS:
        return _WORDS[token.lower()]
    if token.startswith("slots."):
        return where(token.removeprefix("slots."))
    if token[0] in "\"'":
        return repr(token[1:-1])
    if token[0].isdigit() or token[0] in "-<>=!()" or token.lower() == "contains":
        return token.lower() if token.lower() == "contains" else token
    return where(token)
