"""The page of costs: the table, what is typed in, exports, budgets, and how it looks."""

import os
from pathlib import Path

import pytest

from inhouse.config.budgets import Budget
from inhouse.serving import cost_report  # noqa: F401 - read now: a page has five seconds
from inhouse.store.budgets import Amount, Limit, Settlement, reserve, settle
from inhouse.store.tables import now_ms


def use(house, limit, amount):
    """Uses an amount of a budget."""
    from inhouse.store.budgets import Wanted

    ledger = house.state.keys.ledger
    with ledger.write() as connection:
        reserve(connection, ledger, [Wanted("e1", [limit], amount, now_ms() + 1000)], now_ms())
        settle(connection, [Settlement("e1", amount)])


def test_the_saving_and_its_parts_are_shown(house):
    page = house.client("admin").get("/console/costs").text
    for words in ("Net saving per month", "First-contact resolution", "60.0%<small>57.0% to 63.0%</small>", "14.5%", "Self-hosted costs less than Base API",
                  "What the net saving depends on", "Break-even", "Machines, while they wait"):  # fmt: skip
        assert words in page, words
    assert page.count('<svg viewBox="0 0 7') == 2


def test_what_is_typed_in_takes_the_place_of_what_was_measured(house):
    typed = {"conversations_per_month": "100,000", "base_escalation": "33%", "custom_escalation": "14.5%", "usd_per_escalation": "12",
             "custom_usd_per_month": "8000", "custom_satisfaction": ""}  # fmt: skip
    client = house.client("admin")
    page = client.get("/console/costs", params=typed).text
    for figure in ("$396,000", "$174,000", "$214,000"):
        assert figure in page
    assert 'value="100,000"' in page
    assert "typed in" in page
    exported = client.get("/console/costs/export", params={**typed, "kind": "html"})
    assert "$214,000" in exported.text
    assert exported.headers["content-disposition"] == 'attachment; filename="costs.html"'
    assert client.get("/console/costs/export", params={"kind": "xlsx"}).content == b"PK"
    assert client.get("/console/costs/export", params={"kind": "exe"}).status_code == 422


@pytest.mark.parametrize(
    "typed", [{"base_escalation": "900"}, {"nothing": "1"}, {"base_escalation": "<script>alert(1)</script>"}]
)
def test_what_is_typed_wrongly_is_refused_and_escaped(house, typed):
    found = house.client("admin").get("/console/costs", params=typed)
    assert found.status_code == 422
    assert 'role="alert"' in found.text
    assert "<script>alert" not in found.text


def test_only_admins_see_costs(house):
    for role in ("reviewer", "user", "staff"):
        assert house.client(role).get("/console/costs").status_code == 403


def test_budgets_show_what_is_left(house):
    tables = (Budget(usd=10, tokens=1000), Budget(per="user", requests=2))
    project = house.state.project
    house.state.project = project.model_copy(update={"budget": tables}).at(project.root)
    use(house, Limit(per="project", most=Amount.of(10, 1000)), Amount(1_500_000_000, 900, 1))
    page = house.client("admin").get("/console/costs").text
    assert "project, this month" in page
    assert "$1.50, 900 tokens" in page
    assert "$8.50, 100 tokens" in page
    assert "90%" in page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_has_no_trouble(house, visit, scheme):
    for width in (1280, 360):
        with visit(house, "admin", color_scheme=scheme, viewport={"width": width, "height": 860}) as tab:
            tab.page.goto("/console/costs")
            assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            if folder := os.environ.get("INHOUSE_SHOTS"):
                tab.page.screenshot(path=str(Path(folder) / f"costs-{scheme}-{width}.png"), full_page=True)
            tab.page.fill("#in-usd_per_escalation", "12")
            tab.page.click("text=Compute")
            tab.page.wait_for_url("**usd_per_escalation=12**")
            assert not tab.trouble
