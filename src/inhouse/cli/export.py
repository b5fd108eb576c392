"""The command that exports a release's model. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, print_json, tell, workspace_of


def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    which: Annotated[str, typer.Option("--release", help="Version or NAME/VERSION; by default the newest.")] = "",
    form: Annotated[
        str, typer.Option(help="merged, or adapter for base and LoRA adapter as separate files.")
    ] = "merged",
    format: Annotated[str, typer.Option(help="gguf, or hf for safetensors in bfloat16.")] = "gguf",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Export a release's model to a folder for Ollama, vLLM, or llama.cpp, to run without inhouse."""
    from inhouse.cli.terminal import print_line
    from inhouse.serving.export import export as exported
    from inhouse.serving.releases import Releases, label
    from inhouse.store.audit import Audit

    workspace = workspace_of(project, None, quiet=True)
    release = Releases(workspace).get(which)
    tell(f"Exporting {label(release)} to {folder}", as_json)
    files = exported(workspace, release, folder, form, format)
    with workspace.ledger() as ledger:
        Audit(ledger).act("release exported", facts={"release": label(release), "folder": str(folder.absolute())})
    if as_json:
        print_json({"release": label(release), "folder": str(folder), "files": files})
        return
    for name, size in files.items():
        print_line(f"  {size / 2**20:8.1f} MB  {name}")
    print_line(f"See {folder}/README.md for how to run it.")
