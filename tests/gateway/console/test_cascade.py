"""The page of the cascade: before there is one, as certified, void, and not certified."""

import os
from pathlib import Path

import numpy as np
import pytest

from inhouse.certificate import CascadeReport
from inhouse.evaluation.plots import cost_quality
from inhouse.gateway.console.seams import Cascade
from inhouse.routing import certificate as c
from inhouse.store.traffic import RungUse

LIVE = (
    RungUse(name="tuned+rag", asked=900, answered=700, usd=0.9, p50_ms=850.0, p95_ms=1900.0),
    RungUse(name="inbox", asked=200, answered=200, usd=600.0),
    RungUse(name="gone", asked=4, answered=0, usd=0.1),
)


def made(questions=1600, target=0.08, name="tuned+rag", void=None):
    rng = np.random.default_rng(4)
    ease = rng.beta(1.2, 0.5, questions)
    right = np.stack([rng.random(questions) < ease, np.ones(questions)], 1).astype(float)
    answers = c.Answers(ease[:, None], right, np.array([0.0002, 1.5]), person=True)
    rows = np.arange(questions // 2), np.arange(questions // 2, questions)
    fitted = c.fit(answers, *rows, {"wrong": target}, digests={"model": "a"})
    slow = np.stack([rng.normal(900, 90, questions), np.full(questions, np.nan)], 1)
    rungs = c.rung_results(
        answers.take(rows[1]), fitted.thresholds, [name, "inbox"], ["model", "person"], slow, slow / 4
    )  # of all questions
    report = CascadeReport(
        rungs=rungs, certificates=fitted.certificates, curve=fitted.curve, certified=fitted.certified,
        plain=fitted.plain, top=fitted.top, recommendation=c.recommendation(fitted, rungs),
        feasibility=c.feasibility(answers, {"wrong": target}, 0.05, len(rows[1])),
        questions={"selection": len(rows[0]), "certificate": len(rows[1])},
    )  # fmt: skip
    return Cascade(report=report, picture=str(cost_quality(report)), made_at="2026-11-30T07:00:00+00:00", void=void)


def test_before_there_is_one_the_page_says_how_to_make_it(house):
    page = house.client("admin").get("/console/cascade").text
    assert "No cascade yet" in page
    assert "<code>inhouse cascade fit</code>" in page


def test_certificates_rungs_and_what_was_possible_are_shown(house):
    house.bank.cascaded = found = made(void="")
    assert found.report.certified
    page = house.client("admin").get("/console/cascade").text
    own = found.report.certificates[0]
    for words in (
        f"{found.report.certified.share_up:.1%}", f"{own.bound:.1%}", f"{found.report.thresholds[0]:.3f}", "exact binomial",
        "800 questions for selection and 800 questions for certificate", "Questions needed: 36 with 0 wrong",
        '<span class="badge is-good">certified</span>', '<span class="badge">person</span>', '<circle class="spot certified"',
    ):  # fmt: skip
        assert words in page, words
    assert page.count("<polyline") == 1


@pytest.mark.parametrize(
    ("found", "words"),
    [(made(void="index, model"), "The certificates are void: index, model changed"), (made(40), "no thresholds are certified")],
)  # fmt: skip
def test_void_and_missing_certificates_are_warned_of(house, found, words):
    house.bank.cascaded = found
    page = house.client("admin").get("/console/cascade").text
    assert words in page
    assert '<span class="badge is-good">certified</span>' not in page


def test_live_traffic_stands_beside_what_was_measured(house):
    house.bank.cascaded = made(void="").model_copy(update={"answers": 900, "live": LIVE})
    page = house.client("admin").get("/console/cascade").text
    for words in ("In production", "the last 900 answers of 30 days", "77.8%", "22.2%", "850 ms", "1.9 s", "$3,000"):
        assert words in page, words


def test_names_of_rungs_are_escaped(house):
    house.bank.cascaded = made(name="<b onclick=x>")
    assert "<b onclick" not in house.client("admin").get("/console/cascade").text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_has_no_trouble(house, visit, scheme):
    house.bank.cascaded = made(void="").model_copy(update={"answers": 900, "live": LIVE})
    for width in (1280, 360):
        with visit(house, "admin", color_scheme=scheme, viewport={"width": width, "height": 860}) as tab:
            tab.page.goto("/console/cascade")
            assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            if folder := os.environ.get("INHOUSE_SHOTS"):
                tab.page.screenshot(path=str(Path(folder) / f"cascade-{scheme}-{width}.png"), full_page=True)
            assert not tab.trouble
