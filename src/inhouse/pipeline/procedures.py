"""Procedures of files: checked against the project's tools, drawn, and imported from other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from inhouse.agents.check import Problem, problems
from inhouse.agents.page import Imported, page
from inhouse.agents.procedure import Procedure, read_procedure
from inhouse.agents.rasa import rasa_procedures
from inhouse.agents.star import star_folders, star_procedure
from inhouse.assembly.tools import tools_of
from inhouse.config.load import FILE, load_project
from inhouse.errors import ConfigError, InputError
from inhouse.files import write_text
from inhouse.tools import Tool
from inhouse.types import Digest, Record

SOURCES = ("star", "rasa")


class Checked(Record):
    """A file with a procedure, its digest, and what is wrong with it."""

    file: str
    name: str = ""
    version: int = 0
    procedure: Digest = ""
    states: int = 0
    problems: tuple[Problem, ...] = ()

    @property
    def errors(self) -> int:
        return sum(problem.severity == "error" for problem in self.problems)


class Written(Record):
    """A procedure that was imported into a file, with notes on what a person has to look at."""

    file: str
    name: str
    states: int
    notes: tuple[str, ...] = ()


def project_tools(project: Path) -> Mapping[str, Tool] | None:
    """The tools of the project by name; None where there is no project."""
    file = project if project.suffix == ".toml" else project / FILE
    if not file.is_file():
        return None
    return {name: runs.tool for name, runs in tools_of(load_project(project, {})).items()}


def checked(files: Sequence[Path], tools: Mapping[str, Tool] | None) -> list[Checked]:
    """Checks each file; one that is no procedure has its error as a problem.

    Raises:
        InputError: a file cannot be read.
    """
    return [_checked(file, tools) for file in files]


def _checked(file: Path, tools: Mapping[str, Tool] | None) -> Checked:
    try:
        procedure = read_procedure(file)
    except ConfigError as error:
        text = str(error).removeprefix(f"{file}: ")
        return Checked(file=str(file), problems=(Problem(severity="error", kind="no procedure", text=text),))
    return Checked(
        file=str(file), name=procedure.name, version=procedure.version, procedure=procedure.digest,
        states=len(procedure.states), problems=tuple(problems(procedure, tools)),
    )  # fmt: skip


def imported(place: Path, source: str) -> list[Imported]:
    """The procedures of a file or folder of another program.

    Raises:
        InputError: there are none, or a file cannot be read.
    """
    if source not in SOURCES:
        raise ConfigError(f"--from {source}: unknown", f"use one of {', '.join(SOURCES)}")
    if not place.exists():
        raise InputError(f"{place}: does not exist", "name a folder or file")
    if source == "rasa":
        return rasa_procedures(place)
    folders = list(star_folders(place)) if place.is_dir() else []
    if not folders:
        raise InputError(f"{place}: no procedures of STAR", "name the folder `procedures`, or one of its folders")
    return [star_procedure(folder) for folder in folders]


def write_imported(found: Sequence[Imported], out: Path) -> list[Written]:
    """Writes each procedure as a page of TOML: to `out` if that is a .toml file, else into the folder `out`.

    Raises:
        ConfigError: `out` is a file, and there are several procedures; or a page is there already.
    """
    if out.suffix == ".toml" and len(found) > 1:
        raise ConfigError(f"{out}: one file for {len(found)} procedures", "name a folder with -o")
    files = [out if out.suffix == ".toml" else out / f"{_file_name(one.procedure)}.toml" for one in found]
    for file in files:
        if file.exists():
            raise ConfigError(f"{file}: is there already", "name another file or folder with -o")
    for one, file in zip(found, files, strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, page(one.procedure, one.notes))
    return [
        Written(file=str(file), name=one.procedure.name, states=len(one.procedure.states), notes=one.notes)
        for one, file in zip(found, files, strict=True)
    ]


def _file_name(procedure: Procedure) -> str:
    return "".join(c if c.isalnum() or c in "_-" else "_" for c in procedure.name) or "procedure"
