"""Whether arguments are those that a tool's JSON schema asks for; properties that it does not name are refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache

from inhouse.errors import ConfigError
from inhouse.schema import excess
from inhouse.text.pattern import LinearPattern
from inhouse.types import Json, canonical_json

SHOWN = 200  # characters of a reason
_OPEN = frozenset({"additionalProperties", "unevaluatedProperties"})
_UNSAFE = frozenset({"patternProperties", "$dynamicRef", "$recursiveRef"})


def check_parameters(parameters: Mapping[str, Json], tool: str) -> None:
    """
    Raises:
        ConfigError: it is not a JSON schema of an object, or has a pattern that does not run in linear time.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    hint = 'write it as { type = "object", properties = { ... } }'
    if parameters.get("type", "object") != "object":
        raise ConfigError(f"tool {tool}: its parameters are not an object", hint)
    if problem := excess(dict(parameters), "parameters"):
        raise ConfigError(f"tool {tool}: {problem}", "use a smaller schema")
    try:
        Draft202012Validator.check_schema(dict(parameters))
    except SchemaError as error:
        raise ConfigError(f"tool {tool}: not a JSON schema: {error.message[:SHOWN]}", hint) from error
    for part in _objects(dict(parameters)):
        if unsafe := sorted(_UNSAFE & part.keys()):
            raise ConfigError(f"tool {tool}: the keyword {unsafe[0]!r} is not supported", "name each property")
        pattern = part.get("pattern")
        if isinstance(pattern, str):
            try:
                LinearPattern(pattern)
            except ValueError as error:
                raise ConfigError(f"tool {tool}: the pattern {pattern[:60]!r} is not supported: {error}") from error


def problem_of(arguments: Mapping[str, Json], parameters: Mapping[str, Json]) -> str:
    """What is wrong with the arguments; "" if nothing is. The schema has passed `check_parameters`."""
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    if problem := excess(dict(arguments), "arguments"):
        return problem
    try:
        json.dumps(arguments, allow_nan=False)
    except (ValueError, TypeError) as error:
        return f"arguments: not JSON ({error})"
    try:
        found = best_match(_validator(canonical_json(dict(parameters))).iter_errors(dict(arguments)))
    except (Unresolvable, RecursionError) as failure:
        return f"the schema of the tool cannot be followed ({type(failure).__name__})"
    if found is None:
        return ""
    place = ".".join(["arguments", *map(str, found.absolute_path)])
    return f"{place}: {found.message[:SHOWN]}"


@lru_cache(maxsize=500)
def _validator(schema: str) -> Json:
    """The validator of a schema: its patterns run in linear time, and it follows no references to elsewhere."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError
    from jsonschema.validators import extend
    from referencing import Registry

    def pattern(validator: Json, wanted: str, instance: Json, schema: Json) -> Iterator[Json]:
        if isinstance(instance, str) and not LinearPattern(wanted).search(instance):
            yield ValidationError(f"does not match {wanted}")

    kind = extend(Draft202012Validator, {"pattern": pattern})
    return kind(_closed(json.loads(schema), top=True), format_checker=kind.FORMAT_CHECKER, registry=Registry())


def _closed(schema: Json, inside: bool = False, top: bool = False) -> Json:
    """The schema whose objects have no properties but those that it names, unless it says that they may.

    Args:
        inside: whether it is a part that another schema applies to the same value, such as of `allOf`.
        top: whether it is that of all arguments, which has no other properties even if it names none.
    """
    if not isinstance(schema, dict):
        return schema
    closed = dict(schema)
    names = top or bool({"properties", "allOf", "$ref"} & schema.keys())
    for key in ("properties", "$defs", "definitions"):
        if isinstance(schema.get(key), dict):  # what is referred to may be one of several parts
            closed[key] = {name: _closed(part, key != "properties") for name, part in schema[key].items()}
    for key in ("allOf", "anyOf", "oneOf", "prefixItems"):
        if isinstance(schema.get(key), list):
            part_of = key != "prefixItems" and (inside or names)
            closed[key] = [_closed(part, part_of) for part in schema[key]]
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            closed[key] = _closed(schema[key])
    if names and not inside and not _OPEN & schema.keys():
        closed["unevaluatedProperties"] = False
    return closed


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    """The objects in a schema, without recursion: also those that are no schemas, such as examples."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
