"""Jailbreaks in other languages than English, by their phrases and by a classifier of the languages that have phrases:
the embeddings of the other classifier know English alone.

Three kinds of phrases: to lift the assistant's rules ("ignore all previous instructions"), to show its prompt, and to
play someone without rules. A customer's own message, letter, or order may be ignored and forgotten.
"""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from inhouse.guardrails.injection import grams
from inhouse.text.language import language

NEAR_CHARS = 60  # between the parts of a phrase
CERTAIN = 0.95  # the score of what is found


class Phrases(NamedTuple):
    """Patterns of one language; `phrases.toml` says what they are."""

    lift: re.Pattern[str]
    rules: re.Pattern[str]
    show: re.Pattern[str]
    prompt: re.Pattern[str]
    role: re.Pattern[str]
    free: re.Pattern[str]


@lru_cache(maxsize=1)
def phrases() -> dict[str, Phrases]:
    """The phrases by language."""
    tables = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text(encoding="utf-8"))
    return {
        name: Phrases(**{k: re.compile(v, re.IGNORECASE) for k, v in table.items()}) for name, table in tables.items()
    }


def score(text: str) -> float:
    """CERTAIN where the text is a jailbreak in another language; 0 otherwise."""
    found = has_phrase(text) or (language(text) in phrases() and grams.is_jailbreak(text))
    return CERTAIN if found else 0.0


def has_phrase(text: str) -> bool:
    return any(_found(text, p) for p in phrases().values())


def _found(text: str, p: Phrases) -> bool:
    return _near(text, p.rules, p.lift) or _near(text, p.prompt, p.show) or _near(text, p.free, p.role)


def _near(text: str, rare: re.Pattern[str], common: re.Pattern[str]) -> bool:
    """Whether one of the rare parts has one of the common ones near it, before or after."""
    return any(
        common.search(text, max(found.start() - NEAR_CHARS, 0), found.start())
        or common.search(text, found.end(), found.end() + NEAR_CHARS)
        for found in rare.finditer(text)
    )
