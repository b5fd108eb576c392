"""Pictures of text: photos and scans of pages, screenshots. They are read by OCR alone."""

from __future__ import annotations

import io
import warnings
from typing import Any

from inhouse.documents.layout import Page
from inhouse.documents.ocr import LONGEST_SIDE, Ocr
from inhouse.documents.parsed import Parsed, Unreadable
from inhouse.documents.pdf import markdown_of

MOST_PIXELS = 100_000_000
SHORTEST_SIDE = 1000  # pixels of the longer side; smaller pictures are enlarged


def read_image(data: bytes, ocr: Ocr | None = None) -> Parsed:
    """Returns the text in a picture; of an animation, in its first frame; of a TIFF, on all its pages.

    Raises:
        Unreadable: damaged, too large, or OCR is not available.
    """
    from PIL import Image

    ocr = ocr or Ocr()
    if not ocr.ready:
        raise Unreadable(f"a picture, and text in pictures is not read: {ocr.why_not}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(data))
        count = getattr(picture, "n_frames", 1)
        wanted = count if picture.format == "TIFF" else 1
        pages: list[Page] = []
        for frame in range(wanted):
            picture.seek(frame)
            label = f"OCR of page {frame + 1} of {wanted}" if wanted > 1 else "OCR"
            pages.append(ocr.image(_pixels(picture), frame + 1, label))
    except Image.DecompressionBombError as error:
        raise Unreadable(f"too large: more than {MOST_PIXELS // 10**6} megapixels") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unreadable(f"damaged picture ({type(error).__name__})") from error
    text, places = markdown_of(pages)
    notes = [ocr.note() or "no text found with OCR", f"{count - 1} more frames skipped" if count > wanted else ""]
    return Parsed(text=text, note="; ".join(filter(None, notes)), meta=ocr.meta(), places=places)


def _pixels(picture: Any) -> Any:
    """The picture upright, on white, in a size in which letters are well read: uint8, shape (height, width, 3)."""
    import numpy as np
    from PIL import Image, ImageOps

    width, height = picture.size
    if width * height > MOST_PIXELS:
        raise Unreadable(
            f"too large: {width} x {height} pixels; make it smaller than {MOST_PIXELS / 1e6:.0f} megapixels"
        )
    if picture.mode.startswith("I"):  # 16 bits of gray
        values = np.asarray(picture, np.float64)
        picture = Image.fromarray((values * (255 / max(values.max(), 1))).astype(np.uint8))
    picture = ImageOps.exif_transpose(picture)
    picture = picture.convert(
        "RGBA" if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA") else "RGB"
    )
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    longest = max(picture.size)
    scale = min(LONGEST_SIDE / longest, 1.0) if longest > SHORTEST_SIDE else 2.0
    if scale != 1.0:
        picture = picture.resize([max(round(side * scale), 1) for side in picture.size], Image.Resampling.LANCZOS)
    return np.asarray(picture)
