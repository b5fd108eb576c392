"""What lies on top of a PDF's pages: values of form fields, and annotations with text. PDFium's text has neither."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from inhouse.documents.layout import Line, Rectangle, joined, placed, turned

HIDDEN = 2 | 32  # flags of annotations that are not shown: Hidden, NoView
PASSWORD = 1 << 13  # flag of a text field


def annotated(document: Any, page: Any, turn: int, left_out: Counter[str]) -> list[tuple[str, Line]]:
    """Form values ("field") where they are shown, text boxes ("text"), and comments ("comment") on a page.

    Args:
        document: the opened PDF, whose form was initialized before the page was loaded.
        page: of the document.
        turn: by which the page's lines were turned.
        left_out: counts what is not read, by its name.
    """
    from pypdfium2 import raw

    found: list[tuple[str, Line]] = []
    for i in range(raw.FPDFPage_GetAnnotCount(page)):
        annotation = raw.FPDFPage_GetAnnot(page, i)
        if not annotation:
            continue
        kind, flags = raw.FPDFAnnot_GetSubtype(annotation), raw.FPDFAnnot_GetFlags(annotation)
        if kind == raw.FPDF_ANNOT_WIDGET:
            name, text = "field", _value(document, annotation, left_out)
        elif kind in (raw.FPDF_ANNOT_LINK, raw.FPDF_ANNOT_POPUP):
            name, text = "", ""
        else:
            name = "text" if kind == raw.FPDF_ANNOT_FREETEXT else "comment"
            text = _string(annotation, b"Contents")
            if kind == raw.FPDF_ANNOT_FILEATTACHMENT:
                left_out["file attached to a page"] += 1
        if text and flags & HIDDEN:
            left_out["hidden annotation"] += 1
        elif text:
            found.append((name, placed(text, _rectangle(page, annotation, turn), level=-2)))
        raw.FPDFPage_CloseAnnot(annotation)
    return found


def _value(document: Any, annotation: Any, left_out: Counter[str]) -> str:
    """What a form field shows; check boxes and radio buttons show whether they are checked."""
    from pypdfium2 import raw

    form = document.formenv
    if form is None:
        return ""
    kind = raw.FPDFAnnot_GetFormFieldType(form, annotation)
    if kind in (raw.FPDF_FORMFIELD_CHECKBOX, raw.FPDF_FORMFIELD_RADIOBUTTON):
        return "[x]" if raw.FPDFAnnot_IsChecked(form, annotation) else "[ ]"
    if kind in (raw.FPDF_FORMFIELD_TEXTFIELD, raw.FPDF_FORMFIELD_COMBOBOX, raw.FPDF_FORMFIELD_LISTBOX):
        if raw.FPDFAnnot_GetFormFieldFlags(form, annotation) & PASSWORD and kind == raw.FPDF_FORMFIELD_TEXTFIELD:
            left_out["password field"] += 1
            return ""
        return _decoded(lambda buffer, size: raw.FPDFAnnot_GetFormFieldValue(form, annotation, buffer, size))
    return ""


def _string(annotation: Any, key: bytes) -> str:
    from pypdfium2 import raw

    return _decoded(lambda buffer, size: raw.FPDFAnnot_GetStringValue(annotation, key, buffer, size))


def _decoded(get: Any) -> str:
    """The text that a function writes into a buffer as UTF-16; called without one, it returns the size in bytes."""
    from pypdfium2 import raw

    size = get(None, 0)
    buffer = (raw.FPDF_WCHAR * (size // 2 + 1))()
    get(buffer, size)
    text = bytes(buffer)[: max(size - 2, 0)].decode("utf-16-le", "replace")
    return "\n".join(text.splitlines()).strip()


def _rectangle(page: Any, annotation: Any, turn: int) -> Rectangle:
    from pypdfium2 import raw

    edges = raw.FS_RECTF()
    raw.FPDFAnnot_GetRect(annotation, edges)
    left, bottom, right, top = page.get_bbox()
    box = np.array([[edges.left - left, edges.bottom - bottom, edges.right - left, edges.top - bottom]])
    width, height, rotation = right - left, top - bottom, page.get_rotation()
    box = turned(box, rotation, width, height)
    if rotation % 180:
        width, height = height, width
    box = turned(box, turn, width, height)
    return tuple(box[0].tolist())


def inserted(lines: list[Line], new: Line) -> list[Line]:
    """The lines with a new one where it stands: in the line beside it, or by itself before the next lower one."""
    beside = [(_distance(line, new), n) for n, line in enumerate(lines) if _level(line, new)]
    if beside:
        n = min(beside)[1]
        seen = np.flatnonzero(lines[n].codes > 32)
        after = seen[lines[n].boxes[seen, 0] >= new.left]
        cut = int(after[0]) if len(after) else len(lines[n].codes)
        places = np.arange(len(lines[n].codes))
        new.boxes[:, [1, 3]] = lines[n].bottom, lines[n].top
        row = [part for part in (lines[n].part(places < cut), new, lines[n].part(places >= cut)) if part is not None]
        return [*lines[:n], joined(row), *lines[n + 1 :]]
    n = next((n for n, line in enumerate(lines) if line.top < new.bottom), len(lines))
    return [*lines[:n], new, *lines[n:]]


def _level(line: Line, new: Line) -> bool:
    shared = min(line.top, new.top) - max(line.bottom, new.bottom)
    return "\n" not in new.text and shared > 0.5 * min(line.top - line.bottom, new.top - new.bottom)


def _distance(line: Line, new: Line) -> float:
    return max(line.left - new.right, new.left - line.right, 0.0)
