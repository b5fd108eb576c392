"""DrawingML, which Word, PowerPoint and Excel share (ECMA-376 part 1, 20 and 21): the text of shapes."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_RAISED = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")
_LOWERED = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")


def raised(text: str) -> str:
    """Text in superscript: digits get characters of their own, so that no number grows by a footnote's."""
    return text.translate(_RAISED) if any(map(str.isdigit, text)) else text


def lowered(text: str) -> str:
    """Text in subscript, as `raised`."""
    return text.translate(_LOWERED) if any(map(str.isdigit, text)) else text


def paragraphs(element: etree._Element) -> Iterator[str]:
    """The paragraphs of a shape's text that have any, with line breaks as spaces."""
    for paragraph in element.iter(f"{A}p"):
        if text := " ".join(run_text(paragraph).split()):
            yield text


def run_text(paragraph: etree._Element) -> str:
    """The text of one DrawingML paragraph."""
    parts = []
    for node in paragraph.iter(f"{A}t", f"{A}br", f"{A}tab"):
        if node.tag != f"{A}t":
            parts.append(" ")
            continue
        run = node.getparent()
        properties = None if run is None else run.find(f"{A}rPr")
        shift = 0 if properties is None else _shift(properties.get("baseline", "0"))
        text = node.text or ""
        parts.append(raised(text) if shift > 0 else lowered(text) if shift < 0 else text)
    return "".join(parts)


def _shift(baseline: str) -> float:
    try:
        return float(baseline.rstrip("%"))
    except ValueError:
        return 0


def without_fallbacks(root: etree._Element) -> None:
    """Takes one of the alternatives of each mc:AlternateContent: the first choice, or the fallback if there is none."""
    for alternatives in list(root.iter(f"{MC}AlternateContent")):
        parent = alternatives.getparent()
        branches = [b for b in alternatives if b.tag in {f"{MC}Choice", f"{MC}Fallback"}]
        if parent is None:
            continue
        at = parent.index(alternatives)
        parent[at : at + 1] = list(branches[0]) if branches else []
