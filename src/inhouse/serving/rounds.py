"""What a device and its main server have for each other, round by round. Neither half needs the other to succeed.

A server or a network that is down changes nothing on the device: the release that is there keeps answering, what
happened stays in its audit log, and the next round continues where this one ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from inhouse.assembly.workspace import Workspace
from inhouse.config.gateway import Edge
from inhouse.errors import InhouseError
from inhouse.serving.sync import Synced, source_of, sync
from inhouse.serving.upload import House, Sent, send

FIRST_PAUSE_S = 30.0  # after a round that failed; doubled with each further one


@dataclass(frozen=True)
class Round:
    """What one round did; None for a half that failed or is not set. `failed` has the errors."""

    sent: Sent | None
    release: Synced | None
    failed: tuple[InhouseError, ...]


def exchange(workspace: Workspace, settings: Edge, key: str, allow_older: bool = False) -> Round:
    """Sends what happened here to `settings.house`, then fetches the newest release of `settings.source`.

    Args:
        workspace: the folder for devices.
        settings: one of both places may be empty.
        key: API key of the role `device` at the main server.
        allow_older: also install a release that is older.
    """
    failed: list[InhouseError] = []
    sent = release = None
    if settings.house:  # first: what people are waiting for
        try:
            with workspace.ledger() as ledger, House(settings.house, key) as at:
                sent = send(ledger, at)
        except InhouseError as error:
            failed.append(error)
    if settings.source:
        try:
            release = sync(workspace, source_of(settings.source, settings.house, key), allow_older)
        except InhouseError as error:
            failed.append(error)
    return Round(sent, release, tuple(failed))


def rounds(one: Callable[[], Round], every_s: float, sleep: Callable[[float], None] = time.sleep) -> Iterator[Round]:
    """A round every so often, and sooner after one that failed; a single one where `every_s` is 0."""
    failures = 0
    while True:
        done = one()
        yield done
        if not every_s:
            return
        failures = failures + 1 if done.failed else 0
        sleep(pause_s(every_s, failures))


def pause_s(every_s: float, failures: int) -> float:
    """Seconds until the next round, after so many that failed in a row."""
    return min(every_s, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 32)) if failures else every_s
