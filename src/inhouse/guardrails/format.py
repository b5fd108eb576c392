"""The format of an answer: JSON that matches the requested schema, or text that matches a pattern.

JSON is repaired once; whatever still does not match goes to a person. Engines that decode with a grammar keep to a
schema by themselves; this rail catches those that do not, and answers that were cut off.
"""

from __future__ import annotations

import json
import re

from inhouse.errors import ConfigError
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text.pattern import LinearPattern
from inhouse.types import Json

_FENCE = "```"
_TRAILING = re.compile(r",(\s*[}\]])")
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_]\w*)(\s*:)")


class Format:
    """The rail: side "output" for answers to requests with a schema, side "answer" for a pattern.

    Args:
        pattern: a regular expression that a whole answer must match; empty for none.

    Raises:
        ConfigError: the pattern is no valid regular expression, or needs backtracking.
    """

    name = "format"

    def __init__(self, pattern: str = "") -> None:
        try:
            self._pattern = LinearPattern(pattern, dot_matches_newline=True) if pattern else None
        except ValueError as error:
            hint = "use the syntax of RE2: https://github.com/google/re2/wiki/Syntax"
            raise ConfigError(f"guardrails.answer_pattern: {error}", hint) from error
        self.sides: frozenset[Side] = frozenset({"output", "answer"} if pattern else {"output"})

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        schema = turn.request.json_schema
        if side == "answer":
            if schema is not None or self._pattern is None or self._pattern.fullmatch(text.strip()):
                return None
            return Finding(score=1, reason="does not match guardrails.answer_pattern", action="handoff")
        if schema is None or fits(text, schema):
            return None
        if (repaired := repair(text)) is not None and fits(repaired, schema):
            return Finding(score=1, reason="JSON repaired", text=repaired, action="rewrite")
        return Finding(score=1, reason="not JSON that matches the schema", action="handoff")


def fits(text: str, schema: dict[str, Json]) -> bool:
    """Whether the text is JSON that matches the schema."""
    from jsonschema import Draft202012Validator

    try:
        return bool(Draft202012Validator(schema).is_valid(json.loads(text)))
    except (ValueError, RecursionError):
        return False


def repair(text: str) -> str | None:
    """The JSON in a text with code fences, words around it, trailing commas, unquoted keys, wrong quotes or a missing
    end; None where none can be recovered."""
    inner = _fenced(text)
    start = min((at for at in (inner.find("{"), inner.find("[")) if at >= 0), default=-1)
    if start < 0:
        return None
    body = inner[start:]
    end = max(body.rfind("}"), body.rfind("]"))
    for attempt in (body[: end + 1] if end > 0 else body, body):
        for fixed in (attempt, _normalized(attempt), _closed(_normalized(attempt))):
            try:
                return json.dumps(json.loads(fixed), ensure_ascii=False)
            except (ValueError, RecursionError):
                continue
    return None


def _fenced(text: str) -> str:
    """The inside of the first code block; the text where there is none."""
    _, _, rest = text.partition(_FENCE)
    inside, closing, _ = rest.partition(_FENCE)
    return inside.removeprefix("json") if closing else text


def _normalized(text: str) -> str:
    """The text with JSON's quotes, literals and keys, and without trailing commas."""
    if '"' not in text:
        text = text.replace("'", '"')
    text = text.replace("“", '"').replace("”", '"')
    for word, right in (("True", "true"), ("False", "false"), ("None", "null")):
        text = re.sub(rf"(:\s*){word}\b", rf"\g<1>{right}", text)
    return _BARE_KEY.sub(r'\1"\2"\3', _TRAILING.sub(r"\1", text))


def _closed(text: str) -> str:
    """The text with the quotes and brackets closed that it leaves open."""
    opened: list[str] = []
    quoted = escaped = False
    for c in text:
        if quoted:
            quoted = escaped or c != '"'
            escaped = c == "\\" and not escaped
        elif c == '"':
            quoted = True
        elif c in "{[":
            opened.append("}" if c == "{" else "]")
        elif c in "}]" and opened:
            opened.pop()
    return text.rstrip(", \n") + '"' * quoted + "".join(reversed(opened))
