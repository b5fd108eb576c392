"""Fixtures of the room: the shipped embedder, cached, and the anonymizer of the training data."""

import pytest

from inhouse.chat import ChatRequest
from inhouse.guardrails.guarded import Guarded, GuardedSettings
from inhouse.guardrails.rail import Guard, Turn
from inhouse.guardrails.runner import Threads
from inhouse.privacy.anonymize import Anonymizer
from inhouse.text.cache import CachedEmbedder
from inhouse.types import Message, Passage

HANDOFF = "A colleague will help you."


@pytest.fixture(scope="session")
def cached(embedder):
    return CachedEmbedder(embedder)


@pytest.fixture(scope="session")
def finder(models_dir):
    finder = Anonymizer(models_dir / "en-core-web-sm", ["Alder Falls"])
    finder.learn(["Call us on 555-010-7788 or write to help@alderfalls.example. The wire fee is $25."])
    return finder


@pytest.fixture(scope="session")
def turn():
    """Makes an exchange from its messages, the user's first, and its passages."""

    def make(*texts: str, passages=()) -> Turn:
        roles = ("user", "assistant")
        messages = tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(texts or ("hi",)))
        found = (Passage(source=f"{n}.md", title="", heading="", text=p) for n, p in enumerate(passages, 1))
        return Turn(ChatRequest(messages=messages), tuple(found))

    return make


@pytest.fixture(scope="session")
def guarded():
    """Wraps a model in rails, each with its actions."""

    def wrap(model, *guards: Guard, **settings) -> Guarded:
        return Guarded(model, Threads(guards), GuardedSettings(**{"handoff": HANDOFF, **settings}))

    return wrap
