"""What Word, PowerPoint and Excel share (ECMA-376 part 1, 20 to 22): text of shapes, SmartArt, charts, formulas."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from inhouse.documents.grid import Cell, Row, table
from inhouse.documents.number_format import number_format

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
CX = "{http://schemas.microsoft.com/office/drawing/2014/chartex}"
DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
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
    """The text of one DrawingML paragraph, without the number of the slide."""
    parts = []
    for child in paragraph:
        if child.tag in {f"{A}r", f"{A}fld"}:
            properties = child.find(f"{A}rPr")
            shift = 0 if properties is None else _shift(properties.get("baseline", "0"))
            text = "" if child.get("type") == "slidenum" else child.findtext(f"{A}t") or ""
            if properties is not None and properties.get("strike", "noStrike") != "noStrike":
                text = struck(text)
            parts.append(raised(text) if shift > 0 else lowered(text) if shift < 0 else text)
        elif child.tag == f"{A}br":
            parts.append(" ")
        else:
            parts += [math(formula) for formula in child.iter(f"{M}oMath")]
    return "".join(parts).replace("~~~~", "")


def struck(text: str) -> str:
    """Text that is struck through, as Markdown marks it: it stays, but is not what the author says."""
    core = text.strip()
    return text.replace(core, f"~~{core}~~", 1) if any(map(str.isalnum, core)) else text


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


def diagram(root: etree._Element) -> list[str]:
    """The text of SmartArt, as a list in the order of its connections."""
    points = {point.get("modelId", ""): point for point in root.iter(f"{DGM}pt")}
    children: dict[str, list[tuple[int, str]]] = {}
    below = set()
    for connection in root.iter(f"{DGM}cxn"):
        if connection.get("type", "parOf") == "parOf":
            order = connection.get("srcOrd", "0")
            child = connection.get("destId", "")
            children.setdefault(connection.get("srcId", ""), []).append((int(order) if order.isdecimal() else 0, child))
            below.add(child)
    lines: list[str] = []
    seen: set[str] = set()
    waiting = [(identity, 0) for identity in reversed(points) if identity not in below]
    while waiting:
        identity, depth = waiting.pop()
        if identity in seen or identity not in points:
            continue
        seen.add(identity)
        text = " ".join(paragraphs(points[identity]))
        lines += [f"{'  ' * min(depth, 5)}- {text}"] if text else []
        deeper = [(child, depth + bool(text)) for _, child in sorted(children.get(identity, []))]
        waiting += reversed(deeper)
    lines += [f"- {t}" for identity, p in points.items() if identity not in seen and (t := " ".join(paragraphs(p)))]
    return ["\n".join(lines)] if lines else []


def chart(root: etree._Element) -> list[str]:
    """A chart: its title, and its numbers as a table, each in the format of the chart."""
    if root.tag.startswith(CX):
        return _new_chart(root)
    title = root.find(f"{C}chart/{C}title")
    words = [] if title is None else list(paragraphs(title))
    parts = [f"[chart: {' '.join(words)}]" if words else "[chart]"]
    groups: dict[tuple[tuple[int, str], ...], list[tuple[str, dict[int, str]]]] = {}
    for series in root.iter(f"{C}ser"):
        name = " ".join(v.text or "" for v in series.iterfind(f"{C}tx//{C}v"))
        values = _points(series, "val", "yVal")
        categories = _points(series, "cat", "xVal") or {index: str(index + 1) for index in values}
        groups.setdefault(tuple(categories.items()), []).append((name, values))
        if sizes := _points(series, "bubbleSize"):
            groups[tuple(categories.items())].append((f"{name} (size)", sizes))
    for names, columns in groups.items():
        header: Row = {
            0: Cell("Category"),
            **{i: Cell(name or f"Series {i}") for i, (name, _) in enumerate(columns, 1)},
        }
        rows = [header]
        for index, category in names:
            numbers = {i: Cell(values[index]) for i, (_, values) in enumerate(columns, 1) if index in values}
            rows.append({0: Cell(category), **numbers})
        parts += table(rows)
    return parts if words or groups else []


def _new_chart(root: etree._Element) -> list[str]:
    """A chart of the kinds since 2016, such as a waterfall or a tree map, whose data stand apart from its series."""
    title = root.find(f"{CX}chart/{CX}title")
    words = [] if title is None else list(paragraphs(title)) or [t for t in title.itertext() if t.strip()]
    names: dict[str, str] = {}
    for series in root.iter(f"{CX}series"):
        data = series.find(f"{CX}dataId")
        names["" if data is None else data.get("val", "")] = series.findtext(f"{CX}tx/{CX}txData/{CX}v") or "Value"
    parts = [f"[chart: {' '.join(words)}]" if words else "[chart]"]
    for data in root.iter(f"{CX}data"):
        categories: dict[str, list[str]] = {}
        for level in reversed(list(data.iterfind(f"{CX}strDim/{CX}lvl"))):
            for point in level.iterfind(f"{CX}pt"):
                categories.setdefault(point.get("idx", ""), []).append(point.text or "")
        rows: list[Row] = [{0: Cell("Category"), 1: Cell(names.get(data.get("id", ""), "Value"))}]
        for level in data.iterfind(f"{CX}numDim/{CX}lvl"):
            form = number_format(level.get("formatCode", "General"))
            for point in level.iterfind(f"{CX}pt"):
                category = " ".join(categories.pop(point.get("idx", ""), [])) or str(len(rows))
                rows.append({0: Cell(category), 1: Cell(form.number(point.text or ""))})
        parts += table(rows)
    return parts


def _points(series: etree._Element, *names: str) -> dict[int, str]:
    """The values of a series by their index, as the chart shows them; categories of several levels in one."""
    found: dict[int, str] = {}
    for data in (element for name in names for element in series.iterfind(f"{C}{name}")):
        code = data.findtext(f".//{C}formatCode") or "General"
        for point in data.iter(f"{C}pt"):
            index, text = point.get("idx", ""), point.findtext(f"{C}v") or ""
            if index.isdecimal():
                shown = number_format(point.get("formatCode", code)).number(text) if _is_number(point) else text
                found[int(index)] = f"{shown} {found[int(index)]}" if int(index) in found else shown
    return found


def _is_number(point: etree._Element) -> bool:
    parent = point.getparent()
    return parent is not None and parent.tag in {f"{C}numCache", f"{C}numLit"}


def math(element: etree._Element) -> str:
    """A formula in one line: fractions with a slash, powers raised."""
    parts = []
    for child in element:
        match child.tag.rpartition("}")[2]:
            case "t":
                parts.append(child.text or "")
            case "f":
                parts.append("/".join(_grouped(child.find(f"{M}{n}")) for n in ("num", "den")))
            case "sSup" | "sSub" as kind:
                base, script = (child.find(f"{M}{n}") for n in ("e", kind[1:].lower()))
                text = "" if script is None else math(script)
                change, mark = (raised, "^") if kind == "sSup" else (lowered, "_")
                parts.append(_grouped(base) + (change(text) if text.isdecimal() else f"{mark}{_bracketed(text)}"))
            case "rad":
                parts.append(f"√{_grouped(child.find(f'{M}e'))}")
            case "d":
                start, end, between = (
                    _sign(child, "d", n, o) for n, o in (("begChr", "("), ("endChr", ")"), ("sepChr", "|"))
                )
                parts.append(start + between.join(math(e) for e in child.iterfind(f"{M}e")) + end)
            case "nary":
                low, high = (math(e) if (e := child.find(f"{M}{n}")) is not None else "" for n in ("sub", "sup"))
                limits = (f"_{_bracketed(low)}" if low else "") + (f"^{_bracketed(high)}" if high else "")
                parts.append(f"{_sign(child, 'nary', 'chr', '∫')}{limits} {_grouped(child.find(f'{M}e'))}")
            case "func":
                parts.append(" ".join(math(e) for n in ("fName", "e") if (e := child.find(f"{M}{n}")) is not None))
            case "m" | "eqArr":
                rows = child.iterfind(f"{M}mr" if child.tag == f"{M}m" else f"{M}e")
                parts.append("; ".join(", ".join(map(math, row)) if row.tag == f"{M}mr" else math(row) for row in rows))
            case tag if not tag.endswith("Pr"):
                parts.append(math(child))
    return "".join(parts)


def _sign(element: etree._Element, kind: str, name: str, otherwise: str) -> str:
    """A sign that the properties of a formula's part name."""
    sign = element.find(f"{M}{kind}Pr/{M}{name}")
    return otherwise if sign is None else str(sign.get(f"{M}val", ""))


def _grouped(element: etree._Element | None) -> str:
    return "" if element is None else _bracketed(math(element))


def _bracketed(text: str) -> str:
    return text if text.isalnum() else f"({text})"
