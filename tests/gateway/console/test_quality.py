"""The page of live accuracy, and the answers that reviewers rate."""

import re

import pytest

from inhouse.gateway.console.seams import Quality, QualityLine
from inhouse.store.ratings import Drawn, Ratings

WHY = "live answers no longer look like those of the verdict (AUROC 0.83); 10 labels would tell"


def line(until, **more):
    told = {"release": "first-national-bank/3", "requests": 1200, "handed_off": 0.112, "answers": 1066, "labels": 38,
            "mean": 0.81, "low": 0.76, "high": 0.85, "method": "both", "up": 31, "down": 6}  # fmt: skip
    return QualityLine(until=until, **{**told, **more})


@pytest.fixture
def figures(house):
    before, house.bank.figures = house.bank.figures, Quality(
        at="2026-11-30T09:00:00+00:00", pairs=14, agree=0.86, kappa=0.71, low=0.42, high=0.95,
        lines=(
            line("2026-11-30T09:00:00+00:00"),
            line("2026-11-23T00:00:00+00:00", mean=None, method="", labels=4, why=WHY),
            line("2026-11-16T00:00:00+00:00", method="reference", labels=0, low=0.73, high=0.87),
        ),
    )  # fmt: skip
    yield house.bank.figures
    house.bank.figures = before


def drawn(house, *exchanges, period="2026-11-23T00:00:00+00:00"):
    ratings = Ratings(house.ledger)
    house.record(*exchanges)
    ratings.draw([
        Drawn(exchange_id=e.id, period=period, place=n + 1.0, probability=0.1, why="uncertain")
        for n, e in enumerate(exchanges)
    ])  # fmt: skip
    return ratings


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_the_page_shows_figures_with_intervals_or_why_nothing_is_known(house, figures):
    text = text_of(house.client("reviewer").get("/console/quality").text)
    assert "81% 76% to 85%" in text
    assert "kappa 0.71 (0.42 to 0.95), 14 answers rated twice" in text
    assert f"unknown {WHY} 4 1,066" in text
    assert "what answers show, and labels 38" in text
    assert "what answers show 0" in text


def test_the_figures_at_the_top_are_those_of_production(house, figures):
    canary = line("2026-11-30T09:00:00+00:00", release="first-national-bank/4", mean=None, why="12 answers: too few")
    lines = (canary, *figures.lines)
    house.bank.figures = figures.model_copy(update={"production": "first-national-bank/3", "lines": lines})
    text = text_of(house.client("reviewer").get("/console/quality").text)
    assert "76% to 85%, first-national-bank/3" in text
    assert "The accuracy is unknown" not in text


def test_an_unknown_accuracy_says_why_at_the_top(house, figures):
    house.bank.figures = figures.model_copy(update={"lines": figures.lines[1:]})
    text = text_of(house.client("admin").get("/console/quality").text)
    assert "The accuracy is unknown. Live answers no longer look like those of the verdict" in text


def test_figures_that_are_being_computed_are_asked_for_again(house, figures):
    house.bank.figures = None
    page = house.client("admin").get("/console/quality").text
    assert "The figures are being computed" in page
    assert 'hx-trigger="every 3s"' in page
    house.bank.figures = Quality(at="2026-11-30T09:00:00+00:00", problem="the database could not be read")
    page = house.client("admin").get("/console/quality").text
    assert "the database could not be read" in page
    assert "every 3s" not in page


def test_a_reviewer_rates_one_answer_after_the_other(house, figures):
    first = house.exchange("rate-1", "What does a <b>wire</b> cost?", "It costs $25.", confidence=0.4321)
    second = house.exchange("rate-2", "Is Millbrook open?", "No.")
    ratings = drawn(house, first, second)
    client = house.client("reviewer")
    assert "Rate 2 answers" in client.get("/console/quality").text
    page = client.get("/console/quality/rate").text
    assert "What does a &lt;b&gt;wire&lt;/b&gt; cost?" in page
    assert "43" not in text_of(page), "the confidence would move the rating"
    later = re.search(r'href="/console(/quality/rate\?[^"]+)"', page)[1].replace("&amp;", "&")
    assert "Is Millbrook open?" in client.get(f"/console{later}").text
    told = {"csrf": client.token, "id": "rate-1", "label": "partly", "comment": "only domestic"}
    answer = client.post("/console/quality/rate", data=told)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/quality/rate")
    (kept,) = ratings.about(["rate-1"])
    key = house.made["reviewer"][0].id
    assert (kept.rater, kept.label, kept.comment, kept.probability) == (key, "partly", "only domestic", 0.1)
    (action,) = house.audit.actions(about="rate-1")
    assert (action.what, action.by.name) == ("answer rated", "Ines Okafor")
    again = client.post("/console/quality/rate", data=told)
    assert (again.status_code, len(ratings.about(["rate-1"]))) == (422, 1)
    assert client.post("/console/quality/rate", data={**told, "id": "rate-2", "label": "right"}).status_code == 303
    done = client.get("/console/quality/rate")
    assert (done.status_code, done.headers["location"]) == (303, "/console/quality")
    assert "answer rated" in house.client("admin").get("/console/actions?kind=Ratings").text.lower()


def test_reviewers_rate_what_their_groups_may_read_and_what_was_drawn(house, figures):
    secret = house.exchange("rate-staff", "What may a teller waive?", "Up to $40.", groups=frozenset({"staff"}))
    other = house.exchange("rate-other", "Hours?", "9 to 5.")
    drawn(house, secret)
    house.record(other)
    reviewer, admin = house.client("reviewer"), house.client("admin")
    assert "teller waive" not in reviewer.get("/console/quality").text
    assert "teller waive" in admin.get("/console/quality").text
    for client, id, code in ((reviewer, "rate-staff", 404), (reviewer, "rate-other", 422), (reviewer, "none", 404)):
        given = {"csrf": client.token, "id": id, "label": "right"}
        assert client.post("/console/quality/rate", data=given).status_code == code
    bad = {"csrf": admin.token, "id": "rate-staff", "label": "great"}
    assert admin.post("/console/quality/rate", data=bad).status_code == 422
    assert admin.post("/console/quality/rate", data={"id": "rate-staff", "label": "right"}).status_code == 403
    assert Ratings(house.ledger).about(["rate-staff", "rate-other"]) == []


def test_users_may_not_open_it(house):
    assert house.client("user").get("/console/quality").status_code == 403
