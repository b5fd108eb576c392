"""Costs and what customization returns in words: for the console, the command line, one HTML page, and a workbook."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from inhouse.assembly.workspace import Workspace
from inhouse.evaluation.cost_plots import Bar, Line, by_volume, money, tornado
from inhouse.gateway.console.seams import CostInput, CostLine, Costs
from inhouse.monitoring.costs import Figures
from inhouse.monitoring.roi import NAMES, SHARES, Input, Options, Roi, Side
from inhouse.serving.costs import Account, Seen, account
from inhouse.types import Estimate

NOTHING = "–"
UNKNOWN = "unknown"  # as the formulas say
EACH, WITH_IDLE = "Per accepted resolution", "all of it, with idle time"
SOURCES = {"measured": "measured", "verdict": "from the verdict", "assumed": "assumed", "typed in": "typed in"}


def costs_of(workspace: Workspace, typed: Mapping[str, str], traffic: Seen) -> Costs:
    """The costs of a project in words. Arguments and errors as of `costs.account`."""
    return in_words(workspace.project.name, account(workspace, typed, traffic), typed)


def in_words(project: str, found: Account, typed: Mapping[str, str]) -> Costs:
    """An account in words."""
    table, options = found.roi, found.options
    net = table.net_usd
    return Costs(
        project=project, days=found.days, conversations=found.cases,
        inputs=tuple(_input(name, table.inputs[name], typed.get(name, "")) for name in NAMES),
        table=_table(found), net=_net(net) if net else NOTHING,
        payback=_payback(table) if net else NOTHING,
        spending=_spending(found), options=_options(options) if options else (),
        break_even=_break_even(options) if options else (), notes=found.notes,
        missing=tuple(NAMES[name] for name in table.missing),
        dependence=str(tornado(net.mean, _bars(table))) if net else "",
        by_volume=str(_plot(options)) if options else "",
    )  # fmt: skip


# --- words ------------------------------------------------------------------------------------------------------


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return NOTHING
    if name in SHARES:
        return f"{100 * value:.1f}%"
    return f"{value:,.0f}" if name == "conversations_per_month" else usd(value)


def usd(value: float | None) -> str:
    """US dollars with as many digits as matter."""
    if value is None:
        return NOTHING
    digits = 0 if abs(value) >= 100 or value == 0 else 2 if abs(value) >= 0.1 else 5
    return f"{'-' if value < 0 else ''}${abs(value):,.{digits}f}"


def _range(name: str, low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{_shown(name, low)} to {_shown(name, high)}"


def _input(name: str, given: Input, typed: str) -> CostInput:
    return CostInput(
        name=name, title=NAMES[name], value=given.value, shown=_shown(name, given.value),
        interval=_range(name, given.low, given.high), source=SOURCES[given.source] if given.value is not None else "",
        note=given.note, typed=typed,
    )  # fmt: skip


def _net(net: Estimate) -> str:
    return usd(net.mean) if net.n == 0 else f"{usd(net.mean)} [{usd(net.low)}, {usd(net.high)}]"


def _payback(table: Roi) -> str:
    """The payback time with its interval, whose end is that of the net saving: it may be never."""
    months, low, high = table.payback_months, table.payback_low, table.payback_high
    if months is None:
        return f"never; at best {_months(low)}" if low is not None else "never"
    if low == high:
        return _months(months)
    rest = f"to {_months(high)}" if high is not None else "on; it may never pay back"
    return f"{_months(months)} [from {_months(low or 0.0)} {rest}]"


def _months(months: float) -> str:
    if months * 30.4 < 1:
        return "less than a day"
    if months < 1:
        return f"{months * 30.4:.0f} days"
    return f"{months:.1f} months" if months < 36 else f"{months / 12:.1f} years"


def _table(found: Account) -> tuple[CostLine, ...]:
    """The table of base against custom."""
    inputs = found.roi.inputs

    def pair(title: str, what: str) -> CostLine:
        sides = [inputs[f"{side}_{what}"] for side in ("base", "custom")]
        cells = [_cell(f"{side}_{what}", i) for side, i in zip(("base", "custom"), sides, strict=True)]
        return CostLine(title=title, cells=tuple(cells), note=_sources(*sides))

    def both(title: str, of: str) -> CostLine:
        sides: list[Side | None] = [found.roi.base, found.roi.custom]
        return CostLine(title=title, cells=tuple(usd(getattr(s, of)) if s else NOTHING for s in sides))

    per = inputs["usd_per_escalation"]
    once, resolution = inputs["customization_usd"], [found.sides.get(side) for side in ("base", "custom")]
    return (
        pair("First-contact resolution", "first_contact"),
        pair("Escalation rate", "escalation"),
        CostLine(title="Cost per escalation", cells=(_cell("usd_per_escalation", per),) * 2, note=_sources(per)),
        pair("Satisfaction", "satisfaction"),
        CostLine(
            title="Cost per accepted resolution", cells=tuple(_resolution(s) for s in resolution),
            note="models and people; a reopened case is never resolved",
        ),
        both("Escalations, per month", "escalations_usd"),
        both("Answers of models, per month", "answers_usd"),
        both("Other costs, per month", "other_usd"),
        both("All of these, per month", "total_usd"),
        CostLine(title="Customization, once", cells=(NOTHING, usd(once.value)), note=once.note),
    )  # fmt: skip


def _cell(name: str, given: Input) -> str:
    interval = _range(name, given.low, given.high)
    return f"{_shown(name, given.value)}{f' [{interval}]' if interval else ''}"


def _sources(*inputs: Input) -> str:
    known = [i for i in inputs if i.value is not None]
    words = list(dict.fromkeys(SOURCES[i.source] for i in known))
    notes = list(dict.fromkeys(i.note for i in known if i.note))
    return "; ".join([" and ".join(words), *notes]) if known else "not known"


def _resolution(side: Figures | None) -> str:
    found = side.usd_per_resolution if side else None
    return NOTHING if found is None else estimated(found)


def estimated(found: Estimate) -> str:
    """Money with its interval."""
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return f"{usd(found.mean)} (too few users for an interval)"
    return f"{usd(found.mean)} [{usd(found.low)}, {usd(found.high)}]"


def _spent(found: Account) -> list[tuple[str, float, str]]:
    spent = found.spent
    return [
        ("Machines, while they answer", spent.busy, f"{spent.answers:,} answers"),
        ("Machines, while they wait", spent.idle, f"of {24 * spent.days:,.1f} hours"),
        ("Models elsewhere", spent.elsewhere, "by tokens or price per answer"),
        *([("Models elsewhere, for shadow answers", spent.shadows, "nobody saw them")] if spent.shadows else []),
        ("People in the inbox", spent.people, f"{spent.person_minutes:,.0f} minutes"),
        ("All", spent.total, f"{spent.resolutions:,} accepted resolutions"),
    ]


def _spending(found: Account) -> tuple[CostLine, ...]:
    each = found.spent.usd_per_resolution
    return (
        *(CostLine(title=title, cells=(usd(value),), note=note) for title, value, note in _spent(found)),
        CostLine(title=EACH, cells=(estimated(each) if each else NOTHING,), note=WITH_IDLE),
    )


def _options(found: Options) -> tuple[CostLine, ...]:
    return tuple(
        CostLine(
            title=o.name, note=o.note,
            cells=(usd(monthly), usd(o.monthly(0, 0)), usd(o.usd_per_conversation), f"{100 * o.escalation:.1f}%"),
        )
        for o, monthly in zip(found.options, found.monthly, strict=True)
    )  # fmt: skip


def _break_even(found: Options) -> tuple[str, ...]:
    lines = []
    for row in found.break_even:
        if row.volume is None:
            lines.append(f"{row.cheaper} never costs less than {row.than}.")
        elif row.volume == 0:
            lines.append(f"{row.cheaper} costs less than {row.than} at every volume.")
        else:
            lines.append(f"{row.cheaper} costs less than {row.than} from {row.volume:,.0f} conversations a month on.")
    return tuple(lines)


def _bars(table: Roi) -> list[Bar]:
    return [
        Bar(NAMES[s.name], _short(s.name, s.at_low), _short(s.name, s.at_high), s.low, s.high) for s in table.swings
    ]


def _short(name: str, value: float) -> str:
    if name in SHARES:
        return f"{100 * value:.1f}%"
    return f"{value:,.0f}" if name == "conversations_per_month" else money(value)


def _plot(found: Options) -> Any:
    def line(n: int) -> Line:
        option = found.options[n]
        return Line(option.name, lambda volume: option.monthly(volume, found.usd_per_escalation))

    crossings = [row.volume for row in found.break_even if row.volume]
    return by_volume([line(n) for n in range(len(found.options))], found.volume, crossings)


# --- files ------------------------------------------------------------------------------------------------------


def costs_file(workspace: Workspace, typed: Mapping[str, str], kind: Literal["html", "xlsx"], traffic: Seen) -> bytes:
    """The costs as one HTML page, or as a workbook whose table follows its inputs by formulas."""
    found = account(workspace, typed, traffic)
    words = in_words(workspace.project.name, found, typed)
    return page(words).encode() if kind == "html" else workbook(words, found)


def page(costs: Costs) -> str:
    """One HTML page without scripts or requests."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    # Every text in the pictures has gone through html.escape.
    pictures = {"dependence": Markup(costs.dependence), "by_volume": Markup(costs.by_volume)}  # noqa: S704
    return environment.get_template("costs.html").render(c=costs, **pictures)


FORMULAS = {
    "Escalations, per month": (
        "=IF(COUNT(conversations_per_month,{side}_escalation,usd_per_escalation)=3,"
        'conversations_per_month*{side}_escalation*usd_per_escalation,"unknown")'
    ),
    "Answers of models, per month": (
        '=IF(COUNT(conversations_per_month)=1,conversations_per_month*{side}_usd_per_conversation,"unknown")'
    ),
    "Other costs, per month": "=N({side}_usd_per_month)",
}
"""By line of the table, with names of cells of the sheet Inputs; what is unknown there is unknown here."""


def workbook(costs: Costs, found: Account) -> bytes:
    """A workbook: inputs as named cells, and a table, net saving, and payback that follow them by formulas."""
    from xlsxwriter import Workbook

    out = io.BytesIO()
    book = Workbook(out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
    kinds = {"bold": {"bold": True}, "usd": {"num_format": "$#,##0.00"}, "share": {"num_format": "0.0%"},
             "small": {"num_format": "$#,##0.00000"}, "count": {"num_format": "#,##0"}}  # fmt: skip
    formats = {name: book.add_format(kind) for name, kind in kinds.items()}
    _inputs_sheet(book, formats, costs)
    _table_sheet(book, formats, found.roi)
    _spending_sheet(book, formats, found)
    _options_sheet(book, formats, costs, found.options)
    book.close()
    return out.getvalue()


def _spending_sheet(book: Any, formats: Mapping[str, Any], found: Account) -> None:
    sheet = book.add_worksheet("Spending")
    sheet.write_row(0, 0, ("Where", "US dollars", "Note", "95% interval from", "to"), formats["bold"])
    rows = _spent(found)
    for n, (title, value, note) in enumerate(rows, 1):
        sheet.write(n, 0, title)
        sheet.write_number(n, 1, value, formats["usd"])
        sheet.write(n, 2, note)
    if each := found.spent.usd_per_resolution:
        sheet.write(len(rows) + 1, 0, EACH)
        sheet.write_number(len(rows) + 1, 1, each.mean, formats["usd"])
        sheet.write(len(rows) + 1, 2, WITH_IDLE)
        for column, end in ((3, each.low), (4, each.high)):
            if math.isfinite(end):
                sheet.write_number(len(rows) + 1, column, end, formats["usd"])
    sheet.set_column(0, 4, 28)


def _options_sheet(book: Any, formats: Mapping[str, Any], costs: Costs, found: Options | None) -> None:
    sheet = book.add_worksheet("Options")
    head = ("Option", "Per month", "Whatever the volume", "Answers, per conversation", "Escalations", "Note")
    sheet.write_row(0, 0, head, formats["bold"])
    options = found.options if found else ()
    for n, option in enumerate(options, 1):
        sheet.write(n, 0, option.name)
        sheet.write_number(n, 1, found.monthly[n - 1] if found else 0, formats["usd"])
        sheet.write_number(n, 2, option.monthly(0, 0), formats["usd"])
        sheet.write_number(n, 3, option.usd_per_conversation, formats["small"])
        sheet.write_number(n, 4, option.escalation, formats["share"])
        sheet.write(n, 5, option.note)
    sheet.write_column(len(options) + 2, 0, costs.break_even)
    sheet.set_column(0, 5, 28)


def _inputs_sheet(book: Any, formats: Mapping[str, Any], costs: Costs) -> None:
    sheet = book.add_worksheet("Inputs")
    sheet.write_row(0, 0, ("Input", "Value", "Interval", "Source", "Note", "Name"), formats["bold"])
    for n, given in enumerate(costs.inputs, 1):
        kind = "share" if given.name in SHARES else "count" if given.name == "conversations_per_month" else "usd"
        sheet.write(n, 0, given.title)
        if given.value is not None:
            sheet.write_number(n, 1, given.value, formats[kind])
        sheet.write_row(n, 2, (given.interval, given.source, given.note, given.name))
        book.define_name(given.name, f"=Inputs!$B${n + 1}")
    sheet.write_column(len(costs.inputs) + 2, 0, costs.notes)
    sheet.set_column(0, 5, 28)


def _table_sheet(book: Any, formats: Mapping[str, Any], table: Roi) -> None:
    sheet = book.add_worksheet("Base against custom")
    sheet.write_row(0, 0, ("US dollars", "Base", "Custom"), formats["bold"])
    sides = {"base": table.base, "custom": table.custom}
    fields = ("escalations_usd", "answers_usd", "other_usd")
    for n, (title, formula) in enumerate(FORMULAS.items(), 1):
        sheet.write(n, 0, title)
        for column, (name, side) in enumerate(sides.items(), 1):
            value = getattr(side, fields[n - 1]) if side else UNKNOWN
            sheet.write_formula(n, column, formula.format(side=name), formats["usd"], value)
    sheet.write(4, 0, "All of these, per month")
    for column, side in enumerate(sides.values(), 1):
        letter = "ABC"[column]
        total = f'=IF(COUNT({letter}2:{letter}4)=3,SUM({letter}2:{letter}4),"unknown")'
        sheet.write_formula(4, column, total, formats["usd"], side.total_usd if side else UNKNOWN)
    net = table.net_usd
    sheet.write(6, 0, "Net saving, per month", formats["bold"])
    sheet.write_formula(6, 1, '=IF(COUNT(B5:C5)=2,B5-C5,"unknown")', formats["usd"], net.mean if net else UNKNOWN)
    if net and net.n:
        sheet.write_row(7, 0, ("95% interval, of the inputs' intervals", net.low, net.high), formats["usd"])
    sheet.write(8, 0, "Payback, months", formats["bold"])
    months = UNKNOWN if net is None else "never" if table.payback_months is None else round(table.payback_months, 4)
    payback = '=IF(COUNT(B7)=1,IF(B7>0,customization_usd/B7,"never"),"unknown")'
    sheet.write_formula(8, 1, payback, None, months)
    sheet.set_column(0, 2, 36)
