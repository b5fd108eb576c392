"""Rows that teach a specialist's model its commands, from conversations with tool calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from inhouse.agents.answers import polarity_of
from inhouse.agents.commands import Situation
from inhouse.agents.procedure import Procedure, holes
from inhouse.agents.understand import POSSIBLE, Starts, no_starts, prompt, text_of, titles
from inhouse.agents.values import found
from inhouse.datasets.acting import KIND, Specialist, examples, understood
from inhouse.training.rows import Row
from inhouse.types import Json, Message


def specialist_of(procedures: Mapping[str, Procedure], today: date) -> Specialist:
    """What the conversion needs to know of an agent's procedures.

    Args:
        today: the day that "tomorrow" is relative to in the conversations.
    """
    calls: dict[str, tuple[str, Mapping[str, str]]] = {}
    for name, procedure in procedures.items():
        for state in procedure.states:
            if state.call:
                calls.setdefault(state.call.tool, (name, _slots(procedure, state.call.arguments)))

    def values(procedure: str, slot: str, text: str) -> Sequence[Json]:
        own = procedures[procedure].slots[slot]
        return list(dict.fromkeys(v.value for v in found(own, text, today, own.choices, asked=True)))

    def asking(procedure: str, slot: str) -> str:
        states = procedures[procedure].states
        asks = (s.name for s in states if (slot in s.collect if slot else s.confirm))
        return next(asks, states[0].name)

    return Specialist(titles(procedures), calls, values, polarity_of, asking)


def acting_rows(
    conversations: Iterable[tuple[str, Sequence[Message]]], procedures: Mapping[str, Procedure], today: date,
    starts: Starts = no_starts,
) -> list[Row]:  # fmt: skip
    """Rows for the trainer, of conversations given as ID and messages in OpenAI's format.

    Args:
        conversations: what was said and done.
        procedures: of the agent.
        today: see `specialist_of`.
        starts: as in serving: while a procedure runs, only those are offered that a message may begin.
    """
    specialist = specialist_of(procedures, today)

    def shown(situation: dict[str, Json], messages: Sequence[Message]) -> tuple[Message, ...]:
        now = Situation.model_validate(situation)
        if now.active:
            begins = starts(text_of(messages))
            offered = {n: t for n, t in now.procedures.items() if begins.get(n, 0) >= POSSIBLE}
            now = now.model_copy(update={"procedures": offered})
        return prompt(now, messages)

    made = [one for id_, messages in conversations for one in understood(messages, specialist, id_)]
    return [Row(messages=e.messages, target=e.target, kind=KIND) for e in examples(made, shown)]


def beginning_rows(procedures: Mapping[str, Procedure]) -> list[Row]:
    """Rows of the examples of procedures: each begins its own."""
    situation = Situation(procedures=titles(procedures))
    return [
        Row(
            messages=prompt(situation, (Message(role="user", content=text),)), kind=KIND,
            target=json.dumps([{"kind": "start", "name": name}], ensure_ascii=False, separators=(",", ":")),
        )
        for name, procedure in procedures.items() for text in procedure.examples
    ]  # fmt: skip


def _slots(procedure: Procedure, arguments: Mapping[str, Json]) -> dict[str, str]:
    """The slot that each argument is, of those that are nothing but one slot."""
    slots = {}
    for argument, template in arguments.items():
        names = [n for e in holes(template) for n in e.names] if isinstance(template, str) else []
        if len(names) == 1 and template == f"{{{names[0]}}}" and names[0] in procedure.slots:
            slots[argument] = names[0]
    return slots
