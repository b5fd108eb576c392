"""The home page: who comes to it, what it shows of today and of the path, and which links a role gets."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from inhouse.monitoring.roadmap import Facts
from inhouse.roadmap import Live, Todo
from inhouse.types import Estimate

LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1280, "height": 860}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1280, "height": 860}},
    "phone": {"color_scheme": "light", "viewport": {"width": 360, "height": 740}},
}


WATCHED = Live(
    watch="bank/3 is a canary until 2026-12-02 10:00 UTC",
    waits=(
        Todo(text="5 questions about <b>cards</b> need an answer", page="inbox"),
        Todo(text="bank/3 was rolled back", command="inhouse release promote 3", page="incidents"),
    ),
)


@pytest.mark.parametrize(
    ("who", "to"), [("admin", "home"), ("reviewer", "home"), ("user", "playground"), ("staff", "playground")]
)
def test_each_role_begins_at_its_page(house, who, to):
    client = house.client(who)
    assert client.get("/console/").headers["location"] == f"/console/{to}"
    assert (client.get("/console/home").status_code == 200) == (to == "home")


def test_a_gateway_without_a_project_begins_at_the_playground(house, monkeypatch):
    monkeypatch.setattr(house.state, "insight", None)
    assert house.client("admin").get("/console/").headers["location"] == "/console/playground"


def test_links_lead_only_to_pages_of_the_role(house):
    admin, reviewer = (
        house.client("admin").get("/console/home").text,
        house.client("reviewer").get("/console/home").text,
    )
    main = {who: page.split("<main")[1] for who, page in (("admin", admin), ("reviewer", reviewer))}
    assert 'href="/console/verdict"' in main["admin"]
    assert 'href="/console/verdict"' not in main["reviewer"], "the step stays, as text"
    assert "See every question with its answers." in main["reviewer"]
    assert "inhouse experiment start" in main["reviewer"]


def test_figures_of_today_are_counted_and_estimates_are_optional(house, monkeypatch):
    house.record(house.exchange("chatcmpl-1"), house.exchange("chatcmpl-2", reason="error"))
    house.inbox.add(house.exchange("chatcmpl-1"), "asked for a person")
    page = house.client("admin").get("/console/home").text
    assert "Requests today</dt><dd>2<small>1 failed" in page
    assert "Handed to a person today</dt><dd>1" in page
    assert 'Waiting in the inbox</dt><dd><a href="/console/inbox">1' in page
    assert "Estimated accuracy" not in page
    assert "Incidents in 30 days" not in page
    monkeypatch.setattr(
        house.bank, "estimated", Live(accuracy=Estimate(mean=0.83, low=0.79, high=0.86, n=50), incidents=2)
    )
    page = house.client("admin").get("/console/home").text
    assert "Estimated accuracy</dt><dd>83%<small>79% to 86%" in page
    assert 'Incidents in 30 days</dt><dd class="bad">2' in page


def test_what_the_watch_does_and_waits_for_is_shown(house, monkeypatch):
    assert "The watch" not in house.client("admin").get("/console/home").text
    monkeypatch.setattr(house.bank, "estimated", WATCHED)
    admin, reviewer = (house.client(who).get("/console/home").text for who in ("admin", "reviewer"))
    for page in (admin, reviewer):
        assert "bank/3 is a canary until 2026-12-02 10:00 UTC" in page
        assert '<a href="/console/inbox">5 questions about &lt;b&gt;cards&lt;/b&gt; need an answer</a>' in page
        assert "<code>inhouse release promote 3</code>" in page
    assert '<a href="/console/incidents">bank/3 was rolled back</a>' in admin


def test_what_documents_say_is_escaped(house, monkeypatch):
    monkeypatch.setattr(house.bank, "standing", replace(house.bank.standing, production="<script>alert(1)</script>"))
    page = house.client("admin").get("/console/home").text
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("look", LOOKS)
def test_the_page_in_a_browser(busy_house, visit, look):
    busy_house.bank.estimated = WATCHED
    with visit(busy_house, "admin", **LOOKS[look]) as tab:
        _keep(tab.page, f"home-{look}")
        assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert tab.page.locator(".path > li").count() == 5
        assert tab.page.locator("[aria-current=step] h2").text_content() == "Scale"
        learned = busy_house.bank.standing
        busy_house.bank.standing = Facts(project="First National Bank")
        tab.page.reload()
        _keep(tab.page, f"home-empty-{look}")
        busy_house.bank.standing = learned
        assert tab.page.locator("[aria-current=step] h2").text_content() == "Data audit"
        assert not tab.trouble


def _keep(page, name):
    if folder := os.environ.get("INHOUSE_SHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
