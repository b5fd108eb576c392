"""What answers cost and what customization returns: from a project's traffic, its verdict, and what is typed in."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.errors import InputError
from inhouse.monitoring.costs import Case, Figures, Spending, Terms, cases_of, figures, spending
from inhouse.monitoring.roi import MONTH_HOURS, NAMES, Input, Option, Options, Roi, compared, roi, typed_in
from inhouse.serving.releases import Releases, label
from inhouse.store.contacts import Contacts
from inhouse.store.shadows import paid
from inhouse.types import Artifact, Contact, Estimate
from inhouse.verdict import ArmResult, Report

DAYS = 30.0
MONTH_DAYS = 365.25 / 12
FEWEST_CASES = 30  # of a side, to be measured
ASSUMED_VOLUME = 1000.0
IN_USE = 0.3  # share of the time in which a machine answers, on average over a month
SHORT_TOKENS, PROMPT_TOKENS, ANSWER_TOKENS = 200.0, 900.0, 80.0  # of a conversation, before there is a verdict
TUNED_ARMS = ("tuned+rag", "tuned")
CUSTOM_ARMS = (*TUNED_ARMS, "cascade", "rag", "prompt")


@dataclass(frozen=True)
class Account:
    """The costs of a project.

    Attributes:
        days: of traffic that was looked at.
        cases: conversations in it.
        sides: figures of base and custom, where they were measured.
        spent: where the money went.
        roi: base against custom.
        options: the ways to answer, at the project's volume.
        notes: what should be known of the figures.
    """

    days: float
    cases: int
    sides: Mapping[str, Figures]
    spent: Spending
    roi: Roi
    options: Options | None
    notes: tuple[str, ...]


def terms_of(project: Project) -> Terms:
    """Prices and rules of a project."""
    costs = project.costs
    return Terms(
        machine_usd_per_hour=costs.machine_usd_per_hour or project.model.usd_per_hour,
        person_usd_per_hour=costs.person_usd_per_hour, minutes_per_handoff=costs.minutes_per_handoff,
        most_minutes=costs.most_minutes_per_handoff, reopened_days=costs.reopened_days, similar=costs.similar,
    )  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """The traffic of the `days` before `until`, which takes seconds to read where there is much."""

    until: datetime
    days: float
    contacts: Sequence[Contact]
    cases: Sequence[Case]
    shadows_usd: float = 0.0  # paid to others for answers that nobody saw


def seen(workspace: Workspace, days: float = DAYS) -> Seen:
    """The traffic of the last days."""
    now = datetime.now(UTC)
    with workspace.ledger() as ledger:
        since = (now - timedelta(days=days)).isoformat()
        contacts, shadows = Contacts(ledger).rows(since), paid(ledger, since)
    first_ms = contacts[0].at_ms if contacts else 0.0
    days = max(min(days, now.timestamp() / 86_400 - first_ms / 86_400_000), 1 / 24) if contacts else days
    return Seen(now, days, contacts, cases_of(contacts, terms_of(workspace.project)), shadows)


def account(workspace: Workspace, typed: Mapping[str, str], traffic: Seen) -> Account:
    """The costs of traffic, and what customization returns.

    Args:
        workspace: the project.
        typed: inputs that take the place of others, by name, as people write them.
        traffic: what to look at.

    Raises:
        InputError: an input is unknown or has no meaning.
    """
    given = typed_in(typed)
    contacts, cases, days = traffic.contacts, traffic.cases, traffic.days
    until_ms = round(traffic.until.timestamp() * 1000)
    terms, verdict = terms_of(workspace.project), _verdict(workspace)
    sides = _sides(workspace, cases, terms, until_ms)
    inputs = {
        **{name: Input(value=None) for name in NAMES},
        **_from_verdict(verdict),
        **_measured(sides),
        **_shared(workspace, cases, terms, until_ms, days),
        **{name: Input(value=value, source="typed in") for name, value in given.items()},
    }
    table = roi(inputs)
    return Account(
        days=days, cases=len(cases), sides=sides, roi=table, options=_options(workspace.project, verdict, table),
        spent=spending(cases, terms, days, _elsewhere(workspace, contacts), traffic.shadows_usd),
        notes=_notes(sides, table, contacts),
    )  # fmt: skip


# --- where inputs come from -------------------------------------------------------------------------------------


def _production(workspace: Workspace) -> str:
    try:
        return label(Releases(workspace).get("production"))
    except InputError:
        return ""


def _sides(workspace: Workspace, cases: Sequence[Case], terms: Terms, until_ms: int) -> dict[str, Figures]:
    """Base and custom as a live experiment shows them, or custom alone; a side with few cases is not measured."""
    production, upstreams = _production(workspace), {table.name for table in workspace.project.upstream}
    split = [c for c in cases if c.split]
    base = [c for c in split if c.arm == "base"]
    tried = split if len(base) >= FEWEST_CASES else cases
    own = [c for c in tried if c.arm != "base" and c.arm not in upstreams]
    custom = [c for c in own if c.arm == production] or own
    found = {"base": base, "custom": custom}
    return {name: figures(rows, terms, until_ms) for name, rows in found.items() if len(rows) >= FEWEST_CASES}


def _measured(sides: Mapping[str, Figures]) -> dict[str, Input]:
    found = {}
    for name, side in sides.items():
        young = "some may still be reopened" if side.provisional else ""
        found[f"{name}_first_contact"] = Input.of(side.first_contact, note=young)
        found[f"{name}_escalation"] = Input.of(side.escalation)
        found[f"{name}_usd_per_conversation"] = Input.of(side.usd_per_case)
        if side.satisfaction is not None:
            found[f"{name}_satisfaction"] = Input.of(side.satisfaction, note="of those who voted")
    return {name: i for name, i in found.items() if i.value is not None}


def _from_verdict(verdict: Report | None) -> dict[str, Input]:
    """Before there is traffic: what is not answered, and what is answered wrong, is assumed to go to people."""
    if verdict is None:
        return {}
    custom = next((arm for arm in _preferred(verdict) if arm in verdict.arms), None)
    found: dict[str, Input] = {}
    for name, arm in (("base", "base"), ("custom", custom)):
        if arm is None or arm not in verdict.arms:
            continue
        row, note = verdict.arms[arm], f"arm {arm}"
        helped = _helped(row)
        if helped is not None:
            out = Estimate(mean=1 - helped.mean, low=1 - helped.high, high=1 - helped.low, n=helped.n)
            found[f"{name}_first_contact"] = Input.of(helped, "verdict", note)
            found[f"{name}_escalation"] = Input.of(out, "verdict", note)
        found[f"{name}_usd_per_conversation"] = Input(
            value=row.usd_per_1000 / 1000, source="verdict", note=f"arm {arm}"
        )
    return found


def _preferred(verdict: Report) -> tuple[str, ...]:
    recommended = verdict.recommendation.arm if verdict.recommendation else ""
    return (recommended, *CUSTOM_ARMS) if recommended not in ("", "base") else CUSTOM_ARMS


def _helped(row: ArmResult) -> Estimate | None:
    """The share of questions that were answered, and not wrong."""
    answered, wrong = row.metrics.get("answered"), row.metrics.get("wrong")
    if answered is None or wrong is None:
        return None
    mean = max(0.0, answered.mean - wrong.mean)
    down = math.hypot(answered.mean - answered.low, wrong.high - wrong.mean)
    up = math.hypot(answered.high - answered.mean, wrong.mean - wrong.low)
    if mean in (0.0, 1.0):  # rule of three
        down, up = 3 / answered.n, 3 / answered.n
    return Estimate(mean=mean, low=max(0.0, mean - down), high=min(1.0, mean + up), n=answered.n)


def _shared(workspace: Workspace, cases: Sequence[Case], terms: Terms, until_ms: int, days: float) -> dict[str, Input]:
    """What both sides have in common: volume, price of an escalation, and what customization costs."""
    costs, everyone = workspace.project.costs, figures(cases, terms, until_ms)
    if costs.conversations_per_month:
        volume = Input(value=costs.conversations_per_month, note="costs.conversations_per_month")
    elif len(cases) >= FEWEST_CASES:
        note = f"{len(cases)} conversations in {days:.1f} days"
        volume = Input(value=len(cases) / days * MONTH_DAYS, source="measured", note=note)
    else:
        volume = Input(value=ASSUMED_VOLUME, note="too little traffic; set costs.conversations_per_month")
    per_escalation = Input.of(everyone.usd_per_escalation)
    if per_escalation.low is None:
        usd = terms.minutes_per_handoff / 60 * terms.person_usd_per_hour
        per_escalation = Input(value=usd, note="costs.minutes_per_handoff at costs.person_usd_per_hour")
    return {
        "conversations_per_month": volume, "usd_per_escalation": per_escalation,
        "custom_usd_per_month": Input(value=costs.custom_usd_per_month, note="costs.custom_usd_per_month"),
        "base_usd_per_month": Input(value=0.0),
        "customization_usd": _customization(workspace, terms),
    }  # fmt: skip


def _customization(workspace: Workspace, terms: Terms) -> Input:
    """What was paid once: the machine's time of everything that was built, labels, and what the project file says."""
    from inhouse.datasets.review import FILE, Reviews
    from inhouse.store.inbox import Inbox
    from inhouse.store.ratings import Ratings

    hours = sum(made.seconds for made in workspace.store.all()) / 3600
    with workspace.ledger() as ledger:
        reviewed, rated = len(Reviews(workspace.store.root / FILE).all()), len(Ratings(ledger).all())
        labels = len(Inbox(ledger).approved()) + reviewed + rated
    costs = workspace.project.costs
    people = labels * costs.minutes_per_label / 60 * terms.person_usd_per_hour
    usd = hours * terms.machine_usd_per_hour + people + costs.customization_usd
    note = f"{hours:.1f} machine hours, {labels} labels, and costs.customization_usd"
    return Input(value=usd, source="measured" if not costs.customization_usd else "assumed", note=note)


def _verdict(workspace: Workspace) -> Report | None:
    made: Artifact | None
    try:
        release = Releases(workspace).get("production")
        made = workspace.store.open("report", release.report)
    except InputError:
        made = workspace.store.latest("report")
    return Report.read(Path(made.path)) if made else None


def _elsewhere(workspace: Workspace, contacts: Sequence[Contact]) -> float:
    upstreams = {table.name for table in workspace.project.upstream}
    return sum(c.cost_usd if c.arm in upstreams else c.elsewhere_usd for c in contacts)


# --- the four options -------------------------------------------------------------------------------------------


def _options(project: Project, verdict: Report | None, table: Roi) -> Options | None:
    """None where the inputs that all of them need are missing."""
    values = {name: i.value for name, i in table.inputs.items()}
    volume, price = values["conversations_per_month"], values["usd_per_escalation"]
    if table.missing or volume is None or price is None:
        return None
    costs, machine = project.costs, terms_of(project).machine_usd_per_hour * MONTH_HOURS
    best, plain, custom = (values[n] or 0.0 for n in ("custom_escalation", "base_escalation", "custom_usd_per_month"))
    before_launch = table.inputs["custom_escalation"].source == "verdict"

    def option(
        name: str, arms: Sequence[str], prompt: float, usual: float, times: float = 1.0, **more: float
    ) -> Option:
        """With the tokens of the first arm that the verdict has, and its escalations if they are from the verdict."""
        arm = next((a for a in arms if verdict and a in verdict.arms), "")
        row = verdict.arms[arm] if verdict and arm else None
        helped = _helped(row) if row and before_launch and arm != "base" else None
        tokens = (row.prompt_tokens, row.answer_tokens) if row else (prompt, ANSWER_TOKENS)
        usd = tokens[0] * costs.api_usd_per_million_prompt + tokens[1] * costs.api_usd_per_million_answer
        note = f"arm {arm} of the verdict" if arm else f"{prompt:.0f} tokens of prompt are assumed: not in a verdict"
        note += "; escalations as custom" if helped is None and name != "Base API" else ""
        return Option(
            name=name, usd_per_conversation=times * usd / 1e6, note=note,
            escalation=usual if helped is None else 1 - helped.mean, **more,
        )  # fmt: skip

    own = option("Self-hosted", _preferred(verdict) if verdict else (), PROMPT_TOKENS, best, 0.0, usd_per_month=custom)
    row = next((verdict.arms[a] for a in _preferred(verdict) if a in verdict.arms), None) if verdict else None
    options = (
        option("Base API", ("base",), SHORT_TOKENS, plain),
        option("RAG + prompt", ("rag", "prompt"), PROMPT_TOKENS, best),
        option("RAG + tuning", TUNED_ARMS, PROMPT_TOKENS, best, costs.tuned_api_price, usd_per_month=custom),
        own.model_copy(update={
            "machine_usd_per_month": machine, "machine_conversations": _capacity(project, row),
            "note": f"{own.note}; ${machine:,.0f} a month for each machine, which answers {IN_USE:.0%} of the time",
        }),
    )  # fmt: skip
    return compared(options, volume, price)


def _capacity(project: Project, row: ArmResult | None) -> float:
    """Conversations that one machine answers in a month."""
    seconds = row.latency_ms.p50 / 1000 if row and row.latency_ms.p50 else 2.0
    return IN_USE * MONTH_HOURS * 3600 * project.model.parallel / seconds


def _notes(sides: Mapping[str, Figures], table: Roi, contacts: Sequence[Contact]) -> tuple[str, ...]:
    notes = []
    base = table.inputs["base_escalation"]
    if base.source == "verdict":
        notes.append("Base is not measured in live traffic; its figures are from the verdict. Of its questions those "
                     "that were handed off or answered wrong are assumed to go to people. "
                     "`inhouse experiment start` measures both sides on the same traffic.")  # fmt: skip
    elif base.value is None:
        notes.append("Nothing is known of base yet. `inhouse build` measures it on held-out questions, and "
                     "`inhouse experiment start` on live traffic.")  # fmt: skip
    if custom := sides.get("custom"):
        if custom.named < 0.5:
            notes.append(f"Only {custom.named:.0%} of the conversations name their user, so most who come back "
                         "cannot be seen. Send `user` with each request.")  # fmt: skip
        if custom.confirmed < 0.2:
            notes.append(f"{custom.confirmed:.0%} of the accepted answers are confirmed by feedback. The others count "
                         "because nobody objected, took over, or came back.")  # fmt: skip
    if not contacts:
        notes.append("There is no traffic yet.")
    return tuple(notes)
