"""The commands of the models on this machine: list, pull, add. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.options import AsJson, print_json, tell

models_app = typer.Typer(no_args_is_help=True, help="Models on this machine: list, pull, add.")


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List the known models and whether they are on this machine."""
    from inhouse.models.catalog import CATALOG, Catalog

    names = Catalog().names()
    if as_json:
        print_json(names)
        return
    for name, state in names.items():
        about = f"{CATALOG[name].kind}: {CATALOG[name].about} ({CATALOG[name].license})" if name in CATALOG else ""
        print(f"{name:24} {state:11} {about}".rstrip())


@models_app.command("pull")
def models_pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or Hugging Face IDs; the default models if you give none.")
    ] = None,
) -> None:
    """Download models into the cache; the only command that uses the network by itself."""
    from inhouse.cli.terminal import Bars
    from inhouse.models.catalog import CATALOG, Catalog

    for name in names or [name for name, entry in CATALOG.items() if entry.default]:
        tell(f"Downloading {name}")
        print(f"{name}: {Catalog().pull(name, Bars())}")


@models_app.command("add")
def models_add(
    name: Annotated[str, typer.Argument(help="Name to use in the project file.")],
    path: Annotated[Path, typer.Argument(help="A .gguf file, or a Hugging Face folder with safetensors.")],
) -> None:
    """Register a .gguf file or a Hugging Face folder on this machine under a name."""
    from inhouse.models.catalog import Catalog

    Catalog().add(name, path)
    print(f"{name}: {path.resolve()}")
