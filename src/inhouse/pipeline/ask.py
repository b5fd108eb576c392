"""Asking what was built, from the command line: a search, a question to two arms, a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from inhouse.assembly.arms import Arms, Built, Messages
from inhouse.assembly.guard import Parts, guards_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, Reply, collect
from inhouse.guardrails.rail import Guard
from inhouse.pipeline.stages import calibration_of, guard_of, index, weights
from inhouse.retrieval.ranking import Hit
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
    """Talks with the recommended arm until an empty line or the end of input."""
    arms = open_arms(workspace)
    model = arms.open(recommended(workspace))
    messages: Messages = ()

    async def answer() -> str:
        text = ""
        async for event in model.stream(_request(workspace, messages, groups)):
            if piece := getattr(event, "text", ""):
                write(piece)
                text += piece
        write("\n")
        return text

    try:
        while question := _line(read):
            messages = (*messages, Message(role="user", content=question))
            messages = (*messages, Message(role="assistant", content=asyncio.run(answer())))
    finally:
        arms.close()


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
    return Arms(Built(
        workspace.project, workspace.embedder, workspace.support, weights(workspace),
        workspace.store.latest("adapter"), at, workspace.fusion_of(at), None if bare else guard_of(workspace),
    ))  # fmt: skip


def guards(workspace: Workspace) -> list[Guard]:
    """The rails of the recommended arm, with the actions for their findings."""
    return guards_of(Parts(workspace, workspace.project, calibration_of(workspace), recommended(workspace)))


def _request(workspace: Workspace, messages: Messages, groups: frozenset[str]) -> ChatRequest:
    return ChatRequest(messages=messages, max_tokens=workspace.project.assistant.max_tokens, groups=groups)


def _line(read: Callable[[], str]) -> str:
    try:
        return read().strip()
    except EOFError:
        return ""
