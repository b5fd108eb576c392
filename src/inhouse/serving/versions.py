"""Releases that another version of inhouse may have made: what this version does not know is named, not ignored."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from inhouse.assembly.arms import FEW_SHOT
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.errors import ConfigError, InputError
from inhouse.types import Artifact, Json, Release, unknown_key

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
TAKEN = ("base", "custom", "production", "canary")  # names that requests and commands use


def measured(workspace: Workspace, what: str, settings: Mapping[str, Json]) -> Project:
    """The project with the settings that `what` was measured with.

    Raises:
        InputError: another version of inhouse measured it with settings that this one does not know.
    """
    sections = {name: value for name, value in settings.items() if name in Project.model_fields}
    try:
        return Project.model_validate(sections).at(workspace.project.root)
    except ValidationError as error:
        first, key = error.errors()[0], unknown_key(error)
        known = ".".join(str(part) for part in first["loc"])
        problem = f"does not know the setting {key}" if key else f"cannot use the setting {known} ({first['msg']})"
        hint = "install the version that made it, or run `inhouse build` and `inhouse release` with this one"
        raise InputError(f"{what}: this version of inhouse {problem}", hint) from error


def release_of(artifact: Artifact) -> Release:
    """The release in an artifact.

    Raises:
        InputError: it is damaged, or has something that this version of inhouse does not know.
    """
    try:
        return Release(**artifact.facts)
    except ValidationError as error:
        if key := unknown_key(error):
            problem = f"{artifact.path}: this version of inhouse does not know {key}"
            raise InputError(problem, "install the version that made it") from error
        raise InputError(f"{artifact.path}: damaged", "restore it from a backup") from error


def few_shot_rows(verdict: Artifact) -> list[Json]:
    """The examples in the prompt of the arm `prompt`, as the verdict measured it.

    Raises:
        InputError: an earlier version made the verdict.
    """
    file = Path(verdict.path) / FEW_SHOT
    if not file.is_file():
        raise InputError(f"{file}: not there", "an earlier version made the verdict; `inhouse evaluate` makes it again")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def slug(name: str) -> str:
    """A name of releases from the name of a project."""
    return "-".join(re.findall(r"[a-z0-9]+", name.casefold()))[:64] or "release"


def checked(name: str) -> str:
    """The name.

    Raises:
        ConfigError: no release may have it.
    """
    if not NAME.fullmatch(name) or name in TAKEN:
        hint = f"use lowercase letters, digits, dots and hyphens, as in support-bot; {', '.join(TAKEN)} are taken"
        raise ConfigError(f"{name!r}: invalid release name", hint)
    return name
