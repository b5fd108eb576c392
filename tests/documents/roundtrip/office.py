"""A story as the files of office programs: docx, xlsx, pptx, odt, ods, rtf."""

import io
import re
import zipfile
from decimal import ROUND_HALF_UP, Decimal
from xml.sax.saxutils import escape

from roundtrip.facts import Story

_NAMES = " ".join(
    f'xmlns:{short}="urn:oasis:names:tc:opendocument:xmlns:{long}:1.0"'
    for short, long in (
        ("office", "office"),
        ("text", "text"),
        ("table", "table"),
        ("draw", "drawing"),
        ("svg", "svg-compatible"),
    )
)
_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TEXT_BOX = """<w:p {w} xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"
 xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"
 xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"
 xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" xmlns:v="urn:schemas-microsoft-com:vml">
<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wp:inline><wp:extent cx="900000" cy="300000"/>
<wp:docPr id="7" name="Box"/><a:graphic><a:graphicData uri="http://schemas.microsoft.com/office/word/2010/wordprocessingShape">
<wps:wsp><wps:cNvSpPr txBox="1"/><wps:spPr/><wps:txbx><w:txbxContent><w:p><w:r><w:t>{text}</w:t></w:r></w:p>
</w:txbxContent></wps:txbx><wps:bodyPr/></wps:wsp></a:graphicData></a:graphic></wp:inline></w:drawing></mc:Choice>
<mc:Fallback><w:pict><v:shape><v:textbox><w:txbxContent><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:txbxContent>
</v:textbox></v:shape></w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>"""


def _run(text: str) -> str:
    """A run with the hyphens that do not break as an element, as word processors write them."""
    return "<w:r>" + "<w:noBreakHyphen/>".join(
        f'<w:t xml:space="preserve">{escape(part)}</w:t>' for part in text.split("-")
    ) + "</w:r>"  # fmt: skip


_MATH = (
    '<m:oMath xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"><m:r><m:t>{}</m:t></m:r></m:oMath>'
)
_FIELD = "".join(
    f"<w:r>{part}</w:r>"
    for part in (
        '<w:fldChar w:fldCharType="begin"/>', '<w:instrText> HYPERLINK "https://example.com/{hidden}" </w:instrText>',
        '<w:fldChar w:fldCharType="separate"/>', "<w:t>{text}</w:t>", '<w:fldChar w:fldCharType="end"/>',
    )
)  # fmt: skip
_WRAPPED = (
    "<w:p {w}>{run}</w:p>",
    '<w:p {w}><w:ins w:id="1" w:author="x">{run}</w:ins></w:p>',
    '<w:p {w}><w:moveTo w:id="2" w:author="x">{run}</w:moveTo></w:p>',
    '<w:p {w}><w:hyperlink w:anchor="x">{run}</w:hyperlink></w:p>',
    '<w:p {w}><w:fldSimple w:instr=" REF x ">{run}</w:fldSimple></w:p>',
    '<w:p {w}><w:smartTag w:element="x">{run}</w:smartTag></w:p>',
    "<w:p {w}><w:sdt><w:sdtContent>{run}</w:sdtContent></w:sdt></w:p>",
    "<w:sdt {w}><w:sdtContent><w:p>{run}</w:p></w:sdtContent></w:sdt>",
)


def docx(tale: Story) -> bytes:
    """Runs end anywhere, groups span rows; a text box, hidden and deleted text, a mark of a footnote, a page header."""
    import docx as word
    from docx.oxml import parse_xml

    document, draw = word.Document(), tale.draw
    document.add_heading(tale.title, 1)
    body = document.element.body
    for n, text in enumerate(tale.paragraphs):
        if text == tale.quoted and draw.random() < 0.7:
            body.insert(len(body) - 1, parse_xml(_TEXT_BOX.format(w=_WORD, text=escape(text))))
            continue
        if n > 1 and draw.random() < 0.5:
            body.insert(len(body) - 1, parse_xml(draw.choice(_WRAPPED).format(w=_WORD, run=_run(text))))
            continue
        paragraph = document.add_paragraph(style="List Bullet" if n % 3 == 2 else None)
        at = draw.randrange(len(text))
        paragraph.add_run(text[:at]).bold = draw.random() < 0.5
        paragraph.add_run(text[at:])
        if n == 0:
            paragraph.add_run("1").font.superscript = True
            tale.noise.append("1")
            paragraph.add_run(tale.hidden).font.hidden = True
        if n == 2:  # what stands apart on the page must not be glued
            paragraph.add_run("\t5\n6\t10")
            paragraph.add_run("3").font.superscript = True
            paragraph._p.append(parse_xml(f"<w:r {_WORD}><w:t>8</w:t><w:tab/><w:t>9</w:t><w:br/><w:t>7</w:t></w:r>"))
            paragraph._p.append(parse_xml(_MATH.format("x = 64")))
            field = _FIELD.format(hidden=tale.hidden, text="see 4321")
            body.insert(len(body) - 1, parse_xml(f"<w:p {_WORD}>{field}</w:p>"))
            tale.facts += ["x = 64", "see 4321"]
            tale.noise += ["5", "6", "10", "3", "8", "9", "7"]
        if n == 1:
            xml = f'<w:del {_WORD} w:id="3" w:author="x"><w:r><w:delText>{tale.hidden}</w:delText></w:r></w:del>'
            paragraph._p.append(parse_xml(xml))
    _fill(document.add_table(len(tale.rows) + 1 + bool(tale.band), len(tale.header)), tale)
    if draw.random() < 0.4:
        outer = document.add_table(2, 2)
        outer.cell(0, 0).text, outer.cell(0, 1).text = "Inner 311", "Outer 312"
        inner = outer.cell(1, 0).add_table(1, 2)
        inner.cell(0, 0).text, inner.cell(0, 1).text = "Deep 313", "Deep 314"
        outer.cell(1, 1).text = "Last 315"
        tale.facts += ["Inner 311", "Outer 312", "Deep 313", "Deep 314", "Last 315"]
        note = f"{tale.language.columns[0]} 316"
        document.add_comment(document.paragraphs[0].runs, text=note, author="Ana")
        tale.facts.append(note)
    document.sections[0].header.paragraphs[0].text = f"{tale.language.columns[0]} 77"
    tale.noise.append("77")
    return _with_footnote(_saved(document), tale) if draw.random() < 0.5 else _saved(document)


def _with_footnote(data: bytes, tale: Story) -> bytes:
    """A footnote at the end of the first paragraph, whose mark is not a part of what it follows."""
    note, relations = (
        f"{tale.language.columns[4]} 8642",
        "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    )
    old, buffer = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    reference = '<w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    changes = {
        "word/document.xml": ("</w:p>", reference),
        "word/_rels/document.xml.rels": (
            "</Relationships>", f'<Relationship Id="rId99" Type="{relations}/footnotes" Target="footnotes.xml"/></Relationships>'
        ),
        "[Content_Types].xml": (
            "</Types>", '<Override PartName="/word/footnotes.xml" ContentType="application/vnd.openxmlformats-officedocument.'
            'wordprocessingml.footnotes+xml"/></Types>'
        ),
    }  # fmt: skip
    with zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            before, after = changes.get(name, ("", ""))
            content = old.read(name)
            new.writestr(name, content.replace(before.encode(), after.encode(), 1) if before else content)
        separator = '<w:footnote w:type="separator" w:id="0"><w:p><w:r><w:separator/></w:r></w:p></w:footnote>'
        own = f'<w:footnote w:id="2"><w:p><w:r><w:footnoteRef/></w:r><w:r><w:t xml:space="preserve"> {note}</w:t></w:r></w:p></w:footnote>'
        new.writestr("word/footnotes.xml", f"<w:footnotes {_WORD}>{separator}{own}</w:footnotes>")
    tale.facts.append(note)
    tale.noise += ["1", "2"]
    return buffer.getvalue()


def _fill(table, tale: Story) -> None:
    """Texts and merged cells of a table of python-docx or python-pptx."""
    top = bool(tale.band)
    for row, cells in enumerate([tale.header, *tale.shown], top):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    if tale.band:
        table.cell(0, 2).text = tale.band
        table.cell(0, 2).merge(table.cell(0, len(tale.header) - 1))
    for first, rows in tale.spans:
        start = top + 1 + first
        for row in range(start + 1, start + rows):
            table.cell(row, 1).text = ""
        if rows > 1:
            table.cell(start, 1).merge(table.cell(start + rows - 1, 1))
            table.cell(start, 1).text = tale.rows[first][1].text


def xlsx(tale: Story) -> bytes:
    """A title line, merged groups, formats of numbers; a hidden sheet; a formatted cell far below."""
    import openpyxl
    from openpyxl.cell.rich_text import CellRichText, TextBlock
    from openpyxl.cell.text import InlineFont
    from openpyxl.comments import Comment
    from openpyxl.utils.datetime import CALENDAR_MAC_1904

    tale.sheet = True
    tale.paragraphs, tale.facts = [], [tale.title]
    book, draw = openpyxl.Workbook(), tale.draw
    if draw.random() < 0.2:
        book.epoch = CALENDAR_MAC_1904
    sheet = book.active
    sheet.title = tale.language.columns[0][:30]
    top = 1
    if draw.random() < 0.5:
        sheet.cell(1, 1, tale.title)
        top = 3
    else:
        tale.facts = []
    if tale.band:
        sheet.cell(top, 3, tale.band)
        sheet.merge_cells(start_row=top, end_row=top, start_column=3, end_column=len(tale.header))
        top += 1
    for column, name in enumerate(tale.header, 1):
        sheet.cell(top, column, name)
    for r, row in enumerate(tale.rows, top + 1):
        for column, value in enumerate(row, 1):
            cell = sheet.cell(r, column, value.text if value.raw is None else value.raw)
            cell.number_format = value.code
    for first, rows in tale.spans:
        if rows > 1:
            start = top + 1 + first
            sheet.merge_cells(start_row=start, end_row=start + rows - 1, start_column=2, end_column=2)
    if draw.random() < 0.5:
        sheet.cell(1_048_576, 20).number_format = "0.00"
    if draw.random() < 0.5:
        sheet.cell(top, 1).comment = Comment(tale.quoted, "Ana")
        tale.facts.append(tale.quoted)
        tale.noise.append(f"A{top}")
    if draw.random() < 0.5:
        other = book.create_sheet("Info")
        for n, text in enumerate(tale.language.sentences):
            other.cell(n + 1, 1, text.replace("{", "").replace("}", ""))
        other.cell(9, 2, 7.5).number_format = '0.0" kg"'
        other.cell(9, 1, tale.language.columns[1])
        tale.facts.append("7.5 kg")
    if draw.random() < 0.5:
        odd = book.create_sheet("Odd")
        rich = CellRichText("Fee ", TextBlock(InlineFont(b=True), "77"), ".5 now")
        for n, value in enumerate(["Name", True, "#N/A", rich, 1234567890123456, 0.1 + 0.2, 1e-7, -3, "007", "1E5"], 1):
            odd.cell(1, n, f"{tale.language.columns[1]} {chr(64 + n)}")
            odd.cell(2, n, value)
        odd.cell(2, 10).data_type = "s"
        tale.facts += ["Fee 77.5 now", "123456789012345", "| 0.3 |", "0.0000001", "| -3 |", "| 007 |", "1E5"]
        tale.noise += ["1234567890123456", "1234567890123450", "1"]
    numbers = [row[2].raw for row in tale.rows]
    if all(isinstance(number, int | float) for number in numbers):  # a formula without a value: computed, and noted
        tale.facts.append(str(Decimal(f"{sum(numbers):.15g}").quantize(Decimal("0.01"), ROUND_HALF_UP)))
        total = sheet.cell(top + len(tale.rows) + 1, len(tale.header), f"=SUM(C{top + 1}:C{top + len(tale.rows)})")
        total.number_format = "0.00"
        tale.noted = True
    secret = book.create_sheet("Secret")
    secret["A1"] = int(tale.hidden)
    secret.sheet_state = "hidden"
    return _saved(book)


def pptx(tale: Story) -> bytes:
    """Bullets, a group of text boxes, a table with merged groups, notes, a hidden slide."""
    from pptx import Presentation
    from pptx.util import Inches

    show, draw = Presentation(), tale.draw
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = tale.title
    slide.placeholders[1].text = "\n".join(text for text in tale.paragraphs if text != tale.quoted)
    if draw.random() < 0.5:
        slide.notes_slide.notes_text_frame.text = tale.quoted
    else:
        group = slide.shapes.add_group_shape()
        group.shapes.add_textbox(Inches(1), Inches(6), Inches(5), Inches(1)).text_frame.text = tale.quoted
    slide = show.slides.add_slide(show.slide_layouts[6])
    height = len(tale.rows) + 1 + bool(tale.band)
    shape = slide.shapes.add_table(height, len(tale.header), Inches(1), Inches(1), Inches(8), Inches(3))
    _fill(shape.table, tale)
    if draw.random() < 0.5:
        _add_chart(show, tale)
    hidden = show.slides.add_slide(show.slide_layouts[6])
    hidden.shapes.add_textbox(Inches(1), Inches(1), Inches(5), Inches(1)).text_frame.text = tale.hidden
    hidden._element.set("show", "0")
    return _saved(show)


def _add_chart(show, tale: Story) -> None:
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE
    from pptx.util import Inches

    data = CategoryChartData()
    data.categories = names = [f"{name} A" for name in tale.language.groups]
    data.add_series(f"{tale.language.columns[4]} 31", (12, 7.5, -340))
    place = Inches(1), Inches(1), Inches(6), Inches(4)
    show.slides.add_slide(show.slide_layouts[6]).shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, *place, data)
    tale.facts += [f"{tale.language.columns[4]} 31", "7.5", "-340", *names]
    tale.noise += ["12"]


def _saved(document) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def _odf_text(text: str) -> str:
    """Spaces and line breaks as OpenDocument writes them."""
    return re.sub(r"(?<= ) ", "<text:s/>", escape(text)).replace("\n", "<text:line-break/>")


def _odf_table(tale: Story, covered: bool) -> str:
    spans = {first: rows for first, rows in tale.spans if rows > 1}
    inside = {n for first, rows in spans.items() for n in range(first + 1, first + rows)}
    lines = [
        '<table:table table:name="T">',
        f'<table:table-column table:number-columns-repeated="{len(tale.header)}"/>',
    ]

    def cell(text: str, more: str = "") -> str:
        kind = ' office:value-type="string"' if covered else ""
        if covered and text[:1].isdigit():  # the value of a cell may look different from what it shows
            kind = f' office:value-type="currency" office:currency="EUR" office:value="{tale.hidden}.25"'
        return f"<table:table-cell{kind}{more}><text:p>{_odf_text(text)}</text:p></table:table-cell>"

    if tale.band:
        width = len(tale.header) - 2
        span = cell(tale.band, f' table:number-columns-spanned="{width}" table:number-rows-spanned="1"')
        lines.append(
            f"<table:table-row>{cell('') * 2}{span}{'<table:covered-table-cell/>' * (width - 1)}</table:table-row>"
        )
    lines.append(f"<table:table-row>{''.join(map(cell, tale.header))}</table:table-row>")
    for n, row in enumerate(tale.shown):
        span = f' table:number-rows-spanned="{spans[n]}" table:number-columns-spanned="1"' if n in spans else ""
        second = "<table:covered-table-cell/>" if n in inside else cell(row[1], span)
        lines.append(f"<table:table-row>{cell(row[0])}{second}{''.join(map(cell, row[2:]))}</table:table-row>")
    if covered:  # what spreadsheets write for the rest of the sheet
        empty = '<table:table-cell table:number-columns-repeated="16384"/>'
        lines.append(f'<table:table-row table:number-rows-repeated="1048000">{empty}</table:table-row>')
    return "".join([*lines, "</table:table>"])


def odt(tale: Story) -> bytes:
    """Spans inside a paragraph, a text box, a table with spanned rows, a tracked deletion."""
    draw, parts = tale.draw, []
    for text in tale.paragraphs:
        if text == tale.quoted and draw.random() < 0.7:
            inner = f"<text:p>{_odf_text(text)}</text:p>"
            parts.append(
                f'<text:p><draw:frame svg:width="3cm"><draw:text-box>{inner}</draw:text-box></draw:frame></text:p>'
            )
            continue
        at = draw.randrange(len(text))
        if not parts:
            note = f"<text:p>{tale.language.columns[4]} 8642</text:p>"
            parts.append(
                '<text:p>A<text:tab/>5<text:tab/>6<text:line-break/>10<text:note text:note-class="footnote"><text:note-citation>3'
                f"</text:note-citation><text:note-body>{note}</text:note-body></text:note></text:p>"
                f'<text:section text:name="s" text:display="none"><text:p>{tale.hidden}</text:p></text:section>'
                f"<text:list><text:list-item><text:p>9</text:p></text:list-item><text:list-item><text:p>7</text:p></text:list-item></text:list>"
            )
            tale.noise += ["5", "6", "10", "1", "3", "9", "7"]
            tale.facts.append(f"{tale.language.columns[4]} 8642")
        parts.append(f"<text:p><text:span>{_odf_text(text[:at])}</text:span>{_odf_text(text[at:])}</text:p>")
    deleted = f'<text:changed-region text:id="c"><text:deletion><text:p>{tale.hidden}</text:p></text:deletion></text:changed-region>'
    body = (
        f"<text:tracked-changes>{deleted}</text:tracked-changes>"
        f'<text:h text:outline-level="1">{_odf_text(tale.title)}</text:h>{"".join(parts)}{_odf_table(tale, False)}'
    )
    return _odf("text", f"<office:text>{body}</office:text>")


def ods(tale: Story) -> bytes:
    tale.facts, tale.paragraphs = [], []
    return _odf("spreadsheet", f"<office:spreadsheet>{_odf_table(tale, True)}</office:spreadsheet>")


def _odf(kind: str, body: str) -> bytes:
    mime = f"application/vnd.oasis.opendocument.{kind}"
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content {_NAMES} office:version="1.3">'
        f"<office:body>{body}</office:body></office:document-content>"
    )
    entry = '<manifest:file-entry manifest:full-path="{}" manifest:media-type="{}"/>'
    manifest = (
        '<?xml version="1.0" encoding="UTF-8"?><manifest:manifest '
        'xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0" manifest:version="1.3">'
        f"{entry.format('/', mime)}{entry.format('content.xml', 'text/xml')}</manifest:manifest>"
    )
    return zipped({"mimetype": mime, "content.xml": content, "META-INF/manifest.xml": manifest})


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            kind = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name), text.encode(), kind)
    return buffer.getvalue()


_CODE_PAGES = {"cp1252": 1252, "cp1250": 1250, "cp1251": 1251, "cp1256": 1256, "shift_jis": 932, "gbk": 936}


def rtf(tale: Story) -> bytes:
    """Characters by Unicode number, or by the bytes of the code page; a table; hidden text."""
    page = next((e for e in (*tale.language.encodings, "cp1252") if e in _CODE_PAGES), "cp1252")
    by_number = tale.draw.random() < 0.5

    def text(words: str) -> str:
        out = []
        for c in words:
            try:
                data = b"" if by_number else c.encode(page)
            except UnicodeEncodeError:
                data = b""
            if c == "\n":
                out.append("\\line ")
            elif c in "\\{}":
                out.append(f"\\{c}")
            elif c.isascii():
                out.append(c)
            elif data:
                out.append("".join(f"\\'{byte:02x}" for byte in data))
            else:
                out.append(f"\\uc1\\u{ord(c) - 65536 if ord(c) > 32767 else ord(c)}?")
        return "".join(out)

    lines = [f"{{\\rtf1\\ansi\\ansicpg{_CODE_PAGES[page]}\\deff0{{\\fonttbl{{\\f0\\fnil\\fcharset0 Arial;}}}}"]
    lines += [
        "{\\info{\\title Old 987654}{\\*\\company Example 456789}}",
        f"\\pard\\b\\fs36 {text(tale.title)}\\b0\\par",
    ]
    for words in tale.paragraphs:
        lines.append(f"\\pard\\fs22 {text(words)}\\par")
    lines.append(
        f"{{\\v {tale.hidden}}}{{\\pict\\pngblip\\picw10\\pich10 {tale.hidden}89504e47}}{{\\*\\generator Writer 24.2;}}"
    )
    lines.append(f'{{\\field{{\\*\\fldinst HYPERLINK "http://x/{tale.hidden}"}}{{\\fldrslt see 4321}}}}\\par')
    lines.append(f"10{{\\super 3}}{{\\footnote {text(tale.language.columns[4])} 8642}}\\tab 5\\line 6\\par")
    tale.facts += ["see 4321", f"{tale.language.columns[4]} 8642"]
    tale.noise += ["10", "3", "5", "6"]
    if tale.band:  # one wide cell over several columns, as word processors write it
        edges, cells = (1500, 3000, 1500 * len(tale.header)), ("", "", tale.band)
        wide = "".join(f"\\cellx{edge}" for edge in edges)
        lines.append(
            f"\\trowd{wide}{''.join(f'{chr(92)}pard{chr(92)}intbl {text(cell)}{chr(92)}cell' for cell in cells)}\\row"
        )
    spans = dict(tale.spans)
    inside = [n for first, rows in tale.spans for n in range(first + 1, first + rows)]
    for number, row in enumerate((tale.header, *tale.shown), -1):
        merge = "\\clvmgf" if spans.get(number, 1) > 1 else "\\clvmrg" if number in inside else ""
        edges = "".join(f"{merge * (n == 1)}\\cellx{1500 * (n + 1)}" for n in range(len(row)))
        shown = ["" if n == 1 and number in inside else cell for n, cell in enumerate(row)]
        cells = "".join(f"\\pard\\intbl {text(cell)}\\cell" for cell in shown)
        lines.append(f"\\trowd{edges}{cells}\\row")
    return "\n".join([*lines, "\\pard\\par}"]).encode("ascii")
