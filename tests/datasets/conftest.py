"""Fixtures of the room: the anonymizer over the shipped spaCy model, and short ways to write examples."""

import pytest

from inhouse.privacy.anonymize import Anonymizer
from inhouse.types import Example, Message


@pytest.fixture(scope="session")
def chat():
    """Writes an example turn by turn, the user first; the last text is the reply."""

    def written(*texts: str, **more) -> Example:
        roles = ("user", "assistant")
        messages = tuple(Message(role=roles[n % 2], content=t) for n, t in enumerate(texts[:-1]))
        return Example(**({"id": texts[0][:20], "messages": messages, "target": texts[-1]} | more))

    return written


@pytest.fixture(scope="session")
def spacy_folder(models_dir):
    return models_dir / "en-core-web-sm"


@pytest.fixture(scope="session")
def anonymizer(spacy_folder):
    return Anonymizer(spacy_folder, ["Cambridge Belfry", "Best Buy"])
