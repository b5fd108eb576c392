"""Text in pictures: RapidOCR, whose models come with its package, or Tesseract where it is installed.

RapidOCR reads Latin script with diacritics, Chinese and Japanese; other scripts need Tesseract and the names of their
languages. Neither uses the network: the models are given by path, so that nothing is looked up. A page that lies on its
side or on its head is turned; what was read with little confidence is left out, and the note says how much.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from inhouse.documents.layout import Line, Page, Rectangle, joined, placed
from inhouse.errors import InputError
from inhouse.types import Numbers

UNREAD = "text in pictures not read"  # in the note on a file
DPI = 200
LONGEST_SIDE = 3500  # pixels
DETECTED_SIDE = 1600  # of the picture in which lines are looked for; they are read in the one before
CONFIDENT, UNCERTAIN = 0.8, 0.6  # a page that is upright; a line that is left out
RETRIED, LONG = 0.9, 10  # a line less certain, and so many times as wide as high, is read again in pieces
PIECES = 3
LONG_WORD, SPACE = 11, 0.2  # letters of a word that may be several; width of a space in heights of the line
LINE_HEIGHT = 1.4  # times the height of its words: so high are lines of the other engine, and of a PDF
PAGE_S = 300  # for Tesseract
_LATIN = {"en": "eng", "de": "deu", "fr": "fra", "es": "spa", "it": "ita", "pt": "por", "nl": "nld", "da": "dan",
          "sv": "swe", "no": "nor", "nb": "nor", "fi": "fin", "is": "isl", "pl": "pol", "cs": "ces", "sk": "slk",
          "sl": "slv", "hr": "hrv", "hu": "hun", "ro": "ron", "et": "est", "lv": "lav", "lt": "lit", "sq": "sqi",
          "tr": "tur", "vi": "vie", "id": "ind", "ms": "msa", "ca": "cat", "zh": "chi_sim", "ja": "jpn"}  # fmt: skip
_OTHER = {"ko": "kor", "ru": "rus", "uk": "ukr", "bg": "bul", "sr": "srp", "el": "ell", "ar": "ara", "he": "heb",
          "fa": "fas", "ur": "urd", "hi": "hin", "bn": "ben", "ta": "tam", "te": "tel", "th": "tha", "ka": "kat",
          "hy": "hye"}  # fmt: skip
TESSERACT = {**_LATIN, **_OTHER}
RAPID = frozenset([*_LATIN, *_LATIN.values()])


class Read(NamedTuple):
    """A line that was read: its confidence in [0, 1], and the corners of its box in pixels, clockwise from top left."""

    text: str
    score: float
    corners: Numbers  # shape (4, 2)


class Ocr:
    """Reads pictures of one file.

    Args:
        mode: "auto", "rapidocr", "tesseract" or "off".
        languages: of the pages, as two letters ("ru") or as Tesseract names them; empty for those of RapidOCR.
        begin: called with a label before each page, which may take seconds.
    """

    def __init__(
        self, mode: str = "auto", languages: Sequence[str] = (), begin: Callable[[str], None] = lambda label: None
    ) -> None:
        self._begin = begin
        self._engine, self.why_not = _engine(mode, tuple(languages))
        self._pages: dict[int, list[float]] = {}
        self._uncertain = 0

    @property
    def ready(self) -> bool:
        return self._engine is not None

    def page(self, page: Any, number: int, label: str) -> tuple[list[Line], int]:
        """The lines of a page of a PDF in its points, after it was turned clockwise by so many degrees."""
        scale = min(DPI / 72, LONGEST_SIDE / max(*page.get_size(), 1))
        self._begin(label)
        lines, degrees = self._lines(page.render(scale=scale, rev_byteorder=True).to_numpy()[:, :, :3], number)
        return _scaled(lines, scale), degrees

    def image(self, pixels: Numbers, number: int, label: str) -> Page:
        """The lines of a picture, in points, as if it were a page scanned with DPI."""
        self._begin(label)
        lines, degrees = self._lines(pixels, number)
        height, width = pixels.shape[:2] if degrees % 180 == 0 else pixels.shape[1::-1]
        scale = DPI / 72
        return Page(rows_of(_scaled(lines, scale)), width / scale, height / scale, turn=degrees)

    def _lines(self, pixels: Numbers, number: int) -> tuple[list[Line], int]:
        if self._engine is None:
            return [], 0
        found, degrees = _upright(self._engine, np.ascontiguousarray(pixels))
        kept = [line for line in found if line.score >= UNCERTAIN]
        self._uncertain += len(found) - len(kept)
        self._pages[number] = [line.score for line in kept]
        return _level(kept, pixels.shape[1 if degrees % 180 else 0]), degrees

    def note(self) -> str:
        """Which pages were read, and how surely; empty if none was."""
        scores = [score for page in self._pages.values() for score in page]
        if not scores and not self._uncertain:
            return ""
        read = [n for n, page in self._pages.items() if page]
        said = [f"{pages_named(read)} read with OCR (confidence {np.mean(scores):.2f})"] if read else []
        if self._uncertain:
            said.append(f"{self._uncertain} line{'s' * (self._uncertain > 1)} too uncertain, left out")
        if self._uncertain > len(scores):
            said.append("if the language is not among those of documents.ocr_languages, name it there")
        return "; ".join(said)

    def meta(self) -> dict[str, str]:
        """The pages and the mean confidence, for the document's properties."""
        scores = [score for page in self._pages.values() for score in page]
        read = [n for n, page in self._pages.items() if page]
        return {"ocr": pages_named(read), "ocr confidence": f"{np.mean(scores):.2f}"} if scores else {}


def pages_named(numbers: Sequence[int]) -> str:
    """ "page 3", or "pages 1-4, 7"."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1][1] = n
        else:
            runs.append([n, n])
    names = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
    return f"page{'s' * (len(numbers) > 1)} {names}"


def _scaled(lines: Sequence[Line], scale: float) -> list[Line]:
    """The lines in a unit so many times as long."""

    def shorter(box: Rectangle) -> Rectangle:
        return box[0] / scale, box[1] / scale, box[2] / scale, box[3] / scale

    return [placed(line.text, shorter(line.box)) for line in lines]


def rows_of(lines: Sequence[Line]) -> list[Line]:
    """Lines from top to bottom, those beside each other as one, as PDFium gives them."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: -(line.top + line.bottom)):
        last = rows[-1][0] if rows else None
        middle = (line.top + line.bottom) / 2
        if last and abs((last.top + last.bottom) / 2 - middle) < 0.45 * min(last.size, line.size):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [joined(sorted(row, key=lambda line: line.left)) for row in rows]


def _level(found: Sequence[Read], height: int) -> list[Line]:
    """The lines as if the picture were not skewed, from its bottom left corner, in letters of about one size."""
    if not found:
        return []
    wide = np.array([line.corners[1] - line.corners[0] for line in found])
    lengths = np.hypot(*wide.T)
    angles = np.arctan2(wide[:, 1], wide[:, 0])
    order = np.argsort(angles)
    half = np.searchsorted(np.cumsum(lengths[order]), lengths.sum() / 2)
    angle = float(angles[order][min(half, len(order) - 1)])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    heights = [float(np.hypot(*(line.corners[3] - line.corners[0]))) for line in found]
    usual = float(np.median(heights))
    lines = []
    for line, tall in zip(found, heights, strict=True):
        corners = line.corners @ turn
        x, y = corners[:, 0], float(corners[:, 1].mean())
        size = usual if tall < 1.35 * usual else tall
        top, bottom = height - (y - size / 2), height - (y + size / 2)
        lines.append(placed(line.text, (float(x.min()), bottom, float(x.max()), top)))
    return lines


def _upright(engine: Callable[[Numbers], list[Read]], pixels: Numbers) -> tuple[list[Read], int]:
    """The lines of the picture as it lies, or turned so that they can be read; and how far, clockwise in degrees."""
    best: tuple[float, list[Read], int] = (-1.0, [], 0)
    for degrees in (0, 180, 90, 270):
        found = engine(np.ascontiguousarray(np.rot90(pixels, -degrees // 90)) if degrees else pixels)
        letters = sum(len(line.text) for line in found)
        mean = sum(line.score * len(line.text) for line in found) / (letters or 1)
        tall = sum(len(line.text) for line in found if len(line.text) > 3 and _is_tall(line)) > 0.5 * letters
        score = 0.0 if tall else mean
        if score > best[0]:
            best = score, found, degrees
        if score >= CONFIDENT or (not degrees and len(found) < 3):
            break
    return best[1], best[2]


def _is_tall(line: Read) -> bool:
    across, down = line.corners[1] - line.corners[0], line.corners[3] - line.corners[0]
    return bool(np.hypot(*down) > 1.5 * np.hypot(*across))


def _engine(mode: str, languages: tuple[str, ...]) -> tuple[Callable[[Numbers], list[Read]] | None, str]:
    """What reads a picture, or None and why."""
    if mode == "off":
        return None, 'documents.ocr is "off"'
    foreign = [language for language in languages if language not in RAPID]
    if mode == "rapidocr" or (mode == "auto" and not foreign):
        return _rapid, ""
    wanted = [TESSERACT.get(language, language) for language in languages] or ["eng"]
    there = _tesseract_languages()
    missing = [language for language in wanted if language not in there]
    if missing:
        what = f"the data of {', '.join(missing)} for tesseract" if there else "tesseract"
        return None, f"install {what} to read {', '.join(languages or ('en',))}"
    return lambda pixels: _tesseract(pixels, wanted), ""


# --- RapidOCR ---------------------------------------------------------------------------------------------------

_loaded: list[Any] = []  # the models, once a picture needs them


def _rapid(pixels: Numbers) -> list[Read]:
    engine = _rapid_engine()
    bgr = pixels[:, :, ::-1]
    result = engine(bgr, use_det=True, use_cls=False, use_rec=True)  # options of the last call would stay
    if not len(result):
        return []
    lines = [Read(*line) for line in zip(result.txts, map(float, result.scores), result.boxes, strict=True)]
    return [_in_pieces(engine, bgr, line) for line in lines]


def _rapid_engine() -> Any:
    if not _loaded:
        import rapidocr

        models = Path(rapidocr.__file__).parent / "models"
        threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1
        _loaded.append(
            rapidocr.RapidOCR(
                params={
                    "Global.log_level": "critical",
                    "Global.text_score": 0.0,
                    "Global.max_side_len": LONGEST_SIDE,
                    "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                    "Rec.rec_batch_num": 2,  # takes half the memory of 6, and no more time
                    "Det.limit_type": "max",
                    "Det.limit_side_len": DETECTED_SIDE,
                    "Det.model_path": str(models / "PP-OCRv6_det_small.onnx"),
                    "Cls.model_path": str(models / "ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
                    "Rec.model_path": str(models / "PP-OCRv6_rec_small.onnx"),
                }
            )
        )
    return _loaded[0]


def _in_pieces(engine: Any, pixels: Numbers, line: Read) -> Read:
    """A long line read again in pieces, or words that ran together word by word; what is better of both readings."""
    across, down = line.corners[1] - line.corners[0], line.corners[3] - line.corners[0]
    long = line.score < RETRIED and np.hypot(*across) > LONG * np.hypot(*down)
    together = line.text.isascii() and any(len(word) > LONG_WORD for word in line.text.split())
    if not long and not together:
        return line
    from rapidocr.utils.process_img import get_rotate_crop_image

    picture = get_rotate_crop_image(pixels, np.asarray(line.corners, np.float32))
    if together and len(words := _words(picture)) > len(line.text.split()):
        read = _read_pieces(engine, words)
        if "".join(read.text.split()) == "".join(line.text.split()):
            line = line._replace(text=read.text)
    if long and (read := _read_pieces(engine, _pieces(picture))).score > line.score:
        line = line._replace(text=read.text, score=read.score)
    return line


def _read_pieces(engine: Any, pieces: Sequence[Numbers]) -> Read:
    read = [engine(piece, use_det=False, use_cls=False, use_rec=True) for piece in pieces]
    texts = [(str(r.txts[0]).strip(), float(r.scores[0])) for r in read if r.txts]
    total = sum(len(text) for text, _ in texts)
    score = sum(score * len(text) for text, score in texts) / (total or 1)
    return Read(" ".join(text for text, _ in texts), score, np.empty((0, 2)))


def _empty(picture: Numbers) -> Numbers:
    """Which columns of the picture of a line have no ink."""
    gray = picture.mean(axis=2)
    ink = np.abs(gray - np.median(gray)).max(axis=0)
    empty: Numbers = ink < 0.35 * ink.max()
    return empty


def _words(picture: Numbers) -> list[Numbers]:
    """The picture of a line cut in the middle of each space."""
    empty, wide = _empty(picture), SPACE * picture.shape[0]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]]).astype(int)))
    gaps = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > wide and a and b < len(empty)]
    cuts = [0, *((a + b) // 2 for a, b in gaps), len(empty)]
    return [picture[:, a:b] for a, b in pairwise(cuts)]


def _pieces(picture: Numbers) -> list[Numbers]:
    """The picture of a line in PIECES, cut in the middle of the widest empty strip near each equal share."""
    empty, width = _empty(picture), picture.shape[1]
    edges = [0]
    for n in range(1, PIECES):
        low, high = int(width * (n - 0.35) / PIECES), int(width * (n + 0.35) / PIECES)
        best, run = (0, (low + high) // 2), 0
        for x in range(low, high):
            run = run + 1 if empty[x] else 0
            if run > best[0]:
                best = run, x - run // 2
        edges.append(best[1])
    return [picture[:, a:b] for a, b in pairwise([*edges, width])]


# --- Tesseract --------------------------------------------------------------------------------------------------


def _tesseract_languages() -> frozenset[str]:
    program = shutil.which("tesseract")
    if program is None:
        return frozenset()
    listed = subprocess.run([program, "--list-langs"], capture_output=True, text=True, check=False, timeout=PAGE_S)
    return frozenset(listed.stdout.split("\n")[1:])


def _tesseract(pixels: Numbers, languages: Sequence[str]) -> list[Read]:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    command = ["tesseract", "stdin", "stdout", "-l", "+".join(languages), "--dpi", str(DPI), "tsv"]
    try:
        run = subprocess.run(
            command, input=buffer.getvalue(), capture_output=True, check=True, timeout=PAGE_S,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(f"tesseract failed ({type(error).__name__})", 'set documents.ocr to "rapidocr"') from error
    rows = csv.DictReader(io.StringIO(run.stdout.decode("utf-8", "replace")), delimiter="\t", quoting=csv.QUOTE_NONE)
    words: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        if (row["text"] or "").strip():
            words.setdefault(tuple(row[k] for k in ("block_num", "par_num", "line_num")), []).append(row)
    return [_tesseract_line(line) for line in words.values()]


def _tesseract_line(words: Sequence[dict[str, str]]) -> Read:
    """A line of words; its box is as skewed as the line from its first to its last word."""
    edges = np.array([[float(w["left"]), float(w["top"]), float(w["width"]), float(w["height"])] for w in words])
    left, right = edges[0, 0], edges[-1, 0] + edges[-1, 2]
    middle = edges[:, 1] + edges[:, 3] / 2
    slope = np.polyfit(edges[:, 0] + edges[:, 2] / 2, middle, 1)[0] if len(words) > 2 else 0.0
    half = float(np.median(edges[:, 3])) * LINE_HEIGHT / 2
    y = float(middle.mean()) + slope * (np.array([left, right]) - (edges[:, 0] + edges[:, 2] / 2).mean())
    corners = np.array([[left, y[0] - half], [right, y[1] - half], [right, y[1] + half], [left, y[0] + half]])
    score = sum(float(w["conf"]) * len(w["text"]) for w in words) / sum(len(w["text"]) for w in words) / 100
    return Read(" ".join(w["text"] for w in words), score, corners)
