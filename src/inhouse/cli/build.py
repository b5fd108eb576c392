"""The commands of the stages, from documents to the verdict. Nothing heavy at import."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, line, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.types import Artifact


def _stage(name: str, about: str, project: Path, overrides: list[str] | None, as_json: bool) -> Artifact:
    from inhouse.pipeline import stages as pipeline

    workspace = workspace_of(project, overrides, as_json)
    tell(about, as_json)
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    artifact: Artifact = getattr(pipeline, name)(workspace)
    if as_json:
        print_json(artifact.model_dump(mode="json"))
    elif artifact.made_at < started:
        line(artifact, "already there")
    return artifact


def ingest(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Read the documents."""
    artifact = _stage("ingest", "Reading the documents", project, overrides, as_json)
    if not as_json:
        from inhouse.cli.terminal import fates, out

        report = Path(artifact.path) / "report.json"
        out.print(fates(json.loads(report.read_text(encoding="utf-8"))["files"]))
        for failed in artifact.facts["failures"]:
            out.print(f"failed: {failed['path']}: {failed['reason']}", markup=False, highlight=False, soft_wrap=True)
        tell(f"Every file's fate: {report}")


def index(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Cut the documents into chunks, embed and index them."""
    _stage("index", "Indexing the documents; chunks that have not changed are kept", project, overrides, as_json)


def curate(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Turn conversations and documents into training, validation and test sets."""
    artifact = _stage("curate", "Curating the conversations", project, overrides, as_json)
    tell(f"The data card: {artifact.path}/card.md", as_json)


def train(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Fine-tune the base model."""
    _stage("train", "Fine-tuning; Ctrl-C is safe, the next run goes on", project, overrides, as_json)


def parity(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Compare the served model with the trained one; exit 5 when they differ."""
    from inhouse.pipeline.stages import refuse_without_parity

    refuse_without_parity(
        _stage("parity", "Comparing what is served with what was trained", project, overrides, as_json)
    )


def evaluate(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Ask every arm the same held-out questions and report what customizing gained."""
    artifact = _stage("evaluate", "Asking every arm the same questions", project, overrides, as_json)
    if not as_json:
        show_report(artifact)


def build(
    project: At = HERE,
    overrides: Set = None,
    as_json: AsJson = False,
    going_on: Annotated[bool, typer.Option("--going-on", hidden=True)] = False,
) -> None:
    """Run every stage, from documents to the verdict; what is done already is skipped."""
    from inhouse.pipeline import stages as pipeline

    made: list[str] = []

    def said(kind: str, artifact: Artifact, fresh: bool) -> None:
        made.extend([kind] * fresh)
        workspace.said(kind, artifact, fresh)

    workspace = workspace_of(project, overrides, as_json)
    tell("Building: ingest, index, curate, fusion, train, parity, evaluate", as_json or going_on)
    watched = replace(workspace, said=said)
    for heavy in (
        pipeline.fusion,
        *((pipeline.train, pipeline.parity) if pipeline.customizes(workspace.project) else ()),
    ):
        heavy(watched)
        if made and os.name == "posix":
            _go_on_anew(project, overrides, as_json)
    artifact = pipeline.build(workspace)
    if as_json:
        print_json(artifact.model_dump(mode="json"))
    else:
        show_report(artifact)


def _go_on_anew(project: Path, overrides: list[str] | None, as_json: bool) -> None:
    """Puts a fresh process in this one's place; it finds what is made and goes on. Nothing else gives the memory of
    PyTorch and spaCy back to the machine."""
    sys.stdout.flush()
    sys.stderr.flush()
    options = [*(part for text in overrides or () for part in ("--set", text)), *(["--json"] if as_json else [])]
    again = [sys.executable, "-m", "inhouse.cli.main", "build", "--going-on", "--project", str(project), *options]
    os.execv(sys.executable, again)  # noqa: S606  our own interpreter, no shell


def show_report(artifact: Artifact) -> None:
    from inhouse.cli.terminal import out
    from inhouse.evaluation.report import render_table
    from inhouse.verdict import Report

    out.print(render_table(Report.read(Path(artifact.path))))
    out.print(f"The whole report: {artifact.path}/report.html", soft_wrap=True, highlight=False)
