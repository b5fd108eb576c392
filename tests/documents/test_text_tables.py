"""Tables that are drawn in a text, and those of HTML: every cell below the name of its column."""

import pytest

from inhouse.documents.parse import parse
from inhouse.documents.text_tables import with_tables, without_html

FEES = "| Plan | Fee |\n| --- | --- |\n| Basic | 5 |\n| Pro | 10 |"
DRAWN = {  # extension and a name: text, what is read
    ".md grid of pandoc": ("+-------+-----+\n| Plan  | Fee |\n+=======+=====+\n| Basic | 5   |\n+-------+-----+\n| Pro   | 10  |\n+-------+-----+", FEES),
    ".txt of MySQL": ("+-------+------+\n| Plan  | Fee  |\n+-------+------+\n| Basic |    5 |\n| Pro   |   10 |\n+-------+------+", FEES),
    ".txt of psql": (" Plan  | Fee \n-------+-----\n Basic |   5\n Pro   |  10\n", FEES),
    ".org": ("| Plan | Fee |\n|------+-----|\n| Basic | 5 |\n|------+-----|\n| Pro | 10 |", FEES),
    ".log of boxes is kept": ("│ a │", "```\n│ a │\n```"),
    ".txt of boxes": ("┌───────┬─────┐\n│ Plan  │ Fee │\n├───────┼─────┤\n│ Basic │ 5   │\n│ Pro   │ 10  │\n└───────┴─────┘", FEES),
    ".txt of double boxes": ("╔═══════╦═════╗\n║ Plan  ║ Fee ║\n╠═══════╬═════╣\n║ Basic ║ 5   ║\n║ Pro   ║ 10  ║\n╚═══════╩═════╝", FEES),
    ".rst": ("===== ===\nPlan  Fee\n===== ===\nBasic 5\nPro   10\n===== ===", FEES),
    ".rst without a header": ("===== ===\nBasic 5\nPro   10\n===== ===", "|  |  |\n| --- | --- |\n| Basic | 5 |\n| Pro | 10 |"),
    ".rst of two levels": (
        "===== == ==\n      Fee\n----- -----\nPlan  M  Y\n===== == ==\nBasic 5  50\n===== == ==",
        "| Plan | Fee M | Fee Y |\n| --- | --- | --- |\n| Basic | 5 | 50 |",
    ),
    ".rst grid of spans": (
        "+------+---------+\n| Plan | Price   |\n|      +----+----+\n|      | M  | Y  |\n+======+====+====+\n| Pro  | 5  | 50 |\n|      | +1 |    |\n"
        "+------+----+----+\n| Max  | ask us  |\n+------+---------+",
        "| Plan | Price M | Price Y |\n| --- | --- | --- |\n| Pro | 5 +1 | 50 |\n| Max | ask us | ask us |",
    ),
    ".md grid of wide signs": ("+------+------+\n| 名称 | 费用 |\n+======+======+\n| 电汇 | 28   |\n|      | 起   |\n+------+------+", "| 名称 | 费用 |\n| --- | --- |\n| 电汇 | 28 起 |"),
    ".txt frame": ("+--------+\n| Pay $5 |\n| today  |\n+--------+", "Pay $5 today"),
    ".md code": ("```\n+---+---+\n| a | b |\n+---+---+\n| 1 | 2 |\n+---+---+\n```", "```\n+---+---+\n| a | b |\n+---+---+\n| 1 | 2 |\n+---+---+\n```"),
    ".adoc": ('[cols="1,1"]\n|===\n|Plan |Fee\n\n|Basic\n|5\n\n|Pro | 10\n|===', FEES),
    ".adoc of spans": (
        "Fees\n\n|===\n|Plan |M |Y\n|Pro |5 |50\n|Max 2+|ask\nus\n|===\nEnd",
        "Fees\n\n| Plan | M | Y |\n| --- | --- | --- |\n| Pro | 5 | 50 |\n| Max | ask us | ask us |\n\nEnd",
    ),
    ".txt no table": ("1 + 2\n+---\n| x |", "1 + 2\n+---\n| x |"),
    ".md raw table": (
        "Fees<sup>1</sup>\n<table><tr><th rowspan=2>Plan<th colspan=2>Price<tr><th>M<th>Y<tr><td>Pro<td>$28<sup>1</sup><td>50</table>\nEnd `<table>`",
        "Fees¹\n\n| Plan | Price M | Price Y |\n| --- | --- | --- |\n| Pro | $28¹ | 50 |\n\nEnd `<table>`",
    ),
    ".md tags": ("<div align=center>\n\n<b>Fee</b> 10<sup>3</sup> m<sup>2a</sup> H<sub>2</sub>O 5<sup>th</sup> <s>$5</s> $4\n\n</div>", "Fee 10³ m [2a] H₂O 5th ~~$5~~ $4"),
    ".html headers amid rows": (
        "<table><tr><th>At home<th>Fee<tr><td>Wire<td>28<tr><th>Abroad<th>Charge<tr><td>Wire<td>45</table>",
        "| At home | Fee |\n| --- | --- |\n| Wire | 28 |\n\n| Abroad | Charge |\n| --- | --- |\n| Wire | 45 |",
    ),
    ".html groups of rows": (
        "<table><thead><tr><th>Service<th>Fee</thead><tr><th colspan=2>At home<tr><td>Wire<td>28<tr><th colspan=2>Abroad<tr><td>Wire<td>45</table>",
        "At home\n\n| Service | Fee |\n| --- | --- |\n| Wire | 28 |\n\nAbroad\n\n| Service | Fee |\n| --- | --- |\n| Wire | 45 |",
    ),
    ".html groups of rows in td": (
        "<table><tr><th>Service<th>Fee<tr><td colspan=2>At home<tr><td>Wire<td>28<tr><td colspan=2>Abroad<tr><td>Wire<td>45<tr><td colspan=2>With VAT.</table>",
        "At home\n\n| Service | Fee |\n| --- | --- |\n| Wire | 28 |\n\nAbroad\n\n| Service | Fee |\n| --- | --- |\n| Wire | 45 |\n\nWith VAT.",
    ),
    ".csv without a header": ("Bolt,5\nNut,6.50\n", "|  |  |\n| --- | --- |\n| Bolt | 5 |\n| Nut | 6.50 |"),
    ".csv of years": ("Fee,2025,2026\nWire,25,28\n", "| Fee | 2025 | 2026 |\n| --- | --- | --- |\n| Wire | 25 | 28 |"),
    ".csv of two tables": (
        "Plan,Fee\nBasic,5\nPro,10\n\nCity,Rate\nGraz,7\n\nWien,8\n",
        f"{FEES}\n\n| City | Rate |\n| --- | --- |\n| Graz | 7 |\n| Wien | 8 |",
    ),
    ".rtf columns of text": ("{\\rtf1\\ansi Fee 10\\column 7 days\\par}", "Fee 10\n\n7 days"),
    ".html struck by style": ('<p>Now $25, was <span style="text-decoration: line-through">$30</span>.', "Now $25, was ~~$30~~."),
    ".html names of rows": ("<table><tr><th>Phone<td>123<tr><th>Mail<td>456</table>", "|  |  |\n| --- | --- |\n| Phone | 123 |\n| Mail | 456 |"),
    ".html th alone": ("<table><tr><th>A<th>B<tr><th>C<th>D<tr><th>E<th>F</table>", "| A | B |\n| --- | --- |\n| C | D |\n| E | F |"),
    ".html a table in a cell": (
        "<table><tr><th>Service<th>Fees<tr><td>Wire<td><table><tr><th>In<th>Out<tr><td>15<td>28</table><tr><td>Card<td>free</table>",
        "| Service | Fees |\n| --- | --- |\n| Wire | In: 15, Out: 28 |\n| Card | free |",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawn_table_is_a_table(name):
    text, read = DRAWN[name]
    assert parse(text.encode(), name.partition(" ")[0]).text == read


@pytest.mark.parametrize(
    "part", ["+-", "+--+\n", "| a\n", "===  ==\n", "<table>", "<table", "<sup>", "<div ", "a|b\n-+-\n"]
)
def test_unfinished_tables_take_linear_time(part, takes_linear_time):
    takes = takes_linear_time(lambda text: with_tables(text, columns=True), lambda n: part * n)
    assert takes
    assert takes_linear_time(lambda text: without_html(text, lambda t: []), lambda n: part * n + "</")
