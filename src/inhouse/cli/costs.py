"""The commands of costs: what customization returns, and what is left of budgets. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, plain, print_json, tell, workspace_of

WARN = 0.8  # share of a budget from which its line is colored


def roi(
    project: At = HERE,
    overrides: Set = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=VALUE", help="Use this in place of what is measured; repeat for more."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--inputs", help="TOML file with such inputs.")] = None,
    days: Annotated[float, typer.Option(min=1, max=400, help="Days of traffic to look at.")] = 30,
    html: Annotated[Path | None, typer.Option(help="Also write one HTML page to this file.")] = None,
    xlsx: Annotated[Path | None, typer.Option(help="Also write a workbook with formulas to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what answers cost, and what customization returns."""
    from inhouse.files import replacing
    from inhouse.serving.cost_report import costs_file, costs_of
    from inhouse.serving.costs import seen

    given = _given(inputs, file)
    workspace = workspace_of(project, overrides, quiet=True)
    traffic = seen(workspace, days)
    found = costs_of(workspace, given, traffic)
    for path, kind in ((html, "html"), (xlsx, "xlsx")):
        if path:
            made = costs_file(workspace, given, "html" if kind == "html" else "xlsx", traffic)
            with replacing(path) as file_:
                file_.write_bytes(made)
            tell(f"wrote {path}")
    if as_json:
        print_json(found.model_dump(mode="json", exclude={"dependence", "by_volume"}))
        return
    from inhouse.cli.terminal import out

    for note in found.notes:
        tell(note)
    _print("Base against custom", ("", "base", "custom", ""), found.table)
    if found.missing:
        tell(f"not known yet: {', '.join(found.missing).lower()}; give them with --input NAME=VALUE")
    else:
        out.print(f"net saving per month: {found.net}; payback: {found.payback}", markup=False, style="bold")
    if found.options:
        head = ("", "per month", "fixed", "answers each", "escalations", "")
        _print("Options at your volume", head, found.options)
        for line in found.break_even:
            out.print(line, markup=False, highlight=False)
    _print(f"Where the money of {found.days:.0f} days went", ("", "US dollars", ""), found.spending)


def budget(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Show what was used of each budget in this day or month, and when it resets."""
    from inhouse.cli.terminal import print_line
    from inhouse.serving.budgets import budgets_of

    lines = budgets_of(workspace_of(project, overrides, quiet=True))
    if as_json:
        print_json([line.model_dump(mode="json") for line in lines])
        return
    if not lines:
        tell("no budget was used in this day or month; [[budget]] tables set them")
        return
    for line in lines:
        resets = line.resets_at[:16].replace("T", " ")
        used = f"{line.used} of {line.limit} used, {line.held} in progress, {line.left} left"
        print_line(
            plain(f"{line.name}: {used} until {resets} UTC"),
            "red" if line.share >= 1 else "yellow" if line.share >= WARN else "",
        )


def _given(inputs: list[str] | None, file: Path | None) -> dict[str, str]:
    """Inputs by name: those of the file, then those of the command."""
    import tomllib

    from inhouse.errors import ConfigError, InputError

    found: dict[str, str] = {}
    if file is not None:
        try:
            found = {name: str(value) for name, value in tomllib.loads(file.read_text(encoding="utf-8")).items()}
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{file}: cannot be read ({error})", "name a file with lines like NAME = VALUE") from error
        except tomllib.TOMLDecodeError as error:
            raise InputError(f"{file}: not valid TOML: {error}", "write lines like base_escalation = 0.33") from error
    for text in inputs or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--input {text}: expected NAME=VALUE", "for example: --input base_escalation=33%")
        found[name.strip()] = value
    return found


def _print(title: str, head: tuple[str, ...], lines: Sequence[Any]) -> None:
    from rich import box
    from rich.table import Table

    from inhouse.cli.terminal import out

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for n, name in enumerate(head):
        table.add_column(name, justify="left" if n in (0, len(head) - 1) else "right", overflow="fold")
    for line in lines:
        table.add_row(line.title, *line.cells, line.note)
    out.print(table)
