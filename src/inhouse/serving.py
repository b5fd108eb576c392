"""Releases opened: the same nesting that was evaluated, over the artifacts and settings that the release names."""

from __future__ import annotations

from collections.abc import Mapping

from inhouse.pipeline import Site
from inhouse.types import ChatModel, Release


class Opened:
    """A release that answers, until it is closed."""

    release: Release
    model: ChatModel

    def close(self) -> None: ...


def open_release(site: Site, release: Release) -> Opened:
    """The release as a ChatModel; its first event is the note of layer "release", kind "served"."""


class Fleet:
    """Every model that the gateway answers with, by name, and the change from one release to the next.

    `custom` is the release in production, or the live split around it; `base` is the base model of that release as it
    is; then come the releases that are open by their own names, and `others` (upstreams).
    """

    def __init__(self, site: Site, others: Mapping[str, ChatModel] | None = None) -> None: ...

    def names(self) -> list[str]: ...

    def model(self, name: str) -> ChatModel: ...

    async def refresh(self) -> bool:
        """Opens what `serving()` now says, then lets the old go; True where something changed."""

    def close(self) -> None: ...
