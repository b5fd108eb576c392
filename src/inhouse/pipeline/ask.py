"""Asking what was built, from the command line: a search, a question to two arms, a conversation."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence

from inhouse.assembly.arms import Arms, Messages
from inhouse.assembly.guard import Parts, guards_of
from inhouse.assembly.isolated import load
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatModel, ChatRequest, Reply, collect, streaming
from inhouse.guardrails.rail import Guard
from inhouse.pipeline.acting import team_of
from inhouse.pipeline.commands import wanted
from inhouse.pipeline.folders import folder_of
from inhouse.pipeline.opened import built_of, calibration_of, guard_of
from inhouse.pipeline.stages import index, weights
from inhouse.retrieval.ranking import Hit
from inhouse.store.actions import actor
from inhouse.types import Message


def search(workspace: Workspace, query: str, k: int, groups: frozenset[str]) -> list[Hit]:
    """The k best passages for a query that members of the groups may read."""
    at = index(workspace)
    return workspace.index(at, workspace.fusion_of(at)).search(query, k, groups)


def ask(workspace: Workspace, question: str, groups: frozenset[str]) -> dict[str, Reply]:
    """The answers of the base model and of the recommended arm."""
    arms = open_arms(workspace)
    request = _request(workspace, (Message(role="user", content=question),), groups)
    try:
        return {name: asyncio.run(collect(arms.open(name), request)) for name in ("base", recommended(workspace))}
    finally:
        arms.close()


def chat(workspace: Workspace, groups: frozenset[str], read: Callable[[], str], write: Callable[[str], None]) -> None:
    """Talks with the recommended arm, or with the project's agents, until an empty line or the end of input."""
    with workspace.ledger() as ledger:
        arms = open_arms(workspace)
        try:
            agents = bool(workspace.project.agent)
            model = (
                team_of(workspace, arms, recommended(workspace), ledger)
                if agents
                else arms.open(recommended(workspace))
            )
            _talk(workspace, model, groups, read, write)
        finally:
            arms.close()


def _talk(
    workspace: Workspace, model: ChatModel, groups: frozenset[str], read: Callable[[], str],
    write: Callable[[str], None],
) -> None:  # fmt: skip
    messages: Messages = ()
    conversation, user = uuid.uuid4().hex, actor().id

    async def answer() -> str:
        text = ""
        request = _request(workspace, messages, groups).model_copy(update={"conversation": conversation, "user": user})
        async with streaming(model, request) as events:
            async for event in events:
                if piece := getattr(event, "text", ""):
                    write(piece)
                    text += piece
        write("\n")
        return text

    while question := _line(read):
        messages = (*messages, Message(role="user", content=question))
        messages = (*messages, Message(role="assistant", content=asyncio.run(answer())))


def recommended(workspace: Workspace) -> str:
    """The arm that the last verdict recommends. Without a verdict, or when it recommends base: rag, with the custom
    model if there is one."""
    report = workspace.store.latest("report")
    arm = str(report.facts["recommended"]) if report else ""
    if arm and arm != "base":
        return arm
    return "tuned+rag" if workspace.store.latest("adapter") else "rag"


def open_arms(workspace: Workspace, bare: bool = False) -> Arms:
    """The arms over what is built, behind the project's guardrails unless `bare`."""
    at = index(workspace)
    custom, read, both = (workspace.store.latest(k) for k in ("adapter", "pretrained", "pretrained_adapter"))
    plain = folder_of(workspace, weights(workspace), custom, None, read, both)
    guard = None if bare else guard_of(workspace)
    learned = workspace.store.latest("commands") if wanted(workspace.project) else None
    experts = workspace.store.latest("experts") if workspace.project.expert else None
    fused = workspace.fusion_of(at)
    built = built_of(workspace, weights(workspace), custom, plain, at, fused, guard, learned, None, read, both, experts)
    return Arms(built)


def guards(workspace: Workspace) -> list[Guard]:
    """The rails of the recommended arm, with the actions for their findings."""
    return guards_of(Parts(workspace, workspace.project, calibration_of(workspace), recommended(workspace)))


def loaded(guards: Sequence[Guard]) -> float:
    """Has the rails load their models, and returns how long that took, in seconds; afterwards a check takes as long as
    in a server."""
    started = time.perf_counter()
    load(guards)
    return time.perf_counter() - started


def _request(workspace: Workspace, messages: Messages, groups: frozenset[str]) -> ChatRequest:
    return ChatRequest(messages=messages, max_tokens=workspace.project.assistant.max_tokens, groups=groups)


def _line(read: Callable[[], str]) -> str:
    try:
        return read().strip()
    except EOFError:
        return ""
