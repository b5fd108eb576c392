"""Statements of documents that cannot both be true, and those that only look alike."""

import pytest

from inhouse.documents.contradictions import contradictions
from inhouse.documents.statements import figures, statements, subject_words
from inhouse.types import Document


def documents(**texts):
    return [
        Document(source=f"{name}.md", title=text.split("\n")[0].strip("# "), text=text) for name, text in texts.items()
    ]


WIRES = "# Wire transfers\n\n### What does a domestic wire cost?\n\nAn outgoing domestic wire costs $21.50; an incoming one costs $8.\n"
TABLE = "# Fees\n\n| Service | Fee |\n|---|---|\n| Outgoing domestic wire | $25 |\n| Stop payment | $16 |\n"


def found(embedder, **texts):
    rows = contradictions(documents(**texts), embedder)
    return [(r.kind, r.figures, *sorted(t[:30] for t in r.texts)) for r in rows]


def test_another_figure_of_the_same_thing(embedder):
    rows = contradictions(documents(wires=WIRES, fees=TABLE), embedder)
    assert [(r.kind, r.figures) for r in rows] == [("figures", ("$21.5", "$25"))]
    assert rows[0].documents == (0, 1)
    assert rows[0].headings == ("What does a domestic wire cost?", "Fees")
    assert 0.5 < rows[0].score <= 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("# Privacy\n\nWe keep account data for 7 years.", "# Questions\n\nWe keep account data for 10 years."),
        ("# Branches\n\nBranches are open from 9 am to 5 pm.", "# News\n\nBranches are open from 9 am to 4 pm."),
        ("# Branches\n\nStonebridge is open on Saturdays.", "# News\n\nStonebridge is closed on Saturdays."),
        ("# Disputes\n\nYou have 55 days from the statement date to dispute a charge.",
         "# News\n\nYou can dispute a card charge within 45 days of the statement date."),
        ("# Parking\n\nParking behind the library is free.", "# News\n\nParking behind the library costs $3."),
    ],
)  # fmt: skip
def test_what_contradicts(embedder, one, other):
    assert len(found(embedder, one=one, other=other)) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("# Privacy\n\nWe keep account data for 7 years.", "# News\n\nWe keep account data for 7 years."),
        ("# Transfers\n\nAn outgoing domestic wire costs $21.50. An outgoing international wire costs $38.75.",
         "# News\n\nAn outgoing international wire costs $38.75."),
        ("# Alder Checking\n\nAlder Checking is for everyone. The monthly fee of Alder Checking is $7.40.",
         "# Ridge Checking\n\nRidge Checking is for savers. The monthly fee of Ridge Checking is $14.20."),
        ("# Delivery\n\nA wire arrives in 2 to 4 days.", "# News\n\nA wire arrives in 3 days."),
        ("# Limits\n\nYou can send $480 a day.", "# News\n\nYou can send $1,900 a month."),
        ("# Tail\n\nShow the last 10 lines of a file:\n\n`tail -n 10 file`", "# Tails\n\nShow the last 5 lines of a file:\n\n`tail -n 5 file`"),
        ("# Fees\n\nOverdrafts below $9 are free.", "# News\n\nAn overdraft costs $18.50."),
    ],
)  # fmt: skip
def test_what_does_not(embedder, one, other):
    assert found(embedder, one=one, other=other) == []


def test_rows_of_one_table_do_not_contradict_each_other(embedder):
    rates = "# Rates\n\n| Certificate | Term | Rate |\n|---|---|---|\n| Deposit | 6 months | 3.05% |\n| Deposit | 12 months | 3.60% |\n"
    assert found(embedder, rates=rates) == []


def test_a_property_of_many_documents_is_no_contradiction(embedder):
    hotels = {
        f"h{n}": f"# The Inn number {'abcdef'[n]}\n\nCheck-out is until {8 + n} am. Bring your key." for n in range(5)
    }
    assert found(embedder, **hotels) == []


def test_nothing_to_compare(embedder):
    assert contradictions([], embedder) == []
    assert found(embedder, one="# Empty") == []


def test_figures_have_kinds():
    assert figures("Each item costs $1,018.50, at most 3 items.") == {"$": {"1018.5"}, "#item": {"3"}}
    assert figures("20 GBP a night, 3 business days, 5 percent") == {"£": {"20"}, "#day": {"3"}, "%": {"5"}}
    assert figures("from 9 am to 5:30 p.m.") == {"clock": {"9:00", "17:30"}}
    assert figures("Call 1-800-555-0142.") == {"phone": {"18005550142"}}
    assert figures("There is no annual fee.") == {"free": {"0"}}
    assert figures("Free Wi-Fi since 1994") == {}


def test_statements_know_what_they_are_about():
    rows = statements(documents(wires=WIRES))
    assert [s.figures for s in rows] == [{"$": {"21.5"}}, {"$": {"8"}, "#cost": {"1"}}]
    assert "domest" in rows[1].words, "of the heading, which asks"
    assert subject_words("check-out time") != subject_words("check-in time")
    assert statements(documents(q="# Q\n\nWhat does it cost?\n")) == [], "a question states nothing"


def test_long_texts_take_linear_time(takes_linear_time):
    assert takes_linear_time(lambda text: statements(documents(a=text)), lambda n: "A fee of $5 is due. " * n, 1000)
    assert takes_linear_time(lambda text: statements(documents(a=text)), lambda n: "no " * n)
    assert takes_linear_time(figures, lambda n: "1" * n)
    assert takes_linear_time(figures, lambda n: "12 " * n)
