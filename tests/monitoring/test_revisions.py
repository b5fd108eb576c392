"""Documents that changed, are out of date, or contradict; products that differ do not contradict."""

from datetime import date

import pytest

from inhouse.monitoring.revisions import changed, contradictions, dates, stale
from inhouse.types import Document

ALDER = "# Alder Checking\n\n## Fees\n\nThe monthly fee is $7.40. Overdrafts cost $28 each.\n"
TODAY = date(2026, 11, 30)


def document(source, title, text):
    return Document(source=source, title=title, text=text)


def against_alder(title, text):
    return contradictions([document("alder.md", "Alder Checking", ALDER), document("other.md", title, text)])


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Fee schedule", "| Account | Fee |\n| --- | --- |\n| Alder Checking monthly fee | $8.00 |\n| Ridge Checking monthly fee | $6 |"),
        ("Questions", "# Questions\n\n## Alder Checking\n\nYou pay a monthly fee of $9 for it."),
        ("Alder Checking", "The monthly fee is $8."),
    ],
)  # fmt: skip
def test_another_figure_for_the_same_thing_is_found(title, text):
    found = against_alder(title, text)
    assert [c.sources for c in found] == [("alder.md", "other.md")]
    assert found[0].figures[0] == "$7.4"
    assert "The monthly fee is $7.40." in found[0].texts


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Ridge Checking", "# Ridge Checking\n\nThe monthly fee is $9."),
        ("Light Alder Checking", "# Light Alder Checking\n\nThe monthly fee is $9."),
        ("Fee schedule", "Light Alder Checking monthly fee: $9"),
        ("Fee schedule", "Alder Checking monthly fee: $7.40"),
        ("Fee schedule", "Alder Checking yearly fee: $70"),
        ("Fee schedule", "Alder Checking monthly fee: 9 days"),
        ("Fee schedule", "Alder Checking monthly fee below a balance of $1,000: $9"),
    ],
)
def test_other_products_conditions_and_units_do_not_contradict(title, text):
    assert against_alder(title, text) == []


def test_a_document_does_not_contradict_itself():
    assert contradictions([document("a.md", "Fees", "The wire fee is $5.\n\nThe wire fee is $6.")]) == []


def test_public_documents_have_no_false_contradictions(data_dir):
    """Fees of 698 documents of a bank with products of nearly the same names, and 143 of hotels and restaurants."""
    for name in ("bank", "concierge"):
        files = sorted((data_dir / name / "documents").glob("*.md"))
        texts = [(f.name, f.read_text(encoding="utf-8")) for f in files]
        found = contradictions([document(n, text.split("\n")[0].lstrip("# "), text) for n, text in texts])
        assert found == []


def test_changes_name_the_sentences_and_whether_figures_differ():
    before = [
        document("fees.md", "Fees", "A wire costs $25. Cash is free."),
        document("old.md", "Old", "Gone."),
        document("same.md", "S", "S"),
    ]
    after = [
        document("fees.md", "Fees", "A wire costs $30. Cash is free."),
        document("new.md", "New", "Here."),
        document("same.md", "S", "S"),
    ]
    first, *rest = changed(before, after)
    assert (first.source, first.kind, first.figures) == ("fees.md", "changed", True)
    assert (first.before, first.after) == (("A wire costs $25.",), ("A wire costs $30.",))
    assert [(r.source, r.kind) for r in rest] == [("old.md", "removed"), ("new.md", "added")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("until 2026-03-31", [date(2026, 3, 31)]),
        ("gültig bis 31.3.2026", [date(2026, 3, 31)]),
        ("gültig bis 31. März 2026", [date(2026, 3, 31)]),
        ("through March 31st, 2026", [date(2026, 3, 31)]),
        ("hasta el 31 de marzo de 2026", [date(2026, 3, 31)]),
        ("until 31 Smarch 2026, or 2026-13-45", []),
    ],
)
def test_dates_are_read_in_several_spellings(text, found):
    assert dates(text) == found


def test_stale_is_what_says_so_itself_or_what_nobody_has_reviewed():
    documents = [
        document("offer.md", "Offer", "The offer is valid until March 31, 2026."),
        document("next.md", "Next", "The offer is valid until March 31, 2027."),
        document("founded.md", "About us", "The bank was founded on March 31, 1926."),
        document("old.md", "Old", "A wire costs $25."),
    ]
    reviewed = {"old.md": date(2025, 1, 2), "founded.md": date(2026, 6, 1)}
    found = stale(documents, TODAY, reviewed)
    assert [(s.source, s.why, s.date) for s in found] == [
        ("offer.md", "expired", "2026-03-31"),
        ("old.md", "not reviewed", "2025-01-02"),
    ]


def test_dates_take_linear_time(takes_linear_time):
    assert takes_linear_time(dates, lambda n: "1 de " * n)
    assert takes_linear_time(dates, lambda n: "märz " * n)
