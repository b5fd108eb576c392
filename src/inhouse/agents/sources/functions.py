"""Python functions as tools: of a file in the project's folder, of an installed module, or of an entry point.

The schema of a function comes from its type hints, as pydantic reads them, and what it is for from its docstring, whose
section "Args:" describes the parameters. A parameter `caller: Caller` gets for whom the tool runs, and `key: str` the
call's key, which is the same if the call is repeated; neither is an argument that an agent gives.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import importlib.util
import inspect
import json
import logging
import re
import sys
import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from threading import Lock
from types import CodeType, ModuleType
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from inhouse.agents.sources import rules as common
from inhouse.agents.sources.results import result_of
from inhouse.agents.sources.threads import in_thread
from inhouse.config.acting import ToolTable
from inhouse.errors import BackendError, ConfigError
from inhouse.tools import Caller, Tool, ToolError
from inhouse.types import Digest, Json

log = logging.getLogger(__name__)
ENTRY_POINTS = "inhouse.tools"
INJECTED: dict[str, object] = {"caller": Caller, "key": str}
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_DESCRIBED = re.compile(r"(\w{1,64})(?: ?\([^()]{0,80}\))?: ")
_loaded: dict[tuple[Path, int], ModuleType] = {}
_loading = Lock()


class FunctionTool:
    """A tool that calls a Python function; one that is not async runs in a thread.

    Raises:
        ConfigError: there is no such function, or it cannot be a tool; the message begins with `place`.
    """

    def __init__(self, table: ToolTable, root: Path, place: str) -> None:
        at = f"{place}: python"
        self._function = _found(table.python, root, at)
        hints = _hints(self._function, at)
        self._injected = frozenset(
            n for n, kind in INJECTED.items() if n in hints.parameters and hints.types.get(n) is kind
        )
        self._from_settings = bool(table.parameters)
        self._types = _adapters(hints, self._injected, bool(table.parameters), at)
        said, about = _described(inspect.getdoc(self._function) or "")
        if table.parameters:
            schema = common.schema_of(table.parameters)
            if not hints.takes_others and (unknown := sorted(set(schema.get("properties", {})) - self._types.keys())):
                raise ConfigError(f"{place}: parameters: {table.python} has no parameter {unknown[0]!r}", "rename it")
        else:
            schema = _schema(self._types, hints.parameters, about, at)
        self.tool: Tool = common.tool_of(
            table.name, table, default="write", origin="python", place=place,
            description=table.description or said, parameters=schema,
        )  # fmt: skip

    async def run(self, arguments: Mapping[str, Json], key: Digest, caller: Caller) -> Json:
        """What the function returns.

        Raises:
            ToolError: the arguments do not fit, or the function raised a ToolError or ValueError: nothing was changed.
            BackendError: it raised anything else, took too long, or returned what is no JSON.
        """
        values = self._values(arguments) | {n: {"caller": caller, "key": key}[n] for n in self._injected}
        try:
            async with asyncio.timeout(self.tool.timeout_s) as limit:
                if inspect.iscoroutinefunction(self._function):
                    returned = await self._function(**values)
                else:
                    returned = await in_thread(lambda: self._function(**values), self.tool.name)
        except TimeoutError as error:
            if not limit.expired():
                raise self._failed(error) from error
            raise common.failure(self.tool, f"no result within {self.tool.timeout_s:g} s") from error
        except ToolError:
            raise
        except (Exception, SystemExit) as error:  # of other people's code
            raise self._failed(error) from error
        try:
            return await asyncio.to_thread(result_of, _plain(returned))
        except ValueError as error:
            raise common.failure(self.tool, f"it ended, but {error}") from error

    def _values(self, arguments: Mapping[str, Json]) -> dict[str, Any]:
        """The arguments as the types that the function has."""
        common.check_arguments(self.tool, arguments)
        values: dict[str, Any] = {}
        given = common.with_defaults(self.tool, arguments) if self._from_settings else arguments
        for name, value in given.items():
            try:
                adapter = self._types.get(name)
                values[name] = adapter.validate_json(json.dumps(value), strict=True) if adapter else value
            except ValidationError as error:
                raise ToolError(f"{self.tool.name}: {name}: {error.errors()[0]['msg']}") from error
        return values

    def _failed(self, error: BaseException) -> BackendError:
        if isinstance(error, ValueError) and not isinstance(
            error, UnicodeError | json.JSONDecodeError | ValidationError
        ):
            return ToolError(str(error) or f"{self.tool.name}: refused")
        log.warning("the tool %s failed", self.tool.name, exc_info=error)
        return common.failure(self.tool, f"{type(error).__name__}: {str(error)[: common.SHOWN]}")


class _Hints:
    """The parameters of a function and their types."""

    def __init__(self, parameters: Mapping[str, inspect.Parameter], types: Mapping[str, Any]) -> None:
        self.parameters, self.types = parameters, types

    @cached_property
    def takes_others(self) -> bool:
        return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self.parameters.values())


def _found(named: str, root: Path, at: str) -> Callable[..., Any]:
    module, colon, name = named.rpartition(":")
    if not colon:
        points = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
        if named not in points:
            hint = "write FILE.py:FUNCTION, MODULE:FUNCTION, or the name of an installed entry point"
            raise ConfigError(f"{at}: there is no entry point {named!r} in the group {ENTRY_POINTS}", hint)
        found = _imported(points[named].load, f"{at}: {named}")
    else:
        load = (
            (lambda: _of_file(root, module, at)) if module.endswith(".py") else lambda: importlib.import_module(module)
        )
        found = getattr(_imported(load, f"{at}: {module}"), name, None)
    if not callable(found) or inspect.isclass(found):
        raise ConfigError(f"{at}: there is no function {named!r}", "name a function that stands at the top of the file")
    return typing.cast("Callable[..., Any]", found)


def _imported(load: Callable[[], Any], at: str) -> Any:
    try:
        return load()
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # whatever stands in the file
        what = f"{type(error).__name__}: {str(error)[: common.SHOWN]}"
        raise ConfigError(f"{at}: cannot be loaded ({what})", "run the file with Python to see why") from error


class _Fresh(SourceFileLoader):
    """Neither reads nor leaves compiled files, which may be those of an earlier version of the same second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _of_file(root: Path, relative: str, at: str) -> ModuleType:
    """The module of a file in the project's folder, loaded once for each time that it was changed."""
    file = (root / relative).resolve()
    if not file.is_relative_to(root.resolve()):
        raise ConfigError(f"{at}: {relative} is outside the project's folder", "copy the file into the project")
    if not file.is_file():
        raise ConfigError(f"{at}: there is no file {file}", "paths are relative to the project's folder")
    with _loading:
        version = (file, file.stat().st_mtime_ns)
        if version not in _loaded:
            digest = hashlib.sha256(f"{file}\n{version[1]}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
            name = f"_inhouse_tools_{digest}"
            spec = importlib.util.spec_from_file_location(name, file, loader=_Fresh(name, str(file)))
            if spec is None or spec.loader is None:
                raise ConfigError(f"{at}: {relative} is no Python file", "name a file that ends in .py")
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module  # where dataclasses and pydantic look for the types of a module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
            _loaded[version] = module
        return _loaded[version]


def forget(root: Path) -> None:
    """Lets go of the modules of files in a folder that is not used any more."""
    with _loading:
        for version in [v for v in _loaded if v[0].is_relative_to(root.resolve())]:
            sys.modules.pop(_loaded.pop(version).__name__, None)


def _hints(function: Callable[..., Any], at: str) -> _Hints:
    try:
        return _Hints(inspect.signature(function).parameters, typing.get_type_hints(function, include_extras=True))
    except (TypeError, ValueError, NameError) as error:
        raise ConfigError(f"{at}: its type hints cannot be read ({error})", "import the types that it names") from error


def _adapters(hints: _Hints, injected: frozenset[str], has_schema: bool, at: str) -> dict[str, TypeAdapter[Any]]:
    """What reads each parameter that an agent gives."""
    found: dict[str, TypeAdapter[Any]] = {}
    for name, parameter in hints.parameters.items():
        if name in injected or (parameter.kind is inspect.Parameter.VAR_KEYWORD and has_schema):
            continue
        if parameter.kind not in _NAMED:
            raise ConfigError(f"{at}: the parameter {name!r} has no name to give it by", "give it a name and a type")
        if name not in hints.types and not has_schema:
            raise ConfigError(
                f"{at}: the parameter {name!r} has no type hint", f"write {name}: str, or set `parameters`"
            )
        try:
            found[name] = TypeAdapter(hints.types.get(name, Any))
        except (PydanticSchemaGenerationError, PydanticUserError) as error:
            what = f"{at}: the type of {name!r} has no JSON schema"
            raise ConfigError(
                what, "use str, int, float, bool, date, time, Literal, list, or a pydantic model"
            ) from error
    return found


def _schema(
    types: Mapping[str, TypeAdapter[Any]],
    parameters: Mapping[str, inspect.Parameter],
    about: Mapping[str, str],
    at: str,
) -> dict[str, Json]:
    try:
        made, shared = TypeAdapter.json_schemas([(name, "validation", one) for name, one in types.items()])
    except PydanticUserError as error:
        raise ConfigError(
            f"{at}: a type has no JSON schema ({str(error)[: common.SHOWN]})", "use plainer types"
        ) from error
    properties = {name: dict(one) for (name, _), one in made.items()}
    required = []
    for name, one in properties.items():
        default = parameters[name].default
        if name in about:
            one.setdefault("description", about[name])
        if default is inspect.Parameter.empty:
            required.append(name)
            continue
        try:
            one["default"] = types[name].dump_python(default, mode="json", warnings="error")
        except Exception as error:  # pydantic raises several kinds
            raise ConfigError(f"{at}: the default of {name!r} does not fit its type", "change one of them") from error
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return schema | ({"$defs": shared["$defs"]} if "$defs" in shared else {})


def _described(doc: str) -> tuple[str, dict[str, str]]:
    """What a docstring says of the function, and of each parameter in its section "Args:"."""
    said: list[str] = []
    about: dict[str, str] = {}
    section, last = "", ""
    for line in doc.splitlines():
        text = line.strip()
        if line == text and text in (
            "Args:",
            "Arguments:",
            "Parameters:",
            "Returns:",
            "Raises:",
            "Yields:",
            "Examples:",
        ):
            section, last = text, ""
        elif not section or (text and line == text):
            section = ""
            said.append(text)
        elif section[0] in "AP" and (named := _DESCRIBED.match(text)):
            last = named[1]
            about[last] = text[named.end() :]
        elif last and text:
            about[last] += f" {text}"
    return " ".join(filter(None, said)), about


def _plain(value: object) -> object:
    """A pydantic model as what it holds; lists of them too."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
