"""Formats that are text, old office files, and files whose extension is wrong."""

import io
import json
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest

from inhouse.documents.kinds import ADVICE, advice, kind_of
from inhouse.documents.parse import FORMATS, parse
from inhouse.documents.parsed import Unreadable

CASES = Path(__file__).parents[3] / "shared" / "cases" / "documents"
TABLE = "| City | Fee |\n| --- | --- |\n| Zürich | 1.50 |\n| Bern | 2 |"


def epub(*pages, drm=""):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as book:
        book.writestr("mimetype", "application/epub+zip")
        book.writestr(
            "META-INF/container.xml",
            '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="OEBPS/content.opf"/></rootfiles></container>',
        )
        items = "".join(f'<item id="p{i}" href="page%20{i}.xhtml"/>' for i in range(len(pages)))
        spine = "".join(f'<itemref idref="p{i}"/>' for i in reversed(range(len(pages))))
        book.writestr(
            "OEBPS/content.opf",
            '<!DOCTYPE package><package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata><dc:title>Fees</dc:title>'
            f"<dc:creator>Ann</dc:creator></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
        )
        if drm:
            book.writestr("META-INF/encryption.xml", f'<e><CipherReference URI="{drm}"/></e>')
        for i, page in enumerate(pages):
            book.writestr(
                f"OEBPS/page {i}.xhtml", f'<?xml version="1.0"?><html><head><title/></head><body>{page}</body></html>'
            )
    return buffer.getvalue()


RTF = rb"""{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fswiss Arial;}{\f1\fcharset238 Arial CE;}{\f2\fcharset128 Mincho;}}
{\info{\title Price list}{\author Ann}}{\header Example Bank}{\*\generator X;}\pard\outlinelevel0 Fees\par
\pard Gr\'fc\'dfe \u8364?5 and $28{\super 1}, 10{\super 3}, {\f1 \'b3\'f3d\'9f}, {\f2 \'8e\'e8\'90\'94\'97\'bf}.{\v secret}{\deleted 99}\par
{\listtext\pard\plain\f0 1.\tab}First\par\trowd\pard\intbl City\cell Fee\cell\row\trowd\pard\intbl Z\'fcrich\cell 1.50\cell\row
\trowd\pard\intbl Bern\cell 2\cell\row\pard {\field{\*\fldinst HYPERLINK "http://x.example"}{\fldrslt see here}}
{\*\shppict{\pict\pngblip 89504e47}}{\upr{ascii}{\*\ud{uni\u937?}}} {\footnote\pard\plain {\super\chftn} In the country.}\u-10179?\u-8704?\par}"""

TEXTS = {  # extension and a name: bytes, text
    ".md front matter of YAML": (
        '---\ntitle: "Wires: all"\ntags:\n  - wires\n  - fees\nvalid_until: 2026-12-31\nowner: {name: Ann, team: Ops}\nversion: 1.10\n'
        "layout: page\n---\n\n# Sending\n\nText.",
        "# Sending\n\nTags: wires, fees. Valid until: 2026-12-31. Owner name: Ann. Owner team: Ops. Version: 1.10.\n\nText.",
    ),
    ".markdown front matter of TOML": (
        '+++\ntitle = "Wires"\ndate = 2026-05-03\ntags = ["wires", "fees"]\n[owner]\nname = "Ann"\n+++\nText.',
        "Date: 2026-05-03. Tags: wires, fees. Owner name: Ann.\n\nText.",
    ),
    ".md front matter that is not YAML": ("---\ntitle: Wires: fees\nowner: hr\n---\nText.", "Owner: hr.\n\nText."),
    ".md no front matter": ("---\n\nText.\n\n---\nMore.", "---\n\nText.\n\n---\nMore."),
    ".md comments": (
        "A<!-- TODO\n\nx -->B {/* mdx */}\n\n[//]: # (hidden)\n[comment]: <> (hidden)\n`<!-- code -->`\n\n~~~html\n<!-- code -->\n~~~\n\n"
        "{% comment %}x{% endcomment %}{{< note >}}5{{< /note >}} <!-- open",
        "AB\n\n`<!-- code -->`\n\n~~~html\n<!-- code -->\n~~~\n\n{{< note >}}5{{< /note >}} <!-- open",
    ),
    ".csv with semicolons and decimal commas": ("City;Fee\nBern;1,50\nZürich;2,50\n", "| City | Fee |\n| --- | --- |\n| Bern | 1,50 |\n| Zürich | 2,50 |"),
    ".csv for Excel": ("sep=;\nCity;Fee\nZürich;1.50\nBern;2", TABLE),
    ".csv with semicolons in cells": ('A,B\nx,"1;2;3"\ny,"4;5;6"\n', "| A | B |\n| --- | --- |\n| x | 1;2;3 |\n| y | 4;5;6 |"),
    ".csv of one column": ("Fees\nWire, abroad\nCash", "| Fees |  |\n| --- | --- |\n| Wire | abroad |\n| Cash |  |"),
    ".tsv": ("City\tFee\nZürich\t1.50\nBern\t2\n", TABLE),
    ".json": (
        '{"title": "Fees", "offices": [{"City": "Zürich", "Fee": 1.50}, {"City": "Bern", "Fee": 2}], "tags": ["a", "b"], "open": true}',
        f"title: Fees\n\noffices:\n\n{TABLE}\n\ntags: a, b\nopen: true",
    ),
    ".json of articles": (
        json.dumps([{"title": "A", "body": "x\n\ny"}, {"title": "B", "parts": [1, {"z": 5}]}]),
        "title: A\n\nbody:\n\nx\n\ny\n\ntitle: B\n\nparts 1:\n\n1\n\nparts 2.z: 5",
    ),
    ".json that is not": ("{a: 1,}", "```\n{a: 1,}\n```"),
    ".jsonl": ('{"City": "Zürich", "Fee": 1.50}\n\n{"City": "Bern", "Fee": 2}\n', TABLE),
    ".xml": (
        '<?xml version="1.0"?><!DOCTYPE p [<!ENTITY e SYSTEM "file:///etc/passwd">]><p xmlns="urn:x" valid="2026"><!-- no --><office><City>Zürich</City>'
        "<Fee>1.50</Fee></office><office><City>Bern</City><Fee>2</Fee></office><note>See <b>here</b> now&e;.</note></p>",
        f"valid: 2026\n\noffice:\n\n{TABLE}\n\nnote: See here now&e;.",
    ),
    ".ipynb": (
        json.dumps({"cells": [{"cell_type": "markdown", "source": ["# Fees\n", "Text"]}, {"cell_type": "code", "source": "1 + 1",
         "outputs": [{"data": {"text/plain": ["2"]}}, {"data": {"image/png": "x", "text/plain": "<Figure 1>"}}]}]}),
        "# Fees\nText\n\n```\n1 + 1\n```\n\n```\n2\n```",
    ),
    ".yaml": ("# prices\nwire: 28.0\n", "```\n# prices\nwire: 28.0\n```"),
    ".log": ("2026-05-03 Started\n# 5 ===\n", "```\n2026-05-03 Started\n# 5 ===\n```"),
    ".rst": (
        "=====\nFees\n=====\n\nAbroad\n------\n\n.. TODO\n   hidden\n\n.. note:: A wire costs $28.\n\n====  ===\nCity  Fee\n====  ===\nBern  2\n====  ===\n",
        "# Fees\n\n## Abroad\n\n.. note:: A wire costs $28.\n\n| City | Fee |\n| --- | --- |\n| Bern | 2 |",
    ),
    ".adoc": ("= Fees\n:valid: 2026\n\n== Abroad\n// no\n////\nno\n////\n$28\n----\n== code\n----\n", "# Fees\n\nValid: 2026.\n\n## Abroad\n$28\n```\n== code\n```"),
    ".org": ("#+TITLE: Fees\n* Abroad\n:PROPERTIES:\n:END:\n$28\n# no\n#+begin_src sh\n# code\n#+end_src", "# Abroad\n$28\n```\n# code\n```"),
    ".vtt": (
        "WEBVTT\n\nNOTE hidden\nhidden\n\n1\n00:01.000 --> 00:02.000\n<v Ann>It costs\n\n00:02.000 --> 00:03.000\n<v Ann>It costs\n<c>$28.</c>\n\n"
        "00:03.000 --> 00:04.000\n<v Bob>Thanks",
        "Ann: It costs\n$28.\n\nBob: Thanks",
    ),
    ".srt": ("1\r\n00:00:01,000 --> 00:00:02,000\r\n<i>It costs</i>\r\n$28.\r\n", "It costs\n$28."),
    ".ics": (
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;TZID=Europe/Berlin:20260503T090000\r\nDTEND:20260503T100000Z\r\nSUMMARY:Board\\, all\r\n"
        'ATTENDEE;CN="Lee: Ann":mailto:ann@x.example\r\nLOCATION:Room\r\n  5\r\nBEGIN:VALARM\r\nDESCRIPTION:no\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR',
        "## Board, all\n\nStart: 2026-05-03 09:00 (Europe/Berlin)\nEnd: 2026-05-03 10:00 UTC\nPlace: Room 5\nWith: Lee: Ann <ann@x.example>",
    ),
    ".vcf": (
        "BEGIN:VCARD\nFN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:J=C3=B6rg\nORG:Bank;Ops\nitem1.TEL;TYPE=work:+1 555\nADR:;;1 Main St;Town;;9;US\nEND:VCARD",
        "## Jörg\n\nOrganization: Bank, Ops\nPhone: +1 555 (work)\nAddress: 1 Main St, Town, 9, US",
    ),
    ".rtf": (
        RTF,
        f"# Fees\n\nGrüße €5 and $28¹, 10³, łódź, 手数料.\n\n1.\tFirst\n\n{TABLE}\n\nsee hereuniΩ 😀\n\n[Footnote: In the country.]",
    ),
    ".epub": (epub("<p>Second<br/>line</p>", "<h1>Fees</h1><a id='x'/><p>A wire costs $28<sup>1</sup>.</p>"), "# Fees\n\nA wire costs $28¹.\n\nSecond\nline"),
    ".xhtml": ('<?xml version="1.0" encoding="iso-8859-1"?><html xmlns="x"><body><p>Gr\xf6\xdfe</p></body></html>'.encode("latin-1"), "Größe"),
    ".html that says UTF-8 and is not": ('<meta charset="utf-8"><p>Un virement à l’étranger coûte 12 €.'.encode("cp1252"), "Un virement à l’étranger coûte 12 €."),
    ".html that says Latin-1 and is UTF-8": ('<meta charset=iso-8859-1><p>Größe 5 €'.encode(), "Größe 5 €"),
    ".html of Latin-1 with signs of Windows": ("<meta charset=iso-8859-1><p>It’s 5 €".encode("cp1252"), "It’s 5 €"),
    ".html in Shift-JIS": ('<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"><p>手数料①'.encode("cp932"), "手数料①"),
    ".html with old references": ("<p>It&#146;s 5 &#x80; &amp; 6", "It’s 5 € & 6"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_text_of_each_format(name):
    data, text = TEXTS[name]
    assert parse(data if isinstance(data, bytes) else data.encode(), name.partition(" ")[0]).text == text


@pytest.mark.parametrize(
    ("name", "note"),
    [
        (".md comments", "5 comments left out"),
        (".md front matter that is not YAML", "front matter is not valid"),
        (".json that is not", "not valid JSON"),
        (".ipynb", "1 picture left out"),
        (".rtf", "hidden or deleted text left out (8 characters)"),
        (".html that says UTF-8 and is not", "Windows-1252 (assumed)"),
        (".html in Shift-JIS", ""),
        (".xml", ""),
    ],
)
def test_notes_say_what_is_missing_or_assumed(name, note):
    data, _ = TEXTS[name]
    found = parse(data if isinstance(data, bytes) else data.encode(), name.partition(" ")[0]).note
    assert note in found if note else not found


def test_metadata_of_front_matter_and_books():
    assert parse(TEXTS[".md front matter of YAML"][0].encode(), ".md").meta == {
        "title": "Wires: all", "tags": "wires, fees", "valid_until": "2026-12-31", "owner.name": "Ann", "owner.team": "Ops",
        "version": "1.10", "layout": "page",
    }  # fmt: skip
    book = parse(TEXTS[".epub"][0], ".epub")
    assert (book.title, book.meta) == ("Fees", {"creator": "Ann"})
    with pytest.raises(Unreadable, match="rights management"):
        parse(epub("<p>x</p>", drm="OEBPS/page 0.xhtml"), ".epub")


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
MHT = (
    b'MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary="b"\r\n\r\n--b\r\nContent-Type: text/html; charset="utf-8"\r\n'
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\n<html><body><h1>Fees</h1><p>5=E2=82=AC</p></body></html>\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("suffix", "data", "text"),
    [
        (".xls", b"<html><table><tr><th>City<th>Fee<tr><td>Bern<td>2</table>", "| City | Fee |\n| --- | --- |\n| Bern | 2 |"),
        (".xls", b"City\tFee\nBern\t2\n", "| City | Fee |\n| --- | --- |\n| Bern | 2 |"),
        (".doc", RTF, "# Fees"),
        (".doc", MHT, "# Fees\n\n5€"),
        (".mht", MHT, "# Fees\n\n5€"),
        (".doc", b"<html><body>Fees: $5</body></html>", "Fees: $5"),
        (".doc", b"<style>p {color: red}</style><div><p>Fees: $5</p></div>", "Fees: $5"),
        (".xls", b"<meta charset=utf-8><table><tr><th>City<th>Fee<tr><td>Bern<td>2</table>", "| City | Fee |\n| --- | --- |\n| Bern | 2 |"),
        (".md", b"<!DOCTYPE html>\n<html><body><nav>Home</nav><p>Fees: $5</p></body></html>\n", "Fees: $5"),
        (".txt", b"<html> begins a page, as we say </html> often.", "<html> begins a page, as we say </html> often."),
        (".docx", b"<!DOCTYPE html><p>Fees: $5", "Fees: $5"),
        (".txt", RTF, "# Fees"),
        (".txt", b"<html><body>source", "<html><body>source"),
    ],
)  # fmt: skip
def test_contents_of_another_kind_than_the_extension(suffix, data, text):
    assert parse(data, suffix).text.startswith(text)


def test_contents_of_another_kind_in_real_files(files):
    for suffix, name in (
        (".txt", "fees.pdf"),
        (".doc", "handbook.docx"),
        (".docx", "rates.xlsx"),
        (".pdf", "start.pptx"),
    ):
        parsed = parse(files[name], suffix)
        assert parsed.text == parse(files[name], name[name.rindex(".") :]).text
        assert "by its contents" in parsed.note


@pytest.mark.parametrize(
    ("suffix", "data", "reason"),
    [
        (".doc", OLE, "old Word format: save it as .docx"),
        (".doc", b"some text", "old Word format: save it as .docx"),
        (".xls", b"some text", "old Excel format: save it as .xlsx; what it holds is plain text"),
        (".docx", b"some text", "damaged or truncated Office file; what it holds is plain text"),
        (".docx", OLE + "WordDocument".encode("utf-16-le"), "save it as .docx"),
        (".txt", OLE + "PowerPoint Document".encode("utf-16-le"), "save it as .pptx"),
        (".md", b"PAR1" + bytes(99), "export what people should find"),
        (".txt", b"MZ" + bytes(99) + b"PE\0\0", "a program"),
        (".txt", bytes(4) + b"ftypmp42" + bytes(99), "transcribe"),
        (".csv", b"SQLite format 3\0" + bytes(99), "export what people should find"),
        (".xml", b'<?xml version="1.0"?><?mso-application progid="Word.Document"?><w/>', "save it as .docx or .xlsx"),
        (".xml", b"<a><b></a>", "not valid XML"),
        (".rtf", b"some text", "not a file in Rich Text Format"),
        (".epub", b"some text", "damaged"),
        (".ipynb", b"some text", "no cells"),
        (".msg", b"some text", "not a mail of Outlook"),
    ],
)  # fmt: skip
def test_reasons_say_what_to_do(suffix, data, reason):
    with pytest.raises(Unreadable, match=reason):
        parse(data, suffix)


def test_advice_for_every_other_extension():
    for suffix in (".zip", ".pages", ".numbers", ".key", ".parquet", ".mp4", ".mbox", ".exe", ".doc", ".py", ".gdoc"):
        assert suffix in ADVICE
    assert "save it as PDF" in advice(".strange")
    assert "add the extension" in advice("")
    assert kind_of(b"plain text") == ""
    assert {".md", ".markdown", ".tsv", ".json", ".rtf", ".epub", ".msg", ".log", ".xhtml", ".ipynb"} <= FORMATS.keys()


@pytest.mark.parametrize(
    ("suffix", "text_of"),
    [
        (".html", lambda n: "<div class=menu><a href=#>" * min(n, 900) + "x" * n),
        (".html", lambda n: "<table><tr><td colspan=9>a<td rowspan=3>b" + "<tr><td>c" * n),
        (".html", lambda n: "<p>a<sup>1</sup> <a href=x>b</a>" * n),
        (".md", lambda n: "<!-- a -->`b" * n),
        (".md", lambda n: "<!--" * n),
        (".md", lambda n: "---\n" + "a: [" * n),
        (".rtf", lambda n: r"{\rtf1 {\b a}\'e4\u5?" + r"{\i \'e4" * n),
        (".rtf", lambda n: r"{\rtf1 " + "a\\cell b\\row " * n),
        (".json", lambda n: "[" + '{"a": 1},' * n + "{}]"),
        (".xml", lambda n: "<a>" + "<b>1</b>" * n + "</a>"),
        (".vtt", lambda n: "WEBVTT\n\n" + "<v a" * n),
        (".ics", lambda n: "BEGIN:VEVENT\n" + 'SUMMARY;X=":a\n' * n),
        (".rst", lambda n: "a\n--\n.. c\n" * n),
    ],
)
def test_repetition_takes_linear_time(suffix, text_of, takes_linear_time):
    def read(data):
        with suppress(Unreadable):
            parse(data, suffix)

    assert takes_linear_time(read, lambda n: text_of(n).encode(), 500)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((r"\clvmgf\cellx1000\cellx2000 A\cell 1\cell", r"\clvmrg\cellx1000\cellx2000 \cell 2\cell"), ["| A | 1 |", "| A | 2 |"]),
        ((r"\clmgf\cellx1000\clmrg\cellx2000 A\cell \cell", r"\cellx1000\cellx2000 1\cell 2\cell"), ["| A | A |", "| 1 | 2 |"]),
        ((r"\cellx3000 A\cell", r"\cellx1000\cellx2010\cellx3000 1\cell 2\cell 3\cell"), ["| A | A | A |", "| 1 | 2 | 3 |"]),
        ((r"\cellx1000\cellx3000 x\cell A\cell", r"\cellx1010\cellx2000\cellx2990 1\cell 2\cell 3\cell"), ["| x | A | A |", "| 1 | 2 | 3 |"]),
        ((r"\cellx900\cellx2000 a\cell b\cell", r"\cellx1400\cellx2000 1\cell 2\cell"), ["| a | b |", "| 1 | 2 |"]),
        ((r" a\cell b\cell", r" 1\cell"), ["| a | b |", "| 1 |  |"]),
    ],
)  # fmt: skip
def test_cells_of_rich_text_over_several_rows_or_columns_repeat(rows, expected):
    data = "{\\rtf1 " + "".join(f"\\trowd\\intbl{row}\\row" for row in rows) + "\\pard after}"
    lines = parse(data.encode(), ".rtf").text.split("\n")
    assert [lines[0], *lines[2 : len(rows) + 1]] == expected


@pytest.mark.data
@pytest.mark.parametrize(
    ("file", "kept", "left_out"),
    [
        ("encoding_cp1252_misread/de_utf16le_nobom.txt", "Eine Überweisung ins Ausland kostet 12 €.", "\0"),
        ("encoding_cp1252_misread/fr_cp1252.txt", "Un virement à l'étranger coûte 12 €.", "ŕ"),
        ("encoding_cp1252_misread/html_nometa_cp1252.html", "Un virement à l'étranger coûte 12 €. Où ?", "ů"),
        ("encoding_cp1252_misread/its_free.txt", "It’s free.", "𠏋"),
        ("encoding_cp1252_misread/price.txt", "Price: £5 or €6 per naïve user.", "Ł"),
        ("encoding_cp1252_misread/price_cp1252.txt", "costs 5 € per parcel – “next day” service.", "Ä"),
        (
            "encoding_cp1252_misread/zh_short_gbk.csv",
            "| 产品 | 价格 |\n| --- | --- |\n| 螺丝 | 1.5 |\n| 螺母 | 0.5 |",
            "�",
        ),
        ("html_boilerplate_kept/page.html", "| North | 7 | 8 |\n| South (coast) | 9 | 10 |", "cookies"),
        ("html_boilerplate_kept/page.html", "How do I cancel a wire?\n\nCall us before 17:00.", "Imprint"),
        ("html_boilerplate_kept/page.html", "H2O, 10³.", "Log in"),
        ("synthetic_pairs_from_code_and_german/yaml.md", "Valid until: 2026-12-31. Owner: Payments team.", "TODO"),
    ],
)
def test_reported_cases(file, kept, left_out):
    path = CASES / file
    if not path.exists():
        pytest.skip(f"{path} is missing")
    text = parse(path.read_bytes(), path.suffix).text
    assert kept in text
    assert left_out not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sep=|\rA|B\r1|2,5\r3|4,5\r", "| A | B |\n| --- | --- |\n| 1 | 2,5 |\n| 3 | 4,5 |"),
        ('A;B\r"x\ny";2,5\rz;4,5\r', "| A | B |\n| --- | --- |\n| x y | 2,5 |\n| z | 4,5 |"),
        ("Prices 2025\n\nA;B\n1;2,5\n", "Prices 2025\n\n| A | B |\n| --- | --- |\n| 1 | 2,5 |"),
        ("Prices 2025,,\nin euros,,\nA,B,C\n1,2,3\n", "Prices 2025\n\nin euros\n\n| A | B | C |\n| --- | --- | --- |\n| 1 | 2 | 3 |"),
        ("A\nx\ny\n", "| A |\n| --- |\n| x |\n| y |"),
        ("A,,C\n1,2,3\n", "| A |  | C |\n| --- | --- | --- |\n| 1 | 2 | 3 |"),
    ],
)  # fmt: skip
def test_tables_of_text_have_their_header_and_delimiter(text, expected):
    assert parse(text.encode(), ".csv").text == expected
