"""What people said of answers: corrections in the inbox, thumbs, and files of preferences.

Left out are redacted exchanges, exchanges of members of a group (a model cannot keep from anybody what it has learned),
requests that asked not to be stored, and answers that no model of the project gave by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inhouse.assembly.approved import may_store
from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.datasets.importers.files import entries_of, records
from inhouse.datasets.shapes import conversation_of, wanted
from inhouse.datasets.turns import ShapeError
from inhouse.errors import InputError
from inhouse.types import Example, Json, Message, Record


class Opinion(Record):
    """What a person said of answers to a conversation: the wanted and the unwanted one, or one of them alone."""

    id: str
    source: str  # "corrections", "thumbs" or "preferences"
    messages: tuple[Message, ...]
    chosen: str = ""
    rejected: str = ""

    @property
    def example(self) -> Example:
        """The question with the wanted answer, or with the unwanted one where there is no other."""
        target = self.chosen or self.rejected
        return Example(id=self.id, messages=self.messages, target=target, group=self.id, origin="feedback")


def opinions(workspace: Workspace) -> tuple[list[Opinion], Counter[str]]:
    """What is learned from, and how much is left out, by reason.

    Raises:
        InputError: a file of preferences cannot be read, or does not say whether an answer was wanted.
    """
    settings, left_out = workspace.project.feedback, Counter[str]()
    found: list[Opinion] = []
    if workspace.was_served():
        found += _of_ledger(workspace, left_out)
    files = [workspace.project.path(name) for name in settings.preferences if "preferences" in settings.use]
    found += _of_files(files, left_out)
    return [o for o in found if o.source in settings.use], left_out


def _of_ledger(workspace: Workspace, left_out: Counter[str]) -> list[Opinion]:
    from inhouse.store.audit import Audit
    from inhouse.store.erasure import REDACTED
    from inhouse.store.feedback import Feedback
    from inhouse.store.inbox import Inbox

    declines = workspace.support.declines
    found: list[Opinion] = []
    with workspace.ledger() as ledger:
        approved, rated, audit = Inbox(ledger).approved(), Feedback(ledger).rated(), Audit(ledger)
        corrected = {h.exchange_id for h in approved}
        for handoff in approved:
            exchange = audit.get(handoff.exchange_id)
            if why := _barred(handoff.groups, exchange.parameters if exchange else {}):
                left_out[why] += 1
                continue
            wrong = "" if not handoff.answer.strip() or declines(handoff.answer) else handoff.answer
            found.append(_opinion(handoff.id, "corrections", handoff.messages, handoff.reply, wrong))
        for id, thumbs in rated:
            exchange = audit.get(id) if id not in corrected else None
            if exchange is None or exchange.answer == REDACTED:
                continue
            if why := _barred(exchange.groups, exchange.parameters) or _unfit(exchange, declines):
                left_out[why] += 1
                continue
            sides = (exchange.answer, "") if thumbs > 0 else ("", exchange.answer)
            found.append(_opinion(id, "thumbs", exchange.messages, *sides))
        audit.close()
    return found


def _barred(groups: Any, parameters: Mapping[str, Json]) -> str:
    if groups:
        return "of members of a group"
    return "" if may_store(parameters) else "of requests that asked not to be stored"


def _unfit(exchange: Exchange, declines: Callable[[str], bool]) -> str:
    if exchange.reason != "stop" or not exchange.answer.strip():
        return "of answers that were cut off, blocked, or failed"
    if exchange.reused or exchange.steps:
        return "of approved replies that answered again, and of agents"
    if exchange.messages[-1].role != "user":
        return "of messages without a question"
    return "of hand-offs" if declines(exchange.answer) else ""


def _opinion(id: str, source: str, messages: Sequence[Message], chosen: str, rejected: str) -> Opinion:
    own = tuple(m for m in messages if m.role != "system")
    return Opinion(id=id, source=source, messages=own, chosen=chosen.strip(), rejected=rejected.strip())


def _of_files(files: Sequence[Path], left_out: Counter[str]) -> Iterator[Opinion]:
    """Rows with two answers, and those with one and a label that says whether it was wanted, as for KTO."""
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file", "name your files under [feedback] preferences")
        for entry in entries_of([file]):
            for _, number, row, error, _ in records(entry):
                try:
                    if row is None:
                        raise ShapeError(error)
                    yield _of_row(row, f"{file.name}:{number}")
                except ShapeError as bad:
                    left_out[f"{file.name}: {bad}"] += 1


def _of_row(row: dict[str, Json], place: str) -> Opinion:
    found = conversation_of(row)
    messages, sides = found.messages, [found.chosen, found.rejected]
    if not found.rejected:
        if "label" not in found.rest or messages[-1]["role"] != "assistant":
            raise ShapeError("has neither a rejected answer nor a label")
        good = wanted(found.rest["label"])
        if good is None:
            what = f"{place}: `label` does not say whether the answer was wanted"
            raise InputError(what, "write true or 1 for a wanted answer, false or 0 for an unwanted one")
        unwanted = not good or messages[-1].get("weight") == 0
        messages, sides = messages[:-1], [[], messages[-1:]] if unwanted else [messages[-1:], []]
    if any(m["role"] == "tool" or m.get("tool_calls") for m in (*messages, *sides[0], *sides[1])):
        raise ShapeError("calls tools")
    texts = ["\n".join(str(m["content"]) for m in side if m.get("content")) for side in sides]
    own = [Message(role=m["role"], content=str(m["content"])) for m in messages if m["role"] in ("user", "assistant")]
    if not own or own[-1].role != "user" or not any(texts):
        raise ShapeError("has no question, or no answer")
    return _opinion(place, "preferences", own, *texts)


def anonymized(workspace: Workspace, given: Sequence[Opinion]) -> list[Opinion]:
    """The opinions with the same placeholders in the conversation and in both answers."""
    if not workspace.project.curation.anonymize:
        return list(given)
    anonymizer = workspace.anonymizer()
    read = workspace.documents()
    anonymizer.keep(d.title for d in read)
    anonymizer.learn(d.text for d in read if not d.access)
    made = []
    for opinion in given:
        said = (*opinion.messages, Message(role="assistant", content=opinion.chosen))
        safe, _ = anonymizer.anonymize(Example(id=opinion.id, messages=said, target=opinion.rejected))
        *messages, chosen = safe.messages
        update = {"messages": tuple(messages), "chosen": chosen.content, "rejected": safe.target}
        made.append(opinion.model_copy(update=update))
    return made
