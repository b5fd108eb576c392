"""The page of drift: before a look, with alarms, and what users wrote in it."""

import os
from pathlib import Path

import pytest

from inhouse.gateway.console.seams import Asked, DocumentNote, Drift, DriftGroup, DriftMonitor


def asked(n, text):
    return Asked(exchange=f"x{n}", text=text)


def made(text="Does the Falcon card cost anything?", changed=True):
    group = DriftGroup(
        question=asked(1, text), terms=("falcon", "card"), share=0.052, usual_share=0.001,
        examples=(asked(1, text), asked(2, "Can I get a Falcon card as a student?"), asked(3, "Falcon card annual fee")),
    )  # fmt: skip
    monitors = (
        DriftMonitor(
            name="new questions", area="questions", state="changed" if changed else "no change", days=1, unit=" points",
            says="The group of questions that has grown most has 5.2% of the questions of the last day.", effect=5.1, low=2.9,
            high=8.2, since="2026-11-29T20:00:00+00:00", waiting="about $41.50 a day", groups=(group,), examples=group.examples,
            todo="Check that the documents answer these questions, and run `inhouse evaluate`.",
        ),
        DriftMonitor(
            name="latency", area="operation", state="no change", days=7, unit="%", effect=4.0, low=-3.0, high=11.0,
            says="The time to answer is 1.04 in the last 7 days, usually 1: +4% [-3%, +11%].",
        ),
        DriftMonitor(name="errors", area="operation", state="not enough traffic", ready_on="2026-12-14", says="It takes 412 users and days."),
    )  # fmt: skip
    documents = (
        DocumentNote(kind="contradicting", sources=("fees.csv", "accounts/alder.md"), says="$8 in one and $7.4 in the other.",
                     texts=("Alder Checking monthly fee | $8.00", "The monthly fee is $7.40.")),
    )  # fmt: skip
    return Drift(
        made_at="2026-11-30T20:00:00+00:00", release="first-national-bank/3", requests=31200, budget=0.5,
        against="the first 28 days of the release", monitors=monitors, documents=documents,
    )  # fmt: skip


def test_before_a_look_the_page_says_how_to_look(house):
    page = house.client("admin").get("/console/drift").text
    assert "Nobody has looked yet" in page
    assert "<code>inhouse drift</code>" in page


def test_an_alarm_says_what_it_is_shows_examples_what_waiting_costs_and_what_to_do(house):
    house.bank.drifted = made()
    page = house.client("admin").get("/console/drift").text
    for words in (
        "1 of 3 monitors has changed", "5.2% of the questions of the last day", "about $41.50 a day", "<code>inhouse evaluate</code>",
        "Words: falcon, card", "/console/audit/exchange?id=x2", "since 2026-11-29 20:00", "enough about 2026-12-14",
        "+5.1 points", "contradicting", "Alder Checking monthly fee | $8.00", "at most 0.5 false alarms a month",
    ):  # fmt: skip
        assert words in page, words
    assert page.count("Can I get a Falcon card as a student?") == 1


def test_without_an_alarm_there_is_nothing_to_do(house):
    house.bank.drifted = made(changed=False)
    page = house.client("admin").get("/console/drift").text
    assert "No change that does harm." in page
    assert "What waiting costs" not in page


def test_questions_of_users_are_escaped(house):
    house.bank.drifted = made(text="<script>alert(1)</script>")
    assert "<script>alert" not in house.client("admin").get("/console/drift").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_has_no_trouble(house, visit, scheme):
    house.bank.drifted = made()
    for width in (1280, 360):
        with visit(house, "admin", color_scheme=scheme, viewport={"width": width, "height": 860}) as tab:
            tab.page.goto("/console/drift")
            assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            if folder := os.environ.get("INHOUSE_SHOTS"):
                tab.page.screenshot(path=str(Path(folder) / f"drift-{scheme}-{width}.png"), full_page=True)
            assert not tab.trouble
