"""Flows of Rasa (CALM): `flows:` with their steps, and the slots, responses, and examples that stand beside them.

Each step becomes a state. Flows that a flow calls or links to become part of it, since a procedure is one page. What
Rasa's actions take from and write into slots is not in the files: an action becomes a tool that gets every slot that is
known there, and slots that nobody is asked for are read from the result of the action before. What has no counterpart
is listed in the notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inhouse.agents.flow import edges_of, known, walked
from inhouse.agents.page import Imported
from inhouse.agents.procedure import Next, Procedure, Slot, State, ToolCall
from inhouse.agents.rasa_conditions import Untranslated, holding, replaced
from inhouse.errors import InputError

END, DONE = "END", "done"
MOST_STATES = 300
_TYPES = {"text": "text", "bool": "boolean", "float": "number", "categorical": "choice"}
_READ = frozenset(["id", "next", "collect", "action", "link", "call", "set_slots", "noop", "utter", "description",
                   "ask_before_filling", "rejections", "mcp_server", "mapping"])  # fmt: skip
_FLOW = frozenset(["name", "description", "steps", "if", "nlu_trigger"])


@dataclass
class Files:
    """What the files of a bot say, together."""

    flows: dict[str, Any] = field(default_factory=dict)
    slots: dict[str, Any] = field(default_factory=dict)
    responses: dict[str, Any] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)  # by intent


def rasa_procedures(place: Path) -> list[Imported]:
    """The procedures of a file, or of all YAML files in a folder.

    Raises:
        InputError: a file cannot be read, or there are no flows.
    """
    files = _read(place)
    if not files.flows:
        raise InputError(f"{place}: no flows", "name a file or folder with Rasa's `flows:`")
    return [_Flow(name, files).imported() for name in files.flows]


def _read(place: Path) -> Files:
    import yaml

    found = Files()
    paths = sorted(f for f in place.rglob("*") if f.suffix in (".yml", ".yaml")) if place.is_dir() else [place]
    for file in paths:
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
            raise InputError(f"{file}: cannot be read ({error})") from error
        if not isinstance(data, dict):
            continue
        for key in ("flows", "slots", "responses"):
            if isinstance(data.get(key), dict):
                getattr(found, key).update(data[key])
        for row in data["nlu"] if isinstance(data.get("nlu"), list) else ():
            if isinstance(row, dict) and isinstance(row.get("examples"), str):
                lines = [line.strip().removeprefix("-").strip() for line in row["examples"].splitlines()]
                found.examples.setdefault(str(row.get("intent")), []).extend(filter(None, lines))
    return found


class _Flow:
    """Translates one flow."""

    def __init__(self, name: str, files: Files) -> None:
        self.name, self.files = name, files
        self.notes: list[str] = []
        self.slots: dict[str, Slot] = {}
        self.states: dict[str, State] = {}
        self.collected = {s["collect"] for f in files.flows.values() for s in _steps(f) if "collect" in s}
        self.result = ""  # of the action before
        self.inlined: dict[tuple[str, str], str] = {}  # first state by flow and what follows
        self.ids: dict[str, str] = {}
        self.inside = [name]  # flows that are being added

    def imported(self) -> Imported:
        flow = self._mapping(self.files.flows[self.name])
        self.notes.append(f"Imported from Rasa: {self.name}. Look at the notes, then run `inhouse procedure check`.")
        first = self._flow(self.name, flow, DONE, "")
        for name, state in self.states.items():
            if state.next == (Next(go=DONE),) and not state.confirm:
                self._update(name, next=(), end=True)
        if any(edge.target == DONE for state in self.states.values() for edge in edges_of(state)):
            self.states[DONE] = State(name=DONE, end=True)
        order = walked(first, [edge for state in self.states.values() for edge in edges_of(state)])
        states = {name: self.states[name] for name in [*order, *self.states] if name in self.states}
        description = str(flow.get("description") or "").strip()
        title = str(flow.get("name") or self.name.replace("_", " "))
        draft = Procedure(name=self.name, slots=self.slots, states=tuple(states.values()))
        procedure = Procedure(
            name=self.name, title=title[:1].upper() + title[1:], description=description, slots=self.slots,
            examples=tuple(self._examples(flow)), states=self._with_arguments(draft),
        )  # fmt: skip
        return Imported(procedure=procedure, notes=tuple(dict.fromkeys(self.notes)))

    def _mapping(self, flow: Any) -> dict[str, Any]:
        return flow if isinstance(flow, dict) else {}

    def _examples(self, flow: Mapping[str, Any]) -> Iterator[str]:
        for trigger in _list(flow.get("nlu_trigger")):
            intent = trigger.get("intent") if isinstance(trigger, dict) else trigger
            name = intent.get("name") if isinstance(intent, dict) else intent
            examples = self.files.examples.get(str(name), [])
            if not examples:
                self.notes.append(f"The examples of the intent {name} are not in the files.")
            yield from examples[:20]

    def _with_arguments(self, procedure: Procedure) -> tuple[State, ...]:
        """The states, whose calls get every slot that is known there."""
        entries = known(procedure)
        states = []
        for state in procedure.states:
            if state.call and not state.call.arguments:
                has = sorted(entries.get(state.name, frozenset()) & procedure.slots.keys())
                call = state.call.model_copy(update={"arguments": {slot: f"{{{slot}}}" for slot in has}})
                states.append(state.model_copy(update={"call": call}))
            else:
                states.append(state)
        return tuple(states)

    # --- steps ---

    def _flow(self, name: str, flow: Mapping[str, Any], after: str, prefix: str) -> str:
        """Adds the states of a flow, which goes on to the state `after`; returns the first of them."""
        for key in sorted(flow.keys() - _FLOW):
            self.notes.append(f"{name}: {key} has no counterpart.")
        if "if" in flow:
            self.notes.append(
                f"{name}: may begin only if {flow['if']}, which is not translated. Set groups, or remove it."
            )
        steps = [s for s in _list(flow.get("steps")) if isinstance(s, dict)]
        outer, self.ids = self.ids, {}
        for step in _all(steps):
            if "id" in step:
                self.ids[str(step["id"])] = self._new(prefix + _plain(step["id"]))
        first = self._block(steps, after, after, prefix)
        self.ids = outer
        return first

    def _new(self, name: str) -> str:
        """A name that no state has, kept for one."""
        count, free = 1, name or "step"
        while free in self.states or free == DONE:
            count += 1
            free = f"{name}_{count}"
        if len(self.states) > MOST_STATES:
            raise InputError(f"{self.name}: more than {MOST_STATES} states", "import a smaller flow")
        self.states[free] = State(name=free)
        return free

    def _block(self, steps: Sequence[dict[str, Any]], following: str, after: str, prefix: str) -> str:
        """Adds steps one after the other; the last goes on to `following`. `after` is where the flow itself ends."""
        names = [self._name(step, prefix) for step in steps]
        for step, name, then in zip(steps, names, [*names[1:], following], strict=False):
            self._step(step, name, then, after, prefix)
        return names[0] if names else following

    def _name(self, step: Mapping[str, Any], prefix: str) -> str:
        if "id" in step:
            return self.ids[str(step["id"])]
        kind = next((k for k in ("collect", "action", "link", "call", "set_slots", "noop") if k in step), "step")
        what = step[kind] if kind in ("collect", "action", "link", "call") else ""
        name = {"collect": f"ask_{what}", "action": str(what)}.get(kind, f"{kind}_{what}".rstrip("_"))
        return self._new(prefix + _plain(name))

    def _step(self, step: Mapping[str, Any], name: str, then: str, after: str, prefix: str) -> None:
        for key in sorted(step.keys() - _READ):
            self.notes.append(f"{name}: {key} is not translated.")
        kind = next((k for k in ("collect", "action", "link", "call", "set_slots") if k in step), "noop")
        update: dict[str, Any] = {}
        if kind == "collect":
            update = self._collect(step, name)
        elif kind == "action":
            update = self._action(str(step["action"]))
        elif kind == "set_slots":
            update = self._set_slots(step, name)
        elif kind == "link":
            self._link(str(step["link"]), name, after)
            return
        following = self._next(step.get("next"), name, then, after, prefix)
        if kind == "call":
            self._call(step, name, following, prefix)
            return
        self.states[name] = self.states[name].model_copy(update={"next": following, **update})
        if kind == "collect":
            self._as_confirmation(step, name)
            self._reject(step, name)

    def _next(self, given: Any, name: str, then: str, after: str, prefix: str) -> tuple[Next, ...]:
        if given is None:
            return (Next(go=then),)
        if not isinstance(given, list):
            return (Next(go=self._target(given, after, name)),)
        found, result = [], self.result
        for branch in given:
            if not isinstance(branch, dict):
                continue
            self.result = result
            inside = branch.get("else", branch.get("then"))
            go = (
                self._block([s for s in inside if isinstance(s, dict)], after, after, prefix)
                if isinstance(inside, list) else self._target(inside, after, name)
            )  # fmt: skip
            self.result, inner = result, self.result
            found.append(Next(go=go, when="" if "else" in branch else self._when(branch.get("if"), name)))
            self.result = inner or result
        return tuple(found)

    def _target(self, given: Any, after: str, name: str) -> str:
        if given in (None, END):
            return after
        if str(given) not in self.ids:
            self.notes.append(f"{name}: next names the step {given}, which is not in the flow.")
        return self.ids.get(str(given), str(given))

    def _when(self, condition: Any, name: str) -> str:
        try:
            return holding(str(condition), self._where)
        except Untranslated as error:
            self.notes.append(f"{name}: the condition {condition!r} is not translated ({error}). It is fill_in here.")
            return "fill_in"

    def _where(self, slot: str) -> str:
        """How a slot is read: those that nobody is asked for are set by actions."""
        if slot in self.collected or not self.result:
            self._slot(slot)
            return slot
        self.notes.append(f"{slot} is set by an action in Rasa: the tool must return it in its result.")
        return f"{self.result}.{slot}"

    # --- kinds of steps ---

    def _slot(self, name: str, ask: str = "", hint: str = "") -> None:
        had = self.slots.get(name)
        row = self._mapping(self.files.slots.get(name))
        kind = str(row.get("type", "text"))
        if had is None:
            if name not in self.files.slots:
                self.notes.append(f"The slot {name} is not in the files. Its type is text here.")
            elif kind not in _TYPES:
                self.notes.append(f"The slot {name} is of Rasa's type {kind}, and a text here.")
            choices = tuple(str(v) for v in _list(row.get("values")))
            had = Slot.model_validate({"type": _TYPES.get(kind, "text"), "choices": choices * (kind == "categorical")})
            if name not in self.collected:
                self.notes.append(f"{name} is set outside of the flows. Nobody is asked for it.")
                had = had.model_copy(update={"optional": True})
        self.slots[name] = had.model_copy(update={"ask": had.ask or ask, "hint": had.hint or hint})

    def _collect(self, step: Mapping[str, Any], name: str) -> dict[str, Any]:
        slot = str(step["collect"])
        utter = str(step.get("utter") or f"utter_ask_{slot}")
        ask = self._response(utter)
        if not ask:
            ask = f"What is the {slot.replace('_', ' ')}?"
            self.notes.append(f"{name}: the question {utter} is not in the files. Reword the one of {slot}.")
        self._slot(slot, ask, str(step.get("description") or "").strip())
        forget = (slot,) if step.get("ask_before_filling") else ()
        return {"collect": (slot,), "forget": forget}

    def _response(self, name: str) -> str:
        """The text of a response, "" if there is none."""
        texts = [
            row["text"] for row in _list(self.files.responses.get(name)) if isinstance(row, dict) and "text" in row
        ]
        if len(texts) > 1:
            self.notes.append(f"{name} has {len(texts)} variants. The first is taken.")
        for row in _list(self.files.responses.get(name)):
            rest = sorted(row.keys() - {"text", "metadata"}) if isinstance(row, dict) else []
            if rest:
                self.notes.append(f"{name}: {', '.join(rest)} {'is' if len(rest) == 1 else 'are'} not translated.")
        return replaced(str(texts[0]), self._where) if texts else ""

    def _action(self, action: str) -> dict[str, Any]:
        if action.startswith("utter_"):
            text = self._response(action)
            if not text:
                self.notes.append(f"The text of {action} is not in the files. Fill it in.")
            return {"say": text or action}
        self.result = _plain(f"{action.removeprefix('action_')}_result")
        self.notes.append(f"The action {action} becomes a tool. Keep of its arguments what it takes.")
        return {"call": ToolCall(tool=_plain(action.removeprefix("action_")), result=self.result)}

    def _set_slots(self, step: Mapping[str, Any], name: str) -> dict[str, Any]:
        forget = []
        for row in _list(step["set_slots"]):
            for slot, value in row.items() if isinstance(row, dict) else ():
                if value is None:
                    forget.append(str(slot))
                    self._slot(str(slot))
                else:
                    self.notes.append(f"{name}: sets {slot} to {value!r}, which states cannot. Do it in a tool.")
        return {"forget": tuple(forget)}

    def _call(self, step: Mapping[str, Any], name: str, following: tuple[Next, ...], prefix: str) -> None:
        called = str(step["call"])
        if "mcp_server" in step:
            mapping = self._mapping(step.get("mapping"))
            rows = [row for row in _list(mapping.get("input")) if isinstance(row, dict)]
            for row in rows:
                self._slot(str(row.get("slot")))
            self.result = _plain(f"{called}_result")
            call = {
                "tool": _plain(f"{step['mcp_server']}_{called}"), "as": self.result,
                "with": {str(row.get("param")): f"{{{row.get('slot')}}}" for row in rows},
            }  # fmt: skip
            self.notes += [
                f"{name}: {r.get('value')} is {r.get('slot')} in Rasa." for r in _list(mapping.get("output"))
            ]
            self._update(name, next=following, call=ToolCall.model_validate(call))
            return
        if called not in self.files.flows:
            self.notes.append(f"{name}: calls {called}, which is no flow of the files. A person takes over here.")
            self._update(name, hand_off=f"{called} is not translated")
            return
        joint = self._new(f"after_{name}")
        self._update(joint, next=following)
        self._update(name, next=(Next(go=self._inline(called, joint)),))

    def _link(self, linked: str, name: str, after: str) -> None:
        if linked == "pattern_human_handoff":
            self._update(name, hand_off="the user is handed over")
        elif linked in self.files.flows:
            self._update(name, next=(Next(go=self._inline(linked, DONE if after == DONE else after)),))
        else:
            self.notes.append(f"{name}: leads to {linked}, which is no flow of the files. It ends here.")
            self._update(name, end=True)

    def _inline(self, flow: str, after: str) -> str:
        """The first state of a flow that goes on to `after`; it is added once for each of these."""
        key = (flow, after)
        if key not in self.inlined and flow in self.inside:
            self.notes.append(f"The flow {flow} calls itself, which one page cannot. A person takes over there.")
            self.inlined[key] = self._new(f"{flow}_again")
            self._update(self.inlined[key], hand_off=f"{flow} calls itself")
        if key not in self.inlined:
            self.inlined[key] = self._new(f"{flow}_begins")
            self.notes.append(f"The flow {flow} is part of it, as states that begin with {flow}.")
            self.inside.append(flow)
            first = self._flow(flow, self._mapping(self.files.flows[flow]), after, f"{_plain(flow)}_")
            self.inside.pop()
            self._update(self.inlined[key], next=(Next(go=first),))
        return self.inlined[key]

    def _update(self, name: str, **update: Any) -> None:
        self.states[name] = self.states[name].model_copy(update=update)

    def _as_confirmation(self, step: Mapping[str, Any], name: str) -> None:
        """A yes or no that is asked to confirm, and that leads two ways, becomes `confirm`."""
        state, slot = self.states[name], str(step["collect"])
        fits = self.slots[slot].type == "boolean" and "confirm" in slot and not step.get("rejections")
        uses = sum(str(s.get("collect")) == slot for f in self.files.flows.values() for s in _steps(f))
        if not (fits and uses == 1 and len(state.next) == 2 and not state.next[1].when):
            return
        first, second = state.next
        if first.when.removeprefix("not ").strip("() ") != slot:
            return
        no, yes = (first.go, second.go) if first.when.startswith("not ") else (second.go, first.go)
        self._update(name, collect=(), forget=(), confirm=self.slots[slot].ask, otherwise=no, next=(Next(go=yes),))
        del self.slots[slot]

    def _reject(self, step: Mapping[str, Any], name: str) -> None:
        state, slot = self.states[name], str(step["collect"])
        steps = []
        for row in _list(step.get("rejections")):
            if isinstance(row, dict):
                rejected = self._new(f"{name}_rejected")
                text = self._response(str(row.get("utter"))) or str(row.get("utter"))
                self._update(rejected, say=text, forget=(slot,), next=(Next(go=name),))
                steps.append(Next(go=rejected, when=self._when(row.get("if"), name)))
        self._update(name, next=(*steps, *state.next))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _plain(name: Any) -> str:
    """A name with letters, digits, and underscores."""
    return "".join(c if c.isalnum() or c == "_" else "_" for c in str(name))


def _steps(flow: Any) -> list[dict[str, Any]]:
    return list(_all([s for s in _list(flow.get("steps")) if isinstance(s, dict)])) if isinstance(flow, dict) else []


def _all(steps: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every step of a list, with those inside of branches."""
    for step in steps:
        yield step
        for branch in _list(step.get("next")):
            for inside in (branch.get("then"), branch.get("else")) if isinstance(branch, dict) else ():
                yield from _all([s for s in _list(inside) if isinstance(s, dict)])
