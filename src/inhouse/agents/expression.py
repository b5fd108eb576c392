"""Conditions and values in procedures and approval rules: a few operators over names, never code.

`amount_usd > 100`, `len(times) == 0 and day != "Sunday"`, `booking.id`, `times[0].start`. A name that has no value is
None; comparing None in any other way than for equality is false, and so is a member of it. Python's own parser reads
the text, and only the kinds of nodes below are evaluated: no calls but `len`, no attributes of Python's objects, no
powers, no text longer than MOST_CHARS.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from inhouse.errors import ConfigError
from inhouse.types import Json

MOST_CHARS = 400
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.In: lambda a, b: a in b, ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
_COMPUTE: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
}  # fmt: skip
_SAME = (ast.Eq, ast.NotEq)


class Expression:
    """A condition or a value.

    Raises:
        ConfigError: it is not one, or uses more than is allowed.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree = _parsed(text)

    @property
    def names(self) -> frozenset[str]:
        """The names that it reads, without their members."""
        return frozenset(n.id for n in ast.walk(self._tree) if isinstance(n, ast.Name) and n.id != "len")

    def knows_all(self, names: Mapping[str, Json]) -> bool:
        """Whether every name and member that it reads has a value."""
        called = {id(n.func) for n in ast.walk(self._tree) if isinstance(n, ast.Call)}
        read = [n for n in ast.walk(self._tree) if isinstance(n, ast.Name | ast.Attribute | ast.Subscript)]
        try:
            return all(_value(n, names) is not None for n in read if id(n) not in called)
        except (TypeError, ZeroDivisionError, OverflowError):
            return False

    @property
    def looks_inside(self) -> bool:
        """Whether it reads members or items of values, any of which may be missing."""
        return any(isinstance(n, ast.Attribute | ast.Subscript) for n in ast.walk(self._tree))

    def value(self, names: Mapping[str, Json]) -> Json:
        """Its value, None where something that it needs has none."""
        try:
            return _value(self._tree, names)
        except (TypeError, ZeroDivisionError, OverflowError):  # of values that do not go together
            return None

    def holds(self, names: Mapping[str, Json]) -> bool:
        """Whether it is true; where a value is missing it is not."""
        return bool(self.value(names))


@lru_cache(maxsize=2000)
def _parsed(text: str) -> ast.expr:
    if len(text) > MOST_CHARS:
        raise ConfigError(f"{text[:40]!r}...: longer than {MOST_CHARS} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(
            f"{text!r} is not a condition", "write it as in \"amount_usd > 100 and day != 'Sunday'\""
        ) from error
    for node in ast.walk(tree):
        if not _allowed(node):
            what = type(node).__name__.lower()
            hint = "names, members, numbers, texts, len(), + - * /, comparisons, in, and, or, not"
            raise ConfigError(f"{text!r}: {what} is not allowed", hint)
    return tree


def _allowed(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=value):
            return value is None or isinstance(value, str | int | float | bool)
        case ast.Call(func=ast.Name(id="len"), args=[_], keywords=[]):
            return True
        case ast.Name() | ast.Load() | ast.Attribute() | ast.Subscript() | ast.BoolOp() | ast.Compare() | ast.List():
            return True
        case ast.And() | ast.Or() | ast.Not() | ast.USub() | ast.IfExp():
            return True
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            return True
        case ast.BinOp(op=op):
            return type(op) in _COMPUTE
    return type(node) in _COMPARE or type(node) in _COMPUTE


def _value(node: ast.expr, names: Mapping[str, Json]) -> Json:  # noqa: PLR0912 (one case for each kind of node)
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=id):
            return names.get(id)
        case ast.Attribute(value=inner, attr=name):
            return _member(_value(inner, names), name)
        case ast.Subscript(value=inner, slice=index):
            return _member(_value(inner, names), _value(index, names))
        case ast.List(elts=parts):
            return [_value(part, names) for part in parts]
        case ast.Call(args=[inner]):
            value = _value(inner, names)
            return len(value) if isinstance(value, str | list | dict) else 0
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, names) else orelse, names)
        case ast.BoolOp(op=op, values=parts):
            every = isinstance(op, ast.And)
            return all(_value(p, names) for p in parts) if every else any(_value(p, names) for p in parts)
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return not _value(inner, names)
        case ast.UnaryOp(operand=inner):
            return -_value(inner, names)
        case ast.BinOp(left=left, op=operation, right=right):
            a, b = _value(left, names), _value(right, names)
            if not (_is_number(a) and _is_number(b)):
                raise TypeError("not numbers")
            return _COMPUTE[type(operation)](a, b)
        case ast.Compare(left=left, ops=ops, comparators=others):
            return _compared(_value(left, names), ops, [_value(o, names) for o in others])
    raise TypeError(type(node).__name__)


def _compared(left: Json, ops: list[ast.cmpop], others: list[Json]) -> bool:
    for op, right in zip(ops, others, strict=True):
        if not isinstance(op, _SAME) and (right is None or (left is None and not isinstance(op, ast.In | ast.NotIn))):
            return False
        if not _COMPARE[type(op)](left, right):
            return False
        left = right
    return True


def _member(value: Json, key: Json) -> Json:
    """The member of an object, of a list, or of each object of a list; None where there is none."""
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, list) and isinstance(key, str):
        return [_member(item, key) for item in value]
    if isinstance(value, list | str) and isinstance(key, int) and -len(value) <= key < len(value):
        return value[key]
    return None


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
