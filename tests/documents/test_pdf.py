"""PDFs as people have them: what each viewer shows is what is read, in the order in which a person reads it."""

import io
import re
from itertools import zip_longest

import pytest
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen import canvas
from reportlab.platypus import SimpleDocTemplate, Table

from inhouse.documents.ocr import Ocr
from inhouse.documents.parse import parse
from inhouse.documents.parsed import Unreadable
from inhouse.documents.pdf import read_pdf

LEFT = [
    "The first national bank opened",
    "its doors in Alder Falls and has",
    "served the valley for more than",
    "ninety years. Its founders were",
    "farmers who wanted a lender that",
    "knew the price of a harvest.",
]
RIGHT = [
    "Today the bank lends to small",
    "businesses along the river and",
    "keeps a branch in each town that",
    "asked for one. Every loan is still",
    "decided by people who live close",
    "to the borrower.",
]
MIDDLE = [
    "A second office followed when the",
    "railway came and the sawmill had",
    "to pay two hundred workers each",
    "week. Their wages were counted by",
    "hand until a machine was bought",
    "from a shop in the capital.",
]


def drawn(draw, size=A4, **options) -> bytes:
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, pagesize=size, **options)
    page.setFont("Helvetica", 10)
    draw(page)
    page.save()
    return buffer.getvalue()


def at(*texts, size=10):
    """Draws texts, each at (x, y)."""

    def draw(page):
        for x, y, text in texts:
            page.setFont("Helvetica", size)
            page.drawString(x, y, text)

    return drawn(draw)


def text_of(data, ocr="off"):
    return read_pdf(data, Ocr(ocr)).text


def flat(text):
    return " ".join(text.split())


@pytest.fixture(scope="module")
def fees():
    return at((72, 700, "An outgoing domestic wire costs $25."), (72, 680, "Incoming wires are free of charge."))


# --- files that viewers open ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "after",
    [
        bytes(4096),
        bytes(500_000),
        b"\r\n--boundary--\r\nThis mail was scanned.\r\n",
        b"<!DOCTYPE html><html><body>" + b"<p>footer</p>" * 900 + b"</body></html>",
        b"\n" * 3000,
        b"startxref\n0\n",
        b"\x1a" + b"\xff" * 2000,
    ],
)
def test_bytes_after_the_end(fees, after):
    parsed = parse(fees + after, ".pdf")
    assert "costs $25." in parsed.text
    assert parsed.note == ""


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"From: a@b\n" * 300])
def test_bytes_before_the_start(fees, before):
    assert "costs $25." in text_of(before + fees)
    assert "costs $25." in text_of(before + fees + bytes(5000))


def revised(data, old, new):
    """The file with an incremental update: the object that holds `old` again, with `new`."""
    start = data.rindex(b" obj", 0, data.index(old))
    start = data.rindex(b"\n", 0, start) + 1
    end = data.index(b"endobj", start) + len(b"endobj\n")
    number = int(data[start:].split()[0])
    size = re.search(rb"/Size (\d+)", data)[1]
    root = re.search(rb"/Root (\d+ \d+ R)", data)[1]
    before = int(data[data.rindex(b"startxref") :].split()[1])
    body = data[start:end].replace(old, new)
    at_ = len(data) + len(body)
    table = b"xref\n%d 1\n%010d 00000 n \ntrailer\n<< /Size %s /Root %s /Prev %d >>\nstartxref\n%d\n%%%%EOF\n" % (
        number, len(data), size, root, before, at_,
    )  # fmt: skip
    return data + body + table


def test_of_revisions_the_last_counts_and_one_cut_short_is_said():
    data = drawn(lambda page: page.drawString(72, 700, "A wire costs $25."), pageCompression=0)
    newer = revised(data, b"$25", b"$31")
    assert text_of(newer) == "A wire costs $31."
    assert text_of(newer + bytes(5000)) == "A wire costs $31."
    cut = parse(newer[: newer.rindex(b"xref\n")], ".pdf")
    assert "truncated" in cut.note


def test_a_truncated_file_is_refused(fees):
    with pytest.raises(Unreadable, match="truncated"):
        parse(fees[: len(fees) // 2], ".pdf")
    assert "truncated" in parse(fees[: fees.rindex(b"%%EOF")], ".pdf").note


def test_a_damaged_page_is_said_and_the_others_are_read():
    def draw(page):
        page.drawString(72, 700, "A wire costs $25.")
        page.showPage()
        page.drawString(72, 700, "A check costs $8.")

    data = drawn(draw, pageCompression=0)
    broken = re.sub(rb"(/Kids \[ \d+ 0 R )\d( 0 R \])", rb"\g<1>0\2", data)
    assert broken != data
    parsed = parse(broken, ".pdf")
    assert parsed.text == "A wire costs $25."
    assert "page 2: damaged, not read" in parsed.note


# --- columns and tables -----------------------------------------------------------------------------------------


def column(lines, x, top=700, step=12):
    return [(x, top - n * step, line) for n, line in enumerate(lines)]


def rowwise(*columns):
    return [item for row in zip(*columns, strict=True) for item in row]


def pages_of_columns():
    two = column(LEFT, 60), column(RIGHT, 320)
    three = column(LEFT, 40), column(MIDDLE, 215), column(RIGHT, 400)
    shifted = column(LEFT, 60), column(RIGHT, 320, top=704)
    return {
        "row by row": rowwise(*two),
        "column by column": [*two[0], *two[1]],
        "right one first": [*two[1], *two[0]],
        "from the bottom": [*reversed(rowwise(*two))],
        "other baselines": rowwise(*shifted),
        "three": rowwise(*three),
        "three, one by one": [*three[2], *three[0], *three[1]],
        "headings between": [
            (60, 740, "Annual report of the bank, for the owners of all of its shares, and for its neighbors"),
            *rowwise(*two),
            (60, 600, "The second part begins with a line that runs over the whole width of this page here."),
        ],
        "sidebar": rowwise(column(["Open from nine", "to five, and on", "Saturday till", "noon, unless it", "snows a lot or", "rains too much."], 60), column(RIGHT, 200)),
    }  # fmt: skip


@pytest.mark.parametrize("name", pages_of_columns())
def test_columns_are_read_one_after_the_other(name):
    items = pages_of_columns()[name]
    text = flat(text_of(at(*items, size=9 if name.startswith("three") else 10)))
    second = 200 if name == "sidebar" else 320
    columns = {
        "three": [LEFT, MIDDLE, RIGHT],
        "three, one by one": [LEFT, MIDDLE, RIGHT],
        "sidebar": [[t for x, _, t in items if x == 60], [t for x, _, t in items if x == second]],
    }.get(name, [LEFT, RIGHT])
    starts = [text.index(" ".join(column)) for column in columns]
    assert starts == sorted(starts)
    if name == "headings between":
        assert text.startswith("Annual report")
        assert text.endswith("page here.")


def run_together(page):
    """Both columns of each row in one operation, as some producers write them."""
    for n, (left, right) in enumerate(zip(LEFT, RIGHT, strict=True)):
        gap = 260 - page.stringWidth(left, "Helvetica", 10)
        page.setFont("Helvetica", 10)
        code = f"BT /F1 10 Tf 1 0 0 1 60 {700 - 12 * n} Tm [({left}) {-100 * gap:.0f} ({right})] TJ ET"
        page._code.append(code)


def test_columns_in_one_operation():
    text = flat(text_of(drawn(run_together)))
    assert text == " ".join([*LEFT, *RIGHT])


HISTORY = [
    "The first national bank opened its doors in Alder Falls", "in 1931 and has served the valley for more than",
    "ninety years. Its founders were 12 farmers who", "wanted a lender that knew the price of a harvest.",
    "When the mill closed in 1958, the bank waived", "interest for 6 months.",
]  # fmt: skip
TODAY = [
    "Today the bank lends to small businesses along the", "river and keeps a branch in each town that asked for",
    "one. Every loan above $50,000 is still decided by", "people who live close to the borrower, within 10",
    "business days of the application.",
]  # fmt: skip
GESCHICHTE = [
    "Die erste Nationalbank öffnete ihre Türen in Alder", "Falls und dient dem Tal seit mehr als neunzig Jahren.",
    "Ihre Gründer waren Bauern, die einen Geldgeber", "wollten, der den Preis einer Ernte kannte. Als die",
    "Mühle schloss, verzichtete die Bank auf Zinsen.",
]  # fmt: skip
HEUTE = [
    "Heute leiht die Bank kleinen Betrieben am Fluss Geld", "und unterhält eine Filiale in jeder Stadt, die darum",
    "bat. Über jeden Kredit entscheiden noch immer", "Menschen, die in der Nähe des Kunden wohnen.",
]  # fmt: skip
CHINESE = ["第一国民银行在阿尔德福尔斯开业，为山谷服", "务了九十多年。创始人是农民，他们希望有一", "个了解收成价格的贷款人。当工厂关闭时，银", "行免除了利息。"]  # fmt: skip
HEUTE_ZH = ["如今银行向河边的小企业放贷，并在每个提出", "要求的城镇设有分行。每笔贷款仍由住在借款", "人附近的人决定，需要十个工作日。客户可以", "随时来电咨询。"]  # fmt: skip
WIRES = ["• Wire transfers", "• Checks", "• Cash deposits", "• Safe boxes"]
LOANS = ["• Business loans", "• Mortgages", "• Student loans", "• Credit cards"]


def side_by_side(left, right, x=320, font="Helvetica", spread=False):
    """Both columns drawn row by row; with `spread`, as justified text with wide spaces."""

    def draw(page):
        for n, row in enumerate(zip_longest(left, right, fillvalue="")):
            for at_x, line in zip((60, x), row, strict=True):
                text = page.beginText(at_x, 700 - 12 * n)
                text.setFont(font, 10)
                if spread and line.count(" ") > 4:
                    text.setWordSpace((240 - pdfmetrics.stringWidth(line, font, 10)) / line.count(" "))
                text.textOut(line)
                page.drawText(text)

    if font != "Helvetica":
        pdfmetrics.registerFont(UnicodeCIDFont(font))
    return drawn(draw)


@pytest.mark.parametrize(
    ("left", "right", "options"),
    [
        (HISTORY, TODAY, {}),
        (HISTORY, TODAY, {"x": 312}),
        (HISTORY, TODAY, {"spread": True}),
        (TODAY, HISTORY, {}),
        (HISTORY, TODAY[:2], {}),
        (GESCHICHTE, HEUTE, {}),
        (CHINESE, HEUTE_ZH, {"font": "STSong-Light"}),
        (WIRES, LOANS, {}),
        (
            HISTORY,
            ["Open from nine", "to five, and on", "Saturday till", "noon, unless it", "snows a lot."],
            {"x": 460},
        ),
    ],
)
def test_columns_of_many_kinds(left, right, options):
    assert flat(text_of(side_by_side(left, right, **options))) == " ".join([*left, *right])


def test_a_heading_between_two_bands_of_columns():
    lower = rowwise(column(GESCHICHTE[:4], 60, 600), column(HEUTE, 320, 600))
    items = [*rowwise(column(HISTORY[:5], 60), column(TODAY, 320)), (60, 624, "Second part"), *lower]
    wanted = [*HISTORY[:5], *TODAY, "Second part", *GESCHICHTE[:4], *HEUTE]
    assert flat(text_of(at(*items))) == " ".join(wanted)


@pytest.mark.parametrize(
    ("rows", "places"),
    [
        ([("How do I reset my password?", "Use the link on the sign-in page."), ("When are you open?", "Monday to Friday from 9 to 5."),
          ("What does a wire cost?", "An outgoing domestic wire costs $25."), ("Can I close my account?", "Yes, at any branch, at no cost.")], (60, 280)),
        ([("Name: Ada Lovelace", "Date: March 1"), ("Account: 40021", "Branch: Alder Falls"), ("Phone: 555-0142", "Fax: 555-0143")], (60, 320)),
        ([("Coffee", "$2.50", "Cake", "$4.00"), ("Tea", "$2.00", "Pie", "$4.50"), ("Juice", "$3.00", "Cookie", "$1.50")], (60, 200, 320, 460)),
        ([("Deposits of customers", "1,204", "1,187"), ("Loans to businesses", "804", "790"), ("Loans to households", "311", "290")], (60, 330, 410)),
        ([("Fee for a wire to another bank in the country", "is waived for members of the Ridge club"),
          ("Fee for a wire abroad, in any currency", "must be paid before noon on the same day"),
          ("Fee for stopping a payment that was made", "ends after six months without further notice")], (60, 330)),
        ([("Überweisung", "kostenlos"), ("Auslandsüberweisung", "12,50 €"), ("Kontoauszug", "2,00 €"), ("Überziehung", "9,9 %")], (60, 300)),
        ([("Monday", "9 a.m. to 5 p.m."), ("Friday", "9 a.m. to 6 p.m."), ("Saturday", "9 a.m. to noon"), ("Sunday", "closed")], (60, 300)),
    ],
)  # fmt: skip
def test_rows_of_other_tables_stay_together(rows, places):
    by_row = [(x, 700 - 16 * n, cell) for n, row in enumerate(rows) for x, cell in zip(places, row, strict=True)]
    lines = [flat(line) for line in text_of(at(*by_row)).split("\n") if line.strip()]
    assert lines == [" ".join(row) for row in rows]


PRICES = [("Domestic wire", "$25.00"), ("Foreign wire", "$45.00"), ("Stop payment", "$30.00"), ("Cashier's check", "$8.00"),
          ("Paper statement", "$2.00"), ("Overdraft", "$28.00")]  # fmt: skip


def right_aligned(x, top=700):
    def draw(page):
        page.setFont("Helvetica", 10)
        for n, (name, _) in enumerate(PRICES):
            page.drawString(60, top - 14 * n, name)
        for n, (_, price) in enumerate(PRICES):
            page.drawRightString(x, top - 14 * n, price)

    return draw


LONG = ["Fee for a wire to another bank in the country", "Fee for a wire abroad, in any currency",
        "Fee for stopping a payment that was made", "Fee for a check that the bank itself signs"]  # fmt: skip
TABLES = {
    "row by row": at(*rowwise([(60, 700 - 14 * n, a) for n, (a, _) in enumerate(PRICES)], [(300, 700 - 14 * n, b) for n, (_, b) in enumerate(PRICES)])),
    "column by column": at(*[(60, 700 - 14 * n, a) for n, (a, _) in enumerate(PRICES)], *[(300, 700 - 14 * n, b) for n, (_, b) in enumerate(PRICES)]),
    "right aligned": drawn(right_aligned(360)),
    "far apart": drawn(right_aligned(540)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_price_lists_keep_their_rows(name):
    lines = [flat(line) for line in text_of(TABLES[name]).split("\n") if line.strip()]
    assert lines == [f"{a} {b}" for a, b in PRICES]


def test_a_table_of_several_figures_keeps_its_rows():
    rows = [("Term", "Rate", "Minimum"), ("12 months", "4.10 %", "500"), ("24 months", "4.25 %", "1,000"),
            ("36 months", "4.40 %", "2,500"), ("60 months", "4.55 %", "5,000")]  # fmt: skip
    columns = [[(x, 700 - 14 * n, row[c]) for n, row in enumerate(rows)] for c, x in enumerate((60, 220, 380))]
    for items in (rowwise(*columns), [item for column in columns for item in column]):
        lines = [flat(line) for line in text_of(at(*items)).split("\n") if line.strip()]
        assert lines == [" ".join(row) for row in rows]


def test_cells_of_several_lines_stay_with_their_row():
    rows = [("a wire that is sent to\nanother bank in the land", "twenty five for each one\nand nothing for the first"),
            ("a wire that is sent to\na bank in another land", "forty five for each one\nand more if it is in haste"),
            ("a check that is signed\nby the bank, not by you", "eight for each of them\nand none for the old ones")]  # fmt: skip
    items, y = [], 700
    for row in rows:
        for n in range(2):
            items += [(60, y - 12 * n, row[0].split("\n")[n]), (320, y - 12 * n, row[1].split("\n")[n])]
        y -= 36
    text = flat(text_of(at(*items)))
    for left, right in rows:
        assert f"{flat(left)} {flat(right)}" in text


@pytest.mark.parametrize("ruled", [True, False])
def test_the_header_of_a_table_over_several_pages_is_no_page_header(ruled):
    rows = [
        ["Service", "Fee", "Valid from"],
        *([f"Transfer {chr(65 + n % 26)}", f"${n}.50", "2025"] for n in range(120)),
    ]
    buffer = io.BytesIO()
    style = [("GRID", (0, 0), (-1, -1), 0.5, colors.black)] if ruled else []

    def page_header(canvas, page):
        canvas.setFont("Helvetica", 8)
        canvas.drawString(72, 810, f"Example Ltd   Page {page.page}")

    table = Table(rows, style=style, repeatRows=1)
    SimpleDocTemplate(buffer, pagesize=A4).build([table], onFirstPage=page_header, onLaterPages=page_header)
    text = text_of(buffer.getvalue())
    assert flat(text).count("Service") == 4 == flat(text).count("Valid from")
    assert "Example" not in text
    assert text.startswith("| Service | Fee | Valid from |" if ruled else "Service Fee Valid from")


def test_spanned_cells_repeat_and_a_title_row_is_no_header():
    rows = [["Fees of 2025", "", ""], ["Account", "Fee", "Waived"], ["Ridge", "$8", "from $1,500"], ["", "$9", "never"], ["Peak", "free", ""]]  # fmt: skip
    style = [("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("SPAN", (0, 0), (2, 0)), ("SPAN", (0, 2), (0, 3)), ("SPAN", (1, 4), (2, 4))]  # fmt: skip
    buffer = io.BytesIO()
    SimpleDocTemplate(buffer).build([Table(rows, style=style)])
    assert text_of(buffer.getvalue()) == (
        "Fees of 2025\n\n| Account | Fee | Waived |\n| --- | --- | --- |\n| Ridge | $8 | from $1,500 |\n"
        "| Ridge | $9 | never |\n| Peak | free | free |"
    )


# --- characters -------------------------------------------------------------------------------------------------


def raised(before, small, after="", rise=4, size=6, base=11):
    def draw(page):
        text = page.beginText(72, 700)
        text.setFont("Helvetica", base)
        text.textOut(before)
        text.setFont("Helvetica", size)
        text.setRise(rise)
        text.textOut(small)
        text.setRise(0)
        text.setFont("Helvetica", base)
        text.textOut(after)
        page.drawText(text)

    return drawn(draw)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (raised("The fee is $28", "1", " per item."), "The fee is $28¹ per item."),
        (raised("The fee is $28", "1"), "The fee is $28¹"),
        (raised("A volume of 10", "3", " liters"), "A volume of 10³ liters"),
        (raised("Fees", "12", " of 2025"), "Fees¹² of 2025"),
        (raised("Rate 4.5 %", "2", ", fixed"), "Rate 4.5 %², fixed"),
        (raised("between 10", "-6", " and 1"), "between 10⁻⁶ and 1"),
        (raised("An area of 70 m", "2", "."), "An area of 70 m²."),
        (raised("The 5", "th", " of May"), "The 5th of May"),
        (raised("log 10", "2", " x", rise=-3), "log 10₂ x"),
        (raised("H", "2", "O", rise=-3), "H2O"),
        (raised("", "1", "Only on weekdays."), "¹Only on weekdays."),
        (raised("costs $9", "99", " a month", rise=5), "costs $9⁹⁹ a month"),
        (raised("large 28", "12", " small", rise=0, size=7), "large 2812 small"),
    ],
)
def test_superscripts_never_become_part_of_a_number(data, text):
    assert text_of(data) == text


def test_a_superscript_drawn_apart():
    def draw(page):
        page.drawString(72, 700, "The fee is $28")
        page.setFont("Helvetica", 6)
        page.drawString(72 + page.stringWidth("The fee is $28", "Helvetica", 10) + 0.5, 704, "1")

    assert text_of(drawn(draw)) == "The fee is $28¹"


def test_words_broken_at_the_end_of_a_line():
    lines = ["A payment to a sup-", "plier takes a day. Your long-", "term deposit is a long-term plan,", "and the E-", "Mail says 2024-", "2025 only."]  # fmt: skip
    text = flat(text_of(at(*column(lines, 72))))
    assert text == "A payment to a supplier takes a day. Your long-term deposit is a long-term plan, and the E-Mail says 2024-2025 only."  # fmt: skip


def test_text_that_runs_up_or_down_the_page():
    for angle, (x, y) in ((90, (200, 100)), (270, (200, 700))):

        def draw(page, angle=angle, x=x, y=y):
            page.translate(x, y)
            page.rotate(angle)
            for left, top, text in rowwise(column(LEFT, 0, 0), column(RIGHT, 260, 0)):
                page.drawString(left, top, text)

        assert flat(text_of(drawn(draw))) == " ".join([*LEFT, *RIGHT])


def test_pages_with_a_rotation():
    import pypdfium2 as pdfium

    for degrees in (90, 180, 270):
        document = pdfium.PdfDocument(at(*rowwise(column(LEFT, 60), column(RIGHT, 320))))
        page = document[0]
        page.set_rotation(degrees)
        buffer = io.BytesIO()
        document.save(buffer)
        parsed = read_pdf(buffer.getvalue(), Ocr("off"))
        assert flat(parsed.text) == " ".join([*LEFT, *RIGHT])
        left, top, right, bottom = parsed.places[0].box
        assert 0 <= left < right <= 1
        assert 0 <= top < bottom <= 1


def test_invisible_text_over_a_scan_is_kept():
    def draw(page):
        from PIL import Image
        from reportlab.lib.utils import ImageReader

        page.drawImage(ImageReader(Image.new("RGB", (600, 800), "white")), 0, 0, *A4)
        text = page.beginText(72, 700)
        text.setTextRenderMode(3)
        text.textLine("An outgoing wire costs $25.")
        page.drawText(text)

    parsed = parse(drawn(draw), ".pdf")
    assert (parsed.text, parsed.note) == ("An outgoing wire costs $25.", "")


# --- what lies on the page, and in the file ---------------------------------------------------------------------


def test_form_values_stand_where_they_are_shown():
    def draw(page):
        form = page.acroForm
        page.drawString(72, 700, "Name:")
        form.textfield(name="name", value="Ada Lovelace", x=120, y=694, width=150, height=18)
        page.drawString(300, 700, "Date:")
        form.textfield(name="date", value="2025-03-01", x=340, y=694, width=100, height=18)
        page.drawString(92, 660, "Send statements by mail")
        form.checkbox(name="mail", checked=True, x=72, y=656, size=14)
        page.drawString(92, 640, "Close the account")
        form.checkbox(name="close", checked=False, x=72, y=636, size=14)
        page.drawString(72, 610, "Account:")
        form.choice(name="kind", value="Ridge", options=["Ridge", "Peak"], x=130, y=604, width=80, height=18)

    lines = [flat(line) for line in text_of(drawn(draw)).split("\n") if line.strip()]
    assert lines == ["Name: Ada Lovelace Date: 2025-03-01", "[x] Send statements by mail", "[ ] Close the account", "Account: Ridge"]  # fmt: skip


def annotation(kind, contents):
    def draw(page):
        page.drawString(72, 700, "A wire costs $25.")
        page.textAnnotation(contents, Rect=[72, 640, 260, 660], addtopage=1)

    return drawn(draw, pageCompression=0).replace(b"/Subtype /Text", b"/Subtype /%s" % kind)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"FreeText", "A wire costs $25.\n\nOnly until May."),
        (b"Text", "A wire costs $25.\n\n[Comment: Only until May.]"),
        (b"Highlight", "A wire costs $25.\n\n[Comment: Only until May.]"),
        (b"Popup", "A wire costs $25."),
    ],
)
def test_annotations_with_text(kind, expected):
    assert text_of(annotation(kind, "Only until May.")) == expected


def test_attachments_are_named():
    import pypdfium2 as pdfium

    document = pdfium.PdfDocument(at((72, 700, "See the price list.")))
    document.new_attachment("prices.xlsx").set_data(b"PK")
    buffer = io.BytesIO()
    document.save(buffer)
    assert parse(buffer.getvalue(), ".pdf").note == "attachments skipped: prices.xlsx"


# --- where text stands ------------------------------------------------------------------------------------------


def test_each_line_has_its_page_and_box(files):
    parsed = parse(files["fees.pdf"], ".pdf")
    starts = [place.start for place in parsed.places]
    assert starts == sorted(set(starts))
    assert all(start == 0 or parsed.text[start - 1] in "\n " for start in starts)
    by_text = {parsed.text[p.start :].split("\n")[0]: p for p in parsed.places}
    assert by_text["| Large withdrawal | $12.50 |"].page == 2
    left, top, right, bottom = by_text["| Large withdrawal | $12.50 |"].box
    assert 0.1 < left < right < 0.9
    assert 0.2 < top < bottom < 0.6
    assert by_text["# Loans"].page == 3


def test_text_is_clean_already_so_that_places_hold():
    data = at((72, 700, "Two  words\u00a0here"), (72, 686, "\u00e9t\u00e9   "), (72, 600, "soft\u00adly"))
    parsed = parse(data, ".pdf")
    assert len(parsed.places) == len([line for line in parsed.text.split("\n") if line])


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize(
    "rows",
    [
        ("Plan Monthly Yearly Setup", "Basic 5 50 0", "Pro 10 100 20", "Team 15 150 30"),
        ("Plan Fee", "A 5", "B 10", "Pro 7"),
        ("A 5", "B 6", "C 7"),
        ("Size S M L", "Shirt 9 9 10", "Coat 1 2 3"),
    ],
)
def test_cells_of_one_letter_stay_in_their_row(rows, right):
    buffer = io.BytesIO()
    page = canvas.Canvas(buffer, pagesize=(595, 842))
    for line, row in enumerate(rows):
        first, *others = row.split()
        page.drawString(60, 780 - 18 * line, first)
        for column, cell in enumerate(others):
            (page.drawRightString if right else page.drawString)(250 + 90 * column, 780 - 18 * line, cell)
    page.save()
    assert parse(buffer.getvalue(), ".pdf").text.split("\n") == list(rows)
