"""Word documents and presentations: nothing on the page is lost, nothing that is hidden is kept."""

import io
import zipfile
from pathlib import Path

import docx
import pptx
import pytest
from docx.oxml import parse_xml
from docx.shared import Pt
from pptx.chart.data import CategoryChartData
from pptx.enum.chart import XL_CHART_TYPE
from pptx.util import Inches

from inhouse.documents.parse import parse
from inhouse.documents.parsed import Unreadable
from inhouse.documents.word_styles import counted_as

CASES = Path(__file__).parents[3] / "shared" / "cases" / "documents"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006"
SPACES = " ".join(
    [
        'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"',
        f'xmlns:r="{OFFICE}/relationships" xmlns:m="{OFFICE}/math"',
        'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"',
        'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"',
        'xmlns:v="urn:schemas-microsoft-com:vml"',
        'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram"',
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"',
    ]
)


def repacked(data, change):
    """An office file after `change` has changed the dict of its parts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        parts = {name: old.read(name).decode("utf-8", "surrogateescape") for name in old.namelist()}
        change(parts)
        for name, text in parts.items():
            new.writestr(name, text.encode("utf-8", "surrogateescape"))
    return buffer.getvalue()


def saved(document):
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def word(body, change=lambda parts: None, suffix=".docx"):
    """The parsed text of a document with this XML as its body."""

    def put(parts):
        end = parts["word/document.xml"].partition("<w:sectPr")[2]
        parts["word/document.xml"] = f"<w:document {SPACES}><w:body>{body}<w:sectPr{end}"
        change(parts)

    return parse(repacked(saved(docx.Document()), put), suffix)


def p(*runs, style="", number=""):
    style = f'<w:pStyle w:val="{style}"/>' if style else ""
    number = f'<w:numPr><w:ilvl w:val="{number[0]}"/><w:numId w:val="{number[1]}"/></w:numPr>' if number else ""
    return f"<w:p><w:pPr>{style}{number}</w:pPr>{''.join(runs)}</w:p>"


def r(text, properties=""):
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'


def related(parts, *relations, part="word/_rels/document.xml.rels"):
    """Adds relations (id, kind, target) to a part."""
    more = "".join(f'<Relationship Id="{i}" Type="{OFFICE}/relationships/{k}" Target="{t}"/>' for i, k, t in relations)
    parts[part] = parts[part].replace("</Relationships>", f"{more}</Relationships>")


BOX = "<w:txbxContent>{}</w:txbxContent>"


@pytest.mark.parametrize(
    ("body", "text", "note"),
    [
        (p(r("$28"), r("1", '<w:vertAlign w:val="superscript"/>')), "$28¹", ""),
        (p(r("10"), r("-3", '<w:vertAlign w:val="superscript"/>'), r(" mol")), "10⁻³ mol", ""),
        (p(r("H"), r("2", '<w:vertAlign w:val="subscript"/>'), r("O")), "H₂O", ""),
        (p(r("$28"), r("1", '<w:position w:val="6"/><w:sz w:val="14"/>')), "$28¹", ""),
        (p(r("Was $30", "<w:dstrike/>"), r(" now $25")), "~~Was $30~~ now $25", ""),
        (
            p(r("5"), '<w:r><w:br w:type="page"/></w:r>', r("10"), '<w:r><w:br w:type="column"/></w:r>', r("7")),
            "5\n10\n7",
            "",
        ),
        (
            p(
                '<w:r><w:fldChar w:fldCharType="begin"><w:ffData><w:ddList><w:result w:val="1"/><w:listEntry w:val="Red"/>'
                '<w:listEntry w:val="Blue"/></w:ddList></w:ffData></w:fldChar></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>'
            ),
            "Blue",
            "",
        ),
        (p(r("28"), r("th", '<w:vertAlign w:val="superscript"/>')), "28th", ""),
        (p(r("Seen. "), r("Secret.", "<w:vanish/>")), "Seen.", "1 hidden passage left out"),
        (p(r("Seen. "), r("Shown.", '<w:vanish w:val="0"/>')), "Seen. Shown.", ""),
        (p(r("Fee "), f"<w:del>{r('5')}</w:del><w:ins>{r('6')}</w:ins>"), "Fee 6", "1 tracked deletion left out"),
        (
            p(f"<w:moveFrom>{r('Moved.')}</w:moveFrom>") + p(f"<w:moveTo>{r('Moved.')}</w:moveTo>"),
            "Moved.",
            "1 tracked deletion left out",
        ),
        (f"<w:ins>{p(r('New.'))}</w:ins>", "New.", ""),
        (f"<w:sdt><w:sdtContent>{p(r('Form F-22'))}</w:sdtContent></w:sdt>", "Form F-22", ""),
        (p(f"<w:sdt><w:sdtContent>{r('Inline')}</w:sdtContent></w:sdt>"), "Inline", ""),
        (p(f'<w:smartTag w:element="x">{r("Tagged")}</w:smartTag>'), "Tagged", ""),
        (p(f'<w:fldSimple w:instr="DOCPROPERTY x">{r("V 3")}</w:fldSimple>'), "V 3", ""),
        (p(r("a-"), "<w:r><w:noBreakHyphen/><w:t>b</w:t><w:tab/><w:t>c</w:t></w:r>"), "a--b\tc", ""),
        (p('<w:r><w:sym w:font="Symbol" w:char="F0A0"/><w:t> 5</w:t></w:r>'), "€ 5", ""),
        (p('<w:r><w:sym w:font="Wingdings" w:char="F0FC"/><w:t> paid</w:t></w:r>'), "✓ paid", ""),
        (p(r("&#xF0B0;C", '<w:rFonts w:ascii="Symbol"/>')), "°Χ", ""),
        (p(f"<w:r><w:drawing><wps:txbx>{BOX.format(p(r('Box')))}</wps:txbx></w:drawing></w:r>"), "Box", ""),
        (p(f"<w:r><w:pict><v:textbox>{BOX.format(p(r('Old box')))}</v:textbox></w:pict></w:r>"), "Old box", ""),
        (p('<w:r><w:pict><v:shape><v:textpath string="DRAFT"/></v:shape></w:pict></w:r>'), "DRAFT", ""),
        (
            p("<w:r><w:drawing><a:txBody><a:p><a:r><a:t>Canvas</a:t></a:r></a:p></a:txBody></w:drawing></w:r>"),
            "Canvas",
            "",
        ),
        (
            p(
                "<w:r><mc:AlternateContent><mc:Choice Requires='wps'><w:drawing>"
                f"<wps:txbx>{BOX.format(p(r('Once')))}</wps:txbx></w:drawing></mc:Choice>"
                f"<mc:Fallback><w:pict>{BOX.format(p(r('Once')))}</w:pict></mc:Fallback></mc:AlternateContent></w:r>"
            ),
            "Once",
            "",
        ),
        (
            p(
                '<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText>IF x</w:instrText></w:r>'
                '<w:r><w:fldChar w:fldCharType="separate"/></w:r>',
                r("yes"),
                '<w:r><w:fldChar w:fldCharType="end"/></w:r>',
            ),
            "yes",
            "",
        ),
        (p('<w:r><w:fldChar w:fldCharType="begin"/></w:r>', r("no end")), "no end", ""),
        (
            p(
                "<m:oMath><m:f><m:num><m:r><m:t>a+1</m:t></m:r></m:num><m:den><m:r><m:t>2</m:t></m:r></m:den></m:f></m:oMath>"
            ),
            "(a+1)/2",
            "",
        ),
        (
            p(
                "<m:oMath><m:sSup><m:e><m:r><m:t>10</m:t></m:r></m:e><m:sup><m:r><m:t>3</m:t></m:r></m:sup></m:sSup></m:oMath>"
            ),
            "10³",
            "",
        ),
        (
            p(
                "<w:r><w:ruby><w:rt><w:r><w:t>とう</w:t></w:r></w:rt><w:rubyBase><w:r><w:t>東</w:t></w:r></w:rubyBase></w:ruby></w:r>"
            ),
            "東",
            "",
        ),
        (p(r("Old", "<w:strike/>"), r(" new "), r("bold", "<w:b/>"), r("er", "<w:b/>")), "~~Old~~ new **bolder**", ""),
    ],
)
def test_text_of_paragraphs(body, text, note):
    parsed = word(body)
    assert parsed.text == text
    assert parsed.note == note


def cell(text, properties=""):
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{p(r(text))}</w:tc>"


def table(*rows):
    return "<w:tbl>" + "".join(f"<w:tr>{''.join(cells)}</w:tr>" for cells in rows) + "</w:tbl>"


SPAN, DOWN, ON = '<w:gridSpan w:val="2"/>', '<w:vMerge w:val="restart"/>', "<w:vMerge/>"


def test_spanned_cells_repeat():
    body = table(
        [cell("Region", DOWN), cell("Fee", SPAN)],
        [cell("", ON), cell("2025"), cell("2026")],
        [cell("North", DOWN), cell("5"), cell("6")],
        [cell("", ON), cell("9"), cell("10")],
        [cell("South"), cell("free", SPAN)],
    )
    assert word(body).text.splitlines() == [
        *["| Region | Fee 2025 | Fee 2026 |", "| --- | --- | --- |", "| North | 5 | 6 |", "| North | 9 | 10 |"],
        "| South | free | free |",
    ]


def test_a_line_across_a_table_is_its_title_and_a_frame_is_no_table():
    body = table([cell("Fees 2026", SPAN)], [cell("Item"), cell("Fee")], [cell("Wire"), cell("28")])
    assert word(body).text == "Fees 2026\n\n| Item | Fee |\n| --- | --- |\n| Wire | 28 |"
    frame = f"<w:tbl><w:tr><w:tc>{p(r('Who'), style='Heading1')}{p(r('You.'))}</w:tc></w:tr></w:tbl>"
    assert word(frame).text == "# Who\n\nYou."


def test_lists_in_cells_and_hidden_rows():
    def change(parts):
        level = '<w:lvl w:ilvl="0"><w:numFmt w:val="bullet"/><w:lvlText w:val="•"/></w:lvl>'
        parts["word/numbering.xml"] = (
            f'<w:numbering {SPACES}><w:abstractNum w:abstractNumId="1">{level}</w:abstractNum>'
            '<w:num w:numId="1"><w:abstractNumId w:val="1"/></w:num></w:numbering>'
        )

    items = f"<w:tc>{p(r('5 kg'), number='01')}{p(r('7 kg'), number='01')}</w:tc>"
    body = table([cell("Item"), cell("Size")], [cell("Box"), items], [cell("Old"), cell("1 kg")])
    hidden = body.rpartition("<w:tr>")
    parsed = word("<w:tr><w:trPr><w:hidden/></w:trPr>".join(hidden[::2]), change)
    assert parsed.text.endswith("| Box | 5 kg; 7 kg |")
    assert parsed.note == "1 hidden row left out"


@pytest.mark.parametrize(
    ("formula", "text"),
    [
        ("<m:r><m:t>a</m:t></m:r><m:d><m:e><m:r><m:t>b+c</m:t></m:r></m:e></m:d>", "a(b+c)"),
        (
            '<m:d><m:dPr><m:begChr m:val="["/><m:endChr m:val="]"/></m:dPr><m:e><m:r><m:t>b</m:t></m:r></m:e></m:d>',
            "[b]",
        ),
        ("<m:rad><m:e><m:r><m:t>a+1</m:t></m:r></m:e></m:rad>", "√(a+1)"),
        (
            '<m:nary><m:naryPr><m:chr m:val="∑"/></m:naryPr><m:sub><m:r><m:t>i=1</m:t></m:r></m:sub><m:sup><m:r><m:t>n</m:t></m:r>'
            "</m:sup><m:e><m:r><m:t>x</m:t></m:r></m:e></m:nary>",
            "∑_(i=1)^n x",
        ),
        ("<m:func><m:fName><m:r><m:t>sin</m:t></m:r></m:fName><m:e><m:r><m:t>x</m:t></m:r></m:e></m:func>", "sin x"),
        (
            "<m:m><m:mr><m:e><m:r><m:t>1</m:t></m:r></m:e><m:e><m:r><m:t>2</m:t></m:r></m:e></m:mr>"
            "<m:mr><m:e><m:r><m:t>3</m:t></m:r></m:e><m:e><m:r><m:t>4</m:t></m:r></m:e></m:mr></m:m>",
            "1, 2; 3, 4",
        ),
    ],
)
def test_formulas_keep_their_meaning(formula, text):
    assert word(p(f"<m:oMathPara><m:oMath>{formula}</m:oMath></m:oMathPara>")).text == text


def test_tables_in_cells_keep_their_text():
    inner = f"<w:tc>{table([cell('a'), cell('b')], [cell('c'), cell('4')])}{p()}</w:tc>"
    text = word(table([cell("Item"), cell("Fee")], [cell("Wire"), inner])).text
    assert all(word in text.splitlines()[-1] for word in ("Wire", "a", "b", "c", "4"))


END_NOTE = '<w:r><w:endnoteReference w:id="1"/></w:r>'


def test_notes_comments_and_margins_are_marked_and_stand_once():
    note = '<w:footnote w:id="{}">{}</w:footnote>'
    margin = "<w:{0} {1}>{2}</w:{0}>"

    def change(parts):
        related(
            parts,
            *[
                ("n", "footnotes", "footnotes.xml"),
                ("c", "comments", "comments.xml"),
                ("e", "endnotes", "endnotes.xml"),
            ],
            *[("h1", "header", "header1.xml"), ("h2", "header", "header2.xml"), ("f", "footer", "footer1.xml")],
        )
        parts["word/footnotes.xml"] = f"<w:footnotes {SPACES}>{note.format(2, p(r('Not on Sundays.')))}</w:footnotes>"
        parts["word/endnotes.xml"] = (
            f"<w:endnotes {SPACES}><w:endnote w:id='1'>{p(r('See law.'))}</w:endnote></w:endnotes>"
        )
        parts["word/comments.xml"] = (
            f"<w:comments {SPACES}><w:comment w:id='0'>{p(r('Check.'))}</w:comment></w:comments>"
        )
        related(parts, ("x", "header", "header9.xml"))
        parts["word/header9.xml"] = margin.format("hdr", SPACES, p(r("Not shown")))
        for name in ("header1", "header2"):
            parts[f"word/{name}.xml"] = margin.format("hdr", SPACES, p(r("Confidential")))
        page = p(r("Rev. 4, page "), f'<w:fldSimple w:instr=" PAGE ">{r("7")}</w:fldSimple>')
        parts["word/footer1.xml"] = margin.format("ftr", SPACES, page)

    unused = '<w:headerReference w:type="first" r:id="x"/><w:footerReference w:type="even" r:id="x"/>'
    references = unused + "".join(f'<w:headerReference r:id="h{i}"/>' for i in (1, 2)) + '<w:footerReference r:id="f"/>'
    body = (
        p(
            r("It is $28"),
            '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:footnoteReference w:id="2"/></w:r>',
            r(" today."),
            '<w:r><w:commentReference w:id="0"/></w:r>',
        )
        + table(
            [cell("Item"), cell("Fee")],
            [cell("Wire"), "<w:tc>" + p(r("28"), END_NOTE) + "</w:tc>"],
        )
        + f"<w:p><w:pPr><w:sectPr>{references}</w:sectPr></w:pPr></w:p>"
    )
    assert word(body, change).text.split("\n\n") == [
        "It is $28[^1] today.",
        "[^1]: Not on Sundays.",
        "[comment: Check.]",
        "| Item | Fee |\n| --- | --- |\n| Wire | 28[^2] |",
        "[^2]: See law.",
        "[page header: Confidential]",
        "[page footer: Rev. 4, page]",
    ]


def test_tables_in_cells_and_headers_are_read_in_one_line():
    inner = table([cell("In"), cell("Out")], [cell("15"), cell("28")])
    outer = table([cell("Service"), cell("Fees")], [cell("Wire"), f"<w:tc>{inner}<w:p/></w:tc>"])
    assert word(outer).text == "| Service | Fees |\n| --- | --- |\n| Wire | In: 15, Out: 28 |"


@pytest.mark.parametrize(
    ("form", "label"),
    [
        ("chineseCounting", "二"), ("japaneseCounting", "二"), ("ideographDigital", "二"), ("ordinal", "2nd"),
        ("decimalEnclosedCircle", "②"), ("russianLower", "б"), ("upperLetter", "B"), ("lowerRoman", "ii"),
        ("thaiLetters", "2"),
    ],
)  # fmt: skip
def test_labels_of_lists_by_their_format(form, label):
    assert counted_as(2, form) == label


@pytest.mark.parametrize(
    ("number", "label"), [(1, "一"), (10, "十"), (11, "十一"), (20, "二十"), (34, "三十四"), (100, "100")]
)
def test_chinese_numbers_of_lists(number, label):
    assert counted_as(number, "chineseCountingThousand") == label


def test_numbers_of_headings_and_lists_are_shown():
    level = '<w:lvl w:ilvl="{0}"><w:start w:val="1"/><w:numFmt w:val="{1}"/><w:lvlText w:val="{2}"/></w:lvl>'
    levels = [("decimal", "%1."), ("decimal", "%1.%2"), ("lowerLetter", "(%3)")]
    dots = level.format(0, "bullet", "•")

    def change(parts):
        first = "".join(level.format(i, *form) for i, form in enumerate(levels))
        parts["word/numbering.xml"] = (
            f'<w:numbering {SPACES}><w:abstractNum w:abstractNumId="1">{first}</w:abstractNum>'
            f'<w:abstractNum w:abstractNumId="2">{dots}</w:abstractNum>'
            '<w:num w:numId="1"><w:abstractNumId w:val="1"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="2"/></w:num>'
            '<w:num w:numId="3"><w:abstractNumId w:val="1"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/>'
            "</w:lvlOverride></w:num></w:numbering>"
        )

    items = [
        ("01", "Scope"),
        ("11", "Who"),
        ("21", "staff"),
        ("21", "guests"),
        ("11", "When"),
        ("01", "Fees"),
        ("11", "Wire"),
    ]
    body = "".join(p(r(text), number=number, style="Heading1" if number == "01" else "") for number, text in items)
    body += p(r("tea"), number="02") + p(r("milk"), number="02") + p(r("again"), number="03")
    assert [line for line in word(body, change).text.splitlines() if line] == [
        *["# 1. Scope", "  1.1 Who", "    (a) staff", "    (b) guests", "  1.2 When", "# 2. Fees", "  2.1 Wire"],
        *["- tea", "- milk", "1. again"],
    ]


@pytest.mark.parametrize("suffix", [".docx", ".docm", ".dotx", ".dotm"])
def test_headings_by_any_name_of_their_style(suffix):
    def change(parts):
        more = (
            '<w:style w:type="paragraph" w:styleId="berschrift1"><w:name w:val="heading 1"/></w:style>'
            '<w:style w:type="paragraph" w:styleId="Ours"><w:name w:val="Ours"/><w:basedOn w:val="Heading2"/></w:style>'
            '<w:style w:type="paragraph" w:styleId="Plan"><w:name w:val="Plan"/><w:pPr><w:outlineLvl w:val="2"/></w:pPr></w:style>'
            '<w:style w:type="character" w:styleId="Off"><w:name w:val="Off"/><w:rPr><w:vanish/></w:rPr></w:style>'
        )
        parts["word/styles.xml"] = parts["word/styles.xml"].replace("</w:styles>", f"{more}</w:styles>")

    body = p(r("A"), style="berschrift1") + p(r("B"), style="Ours") + p(r("C"), style="Plan") + p(r("D"), style="Title")
    parsed = word(body + p(r("E"), r("F", '<w:rStyle w:val="Off"/>')), change, suffix)
    assert parsed.text == "# A\n\n## B\n\n### C\n\n# D\n\nE"


def test_main_part_of_any_name_and_the_strict_variant():
    def other_name(parts):
        parts["word/document2.xml"] = parts.pop("word/document.xml")
        parts["word/_rels/document2.xml.rels"] = parts.pop("word/_rels/document.xml.rels")
        parts["_rels/.rels"] = parts["_rels/.rels"].replace("word/document.xml", "/word/document2.xml")

    def strict(parts):
        for name in list(parts):
            if name.endswith((".xml", ".rels")):
                text = parts[name].replace(f"{OFFICE}/", "http://purl.oclc.org/ooxml/officeDocument/")
                parts[name] = text.replace(
                    "http://schemas.openxmlformats.org/wordprocessingml/2006/",
                    "http://purl.oclc.org/ooxml/wordprocessingml/",
                )

    def without_names(parts):
        del parts["_rels/.rels"]

    for change in (other_name, strict, without_names):
        assert word(p(r("28 days"), style="Heading1"), change).text == "# 28 days"


DIAGRAM = (
    f"<dgm:dataModel {SPACES}><dgm:ptLst><dgm:pt modelId='0' type='doc'/>"
    "<dgm:pt modelId='2'><dgm:t><a:p><a:r><a:t>Call</a:t></a:r></a:p></dgm:t></dgm:pt>"
    "<dgm:pt modelId='1'><dgm:t><a:p><a:r><a:t>Sign</a:t></a:r></a:p></dgm:t></dgm:pt>"
    "<dgm:pt modelId='3'><dgm:t><a:p><a:r><a:t>in ink</a:t></a:r></a:p></dgm:t></dgm:pt>"
    "<dgm:pt modelId='4' type='parTrans'/></dgm:ptLst><dgm:cxnLst>"
    "<dgm:cxn srcId='0' destId='2' srcOrd='1'/><dgm:cxn srcId='0' destId='1' srcOrd='0'/>"
    "<dgm:cxn srcId='1' destId='3' srcOrd='0'/></dgm:cxnLst></dgm:dataModel>"
)


def test_smartart_in_a_document():
    def change(parts):
        related(parts, ("d", "diagramData", "diagrams/data1.xml"))
        parts["word/diagrams/data1.xml"] = DIAGRAM

    body = p("<w:r><w:drawing><dgm:relIds r:dm='d'/></w:drawing></w:r>")
    assert word(body, change).text == "- Sign\n  - in ink\n- Call"


def test_files_inside_a_document():
    inner = saved(docx.Document()).decode("latin-1")

    def change(parts):
        related(parts, ("a", "aFChunk", "a.html"), ("b", "aFChunk", "b.rtf"), ("c", "aFChunk", "c.txt"))
        parts["word/a.html"] = "<html><style>x</style><p>From HTML &amp; back</p></html>"
        parts["word/b.rtf"], parts["word/c.txt"] = "{\\rtf1 no}", "From text"
        assert inner

    parsed = word("".join(f'<w:altChunk r:id="{i}"/>' for i in "abc"), change)
    assert parsed.text == "From HTML & back\n\nFrom text"
    assert parsed.note == "1 embedded file left out"


def test_entities_are_refused():
    def change(parts):
        parts["word/document.xml"] = (
            '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + parts["word/document.xml"]
        )

    with pytest.raises(Unreadable, match="document type"):
        word(p(r("x")), change)


def show():
    presentation = pptx.Presentation()
    presentation.slide_width, presentation.slide_height = Inches(10), Inches(7.5)
    return presentation


def slide(presentation, title="", layout=6):
    new = presentation.slides.add_slide(presentation.slide_layouts[5 if title else layout])
    if title:
        new.shapes.title.text = title
    return new


def box(shapes, text, left, top, width=3, height=0.5):
    shape = shapes.add_textbox(Inches(left), Inches(top), Inches(width), Inches(height))
    shape.text_frame.text = text
    return shape


def read(presentation, change=lambda parts: None, suffix=".pptx"):
    return parse(repacked(saved(presentation), change), suffix)


def test_columns_are_read_one_after_the_other():
    presentation = show()
    shapes = slide(presentation, "Plans").shapes
    for row in range(3):
        box(shapes, f"R{row}", 5, 2 + row)
        box(shapes, f"L{row}", 1, 2 + row)
    box(shapes, "Below both", 1, 6, 7)
    box(shapes, "Above both", 1, 1.4, 7)
    order = ["# Plans\nAbove both", "L0", "L1", "L2", "R0", "R1", "R2", "Below both"]
    assert read(presentation).text.split("\n\n") == order


def test_two_placeholders_take_their_place_from_the_layout():
    presentation = show()
    two = presentation.slides.add_slide(presentation.slide_layouts[3])
    two.shapes.title.text = "Two"
    left, right = list(two.placeholders)[1:3]
    left.text_frame.text, right.text_frame.text = "left", "right"
    tree = two.shapes._spTree
    tree.remove(left._element)
    tree.append(left._element)  # now last in the file
    assert read(presentation).text == "# Two\nleft\n\nright"


def test_hidden_slides_and_shapes_are_left_out_and_counted():
    presentation = show()
    slide(presentation, "Old prices")._element.set("show", "0")
    shown = slide(presentation, "New prices")
    box(shown.shapes, "secret", 1, 2)._element.nvSpPr.cNvPr.set("hidden", "1")
    box(shown.shapes, "5 euros", 1, 3)
    for suffix in (".pptx", ".pptm", ".ppsx", ".potx"):
        parsed = read(presentation, suffix=suffix)
        assert parsed.text == "# New prices\n5 euros"
        assert parsed.note == "1 hidden slide, 1 hidden shape skipped"


def test_tables_charts_and_groups():
    presentation = show()
    first = slide(presentation, "Fees")
    grid = first.shapes.add_table(4, 3, Inches(1), Inches(2), Inches(6), Inches(2)).table
    texts = [["Item", "Fee", ""], ["", "2025", "2026"], ["Wire", "28", "30"], ["Cash", "free", ""]]
    for row, cells in enumerate(texts):
        for column, text in enumerate(cells):
            grid.cell(row, column).text = text
    grid.cell(0, 0).merge(grid.cell(1, 0))
    grid.cell(0, 1).merge(grid.cell(0, 2))
    grid.cell(3, 1).merge(grid.cell(3, 2))
    group = first.shapes.add_group_shape()
    box(group.shapes, "in a group", 1, 5)
    data = CategoryChartData(number_format="0.0%")
    data.categories = ["North", "South"]
    data.add_series("Share", [0.25, 0.755])
    data.add_series("Count", [12, 7], number_format="General")
    chart = (
        slide(presentation)
        .shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, *[Inches(n) for n in (1, 2, 5, 3)], data)
        .chart
    )
    chart.has_title = True
    chart.chart_title.text_frame.text = "Complaints"
    lines = [line for line in read(presentation).text.splitlines() if line]
    assert lines == [
        *[
            "# Fees",
            "| Item | Fee 2025 | Fee 2026 |",
            "| --- | --- | --- |",
            "| Wire | 28 | 30 |",
            "| Cash | free | free |",
        ],
        *["in a group", "[chart: Complaints]", "| Category | Share | Count |", "| --- | --- | --- |"],
        *["| North | 25.0% | 12 |", "| South | 75.5% | 7 |"],
    ]


def test_charts_of_the_newer_kinds():
    presentation = show()
    slide(presentation, "Steps")
    space = 'xmlns:cx="http://schemas.microsoft.com/office/drawing/2014/chartex"'
    choice = f'<mc:Choice {SPACES} {space} Requires="cx"><p:graphicFrame><a:graphic><a:graphicData><cx:chart r:id="c"/>'
    choice += "</a:graphicData></a:graphic></p:graphicFrame></mc:Choice><mc:Fallback><p:sp/></mc:Fallback>"
    parts_of_chart = (
        f'<cx:chartSpace {space}><cx:chartData><cx:data id="0"><cx:strDim type="cat"><cx:lvl><cx:pt idx="0">North</cx:pt>'
        '<cx:pt idx="1">South</cx:pt></cx:lvl></cx:strDim><cx:numDim type="val"><cx:lvl formatCode="0.0%"><cx:pt idx="0">0.25'
        '</cx:pt><cx:pt idx="1">0.5</cx:pt></cx:lvl></cx:numDim></cx:data></cx:chartData><cx:chart><cx:plotArea>'
        '<cx:plotAreaRegion><cx:series><cx:tx><cx:txData><cx:v>Share</cx:v></cx:txData></cx:tx><cx:dataId val="0"/>'
        "</cx:series></cx:plotAreaRegion></cx:plotArea></cx:chart></cx:chartSpace>"
    )

    def change(parts):
        mc = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
        frame = f"<mc:AlternateContent {mc}>{choice}</mc:AlternateContent></p:spTree>"
        parts["ppt/slides/slide1.xml"] = parts["ppt/slides/slide1.xml"].replace("</p:spTree>", frame)
        related(parts, ("c", "chartEx", "../charts/chartEx1.xml"), part="ppt/slides/_rels/slide1.xml.rels")
        parts["ppt/charts/chartEx1.xml"] = parts_of_chart

    table = "| Category | Share |\n| --- | --- |\n| North | 25.0% |\n| South | 50.0% |"
    assert read(presentation, change).text == f"# Steps\n[chart]\n\n{table}"


def test_notes_comments_footers_and_raised_digits():
    presentation = show()
    first = slide(presentation, "Fees")
    frame = box(first.shapes, "$28", 1, 2).text_frame
    run = frame.paragraphs[0].add_run()
    run.text = "1"
    run.font._element.set("baseline", "30000")
    run.font.size = Pt(8)
    first.notes_slide.notes_text_frame.text = "Smile"
    footer = '<p:sp><p:nvSpPr><p:cNvPr id="9" name="f"/><p:cNvSpPr/><p:nvPr><p:ph type="{}"/></p:nvPr></p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:txBody></p:sp>'

    def change(parts):
        more = footer.format("ftr", "Example Ltd") + footer.format("sldNum", "7")
        parts["ppt/slides/slide1.xml"] = parts["ppt/slides/slide1.xml"].replace("</p:spTree>", f"{more}</p:spTree>")
        related(parts, ("c", "comments", "../comments/comment1.xml"), part="ppt/slides/_rels/slide1.xml.rels")
        space = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
        parts["ppt/comments/comment1.xml"] = f"<p:cmLst {space}><p:cm><p:text>Check this</p:text></p:cm></p:cmLst>"

    text = read(presentation, change).text
    assert text == "# Fees\n$28¹\n\n[comment: Check this]\n\n### Notes:\nSmile\n\n[page footer: Example Ltd]"


def test_numbered_lines_of_slides():
    presentation = show()
    frame = box(slide(presentation).shapes, "Sign", 1, 2).text_frame
    frame.add_paragraph().text = "Send"
    frame.add_paragraph().text = "Done"
    numbered = '<a:buAutoNum xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" type="arabicPeriod"/>'
    for paragraph in frame.paragraphs[:2]:
        paragraph._p.get_or_add_pPr().append(parse_xml(numbered))
    assert read(presentation).text == "1. Sign\n2. Send\nDone"


def test_smartart_on_a_slide():
    presentation = show()
    slide(presentation, "Steps")
    space = f'xmlns:dgm="http://schemas.openxmlformats.org/drawingml/2006/diagram" xmlns:r="{OFFICE}/relationships"'
    frame = f"<p:graphicFrame><a:graphic><a:graphicData><dgm:relIds {space} r:dm='d'/></a:graphicData></a:graphic></p:graphicFrame>"

    def change(parts):
        parts["ppt/slides/slide1.xml"] = parts["ppt/slides/slide1.xml"].replace("</p:spTree>", f"{frame}</p:spTree>")
        related(parts, ("d", "diagramData", "../diagrams/data1.xml"), part="ppt/slides/_rels/slide1.xml.rels")
        parts["ppt/diagrams/data1.xml"] = DIAGRAM

    assert read(presentation, change).text == "# Steps\n- Sign\n  - in ink\n- Call"


@pytest.mark.data
def test_reported_cases():
    paths = ["docx_word_online_refused/docx_word_online.docx", "docx_text_lost_silently/docx_parts.docx"]
    paths += ["pptx_smartart_hidden_columns/pptx_all.pptx"]
    if not all((CASES / path).exists() for path in paths):
        pytest.skip(f"the cases in {CASES} are missing")
    online, parts, slides = (parse((CASES / path).read_bytes(), path[-5:]) for path in paths)
    assert online.text == "# Leave policy\n\nStaff have 28 days of paid leave a year."
    assert all(
        s in parts.text for s in ("Plain box: night line", "[page header: CONFIDENTIAL", "[page footer: Document ID")
    )
    assert parts.text.count("emergency line") == 1
    assert "Hidden note" not in parts.text
    assert "1 hidden passage" in parts.note
    assert "- SmartArt step: escalate" in slides.text
    assert "Left two\n\nRight one" in slides.text
    assert "| 2024 | 12 |" in slides.text
    assert slides.note == "1 hidden slide skipped"


def test_pictures_are_named_by_their_description_or_counted():
    import docx as word
    from PIL import Image
    from pptx import Presentation

    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(buffer, "PNG")
    document, slides = word.Document(), Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[6])
    slide.shapes.add_textbox(0, 0, 999, 999).text_frame.text = "Our branches"
    document.add_paragraph("Our branches")
    for described in ("A map of the branches", ""):
        document.add_picture(buffer)
        slide.shapes.add_picture(buffer, 9999, 9999)._element.nvPicPr.cNvPr.set("descr", described)
        document.inline_shapes[-1]._inline.docPr.set("descr", described)
    for made, suffix, said in ((document, ".docx", "left out"), (slides, ".pptx", "skipped")):
        out = io.BytesIO()
        made.save(out)
        parsed = parse(out.getvalue(), suffix)
        assert "A map of the branches" in parsed.text
        assert f"1 undescribed picture {said}" in parsed.note
    page = b"<html><body><main><h1>Branches</h1><p>Our branches are in the valley.</p><img src=a.png><img src=b.png alt=''></main></body></html>"
    assert "1 undescribed picture left out" in parse(page, ".html").note


def test_struck_text_of_slides_is_marked():
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Fees"
    line = slide.placeholders[1].text_frame.paragraphs[0]
    for text in ("Now $25, was", " $30", "."):
        line.add_run().text = text
    line.runs[1].font._element.set("strike", "sngStrike")
    assert parse(saved(show), ".pptx").text == "# Fees\nNow $25, was ~~$30~~."
