"""The commands of procedures: check, draw, import. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, print_json, tell

if TYPE_CHECKING:
    from inhouse.pipeline.procedures import Checked

procedure_app = typer.Typer(no_args_is_help=True, help="Procedures of agents: check, draw, import.")
STYLES = {"error": "red", "warning": "yellow"}


@procedure_app.command("check")
def procedure_check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Procedures, TOML or YAML.")],
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with procedures: unreachable states, missing slots, endless loops, unsafe tool calls.

    In the folder of a project, the calls are checked against its tools. Exits with 5 if there are errors; warnings
    alone do not fail.
    """
    from inhouse.pipeline.procedures import checked, project_tools

    tools = project_tools(project)
    if tools is None:
        tell("The tools are not known outside of a project; calls are not checked", as_json)
    results = checked(files, tools)
    if as_json:
        print_json([{**r.model_dump(mode="json"), "errors": r.errors} for r in results])
    else:
        for result in results:
            _show(result)
    if any(result.errors for result in results):
        raise typer.Exit(5)


def _show(result: Checked) -> None:
    from inhouse.cli.terminal import print_line

    warnings = len(result.problems) - result.errors
    counts = ", ".join(
        f"{count} {word}{'' if count == 1 else 's'}"
        for count, word in ((result.errors, "error"), (warnings, "warning"))
        if count
    )
    about = f"{result.name} version {result.version}, digest {result.procedure[:12]}, " if result.name else ""
    print_line(f"{result.file}: {about}{counts or 'no problems'}", "bold")
    for problem in result.problems:
        place = f"{problem.state}: " if problem.state else ""
        print_line(f"  {problem.severity:<7} {place}{problem.text}", STYLES[problem.severity])


@procedure_app.command("draw")
def procedure_draw(
    file: Annotated[Path, typer.Argument(help="A procedure, TOML or YAML.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The SVG file to write. Default: beside FILE.")
    ] = None,
    at: Annotated[str, typer.Option(help="Highlight this state.")] = "",
) -> None:
    """Draw a procedure as a picture of its states (SVG)."""
    from inhouse.agents.draw import svg
    from inhouse.agents.procedure import read_procedure
    from inhouse.cli.terminal import print_line
    from inhouse.errors import ConfigError
    from inhouse.files import write_text

    procedure = read_procedure(file)
    if at and at not in procedure.by_name:
        raise ConfigError(f"--at {at}: no such state", f"use one of {', '.join(procedure.by_name)}")
    target = out or file.with_suffix(".svg")
    write_text(target, svg(procedure, at))
    print_line(f"Drew {len(procedure.states)} states of {procedure.name} to {target}")


@procedure_app.command("import")
def procedure_import(
    place: Annotated[Path, typer.Argument(metavar="FOLDER_OR_FILE", help="What to import.")],
    source: Annotated[str, typer.Option("--from", help="star (folders of STAR) or rasa (flows of CALM).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to, or a .toml file for one procedure.")],
    as_json: AsJson = False,
) -> None:
    """Turn procedures of another program into pages of TOML, with notes on what to fill in.

    What cannot be translated is listed, and stands as comments at the top of each page.
    """
    from inhouse.cli.terminal import print_line
    from inhouse.pipeline.procedures import imported, write_imported

    tell(f"Importing {place}", as_json)
    written = write_imported(imported(place, source), out)
    if as_json:
        print_json([w.model_dump(mode="json") for w in written])
        return
    for one in written:
        print_line(f"{one.file}: {one.name}, {one.states} states", "bold")
        for note in one.notes[1:]:
            print_line(f"  {note}")
    print_line("Next: fill in what the notes say, and run: inhouse procedure check FILE...")
