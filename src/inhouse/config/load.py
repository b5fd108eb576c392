"""Reads inhouse.toml into a Project: overrides, sizes, and errors that name file, line, and key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from inhouse.config.section import Section
from inhouse.config.sections import Project
from inhouse.errors import ConfigError

FILE = "inhouse.toml"
SIZES: dict[str, dict[str, dict[str, Any]]] = {
    "small": {"training": {"max_minutes": 8, "max_examples": 450}, "evaluation": {"max_questions": 120, "probes": 4}},
    "medium": {"training": {"max_minutes": 60, "max_examples": 2500}, "evaluation": {"max_questions": 400}},
    "large": {"training": {"max_minutes": 600}},
}
"""The keys that `size` sets. On two CPU cores, a build takes about 20 minutes, 2 hours, and half a day."""


def load_project(path: Path, overrides: dict[str, str] | None = None) -> Project:
    """Reads the project file at `path` or `path`/inhouse.toml; `overrides` maps dotted keys to TOML values.

    Raises:
        ConfigError: the file is missing or not TOML, or has an unknown key or an invalid value.
    """
    file = path / FILE if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = (
            "run this in the project's folder, name it with --project FOLDER, or start one with `inhouse init FOLDER`"
        )
        raise ConfigError(f"there is no project file {file.absolute()}", hint) from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})", "make it readable for this user") from error
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start}"
        raise ConfigError(f"{file}: not UTF-8 text ({where})", "save it as UTF-8") from error
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        hint = "check that strings have quotes and sections have [brackets]"
        raise ConfigError(f"{file}: not valid TOML: {error}", hint) from error
    for key, value in (overrides or {}).items():
        _override(data, key, value)
    return _validated(data, text, file, overrides or {})


def _override(data: dict[str, Any], key: str, value: str) -> None:
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *sections, last = key.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise ConfigError(f"--set {key}: {section} is not a section", "write --set SECTION.KEY=VALUE")
    data[last] = parsed


def _validated(data: dict[str, Any], text: str, file: Path, overrides: Collection[str]) -> Project:
    merged = dict(data)
    for section, keys in SIZES.get(str(data.get("size", "small")), {}).items():
        given = data.get(section, {})
        if isinstance(given, dict):
            merged[section] = {**keys, **given}
    try:
        project = Project.model_validate(merged)
    except ValidationError as error:
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")  # a typo explains a missing key
        loc = [str(part) for part in first["loc"]]
        named = [part for part in loc if not part.isdigit()]
        given = next((key for key in overrides if key.split(".")[: len(named)] == named[: len(key.split("."))]), "")
        where = f"--set {given}" if given else f"{file}:{line_of(text, named)}"
        raise _explained(first, named, where) from None
    return project.at(file.resolve().parent)


def _explained(first: Any, named: list[str], where: str) -> ConfigError:
    dotted, section = ".".join(named), named[0]
    if first["type"] == "extra_forbidden":
        close = difflib.get_close_matches(named[-1], known_keys(named[:-1]), n=1, cutoff=0.5)
        did = f"did you mean '{close[0]}'? " if close else ""
        page = section if len(named) > 1 else "project"
        return ConfigError(f"{where}: unknown key {dotted}", f"{did}`inhouse check --explain {page}` lists all keys")
    what = where if where.endswith(f" {dotted}") else f"{where}: {dotted}"
    return ConfigError(
        f"{what}: {first['msg']} (the value is {first['input']!r})",
        f"`inhouse check --explain {section}` describes the key",
    )


def section_class(path: list[str]) -> type[Section] | None:
    """The class of the section at `path` ([] is the project itself), None if it does not exist."""
    model: type[Section] = Project
    for name in path:
        field = model.model_fields.get(name)
        if field is None:
            return None
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [k for k in kinds if isinstance(k, type) and issubclass(k, Section)]
        if not inner:
            return None
        model = inner[0]
    return model


def known_keys(path: list[str]) -> list[str]:
    model = section_class(path)
    return list(model.model_fields) if model else []


def line_of(text: str, keys: list[str]) -> int:
    """The line of the dotted key in the TOML text, from 1; the line of its section, or 1, if it is not found."""
    header, best = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.match(r"\s*+\[\[?([^\]]+)\]", line):
            header = match.group(1).strip().replace('"', "")
            if header == ".".join(keys):
                return number
            if header == ".".join(keys[:-1]):
                best = number
        elif header == ".".join(keys[:-1]) and re.match(rf"\s*\"?{re.escape(keys[-1])}\"?\s*[=.]", line):
            return number
    return best
