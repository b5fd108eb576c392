"""What holds for tools from every source: a `Tool` from its settings, its schema, and what must agree between tools."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema

from inhouse.agents.expression import Expression
from inhouse.config.acting import Above, Rules
from inhouse.errors import BackendError, ConfigError
from inhouse.schema import excess
from inhouse.tools import ALWAYS, NEVER, Effect, Runs, Tool, ToolError
from inhouse.types import Json

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
COMPARABLE = frozenset(("string", "number", "integer", "boolean", "array"))
SHOWN = 300  # characters of what failed


def tool_of(
    name: str, rules: Rules, *, default: Effect, origin: str, description: str, parameters: dict[str, Json], place: str
) -> Tool:
    """The tool with these rules; `default` is its effect where the rules say nothing, `place` where they stand.

    Raises:
        ConfigError: the name or the schema is not valid; the message begins with the place.
    """
    if not NAME.fullmatch(name):
        hint = "a name has letters, digits, _ and -, begins with a letter, and is at most 64 characters long"
        raise ConfigError(f"{place}: {name!r} is not a valid tool name", hint)
    if problem := _problem(parameters):
        raise ConfigError(f"{place}: parameters: {problem}", "write a JSON schema of an object, or its properties")
    approval = rules.approval.above if isinstance(rules.approval, Above) else rules.approval
    return Tool(
        name=name, description=description, parameters=parameters, effect=rules.effect or default,
        idempotent=rules.idempotent, approval=approval, check=rules.check, undo=rules.undo,
        groups=frozenset(rules.groups), roles=frozenset(rules.roles), timeout_s=rules.timeout_s, origin=origin,
    )  # fmt: skip


def schema_of(given: Mapping[str, Any]) -> dict[str, Json]:
    """The schema of an object from the key `parameters`, which has it, or its properties.

    Where it does not say so otherwise, arguments are required unless they have a default, and others are refused.
    """
    whole = given.get("type") == "object" or isinstance(given.get("$defs"), dict)
    schema: dict[str, Any] = dict(given) if whole else {"properties": dict(given)}
    properties = schema.get("properties", {})
    if isinstance(properties, dict):
        needed = [name for name, one in properties.items() if not (isinstance(one, dict) and "default" in one)]
        schema.setdefault("required", needed)
    return {"type": "object", "additionalProperties": False, **schema}


def _problem(schema: dict[str, Json]) -> str:
    """What is wrong with a schema of arguments; "" if nothing is."""
    if too_large := excess(schema, "the schema"):
        return too_large
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        return f"{'.'.join(map(str, error.absolute_path)) or 'the schema'}: {error.message[:SHOWN]}"
    return "" if schema.get("type") == "object" else "the schema is not of an object"


def with_defaults(tool: Tool, arguments: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments, and the defaults of those that are not given."""
    properties = tool.parameters.get("properties", {})
    given = {name: one["default"] for name, one in properties.items() if isinstance(one, dict) and "default" in one}
    return {**given, **arguments}


def check_arguments(tool: Tool, arguments: Mapping[str, Json]) -> None:
    """
    Raises:
        ToolError: they do not fit the tool's schema.
    """
    try:
        json.dumps(dict(arguments), ensure_ascii=False).encode()
    except ValueError as error:
        raise ToolError(f"{tool.name}: an argument has half of a character (a lone surrogate)") from error
    wrong = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(dict(tool.parameters)).iter_errors(dict(arguments))
    )
    if wrong:
        where = ".".join(map(str, wrong.absolute_path))
        raise ToolError(f"{tool.name}: {where + ': ' if where else ''}{wrong.message[:SHOWN]}")


def failure(tool: Tool, what: str) -> BackendError:
    """The error of a call whose outcome is not known: a read that fails has changed nothing all the same."""
    if tool.effect == "read":
        return ToolError(f"{tool.name}: {what}")
    return BackendError(f"{tool.name}: {what}; whether something was changed is not known")


def joined(sources: Iterable[tuple[str, Runs]]) -> dict[str, Runs]:
    """All tools by name; each comes with the place in the settings that it is from.

    Raises:
        ConfigError: two have the same name, or a rule names a tool or an argument that does not fit.
    """
    found: dict[str, Runs] = {}
    places: dict[str, str] = {}
    for place, runs in sources:
        name = runs.tool.name
        if name in found:
            raise ConfigError(f"{place}: {places[name]} is a tool with the name {name!r} too", "rename one of them")
        found[name], places[name] = runs, place
    for name, runs in found.items():
        _check_rules(runs.tool, found, places[name])
    return found


def _check_rules(tool: Tool, tools: Mapping[str, Runs], place: str) -> None:
    for key, other in (("check", tool.check), ("undo", tool.undo)):
        if other and other not in tools:
            raise ConfigError(f"{place}: {key}: there is no tool {other!r}", suggested(other, tools, "tools"))
        if other == tool.name:
            raise ConfigError(f"{place}: {key}: names the tool itself", "name another tool")
    if tool.check and tools[tool.check].tool.effect != "read":
        hint = 'a check is asked after a crash and must not change anything; set effect = "read" for a tool that reads'
        raise ConfigError(f"{place}: check: {tool.check!r} is a tool that writes", hint)
    if tool.check:
        check = tools[tool.check].tool.parameters
        if missing := sorted(set(check.get("required", ())) - set(tool.parameters.get("properties", {}))):
            hint = "a check gets the arguments of the call"
            raise ConfigError(
                f"{place}: check: {tool.check!r} needs {', '.join(missing)}, which {tool.name!r} has not", hint
            )
    if tool.approval not in (NEVER, ALWAYS):
        _check_condition(tool, place)


def _check_condition(tool: Tool, place: str) -> None:
    """An approval's condition must not be false only because something that it reads is missing.

    Raises:
        ConfigError: it is no condition, or reads what may be missing.
    """
    at = f"{place}: approval: {tool.approval!r}"
    try:
        condition = Expression(tool.approval)
    except ConfigError as error:
        raise ConfigError(f"{place}: approval: {error}", error.hint) from error
    if condition.looks_inside:
        raise ConfigError(
            f"{at} reads members of an argument, which may be missing", 'use a plain argument, or "always"'
        )
    properties = tool.parameters.get("properties", {})
    for name in sorted(condition.names):
        if name not in properties:
            raise ConfigError(f"{at}: the tool has no parameter {name!r}", suggested(name, properties, "parameters"))
        if name not in tool.parameters.get("required", ()):
            hint = 'make it required, or set approval = "always": a call without it would need no approval'
            raise ConfigError(f"{at}: the parameter {name!r} may be missing", hint)
        if not _comparable(properties[name]):
            hint = "give it one type: string, number, integer, boolean, or array"
            raise ConfigError(f"{at}: the parameter {name!r} may have values that cannot be compared", hint)
    if not isinstance(condition.value({name: _some(properties[name]) for name in condition.names}), bool):
        raise ConfigError(
            f"{at} compares values that do not go together", "compare numbers with numbers, texts with texts"
        )


def _some(schema: Mapping[str, Any]) -> Json:
    """A value that the schema may have."""
    if "enum" in schema or "const" in schema:
        return schema["enum"][0] if "enum" in schema else schema["const"]
    return {"string": "", "boolean": False, "array": []}.get(schema["type"], 1)


def _comparable(schema: Json) -> bool:
    if not isinstance(schema, dict):
        return False
    values = schema.get("enum", [schema["const"]] if "const" in schema else [None])
    return schema.get("type") in COMPARABLE or not any(value is None or isinstance(value, dict) for value in values)


def suggested(name: str, known: Iterable[str], what: str) -> str:
    """A hint: the nearest known name, and some of the others."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    some = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return (f"did you mean {close[0]!r}? " if close else "") + (f"{what}: {some}" if names else f"there are no {what}")
