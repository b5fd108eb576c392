"""The picture of a page with a passage marked, for the console. It is made in a worker process, as files are read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from inhouse.documents.parse import PICTURES
from inhouse.documents.parsed import Unreadable
from inhouse.documents.pdf import opened
from inhouse.types import Box

WIDTH = 1200  # pixels
AROUND = 0.06  # of the page's height, above and below the passage
MARK = (255, 214, 10, 70)


def page_picture(file: Path, page: int, box: Box) -> bytes:
    """A PNG of the part of a page, from 1, that has the box, which is marked.

    Raises:
        Unreadable: the file has no such page, or no pages.
    """
    from PIL import Image, ImageDraw

    picture = _page(file, page).convert("RGBA")
    width, height = picture.size
    left, top, right, bottom = (max(0.0, min(edge, 1.0)) for edge in box)
    mark = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    edges = [left * width - 4, top * height - 3, right * width + 4, bottom * height + 3]
    if edges[0] < edges[2] and edges[1] < edges[3]:
        ImageDraw.Draw(mark).rectangle(edges, fill=MARK, outline=MARK[:3], width=2)
    shown = (0, int(max(top - AROUND, 0) * height), width, max(int(min(bottom + AROUND, 1) * height), 1))
    buffer = io.BytesIO()
    Image.alpha_composite(picture, mark).convert("RGB").crop(shown).save(buffer, "PNG")
    return buffer.getvalue()


def _page(file: Path, number: int) -> Any:
    from PIL import Image, ImageOps

    suffix = file.suffix.lower()
    if suffix in PICTURES:
        with Image.open(file) as picture:
            if not 1 <= number <= getattr(picture, "n_frames", 1):
                raise Unreadable(f"it has no page {number}")
            picture.seek(number - 1)
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((WIDTH, 4 * WIDTH))
            return upright
    if suffix != ".pdf":
        raise Unreadable("not a format with pages")
    document = opened(file.read_bytes())[1]
    if not 1 <= number <= len(document):
        raise Unreadable(f"it has no page {number}")
    page = document[number - 1]
    width, height = page.get_size()
    return page.render(scale=min(WIDTH / max(width, 1), 4 * WIDTH / max(height, 1)), may_draw_forms=True).to_pil()
