"""The gate of a release: the rules of [release], each with the figures that it looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inhouse.config.sections import Release as Gate
from inhouse.evaluation.recommend import points
from inhouse.evaluation.report import LOWER_IS_BETTER
from inhouse.types import Estimate, Json

# --- the gate ---------------------------------------------------------------------------------------------------


def judged(report: Mapping[str, Any], arm: str, gate: Gate, smallest_gain: float) -> list[dict[str, Json]]:
    """The rules of the gate, each with whether it holds and with the figures that it looked at."""
    if arm == "base":
        says = "the verdict recommends the base model as it is, which is served as `base` beside every release"
        return [{"rule": "arm", "passed": False, "says": says}]
    if arm not in report["arms"]:
        return [{"rule": "arm", "passed": False, "says": f"the verdict did not ask the arm {arm}"}]
    gains = report["gains"].get(f"{arm} over base", {})
    rules = [_gain(gains.get("accuracy"), arm, smallest_gain)]
    rules += [_no_worse(gains.get(metric), arm, metric) for metric in gate.no_worse]
    if arm.startswith("tuned"):
        passed = bool(report["parity"] and report["parity"]["passed"])
        says = "the served model is the trained one" if passed else "parity did not pass"
        rules.append({"rule": "parity", "passed": passed, "says": says})
    return rules


def _gain(found: Mapping[str, Any] | None, arm: str, smallest: float) -> dict[str, Json]:
    if found is None:
        return {"rule": "gain", "passed": False, "says": f"the gain in accuracy of {arm} over base was not measured"}
    figures = points(Estimate(**found))
    says = f"the gain in accuracy of {arm} over base is {figures} points, and must start above {100 * smallest:+.1f}"
    return {"rule": "gain", "passed": found["low"] > smallest, "says": says}


def _no_worse(found: Mapping[str, Any] | None, arm: str, metric: str) -> dict[str, Json]:
    if found is None:
        return {"rule": metric, "passed": False, "says": f"{metric} of {arm} was not measured"}
    worse = found["low"] > 0 if metric in LOWER_IS_BETTER else found["high"] < 0
    says = f"{metric} of {arm} less that of base is {points(Estimate(**found))} points, and may not be worse"
    return {"rule": metric, "passed": not worse, "says": says}
