"""Spreadsheets are read as their author sees them: values, tables, and nothing that is hidden."""

import base64
import io
import time
import zipfile
import zlib
from datetime import date, datetime
from datetime import time as clock
from pathlib import Path

import openpyxl
import pytest
from openpyxl.comments import Comment

from inhouse.documents.number_format import number_format
from inhouse.documents.parse import parse
from inhouse.documents.parsed import Unreadable

CASES = Path(__file__).parents[3] / "shared" / "cases" / "documents"


def book(fill, **saved):
    """The parsed text of a workbook of one sheet S that `fill` fills; `saved` are parts changed afterwards."""
    workbook, buffer = openpyxl.Workbook(), io.BytesIO()
    workbook.active.title = "S"
    fill(workbook.active)
    workbook.save(buffer)
    return parse(changed(buffer.getvalue(), saved) if saved else buffer.getvalue(), ".xlsx")


def changed(data, parts):
    """An office file in which texts of parts are replaced: {part: [(old, new), ...]}; a str is a new part."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            for before, after in parts.get(name, ()):
                assert before.encode() in text, (name, before)
                text = text.replace(before.encode(), after.encode())
            new.writestr(name, text)
        for name, text in parts.items():
            if isinstance(text, str):
                new.writestr(name, text)
    return buffer.getvalue()


def rows(*lists):
    def fill(sheet):
        for row in lists:
            sheet.append(row)

    return fill


def text_of(*lists):
    return book(rows(*lists)).text.removeprefix("## S\n\n")


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        ("#,##0.00\\ [$€-407]", "1234.5", "1,234.50 €"),
        ("[$€-2]\\ #,##0.00", "1234.5", "€ 1,234.50"),
        ('_-* #,##0.00\\ "€"_-;\\-* #,##0.00\\ "€"_-', "-1234.5", "-1,234.50 €"),
        ("[$£-809]#,##0.00", "1234.5", "£1,234.50"),
        ("[$¥-411]#,##0", "1234.5", "¥1,235"),
        ("[$CHF]\\ #,##0.00", "-1234.5", "-CHF 1,234.50"),
        ("[$₹-4009]\\ #,##0.00", "1234.5", "₹ 1,234.50"),
        ("[$R$-416] #,##0.00", "7", "R$ 7.00"),
        ("#,##0.00 [$zł-415]", "7", "7.00 zł"),
        ("[$$-409]#,##0.00", "7", "$7.00"),
        ("[$-409]#,##0.00", "5", "5.00"),
        ("#,##0.00 EUR", "5", "5.00 EUR"),
        ("#,##0 USD", "1234", "1,234 USD"),
        ('"$"#,##0.00_);[Red]\\("$"#,##0.00\\)', "-12.5", "($12.50)"),
        ('_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)', "0", "$-"),
        ("[>=10000000]##\\,##\\,##\\,##0;[>=100000]##\\,##\\,##0;##,##0", "12345678", "1,23,45,678"),
        ("000000", "42", "000042"),
        ("(000) 000-0000", "5551234567", "(555) 123-4567"),
        ("000\\-00\\-0000", "12345678", "012-34-5678"),
        ("0", "12345678901234567", "12345678901234567"),
        ("0", "1.2345678901234568E+16", "12345678901234568"),
        ("General", "1.2345678901234568E+16", "12345678901234568"),
        ("General", "0.30000000000000004", "0.3"),
        ("General", "0.33333333333333331", "0.333333333"),
        ("General", "1.0000000000000001E-5", "0.00001"),
        ("General", "7.257415615307994E+306", "7.257415615E+306"),
        ("0.00", "1.0049999999999999", "1.01"),
        ("0.00%", "0.0425", "4.25%"),
        ("+0.0%;-0.0%", "-0.05", "-5.0%"),
        ("[h]:mm", "1.75", "42:00"),
        ("[mm]:ss", "0.05", "72:00"),
        ("mm:ss.0", "0.000694444", "01:00.0"),
        ('h "Std." mm "Min."', "0.0625", "1 Std. 30 Min."),
        ("d. mmmm yyyy", "45000", "15. March 2023"),
        ("[$-407]d. mmmm yyyy", "45000", "15. März 2023"),
        ("[$-fr-FR]d mmmm yyyy", "45000", "15 mars 2023"),
        ("[$-411]aaaa", "45000", "水曜日"),
        ('yyyy"年"m"月"d"日"', "45000", "2023年3月15日"),
        ("[$-F800]dddd\\,\\ mmmm\\ dd\\,\\ yyyy", "45000", "Wednesday, March 15, 2023"),
        ("yyyy\\-mm\\-dd hh:mm AM/PM", "45000.6", "2023-03-15 02:24 PM"),
        ("m/d/yyyy h:mm", "45000.999999", "3/16/2023 0:00"),
        ("yyyy-mm-dd", "59", "1900-02-28"),
        ("B2yyyy/m/d", "45000", "2023/3/15"),
        ("[$-x-sysdate]dddd, mmmm dd, yyyy", "45000", "Wednesday, March 15, 2023"),
        ("[$-40C]d\\-mmm;@", "45000", "15-mars"),
        ("[h]:mm", "-0.5", "-12:00"),
        ("[<=9999999]###\\-####;\\(###\\)\\ ###\\-####", "5551234567", "(555) 123-4567"),
        ('[>=1000000]0.0,,"m";[>=1000]0.0,"k";0', "-1500", "-1500"),
        ('General;-General;"none"', "0", "none"),
        ("yyyy-mm-dd", "-5", "-5"),
        ("yyyy-mm-dd h:mm:ss", "45000", "2023-03-15"),
        ("yyyy-mm-dd h:mm:ss", "45000.25", "2023-03-15 6:00:00"),
        ("# ?/?", "1.25", "1 1/4"),
        ("# ?/8", "1.25", "1 2/8"),
        ("# ??/??", "3", "3"),
        ("0.00E+00", "12345", "1.23E+04"),
        ("##0.0E+0", "12345", "12.3E+3"),
        ('0.0,,"M"', "1234567", "1.2M"),
        ('[<1000000]0.0,"K";0.0,,"M"', "2500000", "2.5M"),
        ('[=1]0" day";0" days"', "2", "2 days"),
        ('0" pcs"', "5", "5 pcs"),
        ("0\\ \\k\\g", "5", "5 kg"),
        ('"CHF" #,##0.--', "5", "CHF 5.--"),
        ('"Yes";"Yes";"No"', "0", "No"),
        ("#,##0;(#,##0);\\-", "-1234567", "(1,234,567)"),
        (";;;", "5", ""),
    ],
)
def test_numbers_are_shown_as_the_format_says(code, value, shown):
    assert number_format(code).number(value) == shown


def test_text_format_and_the_calendar_of_1904():
    assert number_format('0;0;0;@" pcs"').text("five") == "five pcs"
    assert number_format("0.00").text("five") == "five"
    assert number_format("yyyy-mm-dd", True).number("0") == "1904-01-01"


@pytest.mark.parametrize("part", ["[", '"', "[$", "0,", "?/", "[h", "#.", "_", "E+", "\\", "0", "# ?/", "[<1", "s.0"])
def test_odd_formats_are_harmless(part):
    for count in (1, 5, 60, 10_000):
        assert isinstance(number_format(part * count).number("1234.5"), str)


def test_cells_with_formats_in_a_workbook():
    def fill(sheet):
        cells = [
            (date(2026, 3, 1), "[$-407]d. mmmm yyyy"),
            (datetime(2026, 3, 1, 17, 30), "yyyy-mm-dd h:mm"),
            (clock(9, 5), "h:mm"),
            (True, "General"),
            ("007", "@"),
            (0.5, "0%"),
            (datetime(2026, 4, 3), "mm-dd-yy"),
        ]
        for column, (value, code) in enumerate(cells, 1):
            sheet.cell(1, column, f"c{column}")
            sheet.cell(2, column, value).number_format = code

    line = book(fill).text.splitlines()[-1]
    assert line == "| 1. März 2026 | 2026-03-01 17:30 | 9:05 | TRUE | 007 | 50% | 2026-04-03 |"


def test_merged_regions_repeat_and_titles_are_no_header():
    def fill(sheet):
        rows(
            ["Tariff sheet 2026"],
            ["Region", "Product", "Fee", None],
            [None, None, 2025, 2026],
            ["North", "Basic", 5, 6],
            [None, "Plus", 9, 10],
            [],
            ["Second table"],
            [],
            ["Channel", "Cut-off"],
            ["Online", "17:00"],
        )(sheet)
        for region in ("A1:D1", "A2:A3", "B2:B3", "C2:D2", "A4:A5"):
            sheet.merge_cells(region)

    assert book(fill).text.splitlines() == [
        *["## S", "", "Tariff sheet 2026", ""],
        *["| Region | Product | Fee 2025 | Fee 2026 |", "| --- | --- | --- | --- |"],
        *["| North | Basic | 5 | 6 |", "| North | Plus | 9 | 10 |", ""],
        *["Second table", "", "| Channel | Cut-off |", "| --- | --- |", "| Online | 17:00 |"],
    ]


def test_tables_side_by_side_are_apart():
    text = text_of(
        ["Example Ltd"],
        ["Product", "Price", None, None, "Discount", "From"],
        ["Basic", 10, None, None, "5 %", "10 pcs"],
        ["Plus", 20],
    )
    left, right = "| Product | Price |\n| --- | --- |\n| Basic | 10 |\n| Plus | 20 |", "| Discount | From |"
    assert text == f"Example Ltd\n\n{left}\n\n{right}\n| --- | --- |\n| 5 % | 10 pcs |"


def test_a_header_that_the_file_names_is_one():
    lists = ["Company", "Example Ltd", "Since"], ["Item", "Fee", "Note"], ["Wire", 28, "a"], ["Cash", 3, "b"]

    def filtered(sheet):
        rows(*lists)(sheet)
        sheet.auto_filter.ref = "A2:C4"

    def named(sheet):
        rows(*lists)(sheet)
        sheet.add_table(openpyxl.worksheet.table.Table(displayName="T", ref="A2:C4"))

    for fill in (filtered, named):
        assert "\n\n| Item | Fee | Note |\n| --- | --- | --- |\n| Wire | 28 | a |\n" in book(fill).text


def test_names_above_groups_of_columns():
    text = text_of([None, "2025", None, "2026", None], ["Region", "Min", "Max", "Min", "Max"], ["North", 1, 2, 3, 4])
    assert text.splitlines()[0] == "| Region | 2025 Min | 2025 Max | 2026 Min | 2026 Max |"


def test_equal_tables_with_one_column_between_them_are_apart():
    text = text_of(["A", "B", None, "A", "B"], [1, 2, None, 3, 4])
    assert text == "| A | B |\n| --- | --- |\n| 1 | 2 |\n\n| A | B |\n| --- | --- |\n| 3 | 4 |"


def test_a_narrow_empty_column_does_not_split_a_table():
    text = text_of(["Item", "2024", None, "2025", "Change"], ["Fees", 5, None, 6, 1], ["Rent", 7, None, 7, 0])
    assert text.splitlines()[2] == "| Fees | 5 | 6 | 1 |"


def test_rows_after_a_blank_row_or_a_line_across_keep_their_header():
    def fill(sheet):
        rows(["Item", "Fee"], ["Wire", 28], [], ["Cash", 3], ["Abroad"], ["Swift", 45])(sheet)
        sheet.merge_cells("A5:B5")

    header = "| Item | Fee |\n| --- | --- |\n"
    text = f"{header}| Wire | 28 |\n\n{header}| Cash | 3 |\n\nAbroad\n\n{header}| Swift | 45 |"
    assert book(fill).text == f"## S\n\n{text}"


def test_rows_apart_from_one_another_belong_to_the_header_above():
    header = "| Item | Fee |\n| --- | --- |"
    text = text_of(["Item", "Fee"], [], ["Wire", "free"], [], [" ", None], [], ["Cash", 3])
    assert text == f"{header}\n\n{header}\n| Wire | free |\n\n{header}\n| Cash | 3 |"


def test_a_table_without_a_header_has_an_empty_one():
    assert text_of(["Wire", 28], ["Cash", 3]) == "|  |  |\n| --- | --- |\n| Wire | 28 |\n| Cash | 3 |"
    assert text_of(["Item", 2025], ["Cash", 3]).startswith("| Item | 2025 |\n| --- |")


def test_one_column_is_text():
    assert text_of(["We ship on Mondays."], ["Orders by noon."]) == "We ship on Mondays.\nOrders by noon."


@pytest.mark.parametrize("merged", ["A1:XFD1048576", "A3:XFD1048576", "B1:XFD1", "A1:A1048576"])
def test_cells_that_do_not_exist_cost_nothing(merged):
    def fill(sheet):
        rows(["Fee", "Amount"], ["Wire", 28])(sheet)
        sheet["XFD1048576"].number_format = "0.00"

    old = '<pageMargins left="0.75"'
    region = f'<mergeCells><mergeCell ref="{merged}"/></mergeCells>'
    started = time.process_time()
    plain = book(fill).text
    assert plain == "## S\n\n| Fee | Amount |\n| --- | --- |\n| Wire | 28 |"
    assert "28" in book(fill, **{"xl/worksheets/sheet1.xml": [(old, region + old)]}).text or merged[0] == "A"
    assert time.process_time() - started < 2


def test_what_is_hidden_is_left_out_and_counted():
    def fill(sheet):
        rows(["Item", "Fee", "Cost"], ["Wire", 28, 11], ["Secret", 1, 1], ["Cash", 3, 2])(sheet)
        sheet.row_dimensions[3].hidden = True
        sheet.column_dimensions["C"].hidden = True
        sheet.column_dimensions["H"].hidden = True
        sheet["A3"].comment = Comment("do not show", "A")
        for state in ("hidden", "veryHidden"):
            sheet.parent.create_sheet(state).sheet_state = state

    parsed = book(fill)
    assert parsed.text == "## S\n\n| Item | Fee |\n| --- | --- |\n| Wire | 28 |\n| Cash | 3 |"
    assert parsed.note == "2 hidden sheets, 1 hidden row, 1 hidden column skipped"


def test_comments_and_errors_are_kept_and_marked():
    def fill(sheet):
        rows(["Item", "Fee"], ["Wire", 28], ["Cash", "#N/A"])(sheet)
        sheet["B2"].comment = Comment("since 2025", "A")

    parsed = book(fill)
    assert parsed.text.endswith("| Cash | #N/A |\n\n[comment on B2, 28: since 2025]")
    assert parsed.note == "1 cell with an error (#N/A)"


def test_values_that_the_format_hides_are_left_out_and_counted():
    def fill(sheet):
        rows(["Item", "Fee"], ["Wire", 28], ["Cash", 3])(sheet)
        sheet["B2"].number_format = ";;;"

    assert book(fill).note == "1 value left out that the number format hides"


def test_formulas_without_values_are_computed_or_shown():
    def fill(sheet):
        rows(["Position", "Net", "VAT"], ["A", 100, "=B2*0.19"], ["B", 250, "=B3*0.19"])(sheet)
        rows(
            ["Total", "=SUM(B2:B3)", "=SUM(C2:C3)"],
            ["Day", "=TODAY()", "=NOSUCH(B2)"],
            ["Due", "=B5+1", "=DATE(2026,3,1)"],
        )(sheet)
        sheet["C6"].number_format = "d mmm yyyy"
        sheet["C4"].number_format = "[$€-407]#,##0.00"

    parsed = book(fill)
    assert "| A | 100 | 19 |\n| B | 250 | 47.5 |\n| Total | 350 | €66.50 |" in parsed.text
    assert "| Day | =TODAY() | =NOSUCH(B2) |\n| Due | =B5+1 | 1 Mar 2026 |" in parsed.text
    assert parsed.note.startswith("8 formulas without a value: 5 computed here, 3 shown as formulas; open and save")


def test_random_values_are_not_made_up():
    parsed = book(rows(["Item", "Fee"], ["a", "=RAND()"], ["b", "=B2*2"]))
    assert "| a | =RAND() |\n| b | =B2*2 |" in parsed.text


def test_long_chains_of_formulas_take_no_time():
    started = time.process_time()
    text = book(rows(["n"], [1], *([f"=A{i}+1"] for i in range(2, 5000)))).text
    assert text.endswith("\n4999")
    assert time.process_time() - started < 5


def test_zeros_that_stand_for_values_are_computed():
    import xlsxwriter

    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet = workbook.add_worksheet("S")
    sheet.write_row(0, 0, ["Item", "Fee"])
    sheet.write_row(1, 0, ["Wire", 28])
    sheet.write_row(2, 0, ["Both", "=B2*2"])
    workbook.close()
    parsed = parse(buffer.getvalue(), ".xlsx")
    assert parsed.text.endswith("| Both | 56 |")
    assert parsed.note == "1 formula without a value: 1 computed here"


def test_formulas_with_values_keep_them():
    parts = {"xl/worksheets/sheet1.xml": [("<v></v>", "<v>99</v>")]}
    parsed = book(rows(["Item", "Fee"], ["Wire", "=1+1"]), **parts)
    assert parsed.text.endswith("| Wire | 99 |")
    assert parsed.note == ""


def test_strings_with_raised_digits_and_escapes():
    rich = '<is><r><t>$28</t></r><r><rPr><vertAlign val="superscript"/></rPr><t>1</t></r><rPh><t>x</t></rPh></is>'
    sheet = [('t="n"><v>7</v>', f't="inlineStr">{rich}'), ("<t>Fee</t>", "<t>Fee_x000D_two</t>")]
    text = book(rows(["Item", "Fee"], ["Wire", 7]), **{"xl/worksheets/sheet1.xml": sheet}).text
    assert text.endswith("| Item | Fee two |\n| --- | --- |\n| Wire | $28¹ |")


def test_the_strict_variant_and_other_names_of_parts():
    usual, strict = "http://schemas.openxmlformats.org/", "http://purl.oclc.org/ooxml/"
    parts = {
        "_rels/.rels": [(f"{usual}officeDocument/2006/", f"{strict}officeDocument/")],
        "xl/workbook.xml": [(f"{usual}spreadsheetml/2006/", f"{strict}spreadsheetml/")],
        "xl/worksheets/sheet1.xml": [
            (f"{usual}spreadsheetml/2006/", f"{strict}spreadsheetml/"),
            ('t="n"><v>7</v>', 't="d"><v>2026-03-01</v>'),
        ],
    }
    assert book(rows(["Item", "From"], ["Wire", 7]), **parts).text.endswith("| Wire | 2026-03-01 |")


def test_entities_and_other_kinds_of_files_are_refused():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><worksheet '
    with pytest.raises(Unreadable, match="document type"):
        book(rows(["a", "b"]), **{"xl/worksheets/sheet1.xml": [("<worksheet ", bomb)]})
    with pytest.raises(Unreadable, match=r"no xl/workbook\.xml"):
        parse(changed(b"PK\x05\x06" + bytes(18), {"other/document.xml": "<x/>"}), ".xlsx")


# Made with xlwt: formats, a merged title, a raised digit, and a hidden row, column and sheet.
BINARY = (
    "c-rk)OK2295PdzL>~73w)u^br3{j)T7&a>EMOO_;@L-"
    "4^i1<M_$wZg98yRy@!M_17g6K){A|#3+Q4jv`gMx?$LD7RC2#Mk;AP5Q`V%DnK8BO8}2}D7i8oIixx~sdU>UB@=K7Tg0`~0;jJs3jEprbz>Le2"
    "o4q7w3iFsMJB=B8H%sib}St0)wtMCO>dlm9fpIplozK*LqzA#va>mCe|N+SZh9{XtqOKExIKuv8g@Jq_om6kxLWHBNY=@bSX0$k@BWmy70v@TD"
    "}iTW!R%SZ(PN7sng4V(BX&u5eRqUW=vz6Yzv_eDI{oj5V>sNyK;lR~>3#N5sfO2M8TCcFJ~Go`X&bs+x{6Os6M`aw<{6iG@v=fy>rBEF^g`wjg"
    "4JaRFn1rgAHpOj>)1B1Q-oVF1zc=*(^u5$HPbIc))-ywl}@<?H{fUQzP!Ww1W*3w@CCpG_a4RA<xYQo4ugPiq8#Lr8B^yan57E9RS-"
    "1E|ii6T9tp0?p$9!%#=Py}ggHluO-"
    "Q2u<tbPNKQlnjf9Nh^AT9W+!!^+O|okc3P8E)h8U5D&xC%<RGX})4H?CsxZlzj<|Jpqhq&GBav#eofN@+4^Nyq48wyC!+bd+@`yK~P}*bVpa@e"
    "G`YwHZvAUrywpBET<O9eaE6n7#LmG$KB5yz0>-3x&Qz#!%Xa(@*2X6$F$_#UbACXn2N_&d%BHD^nm()#g8`Vc;%rWULp>-"
    "Dsy^PHo(4I~0_TDwOBJJ;DbEw@_)3dLr>s9PLiYZe~;-|t<l&Lax_6*bQm{%+JfPEu;@=u3tPz#IiI@0dlpb%drIiUD3-"
    "4}_Y#qr|tD$95!<C$k9FS;2?BT08x)3R7=V$JcpC;qb6y~hLOWA1a!T~*Iwr;8oK?SRITq6kkS$<%@*Y2p#v8j_vCwuabp=5)%UAs#>Kyk1`Vp"
    "{g<m(@5ia&6lB!X#f$02<1C7fldR0?rWJ6q|7+WUBZ+l7=iEI5D8|mOdE$A{Lb`!`$3}#TnquO2UPW)|E)k(S%J#8S&1sLMb#&teDcXBpZ--"
    "+a<hP3Soq6ty0?db`@hatD*gW7B>ya}MJqjR^y91wDXJap9T9#e!c^W|YM3_O|AkETw7P>9G>9K9BgQY?{?x$t8Ma|~^tRAQ*Y6*RpTBwiZ}Fr"
    ")>H"
)


def test_binary_workbooks():
    parsed = parse(zlib.decompress(base64.b85decode(BINARY)), ".xls")
    assert parsed.text.splitlines() == [
        *["## Preise", "", "Tariff 2026", "", "| Item | Fee | From |", "| --- | --- | --- |"],
        *["| Wire | 1,234.50 € | 1. Mar 2026 |", "| Cash | 5.0% | TRUE |", "| Gold ¹ | 12345678901234568 |  |"],
    ]
    assert parsed.note == "1 hidden row, 1 hidden column, 1 hidden sheet skipped"


def test_what_programs_call_xls():
    html = b"<html><table><tr><td>Item</td><td>Fee</td></tr><tr><td>Wire</td><td>28</td></tr></table></html>"
    tabs = "Item\tFee\nWire\t28\n".encode("utf-16")
    workbook, buffer = openpyxl.Workbook(), io.BytesIO()
    rows(["Item", "Fee"], ["Wire", 28])(workbook.active)
    workbook.save(buffer)
    for data in (html, tabs, buffer.getvalue()):
        assert parse(data, ".xls").text.endswith("| Item | Fee |\n| --- | --- |\n| Wire | 28 |")
    with pytest.raises(Unreadable, match="2003"):
        parse(b'<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"><Table/></Workbook>', ".xls")
    with pytest.raises(Unreadable, match="no Excel workbook"):
        parse(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), ".xls")


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("xlsx_currency_becomes_dollar/xlsx_currency.xlsx", ["| Swiss franc | CHF 1,234.50 | CHF 1,234.50 |"]),
        ("xlsx_formatted_to_last_row/xlsx_formatted_to_the_end.xlsx", ["| Wire | 28 |"]),
        ("xlsx_formatted_to_last_row/xlsx_phantom_1col.xlsx", ["| Fee | Amount |", "| Wire | 28 |"]),
        ("xlsx_formulas_without_cached_values/xlsx_formulas_uncached.xlsx", ["| Total | 350 | 66.5 | 416.5 |"]),
        ("xlsx_merged_and_title_rows/xlsx_merged.xlsx", ["| North | Premium | 15 | 17 |", "| Online | 17:00 |"]),
        ("xlsx_merged_and_title_rows/xlsx_titlerows.xlsx", ["Example Ltd", "| Product | Price |", "| 5 % | 10 pcs |"]),
    ],
)
def test_reported_cases(file, lines):
    if not (CASES / file).exists():
        pytest.skip(f"{CASES / file} is missing")
    text = parse((CASES / file).read_bytes(), ".xlsx").text.splitlines()
    assert set(lines) <= set(text)


def test_struck_text_is_marked_and_rounded_numbers_are_told():
    from openpyxl.cell.rich_text import CellRichText, TextBlock
    from openpyxl.cell.text import InlineFont

    price = CellRichText("Price ", TextBlock(InlineFont(strike=True), "$30"), " $25")
    read = book(
        rows(["Item", "Account"], [price, 1.5], ["Other", 2.5]),
        **{
            "xl/worksheets/sheet1.xml": [
                ("<v>1.5<", "<v>1.2345678901234568E+17<"),
                ("<v>2.5<", "<v>123456789012345678<"),
            ]
        },
    )
    assert "| Price ~~$30~~ $25 | 123456789012345680 |\n| Other | 123456789012345678 |" in read.text
    assert read.note.startswith("1 number with more than 15 digits: a spreadsheet keeps 15")


def test_what_is_counted_is_in_the_plural():
    note = book(rows(["A", "B"], ["#N/A", "#REF!"], [1, 2])).note
    assert note == "2 cells with an error (#N/A, #REF!)"
