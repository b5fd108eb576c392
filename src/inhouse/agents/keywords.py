"""JSON schemas as callers send them: checked, and with their references resolved.

Any keyword may be validated afterwards, but only those below say how a value is found. A schema with another keyword is
refused by name, so that nothing that a caller asks for is ignored.
"""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.errors import RefusedError
from inhouse.text.pattern import LinearPattern
from inhouse.types import Json

Schema = dict[str, Json]
FOLLOWED = frozenset(
    """type properties required additionalProperties items prefixItems minItems maxItems uniqueItems enum const anyOf
    oneOf allOf minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern format $ref
    $defs definitions""".split()  # noqa: SIM905
)
"""The keywords that decide which value is right."""
NOTES = frozenset(
    """title description default examples deprecated readOnly writeOnly $schema $id $comment strict
    discriminator""".split()  # noqa: SIM905
)
MOST_PARTS = 500  # of a schema
DEEPEST = 24  # of a value, so that a schema that refers to itself ends


def check_schema(schema: Schema, where: str) -> None:
    """Refuses a schema that is invalid, or that has a keyword which cannot be followed.

    Args:
        where: the place of the schema in the request, for the error.

    Raises:
        RefusedError: names the keyword, its place, and the reason.
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path))
        raise _refused(where, place, f"not a JSON schema: {error.message[:120]}") from error
    for count, (place, part) in enumerate(_parts(schema, "")):
        if count >= MOST_PARTS:
            raise _refused(where, place, f"the schema has more than {MOST_PARTS} parts")
        for key, value in part.items():
            if key not in FOLLOWED and key not in NOTES and not key.startswith("x-"):
                raise _refused(where, place, f"the keyword {key!r} is not supported")
            if key == "pattern":
                _check_pattern(value, where, place)
            if key == "$ref" and _target(schema, value) is None:
                raise _refused(where, place, f"$ref {value[:60]!r} does not lead to a part of this schema")


def resolved(schema: Json, root: Schema) -> Schema:
    """The schema without references and `allOf` at its top."""
    for _ in range(DEEPEST):
        if not isinstance(schema, dict):
            return {} if schema else {"enum": []}
        if "$ref" in schema:
            target = _target(root, schema["$ref"])
            schema = {
                **(target if isinstance(target, dict) else {}),
                **{k: v for k, v in schema.items() if k != "$ref"},
            }
        elif "allOf" in schema:
            merged: Schema = {k: v for k, v in schema.items() if k != "allOf"}
            for part in schema["allOf"]:
                merged = _merged(merged, resolved(part, root))
            schema = merged
        else:
            return schema
    return {"enum": []}


def types_of(schema: Schema) -> list[str]:
    """The types that the schema allows; guessed from its other keywords where it names none."""
    given = schema.get("type")
    if given is not None:
        return [given] if isinstance(given, str) else list(given)
    if "properties" in schema:
        return ["object"]
    if "items" in schema or "prefixItems" in schema:
        return ["array"]
    if {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"} & schema.keys():
        return ["number"]
    return ["string"]


def fits(value: Json, schema: Schema) -> bool:
    """Whether the value is of the schema; its patterns run in linear time."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    def pattern(validator: Json, wanted: str, instance: Json, schema: Json) -> Iterator[Json]:
        from jsonschema.exceptions import ValidationError

        if isinstance(instance, str) and not LinearPattern(wanted).search(instance):
            yield ValidationError(f"does not match {wanted}")

    kind = extend(Draft202012Validator, {"pattern": pattern})
    return bool(kind(schema, format_checker=Draft202012Validator.FORMAT_CHECKER).is_valid(value))


def _merged(one: Schema, other: Schema) -> Schema:
    merged = {**one, **other}
    for key in ("properties", "$defs"):
        if key in one and key in other:
            merged[key] = {**one[key], **other[key]}
    if "required" in one and "required" in other:
        merged["required"] = list(dict.fromkeys([*one["required"], *other["required"]]))
    return merged


def _parts(schema: Json, place: str) -> Iterator[tuple[str, Schema]]:
    """The schema and the schemas in it, with their places; not below references."""
    waiting = [(place, schema)]
    while waiting:
        place, part = waiting.pop()
        if not isinstance(part, dict):
            continue
        yield place, part
        for key in ("properties", "$defs", "definitions"):
            if isinstance(part.get(key), dict):
                waiting += [(f"{place}.{key}.{name}".lstrip("."), value) for name, value in part[key].items()]
        for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            if isinstance(part.get(key), list):
                waiting += [(f"{place}.{key}.{n}".lstrip("."), value) for n, value in enumerate(part[key])]
        for key in ("items", "additionalProperties"):
            waiting.append((f"{place}.{key}".lstrip("."), part.get(key)))


def _target(root: Schema, ref: str) -> Json:
    """The part of the schema that a reference such as "#/$defs/Fee" leads to; None where it leads to none."""
    if ref == "#":
        return root
    if not ref.startswith("#/"):
        return None
    part: Json = root
    for name in (n.replace("~1", "/").replace("~0", "~") for n in ref[2:].split("/")):
        if isinstance(part, dict) and name in part:
            part = part[name]
        elif isinstance(part, list) and name.isdigit() and int(name) < len(part):
            part = part[int(name)]
        else:
            return None
    return part


def _check_pattern(pattern: str, where: str, place: str) -> None:
    try:
        LinearPattern(pattern)
    except ValueError as error:
        raise _refused(where, place, f"the pattern {pattern[:60]!r} is not supported: {error}") from error


def _refused(where: str, place: str, reason: str) -> RefusedError:
    full = ".".join(filter(None, (where, place)))
    return RefusedError(f"{full}: {reason}", "see the supported keywords in docs/guide.md", param=full)
