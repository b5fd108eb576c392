"""The commands of the models on this machine: list, pull, add, compare. Nothing heavy at import."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

models_app = typer.Typer(no_args_is_help=True, help="Models on this machine: list, pull, add, compare.")


@models_app.command("list")
def models_list(as_json: AsJson = False) -> None:
    """List the known models and whether they are on this machine."""
    from inhouse.models.catalog import CATALOG, Catalog

    names = Catalog().names()
    if as_json:
        print_json(names)
        return
    for name, state in names.items():
        print(f"{name:28} {state}")
        if entry := CATALOG.get(name):
            memory = f", {entry.memory_mb:,} MB of memory to serve" if entry.memory_mb else ""
            print(f"    {entry.kind}: {entry.about}")
            print(f"    {entry.license}, {entry.download_mb:,} MB to download{memory}")


@models_app.command("pull")
def models_pull(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names or Hugging Face IDs; the default models if you give none.")
    ] = None,
) -> None:
    """Download models into the cache; the only command that accesses the network on its own."""
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


@models_app.command("compare")
def models_compare(
    names: Annotated[list[str], typer.Argument(help="Base models: known names, folders, or .gguf files.")],
    tune: Annotated[bool, typer.Option("--tune", help="Also fine-tune each one.")] = False,
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Compare base models on your own test questions."""
    from inhouse.cli.terminal import base_models, out
    from inhouse.pipeline.child import make_in_child
    from inhouse.pipeline.comparison import compare_bases

    workspace = replace(workspace_of(project, overrides, as_json), delegate=make_in_child)
    tell(f"Asking {', '.join(names)} the same questions" + (", before and after fine-tuning" if tune else ""), as_json)
    compared = compare_bases(workspace, names, tune)
    if as_json:
        print_json([c.model_dump(mode="json") for c in compared])
    else:
        out.print(base_models([(c.base, c.arm, c.result, c.memory_mb) for c in compared]))
