"""The grades of an audit, and its page."""

import pytest

from inhouse.datasets.audit import (
    Conflict,
    Coverage,
    DataAudit,
    Files,
    Gap,
    Languages,
    Personal,
    Place,
    Topic,
    UseCases,
    Volume,
    allows,
    graded,
    share,
    worst_topics,
)
from inhouse.datasets.audit_page import page, write_page
from inhouse.datasets.topics import lacking, topics_of
from inhouse.errors import BackendError, InputError


def an_audit(**more):
    values = {
        "project": "Bank", "files": Files(read=48), "volume": Volume(conversations=100, replies=379, tests=85),
        "coverage": Coverage(sampled=200, of=379, states={"answered": 160, "missing": 40}, answered=share(160, 200), found=share(150, 160)),
        "personal": Personal(sampled=200, with_any=20, kinds={"PERSON": 20}),
        "languages": Languages(documents={"en": 48}, questions={"en": 200}),
    } | more  # fmt: skip
    return graded(DataAudit(**values))


def grade(name, **more):
    return next(g for g in an_audit(**more).grades if g.name == name)


def test_shares_have_exact_intervals():
    e = share(160, 200)
    assert (e.mean, e.n) == (0.8, 200)
    assert e.low == pytest.approx(0.7377, abs=1e-3)  # Clopper and Pearson
    assert e.high == pytest.approx(0.8531, abs=1e-3)
    assert share(0, 0) is None


@pytest.mark.parametrize(
    ("examples", "text"),
    [(10, "prompt and retrieval"), (500, "common"), (4999, "common"), (5000, "rare"), (10_000, "hardening")],
)
def test_volume_says_what_it_allows(examples, text):
    assert text in allows(examples)


def test_volume_says_how_many_are_missing():
    got = grade("volume")
    assert got.level == "fair"
    assert "121 more, to 500, would allow fine-tuning of the common questions" in got.todo
    assert grade("volume", volume=Volume(conversations=0, replies=0, tests=0)).level == "poor"
    assert "test questions" in grade("volume", volume=Volume(conversations=9, replies=9, tests=0)).todo
    trained = grade("volume", volume=Volume(conversations=9, replies=9, tests=9, training=12_000))
    assert (trained.level, trained.value) == ("good", "12,000 examples")


def test_coverage_names_the_largest_gaps():
    gaps = (
        Gap(questions=("what is a box",), size=9, share=share(9, 200)),
        Gap(questions=("boats?",), size=3, share=share(3, 200), declined=True),
    )
    got = grade("coverage", gaps=gaps)
    assert got.level == "good"
    assert '"what is a box" (9)' in got.todo
    assert "boats" not in got.todo, "what was declined may be outside of the offer"
    few = Coverage(sampled=5, of=5, states={"answered": 5}, answered=share(5, 5), found=share(5, 5))
    assert grade("coverage", coverage=few).level == "unknown"


def test_contradictions_are_weighed_by_the_documents():
    place = Place(source="a.md", heading="", text="It costs $5.")
    one = Conflict(places=(place, place), kind="figures", figures=("$5", "$6"), score=0.9)
    assert grade("contradictions").level == "good"
    assert grade("contradictions", conflicts=(one,), files=Files(read=50)).level == "fair"
    assert grade("contradictions", conflicts=(one,), files=Files(read=49)).level == "poor"


def test_personal_data_that_stays_is_poor():
    assert grade("personal").level == "good"
    assert grade("personal", personal=Personal(sampled=10, with_any=1, replaced=False)).level == "poor"
    assert grade("personal", personal=Personal(sampled=0)).level == "unknown"


def test_languages_without_documents_are_named():
    got = grade("languages", languages=Languages(documents={"en": 4}, questions={"en": 5, "de": 2, "": 1}))
    assert (got.level, "questions in de, but no document" in got.why) == ("fair", True)


def test_the_topics_with_most_failures_come_first():
    asked = [("cards", False, f"q{n}") for n in range(6)] + [("cards", True, "x")] * 4
    asked += [("loans", False, "l")] * 3 + [("safe", True, "s")] * 5 + [("", False, "nothing")] * 9
    topics = worst_topics(asked)
    assert [t.name for t in topics] == ["cards", "loans"]
    assert topics[0].asked == 10
    assert topics[0].right.mean == 0.4
    assert topics[0].wrong == ("q0", "q1", "q2")


def test_few_questions_without_topics_are_listed_with_how_many_more_it_takes():
    topics = worst_topics([("", n > 2, f"q{n}") for n in range(10)])
    assert [(t.name, t.asked, t.wrong) for t in topics] == [("all questions", 10, ("q0", "q1", "q2"))]
    cases = UseCases(source="verdict", asked=10, right=share(7, 10), topics=topics, lacking=lacking([""] * 10))
    got = grade("cases", cases=cases)
    assert "They are too few for topics." in got.why
    assert got.todo == "To see in which topics it fails, add 14 test questions or give questions tags."
    assert lacking(["cards", ""]) == 0
    assert worst_topics([("", True, "q")]) == ()


def test_topics_that_cannot_be_told_apart_are_said_to_be():
    near = tuple(Topic(name=n, asked=5, right=share(k, 5)) for n, k in (("a", 0), ("b", 1)))
    far = tuple(Topic(name=n, asked=100, right=share(k, 100)) for n, k in (("a", 5), ("b", 60)))
    for topics, told in ((near, True), (far, False)):
        got = grade("cases", cases=UseCases(source="sample", asked=10, right=share(1, 10), topics=topics))
        assert ("do not tell the topics below apart" in got.why) == told


def test_the_page_escapes_what_was_found_and_asks_nothing_of_the_network(tmp_path):
    bad = '<script>alert("x")</script>'
    gaps = (Gap(questions=(bad, "second"), size=2, share=share(2, 9), nearest=("a.md",)),)
    audit = an_audit(gaps=gaps, files=Files(read=1, unreadable=((bad, "truncated"),)))
    text = page(audit)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert "second" in text
    write_page(audit, tmp_path / "audit.html")
    assert (tmp_path / "audit.html").read_text() == text
    with pytest.raises(BackendError, match="cannot be written"):
        write_page(audit, tmp_path / "audit.html" / "page.html")


def test_a_damaged_audit_is_an_error_with_a_hint(tmp_path):
    (tmp_path / "audit.json").write_text("{")
    with pytest.raises(InputError, match="not a report"):
        DataAudit.read(tmp_path)


def test_topics_are_tags_or_folders_or_clusters(chat, embedder):
    asked = [chat(f"question {n}", "reply") for n in range(10)]
    tagged = [e.model_copy(update={"tags": ("cards",)}) for e in asked[:6]] + asked[6:]
    paths = ["cards/a.md"] * 5 + ["loans/b.md"] * 4 + [""]
    assert topics_of(tagged, embedder, 0, paths) == ["cards"] * 6 + [""] * 4
    assert topics_of(asked, embedder, 0, paths) == ["cards"] * 5 + ["loans"] * 4 + [""]
    assert topics_of(asked, embedder, 0, ["a.md"] * 10) == [""] * 10, "one folder is no topic, and ten are no clusters"
    documents = ["cards.md"] * 6 + ["loans.md"] * 4
    assert topics_of(asked, embedder, 0, documents) == documents, "of few questions, the documents"
    many = [chat(f"{what} {n}", "reply") for n in range(20) for what in ("fee of a card", "rate of a loan")]
    assert len(set(topics_of(many, embedder, 0))) > 1
