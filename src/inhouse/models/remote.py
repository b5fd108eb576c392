"""An engine that others run, as one that is supervised here would look: nothing is started, restarted, or stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx

from inhouse.models.supervised import Watched

CHECK_S = 5.0  # between two looks at the server
SOON_S = 0.5  # the same, while it does not answer
PROBE_S = 8.0


class Remote(Watched):
    """A server at a URL, and the thread that looks whether it answers.

    Args:
        url: of the server, without /v1.
        name: what errors call it.
        probe: asks the server at this URL, within so many seconds, for something that it answers only while it works.
    """

    def __init__(self, url: str, name: str, probe: Callable[[str, float], None]) -> None:
        super().__init__(name)
        self.url = url
        self._probe = probe
        threading.Thread(target=self._watch, name="engine watcher", daemon=True).start()

    def memory_mb(self) -> float:
        """Memory on this machine."""
        return 0.0

    def close(self) -> None:
        self._closed.set()
        self._look.set()

    def _watch(self) -> None:
        while not self._closed.is_set():
            self._look.wait(SOON_S if self.trouble else CHECK_S)
            self._look.clear()
            try:
                self._probe(self.url, PROBE_S)
                self.trouble = ""
            except httpx.HTTPError as error:
                self.trouble = f"it does not answer ({type(error).__name__})"
