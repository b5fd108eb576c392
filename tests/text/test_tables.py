import pytest

from inhouse.text.tables import cell_starts, row_sentence, tables

FEES = "Intro.\n\n| Service | Fee | Note |\n| --- | ---: | --- |\n| Stop payment | $16 | per request |\n| Money order | $2.30 | |\n\nEnd."
RATES = "| Account | Term | Rate |\n|---|---|---|\n| CD | 6 months | 3% |\n| CD | 12 months | 4% |"


def test_a_table_with_its_rows_and_their_places():
    (table,) = tables(FEES)
    assert table.header == ("Service", "Fee", "Note")
    assert [r.cells for r in table.rows] == [("Stop payment", "$16", "per request"), ("Money order", "$2.30", "")]
    assert FEES[table.rows[1].start : table.rows[1].end] == "| Money order | $2.30 | |"
    assert FEES[table.start : table.end].endswith("| Money order | $2.30 | |")


def test_the_columns_that_tell_rows_apart():
    assert next(tables(FEES)).keys == 1
    assert next(tables(RATES)).keys == 2
    same = RATES.replace("12 months | 4%", "6 months | 3%")
    assert next(tables(same)).keys == 0


def test_a_row_as_a_sentence():
    (table,) = tables(RATES)
    assert row_sentence(table.rows[1], table.keys) == "Account CD, Term 12 months: Rate 4%."
    (table,) = tables(FEES)
    assert row_sentence(table.rows[1], table.keys, "Fee schedule") == "Fee schedule: Service Money order: Fee $2.30."


def test_remarks_stand_in_brackets():
    (table,) = tables(FEES)
    assert row_sentence(table.rows[0], table.keys) == "Service Stop payment: Fee $16 (per request)."


def test_what_is_no_table():
    assert not list(tables("a | b | c\nno dashes | here | x"))
    assert not list(tables("| a | b |\n| --- | --- |"))
    assert not list(tables(""))


def test_escaped_bars_and_ragged_rows():
    (table,) = tables("| a | b |\n| - | - |\n| x \\| y | 1 |\n| only |\n| z | 2 | 3 |")
    assert table.header == ("a", "b", "")
    assert [r.cells for r in table.rows] == [("x | y", "1", ""), ("only", "", ""), ("z", "2", "3")]
    assert row_sentence(table.rows[2], table.keys) == "a z: b 2, 3."


@pytest.mark.parametrize(
    "text",
    [
        "Article | Price\n--- | ---\nBolt | 3",
        "Article | Price\n:-- | --:\nBolt | 3\n\nEnd | of it",
        "  | Article | Price |\n  |:---|:---:|\n  | Bolt | 3 |",
        "see a | b\n| Article | Price |\n| - | - |\n| Bolt | 3 |",
        "| | |\n|---|---|\n| Article | Price |\n| Bolt | 3 |",  # an empty header, as some converters write it
        "|Article|Price|\r\n|---|---|\r\n|Bolt|3|\r\n",
        "| Article | Price |\n| --- | |\n| Bolt | 3 |",
    ],
)
def test_ways_to_write_a_table(text):
    (table,) = tables(text)
    assert (table.header, table.rows[0].cells) == (("Article", "Price"), ("Bolt", "3"))
    (row,) = table.rows
    assert [text[at:].lstrip(" |").split("|")[0].split()[0] for at in cell_starts(text, row)] == ["Bolt", "3"]


def test_two_tables_without_a_line_between_them():
    first, second = tables("| a | b |\n|---|---|\n| 1 | 2 |\n| c | d |\n|---|---|\n| 3 | 4 |")
    assert (first.header, second.header) == (("a", "b"), ("c", "d"))
    assert [r.cells for t in (first, second) for r in t.rows] == [("1", "2"), ("3", "4")]


REPORT = """| | | Years ended June 30, | |
|---|---|---|---|
| | 2019 | 2018 | 2017 |
| | | (in millions) | |
| Assets: | | | |
| Cash | 5 | 6 | 7 |
| Current | Current | Current | Current |
| Goods | $1,000 | 3 | |
| Total assets | 9 | 9 | 9 |
| Other | 1 | 1 | 1 |"""


def test_titles_and_groups_of_a_report_go_with_each_row():
    (table,) = tables(REPORT)
    assert (table.title, table.header) == ("Years ended June 30, (in millions)", ("", "2019", "2018", "2017"))
    assert [(r.group, r.cells[0]) for r in table.rows] == [
        ("Assets", "Cash"), ("Current", "Goods"), ("", "Total assets"), ("", "Other")]  # fmt: skip
    assert row_sentence(table.rows[1], table.keys) == "Current: Goods: 2019 $1,000, 2018 3."
    assert REPORT[table.body :].startswith("| Assets: |")


def test_names_that_span_columns_go_with_each():
    (table,) = tables(
        "| | Home | | Abroad | |\n|-|-|-|-|-|\n| | 2019 | 2018 | 2019 | 2018 |\n| Rate | 1% | 2% | 3% | 4% |"
    )
    assert table.header == ("", "Home 2019", "Home 2018", "Abroad 2019", "Abroad 2018")
    (table,) = tables("| | Home | Home | Abroad |\n|-|-|-|-|\n| | 2019 | 2018 | 2019 |\n| Rate | 1% | 2% | 3% |")
    assert table.header == ("", "Home 2019", "Home 2018", "Abroad 2019")


@pytest.mark.parametrize(
    ("text", "header", "first"),
    [
        ("| | Mon | Tue |\n|-|-|-|\n| | 9 | 10 |\n| | 8 | 9 |", ("", "Mon", "Tue"), ("", "9", "10")),  # no names
        ("| Fees | |\n|-|-|\n| Wire | $20 |\n| Check | $5 |", ("Fees", ""), ("Wire", "$20")),
        ("| | |\n|-|-|\n| Wire | $20 |\n| Check | $5 |", ("", ""), ("Wire", "$20")),
        ("| Day | Hours |\n|-|-|\n| Monday | |\n| Tuesday | 9 to 5 |", ("Day", "Hours"), ("Monday", "")),
    ],
)
def test_rows_that_are_no_names(text, header, first):
    (table,) = tables(text)
    assert (table.header, table.rows[0].cells) == (header, first)
    assert not any(row.group for row in table.rows)


def test_groups_that_follow_one_another_are_all_kept():
    (table,) = tables(
        "| a | b | c |\n|-|-|-|\n| Cards | | |\n| Gold: | | |\n| fee | 1 | 2 |\n| Silver: | | |\n| fee | 3 | 4 |\n| End | | |"
    )
    assert [(r.group, r.cells[0]) for r in table.rows] == [("Cards, Gold", "fee"), ("Silver", "fee"), ("Silver", "End")]


@pytest.mark.parametrize("part", ["|", "| ", "|-", "| - ", "-|:", "\\|", "a|\n", "|-\n", "| a |\n|-|-|\n"])
def test_tables_are_found_in_linear_time(part, takes_linear_time):
    assert takes_linear_time(lambda text: list(tables(text)), lambda n: "a | b\n" + part * n)
