"""The commands that start a project and look at it: init, check, show. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.build import show_report
from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from rich.table import Table


def init(folder: Annotated[Path, typer.Argument(help="Folder of the new project.")]) -> None:
    """Write a commented inhouse.toml and say what to put where."""
    from inhouse.cli.terminal import out
    from inhouse.config.load import FILE
    from inhouse.config.reference import template
    from inhouse.errors import ConfigError
    from inhouse.files import write_text

    file = folder / FILE
    if file.exists():
        raise ConfigError(f"{file}: there already", "choose another folder, or edit that file")
    tell(f"Writing {file}")
    write_text(file, template(folder.resolve().name))
    (folder / "documents").mkdir(exist_ok=True)
    out.print(
        f"{file} written. Now put\n"
        f"  your documents (md, txt, html, pdf, docx, pptx, xlsx, csv, eml) into {folder / 'documents'}/\n"
        f"  your past conversations into {folder / 'conversations.jsonl'}, one JSON a line:\n"
        '    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}\n'
        f"  and, if you have them, test questions with checks into a file named under [curation] tests.\n"
        f"Then: inhouse check --project {folder}, and inhouse build --project {folder}",
        markup=False, highlight=False,
    )  # fmt: skip


def check(
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
    explain: Annotated[str, typer.Option(help="Print the keys of a section instead, such as training.")] = "",
) -> None:
    """Validate the project file, the machine and the data, and estimate how long each stage takes here."""
    from inhouse.config import reference
    from inhouse.pipeline.check import examine

    if explain:
        print(reference.explain(explain))
        return
    workspace = workspace_of(project, overrides, as_json)
    tell("Checking the project file, the machine and the data", as_json)
    found = examine(workspace)
    if as_json:
        print_json(found)
    else:
        from inhouse.cli.terminal import out

        out.print(_checked(found))
    if found["problems"]:
        raise typer.Exit(3)


def show(
    what: Annotated[
        str, typer.Argument(help="A kind (dataset, report, ...) or the start of a key; empty lists all.")
    ] = "",
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """List what was made, or show one artifact with everything it was made from."""
    from inhouse.cli.terminal import out

    workspace = workspace_of(project, overrides, as_json)
    store = workspace.store
    found = sorted(store.all(), key=lambda a: a.made_at)
    if not what:
        if as_json:
            print_json([a.model_dump(mode="json") for a in found])
        for a in () if as_json else found:
            out.print(f"{a.made_at}  {a.kind:10} {a.key[:8]}  {a.path}", markup=False, highlight=False, soft_wrap=True)
        return
    artifact = store.latest(what) if any(a.kind == what for a in found) else store.get(what)
    assert artifact is not None
    lineage = list(store.lineage(artifact))
    if as_json:
        print_json([{"depth": d, **a.model_dump(mode="json")} for d, a in lineage])
        return
    for depth, a in lineage:
        out.print(
            f"{'  ' * depth}{a.kind} {a.key[:8]}  {a.made_at}  {a.path}", markup=False, highlight=False, soft_wrap=True
        )
    if artifact.kind == "report":
        show_report(artifact)
    else:
        print_json(artifact.facts)


def _checked(found: dict[str, Any]) -> Table:
    """The findings for the terminal."""
    from rich.table import Table
    from rich.text import Text

    from inhouse.cli.terminal import duration

    made = Table("", "state", "", box=None, pad_edge=False)
    for what, state, detail in found["rows"]:
        made.add_row(what, Text(state, style="green" if state == "ok" else "bold red"), Text(detail))
    for stage, seconds in found["stages"].items():
        made.add_row(f"stage {stage}", "estimate", f"about {duration(seconds)}")
    if found["stages"]:
        made.add_row("build", "estimate", f"about {duration(sum(found['stages'].values()))} in all")
    return made
