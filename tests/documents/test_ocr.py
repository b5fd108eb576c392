"""Text in pictures: read with its figures right, marked as read by OCR, and said where it was not read."""

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen import canvas

from inhouse.config.sections import Documents
from inhouse.documents import ocr as reading
from inhouse.documents.load import scanned
from inhouse.documents.ocr import Ocr, Read, pages_named, rows_of
from inhouse.documents.parse import PICTURES, parse
from inhouse.documents.parsed import Unreadable
from inhouse.documents.worker import Worker

FEES = ["Wire transfers", "An outgoing domestic wire costs $25.00.", "Incoming wires are free of charge.",
        "Größe, façade, mañana and crème brûlée: 1.234,50"]  # fmt: skip


def page(lines=FEES, size=(595, 300), font="Vera", points=14) -> bytes:
    """A PDF with a text layer, to be photographed."""
    pdfmetrics.registerFont(TTFont(font, "Vera.ttf", asciiReadable=font == "Vera"))
    buffer = io.BytesIO()
    paper = canvas.Canvas(buffer, pagesize=size, pageCompression=0)
    paper.setFont(font, points)
    for n, line in enumerate(lines):
        paper.drawString(60, size[1] - 60 - 2 * points * n, line)
    paper.save()
    return buffer.getvalue()


def photo(pdf, degrees=0.0, noise=8.0) -> Image.Image:
    import pypdfium2 as pdfium

    picture = pdfium.PdfDocument(pdf)[0].render(scale=150 / 72).to_pil().convert("L")
    picture = picture.rotate(degrees, expand=degrees % 90 == 0, fillcolor=255, resample=Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, float)
    return Image.fromarray((pixels + np.random.default_rng(1).normal(0, noise, pixels.shape)).clip(0, 255).astype("uint8"))  # fmt: skip


def saved(picture, kind, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def scan(*pictures, text="", layer="") -> bytes:
    """A PDF of pictures that fill their pages, the first with text printed on it too, or with a layer of text."""
    buffer = io.BytesIO()
    paper = canvas.Canvas(buffer, pagesize=(595, 300))
    for n, picture in enumerate(pictures):
        paper.setPageSize((595, 595 * picture.height / picture.width))
        paper.drawImage(ImageReader(picture), 0, 0, 595, 595 * picture.height / picture.width)
        if n == 0 and text:
            paper.drawString(400, 20, text)
        paper.showPage()
    paper.save()
    return buffer.getvalue()


@pytest.fixture(scope="module")
def fees():
    return photo(page())


@pytest.mark.parametrize("suffix", sorted(PICTURES - {".jpeg", ".tif"}))
def test_pictures_of_all_formats(fees, suffix):
    kind = {".jpg": "JPEG", ".tiff": "TIFF"}.get(suffix, suffix[1:].upper())
    more = {"save_all": True, "append_images": [photo(page(["Page two says 17 days."], (595, 120)))]}
    parsed = parse(saved(fees, kind, **(more if kind == "TIFF" else {})), suffix)
    assert "An outgoing domestic wire costs $25.00." in parsed.text
    assert "Größe, façade, mañana and crème brûlée: 1.234,50" in parsed.text
    assert ("Page two says 17 days." in parsed.text) == (kind == "TIFF")
    assert re.search(r"read with OCR \(confidence (0\.9|1)", parsed.note)
    assert parsed.meta["ocr"] == ("pages 1-2" if kind == "TIFF" else "page 1")
    assert parsed.places[0].page == 1
    assert parsed.places[-1].page == (2 if kind == "TIFF" else 1)


@pytest.mark.parametrize("degrees", [1.8, -1.8, 90, 180, 270])
def test_skewed_and_turned_scans(degrees):
    parsed = parse(scan(photo(page(), degrees)), ".pdf")
    assert [line.removeprefix("# ") for line in parsed.text.split("\n") if line] == FEES
    assert all(0 <= edge <= 1 for place in parsed.places for edge in place.box)


def test_scans_among_pages_with_text(tmp_path):
    import pypdfium2 as pdfium

    whole = pdfium.PdfDocument(page(["Printed page: a check costs $8."]))
    whole.import_pages(pdfium.PdfDocument(scan(photo(page()))))
    whole.new_page(300, 300)
    buffer = io.BytesIO()
    whole.save(buffer)
    file = tmp_path / "mixed.pdf"
    file.write_bytes(buffer.getvalue())
    labels = []
    worker = Worker()
    try:
        parsed = worker.parse(file, ".pdf", labels.append)  # where the network is closed
    finally:
        worker.close()
    assert parsed.text.startswith("Printed page: a check costs $8.\n\n")
    assert "costs $25.00." in parsed.text
    assert re.fullmatch(r"page 2 read with OCR \(confidence [\d.]+\); 1 of 3 pages have no text", parsed.note)
    assert labels == ["OCR of page 2, 1 of 1"]
    assert {place.page for place in parsed.places} == {1, 2}
    without = parse(file.read_bytes(), ".pdf", Ocr("off"))
    assert without.text == "Printed page: a check costs $8."
    assert 'page 2: text in pictures not read (documents.ocr is "off")' in without.note


def test_a_stamp_on_a_scan_is_there_once(fees):
    parsed = parse(scan(fees, text="Received 2025"), ".pdf")
    assert parsed.text.count("Received 2025") == 1
    assert "costs $25.00." in parsed.text


def test_a_scan_and_nothing_to_read_it(fees):
    with pytest.raises(Unreadable, match='no text .*documents.ocr is "off"'):
        parse(scan(fees), ".pdf", Ocr("off"))
    with pytest.raises(Unreadable, match="a picture.*documents.ocr"):
        parse(saved(fees, "PNG"), ".png", Ocr("off"))
    with pytest.raises(Unreadable, match="damaged picture"):
        parse(saved(fees, "PNG")[:900], ".png")
    with pytest.raises(Unreadable, match="no text found with OCR"):
        parse(saved(Image.new("L", (200, 200), 255), "PNG"), ".png")


def test_pictures_that_show_no_text_are_counted():
    pixels = np.random.default_rng(1).integers(0, 255, (60, 60), "uint8")
    buffer = io.BytesIO()
    paper = canvas.Canvas(buffer, pagesize=A4)
    paper.drawString(72, 700, "Our branch in Alder Falls, open since 1931, is the oldest of all.")
    paper.drawImage(ImageReader(Image.fromarray(pixels)), 72, 400, 120, 120)
    paper.save()
    assert parse(buffer.getvalue(), ".pdf").note == "1 picture without text"


def raw_pdf(*objects: bytes) -> bytes:
    out, starts = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        starts.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    rows = b"".join(b"%010d 00000 n \n" % start for start in starts)
    size = len(objects) + 1
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, rows, size, len(out))  # fmt: skip


def unmapped(line: str) -> bytes:
    """A PDF whose font does not say which characters its glyphs are."""
    glyphs = TTFont("Glyphs", "Vera.ttf").face
    font = Path(glyphs.filename).read_bytes()
    font = font[:400].replace(b"cmap", b"cmaX").replace(b"post", b"posX") + font[400:]
    codes = "".join(f"{glyphs.charToGlyph[ord(c)]:04x}" for c in line).encode()
    widths = b" ".join(b"%d [%d]" % (glyphs.charToGlyph[ord(c)], glyphs.charWidths[ord(c)]) for c in sorted(set(line)))
    text = b"BT /F1 12 Tf 72 700 Td " + b"<%s> Tj 0 -24 Td " % codes * 4 + b"ET"
    return raw_pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type0 /BaseFont /A+Vera /Encoding /Identity-H /DescendantFonts [6 0 R] >>",
        b"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /A+Vera /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity)"
        b" /Supplement 0 >> /FontDescriptor 7 0 R /DW 600 /W [%s] /CIDToGIDMap /Identity >>" % widths,
        b"<< /Type /FontDescriptor /FontName /A+Vera /Flags 4 /FontBBox [0 -200 1000 900] /ItalicAngle 0 /Ascent 900 "
        b"/Descent -200 /CapHeight 700 /StemV 80 /FontFile2 8 0 R >>",
        b"<< /Length %d /Length1 %d >>\nstream\n%s\nendstream" % (len(font), len(font), font),
    )


def test_glyphs_without_characters_are_read_or_left_out_with_a_note():
    line = "The monthly fee is $12.75 for all of our customers."
    parsed = parse(unmapped(line), ".pdf")
    assert parsed.text == "\n".join([line] * 4)
    assert "page 1: glyphs without characters, read with OCR" in parsed.note
    with pytest.raises(Unreadable, match="glyphs without characters, left out"):
        parse(unmapped(line), ".pdf", Ocr("off"))


def test_tesseract_and_the_languages_that_need_it(fees):
    assert not Ocr("auto", ["ru", "xx"]).ready
    assert "xx" in Ocr("auto", ["xx"]).why_not
    if not shutil.which("tesseract"):
        pytest.skip("tesseract is not installed")
    parsed = parse(saved(fees, "PNG"), ".png", Ocr("tesseract", ["en"]))
    assert "An outgoing domestic wire costs $25.00." in parsed.text
    assert "read with OCR (confidence 0." in parsed.note


def corners(left, top, right, bottom):
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)


def test_uncertain_lines_are_left_out_and_counted(monkeypatch):
    found = [Read("The fee is $28.", 0.98, corners(10, 10, 200, 30)), Read("l1I|O0", 0.31, corners(10, 50, 90, 70)),
             Read("It is free.", 0.97, corners(10, 90, 200, 110))]  # fmt: skip
    monkeypatch.setattr(reading, "_rapid", lambda pixels: found)
    ocr = Ocr()
    lines = ocr.image(np.zeros((200, 300, 3), np.uint8), 1, "").lines
    assert [line.text for line in lines] == ["The fee is $28.", "It is free."]
    assert ocr.note() == "page 1 read with OCR (confidence 0.97); 1 line too uncertain, left out"


def test_rows_of_a_scanned_table_stay_together(monkeypatch):
    found = [Read(text, 0.99, corners(x, 40 * n, x + 90, 40 * n + 20))
             for n, row in enumerate((("Wire", "$25"), ("Check", "$8"), ("Stop", "$30"), ("Copy", "$2"))) for x, text in zip((10, 300), row, strict=True)]  # fmt: skip
    monkeypatch.setattr(reading, "_rapid", lambda pixels: found)
    page = Ocr().image(np.zeros((200, 500, 3), np.uint8), 1, "")
    assert [line.text for line in rows_of(page.lines)] == ["Wire $25", "Check $8", "Stop $30", "Copy $2"]


def test_pages_named():
    assert pages_named([3]) == "page 3"
    assert pages_named([1, 2, 3, 7, 9, 10]) == "pages 1-3, 7, 9-10"


def test_what_needs_ocr_is_known_before(fees, tmp_path):
    folder, cache = tmp_path / "documents", tmp_path / "cache"
    folder.mkdir()
    cache.mkdir()
    (folder / "printed.pdf").write_bytes(page())
    assert scanned(folder, Documents(), cache) == ""
    (folder / "scan.pdf").write_bytes(scan(fees))
    (folder / "photo.png").write_bytes(saved(fees, "PNG"))
    said = "1 pictures, and 1 of 2 PDFs looked at have pages without text; "
    assert scanned(folder, Documents(), cache) == said + "OCR reads them, which takes some seconds a page"
    off = Documents(ocr="off")
    assert scanned(folder, off, cache) == said + 'not read: documents.ocr is "off"'
