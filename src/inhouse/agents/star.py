"""Procedures of the data set STAR (github.com/RasaHQ/STAR): a graph of labels, a reply for each, and one tool.

Each label of the graph becomes a state of the same name. A label that asks becomes a slot, "yes" and "no" the ways out
of the question before them, a query a call. Where the graph leaves open what leads to a label, the place is guessed by
the rules below, and a note says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inhouse.agents.flow import edges, known, links, reached
from inhouse.agents.page import Imported
from inhouse.agents.procedure import Next, Procedure, Slot, State, ToolCall
from inhouse.errors import InputError
from inhouse.tools import Tool
from inhouse.types import Json

_PLACE = re.compile(r"\{([A-Za-z_]{1,60})(?::[a-z])?\}")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_SKIP = frozenset(["ask", "inform", "request", "of", "the", "search", "provide"])
_MEANT = {  # where a label and the tool's parameter share no word
    "venue": "Name", "restaurant": "Name", "mothers_maiden_name": "SecurityAnswer1", "floor": "Level",
    "childhood_pets_name": "SecurityAnswer2", "destination": "ArrivalLocation", "booking_number": "id",
    "location": "City", "dob": "DateOfBirth",
}  # fmt: skip
_OWN_NAME = ("GuestName", "RenterName", "CustomerName", "UserName", "FullName", "HostName")
_SECRET = frozenset(["pin", "code", "dob", "mothers_maiden_name", "childhood_pets_name"])
_READS = frozenset(["search", "balance", "status", "directions", "trivia", "weather"])
_TYPES = {"Integer": "integer", "Boolean": "boolean", "Categorical": "choice"}
_RESULTS = {"query": "result", "query_check": "check", "query_book": "booking"}
CLOSING = ("anything_else", "goodbye_1")


def star_procedure(folder: Path) -> Imported:
    """The procedure of a folder with NAME.json and tool.json.

    Raises:
        InputError: a file is missing, or is not what it should be.
    """
    try:
        data = json.loads((folder / f"{folder.name}.json").read_text(encoding="utf-8"))
        tool = json.loads((folder / "tool.json").read_text(encoding="utf-8"))
        return _Star(folder.name, data["replies"], data["graph"], tool).imported()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"{folder}: no procedure of STAR ({type(error).__name__}: {error})"
        raise InputError(
            problem, "name a folder with NAME.json and tool.json, or the folder of such folders"
        ) from error


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _alike(left: list[str], right: list[str]) -> float:
    """The share of words that two names have in common; words are the same if they begin alike."""
    left, right = ([word for word in words if len(word) > 1] for words in (left, right))
    same = sum(any(a.startswith(b[:4]) or b.startswith(a[:4]) for b in right) for a in left)
    return same / max(len(left) + len(right) - same, 1)


class _Star:
    def __init__(self, name: str, replies: dict[str, str], graph: dict[str, Any], tool: dict[str, Any]) -> None:
        self.task, self.replies, self.tool = name, replies, tool
        self.domain = name.split("_", maxsplit=1)[0]
        self.notes = [f"Imported from STAR: {name}. Look at the notes, then run `inhouse procedure check`."]
        self.after: dict[str, str] = {k: v for k, v in graph.items() if isinstance(v, str)}
        self.labels = list(dict.fromkeys([*graph, *self.after.values()]))
        self.inputs = {row["Name"]: row for row in tool["input"]}
        self.slots: dict[str, Slot] = {}
        self.parameter: dict[str, str] = {}  # by slot
        self.states: dict[str, State] = {}
        self.besides: dict[str, str] = {}  # optional slots by the question that the graph leaves out

    def imported(self) -> Imported:
        for label in self.labels:
            self.states[label] = self._state(label)
        self._optional()
        self._join_events()
        self._join_answers()
        self._join_rest()
        self._close()
        self._forget()
        self._calls()
        self._texts()
        asked = {label for label, slot in self.besides.items() if slot in self.slots}
        unused = sorted(set(self.replies) - self.states.keys() - asked)
        if unused:
            self.notes.append(f"Replies that the graph does not use: {', '.join(unused)}.")
        return Imported(procedure=self._procedure(), notes=tuple(self.notes), tools=self._tools())

    def _procedure(self) -> Procedure:
        title = self.task.replace("_", " ").capitalize()
        return Procedure(name=self.task, title=title, slots=self.slots, states=tuple(self.states.values()))

    # --- states ---

    def _state(self, label: str) -> State:
        reply, follows = self.replies.get(label, ""), self.after.get(label, "")
        step = (Next(go=follows),) if follows else ()
        if label.startswith("query") and label in _RESULTS:
            return State(name=label, call=ToolCall(tool=self._tool_name(label)), next=step)
        if self._is_event(label):
            return State(name=label, next=step)
        if "confirm" in label.split("_") and "ask" in label.split("_"):
            return State(name=label, confirm=reply, next=step)
        if self._asks(label) and (follows or not reply.rstrip().endswith("?")):
            return State(name=label, collect=(self._slot(label, reply),), next=step)
        if not follows and reply.rstrip().endswith("?") and label not in CLOSING:
            return State(name=label, confirm=reply)
        return State(name=label, say=reply, next=step, end=not follows and (label in CLOSING or label.endswith("_bye")))

    def _is_event(self, label: str) -> bool:
        """Whether it stands for what the user or the tool answered."""
        lone = label not in self.after.values() and label in self.after and "_" not in label.removeprefix("query_")
        return label in ("yes", "no") or (lone and label != "hello") or label.startswith("info_missing")

    def _asks(self, label: str) -> bool:
        return bool({"ask", "request", "criteria"} & set(label.split("_")))

    def _asked_besides(self) -> list[str]:
        return [label for label in self.replies if label not in self.states and self._asks(label)]

    def _slot(self, label: str, ask: str, optional: bool = False) -> str:
        name = self._name(label)
        row = self.inputs.get(self._parameter(name), {})
        if row:
            self.parameter[name] = row["Name"]
        elif not optional:
            self.notes.append(f"The slot {name} is no parameter of the tool.")
        kind = _TYPES.get(row.get("Type", ""), "text")
        self.slots[name] = Slot.model_validate({
            "type": kind, "ask": "" if optional else ask, "hint": row.get("ReadableName", ""), "optional": optional,
            "choices": tuple(row["Categories"]) if kind == "choice" else (), "sensitive": name in _SECRET,
        })  # fmt: skip
        return name

    def _name(self, label: str) -> str:
        words = [w for w in label.removeprefix(f"{self.domain}_").split("_") if w not in _SKIP]
        name = "_".join(words) or self.domain
        return {"optional": "criteria"}.get(name, name)

    def _parameter(self, name: str) -> str:
        """The parameter of the tool that a slot fills; "" if none."""
        free = [
            n for n, row in self.inputs.items() if n not in self.parameter.values() and row["Type"] != "RequestType"
        ]
        if name == "name":
            return next((own for own in _OWN_NAME if own in free), "")
        if _MEANT.get(name) in free:
            return _MEANT[name]
        if name == "criteria":
            return ""
        best = max(free, key=lambda n: _alike(_words(name), _words(n)), default="")
        return best if best and _alike(_words(name), _words(best)) > 0 else ""

    def _optional(self) -> None:
        """Questions that the graph leaves out are slots that the user may fill where the criteria are asked for."""
        place = next((s for s in self.states.values() if {"criteria", "optional"} & set(s.name.split("_"))), None)
        self.besides = {label: self._slot(label, "", optional=True) for label in self._asked_besides() if place}
        extra = [slot for slot in self.besides.values() if slot in self.parameter]
        if place and extra:
            self.states[place.name] = place.model_copy(update={"collect": (*place.collect, *extra)})
        kept = {slot for state in self.states.values() for slot in state.collect}
        self.slots = {name: slot for name, slot in self.slots.items() if name in kept}

    # --- what the graph leaves open ---

    def _open(self) -> list[State]:
        return [s for s in self.states.values() if not (s.next or s.end)]

    def _set(self, name: str, **update: Any) -> None:
        self.states[name] = self.states[name].model_copy(update=update)

    def _go(self, name: str, *steps: tuple[str, str]) -> None:
        self._set(name, next=tuple(Next(go=go, when=when) for when, go in steps))

    def _join_events(self) -> None:
        queries = [s.name for s in self._open() if s.call]
        if "available" in self.states and "query_check" in queries:
            self._go("query_check", ("check.available", "available"), ("", "unavailable"))
            self.notes.append(f"The tool {self._tool_name('query_check')} must return `available`, true or false.")
        if "query_success" in self.states:
            name = next((q for q in ("query_book", "query", "query_check") if q in queries), "")
            if name:
                call = self.states[name].call
                self._go(name, ("", "query_success"))
                self._set(name, call=call and call.model_copy(update={"on_error": "query_failure"}))
        outcomes = [n for n in ("correct", "incorrect", "noanswer", "done") if n in self.states]
        asked = next((s.name for s in self._open() if s.collect), "")
        if asked and outcomes:
            *some, last = outcomes
            self._go(asked, *((f"result.outcome == '{name}'", name) for name in some), ("", last))
            self.notes.append(
                f"{asked}: who judges the answer is not in the graph. Call a tool whose result has `outcome`."
            )
        elif "done" in outcomes and "yes" in self.states:
            self._go("yes", ("result.done", "done"), ("", self.after["yes"]))
            self.notes.append("yes: when it is done is not in the graph. The tool must return `done`.")
        for name in [n for n in self.states if n.startswith("info_missing")]:
            self._join_missing(name)

    def _join_missing(self, name: str) -> None:
        """What the user cannot say: a yes or no after the last question that the reply speaks of."""
        said = _words(self.replies.get(name, ""))
        asking = [
            s.name
            for s in map(self.states.__getitem__, self.labels)
            if s.collect and _alike(_words(self._name(s.name)), said) > 0
        ]
        if not asking:
            return
        after, slot = asking[-1], f"{name}_so"
        question = f"{name}_asked"
        self.slots[slot] = Slot(type="boolean", ask=f"{self.replies.get(name, name)}: is that so?")
        self.states[question] = State(
            name=question, collect=(slot,), next=(Next(go=name, when=slot), *self.states[after].next)
        )
        self._go(after, ("", question))
        self.notes.append(f"{name}: that the user cannot answer is no event here, so that {question} asks. Reword it.")

    def _join_answers(self) -> None:
        """Leads from questions to the states "yes" and "no"."""
        yes, no = ("yes" if "yes" in self.states else ""), ("no" if "no" in self.states else "")
        questions = [s.name for s in self._open() if s.confirm]
        if yes and self.after.get("yes") == "query_book" and len(questions) > 1:
            fits = [q for q in questions if {"confirm", "available"} & set(q.split("_"))]
            questions = fits or questions
        if len(questions) > 1 and yes:
            self.notes.append(f"yes and no are the answers of {', '.join(questions)}. See where each should lead.")
        for name in questions if yes else ():
            self._go(name, ("", yes))
            self._set(name, otherwise=no)
        if no and not yes and "anything_else" in self.states:
            self.states["more"] = State(name="more", end=True)
            self._set("anything_else", say="", confirm=self.replies["anything_else"], otherwise=no, end=False)
            self._go("anything_else", ("", "more"))

    def _join_rest(self) -> None:
        """Leads to states that nothing leads to, from the open state with the most similar name."""
        first = next(iter(self.states))
        for name in list(self.states):
            if name in reached([first], links(edges(self._procedure()))):
                continue
            candidates = [s.name for s in self._open() if name.startswith(s.name)] or [
                s.name for s in self._open() if s.name != name and not s.confirm
            ]
            if candidates:
                self._go(candidates[-1], ("", name))
                self.notes.append(f"{name}: nothing in the graph leads to it. It follows {candidates[-1]} here.")
            else:
                self.notes.append(f"{name}: nothing in the graph leads to it.")

    def _close(self) -> None:
        """What is still open ends, with the closing words if there are some."""
        opened = self._open()
        closing = next((n for n in self.replies if n in CLOSING or n.endswith("_bye")), "")
        closing = "anything_else" if "anything_else" in self.replies else closing
        if opened and closing and closing not in self.states:
            self.states[closing] = State(name=closing, say=self.replies[closing], end=True)
        for state in opened:
            if state.confirm:
                self.notes.append(f"{state.name}: where yes and no lead is not in the graph. Both lead to {closing}.")
                self._set(state.name, otherwise=closing)
            if closing:
                self._go(state.name, ("", closing))
            else:
                self._set(state.name, end=True)

    def _forget(self) -> None:
        """Makes states that go back to an earlier one forget the slots that are asked for again."""
        for name in ("yes", "no"):
            if name not in self.states:
                continue
            every = edges(self._procedure())
            loop = reached([name], links(every)) & reached([name], links(every, backwards=True))
            loop = loop if self.after.get(name) in loop else set()
            again = [slot for at in self.states if at in loop for slot in self.states[at].collect]
            if again:
                self._set(name, forget=tuple(dict.fromkeys(again)))
            elif loop:
                self.notes.append(f"{name}: leads back without asking for anything new.")

    # --- the tool ---

    def _tool_name(self, query: str) -> str:
        return self.task + query.removeprefix("query")

    def _calls(self) -> None:
        found = next((n for n in self.replies if n.endswith("nothing_found")), "")
        for name in [n for n, s in self.states.items() if s.call]:
            arguments = {p: f"{{{slot}}}" for slot, p in self.parameter.items() if slot in self.slots}
            for parameter in [p for p in arguments if self.inputs[p]["Type"] == "CategoricalMultiple"]:
                self.notes.append(f"{name}: {parameter} takes several values, which slots cannot. It is left out.")
                del arguments[parameter]
            call = self.states[name].call
            assert call is not None
            update = {"arguments": arguments, "result": _RESULTS[name]}
            if not call.on_error and found:
                update["on_error"] = found
                self.states.setdefault(found, State(name=found, say=self.replies[found], end=True))
            self._set(name, call=call.model_copy(update=update))
            missing = [p for p in self.tool["required"] if p not in arguments and p != "RequestType"]
            if missing:
                self.notes.append(
                    f"{name}: no state asks for {', '.join(missing)}, which the tool requires. Fill it in."
                )
        optional = {slot for slot in self.slots if self.slots[slot].optional}
        for slot in optional - set(self.parameter):
            del self.slots[slot]

    def _tools(self) -> dict[str, Tool]:
        rows = [row for row in self.inputs.values() if row["Type"] != "RequestType"]
        schema = {
            "type": "object", "properties": {row["Name"]: _schema(row) for row in rows},
            "required": [name for name in self.tool["required"] if name != "RequestType"],
        }  # fmt: skip
        found = {}
        for state in self.states.values():
            if state.call:
                reads = state.name == "query_check" or bool(_READS & set(self.task.split("_")))
                effect: Any = "read" if reads else "write"
                found[state.call.tool] = Tool(name=state.call.tool, parameters=schema, effect=effect)
        return found

    # --- texts ---

    def _texts(self) -> None:
        entries = known(self._procedure())
        for name, state in list(self.states.items()):
            has = entries.get(name, frozenset()) - set(state.forget)
            update = {key: self._filled(name, getattr(state, key), has) for key in ("say", "confirm")}
            self._set(name, **update)
            for slot in state.collect:
                ask = self._filled(name, self.slots[slot].ask, has)
                self.slots[slot] = self.slots[slot].model_copy(update={"ask": ask})

    def _filled(self, state: str, text: str, has: frozenset[str]) -> str:
        """The text with the names of slots and results in the place of STAR's."""
        outputs = [row["Name"] for row in self.tool["output"]]
        results = [r for r in ("booking", "check", "result") if r in has]

        def named(found: re.Match[str]) -> str:
            words = _words(found[1])
            slot = max(has & self.slots.keys(), key=lambda s: (_alike(words, _words(s)), s), default="")
            output = max(outputs, key=lambda o: _alike(words, _words(o)), default="")
            alike = _alike(words, _words(output))
            if slot and _alike(words, _words(slot)) >= max(0.5, alike):
                return f"{{{slot}}}"
            if alike < 0.5:
                output = found[1]
                self.notes.append(f"{state}: the tool does not say that it returns {output}.")
            return f"{{{results[0] if results else 'result'}.{output}}}"

        return _PLACE.sub(named, text)


def _schema(row: dict[str, Json]) -> dict[str, Json]:
    kind = row["Type"]
    if kind in ("Categorical", "CategoricalMultiple"):
        one = {"type": "string", "enum": list(row["Categories"])}
        return one if kind == "Categorical" else {"type": "array", "items": one}
    if kind == "Integer":
        limits = {"minimum": row.get("Min"), "maximum": row.get("Max")}
        return {"type": "integer", **{key: value for key, value in limits.items() if value is not None}}
    return {"type": "boolean" if kind == "Boolean" else "string"}


def star_folders(folder: Path) -> Iterator[Path]:
    """The folders of procedures in a folder, or itself."""
    if (folder / f"{folder.name}.json").is_file():
        yield folder
        return
    yield from sorted(f for f in folder.iterdir() if f.is_dir() and (f / f"{f.name}.json").is_file())
