"""What the audit log keeps of a conversation that is too long for the model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from inhouse.types import Message, canonical_json

KEPT_CHARS, KEPT_MESSAGES = 2000, 20


def beginning(messages: Sequence[Message]) -> tuple[Message, ...]:
    """What the audit log keeps of a conversation that was refused for its length: the beginning, and in its last
    message the size and the sha256 of the canonical JSON of all messages."""
    whole = canonical_json([m.to_openai() for m in messages]).encode()
    kept, room = [], KEPT_CHARS
    for message in messages[:KEPT_MESSAGES]:
        kept.append(Message(role=message.role, content=message.content[:room]))
        if (room := room - len(message.content)) <= 0:
            break
    facts = f"{len(messages)} messages, {len(whole)} bytes, sha256 {hashlib.sha256(whole).hexdigest()}"
    kept[-1] = kept[-1].model_copy(update={"content": f"{kept[-1].content}... [refused for its length: {facts}]"})
    return tuple(kept)
