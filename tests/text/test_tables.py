from inhouse.text.tables import row_sentence, tables

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
    assert row_sentence(table.rows[1], table.keys) == "CD, 12 months: Rate 4%."
    (table,) = tables(FEES)
    assert row_sentence(table.rows[1], table.keys, "Fee schedule") == "Fee schedule: Money order: Fee $2.30."


def test_remarks_stand_in_brackets():
    (table,) = tables(FEES)
    assert row_sentence(table.rows[0], table.keys) == "Stop payment: Fee $16 (per request)."


def test_what_is_no_table():
    assert not list(tables("a | b | c\nno dashes | here | x"))
    assert not list(tables("| a | b |\n| --- | --- |"))
    assert not list(tables(""))


def test_escaped_bars_and_ragged_rows():
    (table,) = tables("| a | b |\n| - | - |\n| x \\| y | 1 |\n| only |\n| z | 2 | 3 |")
    assert [r.cells for r in table.rows] == [("x | y", "1")]
