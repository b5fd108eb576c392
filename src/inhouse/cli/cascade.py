"""The commands of cascades: fit and show. Nothing heavy at import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from inhouse.cli.options import HERE, AsJson, At, Set, print_json, tell, workspace_of

if TYPE_CHECKING:
    from inhouse.certificate import CascadeReport

cascade_app = typer.Typer(no_args_is_help=True, help="Small models first, with a certificate: fit, show.")


@cascade_app.command("fit")
def cascade_fit(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Ask every rung, choose the thresholds, and certify them on questions used for nothing else.

    The rungs are the tables `cascade.rung` of the project file. To have the cascade in the verdict, add "cascade" to
    evaluation.arms.
    """
    from inhouse.cli.build import _make

    artifact = _make("cascade", "Fitting the cascade; every rung is asked every question", project, overrides, as_json)
    if not as_json:
        from inhouse.certificate import CascadeReport

        _print(CascadeReport.read(Path(artifact.path)), "")


@cascade_app.command("show")
def cascade_show(project: At = HERE, overrides: Set = None, as_json: AsJson = False) -> None:
    """Show the latest cascade: rungs, certificates, and whether these still hold."""
    from inhouse.assembly.standing import standing
    from inhouse.certificate import CascadeReport
    from inhouse.errors import InputError

    workspace = workspace_of(project, overrides, as_json)
    artifact = workspace.store.latest("cascade")
    if artifact is None:
        raise InputError("there is no cascade yet", "add [[cascade.rung]] tables, and run `inhouse cascade fit`")
    report = CascadeReport.read(Path(artifact.path))
    void = report.void(standing(workspace))
    if as_json:
        print_json(report.model_dump(mode="json") | {"void": void})
    else:
        _print(report, void)


def _print(report: CascadeReport, void: str) -> None:
    for line in report.feasibility:
        print(line.sentence)
    print()
    print(f"{'rung':28} {'share':>7} {'right':>7} {'alone wrong':>12} {'$ / 1,000':>10} {'p50 ms':>8}")
    for rung in report.rungs:
        right = "-" if rung.right is None else f"{rung.right:.1%}"
        p50 = "-" if rung.p50_ms is None else f"{rung.p50_ms:.0f}"
        print(f"{rung.name[:28]:28} {rung.share:7.1%} {right:>7} {rung.error:12.1%} {1000 * rung.usd:10.3f} {p50:>8}")
    print()
    for c in report.certificates:
        what = "wrong among the answers" if c.risk == "wrong" else "loss against the top rung"
        state = "certified" if c.passed else "not certified"
        print(f"{what}: at most {c.target:.1%} {state}; observed {c.observed:.1%}, bound {c.bound:.1%} with "
              f"{1 - c.delta:.0%} confidence on {c.n} questions ({c.method})")  # fmt: skip
    if void:
        print(f"The certificates are void: {void} changed since. Run `inhouse cascade fit` again.")
    tell(report.recommendation)
