"""Question forms by language (templates.toml), for pairs that are made from documents.

The name of a section or of a cell is put in quotes, so that no form needs its grammatical case or gender; only English
takes it into the sentence. A language without forms gets no such pairs.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from inhouse.text.language import language
from inhouse.text.markdown import lines_with_code
from inhouse.text.words import length_in_words

FEWEST_WORDS = 10  # of a section whose own language counts more than that of its document
TRADITIONAL = "zh-Hant"
_SCRIPTS = ("個們這說請問關為時與進貨買賣後會來對開", "个们这说请问关为时与进货买卖后会来对开")


class Templates(NamedTuple):
    """The forms of a language.

    Attributes:
        about: put before a question that does not name its subject; {} is the title.
        section: asks for a section; {} is the heading.
        cell: asks for the cell of a table, {column} and {row}.
        says: the answer to that.
        named: asks for the only value of a row, {row}, in a table of names and values.
        is_value: the answer to that.
        dull: headings that say nothing, in lower case.
        personal: words of a customer's review, which is no statement of the business.
        stop: the end of a sentence.
        inside: names are written in lower case within a sentence, as in English.
    """

    about: tuple[str, ...]
    section: tuple[str, ...]
    cell: tuple[str, ...]
    says: str
    named: str
    is_value: str
    dull: frozenset[str]
    personal: str = r"(?!)"
    stop: str = "."
    inside: bool = False


def _read() -> dict[str, Templates]:
    tables = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    lists = ("about", "section", "cell")
    return {
        code: Templates(**table | {k: tuple(table[k]) for k in lists} | {"dull": frozenset(table["dull"].split(", "))})
        for code, table in tables.items()
    }


TEMPLATES = _read()
NEUTRAL = TEMPLATES["en"]._replace(about=("{}: ",), section=(), cell=(), personal=r"(?!)", inside=False)
"""For languages without forms: a question that stands in the document, with its subject before it."""


def language_of(text: str, around: str) -> str:
    """The language whose forms suit a section, where `around` is that of its document."""
    running = running_text(text)
    own = language(running) if length_in_words(running) >= FEWEST_WORDS else ""
    code = own or around
    if code == "zh":
        traditional, simplified = (sum(map(text.count, some)) for some in _SCRIPTS)
        return TRADITIONAL if traditional > simplified else code
    return code


def running_text(text: str) -> str:
    """The text without tables and code: column names and names of products tell no language."""
    return "\n".join(
        line for line, code in lines_with_code(text) if not code and line.count("|") < 2 and "```" not in line
    )


def main_language(texts: Iterable[str]) -> str:
    """The language that most of the texts are clearly in; "" where there is none."""
    counts = Counter(filter(None, map(language, texts)))
    return max(counts, key=lambda code: (counts[code], code)) if counts else ""


def is_personal(text: str, forms: Templates) -> bool:
    """Whether somebody speaks of themselves."""
    flags = re.NOFLAG if forms.inside else re.IGNORECASE
    return bool(re.search(forms.personal, text, flags))
