"""What goes from a device to the house: its audit log with hand-offs and feedback; and replies, which come back.

The only state is the head that the house has: it says which entries come next. A batch that was sent twice, or whose
answer was lost, is there once. Hand-offs and feedback go with the entries that record them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import sqlalchemy as sa

from inhouse.errors import BackendError, ConfigError, GateError, InputError
from inhouse.store.actions import Actor, acting
from inhouse.store.chain import START
from inhouse.store.edges import MOST_ENTRIES, SHOWN, Answered, Batch, Head
from inhouse.store.feedback import Feedback, Opinion
from inhouse.store.inbox import Handoff, Inbox
from inhouse.store.ledger import Ledger
from inhouse.store.tables import AUDIT, to_text
from inhouse.types import Json, Record

TIMEOUT_S = 30
MOST_BYTES = 400_000  # of a batch: below gateway.max_body_kb of the house


class Sent(Record):
    """What went to the house and came back, as counts. `too_large` are exchanges whose texts stayed here."""

    entries: int = 0
    handoffs: int = 0
    feedback: int = 0
    replies: int = 0
    too_large: int = 0


class House:
    """The server that devices report to.

    Raises:
        ConfigError: there is no key for it.
    """

    def __init__(self, url: str, key: str) -> None:
        if not key:
            hint = "`inhouse keys create NAME --role device` on the house makes one; put it into that variable"
            raise ConfigError("edge.key_env: the environment variable is not set", hint)
        self._url = url.rstrip("/") + "/v1/edge"
        self._client = httpx.Client(headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def head(self) -> Head:
        return Head(**self._said("GET", "/head"))

    def records(self, batch: Batch) -> Head:
        return Head(**self._said("POST", "/records", batch.model_dump(mode="json")))

    def replies(self, ids: list[str]) -> list[Answered]:
        return [Answered(**row) for row in self._said("POST", "/replies", {"ids": ids})["data"]]

    def _said(self, method: str, path: str, body: Json = None) -> Any:
        content = to_text(body).encode() if body is not None else None
        try:
            answer = self._client.request(method, self._url + path, content=content)
            said = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            hint = "nothing is lost: the next sync continues; is the device online?"
            raise BackendError(f"{self._url}: {type(error).__name__}", hint) from error
        if answer.is_success:
            return said
        message = f"{self._url}: {said.get('error', {}).get('message', answer.status_code)}"
        if answer.status_code == 409:
            raise GateError(message)
        if answer.status_code in (401, 403):
            raise ConfigError(message, "edge.key_env names the variable with a key of the role device")
        if answer.status_code in (400, 404, 413):
            raise InputError(message, "install the same version of inhouse on both machines")
        raise BackendError(message, "nothing is lost: the next sync continues")


def send(ledger: Ledger, house: House) -> Sent:
    """Sends everything that the house does not have, and takes over the replies to hand-offs that wait.

    Raises:
        ConfigError: the house does not accept the key.
        GateError: the house has other entries than this log: it was rewritten, or put back to an earlier state.
        BackendError: the house cannot be reached; what was sent is there, and the next call continues.
    """
    counts, head = Sent(), house.head()
    own = _hash(ledger, head.seq)
    if own != head.hash:
        house.records(Batch(after=Head(seq=head.seq, hash=own)))  # which it refuses and records
        raise GateError("the house has another log of this device", "was the folder copied, or its log put back?")
    for batch, too_large in _batches(ledger, head):
        house.records(batch)
        counts = Sent(
            entries=counts.entries + len(batch.entries), handoffs=counts.handoffs + len(batch.handoffs),
            feedback=counts.feedback + len(batch.feedback), too_large=counts.too_large + too_large,
        )  # fmt: skip
    return counts.model_copy(update={"replies": _answers(ledger, house)})


def _hash(ledger: Ledger, seq: int) -> str:
    with ledger.read() as connection:
        return connection.execute(sa.select(AUDIT.c.hash).where(AUDIT.c.seq == seq)).scalar() or START


def _batches(ledger: Ledger, head: Head) -> Iterator[tuple[Batch, int]]:
    """The entries after a head in batches of about MOST_BYTES, and in how many of them the texts were left out."""
    while rows := _rows(ledger, head.seq):
        entries: list[dict[str, Json]] = []
        handoffs, feedback = _recorded(ledger, rows)
        taken: dict[str, set[str]] = {"handoffs": set(), "feedback": set()}
        size, too_large = 0, 0
        for row in rows:
            sent, large = _sent(row)
            more = {row["id"], row["about"]}  # a hand-off goes with its exchange, and with the action that records it
            size += sum(len(to_text(value).encode()) for value in (
                sent, [handoffs[id].model_dump() for id in more & handoffs.keys() - taken["handoffs"]],
                [o.model_dump() for id in more & feedback.keys() - taken["feedback"] for o in feedback[id]],
            ))  # fmt: skip
            if entries and size > MOST_BYTES:
                break
            entries.append(sent)
            taken["handoffs"] |= more & handoffs.keys()
            taken["feedback"] |= more & feedback.keys()
            too_large += large
        yield Batch(
            after=head, entries=tuple(entries), handoffs=tuple(handoffs[id] for id in sorted(taken["handoffs"])),
            feedback=tuple(o for id in sorted(taken["feedback"]) for o in feedback[id]),
        ), too_large  # fmt: skip
        head = Head(seq=entries[-1]["seq"], hash=entries[-1]["hash"])


def _rows(ledger: Ledger, after: int) -> list[dict[str, Json]]:
    query = sa.select(AUDIT).where(AUDIT.c.seq > after).order_by(AUDIT.c.seq).limit(MOST_ENTRIES)
    with ledger.read() as connection:
        return [dict(row) for row in connection.execute(query).mappings()]


def _recorded(
    ledger: Ledger, rows: Sequence[Mapping[str, Json]]
) -> tuple[dict[str, Handoff], dict[str, list[Opinion]]]:
    """The hand-offs and the feedback that entries are about, by exchange."""
    opinions = Feedback(ledger)
    exchanges = [row["id"] for row in rows if row["kind"] == "exchange"]
    handed = [row["about"] for row in rows if row["reason"] == "handed off"]
    judged = {row["about"] for row in rows if row["reason"] == "feedback"}
    handoffs = {handoff.exchange_id: handoff for handoff in Inbox(ledger).about([*exchanges, *handed])}
    return handoffs, {id: opinions.for_exchange(id) for id in judged}


def _sent(row: Mapping[str, Json]) -> tuple[dict[str, Json], bool]:
    """An entry with its content where the house keeps it, and whether it is too large for that."""
    large = row["kind"] in SHOWN and len(row["content"].encode()) > MOST_BYTES
    if large or row["kind"] not in SHOWN:
        return {**row, "content": "", "salt": "", "user": ""}, large
    return dict(row), False


def _answers(ledger: Ledger, house: House) -> int:
    """Takes over what people at the house replied; returns how many hand-offs that settled."""
    inbox, count = Inbox(ledger), 0
    ids = [handoff.id for handoff in inbox.all("waiting")]
    for start in range(0, len(ids), MOST_ENTRIES):
        for said in house.replies(ids[start : start + MOST_ENTRIES]):
            with acting(Actor(id="house", name=said.by or "house", at="house")):
                if said.status in ("answered", "approved"):
                    inbox.answer(said.id, said.reply, said.by)
                elif said.status == "rejected":
                    inbox.reject(said.id, said.by)
            count += said.status in ("answered", "approved", "rejected")
    return count
