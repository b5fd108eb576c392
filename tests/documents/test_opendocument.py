"""OpenDocument files as LibreOffice writes them: zipped, or flat in one XML file."""

import io
import zipfile

import pytest

from inhouse.documents.parse import parse
from inhouse.documents.parsed import Unreadable

NAMES = ("office", "text", "table", "drawing", "style", "presentation", "chart")
SPACES = " ".join(
    f'xmlns:{"draw" if n == "drawing" else n}="urn:oasis:names:tc:opendocument:xmlns:{n}:1.0"' for n in NAMES
)
SPACES += ' xmlns:svg="urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0"'
SPACES += ' xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://purl.org/dc/elements/1.1/"'
STYLES = """
<style:style style:name="Sup" style:family="text"><style:text-properties style:text-position="super 58%"/></style:style>
<style:style style:name="Sub" style:family="text"><style:text-properties style:text-position="-33% 58%"/></style:style>
<style:style style:name="Hid" style:family="text"><style:text-properties text:display="none"/></style:style>
<style:style style:name="Hid2" style:family="text" style:parent-style-name="Hid"/>
<style:style style:name="P1" style:family="paragraph" style:parent-style-name="Title"/>
<style:style style:name="Gone" style:family="table"><style:table-properties table:display="false"/></style:style>
<style:style style:name="Off" style:family="drawing-page">
<style:drawing-page-properties presentation:visibility="hidden"/></style:style>
<text:list-style style:name="L1"><text:list-level-style-number text:level="1" style:num-suffix="." style:num-format="1"/>
<text:list-level-style-number text:level="2" style:num-suffix=")" style:num-format="a"/></text:list-style>
"""


def flat(kind, body, suffix, more=""):
    styles = f"<office:automatic-styles>{STYLES}</office:automatic-styles>{more}"
    content = f"<office:body><office:{kind}>{body}</office:{kind}></office:body>"
    return parse(f"<?xml version='1.0'?><office:document {SPACES}>{styles}{content}</office:document>".encode(), suffix)


def zipped(kind, body, suffix, **parts):
    content = f"<office:automatic-styles>{STYLES}</office:automatic-styles><office:body><office:{kind}>{body}"
    content = f"<office:document-content {SPACES}>{content}</office:{kind}></office:body></office:document-content>"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in {"content.xml": content, **parts}.items():
            archive.writestr(name, text)
    return parse(buffer.getvalue(), suffix)


@pytest.mark.parametrize(
    ("body", "text", "note"),
    [
        ('<text:h text:outline-level="2">Fees</text:h><text:p>Free.</text:p>', "## Fees\n\nFree.", ""),
        ('<text:p text:style-name="P1">Guide</text:p>', "# Guide", ""),
        (
            '<text:p>$28<text:span text:style-name="Sup">1</text:span> H<text:span text:style-name="Sub">2</text:span>O</text:p>',
            "$28¹ H₂O",
            "",
        ),
        ('<text:p>a<text:s text:c="2"/>b<text:tab/>c<text:line-break/>d</text:p>', "a  b\tc\nd", ""),
        (
            '<text:p>Seen<text:span text:style-name="Hid2"> secret</text:span></text:p>',
            "Seen",
            "1 hidden passage left out",
        ),
        (
            '<text:p>Seen<text:hidden-text text:string-value="x">x</text:hidden-text></text:p>',
            "Seen",
            "1 hidden passage left out",
        ),
        (
            '<text:section text:display="none"><text:p>no</text:p></text:section><text:p>yes</text:p>',
            "yes",
            "1 hidden section left out",
        ),
        ("<text:section><text:p>yes</text:p></text:section>", "yes", ""),
        (
            "<text:tracked-changes><text:changed-region><text:deletion><text:p>old</text:p></text:deletion></text:changed-region>"
            "</text:tracked-changes><text:p>new</text:p>",
            "new",
            "1 tracked deletion left out",
        ),
        (
            '<text:p>See <text:a xlink:href="https://x.example/">here</text:a>.</text:p>',
            "See [here](https://x.example/).",
            "",
        ),
        (
            "<text:p>It is 5<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Or 6.</text:p>"
            "</text:note-body></text:note> now.</text:p>",
            "It is 5[^1] now.\n\n[^1]: Or 6.",
            "",
        ),
        (
            "<text:p>It is 5<office:annotation><dc:creator>A</dc:creator><text:p>Check</text:p></office:annotation>.</text:p>",
            "It is 5.\n\n[comment: Check]",
            "",
        ),
        (
            "<text:p>At<draw:frame><draw:text-box><text:p>In a box</text:p></draw:text-box></draw:frame></text:p>",
            "At\n\nIn a box",
            "",
        ),
        ("<text:p>At<draw:custom-shape><text:p>Shape</text:p></draw:custom-shape></text:p>", "At\n\nShape", ""),
        (
            "<text:p><text:ruby><text:ruby-base>東</text:ruby-base><text:ruby-text>とう</text:ruby-text></text:ruby></text:p>",
            "東",
            "",
        ),
        ("<text:p>Rev. <text:user-field-get>4</text:user-field-get></text:p>", "Rev. 4", ""),
        (
            '<text:list text:style-name="L1"><text:list-item><text:p>Sign</text:p><text:list><text:list-item><text:p>in ink</text:p>'
            "</text:list-item></text:list></text:list-item><text:list-item><text:p>Send</text:p></text:list-item></text:list>",
            "1. Sign\n  a) in ink\n2. Send",
            "",
        ),
        ("<text:list><text:list-item><text:p>tea</text:p></text:list-item></text:list>", "- tea", ""),
    ],
)
def test_texts(body, text, note):
    for parsed in (flat("text", body, ".fodt"), zipped("text", body, ".odt")):
        assert parsed.text == text
        assert parsed.note == note


def cell(text, attributes=""):
    return f"<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>"


def rows(*lists):
    return "".join(f"<table:table-row>{''.join(cells)}</table:table-row>" for cells in lists)


COVERED = "<table:covered-table-cell/>"
SPANS = rows(
    [cell("Region", 'table:number-rows-spanned="2"'), cell("Fee", 'table:number-columns-spanned="2"'), COVERED],
    [COVERED, cell("2025"), cell("2026")],
    [cell("North"), cell("5"), cell("6")],
)
SPANNED = "| Region | Fee 2025 | Fee 2026 |\n| --- | --- | --- |\n| North | 5 | 6 |"


def test_spanned_cells_repeat_and_notes_in_cells_follow_the_table():
    assert flat("text", f"<table:table>{SPANS}</table:table>", ".fodt").text == SPANNED
    note = "28<text:note><text:note-body><text:p>Net.</text:p></text:note-body></text:note>"
    body = f"<table:table>{rows([cell('Item'), cell('Fee')], [cell('Wire'), cell(note)])}</table:table>"
    assert flat("text", body, ".fodt").text == "| Item | Fee |\n| --- | --- |\n| Wire | 28[^1] |\n\n[^1]: Net."


def test_headers_and_footers_stand_once():
    page = "<text:p>Page <text:page-number>1</text:page-number></text:p>"
    margins = f"<style:header><text:p>Secret</text:p></style:header><style:footer>{page}</style:footer>"
    masters = f"<office:master-styles>{''.join(f'<style:master-page>{margins}</style:master-page>' for _ in 'ab')}</office:master-styles>"
    text = flat("text", "<text:p>Body</text:p>", ".fodt", masters).text
    assert text == "Body\n\n[page header: Secret]\n\n[page footer: Page]"


def value(kind, number, text="", more=""):
    shown = f"<text:p>{text}</text:p>" if text else ""
    return f'<table:table-cell office:value-type="{kind}" office:value="{number}" {more}>{shown}</table:table-cell>'


def sheet(body, more=""):
    return f'<table:table table:name="S" {more}>{body}</table:table>'


def test_sheets_show_what_the_author_sees():
    note = "<office:annotation><text:p>since 2025</text:p></office:annotation>"
    body = (
        '<table:table-column/><table:table-column table:visibility="collapse"/><table:table-column/>'
        + rows(
            [cell("Item"), cell("Cost"), cell("Fee")],
            [cell("Wire"), value("float", "3", "3"), value("currency", "1234.5", "1.234,50 €")],
            [cell("Cash"), value("float", "2", "2"), value("percentage", "0.05")],
            [cell("Gold"), value("float", "2", "2"), value("currency", "7", more='office:currency="CHF"')],
            [cell("Sum"), value("float", "2", "2"), '<table:table-cell table:formula="of:=SUM([.C2:.C3])"/>'],
            [cell("Day"), cell("9"), f"<table:table-cell office:value-type='string'>{note}<text:p>Monday</text:p></table:table-cell>"],
        )
        + '<table:table-row table:visibility="filter">' + cell("Secret") + "</table:table-row>"
        + '<table:table-row table:number-rows-repeated="1048000"><table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    )  # fmt: skip
    hidden = sheet(rows([cell("x")]), 'table:style-name="Gone"')
    for parsed in (
        flat("spreadsheet", sheet(body) + hidden, ".fods"),
        zipped("spreadsheet", sheet(body) + hidden, ".ods"),
    ):
        lines = [
            "| Wire | 1.234,50 € |",
            "| Cash | 5% |",
            "| Gold | CHF 7 |",
            "| Sum | =SUM([.C2:.C3]) |",
            "| Day | Monday |",
        ]
        table = "\n".join(["## S", "", "| Item | Fee |", "| --- | --- |", *lines])
        assert parsed.text == f"{table}\n\n[comment: since 2025 (on Monday)]"
        assert (
            parsed.note
            == "1 hidden row, 1 hidden column, 1 hidden sheet skipped; 1 formula without a value shown as formulas"
        )


def test_sheets_with_merged_cells_titles_and_repeated_rows():
    body = rows([cell("Tariff", 'table:number-columns-spanned="3"')]) + SPANS
    twice = cell("7", 'table:number-columns-repeated="2"')
    again = f'<table:table-row table:number-rows-repeated="2">{cell("South")}{twice}</table:table-row>'
    text = flat("spreadsheet", sheet(body + again), ".fods").text
    assert text == f"## S\n\nTariff\n\n{SPANNED}\n| South | 7 | 7 |\n| South | 7 | 7 |"


def test_too_many_equal_cells_are_not_written_out_in_silence():
    many = cell("x", 'table:number-columns-repeated="900"')
    row = f'<table:table-row table:number-rows-repeated="1048576">{many}</table:table-row>'
    parsed = flat("spreadsheet", sheet(rows([cell("a"), cell("b")]) + row), ".fods")
    assert parsed.note == "sheet S has too many equal cells to show them all"


def frame(text, x, y, kind=""):
    place = f'svg:x="{x}cm" svg:y="{y}cm" svg:width="8cm" svg:height="1cm"'
    kind = f'presentation:class="{kind}"' if kind else ""
    return f"<draw:frame {place} {kind}><draw:text-box><text:p>{text}</text:p></draw:text-box></draw:frame>"


def test_slides_in_reading_order_with_notes_and_without_hidden_ones():
    shapes = (
        frame("R1", 12, 4) + frame("L1", 1, 4) + frame("R2", 12, 6) + frame("L2", 1, 6) + frame("Plans", 1, 1, "title")
    )
    notes = f"<presentation:notes>{frame('Smile', 1, 1)}</presentation:notes>"
    grid = f'<draw:frame svg:x="1cm" svg:y="9cm" svg:width="20cm" svg:height="3cm"><table:table>{SPANS}</table:table></draw:frame>'
    group = f"<draw:g>{frame('in a group', 1, 14)}</draw:g>"
    pages = f"<draw:page>{shapes}{grid}{group}{notes}</draw:page><draw:page draw:style-name='Off'>{frame('old', 1, 1)}</draw:page>"
    for parsed in (flat("presentation", pages, ".fodp"), zipped("presentation", pages, ".odp")):
        columns = "# Plans\nL1\n\nL2\n\nR1\n\nR2"
        assert parsed.text == f"{columns}\n\n{SPANNED}\n\nin a group\n\n### Notes:\nSmile"
        assert parsed.note == "1 hidden slide skipped"


def test_charts_have_their_numbers():
    chart = (
        f"<office:document-content {SPACES}><office:body><office:chart><chart:chart><chart:title><text:p>Fees</text:p>"
    )
    chart += (
        f"</chart:title><table:table>{rows([cell('Year'), cell('Fee')], [cell('2025'), value('float', '28', '28')])}"
    )
    chart += "</table:table></chart:chart></office:chart></office:body></office:document-content>"
    body = '<text:p><draw:frame><draw:object xlink:href="./Object 1"/></draw:frame></text:p>'
    text = zipped("text", body, ".odt", **{"Object 1/content.xml": chart}).text
    assert text == "[chart: Fees]\n\n| Year | Fee |\n| --- | --- |\n| 2025 | 28 |"


def test_what_cannot_be_read_says_why():
    with pytest.raises(Unreadable, match="password"):
        zipped("text", "", ".odt", **{"META-INF/manifest.xml": "<manifest:encryption-data/>"})
    with pytest.raises(Unreadable, match="no (OpenDocument )?text"):
        zipped("spreadsheet", "", ".odt")
    with pytest.raises(Unreadable, match="damaged"):
        parse(b"no", ".odt")
    bomb = f'<!DOCTYPE x [<!ENTITY a "aaaa">]><office:document {SPACES}/>'
    with pytest.raises(Unreadable, match="document type"):
        parse(bomb.encode(), ".fodt")
    assert (
        flat(
            "text", "<text:p>x</text:p>", ".fodt", "<office:meta><dc:title>Guide &amp; more</dc:title></office:meta>"
        ).title
        == "Guide & more"
    )
