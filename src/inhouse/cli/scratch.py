"""The command that trains a base model from scratch. Nothing heavy at import."""

from __future__ import annotations

from typing import Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of


def scratch(
    project: At = HERE,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what it takes: tokens, operations, hours.")] = False,
    overrides: Set = None,
    as_json: AsJson = False,
) -> None:
    """Train the base model from scratch, for a project with model.base = "none"."""
    from inhouse.cli.build import _make
    from inhouse.config.scratch import FROM_SCRATCH
    from inhouse.errors import ConfigError

    workspace = workspace_of(project, overrides, as_json)
    if workspace.project.model.base != FROM_SCRATCH:
        hint = f'set model.base = "{FROM_SCRATCH}" in the project file'
        raise ConfigError(f"the project has the base model {workspace.project.model.base}", hint)
    if plan:
        _plan(project, overrides, as_json)
        return
    artifact = _make(
        "scratch", "Training from scratch; after Ctrl-C the next run continues", project, overrides, as_json
    )
    if not as_json:
        facts = artifact.facts
        print(f"Held-out documents: {facts['bits_per_byte']} bits per byte ({facts['bits_per_byte_untrained']} before)")
        if facts["replies_left_out"]:
            print(f"Left out: {facts['replies_left_out']} replies of the inbox")
        tell(f"Loss curve: {artifact.path}/curve.svg")


def _plan(project: At, overrides: Set, as_json: bool) -> None:
    from inhouse.pipeline.base import plan_of
    from inhouse.pipeline.stages import ingest

    workspace = workspace_of(project, overrides, as_json)
    plan = plan_of(workspace, ingest(workspace))
    if as_json:
        print_json(plan.model_dump(mode="json"))
    else:
        print("\n".join(plan.lines()))
