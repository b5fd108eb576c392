"""The command line. Commands import what they need when they run, so that `inhouse --help` answers at once.

Every command says in one line what it will do and in one line what it made. Results go to standard output, everything
else to standard error; `--json` prints only the result, as JSON.
Exit codes: 0 success, 1 unexpected, 2 settings, 3 input, 4 back-end, 5 gate.
"""

from __future__ import annotations

import os
import sys

import typer

from inhouse.cli import (
    alerts,
    ask,
    audit,
    audit_data,
    build,
    canaries,
    cascade,
    costs,
    drift,
    edge,
    engines,
    experiments,
    export,
    guard,
    imports,
    keys,
    mcp,
    models,
    openai,
    procedure,
    project,
    quality,
    releases,
    reuse,
    roadmap,
    route,
    scratch,
    serve,
    tools,
    watch,
)

# NumPy's matrix products are small here: more threads only cost time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

INTERRUPTED = 130  # exit code after Ctrl-C, also when Typer catches it

app = typer.Typer(no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, help=(
    "Build your business's own LLM from your documents and conversations, measure what it gains on held-out questions, "
    "and serve exactly what was measured."))  # fmt: skip
for command in (
    project.init, project.check, build.ingest, build.index, audit_data.audit_data, ask.search, build.curate,
    scratch.scratch, build.pretrain, build.train, build.experts, build.parity, build.calibrate, build.evaluate,
    build.build, ask.ask, ask.chat, project.show, roadmap.roadmap, export.export, serve.serve, mcp.mcp,
    quality.quality, drift.drift, costs.roi, costs.budget,
):  # fmt: skip
    app.command()(command)
app.command("import")(imports.import_export)
mcp.add_to(tools.tools_app)
canaries.add_to(releases.release_app)
for group, name in (
    (models.models_app, "models"), (engines.engines_app, "engines"),
    (releases.release_app, "release"), (experiments.experiment_app, "experiment"),
    (keys.keys_app, "keys"), (audit.audit_app, "audit"), (edge.edge_app, "edge"), (guard.guard_app, "guard"),
    (tools.tools_app, "tools"), (procedure.procedure_app, "procedure"), (route.route_app, "route"),
    (cascade.cascade_app, "cascade"),
    (reuse.reuse_app, "reuse"), (alerts.alerts_app, "alerts"), (openai.openai_app, "openai"),
    (watch.watch_app, "watch"),
):  # fmt: skip
    app.add_typer(group, name=name)


def main() -> None:
    """Runs a command; known errors print a message and a hint and set the exit code."""
    from inhouse.errors import InhouseError

    os.umask(0o077)  # what customers wrote is in every file; children inherit it
    try:
        app()
    except InhouseError as error:
        from inhouse.cli.terminal import show_error

        show_error(error)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != INTERRUPTED:
            raise
        print("\ninterrupted; run the same command again to continue", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
