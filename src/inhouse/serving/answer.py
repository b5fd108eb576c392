"""One question to the release in production, without a server: `inhouse ask` in a folder for devices."""

from __future__ import annotations

import asyncio
from contextlib import closing

from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, Reply, collect
from inhouse.serving.edge import EDGE_FILE
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases, label
from inhouse.serving.sync import adopt
from inhouse.types import Message


def is_edge(workspace: Workspace) -> bool:
    """Whether the project is a folder that `inhouse export --for edge` made."""
    return (workspace.project.root / EDGE_FILE).is_file()


def ask(workspace: Workspace, question: str, groups: frozenset[str]) -> dict[str, Reply]:
    """The answer of the release in production, by its name.

    Raises:
        GateError: a file is not as it was signed or measured.
        InputError: no release is in production.
    """
    adopt(workspace)
    release = Releases(workspace).get("production")
    request = ChatRequest(
        messages=(Message(role="user", content=question),), groups=groups,
        max_tokens=workspace.project.assistant.max_tokens,
    )  # fmt: skip
    with closing(open_release(workspace, release)) as opened:
        return {label(release): asyncio.run(collect(opened.model, request))}
