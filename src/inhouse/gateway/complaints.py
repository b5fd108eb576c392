"""What is wrong with a body or a query, in the words, codes, and parameter paths of OpenAI's API.

Texts that were sent are not quoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inhouse.gateway.errors import HttpError

EXPECTED = {
    "string_type": "a string", "int_type": "an integer", "int_from_float": "an integer", "float_type": "a decimal",
    "bool_type": "a boolean", "list_type": "an array", "dict_type": "an object", "model_type": "an object",
    "model_attributes_type": "an object", "none_required": "null",
    "int_parsing": "an integer", "float_parsing": "a decimal",
}  # fmt: skip
BOUNDS = {
    "greater_than_equal": ("below minimum", ">=", "ge"), "greater_than": ("below minimum", ">", "gt"),
    "less_than_equal": ("above maximum", "<=", "le"), "less_than": ("above maximum", "<", "lt"),
}  # fmt: skip
LENGTHS = {
    "too_short": ("below minimum", "min_length"), "too_long": ("above maximum", "max_length"),
    "string_too_short": ("below minimum", "min_length"), "string_too_long": ("above maximum", "max_length"),
}  # fmt: skip
OWN = ("unknown_parameter", "unsupported_parameter", "unsupported_value", "invalid_value", "invalid_type")
"""Types of a PydanticCustomError whose message is complete; the type becomes the code."""

Problem = Mapping[str, Any]
Path = tuple[str | int, ...]


def complaint(problems: Sequence[Problem], body: Any) -> HttpError:
    """The error to answer with: the first problem, and of the branches of a union the one that fits best.

    Args:
        problems: the errors of pydantic.
        body: the parsed JSON that they are about.
    """
    paths = [_path(p, body) for p in problems]
    first = paths[0]
    related = [n for n, path in enumerate(paths) if path[: len(first)] == first]
    deepest = max(related, key=lambda n: len(paths[n]))
    there = [problems[n] for n in related if paths[n] == paths[deepest]]
    return _said(there, _name(paths[deepest]))


def _said(problems: Sequence[Problem], param: str) -> HttpError:
    problem = next((p for p in problems if p["type"] not in EXPECTED), problems[0])
    kind, context, given = problem["type"], problem.get("ctx") or {}, problem.get("input")
    if kind == "json_invalid":
        why = context.get("error", "")
        return HttpError(400, f"We could not parse the JSON body of your request. {why}".strip())
    if kind == "missing":
        message = f"Missing required parameter: '{param}'." if param else "Missing request body: send a JSON object."
        return HttpError(400, message, code="missing_required_parameter", param=param or None)
    if kind == "extra_forbidden":
        return _invalid(f"Unknown parameter: '{param}'.", "unknown_parameter", param)
    if kind in EXPECTED:
        expected = list(dict.fromkeys(EXPECTED[p["type"]] for p in problems if p["type"] in EXPECTED))
        one_of = "one of " if len(expected) > 1 else ""
        message = f"expected {one_of}{' or '.join(expected)}, but got {_what(given)} instead."
        return _invalid(f"Invalid type for '{param or 'body'}': {message}", "invalid_type", param)
    if kind == "literal_error":
        return _invalid(
            f"Invalid value for '{param}'. Supported values are: {context['expected']}.", "invalid_value", param
        )
    if kind in BOUNDS:
        side, sign, bound = BOUNDS[kind]
        number = "integer" if isinstance(context[bound], int) else "decimal"
        message = f"Invalid '{param}': {number} {side} value. Expected a value {sign} {context[bound]:g}."
        return _invalid(message, f"{number}_{_code(side)}_value", param)
    if kind in LENGTHS:
        side, bound = LENGTHS[kind]
        what = "string" if isinstance(given, str) else "array"
        if not given:
            message = f"Invalid '{param}': empty {what}. Expected at least {context[bound]}."
            return _invalid(message, f"empty_{what}", param)
        message = f"Invalid '{param}': {what} {side} length {context[bound]}. It has length {len(given)}."
        return _invalid(message, f"{what}_{_code(side)}_length", param)
    message = str(problem["msg"]).removeprefix("Value error, ").encode("utf-8", "replace").decode()
    code = kind if kind in OWN else "invalid_value"
    return _invalid(message if kind in OWN or not param else f"Invalid '{param}': {message}", code, param)


def _invalid(message: str, code: str, param: str) -> HttpError:
    return HttpError(400, message, code=code, param=param or None)


def _code(side: str) -> str:
    return side.replace("minimum", "min").replace("maximum", "max").replace(" ", "_")


def _what(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
    return "an object"


def _path(problem: Problem, body: Any) -> Path:
    """The place in the body, without the names that pydantic gives to the branches of a union."""
    place, *rest = problem["loc"]
    if place != "body" or problem["type"] == "json_invalid":
        return tuple(rest) if place != "body" else ()
    path: list[str | int] = []
    for n, part in enumerate(rest):
        last = n == len(rest) - 1
        if isinstance(body, list) and isinstance(part, int) and part < len(body):
            body = body[part]
        elif isinstance(body, dict) and (part in body or (last and problem["type"] == "missing")):
            body = body.get(part)
        else:
            continue
        path.append(part)
    return tuple(path)


def _name(path: Path) -> str:
    """The path as OpenAI writes it, such as messages[0].content."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")[:200].encode("utf-8", "replace").decode()
