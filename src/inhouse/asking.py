"""Asking what was built, from the command line: search, one question to two arms, a conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from inhouse.arms import Arms, Messages
from inhouse.pipeline import Site, grounding_of, guard_of, index, weights
from inhouse.retrieval.search import Hit, Index
from inhouse.types import ChatRequest, Message, Reply, collect


def search(site: Site, query: str, k: int, groups: frozenset[str]) -> list[Hit]:
    """The best passages for a query, with the tuned fusion where there is one."""
    at = index(site)
    found = site.store.latest("fusion")
    fusion = Path(found.path) if found and at.key in found.parents else None
    return Index(Path(at.path), site.embedder, fusion).search(query, k, groups)


def ask(site: Site, question: str, groups: frozenset[str]) -> dict[str, Reply]:
    """The base model's answer and that of the arm that the verdict recommends, or of the best there is."""
    arms = open_arms(site)
    request = ChatRequest(
        messages=(Message(role="user", content=question),), max_tokens=site.project.assistant.max_tokens, groups=groups
    )
    try:
        return {name: asyncio.run(collect(arms.open(name), request)) for name in ("base", recommended(site))}
    finally:
        arms.close()


def chat(site: Site, groups: frozenset[str], read: Callable[[], str], write: Callable[[str], None]) -> None:
    """Talks with the recommended arm until an empty line or the end of input."""
    arms = open_arms(site)
    model = arms.open(recommended(site))
    messages: Messages = ()

    async def answer() -> str:
        text = ""
        request = ChatRequest(messages=messages, max_tokens=site.project.assistant.max_tokens, groups=groups)
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


def recommended(site: Site) -> str:
    """The arm that the last verdict recommends; before there is one, or when it is base, the richest that is built."""
    report = site.store.latest("report")
    arm = str(report.facts["recommended"]) if report else ""
    if arm and arm != "base":
        return arm
    return "tuned+rag" if site.store.latest("adapter") else "rag"


def open_arms(site: Site, bare: bool = False) -> Arms:
    """The arms over what is built, behind the project's guardrails; `bare` leaves those out."""
    custom = site.store.latest("adapter")
    index(site)
    return Arms(
        site.project, weights(site), custom, grounding_of(site), site.support, None, None if bare else guard_of(site)
    )


def _line(read: Callable[[], str]) -> str:
    try:
        return read().strip()
    except EOFError:
        return ""
