"""The gate of a release: the rules of [release], each with the figures that it looked at."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from inhouse.assembly.standing import LIVE, live
from inhouse.assembly.workspace import Workspace
from inhouse.certificate import CascadeReport
from inhouse.config.sections import Project
from inhouse.evaluation.untouched import lost, on_others
from inhouse.types import Artifact, Estimate, GateRule
from inhouse.verdict import LOWER_IS_BETTER, PretrainingEffect, Report, points


def gate_rules(report: Report, arm: str, project: Project) -> list[GateRule]:
    """The rules for releasing `arm`, each with whether it holds."""
    if arm == "base":
        text = "the base model needs no release: it is served as `base` next to every release"
        return [GateRule(name="arm", passed=False, text=text)]
    if arm not in report.arms:
        return [GateRule(name="arm", passed=False, text=f"the verdict has no results for the arm {arm}")]
    rules = [_gain(report.gain(arm, "accuracy"), arm, project.evaluation.smallest_gain)]
    rules.append(_wrong(report.arms[arm].metrics.get("wrong"), arm, project.release.max_wrong))
    rules += [_no_worse(report.gain(arm, metric), arm, metric) for metric in project.release.no_worse]
    if arm.startswith("tuned"):
        parity = report.subject.parity
        passed = parity is not None and parity.passed
        text = "the served model matches the trained one" if passed else "the parity check did not pass"
        name = "parity"
        if parity and parity.overlap is not None:
            name, text = "agreement", (
                f"it stays at an endpoint; of {parity.prompts} questions asked twice it answered "
                f"{100 * (parity.same_answers or 0):.0f}% the same, and the answers overlap by {parity.overlap:.2f}"
            )  # fmt: skip
        rules.append(GateRule(name=name, passed=passed, text=text))
    if arm.startswith("cpt"):
        rules.append(_forgetting(report.pretraining_tuned if "tuned" in arm else report.pretraining))
    if "+feedback" in arm:
        rules.append(_untouched(report, arm, project.feedback.max_loss))
    data = report.subject.data
    for name, gaps in (("personal data", data.personal_data_gaps), ("languages", data.language_gaps)):
        if gaps:
            rules.append(GateRule(name=name, passed=True, text=f"warning: {' '.join(gaps)}"))
    return rules


def certificate_rule(lineage: Iterable[tuple[int, Artifact]], workspace: Workspace) -> GateRule:
    """A cascade is released only as it is certified; `lineage` is that of its verdict."""
    made = next((a for depth, a in lineage if depth == 1 and a.kind == "cascade"), None)
    if made is None:
        return GateRule(name="certificate", passed=False, text="the verdict did not try the cascade")
    if changed := CascadeReport.read(Path(made.path)).void(live(workspace), LIVE):
        text = f"the certificate is void: {changed} changed since; `inhouse cascade fit` and `inhouse build` renew it"
        return GateRule(name="certificate", passed=False, text=text)
    return GateRule(name="certificate", passed=bool(made.facts["certified"]), text=str(made.facts["recommendation"]))


def _gain(gain: Estimate | None, arm: str, smallest: float) -> GateRule:
    if gain is None:
        return GateRule(name="gain", passed=False, text=f"the accuracy of {arm} was not compared with base")
    text = f"accuracy of {arm} over base: {points(gain)} points; the interval must start above {100 * smallest:+.1f}"
    return GateRule(name="gain", passed=gain.low > smallest, text=text)


def _wrong(wrong: Estimate | None, arm: str, most: float) -> GateRule:
    if wrong is None:
        return GateRule(name="wrong answers", passed=False, text=f"wrong answers of {arm} were not measured")
    text = (
        f"wrong answers of {arm}: {100 * wrong.mean:.1f}% [{100 * wrong.low:.1f}, {100 * wrong.high:.1f}] of all "
        f"questions; at most {100 * most:g}%"
    )
    return GateRule(name="wrong answers", passed=wrong.mean <= most, text=text)


def _forgetting(effect: PretrainingEffect | None) -> GateRule:
    """Continued pre-training must not be paid for by what the model knew. A verdict with this arm was refused before if
    parity did not pass."""
    if effect is None:
        return GateRule(name="forgetting", passed=False, text="what continued pre-training forgot was not measured")
    text = effect.forgets or effect.sentence.rstrip(".")
    return GateRule(name="forgetting", passed=not effect.forgets, text=text)


def _untouched(report: Report, arm: str, most: float) -> GateRule:
    """Learning from feedback must not be paid for by other questions."""
    why = lost(arm, report.feedback, most)
    text = why or next(on_others(e, most) for e in report.feedback if e.arm == arm)
    return GateRule(name="untouched questions", passed=not why, text=text)


def _no_worse(gain: Estimate | None, arm: str, metric: str) -> GateRule:
    if gain is None:
        return GateRule(name=metric, passed=False, text=f"{metric} of {arm} was not measured")
    worse = gain.low > 0 if metric in LOWER_IS_BETTER else gain.high < 0
    text = f"{metric} of {arm} over base: {points(gain)} points; it must not be worse"
    return GateRule(name=metric, passed=not worse, text=text)
