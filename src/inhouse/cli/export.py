"""The command that exports a release's model. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, print_json, tell
from inhouse.cli.releases import _workspace

# --- export -----------------------------------------------------------------------------------------------------


def export(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    which: Annotated[str, typer.Option("--release", help="Version or NAME/VERSION; the newest without.")] = "",
    form: Annotated[str, typer.Option(help="merged, or adapter: the base with the LoRA adapter beside it.")] = "merged",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Write a release's model into a folder that runs without inhouse: Ollama, vLLM, llama.cpp."""
    from inhouse.cli.terminal import out
    from inhouse.serving.export import export as exported
    from inhouse.serving.releases import Releases, label

    workspace = _workspace(project)
    found = Releases(workspace).get(which)
    tell(f"Writing {label(found)} into {folder}", as_json)
    files = exported(workspace, found, folder, form)
    if as_json:
        print_json({"release": label(found), "folder": str(folder), "files": files})
        return
    for name, size in files.items():
        out.print(f"  {size / 2**20:8.1f} MB  {name}", markup=False, highlight=False)
    out.print(f"{folder}/README.md says how to run it.", markup=False, highlight=False, soft_wrap=True)
