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
    target: Annotated[
        str,
        typer.Option("--for", metavar="edge", help="edge: a folder that inhouse serves on a device."),
    ] = "",
    project: At = HERE,
    as_json: AsJson = False,
) -> None:
    """Export a release's model for Ollama, vLLM, or llama.cpp, or a whole release for a device.

    The folder runs without inhouse; with `--for edge` it has all that the release answers with, for inhouse on a device
    without a network.
    """
    from inhouse.cli.terminal import print_line
    from inhouse.errors import ConfigError
    from inhouse.serving.edge import export_edge
    from inhouse.serving.export import export as exported
    from inhouse.serving.releases import Releases, label
    from inhouse.store.audit import Audit

    workspace = workspace_of(project, None, quiet=True)
    if target not in ("", "edge"):
        raise ConfigError(f"--for {target}: not a target", "use --for edge, or leave it out")
    release = Releases(workspace).get(which or ("production" if target else ""))
    tell(f"Exporting {label(release)} to {folder}", as_json)
    if target:
        files = {path: sum.bytes for path, sum in export_edge(workspace, release, folder).files.items()}
    else:
        files = exported(workspace, release, folder, form, format)
    with workspace.ledger() as ledger:
        Audit(ledger).act("release exported", facts={"release": label(release), "folder": str(folder.absolute())})
    if as_json:
        print_json({"release": label(release), "folder": str(folder), "files": files})
        return
    for name, size in files.items():
        print_line(f"  {size / 2**20:8.1f} MB  {name}")
    print_line(f"  {sum(files.values()) / 2**20:8.1f} MB  in {len(files)} files")
    print_line(f"See {folder}/README.md for how to run it.")
