"""The JSON schema of "one of these tools with its arguments, or none": who follows it can only make valid calls.

Texts, lists, and numbers get bounds where the tool sets none, so that a weak model that repeats itself still ends its
call, and within the tokens that it has.
"""

from __future__ import annotations

from collections.abc import Mapping

from inhouse.types import Json

NONE = "none"
"""Says that no tool fits; a tool cannot have this name here."""
MOST_CHARS = 200  # of a text
MOST_ITEMS = 10  # of a list
LARGEST = 10**12  # of a number
MOST_ANY = 5  # members of an object, or of a value of any kind, that the tool does not describe
_NOT_FOLLOWED = ("default", "description", "title", "examples", "example", "optional", "format")


def call_schema(tools: Mapping[str, Json]) -> dict[str, Json]:
    """The schema of {"tool": NAME, "arguments": {...}} for each tool, by name with the schema of its parameters, or
    {"tool": "none"}."""
    calls: list[Json] = [
        _closed({"tool": {"const": name}, "arguments": bounded(parameters)}) for name, parameters in tools.items()
    ]
    return {"anyOf": [*calls, _closed({"tool": {"const": NONE}})]}


def bounded(schema: Json) -> Json:
    """A schema that allows no more than the given one, and nothing of unlimited length.

    What only describes values is left out; the engine does not need it. `$ref` and what else it does not know is kept
    as it is.
    """
    if not isinstance(schema, dict) or not schema:
        return {"type": ["string", "number", "boolean"], **_bounds("string"), **_bounds("number")}
    made = {key: value for key, value in schema.items() if key not in _NOT_FOLLOWED}
    for key in ("anyOf", "oneOf", "allOf"):
        if key in made:
            return {**made, key: [bounded(part) for part in made[key]]}
    if "enum" in made or "const" in made or "$ref" in made:
        return made
    kinds = made.get("type")
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        made = {**_bounds(str(kind)), **made}
    if "items" in made or "array" in (kinds or ()):
        made["items"] = bounded(made.get("items"))
    if isinstance(made.get("properties"), dict):
        made["properties"] = {name: bounded(part) for name, part in made["properties"].items()}
        made["additionalProperties"] = False
    elif kinds == "object":
        given = made.get("additionalProperties")
        made["additionalProperties"] = bounded(given if isinstance(given, dict) else {})
        made["maxProperties"] = MOST_ANY
    return made


def _bounds(kind: str) -> dict[str, Json]:
    match kind:
        case "string":
            return {"maxLength": MOST_CHARS}
        case "array":
            return {"maxItems": MOST_ITEMS}
        case "number" | "integer":
            return {"minimum": -LARGEST, "maximum": LARGEST}
    return {}


def _closed(properties: dict[str, Json]) -> dict[str, Json]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
