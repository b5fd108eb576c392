"""The commands to start and inspect a project: init, check, show. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.build import show_report
from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from rich.table import Table

    from inhouse.pipeline.check import Checkup


def init(folder: Annotated[Path, typer.Argument(help="Folder for the new project.")]) -> None:
    """Start a project: write a commented inhouse.toml and say what to put where."""
    from inhouse.cli.terminal import out
    from inhouse.config.load import FILE
    from inhouse.config.reference import template
    from inhouse.errors import BackendError, ConfigError
    from inhouse.files import write_text
    from inhouse.pipeline.languages import chosen_values

    file = folder / FILE
    if file.exists():
        raise ConfigError(f"{file}: already exists", "choose another folder, or edit that file")
    try:
        (folder / "documents").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"{folder / 'documents'}: cannot be created ({error.strerror})"
        raise BackendError(problem, "choose a folder that you may write to") from error
    values, chosen = chosen_values(folder)
    tell(f"Writing {file}")
    write_text(file, template(folder.resolve().name, values))
    for line in chosen:
        out.print(line, markup=False, highlight=False)
    out.print(
        f"Wrote {file}. Next:\n"
        f"  1. Put your documents (office files, pdf, html, text, mail, csv, pictures) into {folder / 'documents'}/\n"
        f"  2. Put your past conversations into {folder / 'conversations.jsonl'}, one JSON object per line:\n"
        '     {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}\n'
        "     Exports of Zendesk, Slack, WhatsApp, a mailbox, and others become such a file with `inhouse import`.\n"
        "  3. If you have test questions with checks, name their file in [curation] tests.\n"
        f"  4. Run: inhouse check --project {folder}\n"
        f"     and: inhouse build --project {folder}",
        markup=False, highlight=False,
    )  # fmt: skip


def check(
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
    explain: Annotated[str, typer.Option(help="Only print the keys of this section, such as training.")] = "",
) -> None:
    """Validate the project file, the machine, and the data, and estimate how long each stage takes."""
    from inhouse.config import reference
    from inhouse.pipeline.check import examine

    if explain:
        print(reference.explain(explain))
        return
    workspace = workspace_of(project, overrides, as_json)
    tell("Checking the project file, the machine, and the data", as_json)
    results = examine(workspace)
    if as_json:
        print_json(results.model_dump(mode="json"))
    else:
        from inhouse.cli.terminal import out

        out.print(_checked(results))
    if results.problems:
        raise typer.Exit(3)


def show(
    what: Annotated[
        str, typer.Argument(help="A kind (dataset, report, ...) or the start of a key; lists all if you give none.")
    ] = "",
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """List all artifacts, or show one with everything it was built from."""
    from inhouse.cli.terminal import print_line

    workspace = workspace_of(project, overrides, as_json)
    store = workspace.store
    artifacts = sorted(store.all(), key=lambda a: a.made_at)
    if not what:
        if as_json:
            print_json([a.model_dump(mode="json") for a in artifacts])
        for a in () if as_json else artifacts:
            print_line(f"{a.made_at}  {a.kind:10} {a.key[:8]}  {a.path}")
        return
    artifact = store.latest(what) if any(a.kind == what for a in artifacts) else store.get(what)
    assert artifact is not None
    lineage = list(store.lineage(artifact))
    if as_json:
        print_json([{"depth": d, **a.model_dump(mode="json")} for d, a in lineage])
        return
    for depth, a in lineage:
        print_line(f"{'  ' * depth}{a.kind} {a.key[:8]}  {a.made_at}  {a.path}")
    if artifact.kind == "report":
        show_report(artifact)
    else:
        print_json(artifact.facts)


def _checked(results: Checkup) -> Table:
    """The results as a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    from inhouse.cli.terminal import duration

    table = Table("", "state", "", box=None, pad_edge=False)
    for item in results.items:
        said = ("warning", "yellow") if item.warning else ("ok", "green")
        state = Text(*said) if item.ok else Text("problem", style="bold red")
        table.add_row(item.subject, state, Text(item.detail))
    for stage, seconds in results.stages_s.items():
        table.add_row(f"stage {stage}", "estimate", f"about {duration(seconds)}")
    if results.stages_s:
        table.add_row("build", "estimate", f"about {duration(sum(results.stages_s.values()))} in all")
    return table
