"""Whether what a procedure passes to a tool can fit the tool's schema, as far as that can be read from both."""

from __future__ import annotations

from inhouse.agents.expression import Expression
from inhouse.agents.procedure import HOLE, Procedure, Slot
from inhouse.errors import ConfigError
from inhouse.types import Json

_JSON_TYPE = {"number": "number", "integer": "integer", "money": "number", "boolean": "boolean"}
_WORDS = {
    "number": "a number", "integer": "a whole number", "boolean": "true or false", "string": "a text",
    "array": "a list", "object": "an object", "null": "nothing",
}  # fmt: skip


def misfit(procedure: Procedure, value: Json, schema: Json) -> str:
    """Why an argument cannot fit a parameter's schema; "" if it can, or if that is not known before it is called."""
    if not isinstance(schema, dict):
        return ""
    if isinstance(value, str) and "{" in value:
        return _misfit_of_text(procedure, value, schema)
    if isinstance(value, dict | list | tuple) and "{" in str(value):
        kind = "object" if isinstance(value, dict) else "array"
        return _misfit_of_type({kind}, schema)
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError:
        return ""  # the tool's fault
    if "$ref" in str(schema):
        return ""  # refers to what is not at hand
    plain = list(value) if isinstance(value, tuple) else value
    error = next(iter(Draft202012Validator(schema).iter_errors(plain)), None)
    return error.message[:200] if error else ""


def _misfit_of_text(procedure: Procedure, value: str, schema: dict[str, Json]) -> str:
    only = HOLE.fullmatch(value)
    if not only:
        return _misfit_of_type({"string"}, schema)
    try:
        expression = Expression(only[1])
    except ConfigError:
        return ""  # reported where names are read
    slot = procedure.slots.get(expression.text.strip())
    if slot is None:
        return _misfit_of_type({"integer"}, schema) if expression.text.strip().startswith("len(") else ""
    if slot.choices_from:
        return ""
    if slot.type == "choice" and slot.choices and "enum" in schema:
        odd = [choice for choice in slot.choices if choice not in schema["enum"]]
        return f"{', '.join(odd)}: the tool does not take this choice" if odd else ""
    return _misfit_of_type({_json_type(slot)}, schema)


def _json_type(slot: Slot) -> str:
    return _JSON_TYPE.get(slot.type, "string")


def _misfit_of_type(given: set[str], schema: dict[str, Json]) -> str:
    wanted = _types(schema)
    if not wanted or given & wanted or (given == {"integer"} and "number" in wanted):
        return ""
    if given == {"number"} and "integer" in wanted:
        return ""  # some numbers are whole
    takes = " or ".join(_WORDS.get(name, name) for name in sorted(wanted))
    return f"it takes {takes}, and gets {' or '.join(_WORDS[name] for name in sorted(given))}"


def _types(schema: dict[str, Json]) -> set[str]:
    """The JSON types that a schema names; empty if it names none."""
    if "type" in schema:
        return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    if "enum" in schema or "const" in schema:
        return {_type_of(value) for value in schema.get("enum", [schema.get("const")])}
    for key in ("anyOf", "oneOf"):
        inner = [_types(part) if isinstance(part, dict) else set() for part in schema.get(key, ())]
        if inner and all(inner):
            return set().union(*inner)
    return set()


def _type_of(value: Json) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"
