"""NLTK's stemmers, without what NLTK imports beside them."""

from __future__ import annotations

from typing import Any

from inhouse.text.hidden import hidden


def stemmers() -> Any:
    """The module nltk.stem."""
    with hidden("nltk", "scipy", "sklearn"):
        import nltk.stem
    return nltk.stem
