"""What a redaction erases beside the audit log: hand-offs, feedback, and what agents remember and did.

What is said in an exchange is remembered in the turns that follow, and is in the arguments of their calls. So a
redaction erases the turn of the exchange and those after it: turns are deleted, and of calls only the tool, the status,
and the times are left.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from inhouse.errors import InputError
from inhouse.store.actions import State, gone, states
from inhouse.store.tables import ABOUT, AUDIT, CALLS, FEEDBACK, HANDOFFS, RATINGS, TURNS
from inhouse.tools import ENDED

REDACTED = "[redacted]"
OPEN = ("started", "unknown")


def erase_copies(connection: Connection, id: str) -> tuple[list[int], list[State]]:
    """Erases texts and users from what there is about an exchange. The hand-off becomes rejected, so it is not used for
    training.

    Returns:
        The numbers of the entries whose content is to be erased too, and the states of the rows.

    Raises:
        InputError: a call of it is running, or waits for a person.
    """
    for row in connection.execute(sa.select(HANDOFFS).where(HANDOFFS.c.exchange_id == id)).mappings().all():
        erased = {"messages": [], "answer": REDACTED, "reply": "", "status": "rejected", "reason": REDACTED}
        content = {**row["content"], **erased}
        changed = HANDOFFS.update().where(HANDOFFS.c.id == row["id"]).values(status="rejected", content=content)
        connection.execute(changed)
    query = sa.select(FEEDBACK.c.user).where(FEEDBACK.c.exchange_id == id).order_by(FEEDBACK.c.user)
    for n, user in enumerate(connection.execute(query).scalars().all(), 1):
        one = (FEEDBACK.c.exchange_id == id) & (FEEDBACK.c.user == user)
        connection.execute(FEEDBACK.update().where(one).values(user=f"{REDACTED} {n}", comment=""))
    connection.execute(RATINGS.update().where(RATINGS.c.exchange_id == id).values(comment=""))
    seqs = list(entries_about(connection, [id]))
    left = [*states(connection, HANDOFFS, HANDOFFS.c.exchange_id == id),
            *states(connection, FEEDBACK, FEEDBACK.c.exchange_id == id),
            *states(connection, RATINGS, RATINGS.c.exchange_id == id)]  # fmt: skip
    turns = sa.select(TURNS.c.conversation, TURNS.c.number).where(TURNS.c.exchange_id == id)
    for conversation, number in connection.execute(turns.order_by(TURNS.c.number)).all():
        more, changes = erase_turns(connection, conversation, number)
        seqs, left = seqs + more, left + changes
    return sorted(set(seqs)), left


def erase_turns(connection: Connection, conversation: str, number: int = 0) -> tuple[list[int], list[State]]:
    """Erases the turns of a conversation from a number on, and their calls; returns and raises as `erase_copies`."""
    calls = sa.select(CALLS).where(CALLS.c.conversation == conversation, CALLS.c.turn >= number)
    rows = connection.execute(calls.order_by(CALLS.c.key)).mappings().all()
    if waiting := [row["content"]["proposal"]["tool"] for row in rows if row["status"] in OPEN]:
        hint = "say in the inbox what became of it, then redact again"
        raise InputError(f"{conversation[:80]}: whether the call of {waiting[0]} happened is not known yet", hint)
    for row in rows:
        connection.execute(CALLS.update().where(CALLS.c.key == row["key"]).values(**_left_of(row)))
    keys = [row["key"] for row in rows]
    here = (TURNS.c.conversation == conversation, TURNS.c.number >= number)
    ids = connection.execute(sa.select(TURNS.c.id).where(*here)).scalars().all()
    connection.execute(TURNS.delete().where(TURNS.c.id.in_(ids)))
    left = states(connection, CALLS, CALLS.c.key.in_(keys)) + [gone(TURNS, id) for id in ids]
    return list(entries_about(connection, [*keys, *ids])), left


def entries_about(connection: Connection, names: Sequence[str]) -> Sequence[int]:
    """The numbers of the entries about these exchanges, calls, or turns, but those that are erased."""
    kinds = (AUDIT.c.kind.in_(("action", "turn")), AUDIT.c.content != "")
    query = sa.select(AUDIT.c.seq).where(AUDIT.c.about.in_(names), ABOUT, *kinds).order_by(AUDIT.c.seq)
    return connection.execute(query).scalars().all()


def _left_of(row: sa.RowMapping) -> dict[str, object]:
    """What is left of a call. Its place in the conversation becomes free, since a turn may have that number again."""
    status = row["status"] if row["status"] in ENDED else "declined"
    old = row["content"]
    proposal = {**old["proposal"], "conversation": REDACTED, "arguments": {}}
    content = {"proposal": proposal, "tool_digest": old["tool_digest"], "ended_ms": old["ended_ms"]}
    return {"conversation": f"{REDACTED} {row['key']}", "status": status, "content": content}
