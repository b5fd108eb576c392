"""Whether two questions ask the same, judged so that a difference that may matter is never overlooked.

Vectors alone cannot tell: "debit card" and "credit card", "with" and "without" are neighbors. So two questions are the
same only if their words are, but for those that say nothing (politeness, articles), those that mean the same everywhere
(same.toml), and the forms of a word. Numbers with their units, negations, what is asked for, obligation and permission,
the past, and what stands after "from" and "to" are compared by themselves. A word that is in one question alone makes
them different, whatever it is: names and products need no list. The rules are for English; questions in other languages
are the same only if they are written the same.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from inhouse.text.language import language
from inhouse.text.numbers import numbers
from inhouse.text.words import stem, without_greeting

CACHED = 5000  # frames of approved questions
MOST_CHARS = 1000  # a longer question is about one case
_APOSTROPHES = re.compile("[\u2019\u2018\u02bc`\u00b4]")
_END = " \t\n.?!\u2026\u3002\uff1f\uff01"
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W\d_]+)?[+#]*")
_PERSONS = {"i": "i", "me": "i", "we": "i", "us": "i", "you": "you"}
_OWNERS = {"my": {"my", "mine", "our", "ours"}, "your": {"your", "yours"}}


class Frame(NamedTuple):
    """What a question asks. Two questions with equal frames ask the same."""

    kind: str  # "when", "how long", ...; "" for yes or no
    words: tuple[str, ...]  # stems in one spelling, in their order: "the landlord owes the tenant" is not the reverse
    numbers: tuple[tuple[str, str], ...]
    marks: tuple[str, ...]  # negations, "before", "only", ..., sorted
    mode: tuple[str, ...]  # "can", "must", "past"
    who: tuple[str, ...]  # "i" and "you" in their order where both are there, or where "you" are asked to act


def written(text: str) -> str:
    """One spelling of a question: without a greeting, end marks, case, and different spaces and apostrophes."""
    plain = _APOSTROPHES.sub("'", unicodedata.normalize("NFKC", text)).casefold()
    return " ".join(without_greeting(" ".join(plain.split())).split()).strip(_END)


def comparable(text: str) -> bool:
    """Whether the rules suit a question: it is short, and in English."""
    return len(text) <= MOST_CHARS and language(text) in ("en", "") and text.isascii()


def difference(one: str, other: str) -> str:
    """What tells two questions apart, in a word or two; "" if they ask the same.

    Both must be `comparable`.
    """
    if written(one) == written(other):
        return ""
    a, b = frame(one), frame(other)
    if a.words != b.words:
        only = sorted((Counter(a.words) - Counter(b.words)) + (Counter(b.words) - Counter(a.words)))
        return f"words: {', '.join(only)}" if only else "order of words"
    for name in ("numbers", "kind", "marks", "mode", "who"):
        if getattr(a, name) != getattr(b, name):
            return name
    if _whose(one) ^ _whose(other) == {"my", "your"}:
        return "whose"
    return "directions" if _conflict(directions(one), directions(other)) else ""


@lru_cache(maxsize=CACHED)
def frame(text: str) -> Frame:
    """What a question asks."""
    lexicon, plain = _lexicon(), f" {' '.join(_TOKEN.findall(_opened(written(text))))} "
    for phrase, meaning in lexicon.phrases:
        plain = plain.replace(phrase, meaning)
    tokens = _turned(plain.split(), lexicon.empty)
    kind = next((t for t in tokens if t in lexicon.kinds), "")
    marks = sorted(lexicon.marks[t] for t in tokens if t in lexicon.marks)
    mode = {lexicon.modes[t] for t in tokens if t in lexicon.modes}
    if kind in ("HOW", "WHERE", "WHEN"):
        mode -= {"can"}  # "How can I ...?" is "How do I ...?"
    known = lexicon.kinds | lexicon.marks.keys() | lexicon.modes.keys() | lexicon.empty
    said = dict.fromkeys(lexicon.same.get(t) or lexicon.same.get(s := stem(t), s) for t in tokens if t not in known)
    cost = ("cost",) if said.pop("cost", "") is None else ()  # "What does it cost?" is "How much is it?"
    words = tuple(w for w in said if w not in lexicon.implied.get(kind, ()))
    return Frame(
        kind, (*words, *cost),
        tuple(sorted((n.value, n.unit) for n in numbers(text))), tuple(marks), tuple(sorted(mode)),
        _who(tokens) if kind != "HOW" else (),
    )  # fmt: skip


def directions(text: str) -> dict[str, str]:
    """The stems after "from" and "to", each with which of them it follows; articles between them do not matter."""
    lexicon, tokens = _lexicon(), _TOKEN.findall(written(text))
    found: dict[str, str] = {}
    for at, said in enumerate(tokens):
        if said in ("from", "to", "into"):
            after = next((t for t in tokens[at + 1 : at + 4] if t not in lexicon.empty), "")
            found[stem(after)] = "from" if said == "from" else "to"
    return found


def _conflict(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether a word is after "from" in one question alone: what is not after "from" may be after "to", or after
    nothing, as in "Can I move my savings?"."""
    return any((one.get(word) == "from") != (other.get(word) == "from") for word in one.keys() | other.keys())


def _whose(text: str) -> set[str]:
    tokens = set(_TOKEN.findall(written(text)))
    return {owner for owner, said in _OWNERS.items() if tokens & said}


def _who(tokens: Sequence[str]) -> tuple[str, ...]:
    """The order of "i" and "you" where both are there, or "you" after a word such as "can": "Can you call me?"."""
    persons = tuple(_PERSONS[t] for t in tokens if t in _PERSONS)
    asked = any(a in ("can", "could", "will", "would") and b == "you" for a, b in pairwise(tokens))
    return persons if len(set(persons)) > 1 or asked else ()


def _turned(tokens: list[str], empty: Collection[str]) -> list[str]:
    """The words, with "the driver of the printer" as "the printer driver"."""
    turned = list(tokens)
    for at, said in enumerate(turned):
        after = next((n for n in range(at + 1, min(at + 4, len(turned))) if turned[n] not in empty), 0)
        if said == "of" and at and after and turned[at - 1] not in empty:
            turned[at - 1 : after + 1] = [*turned[at + 1 : after + 1], turned[at - 1], "of"]
    return turned


def _opened(text: str) -> str:
    """The question without what people say before it: "Could you tell me whether ..."."""
    for opening in _lexicon().openings:
        if text.startswith(f"{opening} "):
            return _opened(text[len(opening) + 1 :])
    return text


class _Lexicon(NamedTuple):
    openings: tuple[str, ...]
    phrases: tuple[tuple[str, str], ...]
    kinds: frozenset[str]
    implied: dict[str, frozenset[str]]
    marks: dict[str, str]
    modes: dict[str, str]
    empty: frozenset[str]
    same: dict[str, str]


@lru_cache(maxsize=1)
def _lexicon() -> _Lexicon:
    table = tomllib.loads(Path(__file__).with_name("same.toml").read_text(encoding="utf-8"))

    def members(name: str) -> dict[str, str]:
        return {word: group for group, listed in table[name].items() for word in listed.split()}

    phrases = [(f" {p.strip()} ", f" {kind} ") for kind, some in table["kinds"].items() for p in some.split(",")]
    phrases += [
        (f" {p.strip()} ", f" {meaning} ") for meaning, some in table["phrases"].items() for p in some.split(",")
    ]
    same = {w: group for word, group in members("same").items() for w in (word, stem(word))}
    return _Lexicon(
        openings=tuple(sorted((p.strip() for p in table["openings"].split(",")), key=len, reverse=True)),
        phrases=tuple(sorted(phrases, key=lambda p: len(p[0]), reverse=True)),
        kinds=frozenset(table["kinds"]),
        implied={kind: frozenset(words.split()) for kind, words in table["implied"].items()},
        marks=members("marks"),
        modes=members("modes"),
        empty=frozenset(table["empty"].split()),
        same=same,
    )
