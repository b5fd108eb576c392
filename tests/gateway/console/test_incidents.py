"""The page of incidents: before there is one, a canary under guard, a rollback with its evidence, and alerts."""

import os
from pathlib import Path

import pytest

from inhouse.store.actions import Actor, acting
from inhouse.store.alerts import Alert, AlertBox
from inhouse.store.incidents import BY, Incident, Line

LINES = (
    Line(metric="errors", title="Errors", tolerated=0.02, answers=(912, 98), shown=(0.011, 0.01), evidence=0.4, needed=500),
    Line(metric="handoffs", title="Handed to a person", tolerated=0.05, answers=(912, 98), shown=(0.061, 0.184), evidence=913.2, needed=400, state="worse"),
    Line(metric="latency", title="Slower than 95% of production", tolerated=0.1, answers=(880, 95), shown=(0.05, 0.12), evidence=3.1, needed=1000),
    Line(metric="groundedness", title="Groundedness", tolerated=0.05, answers=(801, 0), shown=(0.87, None), evidence=1.0, needed=667, missing=98, state="missing"),
)  # fmt: skip
INCIDENT = Incident(
    at="", release="bank/4", production="bank/3", percent=10, since="2026-11-29T09:30:00.000+00:00", metric="handoffs",
    reason="Handed to a person: 18.4% in 98 answers of the canary, 6.1% in 912 of production", metrics=LINES,
    examples=("a1", "b2"),
)  # fmt: skip


def happens(house, incident=INCIDENT):
    with acting(Actor(id="inhouse", name=BY, at="here")):
        house.state.audit.act("incident", "", incident.facts() | {"what": "Canary rolled back: bank/4"})


def test_before_there_is_one(house):
    page = house.client("admin").get("/console/incidents").text
    for words in ("No incidents", "No alerts", "<code>inhouse alerts test</code>"):
        assert words in page
    assert "The canary now" not in page
    assert "Automatic rollback is off" not in page


def test_evidence_examples_and_alerts_are_shown(busy_house):
    happens(busy_house)
    box = AlertBox(busy_house.state.keys.ledger)
    box.add(Alert(kind="rollback", title="bank/4 was <b>rolled back</b>", text="It was worse."), ["webhook"], 0)
    box.done(box.take()[0], [], "webhook: the receiver answered 500")
    busy_house.state.guards = lambda: [LINES[0]]
    try:
        page = busy_house.client("admin").get("/console/incidents").text
    finally:
        busy_house.state.guards = tuple
    for words in (
        "bank/4 was rolled back to bank/3", INCIDENT.reason, "18.4%", "missing in 98 answers", ">913<",
        'href="/console/audit/exchange?id=a1"', "The canary now", "bank/4 was &lt;b&gt;rolled back", "is tried again",
        "the receiver answered 500",
    ):  # fmt: skip
        assert words in page, words
    assert "<b>rolled" not in page
    actions = busy_house.client("admin").get("/console/actions?kind=Incidents").text
    assert "automatic rollback" in actions
    assert "/console/incidents#incident-" in actions


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_has_no_trouble(busy_house, visit, scheme):
    happens(busy_house)
    for width in (1280, 360):
        with visit(busy_house, "admin", color_scheme=scheme, viewport={"width": width, "height": 860}) as tab:
            tab.page.goto("/console/incidents")
            assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            if folder := os.environ.get("INHOUSE_SHOTS"):
                tab.page.screenshot(path=str(Path(folder) / f"incidents-{scheme}-{width}.png"), full_page=True)
            assert not tab.trouble
