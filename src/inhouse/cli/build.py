"""The commands of the stages, from documents to the verdict. Nothing heavy at import."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_artifact, print_json, tell, workspace_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inhouse.types import Artifact

Cancel = Annotated[bool, typer.Option("--cancel", help="End the job elsewhere that an earlier run submitted.")]
MOST_NAMED = 20  # duplicates; report.json has all


def _make(stage: str, about: str, project: Path, overrides: list[str] | None, as_json: bool) -> Artifact:
    """Makes a stage's artifact, and those it needs, in child processes: this one stays small."""
    from inhouse.pipeline import stages
    from inhouse.pipeline.child import make_in_child

    workspace = replace(workspace_of(project, overrides, as_json), delegate=make_in_child)
    tell(about, as_json)
    started = datetime.now(UTC).isoformat(timespec="milliseconds")
    artifact: Artifact = getattr(stages, stage)(workspace)
    if as_json:
        print_json(artifact.model_dump(mode="json"))
    elif artifact.made_at < started:
        print_artifact(artifact, "already there")
    return artifact


def ingest(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Read the documents."""
    artifact = _make("ingest", "Reading the documents", project, overrides, as_json)
    if not as_json:
        from inhouse.cli.terminal import file_counts, out

        files = _files(artifact)
        out.print(file_counts(files))
        _print_unused(files)
        tell(f"Per-file results: {artifact.path}/report.json")


def _files(documents: Artifact) -> list[dict[str, Any]]:
    report = Path(documents.path) / "report.json"
    files: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["files"]
    return files


def _print_unused(files: Sequence[Mapping[str, Any]]) -> None:
    """A line for each file that failed, for the first of those that repeat another one, and for versions."""
    from inhouse.cli.terminal import out

    lines = [f"failed: {f['path']}: {f['reason']}" for f in files if f["status"] == "failed"]
    copies = [f"left out: {f['path']}: {f['reason']}" for f in files if f["status"] == "duplicate"]
    lines += copies[:MOST_NAMED]
    if len(copies) > MOST_NAMED:
        lines.append(f"left out: {len(copies) - MOST_NAMED} more files that repeat another one")
    if versions := [f["path"] for f in files if f.get("version_of")]:
        more = f" and {len(versions) - 1} more" if len(versions) > 1 else ""
        lines.append(f"kept: {versions[0]}{more}, with nearly the words of another file; if one is outdated, remove it")
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def index(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Split the documents into chunks, and embed and index them."""
    _make("index", "Indexing the documents; unchanged chunks are kept", project, overrides, as_json)


def curate(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Turn conversations and documents into training, validation, and test sets."""
    artifact = _make("curate", "Curating the conversations", project, overrides, as_json)
    tell(f"Data card: {artifact.path}/card.md", as_json)


def train(project: At = HERE, overrides: Set = None, as_json: AsJson = False, cancel: Cancel = False) -> None:
    """Fine-tune the base model."""
    if cancel:
        _cancel(project, overrides, as_json)
        return
    _make("train", "Fine-tuning; after Ctrl-C the next run continues", project, overrides, as_json)


def _cancel(project: Path, overrides: list[str] | None, as_json: bool) -> None:
    from inhouse.pipeline.trainable import cancel

    ended = cancel(workspace_of(project, overrides, as_json))
    if as_json:
        print_json({"ended": ended})
    else:
        for said in ended or ["no job is under way"]:
            print(said)


def pretrain(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Continue the pre-training of the base model on the documents."""
    about = "Continued pre-training; after Ctrl-C the next run continues"
    artifact = _make("pretrain", about, project, overrides, as_json)
    before, after = artifact.facts["bits_per_byte_before"], artifact.facts["bits_per_byte_after"]
    for name, what in (("domain", "held-out rewrites"), ("general", "general text")):
        if name in after:
            change = 100 * (after[name] / before[name] - 1)
            values = f"{before[name]:.3f} before, {after[name]:.3f} after ({change:+.1f}%)"
            tell(f"Bits per byte of {what}: {values}", as_json)
    for reason, count in artifact.facts["left_out"].items():
        tell(f"Left out: {count} {reason}", as_json)


def experts(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Train the adapters of domain experts, and the router that chooses among them."""
    about = "Training the experts; those whose rows did not change are kept"
    artifact = _make("experts", about, project, overrides, as_json)
    for name, facts in {} if as_json else artifact.facts["adapters"].items():
        print(f"{name}: {sum(n for key, n in facts.items() if key.startswith('rows_'))} rows")


def parity(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Compare the served model with the trained one; exit code 5 when they differ."""
    from inhouse.pipeline.parity import refuse_without_parity

    about = "Comparing the served model with the trained one"
    refuse_without_parity(_make("parity", about, project, overrides, as_json))


def calibrate(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Fit the confidence of each customized arm to held-out questions, for the error target."""
    about = "Asking held-out questions that the verdict does not ask"
    artifact = _make("calibrate", about, project, overrides, as_json)
    for arm, facts in {} if as_json else artifact.facts["arms"].items():
        print(f"\n{arm}: {facts['asked']} questions, {facts['examples']} answers")
        if facts.get("reason"):
            print(f"  not calibrated: {facts['reason']}")
        else:
            _print_targets(facts)


def _print_targets(facts: Mapping[str, Any]) -> None:
    kept = f"at most {100 * facts['target']:g}% of the answers given are wrong" if facts["target"] < 1 else "none"
    print(f"  {facts['right']:.0%} of the answers are right. Calibration error {facts['error']:.3f}.")
    print(f"  Error target: {kept} (guardrails.max_wrong = {facts['wanted']:g}).")
    print(f"  It answers {facts['answered']:.0%} of the questions; {facts['wrong']:.1%} of these answers are wrong.")
    print("  Error targets, each met with 95% confidence:\n    at most wrong   answered   of these wrong")
    for target, answered, wrong in facts["targets"]:
        print(f"    {target:>13.1%}{answered:>11.0%}{wrong:>17.1%}" if answered else f"    {target:>13.1%}       none")
    if facts["min_support"]:
        print(f"  guardrails.min_support = {facts['min_support']} would cut one right answer in 20.")


def evaluate(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Ask every arm the same held-out questions and report what customizing gained."""
    artifact = _make("evaluate", "Asking every arm the same questions", project, overrides, as_json)
    if not as_json:
        show_report(artifact)


def build(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Run every stage, from documents to the verdict; finished stages are skipped."""
    about = "Building: ingest, index, curate, fusion, train, parity, calibrate, evaluate"
    artifact = _make("build", about, project, overrides, as_json)
    if not as_json:
        show_report(artifact)
        documents = workspace_of(project, overrides, True).store.latest("documents")
        _print_unused(_files(documents) if documents else [])


def show_report(artifact: Artifact) -> None:
    from inhouse.cli.terminal import out
    from inhouse.evaluation.report import render_table
    from inhouse.verdict import Report

    out.print(render_table(Report.read(Path(artifact.path))))
    out.print(f"Full report: {artifact.path}/report.html", soft_wrap=True, highlight=False)
