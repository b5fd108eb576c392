"""OCR of scanned pages: the error in characters and in figures, and the time, with RapidOCR and with Tesseract.

    python benchmarks/ocr.py [--pages 30] [--quick]

The pages hold the text of the example bank's documents, and prices made up here: in three fonts, 9 to 12 points, every
third in two columns, every fifth with a price list. They are rendered at 200 dpi, turned by up to 2 degrees, and get
Gaussian noise (sigma 12 of 255). Both engines read the same pictures, through the same path as `inhouse ingest`. The
error is the edit distance to the printed text over its length, spaces as one; a figure is right if it is read exactly,
as often as it is printed. Prints a line per engine and writes `benchmarks/results/ocr.json`. `--quick` reads 4 pages.
"""

import argparse
import io
import json
import random
import re
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pypdfium2 as pdfium
from PIL import Image
from rapidfuzz.distance import Levenshtein
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen import canvas

from inhouse.documents.ocr import Ocr
from inhouse.documents.pdf import markdown_of

HERE = Path(__file__).parent
DOCUMENTS = HERE.parent / "examples/first_national_bank/documents"
FONTS = ("Helvetica", "Times-Roman", "Courier")
DPI, SKEW, NOISE = 200, 2.0, 12.0
MARGIN = 60
FIGURE = re.compile(r"\d[\d.,:]*\d|\d")


def wrapped(words: list[str], width: float, font: str, size: float) -> list[str]:
    lines, line = [], ""
    for word in words:
        if line and pdfmetrics.stringWidth(f"{line} {word}", font, size) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line]


def page(number: int, words: list[str], chance: random.Random) -> tuple[Image.Image, str]:
    """A photographed page, and its text in reading order."""
    font, size = FONTS[number % len(FONTS)], chance.choice([9, 10, 11, 12])
    columns = 2 if number % 3 == 2 else 1
    gutter = 24
    width = (A4[0] - 2 * MARGIN - gutter * (columns - 1)) / columns
    step, start = size * 1.3, chance.randrange(len(words) // 2)
    rows = int((A4[1] - 2 * MARGIN) / step)
    lines = wrapped(words[start : start + 2000], width, font, size)
    buffer = io.BytesIO()
    paper = canvas.Canvas(buffer, pagesize=A4)
    paper.setFont(font, size)
    texts: list[str] = []
    prices = number % 5 == 4 and columns == 1
    for column in range(columns):
        part = lines[column * rows : (column + 1) * rows - (12 if prices else 0)]
        for n, line in enumerate(part):
            paper.drawString(MARGIN + column * (width + gutter), A4[1] - MARGIN - n * step, line)
        texts += part
    if prices:
        for n in range(10):
            name, price = (
                f"Service {chance.choice('ABCDEFGH')}{n}",
                f"${chance.randrange(1, 900)}.{chance.randrange(100):02}",
            )
            y = MARGIN + (10 - n) * step
            paper.drawString(MARGIN, y, name)
            paper.drawRightString(A4[0] - MARGIN, y, price)
            texts.append(f"{name} {price}")
    paper.save()
    picture = pdfium.PdfDocument(buffer.getvalue())[0].render(scale=DPI / 72).to_pil().convert("L")
    picture = picture.rotate(chance.uniform(-SKEW, SKEW), fillcolor=255, resample=Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, float)
    pixels = pixels + np.random.default_rng(number).normal(0, NOISE, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).convert("RGB"), " ".join(texts)


def read(mode: str, pages: list[tuple[Image.Image, str]]) -> dict[str, float]:
    errors = chars = right = figures = 0
    used_s = clock_s = 0.0
    scores = []
    for number, (picture, truth) in enumerate(pages):
        ocr = Ocr(mode, ["en"])
        started, clock = time.process_time(), time.perf_counter()
        text = " ".join(
            re.sub(r"^#+ ", "", markdown_of([ocr.image(np.asarray(picture), 1, "")])[0], flags=re.M).split()
        )
        used_s, clock_s = used_s + time.process_time() - started, clock_s + time.perf_counter() - clock
        distance = Levenshtein.distance(text, truth)
        printed, got = Counter(FIGURE.findall(truth)), Counter(FIGURE.findall(text))
        errors, chars = errors + distance, chars + len(truth)
        right, figures = right + (printed & got).total(), figures + printed.total()
        scores.append(ocr.meta().get("ocr confidence", "0"))
        print(f"  {mode} page {number + 1}: {distance} of {len(truth)} characters wrong", flush=True)
    return {
        "pages": len(pages), "character_error": errors / chars, "figures_right": right / figures, "figures": figures,
        "seconds_a_page": clock_s / len(pages), "processor_seconds_a_page": used_s / len(pages),
        "lowest_confidence": min(map(float, scores)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=30)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    texts = (file.read_text(encoding="utf-8") for file in sorted(DOCUMENTS.rglob("*.md")))
    words = [word for text in texts for word in re.sub(r"[#*|`>]|^-+ |-{3,}", " ", text).split() if word.isascii()]
    chance = random.Random(1)
    pages = [page(n, words, chance) for n in range(4 if options.quick else options.pages)]
    engines = ["rapidocr", *(["tesseract"] if shutil.which("tesseract") else [])]
    results = {mode: read(mode, pages) for mode in engines}
    for mode, found in results.items():
        print(
            f"{mode}: {found['character_error']:.2%} of characters wrong, {found['figures_right']:.1%} of "
            f"{found['figures']:.0f} figures right, {found['seconds_a_page']:.1f} s a page by the clock"
        )
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results/ocr.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
