"""Fixtures of the room: the shipped heads over the shipped embedder, and personal data as it is found in training."""

import pytest

from inhouse.chat import ChatRequest
from inhouse.guardrails.rail import Turn
from inhouse.privacy.anonymize import Anonymizer
from inhouse.text.cache import CachedEmbedder
from inhouse.types import Message, Passage


@pytest.fixture(scope="session")
def cached(embedder):
    return CachedEmbedder(embedder)


@pytest.fixture(scope="session")
def finder(models_dir):
    made = Anonymizer(models_dir / "en-core-web-sm", ["Alder Falls"])
    made.learn(["Call us on 555-010-7788 or write to help@alderfalls.example. The wire fee is $25."])
    return made


@pytest.fixture(scope="session")
def turn():
    """An exchange by what was said, the user first, and its passages."""

    def made(*said: str, passages=(), **more) -> Turn:
        roles = ("user", "assistant")
        messages = tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(said or ("hi",)))
        return Turn(ChatRequest(messages=messages, **more),
                    tuple(Passage(source=f"{n}.md", title="", heading="", text=p) for n, p in enumerate(passages, 1)))  # fmt: skip

    return made
