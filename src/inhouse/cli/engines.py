"""Commands that install and compare engines. Nothing heavy at import."""

from __future__ import annotations

from typing import Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

engines_app = typer.Typer(no_args_is_help=True, help="Engines that run the model: install, measure, list, and remove.")
Which = Annotated[str, typer.Argument(metavar="ENGINE", help="vllm.")]


@engines_app.command("list")
def engines_list(as_json: AsJson = False) -> None:
    """List the engines, their speed on this machine, and the one that `model.engine = "auto"` takes."""
    from inhouse.cli.terminal import print_line
    from inhouse.models.catalog import Catalog
    from inhouse.models.engines import NAMES, VERSION, chosen, installed, speeds

    catalog = Catalog()
    known, measured, auto = installed(catalog), speeds(catalog), chosen("auto", catalog)
    rows = [
        {
            "name": name,
            "version": VERSION if name == "vllm" else "",
            "installed": name == "embedded" or known is not None,
            "answers_s": measured.get(name),
            "auto": name == auto,
        }
        for name in NAMES
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = "installed" if row["installed"] else "not installed"
        speed = f"{row['answers_s']:.2f} answers/s" if row["answers_s"] else "not measured"
        print_line(f"{row['name']} {row['version']}".ljust(16) + f"{state}, {speed}{', auto' if row['auto'] else ''}")


@engines_app.command("install")
def engines_install(name: Which, as_json: AsJson = False) -> None:
    """Install an engine into the cache, in a separate environment. Uses the network."""
    from inhouse.cli.terminal import Bars
    from inhouse.errors import ConfigError
    from inhouse.models.catalog import Catalog
    from inhouse.models.engines import VERSION, install
    from inhouse.types import Silent

    if name != "vllm":
        raise ConfigError(f"{name}: not an engine that can be installed", "the only one is vllm")
    tell(f"Installing vLLM {VERSION} and the packages that it needs, about 2 GB", as_json)
    made = install(Catalog(), Silent() if as_json else Bars())
    if as_json:
        print_json({"name": name, "version": made.version, "folder": str(made.folder), "cuda": made.cuda})
    else:
        print(f"{name} {made.version}: {made.folder}")
        tell('To let `model.engine = "auto"` use it where it is faster: inhouse engines measure')


@engines_app.command("measure")
def engines_measure(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Measure every installed engine with the project's base model; `model.engine = "auto"` takes the fastest."""
    from inhouse.cli.terminal import print_line
    from inhouse.pipeline.engines import measure

    workspace = workspace_of(project, overrides, as_json)
    tell("Asking each engine the same questions, four at a time", as_json)
    measured = measure(workspace)
    if as_json:
        print_json(measured)
        return
    for name, speed in measured.items():
        print_line(f"{name.ljust(10)} {speed:.2f} answers/s")


@engines_app.command("remove")
def engines_remove(name: Which) -> None:
    """Remove an engine and what was measured of it."""
    from inhouse.errors import ConfigError
    from inhouse.models.catalog import Catalog
    from inhouse.models.engines import remove

    if name != "vllm":
        raise ConfigError(f"{name}: not an engine that can be removed", "the only one is vllm")
    remove(Catalog())
    print(f"{name}: removed")
