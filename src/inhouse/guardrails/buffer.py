"""Text on its way out: held until its sentence is whole, then released as it came, or changed.

How the stream was cut into deltas makes no difference to the sentences; an answer that nothing changes leaves in the
same events in which it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from inhouse.chat import ChatEvent, Delta

_ENDS = re.compile(r"(?:[.!?]+[\"'”’)\]]*\s+|\n\s*)(?=\S)")
_NO_END = re.compile(r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|St|No|e\.g|i\.e|vs|approx|Inc|Ltd)\.\s+$")


class Buffer:
    """Events of a stream in their order. `sentence` gives the next whole one; `keep` or `change` decides on it.

    Args:
        whole: the answer counts as one sentence, as does one that begins like JSON.
    """

    def __init__(self, whole: bool) -> None:
        self._events: list[ChatEvent] = []
        self._text = ""  # of the events, from the first undecided character on
        self._kept = 0  # characters of the first events that are decided and may go
        self._whole = whole
        self._begun = False

    def add(self, event: ChatEvent) -> None:
        self._events.append(event)
        if isinstance(event, Delta):
            self._text += event.text
            if not self._begun and (start := self._text.lstrip()):
                self._begun = True
                self._whole = self._whole or start[0] == "{"

    def sentence(self, last: bool = False) -> str | None:
        """The next sentence with the space after it; None until it is whole. `last` takes what is left."""
        for found in () if self._whole else _ENDS.finditer(self._text):
            if not _NO_END.search(self._text, 0, found.end()):
                return self._text[: found.end()]
        return self._text or None if last else None

    def keep(self, sentence: str) -> None:
        """Lets the sentence go as it is."""
        self._text = self._text[len(sentence) :]
        self._kept += len(sentence)

    def change(self, sentence: str, text: str) -> None:
        """Lets `text` go in the sentence's place. Token probabilities of deltas that are cut go with it."""
        start, end = self._kept, self._kept + len(sentence)
        events: list[ChatEvent] = []
        at, put = 0, False
        for event in self._events:
            size = len(event.text) if isinstance(event, Delta) else 0
            if not isinstance(event, Delta) or not size or at + size <= start or at >= end:
                events.append(event)
            else:
                here = "" if put else text
                pieces = (event.text[: max(start - at, 0)], here, event.text[max(end - at, 0) :])
                events += [Delta(text=p) for p in pieces if p]
                events += [Delta(text="", tool_calls=event.tool_calls)] if event.tool_calls else []
                put = True
            at += size
        self._events = events
        self._text = self._text[len(sentence) :]
        self._kept += len(text)

    def ready(self) -> Iterator[ChatEvent]:
        """The events that may go, each whole: one that reaches into the undecided waits."""
        while self._events:
            event = self._events[0]
            size = len(event.text) if isinstance(event, Delta) else 0
            if size > self._kept:
                return
            self._kept -= size
            yield self._events.pop(0)

    def drop(self) -> Iterator[ChatEvent]:
        """What was decided, cut where that ends; the rest is gone."""
        yield from self.ready()
        if self._kept and isinstance(event := self._events[0], Delta):
            yield Delta(text=event.text[: self._kept])
        self._events, self._text, self._kept = [], "", 0
