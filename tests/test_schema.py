"""Schemas of callers: which are refused, why, and how fast."""

import time

import pytest
from pydantic import ValidationError

from inhouse import schema
from inhouse.gateway.wire import ChatBody
from inhouse.schema import excess, problem


def an_object(count, required=()):
    names = [f"p{n}" for n in range(count)]
    return {"type": "object", "properties": {n: {"type": "string"} for n in names}, "required": list(required)}


def nested(depth):
    made = {"type": "string"}
    for _ in range(depth):
        made = {"type": "array", "items": made}
    return made


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (an_object(5000), "tools[0]: 128,936 bytes, at most 65,536 are allowed"),
        ({"enum": ["x" * 70_000]}, "bytes, at most 65,536 are allowed"),
        (nested(65), "nested more than 64 levels deep"),
        (nested(50_000), "nested more than 64 levels deep"),
    ],
)
def test_the_limit_and_the_place_are_named(given, said):
    assert said in excess(given, "tools[0]")
    assert excess(given, "tools[0]").startswith("tools[0]")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "string", "pattern": "^(?=a)b$"}, "look-ahead"),
        ({"type": "string", "pattern": "("}, "unclosed group"),
        ({"type": "array", "uniqueItems": True}, 'cannot follow the keywords ["uniqueItems"]'),
        ({"$ref": "#/$defs/x"}, "'/$defs/x' does not exist"),
        ({"type": "fish"}, "Invalid type: fish"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "Unsatisfiable schema"),
        ([], "schema must be an object or boolean"),
    ],
)
def test_what_the_engine_cannot_follow_is_named(given, said):
    assert said in problem(given, "response_format")
    assert "%llguidance" not in problem(given)


@pytest.mark.parametrize(
    "given",
    [
        {"type": "object"},
        True,
        {"$ref": "#/$defs/n", "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}}},
        an_object(1500),
        {"enum": [f"value {n}" for n in range(4000)]},
        {"type": "string", "pattern": "^(((a?){1,50}){1,50}){1,50}$"},
        nested(60),
    ],
)
def test_admitted_schemas_compile_quickly_and_once(given):
    assert problem(given) == ""
    started = time.perf_counter()
    assert problem(given) == ""
    assert time.perf_counter() - started < 0.2


def test_a_schema_that_takes_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(schema, "COMPILE_S", 0)
    monkeypatch.setattr(schema, "CLOCK_S", 0.01)
    assert "too complex to compile" in problem({"enum": ["only in this test"]})
    schema._compiled.cache_clear()


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("response_format", {"type": "json_schema", "json_schema": {"name": "a", "schema": an_object(5000)}}),
        ("tools", [{"type": "function", "function": {"name": "f", "parameters": nested(70)}}]),
    ],
)
def test_the_gateway_refuses_what_is_too_large(field, given):
    with pytest.raises(ValidationError, match="bytes|levels deep") as raised:
        ChatBody.model_validate({"messages": [{"role": "user", "content": "hi"}], field: given})
    assert raised.value.errors()[0]["loc"] == (field,)
