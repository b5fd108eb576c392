"""Asking what was built, from the command line: search, one question to two arms, a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from inhouse.assembly.arms import Arms, Built, Messages
from inhouse.assembly.guard import Parts, guards_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, Reply, collect
from inhouse.guardrails.rail import Guard
from inhouse.pipeline.stages import fusion_of, guard_of, index, weights
from inhouse.retrieval.search import Hit, Index
from inhouse.types import Message


def search(workspace: Workspace, query: str, k: int, groups: frozenset[str]) -> list[Hit]:
    """The best passages for a query, with the tuned fusion where there is one."""
    at = index(workspace)
    found = workspace.store.latest("fusion")
    fusion = Path(found.path) if found and at.key in found.parents else None
    return Index(Path(at.path), workspace.embedder, fusion).search(query, k, groups)


def ask(workspace: Workspace, question: str, groups: frozenset[str]) -> dict[str, Reply]:
    """The base model's answer and that of the arm that the verdict recommends, or of the best there is."""
    arms = open_arms(workspace)
    request = ChatRequest(
        messages=(Message(role="user", content=question),),
        max_tokens=workspace.project.assistant.max_tokens,
        groups=groups,
    )
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
        request = ChatRequest(messages=messages, max_tokens=workspace.project.assistant.max_tokens, groups=groups)
        async for event in model.stream(request):
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
    """The arm that the last verdict recommends; before there is one, or when it is base, the richest that is built."""
    report = workspace.store.latest("report")
    arm = str(report.facts["recommended"]) if report else ""
    if arm and arm != "base":
        return arm
    return "tuned+rag" if workspace.store.latest("adapter") else "rag"


def open_arms(workspace: Workspace, bare: bool = False) -> Arms:
    """The arms over what is built, behind the project's guardrails; `bare` leaves those out."""
    custom, at = workspace.store.latest("adapter"), index(workspace)
    guard = None if bare else guard_of(workspace)
    parts = Built(workspace.project, workspace.embedder, workspace.support, weights(workspace), custom, at,
                  fusion_of(workspace, at), guard)  # fmt: skip
    return Arms(parts)


def guards(workspace: Workspace) -> list[Guard]:
    """The project's rails, with the actions for their findings."""
    return guards_of(Parts(workspace, workspace.project, workspace.store.latest("calibration")))


def _line(read: Callable[[], str]) -> str:
    try:
        return read().strip()
    except EOFError:
        return ""
