"""The commands of the router: test and show. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inhouse.cli.options import HERE, AsJson, At, Groups, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inhouse.assembly.workspace import Workspace
    from inhouse.routing.classifier import Prediction, Report, TextClassifier
    from inhouse.routing.measure import Quality
    from inhouse.types import Estimate

SHOWN = 15  # pairs of agents that are confused
route_app = typer.Typer(no_args_is_help=True, help="The router of agents, or of experts: test, show.")
Experts = Annotated[bool, typer.Option("--experts", help="The router of domain experts, as `build` made it last.")]


@route_app.command("test")
def route_test(
    texts: Annotated[
        list[str],
        typer.Argument(metavar="FILE|TEXT...", help='Messages, or a JSONL file of {"text", "agent"} to measure with.'),
    ],
    groups: Groups = None,
    project: At = HERE,
    overrides: Set = None,
    experts: Experts = False,
    as_json: AsJson = False,
) -> None:
    """Show which agent or expert gets a message and why, or measure the router on your own labeled lines.

    In a file, lines without an agent belong to none: they measure what goes to the fallback.
    """
    from inhouse.pipeline.router import allowed
    from inhouse.routing.measure import quality, read_lines

    workspace = workspace_of(project, overrides, as_json)
    classifier, _ = _opened(workspace, experts, as_json)
    file = Path(texts[0])
    if len(texts) == 1 and file.suffix == ".jsonl":
        found = quality(classifier, read_lines(file, classifier.names))
        if as_json:
            print_json(found.model_dump(mode="json"))
        else:
            _print_quality(found)
        return
    candidates = allowed(workspace.project, frozenset(groups or ()), experts)
    predictions = [classifier.predict(text, candidates) for text in texts]
    if as_json:
        print_json([{"text": t, **p.model_dump(mode="json")} for t, p in zip(texts, predictions, strict=True)])
        return
    for text, prediction in zip(texts, predictions, strict=True):
        _print_prediction(text, prediction, classifier.scale.threshold)


@route_app.command("show")
def route_show(project: At = HERE, overrides: Set = None, experts: Experts = False, as_json: AsJson = False) -> None:
    """Show what held-out examples say of the router: accuracy, confused agents, threshold."""
    workspace = workspace_of(project, overrides, as_json)
    _, report = _opened(workspace, experts, as_json)
    if as_json:
        print_json(report.model_dump(mode="json"))
    else:
        _print_report(report)


def _opened(workspace: Workspace, experts: bool, quiet: bool) -> tuple[TextClassifier, Report]:
    from inhouse.pipeline.experts import open_router as open_experts
    from inhouse.pipeline.router import open_router
    from inhouse.pipeline.stages import router

    if experts:
        return open_experts(workspace)
    tell("Training the router, if its examples have changed", quiet)
    return open_router(workspace, router(workspace))


def _print_prediction(text: str, found: Prediction, threshold: float) -> None:
    if not found.name:
        print(f"{text[:140]}\n  fallback: no agent may be asked")
        return
    chosen = found.name if found.in_scope else f"fallback ({found.name} is nearest)"
    against = ">=" if found.in_scope else "<"
    print(f"{text[:140]}\n  {chosen}: probability {found.probability:.2f}")
    print(f"  score {found.score:.2f} {against} {threshold:.2f}; margin {found.margin:.2f}, cosine {found.nearest:.2f}")
    if found.example:
        print(f"  nearest example: {found.example[:140]}")
    others = sorted(((p, name) for name, p in found.probabilities.items() if name != found.name), reverse=True)
    if listed := ", ".join(f"{name} {p:.2f}" for p, name in others[:3]):
        print(f"  next: {listed}")


def _print_quality(found: Quality) -> None:
    print(f"{found.lines} lines")
    if found.accuracy and found.sent:
        print(f"accuracy {_interval(found.accuracy)}; with the threshold {_interval(found.sent)}")
        print(f"false rejects {found.false_rejects:.1%}")
    if found.out_of_scope is not None:
        print(f"out of scope: {found.out_of_scope:.1%} go to the fallback")
    if found.auroc is not None:
        print(f"out of scope: AUROC {found.auroc:.3f}")
    _print_confusion(found.confusion)


def _print_report(report: Report) -> None:
    print("examples: " + ", ".join(f"{name} {n}" for name, n in report.examples.items()))
    if report.accuracy is None:
        print("no examples could be held out: write at least two for each agent")
        return
    print(f"accuracy on held-out examples {_interval(report.accuracy)}")
    print(f"threshold {report.threshold:.2f}, which rejects {report.false_rejects:.1%} of them")
    _print_confusion(report.confusion)


def _interval(share: Estimate) -> str:
    return f"{share.mean:.1%} [{share.low:.1%}, {share.high:.1%}] of {share.n}"


def _print_confusion(rows: Sequence[tuple[str, str, int]]) -> None:
    for own, other, count in rows[:SHOWN]:
        print(f"  {own or '(no agent)'} -> {other or '(fallback)'}: {count}")
