"""An OpenAPI 3.0 or 3.1 description as operations: the name, the JSON schema, and where each argument goes.

An operation's parameters and the properties of its JSON body become one flat object of arguments, so that a rule can
name each; a body of another shape is one argument, "body". References are followed within the file alone. Rules come
from the settings: what a description says of effects or approvals is ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, cast
from urllib.parse import unquote, urlsplit

from inhouse.agents.sources.rules import suggested
from inhouse.config.acting import OpenApi
from inhouse.errors import ConfigError
from inhouse.types import Json

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
READS = frozenset(("GET", "HEAD", "OPTIONS"))
MOST_BYTES = 5_000_000  # of a description
MOST_REFS = 20  # in a row, from reference to reference
MOST_DEPTH = 64
DESCRIPTION_CHARS = 1000
BODY = "body"
KEY_HEADER = "Idempotency-Key"
IGNORED = frozenset(("accept", "content-type", "authorization", KEY_HEADER.lower()))
"""Headers that are not arguments: of OpenAPI's own choice, and the key, which every write has."""
REFUSED = frozenset("host content-length transfer-encoding connection cookie upgrade te trailer expect".split())  # noqa: SIM905
_JSON_TYPE = re.compile(r"application/(?:[\w.+-]{1,60}\+)?json(?:\s{0,3};.*)?", re.IGNORECASE | re.DOTALL)
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_HOLE = re.compile(r"\{([^{}]{1,80})\}")
_MIXED = frozenset(("allOf", "anyOf", "oneOf", "not", "patternProperties", "if"))
_DROPPED = frozenset(
    ("nullable", "example", "examples", "discriminator", "xml", "externalDocs", "readOnly", "writeOnly")
)
Place = Literal["path", "query", "header"]


class Argument(NamedTuple):
    """A parameter of an operation and how its value is written."""

    name: str
    place: Place
    style: str = "form"
    explode: bool = True
    as_json: bool = False


class Operation(NamedTuple):
    """An operation.

    Attributes:
        id: as the settings name it.
        path: with {name} for each argument of the path.
        body: the arguments that are properties of the JSON body; BODY alone for one that is not flat.
    """

    id: str
    method: str
    path: str
    description: str
    parameters: dict[str, Json]
    arguments: tuple[Argument, ...]
    body: tuple[str, ...]


def read(settings: OpenApi, root: Path, at: str) -> tuple[str, list[Operation]]:
    """The base URL and the operations of a description that the settings choose.

    Raises:
        ConfigError: the file is no such description, or uses what is not supported; the message begins with `at`.
    """
    file = (root / settings.description).resolve()
    if not file.is_relative_to(root.resolve()):
        raise ConfigError(f"{at}: description: {file} is outside the project's folder", "copy it into the project")
    document = _Document(_parsed(file, f"{at}: description"), f"{at}: {settings.description}")
    found: dict[str, _Found] = {}
    for one in _operations(document):
        if one.id in found:
            raise ConfigError(f"{document.at}: two operations have the ID {one.id!r}", "correct the description")
        found[one.id] = one
    for key, names in (("operations", settings.operations), ("rules", tuple(settings.rules))):
        for name in names:
            if name not in found:
                raise ConfigError(f"{at}: {key}: there is no operation {name!r}", suggested(name, found, "operations"))
    chosen = settings.operations or tuple(found)
    return _base_url(settings, document, at), [_operation(document, found[name]) for name in dict.fromkeys(chosen)]


def _parsed(file: Path, at: str) -> Mapping[str, Json]:
    try:
        if file.stat().st_size > MOST_BYTES:
            raise ConfigError(
                f"{at}: {file} is larger than {MOST_BYTES:,} bytes", "remove operations that you do not use"
            )
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{at}: {file} cannot be read ({error.strerror})", "paths are relative to the project"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{at}: {file} is not UTF-8 text", "save it as UTF-8") from error
    try:
        if file.suffix in (".yaml", ".yml"):
            import yaml

            data = yaml.safe_load(text)
        else:
            data = json.loads(text)
    except Exception as error:  # parsers raise various errors, RecursionError too
        raise ConfigError(f"{at}: {file}: {str(error)[:300]}", "an OpenAPI description is JSON or YAML") from error
    if not isinstance(data, dict) or not str(data.get("openapi", "")).startswith(("3.0", "3.1")):
        raise ConfigError(f"{at}: {file} is no OpenAPI 3.0 or 3.1 description", 'it begins with "openapi: 3.1.0"')
    return data


class _Document:
    """A description, and what its references name."""

    def __init__(self, data: Mapping[str, Json], at: str) -> None:
        self.data, self.at = data, at

    def resolved(self, value: Json) -> Mapping[str, Json]:
        """An object, or what it refers to."""
        for _ in range(MOST_REFS):
            if not isinstance(value, dict):
                raise ConfigError(f"{self.at}: {str(value)[:80]!r} is no object", "correct the description")
            if not isinstance(value.get("$ref"), str):
                return value
            value = self.at_pointer(value["$ref"])
        raise ConfigError(f"{self.at}: references lead in a circle", "correct the description")

    def at_pointer(self, ref: str) -> Json:
        if not ref.startswith("#/"):
            hint = "only references within the file are followed; bundle the description into one file"
            raise ConfigError(f"{self.at}: {ref!r} refers to another file or address", hint)
        value: Json = self.data
        for part in ref[2:].split("/"):
            name = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
                value = value[int(name)]
            else:
                raise ConfigError(f"{self.at}: {ref!r} refers to nothing", "correct the description")
        return value


class _Schemas:
    """Writes schemas of a description as JSON schemas; what they refer to is collected in `defs`."""

    def __init__(self, document: _Document) -> None:
        self._document = document
        self.defs: dict[str, Json] = {}
        self._names: dict[str, str] = {}

    def written(self, schema: Json, depth: int = 0) -> Json:
        if depth > MOST_DEPTH:
            raise ConfigError(f"{self._document.at}: a schema is nested more than {MOST_DEPTH} levels deep")
        if not isinstance(schema, dict):
            return schema if isinstance(schema, bool) else {}
        if isinstance(schema.get("$ref"), str):
            return {"$ref": self._reference(schema["$ref"], depth)}
        found = {key: self._value(key, value, depth) for key, value in schema.items() if key not in _DROPPED}
        for key in ("Minimum", "Maximum"):  # of OpenAPI 3.0, where they are switches
            exclusive = f"exclusive{key}"
            if isinstance(found.get(exclusive), bool) and found.pop(exclusive) and key.lower() in found:
                found[exclusive] = found.pop(key.lower())
        if isinstance(properties := schema.get("properties"), dict):
            kept = {name for name, one in properties.items() if not (isinstance(one, dict) and one.get("readOnly"))}
            found["properties"] = {name: one for name, one in found["properties"].items() if name in kept}
            found["required"] = [name for name in schema.get("required", ()) if name in kept or name not in properties]
        if schema.get("nullable") is True and isinstance(found.get("type"), str):
            found["type"] = [found["type"], "null"]
            if isinstance(found.get("enum"), list) and None not in found["enum"]:
                found["enum"] = [*found["enum"], None]
        return {key: value for key, value in found.items() if not key.startswith("x-")}

    def _value(self, key: str, value: Json, depth: int) -> Json:
        if key in ("properties", "patternProperties", "$defs") and isinstance(value, dict):
            return {name: self.written(one, depth + 1) for name, one in value.items()}
        if key in ("allOf", "anyOf", "oneOf", "prefixItems") and isinstance(value, list):
            return [self.written(one, depth + 1) for one in value]
        if key in ("items", "not", "additionalProperties", "if", "then", "else", "contains", "propertyNames"):
            return self.written(value, depth + 1)
        return value

    def _reference(self, ref: str, depth: int) -> str:
        if ref not in self._names:
            name = _NO_NAME.sub("_", ref.rpartition("/")[2]) or "schema"
            while name in self.defs:
                name += "_"
            self._names[ref], self.defs[name] = name, {}
            self.defs[name] = self.written(self._document.at_pointer(ref), depth + 1)
        return f"#/$defs/{self._names[ref]}"


class _Found(NamedTuple):
    """An operation as it stands in a description; `shared` are the parameters of its path."""

    id: str
    method: str
    path: str
    object: Mapping[str, Json]
    shared: tuple[Json, ...]


def _operations(document: _Document) -> Iterator[_Found]:
    for path, item in document.resolved(document.data.get("paths") or {}).items():
        if not path.startswith("/"):
            continue
        methods = document.resolved(item)
        for method in METHODS:
            if method in methods:
                operation = document.resolved(methods[method])
                name = operation.get("operationId") or _NO_NAME.sub("_", f"{method}{path}").strip("_")
                yield _Found(str(name), method.upper(), path, operation, tuple(methods.get("parameters") or ()))


def _operation(document: _Document, found: _Found) -> Operation:
    at = f"{document.at}: {found.id}"
    schemas = _Schemas(document)
    properties: dict[str, Json] = {}
    required: list[str] = []
    arguments = []
    for parameter in _parameters(document, found):
        argument, needed = _argument(parameter, at), bool(parameter.get("required"))
        if argument is None:
            continue
        if argument.name in properties:
            raise ConfigError(f"{at}: two parameters have the name {argument.name!r}", "rename one in the description")
        content: Json = next(iter((parameter.get("content") or {}).values()), {})
        schema = schemas.written(content.get("schema") if argument.as_json else parameter.get("schema"))
        about = {"description": parameter["description"]} if parameter.get("description") else {}
        properties[argument.name] = about | (schema if isinstance(schema, dict) else {})
        required += [argument.name] if needed or argument.place == "path" else []
        arguments.append(argument)
    if unknown := set(_HOLE.findall(found.path)) - {a.name for a in arguments if a.place == "path"}:
        raise ConfigError(
            f"{at}: the path has {sorted(unknown)[0]!r}, which is no parameter", "correct the description"
        )
    body = _body(document, found, schemas, properties, required, at)
    whole = {"type": "object", "properties": {name: _plain(one, schemas.defs) for name, one in properties.items()},
             "required": list(dict.fromkeys(required)), "additionalProperties": False}  # fmt: skip
    said = " ".join(str(found.object.get(key) or "") for key in ("summary", "description")).split()
    return Operation(
        found.id, found.method, found.path, " ".join(said)[:DESCRIPTION_CHARS],
        whole | ({"$defs": schemas.defs} if schemas.defs else {}), tuple(arguments), body,
    )  # fmt: skip


def _parameters(document: _Document, found: _Found) -> list[Mapping[str, Json]]:
    """Those of the path and of the operation, which take the place of the path's."""
    both = [document.resolved(one) for one in (*found.shared, *(found.object.get("parameters") or ()))]
    return list({(one.get("name"), one.get("in")): one for one in both}.values())


def _argument(parameter: Mapping[str, Json], at: str) -> Argument | None:
    """How a parameter is written; None for one that is no argument."""
    name, place = str(parameter.get("name", "")), parameter.get("in")
    if place == "cookie" and not parameter.get("required"):
        return None
    if place == "header" and name.lower() in IGNORED:
        return None
    if place not in ("path", "query", "header") or (place == "header" and name.lower() in REFUSED):
        hint = "leave the operation out: name those that are tools in `operations`"
        raise ConfigError(f"{at}: the parameter {name!r} in {place} is not supported", hint)
    style = parameter.get("style") or ("form" if place == "query" else "simple")
    if style not in ("form", "simple", "deepObject", "spaceDelimited", "pipeDelimited"):
        raise ConfigError(f"{at}: the parameter {name!r} has the style {style!r}, which is not supported", "use form")
    explode = bool(parameter.get("explode", style in ("form", "deepObject")))
    return Argument(name, cast("Place", place), style, explode, bool(parameter.get("content")))


def _body(
    document: _Document, found: _Found, schemas: _Schemas, properties: dict[str, Json], required: list[str], at: str
) -> tuple[str, ...]:
    """Adds the arguments of the JSON body; the names of its properties, or BODY for one that is not flat."""
    if "requestBody" not in found.object:
        return ()
    request = document.resolved(found.object["requestBody"])
    kinds = request.get("content") or {}
    kind = next((k for k in kinds if _JSON_TYPE.fullmatch(k)), None)
    if kind is None:
        hint = "leave the operation out: name those that are tools in `operations`"
        raise ConfigError(f"{at}: its body is {', '.join(kinds) or 'empty'}; only JSON is supported", hint)
    schema = kinds[kind].get("schema") or {}
    plain = document.resolved(schema)
    inner = plain.get("properties")
    flat = plain.get("type", "object") == "object" and isinstance(inner, dict) and not _MIXED.intersection(plain)
    if flat and inner and properties.keys().isdisjoint(inner):
        written = schemas.written(plain)
        properties |= written["properties"]
        required += written["required"]
        return tuple(written["properties"])
    if BODY in properties:
        raise ConfigError(f"{at}: a parameter has the name {BODY!r}, as the body has", "rename it in the description")
    properties[BODY] = schemas.written(schema)
    required += [BODY] if request.get("required") else []
    return (BODY,)


def _plain(schema: Json, defs: Mapping[str, Json]) -> Json:
    """The schema of an argument with what it refers to written out, so that rules can see its type."""
    for _ in range(MOST_REFS):
        if not (isinstance(schema, dict) and "$ref" in schema):
            break
        target = defs[schema["$ref"].removeprefix("#/$defs/")]
        schema = (target if isinstance(target, dict) else {}) | {k: v for k, v in schema.items() if k != "$ref"}
    return schema


def _base_url(settings: OpenApi, document: _Document, at: str) -> str:
    """Without a slash at its end."""
    url = settings.url
    if not url and (servers := document.data.get("servers")):
        server = document.resolved(servers[0])
        variables = server.get("variables") or {}
        url = _HOLE.sub(lambda hole: str((variables.get(hole[1]) or {}).get("default", "")), str(server.get("url", "")))
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ConfigError(
            f"{at}: url: {url!r} is no base URL", "set url to that of the service, as in https://crm.example/v1"
        )
    return url.rstrip("/")
