"""The files in deploy/: they parse, and every metric that they name is one that the gateway has."""

import json
import re
from pathlib import Path

import pytest
import yaml

from inhouse.gateway.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
NAMED = re.compile(r"\binhouse_[a-z_]+\b")


def expressions(name):
    text = (DEPLOY / name).read_text()
    if name.endswith(".yml"):
        return [rule["expr"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    return [target["expr"] for panel in json.loads(text)["panels"] for target in panel["targets"]]


def known():
    """Every name of a sample, as Prometheus stores them."""
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {family.name + end for family in Metrics().registry.collect() for end in ends[family.type]}


@pytest.mark.parametrize("name", ["prometheus-rules.yml", "grafana-dashboard.json"])
def test_every_metric_exists(name):
    named = {metric for expression in expressions(name) for metric in NAMED.findall(expression)}
    assert named
    assert named <= known()


def test_every_label_exists():
    every = {"le"}.union(*(c._labelnames for c in vars(Metrics()).values() if hasattr(c, "_labelnames")))
    for name in ("prometheus-rules.yml", "grafana-dashboard.json"):
        for expression in expressions(name):
            used = re.findall(r"by \(([a-z_, ]+)\)", expression) + re.findall(r"\{([a-z_]+)=", expression)
            assert {label.strip() for part in used for label in part.split(",")} <= every, expression


def test_rules_say_what_is_wrong_and_where_to_look():
    for group in yaml.safe_load((DEPLOY / "prometheus-rules.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]


def test_panels_do_not_overlap():
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    cells = [
        (x, y) for p in panels for at in [p["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]  # fmt: skip
    assert len(cells) == len(set(cells))
    assert len({p["id"] for p in panels}) == len(panels)
