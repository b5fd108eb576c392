"""What all commands share: options, opening the project, and the lines they print. Nothing heavy at import."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from inhouse.assembly.workspace import Workspace
    from inhouse.types import Artifact

At = Annotated[Path, typer.Option("--project", "-p", help="Folder of inhouse.toml, or the file.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, such as training.rank=8.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Groups = Annotated[list[str] | None, typer.Option("--group", help="Access group of the user; repeat for more.")]
HERE = Path()


def workspace_of(project: Path, overrides: list[str] | None, quiet: bool) -> Workspace:
    """Opens the project.

    Raises:
        ConfigError: the project file or an override is wrong.
    """
    os.environ.setdefault("TQDM_DISABLE", "1")  # no progress bars besides ours; read when a library is imported
    from inhouse.assembly.workspace import Workspace
    from inhouse.cli.terminal import Bars
    from inhouse.config.load import load_project
    from inhouse.errors import ConfigError
    from inhouse.models.catalog import Catalog
    from inhouse.types import Silent

    pairs = {}
    for text in overrides or []:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--set {text}: not KEY=VALUE", "write it like --set training.rank=8")
        pairs[key.strip()] = value.strip()
    loaded = load_project(project, pairs)
    catalog = Catalog(loaded.path(own) if (own := loaded.store.models) else None)
    if quiet:
        return Workspace(loaded, catalog, Silent())
    return Workspace(loaded, catalog, Bars(), announce=_announce)


def _announce(artifact: Artifact, fresh: bool) -> None:
    """Prints a line for each artifact that was made now."""
    from inhouse.cli.terminal import duration

    if fresh:
        print_artifact(artifact, f"made in {duration(artifact.seconds)}")


def print_artifact(artifact: Artifact, state: str) -> None:
    from inhouse.cli.terminal import err

    facts = ", ".join(f"{k.replace('_', ' ')} {_short(v)}" for k, v in artifact.facts.items() if _plain(v))
    err.print(f"[bold]{artifact.kind}[/bold] {artifact.key[:8]} {state}: ", end="")
    err.print(facts, markup=False, highlight=False)
    for warning in artifact.facts.get("warnings", []):
        err.print(f"warning: {warning}", style="yellow", markup=False, highlight=False)


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and 0 < len(str(value)) < 40


def _short(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def tell(text: str, quiet: bool = False) -> None:
    """Prints the line that says what a command will do."""
    if not quiet:
        from inhouse.cli.terminal import err

        err.print(text, style="dim", markup=False, highlight=False)


def print_json(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    print(text.encode("utf-8", "backslashreplace").decode())  # no terminal prints half a surrogate pair


def short(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= 160 else line[:159] + "…"


def plain(text: str) -> str:
    """`text` without control characters, which could steer the terminal: users wrote it."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
