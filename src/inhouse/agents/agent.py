"""An agent: a ChatModel that follows procedures, calls tools, and answers from documents in between.

The model understands (`understand`); code decides. What was understood is yielded as a note of kind "plan" before
anything is done about it, and what is remembered as one of kind "state" at the end, for whoever keeps conversations
(`conversing`). Each step is a note of kind "step".
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from datetime import date
from typing import Protocol

from inhouse.agents.commands import Command, Situation
from inhouse.agents.procedure import ITEM, Procedure, State, filled, said, written
from inhouse.agents.progress import Frame, Progress, choices_of
from inhouse.agents.speech import LAYER, PLAIN, Turn, Wording
from inhouse.agents.understand import Open, Understanding, text_of, titles
from inhouse.agents.values import found
from inhouse.chat import ChatEvent, ChatModel, ChatRequest, Delta, Finish, Note, Usage, streaming
from inhouse.tools import Call, Caller, Proposal
from inhouse.types import Digest, Json, Message, digest_of, last_question

NEWS_WORDS = 4  # of a message that only asks what became of an approval
MOST_STEPS = 50  # of procedures in one turn
MOST_MISSES = 3  # messages in a row that were not understood, before a person takes over
KEPT = ("name", "phone", "email")  # types of slots whose values hold for all procedures that have them


class Executes(Protocol):
    """Runs tools, each call once (`executor`)."""

    async def run(self, proposal: Proposal, caller: Caller, allowed: Collection[str]) -> Call: ...

    async def resume(self, key: str, caller: Caller) -> Call:
        """A call that waited for an approval, as it is now; it is run if it was approved and the caller may still."""
        ...

    async def withdraw(self, key: str, caller: Caller) -> Call:
        """The call declined, or as it is if it has begun."""
        ...


class Agent:
    """A ChatModel.

    Args:
        name: of the specialist.
        procedures: by name.
        understanding: see there.
        executor: runs its tools.
        answerer: answers from the documents; None for agents that do not.
        tools: what it may call; None for all that its procedures name.
        today: the current day.
        wording: see there.
    """

    def __init__(
        self, name: str, procedures: Mapping[str, Procedure], understanding: Understanding, executor: Executes,
        answerer: ChatModel | None = None, tools: Collection[str] | None = None,
        today: Callable[[], date] = date.today, wording: Wording = PLAIN,
    ) -> None:  # fmt: skip
        self.name = name
        self._procedures, self._understanding, self._executor = dict(procedures), understanding, executor
        self._answerer, self._tools, self._today, self._wording = answerer, tools, today, wording

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """Yields what it says, its steps, its plan before it acts, and what it remembers.

        Raises:
            BackendError: a model or the ledger cannot be reached.
        """
        progress = Progress.of(request.state.get(self.name), self._procedures)
        caller = Caller(user=request.user, key=request.key, groups=request.groups, role=request.role)
        turn = Turn(request, caller, progress)
        if request.turn and request.turn != progress.turn + 1:  # another agent has said something since
            progress.confirming, progress.offered = False, []
        progress.turn = request.turn
        turn.offered, progress.offered = progress.offered, []
        await self._leave(turn)
        if (plan := request.plan.get(self.name)) is not None:
            commands = [Command.model_validate(row) for row in plan]
        elif not request.messages:  # it goes on after an approval
            commands = []
        else:
            understood = await self._understanding(request, self._open(turn))
            commands = list(understood.commands)
            rows = [c.model_dump(exclude_defaults=True) for c in commands]
            yield Note(layer=LAYER, kind="plan", data={self.name: rows})
            turn.step("understood", commands=self._shown(turn, commands), model_calls=understood.model_calls)
        usage = Usage()
        decided = False
        if progress.frame and progress.frame.waiting:
            decided = await self._approved(turn, progress.frame)
        questions = await self._apply(turn, commands) and not (decided and _asks_for_news(request))
        for event in turn.taken():
            yield event
        if questions and not turn.handed:
            async with aclosing(self._answers(turn)) as events:
                async for event in events:
                    if isinstance(event, Finish):
                        usage = event.usage
                    else:
                        yield event
        if not turn.handed:
            await self._run(turn)
        for event in turn.taken():
            yield event
        progress.said = "\n".join(turn.own)
        yield Note(layer=LAYER, kind="state", data={self.name: progress.to_json()})
        yield Finish(reason="stop", usage=usage)

    # --- understanding ------------------------------------------------------------------------------------------

    def _open(self, turn: Turn) -> Open:
        """What the message may answer."""
        progress, frame = turn.progress, turn.progress.frame
        may = {n: p for n, p in self._procedures.items() if _may(p, turn.caller)}
        situation = Situation(procedures=titles(may), asked=progress.asked, confirming=progress.confirming)
        before = next((m.content for m in reversed(turn.request.messages) if m.role == "assistant"), "")
        question = before.rpartition("\n\n")[2]  # without what documents said before it
        if frame is None:
            return Open(situation=situation, today=self._today(), question=question, offered=turn.offered)
        procedure = self._procedures[frame.procedure]
        names = frame.names(self._given(turn))
        choices = {n: list(choices_of(s, names)) for n, s in procedure.slots.items() if s.type == "choice"}
        slots = {n: s for n, s in procedure.slots.items() if s.type != "choice" or choices[n]}
        situation = situation.model_copy(
            update={
                "active": procedure.name,
                "state": frame.state,
                "known": {n: frame.slots[n] for n in slots if n in frame.slots},
            }
        )
        return Open(slots, choices, situation, self._today(), question, said=progress.said)

    def _given(self, turn: Turn) -> dict[str, Json]:
        """What every expression may read: the day, and the user."""
        return {"today": self._today().isoformat(), "user": turn.caller.user, "user_groups": sorted(turn.caller.groups)}

    def _shown(self, turn: Turn, commands: Sequence[Command]) -> list[Json]:
        """The commands without sensitive values."""
        frame = turn.progress.frame
        slots = self._procedures[frame.procedure].slots if frame else {}
        hidden = {name for name, slot in slots.items() if slot.sensitive}
        return [
            c.model_dump(exclude_defaults=True) | ({"value": "..."} if c.kind == "set" and c.name in hidden else {})
            for c in commands
        ]

    async def _apply(self, turn: Turn, commands: Sequence[Command]) -> bool:
        """Does what the commands say to the memory; whether a question is to be answered from the documents."""
        progress, questions, missed = turn.progress, False, False
        for command in commands:
            match command.kind:
                case "start":
                    self._start(turn, command.name)
                case "set":
                    self._set(turn, command.name, command.value)
                case "yes" | "no" if progress.confirming and progress.frame:
                    self._confirm(turn, command.kind == "yes")
                case "cancel" if progress.frame:
                    await self._cancel(turn, progress.frame)
                case "offer":
                    self._ask_which(turn, command.value)
                case "person":
                    turn.hand_off("asked for a person", self._wording.person)
                case "answer":
                    questions = True
                case _:
                    missed = True
        if questions or any(c.kind not in ("other", "answer") for c in commands):
            progress.misses = 0
        elif missed and not turn.handed:
            questions = self._missed(turn)
        return questions

    def _missed(self, turn: Turn) -> bool:
        """Nothing was understood; whether the documents may have an answer."""
        progress = turn.progress
        progress.misses += 1
        if progress.misses >= MOST_MISSES:
            turn.hand_off("not understood", self._wording.person)
        elif progress.frame is None and self._answerer is not None:
            return True
        else:
            turn.say(self._wording.again if progress.frame else f"{self._wording.again} {self._offer(turn)}")
        return False

    def _ask_which(self, turn: Turn, names: Sequence[str]) -> None:
        """Asks which of the procedures is meant; what else there is, where it is none of those that were offered."""
        shown = self._open(turn).situation.procedures
        turn.progress.offered = [name for name in names if name in shown]
        if turn.progress.offered:
            titles = " or ".join(shown[name] for name in turn.progress.offered)
            turn.say(said(self._wording.which, {"titles": titles}))
        else:
            turn.say(self._offer(turn))

    def _offer(self, turn: Turn) -> str:
        named = self._open(turn).situation.procedures.values()
        return said(self._wording.help, {"titles": ", ".join(named)}) if named else ""

    async def _cancel(self, turn: Turn, frame: Frame) -> None:
        if frame.waiting:
            call = await self._executor.withdraw(frame.waiting, turn.caller)
            if call.status not in ("declined", "expired"):  # too late: what came of it is told
                turn.waited = None
                return
        turn.progress.frames.remove(frame)
        turn.progress.settle()
        turn.say(self._wording.cancelled)
        self._back(turn)

    async def _leave(self, turn: Turn) -> None:
        """Leaves procedures whose groups the caller is not in any more."""
        for frame in list(turn.progress.frames):
            if _may(self._procedures[frame.procedure], turn.caller):
                continue
            if frame.waiting:
                await self._executor.withdraw(frame.waiting, turn.caller)
            turn.progress.frames.remove(frame)
            turn.progress.settle()
            turn.step("refused", procedure=frame.procedure, why="the caller is in none of its groups any more")
            turn.say(self._wording.rights)

    def _start(self, turn: Turn, name: str) -> None:
        """Begins a procedure, with the values that the message has for it. One that runs waits meanwhile; one that
        waits already is gone back to."""
        progress, procedure = turn.progress, self._procedures.get(name)
        if procedure is None or not _may(procedure, turn.caller):
            turn.step("refused", procedure=name, why="the caller is in none of its groups")
            return
        progress.settle()
        if progress.frame:
            progress.frame.offered = progress.frame.confirmed = ""
        earlier = next((f for f in progress.frames if f.procedure == name), None)
        if earlier:
            progress.frames.remove(earlier)
            progress.frames.append(earlier)
            return
        kept = {
            n: progress.kept[n]
            for n, slot in procedure.slots.items()
            if n in progress.kept
            and any(v.value == progress.kept[n] for v in found(slot, str(progress.kept[n]), self._today(), asked=True))
        }
        progress.frames.append(Frame(name, procedure.digest, procedure.states[0].name, kept))
        turn.step("started", procedure=name)
        messages = turn.request.messages
        before = text_of(messages[: last_question(messages)]) if turn.offered else ""  # "video visit asap"
        certain, _ = self._understanding.read(f"{before}\n{text_of(messages)}".strip(), self._open(turn))
        for command in certain:
            if command.kind == "set":
                self._set(turn, command.name, command.value)

    def _set(self, turn: Turn, name: str, value: Json) -> None:
        frame = turn.progress.frame
        if frame is None or frame.waiting or name not in self._procedures[frame.procedure].slots:
            return  # what waits for an approval stays as it is
        procedure = self._procedures[frame.procedure]
        slot = procedure.slots[name]
        known = name in frame.slots and frame.slots[name] != value
        if slot.type == "choice":
            offered = choices_of(slot, frame.names(self._given(turn)))
            if value not in offered:
                return
            if isinstance(offered[value], dict):
                frame.slots[name + ITEM] = offered[value]
        frame.slots[name] = value
        if slot.keep or slot.type in KEPT:
            turn.progress.kept[name] = value
        if known or turn.progress.confirming:
            frame.rewind(procedure, name)
        turn.progress.settle()

    def _confirm(self, turn: Turn, yes: bool) -> None:
        progress, frame = turn.progress, turn.progress.frame
        assert frame is not None
        progress.settle()
        if yes:
            frame.confirmed = frame.offered
            return
        procedure = self._procedures[frame.procedure]
        if otherwise := procedure.by_name[frame.state].otherwise:
            frame.go(procedure.by_name[otherwise])
        else:
            turn.say(self._wording.change)
            progress.asked = "?"

    # --- procedures ---------------------------------------------------------------------------------------------

    async def _run(self, turn: Turn) -> None:
        """Follows the procedure until it needs the user, a person, or an approval."""
        progress = turn.progress
        if progress.asked == "?":  # what should be changed
            progress.asked = ""
            return
        for _ in range(MOST_STEPS):
            frame = progress.frame
            if frame is None or turn.handed:
                return
            procedure = self._procedures[frame.procedure]
            state = procedure.by_name[frame.state]
            if not frame.spoken:
                frame.spoken = True
                turn.say(said(state.say, frame.names(self._given(turn))))
                frame.forget(state.forget)
            if frame.waiting:
                if frame is turn.waited or not await self._approved(turn, frame):
                    return
                continue
            if self._asks(turn, frame, procedure, state):
                return
            if state.call and not await self._calls(turn, frame, procedure, state):
                if frame.waiting or turn.handed:
                    return
                continue
            self._next(turn, frame, procedure, state)
        turn.hand_off("the procedure does not come to an end", self._wording.person)

    def _asks(self, turn: Turn, frame: Frame, procedure: Procedure, state: State) -> bool:
        """Asks for the first slot that is missing, or for a confirmation."""
        progress, names = turn.progress, frame.names(self._given(turn))
        for name in state.collect:
            slot = procedure.slots[name]
            if name in frame.slots or slot.optional:
                continue
            choices = [written(choice) for choice in choices_of(slot, names)]
            text = said(slot.ask or f"{name.replace('_', ' ')}?", names)
            if choices and not any(choice in text for choice in choices) and not _mentions(turn, choices):
                text += " " + said(self._wording.choices, {"choices": ", ".join(choices)})
            turn.say(text)
            progress.asked, progress.confirming = name, False
            return True
        if state.confirm and frame.confirmed != (offered := _offered(state, names)):
            frame.offered, frame.confirmed = offered, ""
            turn.say(said(state.confirm, names))
            progress.asked, progress.confirming = "", True
            return True
        progress.settle()
        return False

    async def _calls(self, turn: Turn, frame: Frame, procedure: Procedure, state: State) -> bool:
        """Calls the tool of the state; whether the state is done."""
        assert state.call is not None
        arguments = filled(state.call.arguments, frame.names(self._given(turn)))
        request = turn.request
        proposal = Proposal(
            conversation=request.conversation, turn=request.turn, ordinal=turn.calls, tool=state.call.tool,
            arguments={k: v for k, v in arguments.items() if v is not None},
        )  # fmt: skip
        turn.calls += 1
        call = await self._executor.run(proposal, turn.caller, self._allowed(state))
        return self._called(turn, frame, procedure, state, call)

    def _allowed(self, state: State) -> frozenset[str]:
        """The tools of the state: the one it names, if the agent may call it."""
        own = frozenset([state.call.tool]) if state.call else frozenset[str]()
        return own if self._tools is None else own & frozenset(self._tools)

    def _called(self, turn: Turn, frame: Frame, procedure: Procedure, state: State, call: Call) -> bool:
        """What a call came to."""
        assert state.call is not None
        turn.step(
            "call", tool=call.proposal.tool, arguments=self._hidden(procedure, state, call), status=call.status,
            why=call.why, key=call.key, procedure=procedure.name, state=state.name,
        )  # fmt: skip
        progress, wording = turn.progress, self._wording
        frame.waiting = ""
        match call.status:
            case "done":
                if state.call.result:
                    frame.results[state.call.result] = call.result
                    frame.renew(procedure, state.call.result, frame.names(self._given(turn)))
                return True
            case "proposed" | "approved" | "started":
                frame.waiting, turn.waited = call.key, frame
                turn.say(wording.approval)
            case "unknown":
                turn.hand_off("a tool may or may not have run", wording.unknown)
            case _ if state.call.on_error:
                frame.results["error"] = call.why
                frame.go(procedure.by_name[state.call.on_error])
            case "declined" | "expired":
                turn.say(said(wording.declined, {"why": call.why or call.status}))
                progress.frames.remove(frame)
                progress.settle()
            case _:
                turn.hand_off("a tool failed", said(wording.failed, {"why": call.why}) + "\n" + wording.person)
        return False

    def _hidden(self, procedure: Procedure, state: State, call: Call) -> dict[str, Json]:
        """The arguments without those that come from sensitive slots."""
        assert state.call is not None
        hidden = {f"{{{name}}}" for name, slot in procedure.slots.items() if slot.sensitive}
        return {
            k: "..." if any(h in str(state.call.arguments.get(k)) for h in hidden) else v
            for k, v in call.proposal.arguments.items()
        }

    async def _approved(self, turn: Turn, frame: Frame) -> bool:
        """Looks what became of the call that the frame waits for; whether it waits no longer."""
        call = await self._executor.resume(frame.waiting, turn.caller)
        procedure = self._procedures[frame.procedure]
        state = procedure.by_name[frame.state]
        if call.status in ("proposed", "started"):
            turn.waited = frame
            turn.say(self._wording.still)
        elif self._called(turn, frame, procedure, state, call):
            self._next(turn, frame, procedure, state)
        return not frame.waiting

    def _next(self, turn: Turn, frame: Frame, procedure: Procedure, state: State) -> None:
        """Goes on to the next state, to a person, or to the end."""
        progress, names = turn.progress, frame.names(self._given(turn))
        if state.hand_off:
            turn.hand_off(state.hand_off, "" if state.say else self._wording.person)
            return
        go = next((n.go for n in state.next if not n.when or _holds(n.when, names)), "")
        if state.end or not go:
            if not state.end and state.next:
                turn.step("stuck", procedure=procedure.name, state=state.name)
                turn.hand_off(f"no condition of state {state.name} holds", self._wording.person)
                return
            turn.step("ended", procedure=procedure.name, state=state.name)
            progress.frames.remove(frame)
            progress.settle()
            self._back(turn)
            return
        frame.go(procedure.by_name[go])

    def _back(self, turn: Turn) -> None:
        """Says that a procedure that waited goes on."""
        if frame := turn.progress.frame:
            procedure = self._procedures[frame.procedure]
            turn.say(said(self._wording.back, {"title": procedure.title or procedure.name}))

    # --- documents ----------------------------------------------------------------------------------------------

    async def _answers(self, turn: Turn) -> AsyncGenerator[ChatEvent]:
        """The answer from the documents; the procedure then asks again what it asked."""
        turn.step("answer")
        for event in turn.taken():
            yield event
        if self._answerer is None:
            turn.say(self._offer(turn) or self._wording.again)
            return
        request = turn.request
        talk = tuple(m for m in request.messages if m.role != "tool" and not m.tool_calls)
        if turn.progress.frame:  # what the procedure asked before is no part of the question
            talk = talk[-1:]
        plain = request.model_copy(
            update={"messages": talk or (Message(role="user", content=""),), "state": {}, "plan": {}}
        )
        lead = "\n\n" if turn.texts else ""
        async with streaming(self._answerer, plain) as events:
            async for event in events:
                if isinstance(event, Delta) and event.text:
                    if not turn.texts or lead:
                        event, lead = event.model_copy(update={"text": lead + event.text}), ""  # noqa: PLW2901
                    turn.texts.append(event.text)
                if isinstance(event, Note) and event.kind == "handoff":
                    turn.handed = "documents"
                elif isinstance(event, Note) and event.layer == LAYER:  # only the agent says what it did
                    continue
                yield event


def _may(procedure: Procedure, caller: Caller) -> bool:
    return not procedure.groups or bool(procedure.groups & caller.groups)


def _offered(state: State, names: Mapping[str, Json]) -> Digest:
    """What the user is asked to confirm: the question, and the arguments of the call."""
    arguments = filled(state.call.arguments, names) if state.call else None
    return digest_of([state.name, said(state.confirm, names), arguments])


def _asks_for_news(request: ChatRequest) -> bool:
    """Whether a message is as short as "any news?"; what became of the approval answers it."""
    return len(request.messages[-1].content.split()) <= NEWS_WORDS if request.messages else True


def _mentions(turn: Turn, choices: Sequence[str]) -> bool:
    """Whether what is said in this turn names the choices already."""
    return all(any(choice in text for text in turn.texts) for choice in choices)


def _holds(when: str, names: Mapping[str, Json]) -> bool:
    from inhouse.agents.expression import Expression

    return Expression(when).holds(names)
