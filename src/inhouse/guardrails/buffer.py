"""Outgoing text: buffered until its sentence is complete, then released unchanged or changed.

How the stream is cut into deltas does not affect the sentences. An answer that nothing changes leaves in the same
events in which it arrived.
"""

from __future__ import annotations

from collections.abc import Iterator

from inhouse.chat import ChatEvent, Delta
from inhouse.text.sentences import first_sentence


class Buffer:
    """Events of a stream in their order. `sentence` returns the next complete one; `keep` or `change` decides on it.

    Args:
        whole: treat the answer as one sentence; one that begins like JSON is treated so in any case.
    """

    def __init__(self, whole: bool) -> None:
        self._events: list[ChatEvent] = []
        self._text = ""  # of the events, from the first undecided character on
        self._decided = 0  # characters at the start of the events that may leave
        self._whole = whole
        self._started = False

    def add(self, event: ChatEvent) -> None:
        self._events.append(event)
        if isinstance(event, Delta):
            self._text += event.text
            if not self._started and (start := self._text.lstrip()):
                self._started = True
                self._whole = self._whole or start[0] == "{"

    def sentence(self, last: bool = False) -> str | None:
        """The next sentence with the space after it; None until it is complete. `last` returns whatever is left."""
        if not self._whole and (sentence := first_sentence(self._text)):
            return sentence
        return self._text or None if last else None

    def keep(self, sentence: str) -> None:
        """Lets the sentence leave unchanged."""
        self._text = self._text[len(sentence) :]
        self._decided += len(sentence)

    def change(self, sentence: str, text: str) -> None:
        """Lets `text` leave instead of the sentence. Deltas that are cut lose their token probabilities."""
        start, end = self._decided, self._decided + len(sentence)
        events: list[ChatEvent] = []
        at, inserted = 0, False
        for event in self._events:
            size = len(event.text) if isinstance(event, Delta) else 0
            if not isinstance(event, Delta) or not size or at + size <= start or at >= end:
                events.append(event)
            else:
                here = "" if inserted else text
                pieces = (event.text[: max(start - at, 0)], here, event.text[max(end - at, 0) :])
                events += [Delta(text=p) for p in pieces if p]
                events += [Delta(text="", tool_calls=event.tool_calls)] if event.tool_calls else []
                inserted = True
            at += size
        self._events = events
        self._text = self._text[len(sentence) :]
        self._decided += len(text)

    def ready(self) -> Iterator[ChatEvent]:
        """The events that may leave. An event that reaches into undecided text stays."""
        while self._events:
            event = self._events[0]
            size = len(event.text) if isinstance(event, Delta) else 0
            if size > self._decided:
                return
            self._decided -= size
            yield self._events.pop(0)

    def drop(self) -> Iterator[ChatEvent]:
        """What was decided, cut where that ends; the rest is discarded."""
        yield from self.ready()
        if self._decided and isinstance(event := self._events[0], Delta):
            yield Delta(text=event.text[: self._decided])
        self._events, self._text, self._decided = [], "", 0
