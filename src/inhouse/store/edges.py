"""What devices send back: entries of their audit logs, with the hand-offs and the feedback that these are about.

A device is known by the name of its API key. Its entries are links of its own chain. They are checked here against the
head that was kept, so a device whose log was rewritten, cut, or put back to an earlier state is found. Exchanges become
exchanges of this log, so inbox, feedback, search, and redaction work on them as on others; their `key` is
"edge:NAME". What left a device becomes an entry of what left, with that key. Of everything else there is a line in the
action that records a batch, which also has the new head. A batch is one transaction, so it is here whole or not at all,
and it is taken once however often it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from pydantic import Field, ValidationError
from sqlalchemy.engine import Connection

from inhouse.chat import Egress, Exchange
from inhouse.errors import GateError, InputError
from inhouse.store.actions import record, states
from inhouse.store.audit import Audit
from inhouse.store.chain import START, append, entry_of, fault, head_of
from inhouse.store.egress import KIND as EGRESS
from inhouse.store.egress import egress_of
from inhouse.store.erasure import REDACTED
from inhouse.store.feedback import Opinion
from inhouse.store.inbox import Handoff, Status, insert
from inhouse.store.ledger import Ledger
from inhouse.store.tables import ABOUT, AUDIT, FEEDBACK, HANDOFFS, to_ms
from inhouse.types import Digest, Json, Record

RECEIVED, REFUSED = "edge log received", "edge log refused"
SHOWN = ("exchange", "action", "redaction", EGRESS)  # kinds of entries that are sent with their content
MOST_ENTRIES = 500  # in a batch


class Head(Record):
    """The last entry of a device's log that is here."""

    seq: int = 0
    hash: Digest = START


class Batch(Record):
    """The next entries of a device's log, after the head that it believes is here.

    `entries` are rows of its audit table; those of kinds not in SHOWN, and those that were redacted, have no content.
    """

    after: Head
    entries: tuple[dict[str, Json], ...] = Field((), max_length=MOST_ENTRIES)
    handoffs: tuple[Handoff, ...] = Field((), max_length=MOST_ENTRIES)
    feedback: tuple[Opinion, ...] = Field((), max_length=10 * MOST_ENTRIES)


class Answered(Record):
    """A hand-off of a device as it is here."""

    id: str
    status: Status | Literal["unknown"]
    reply: str = ""
    by: str = ""


def key_of(edge: str) -> str:
    """What stands for the API key in exchanges of a device."""
    return f"edge:{edge}"


class Edges:
    """What devices sent, in a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def head(self, edge: str) -> Head:
        """How far the log of a device is here."""
        with self._ledger.read() as connection:
            return _head(connection, edge)

    def receive(self, edge: str, batch: Batch) -> Head:
        """Stores a batch, and returns the new head; one that is here already changes nothing.

        What was redacted on the device is redacted here first, so that a crash in between is repaired by sending again.

        Raises:
            GateError: the entries do not continue the log that is here, which is recorded.
            InputError: an entry cannot be read.
        """
        self._redact(edge, batch)
        try:
            with self._ledger.write() as connection:
                head_of(connection)  # nobody else writes until the end
                here = _head(connection, edge)
                if batch.after != here and _was_head(connection, edge, batch.after):
                    return here
                wrong = _wrong(here, batch)
                if wrong:
                    raise GateError(f"the log of {edge} does not continue the one that is here: {wrong}")
                return _stored(self._ledger, connection, edge, batch) if batch.entries else here
        except GateError as error:
            facts = {"edge": edge, "problem": str(error), "head": f"{batch.after.seq}:{batch.after.hash}"}
            Audit(self._ledger).act(REFUSED, key_of(edge), facts)
            hint = "it was rewritten or put back; look at the device, and give it a new key under a new name"
            raise GateError(str(error), hint) from error

    def _redact(self, edge: str, batch: Batch) -> None:
        audit = Audit(self._ledger)
        for row in batch.entries:
            content = _content(row) if row.get("kind") == "redaction" else {}
            exchange = audit.get(str(content.get("exchange", "")))
            if exchange and exchange.key == key_of(edge) and exchange.answer != REDACTED:
                audit.redact(exchange.id, f"{content.get('by', '')} on {edge}", str(content.get("why", "")))

    def answered(self, edge: str, ids: Sequence[str]) -> list[Answered]:
        """Hand-offs of a device as they are here, in the order of their IDs in `ids`."""
        query = (
            sa.select(HANDOFFS.c.id, HANDOFFS.c.content)
            .join(AUDIT, AUDIT.c.id == HANDOFFS.c.exchange_id)
            .where(HANDOFFS.c.id.in_(ids), AUDIT.c.key == key_of(edge))
        )
        with self._ledger.read() as connection:
            found = {row.id: row.content for row in connection.execute(query)}
        rows = ((id, found.get(id, {})) for id in ids)
        return [
            Answered(id=id, status=row.get("status", "unknown"), reply=row.get("reply", ""), by=row.get("by", ""))
            for id, row in rows
        ]


def _batches(edge: str) -> sa.Select[Any]:
    """The contents of the actions that recorded batches of a device, newest first."""
    own = (AUDIT.c.about == key_of(edge)) & ABOUT & (AUDIT.c.kind == "action") & (AUDIT.c.reason == RECEIVED)
    return sa.select(AUDIT.c.content).where(own).order_by(AUDIT.c.seq.desc())


def _head(connection: Connection, edge: str) -> Head:
    content = connection.execute(_batches(edge).limit(1)).scalar()
    return Head(**json.loads(content)["facts"]["head"]) if content else Head()


def _was_head(connection: Connection, edge: str, head: Head) -> bool:
    """Whether a batch that is here began after that head: it is sent again."""
    if head == Head():
        return True
    text = f'"hash":"{head.hash}","seq":{head.seq}}}'
    return connection.execute(_batches(edge).where(AUDIT.c.content.contains(text, autoescape=True))).first() is not None


def _wrong(here: Head, batch: Batch) -> str:
    """Why a batch does not continue the chain, "" if it does."""
    if batch.after != here:
        return f"its entry {batch.after.seq} is not the one that is here, and {here.seq} are here"
    seq, before = here.seq, here.hash
    for row in batch.entries:
        seq += 1
        if why := fault(row, seq, before):
            return f"entry {seq}: {why}"
        before = row["hash"]
    return ""


def _stored(ledger: Ledger, connection: Connection, edge: str, batch: Batch) -> Head:
    last = batch.entries[-1]
    head = Head(seq=last["seq"], hash=last["hash"])
    exchanges = [_exchange(edge, row) for row in batch.entries if row["kind"] == "exchange" and row["content"]]
    ids = [e.id for e in exchanges]
    known = set(connection.execute(sa.select(AUDIT.c.id).where(AUDIT.c.id.in_(ids))).scalars())
    new = [entry_of(e) for e in exchanges if e.id not in known]
    left = [_egress(edge, row) for row in batch.entries if row["kind"] == EGRESS and row["content"]]
    if new or left:
        append(connection, head_of(connection), [*new, *left])
    about = {*(h.exchange_id for h in batch.handoffs), *(o.exchange_id for o in batch.feedback)}
    own = set(connection.execute(
        sa.select(AUDIT.c.id).where(AUDIT.c.id.in_(about), AUDIT.c.key == key_of(edge), AUDIT.c.kind == "exchange")
    ).scalars())  # fmt: skip
    handed = [h.id for h in batch.handoffs if h.exchange_id in own and insert(ledger, connection, h)]
    opinions = [o for o in batch.feedback if o.exchange_id in own]
    for opinion in opinions:
        _keep(ledger, connection, opinion)
    facts = {
        "edge": edge, "head": head.model_dump(), "entries": len(batch.entries), "exchanges": len(new),
        "known": len(known), "egress": len(left), "handoffs": len(handed), "feedback": len(opinions),
        "not_its_own": sorted(about - own),
        "actions": [_line(row) for row in batch.entries if row["kind"] == "action"],
    }  # fmt: skip
    changed = states(connection, FEEDBACK, FEEDBACK.c.exchange_id.in_([o.exchange_id for o in opinions]))
    record(connection, head_of(connection), RECEIVED, key_of(edge), facts, changed)
    return head


def _exchange(edge: str, row: Mapping[str, Json]) -> Exchange:
    content = {k: v for k, v in json.loads(row["content"]).items() if k != "about"}
    try:
        exchange = Exchange(**content)
    except (ValidationError, TypeError) as error:
        hint = "install the same version of inhouse here and on the device"
        raise InputError(f"entry {row['seq']} of {edge} is not an exchange of this version", hint) from error
    return exchange.model_copy(update={"key": key_of(edge), "experiment": ""})


def _egress(edge: str, row: Mapping[str, Json]) -> dict[str, Any]:
    """What left a device, as an entry here with the time that it has there."""
    content = {k: v for k, v in json.loads(row["content"]).items() if k not in ("about", "user")}
    try:
        return egress_of(Egress(**content), key_of(edge)) | {"at_ms": row["at_ms"]}
    except (ValidationError, TypeError) as error:
        hint = "install the same version of inhouse here and on the device"
        raise InputError(f"entry {row['seq']} of {edge} is not of what left in this version", hint) from error


def _content(row: Mapping[str, Json]) -> dict[str, Json]:
    """What an entry holds, {} if it was redacted or is not one."""
    try:
        content = json.loads(row.get("content") or "{}")
    except (TypeError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _line(row: Mapping[str, Json]) -> Json:
    """An action on a device, in short; its user is checked to be whoever acted."""
    return {"seq": row["seq"], "what": row["reason"], "by": row["user"], "about": row["about"]}


def _keep(ledger: Ledger, connection: Connection, opinion: Opinion) -> None:
    values = {"at_ms": to_ms(opinion.at), "thumb": opinion.thumb, "comment": opinion.comment,
              "resolved": opinion.resolved}  # fmt: skip
    made = ledger.insert(FEEDBACK).values(exchange_id=opinion.exchange_id, user=opinion.user, **values)
    keys = [FEEDBACK.c.exchange_id, FEEDBACK.c.user]
    connection.execute(made.on_conflict_do_update(index_elements=keys, set_=values))
