"""Python functions as tools: schema, values, injected parameters, errors, and files of a project."""

import asyncio
import os

import pytest

from inhouse.agents.sources.functions import FunctionTool
from inhouse.config.acting import ToolTable
from inhouse.errors import BackendError, ConfigError
from inhouse.tools import Caller, ToolError

FILE = '''
import asyncio
import datetime as dt
import threading
import time as clock
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, Optional

from pydantic import BaseModel, Field

from inhouse.tools import Caller, ToolError

DONE = []

class Guest(BaseModel):
    name: str
    age: int | None = None

def book(day: dt.date, start: dt.time, kind: Literal["cut", "color"], guests: list[Guest], price: float = 45.0,
         note: Optional[str] = None, vip: bool = False, *, caller: Caller, key: str):
    """Book an appointment.

    It is confirmed by mail.

    Args:
        day: Day of the appointment.
        kind (str): What is done,
            in one word.

    Returns:
        The booking.
    """
    DONE.append(key)
    return {"day": day, "start": start, "kind": kind, "guests": guests[0].name, "price": Decimal("12.50"), "user": caller.user,
            "key": key, "thread": threading.current_thread() is threading.main_thread(), "types": [type(day).__name__, vip, note]}

async def slow(seconds: float):
    await asyncio.sleep(seconds)
    return "done"

def hang(seconds: float):
    clock.sleep(seconds)
    return "done"

def fails(how: str):
    if how == "tool":
        raise ToolError("the time is taken")
    if how == "value":
        raise ValueError("no such day")
    if how == "json":
        import json
        json.loads("<html>")
    if how == "exit":
        raise SystemExit(1)
    if how == "stop":
        raise StopIteration
    if how == "time":
        raise TimeoutError("of the service behind it")
    if how == "set":
        return {"times": {1, 2}}
    if how == "nan":
        return [float("nan")]
    if how == "huge":
        return "x" * 2_000_000
    raise RuntimeError("the line went dead")

async def fails_async(how: str):
    return fails(how)

def untyped(day): ...
def positional(day: str, /): ...
def many(*days: str): ...
def odd(day: threading.Lock): ...
def wrong(day: int = "Friday"): ...
def free(**more): return more
class Thing:
    def __init__(self, day: str): ...
'''


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tools.py").write_text(FILE)
    return tmp_path


@pytest.fixture
def tool(folder):
    def make(function, **rules):
        return FunctionTool(ToolTable(name="t", python=f"tools.py:{function}", **rules), folder, "[[tool]] t")

    return make


def call(tool, arguments, key="k1", caller=None):
    return asyncio.run(tool.run(arguments, key, caller or Caller(user="ann")))


BOOKING = {"day": "2026-12-02", "start": "10:30", "kind": "cut", "guests": [{"name": "Bo"}]}


def test_schema_and_description_come_from_the_function(tool):
    made = tool("book").tool
    properties = made.parameters["properties"]
    assert list(properties) == ["day", "start", "kind", "guests", "price", "note", "vip"]
    assert properties["day"] == {"type": "string", "format": "date", "description": "Day of the appointment."}
    assert properties["kind"] == {
        "type": "string",
        "enum": ["cut", "color"],
        "description": "What is done, in one word.",
    }
    assert properties["price"] == {"type": "number", "default": 45.0}
    assert properties["note"]["default"] is None
    assert made.parameters["required"] == ["day", "start", "kind", "guests"]
    assert made.parameters["additionalProperties"] is False
    assert made.parameters["$defs"]["Guest"]["required"] == ["name"]
    assert made.description == "Book an appointment. It is confirmed by mail."
    assert (made.effect, made.origin, made.approval) == ("write", "python", "never")


def test_values_have_the_types_of_the_function_and_results_are_json(tool):
    assert call(tool("book"), BOOKING) == {
        "day": "2026-12-02", "start": "10:30:00", "kind": "cut", "guests": "Bo", "price": 12.5, "user": "ann", "key": "k1",
        "thread": False, "types": ["date", False, None],
    }  # fmt: skip


@pytest.mark.parametrize("change", [
    {"day": "2026-02-30"}, {"day": 5}, {"kind": "perm"}, {"guests": [{"name": 5}]}, {"guests": [{}]}, {"price": "45"}, {"extra": 1},
    {"key": "mine"}, {"caller": {"user": "admin"}}, {"start": None}, {"vip": 1},
])  # fmt: skip
def test_arguments_that_do_not_fit_are_refused_before_the_call(tool, change):
    one = tool("book")
    with pytest.raises(ToolError):
        call(one, BOOKING | change, key=f"never {change}")
    assert f"never {change}" not in one._function.__globals__["DONE"]


def test_an_argument_is_missing(tool):
    with pytest.raises(ToolError, match="'kind' is a required property"):
        call(tool("book"), {k: v for k, v in BOOKING.items() if k != "kind"})


@pytest.mark.parametrize("function", ["fails", "fails_async"])
@pytest.mark.parametrize(("how", "kind", "said"), [
    ("tool", ToolError, "the time is taken"), ("value", ToolError, "no such day"),
    ("json", BackendError, "not known"), ("exit", BackendError, "SystemExit"), ("stop", BackendError, "not known"),
    ("time", BackendError, "of the service behind it"), ("line", BackendError, "the line went dead"),
    ("set", BackendError, "result.times is of type set"), ("nan", BackendError, r"result\[0\] is nan"), ("huge", BackendError, "2,000,002 bytes"),
])  # fmt: skip
def test_what_a_function_raises_says_whether_something_changed(tool, function, how, kind, said):
    with pytest.raises(BackendError, match=said) as caught:
        call(tool(function), {"how": how})
    assert type(caught.value) is kind
    with pytest.raises(ToolError):  # whatever fails, a read changed nothing
        call(tool(function, effect="read"), {"how": how})


@pytest.mark.parametrize("function", ["slow", "hang"])
def test_the_outcome_after_the_time_limit_is_not_known(tool, function):
    with pytest.raises(
        BackendError, match=r"no result within 0\.1 s; whether something was changed is not known"
    ) as caught:
        call(tool(function, timeout_s=0.1), {"seconds": 0.5})
    assert not isinstance(caught.value, ToolError)
    assert call(tool(function, timeout_s=5), {"seconds": 0.01}) == "done"


def test_a_hanging_function_holds_up_no_other(tool):
    one, other = tool("hang", timeout_s=0.5), tool("book")

    async def both():
        waiting = [asyncio.create_task(one.run({"seconds": 2}, "k", Caller())) for _ in range(40)]
        await asyncio.sleep(0.1)
        result = await asyncio.wait_for(other.run(BOOKING, "k", Caller()), 2)
        return result, await asyncio.gather(*waiting, return_exceptions=True)

    result, failed = asyncio.run(both())
    assert result["kind"] == "cut"
    assert all(isinstance(f, BackendError) for f in failed)


@pytest.mark.parametrize(("function", "said"), [
    ("untyped", "'day' has no type hint"), ("positional", "no name to give it by"), ("many", "no name to give it by"),
    ("odd", "has no JSON schema"), ("wrong", "default of 'day' does not fit"), ("free", "no name to give it by"),
    ("nothing", "there is no function"), ("Thing", "there is no function"), ("DONE", "there is no function"),
])  # fmt: skip
def test_what_cannot_be_a_tool_is_refused_with_its_place(tool, function, said):
    with pytest.raises(ConfigError, match=rf"^\[\[tool\]\] t: python: .*{said}"):
        tool(function)


def test_settings_may_give_the_schema(tool):
    parameters = {"day": {"type": "string", "default": "Friday"}, "n": {"type": "integer"}}
    free = tool("free", parameters=parameters)
    assert free.tool.parameters["required"] == ["n"]
    assert call(free, {"n": 2}) == {"day": "Friday", "n": 2}
    with pytest.raises(ConfigError, match=r"tools.py:hang has no parameter 'day'"):
        tool("hang", parameters=parameters)
    with pytest.raises(ConfigError, match="parameters: properties.day.type: 'text' is not valid"):
        tool("free", parameters={"day": {"type": "text"}})


def test_a_file_is_loaded_once_for_each_time_that_it_changes(folder, tool):
    first, second = tool("book"), tool("fails")
    assert first._function.__globals__ is second._function.__globals__
    file = folder / "tools.py"
    was = file.stat().st_mtime_ns
    file.write_text(FILE.replace('"cut", "color"', '"cut", "beard"'))  # of the same size
    os.utime(file, ns=(was + 1000, was + 1000))  # within the same second
    assert tool("book").tool.parameters["properties"]["kind"]["enum"] == ["cut", "beard"]
    assert not list(folder.rglob("*.pyc"))


@pytest.mark.parametrize(("python", "said"), [
    ("../tools.py:book", "outside the project"), ("link/tools.py:book", "outside the project"), ("/etc/hosts.py:book", "outside the project"),
    ("none.py:book", "there is no file"), ("bad.py:book", "SyntaxError"), ("no.module.here:book", "ModuleNotFoundError"),
    ("no_such_entry_point", "no entry point"), ("exits.py:book", "SystemExit"), ("names.py:book", "type hints cannot be read"),
])  # fmt: skip
def test_functions_that_are_not_there(tmp_path, python, said):
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "tools.py").write_text(FILE)
    (root / "link").symlink_to(tmp_path)
    (root / "bad.py").write_text("def book(:\n")
    (root / "exits.py").write_text("raise SystemExit(3)\n")
    (root / "names.py").write_text('def book(day: "Nothing"): ...\n')
    with pytest.raises(ConfigError, match=said):
        FunctionTool(ToolTable(name="t", python=python), root, "[[tool]] t")


def test_modules_and_entry_points(tmp_path, monkeypatch):
    package = tmp_path / "site"
    (package / "shop_tools-1.dist-info").mkdir(parents=True)
    (package / "shop_tools-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: shop-tools\nVersion: 1\n"
    )
    (package / "shop_tools-1.dist-info" / "entry_points.txt").write_text(
        "[inhouse.tools]\nshop.hours = shop_tools:hours\n"
    )
    (package / "shop_tools.py").write_text("def hours(day: str):\n    return f'9:00 on {day}'\n")
    monkeypatch.syspath_prepend(package)
    for python in ("shop_tools:hours", "shop.hours"):
        tool = FunctionTool(ToolTable(name="hours", python=python), tmp_path, "[[tool]] hours")
        assert call(tool, {"day": "Friday"}) == "9:00 on Friday"
