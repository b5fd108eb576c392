"""Costs of a project: from live traffic, from the verdict, typed in; and their files."""

import asyncio
import io

import openpyxl
import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange, Usage
from inhouse.config.sections import Project
from inhouse.errors import InputError
from inhouse.models.catalog import Catalog
from inhouse.serving.budgets import alert_in_words
from inhouse.serving.cost_report import costs_file, costs_of, in_words
from inhouse.serving.costs import _from_verdict, account, seen
from inhouse.store.audit import Audit
from inhouse.store.budgets import Amount, BudgetAlert, Limit
from inhouse.store.inbox import Inbox
from inhouse.store.ratings import Ratings
from inhouse.store.tables import now_ms, to_iso
from inhouse.types import Estimate, Message, Silent
from inhouse.verdict import ArmResult, Percentiles, Report

EXAMPLE = {
    "conversations_per_month": "100000", "base_escalation": "33%", "custom_escalation": "14.5%", "usd_per_escalation": "12",
    "custom_usd_per_month": "8000", "customization_usd": "48000",
}  # fmt: skip


@pytest.fixture
def workspace(tmp_path):
    return Workspace(Project(name="bank").at(tmp_path), Catalog(tmp_path), Silent())


def traffic(workspace, users=60):
    """Each user asks once, in an experiment: of base every second one goes to a person, of custom every fifth."""
    with workspace.ledger() as ledger:
        audit, inbox = Audit(ledger), Inbox(ledger)
        for n in range(2 * users):
            arm = "base" if n % 2 else "bank/1"
            exchange = Exchange(
                id=f"e{n}", at=to_iso(now_ms() - (20 * 24 * 60 - n) * 60_000), user=f"u{n}", key="k1", model="custom", release=arm,
                arm="rag", messages=(Message(role="user", content=f"question {n} about topic {n}"),), answer="yes", reason="stop",
                cost_usd=0.002, usage=Usage(prompt_tokens=100, completion_tokens=20), experiment=f"try:{arm}",
            )  # fmt: skip
            asyncio.run(audit.append(exchange))
            if n // 2 % (2 if arm == "base" else 5) == 0:
                inbox.add(exchange, "declined")
        audit.close()


def test_both_sides_are_measured_in_a_live_experiment(workspace):
    traffic(workspace)
    found = account(workspace, {}, seen(workspace))
    rates = {name: (side.escalation.mean, side.cases) for name, side in found.sides.items()}
    assert rates == {"base": (0.5, 60), "custom": (0.2, 60)}
    inputs = found.roi.inputs
    assert inputs["base_escalation"].source == inputs["usd_per_escalation"].source == "measured"
    assert inputs["usd_per_escalation"].value == pytest.approx(3.0)
    volume = inputs["conversations_per_month"].value
    assert volume == pytest.approx(120 / 20 * 30.44, rel=0.02)
    assert found.roi.net_usd.mean == pytest.approx(volume * 0.3 * 3)
    assert found.roi.net_usd.low < found.roi.net_usd.mean < found.roi.net_usd.high
    assert found.spent.answers == 120
    assert found.spent.busy == pytest.approx(0.24)
    assert found.spent.idle == pytest.approx(20 * 24 * 0.1 - 0.24, rel=0.01)


def test_each_rating_is_a_minute_of_a_person_that_customization_cost(workspace):
    traffic(workspace, users=2)
    before = account(workspace, {}, seen(workspace)).roi.inputs["customization_usd"].value
    with workspace.ledger() as ledger:
        for n, rater in ((0, "a"), (0, "b"), (1, "a")):
            Ratings(ledger).add(f"e{n}", rater, "right")
    paid = account(workspace, {}, seen(workspace)).roi.inputs["customization_usd"]
    assert paid.value - before == pytest.approx(3 / 60 * 30)
    assert "3 labels" in paid.note


def test_without_traffic_and_verdict_the_missing_inputs_are_named(workspace):
    found = costs_of(workspace, {}, seen(workspace))
    assert found.missing == ("Escalation rate, base", "Escalation rate, custom")
    assert (found.net, found.payback, found.options, found.dependence) == ("–", "–", (), "")
    assert "Nothing is known of base yet" in found.notes[0]


def test_the_missions_example_in_words_and_pictures(workspace):
    found = costs_of(workspace, EXAMPLE, seen(workspace))
    lines = {line.title: line.cells for line in found.table}
    assert lines["Escalations, per month"] == ("$396,000", "$174,000")
    assert (found.net, found.payback) == ("$214,000", "7 days")
    assert len(found.options) == 4
    assert found.options[-1].title == "Base API"
    assert len(found.break_even) == 6
    assert found.dependence.startswith("<svg")
    assert "Escalation rate, base" in found.dependence
    assert found.by_volume.count("<polyline") == 8


def test_typing_nonsense_is_refused(workspace):
    with pytest.raises(InputError, match="base_escalation"):
        costs_of(workspace, {"base_escalation": "many"}, seen(workspace))


def test_before_launch_the_verdict_stands_in_and_says_so():
    def arm(answered, wrong):
        ms = Percentiles(p50=400, p95=900, p99=1000)
        metrics = {"answered": Estimate(mean=answered, low=answered - 0.03, high=answered + 0.03, n=200),
                   "wrong": Estimate(mean=wrong, low=wrong - 0.04, high=wrong + 0.04, n=200)}  # fmt: skip
        return ArmResult(metrics=metrics, latency_ms=ms, first_token_ms=ms, prompt_tokens=300, answer_tokens=40,
                         usd_per_1000=0.02, seconds=1, failed=0)  # fmt: skip

    found = _from_verdict(
        Report.model_construct(arms={"base": arm(0.9, 0.5), "rag": arm(0.8, 0.1)}, recommendation=None)
    )
    base, custom = found["base_escalation"], found["custom_escalation"]
    assert (base.value, custom.value) == (pytest.approx(0.6), pytest.approx(0.3))
    assert (custom.low, custom.high) == (pytest.approx(0.25), pytest.approx(0.35))
    assert custom.source == "verdict"
    assert custom.note == "arm rag"
    assert found["custom_usd_per_conversation"].value == 2e-5
    none = _from_verdict(Report.model_construct(arms={"base": arm(0.5, 0.5)}, recommendation=None))["base_escalation"]
    assert (none.value, none.low, none.high) == (1.0, 1 - 3 / 200, 1.0)


def test_the_workbook_follows_its_inputs_by_formulas_and_has_their_values(workspace):
    made = costs_file(workspace, EXAMPLE, "xlsx", seen(workspace))
    formulas, values = (
        openpyxl.load_workbook(io.BytesIO(made), data_only=v)["Base against custom"] for v in (False, True)
    )
    assert "conversations_per_month*base_escalation*usd_per_escalation" in formulas["B2"].value
    assert [values[cell].value for cell in ("B2", "C2", "C4", "B7")] == pytest.approx([396_000, 174_000, 8000, 214_000])
    book = openpyxl.load_workbook(io.BytesIO(made))
    place = book.defined_names["custom_escalation"].attr_text
    assert book["Inputs"][place.partition("!")[2].replace("$", "")].value == 0.145
    assert "B5-C5" in formulas["B7"].value


def test_amounts_in_the_other_sheets_are_numbers(workspace):
    traffic(workspace)
    book = openpyxl.load_workbook(io.BytesIO(costs_file(workspace, EXAMPLE, "xlsx", seen(workspace))))
    spending = {row[0].value: row[1] for row in book["Spending"].iter_rows(min_row=2, max_row=7)}
    assert {type(cell.value) for cell in spending.values()} <= {int, float}
    assert spending["All"].value == pytest.approx(sum(cell.value for cell in list(spending.values())[:4]))
    assert spending["All"].number_format == "$#,##0.00"
    options = list(book["Options"].iter_rows(min_row=2, max_row=5))
    assert {type(cell.value) for row in options for cell in row[1:5]} <= {int, float}
    assert options[0][4].number_format == "0.0%"


@pytest.mark.parametrize(
    ("change", "saving", "payback"),
    [
        ({"custom_escalation": 0.2}, 100_000 * (0.33 - 0.2) * 12 - 8000, 48_000 / (100_000 * (0.33 - 0.2) * 12 - 8000)),
        ({"custom_escalation": 0.5}, 100_000 * (0.33 - 0.5) * 12 - 8000, "never"),
        ({"base_escalation": None}, "unknown", "unknown"),
        ({"conversations_per_month": None}, "unknown", "unknown"),
    ],
)
def test_formulas_follow_the_inputs_by_another_programs_calculation(workspace, change, saving, payback):
    import formualizer

    made = costs_file(workspace, EXAMPLE, "xlsx", seen(workspace))
    book = openpyxl.load_workbook(io.BytesIO(made))
    engine = formualizer.Workbook()
    engine.add_sheet("Inputs")
    engine.add_sheet("S")
    places = {n: d.attr_text.partition("!")[2].replace("$", "") for n, d in book.defined_names.items()}
    for name, place in places.items():
        value = change.get(name, book["Inputs"][place].value)
        if value is not None:
            engine.set_value("Inputs", int(place[1:]), 2, float(value))
    for row in book["Base against custom"].iter_rows(min_row=2, max_row=9, max_col=3):
        for cell in row:
            if isinstance(cell.value, str) and cell.value.startswith("="):
                text = cell.value
                for name in sorted(places, key=len, reverse=True):
                    text = text.replace(name, f"Inputs!{places[name]}")
                engine.set_formula("S", cell.row, cell.column, text)
    for row, value in ((7, saving), (9, payback)):
        assert engine.evaluate_cell("S", row, 2) == (value if isinstance(value, str) else pytest.approx(value))


def test_the_page_is_whole_and_escapes_what_people_named(tmp_path):
    name = "<b>bank</b>"
    workspace = Workspace(Project(name=name).at(tmp_path), Catalog(tmp_path), Silent())
    page = costs_file(workspace, EXAMPLE, "html", seen(workspace)).decode()
    assert "&lt;b&gt;bank&lt;/b&gt;: costs" in page
    assert name not in page
    assert "$214,000" in page
    assert page.count("<svg") == 2
    assert "src=" not in page
    assert "href=" not in page
    assert in_words("x", account(workspace, EXAMPLE, seen(workspace)), EXAMPLE).net == "$214,000"


def test_an_alert_of_a_budget_says_what_was_used_and_when_it_resets():
    limit = Limit(per="team", subject="sales", most=Amount.of(10, 0, 100), alert_at=0.8)
    alert = BudgetAlert(limit=limit, kind="reached", spent=Amount.of(8.5, 900, 30), resets_at="2026-12-01", key="k")
    words = alert_in_words(alert)
    assert words["title"] == "The budget of the team sales for this month has reached 80%"
    assert words["text"] == "$8.50, 30 requests of $10.00, 100 requests are used. It resets at 2026-12-01."
    assert alert_in_words(alert.model_copy(update={"kind": "refused"}))["severity"] == "critical"
