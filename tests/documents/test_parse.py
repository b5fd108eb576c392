"""Every format becomes Markdown, and every broken file gets a reason."""

import io
import zipfile
from email.message import EmailMessage

import pytest

from inhouse.documents.layout import placed
from inhouse.documents.parse import parse
from inhouse.documents.parsed import Unreadable, images_as_text, table
from inhouse.documents.running import _running_keys


def read(files, name):
    return parse(files[name], name[name.rindex(".") :])


def test_pdf_keeps_headings_paragraphs_and_tables_and_drops_running_lines(files):
    text = read(files, "fees.pdf").text
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Fee Guide 2025",
        "# Wire transfers",
        "# Cash",
        "# Loans",
    ]
    assert "| Service | Fee |\n| --- | --- |\n| Deposit | $0 |\n| Large withdrawal | $12.50 |\n\nFees hold" in text
    assert text.count("Deposit") == 1
    assert "\n\nA second paragraph about cash." in text
    assert "Page 2" not in text
    assert "Internal" not in text


def test_pdf_that_only_forbids_copying_is_read(files):
    assert read(files, "printable.pdf").text == read(files, "fees.pdf").text


def test_docx(files):
    parsed = read(files, "handbook.docx")
    table_text = "| Term | Rate |\n| --- | --- |\n| 12 months | 4.5 % |"
    assert parsed.text == f"## Who can apply\n\nAny open_account holder with * income.\n\n{table_text}"
    assert parsed.title == "Handbook & more"


def test_docx_with_a_linked_image_opens_nothing(files, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_text("top secret")
    word = zipfile.ZipFile(io.BytesIO(files["handbook.docx"]))
    buffer = io.BytesIO()
    spaces = (
        'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
        'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
        'xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
    )
    drawing = (
        f'<w:p><w:r><w:drawing><wp:inline {spaces}><wp:docPr descr="a chart"/><a:graphic><a:graphicData><pic:pic>'
        '<pic:blipFill><a:blip r:link="rId99"/></pic:blipFill>'
        "</pic:pic></a:graphicData></a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )
    relation = (
        '<Relationship Id="rId99" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image" '
        f'Target="{secret.as_uri()}" TargetMode="External"/></Relationships>'
    )
    with zipfile.ZipFile(buffer, "w") as changed:
        for name in word.namelist():
            data = word.read(name)
            if name == "word/document.xml":
                data = data.replace(b"<w:body>", b"<w:body>" + drawing.encode())
            if name == "word/_rels/document.xml.rels":
                data = data.replace(b"</Relationships>", relation.encode())
            changed.writestr(name, data)
    assert parse(buffer.getvalue(), ".docx").text == read(files, "handbook.docx").text


def test_pptx(files):
    assert read(files, "start.pptx").text == "# First day\nGet your badge\nMeet your team\n\n### Notes:\nSmile"


def test_xlsx_shows_cells_as_the_spreadsheet_does(files):
    parsed = read(files, "rates.xlsx")
    rows = ["| Product | Rate | Fee | From |", "| --- | --- | --- | --- |", "| Blue | 4.25% | $1,234.50 | 2025-03-01 |"]
    assert parsed.text == "\n".join(["## Rates", "", *rows, "| Green\\|plus | 3 |  |  |"])
    assert parsed.note == "1 hidden sheet skipped"


def test_csv_with_semicolons_in_an_old_encoding(files):
    assert read(files, "prices.csv").text == "| Größe | Preis |\n| --- | --- |\n| klein | 1,50 € |\n| gr;oß | 2 3 |"


def test_eml_has_its_text_once_and_leaves_attachments(files):
    parsed = read(files, "hours.eml")
    assert parsed.text == "# Opening hours ☃\n\nWe are closed on Monday."
    assert parsed.title == "Opening hours ☃"
    assert parsed.meta == {"from": "office@bank.example", "date": "Mon, 03 Mar 2025 10:00:00 +0000"}
    assert parsed.note == "attachments skipped: all.zip"


@pytest.mark.parametrize("declared", ["", '<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">'])
def test_eml_of_html_alone(declared):
    head = b'Subject: Hi\nContent-Type: text/html; charset="iso-8859-1"\n\n' + declared.encode()
    assert parse(head + b'<h2>Caf\xe9</h2><img src="http://e.example/a">', ".eml").text == "# Hi\n\n## Café"


def mail(text, *more, html="", subject="Fees"):
    """The bytes of a mail of a text and perhaps the same as HTML, followed by more inline texts."""
    message = EmailMessage()
    message["Subject"], message["From"] = subject, "Ann <ann@bank.example>"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    for other in more:
        message.add_attachment(other, disposition="inline")
    return bytes(message)


def test_eml_without_headers_of_quoted_mail_and_signatures():
    wrote = "On Mon, 4 Mar 2024 at 08:30, Bob <bob@x.example> wrote:"
    text = f"It is $5.\n\n-- \nAnn\nBank\n\n{wrote}\n> Which fee?\n> -- \n> Bob\n"
    html = (
        f"<p>It is $5.</p><p>-- <br>Ann</p><div>{wrote.replace('<', '&lt;')}</div><blockquote>Which fee?</blockquote>"
    )
    for data in (mail(text), mail("See below.\n", html=html)):
        assert parse(data, ".eml").text == "# Fees\n\nIt is $5.\n\n> Which fee?"


def test_eml_has_all_inline_texts():
    parsed = parse(mail("A wire costs:\n\n-- \nAnn\n", "$28 in the country.\n", "$45 abroad.\n"), ".eml")
    assert parsed.text == "# Fees\n\nA wire costs:\n\n$28 in the country.\n\n$45 abroad."
    assert parsed.note == ""


def test_eml_takes_the_html_if_the_plain_text_is_a_stub():
    html = "<p>A wire costs $28 in the country, and $45 <a href='https://bank.example/abroad'>abroad</a>.</p>"
    full = "A wire costs $28 in the country, and $45 abroad.\n"
    assert "https:" in parse(mail("This mail is in HTML; please use a newer program.\n", html=html), ".eml").text
    assert parse(mail(full, html=html), ".eml").text == f"# Fees\n\n{full.strip()}"


def test_eml_whose_heading_is_its_subject_has_it_once():
    assert parse(mail("# Fees\n\n$28.\n"), ".eml").text == "# Fees\n\n$28."


def test_eml_of_a_signature_alone_has_no_text():
    with pytest.raises(Unreadable, match="without text"):
        parse(mail("Sent from my iPhone\n"), ".eml")


def test_html_is_what_a_reader_sees_and_nothing_is_fetched(files):
    parsed = read(files, "cards.html")
    card = "Our [card](https://x.example/a) costs 5 a_b."
    assert parsed.text == f"# Cards\n\n{card}\n\na card\n\n| Card | Fee |\n| --- | --- |\n| Blue | $5 |"
    assert parsed.title == "Cards & fees"


def test_md_front_matter_and_underlined_headings():
    data = b'---\ntitle: "Leave"\nowner: hr\n---\nLeave policy\n===\n\nWho\n---\n\nYou.\n\n| a |\n|---|\n\n- x\n---\n'
    parsed = parse(data, ".md")
    assert parsed.text == "# Leave policy\n\nOwner: hr.\n\n## Who\n\nYou.\n\n| a |\n|---|\n\n- x\n---"
    assert parsed.meta == {"title": "Leave", "owner": "hr"}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("locked.pdf", "encrypted"),
        ("locked.docx", "encrypted"),
        ("cut.pdf", "truncated"),
        ("cut.docx", "truncated"),
        ("noise.pdf", "not a PDF"),
        ("noise.txt", "binary"),
        ("noise.html", "binary"),
        ("noise.csv", "binary"),
        ("noise.docx", "damaged"),
        ("noise.eml", "no headers"),
    ],
)
def test_broken_files_say_why(files, name, reason):
    with pytest.raises(Unreadable, match=reason):
        read(files, name)


def test_nothing_to_read():
    with pytest.raises(Unreadable, match="empty file"):
        parse(b"", ".docx")
    with pytest.raises(Unreadable, match="no text"):
        parse(b" \n\xe2\x80\x8b--\n", ".md")


def test_a_zip_bomb_is_refused_before_it_is_unpacked():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open("word/document.xml", "w") as part:
        for _ in range(300):
            part.write(bytes(1_000_000))
    with pytest.raises(Unreadable, match="unpacks to 300 MB"):
        parse(buffer.getvalue(), ".docx")


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("a ![red *card*](card.png) b", "a red *card* b"),
        ("![](a_(1).png)![x]( b )", "x"),
        ("[link](a.html) ![no end](a.png", "[link](a.html) ![no end](a.png"),
    ],
)
def test_images_become_their_descriptions(markdown, text):
    assert images_as_text(markdown) == text


@pytest.mark.parametrize("part", ["![", "![](", "![](()", "![](![](a)", "!", "("])
def test_unfinished_images_take_linear_time(part, takes_linear_time):
    assert takes_linear_time(images_as_text, lambda n: "![](" + part * n)


def test_a_long_line_of_numbers_is_no_header():
    line = placed("7 " * 50_000, (0, 2, 500, 10))
    assert _running_keys(line, 1, body=10) == {line.text}


def test_table_of_uneven_rows_has_no_empty_columns():
    assert (
        table([["a", "", "b|c"], [], ["1"], ["", "", "x\ny"]]) == "| a | b\\|c |\n| --- | --- |\n| 1 |  |\n|  | x y |"
    )
