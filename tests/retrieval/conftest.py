"""A small index of four documents, one of them for staff alone, and retrieval over it."""

import pytest

from inhouse.config.sections import Assistant, Retrieval
from inhouse.retrieval.grounded import Grounding
from inhouse.retrieval.index import build_index
from inhouse.retrieval.search import Index
from inhouse.types import Document, Message, Silent


def _document(source, title, *sections, access=()):
    text = f"# {title}\n\n" + "\n\n".join(f"## {heading}\n\n{body}" for heading, body in sections)
    return Document(source=source, text=text, title=title, access=frozenset(access))


@pytest.fixture(scope="session")
def document():
    """Writes a document: its source, its title, and its sections as pairs of heading and text."""
    return _document


@pytest.fixture(scope="session")
def documents():
    return [
        _document("wires.md", "Wire Transfers", ("What does a wire cost?", "An outgoing wire costs $21.50."),
                  ("How long does it take?", "It takes one day.")),
        _document("cards.md", "River Card", ("What does it cost?", "The card has no yearly fee."),
                  ("Is there cash back?", "You get 1.4% back on groceries.")),
        _document("summit.md", "Summit Card", ("What does it cost?", "The card costs $89 a year.")),
        _document("staff/waivers.md", "Waiver Limits", ("What may a teller waive?", "A teller may waive up to $31."),
                  access=["staff"]),
    ]  # fmt: skip


@pytest.fixture(scope="session")
def settings():
    return Retrieval(passages=3)


@pytest.fixture(scope="session")
def folder(documents, settings, embedder, tmp_path_factory):
    out = tmp_path_factory.mktemp("index")
    build_index(documents, embedder, settings, out, None, Silent())
    return out


@pytest.fixture(scope="session")
def index(folder, embedder):
    return Index(folder, embedder)


@pytest.fixture(scope="session")
def assistant():
    return Assistant()


@pytest.fixture(scope="session")
def grounding(index, embedder, settings, assistant):
    return Grounding(index, embedder, settings, assistant)


@pytest.fixture(scope="session")
def say():
    """Writes a conversation turn by turn, the user first."""

    def messages(*texts):
        return tuple(Message(role=("user", "assistant")[n % 2], content=text) for n, text in enumerate(texts))

    return messages
