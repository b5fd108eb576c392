"""Dialog acts: messages that ask nothing of the documents, such as a greeting or thanks, and wishes for a person.

A file per language in `languages/` lists the phrases that are an act and the words that may stand beside them. A
message is an act only if these cover every word of it, so "thanks" is one and "thanks, and the fee?" is not. A wish for
a person needs only one clause: "this is urgent, let me speak to an agent". Everything is linear in the length
of the message.

The keys of an act in a file, each a list of phrases separated by commas: `say` (the act itself), `with` (what may stand
beside it). `noun` of `identity` is what the assistant may be: it makes a question one of identity.
For `person` also: `ask` and `noun`, which together are a wish; `opens`, which may begin one after other
words; `unless`, which rules that out; `about`, after which anything may follow; `topic`, before which anything may
stand. At the top, `any` may stand beside every act, and `plain`, words without content, beside all but greetings and
questions of identity, and only where nothing is asked; `other_language` is the reply to a question in this language
where the assistant does not answer in it.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

Act = Literal["person", "identity", "complaint", "small_talk", "goodbye", "thanks", "greeting"]
ACTS: tuple[Act, ...] = get_args(Act)  # where a message has several, the first of them counts
COURTESY = frozenset({"small_talk", "goodbye", "thanks", "greeting"})  # a reply to it informs of nothing
LANGUAGES = ("en", "es", "fr", "de", "it", "pt", "nl", "pl", "sv", "tr", "ru", "uk", "ar", "hi", "zh", "ja", "ko", "vi")
ACCENTED = ("vi",)  # languages in which words often differ by accents alone
ASKING = "?\uff1f\u061f"
MOST_WORDS = 25  # of a message that is an act other than a wish; two East Asian characters count as a word
MOST_CHARS = 4000  # the end of a longer message is looked at
FOLDER = Path(__file__).parent / "languages"
_EAST_ASIAN = "\u3005\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_UNIT = re.compile(rf"[{_EAST_ASIAN}]|[^\W_{_EAST_ASIAN}\u0900-\u0963]+|[\u0900-\u0963\u0966-\u097f]+")
_CLAUSE_END = re.compile(
    r"[.,;:!?()\[\]\"\n\u2026\u3001\u3002\u0964\u061f\u060c\u061b\u00bf\u00a1\u2013\u2014\u00ab\u00bb]+| - "
)
_LATIN_MARKS = re.compile(r"(?<=[a-z])[\u0300-\u036f]+")
_REPEATED = re.compile(r"([^\W\d_])\1{2,}")
_SILENT = dict.fromkeys(map(ord, "'\u2019\u2018\u02bc`\u00b4\u0640\u200b\u200c\u200d\u2060\ufe0f"), None)
_SAME = str.maketrans("ıđłøёأإآىة", "idloеااايه") | dict.fromkeys(range(0x64B, 0x660))
Units = tuple[str, ...]  # words, or East Asian characters
STATED = ("complaint", "goodbye", "thanks")  # no act where a question mark is: "thanks, and then?"
BARE = frozenset({"any", "person.say"})
NOUNS = frozenset({"person.noun", "person.say"})


class Recognized(NamedTuple):
    """An act, and the language whose phrases it is in (two letters)."""

    act: Act
    language: str


def recognize(text: str, likely: str = "") -> Recognized | None:
    """The act of a user's message and its language; None where it asks or says something else.

    Args:
        text: the whole message.
        likely: language to prefer where the phrases are the same in several.
    """
    text = text[-MOST_CHARS:]
    clauses = _clauses(text)
    size = sum(0.5 if unit[0] >= "\u3005" else 1 for clause in clauses for unit in clause)
    if not size:
        return None
    found: Recognized | None = None
    accented = _clauses(text, folds=False)
    for name in sorted(LANGUAGES, key=lambda n: n != likely):
        lexicon, own = phrases(name), accented if name in ACCENTED else clauses
        words = {unit for clause in own for unit in clause}
        may_be_act = found is None and size <= MOST_WORDS and words <= lexicon.words
        if not may_be_act and not words & lexicon.nouns:
            continue
        matches = [lexicon.matches(clause) for clause in own]
        joined = [place for clause in matches for place in clause]  # "connect me, please, to an agent"
        if any(_wishes(clause) for clause in matches) or _wishes(joined, only=True):
            return Recognized("person", name)
        if may_be_act and (act := _whole(matches, any(mark in text for mark in ASKING))):
            found = Recognized(act, name)
    return found


def is_courtesy(text: str) -> bool:
    """Whether a message is nothing but a greeting, thanks, a goodbye, or small talk."""
    if len(text.split()) > MOST_WORDS:
        return False
    found = recognize(text)
    return found is not None and found.act in COURTESY


class Match(NamedTuple):
    """A phrase of the lexicon at a place of a clause: its number of units, and its roles, such as "thanks.say"."""

    length: int
    roles: frozenset[str]


NOTHING = Match(1, frozenset())
Matches = list[list[Match]]  # by place in a clause, the longest first


class Phrases:
    """The phrases of one language by their first word, and its replies by act.

    `words` are all words of its phrases, and `nouns` those that begin one for a person.
    """

    def __init__(self, table: Mapping[str, object], folds: bool) -> None:
        own = table.get("other_language")  # English has the default texts of [replies]
        self.replies: dict[str, str] = {"other_language": str(own)} if own else {}
        self._roles: dict[Units, frozenset[str]] = {}
        self._folds = folds
        self._add("any", str(table["any"]))
        self._add("plain", str(table["plain"]))
        for act in ACTS:
            for key, listed in dict(table[act]).items():  # type: ignore[call-overload]
                if key == "reply":
                    self.replies[act] = listed
                else:
                    self._add(f"{act}.{key}", listed)
        asks = [units for units, roles in self._roles.items() if "person.ask" in roles]
        for units, roles in self._roles.items():  # "I need" is in "I need to": what opens a wish may also ask for one
            if "person.opens" in roles and any(_within(part, units) for part in asks):
                self._roles[units] = roles | {"person.ask"}
        self.words = frozenset(unit for units in self._roles for unit in units)
        self.nouns = frozenset(units[0] for units, roles in self._roles.items() if roles & NOUNS)
        lengths: dict[str, set[int]] = {}
        for units in self._roles:
            lengths.setdefault(units[0], set()).add(len(units))
        self._lengths = {first: sorted(some, reverse=True) for first, some in lengths.items()}

    def matches(self, clause: Units) -> Matches:
        """Every phrase in the clause."""
        return [
            [
                Match(length, roles)
                for length in self._lengths.get(first, ())
                if at + length <= len(clause) and (roles := self._roles.get(clause[at : at + length]))
            ]
            for at, first in enumerate(clause)
        ]

    def _add(self, role: str, listed: str) -> None:
        for phrase in listed.split(","):
            units = tuple(unit for clause in _clauses(phrase, self._folds) for unit in clause)
            if units:
                self._roles[units] = self._roles.get(units, frozenset()) | {role}


def _within(part: Units, units: Units) -> bool:
    return any(units[n : n + len(part)] == part for n in range(len(units) - len(part) + 1))


@lru_cache(maxsize=len(LANGUAGES))
def phrases(language: str) -> Phrases:
    """The phrases of a language in LANGUAGES."""
    table = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return Phrases(table, folds=language not in ACCENTED)


def _clauses(text: str, folds: bool = True) -> list[Units]:
    """The words of each clause, in one spelling: without case, letters drawn out, and, if it `folds` them, accents on
    Latin letters."""
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold().translate(_SILENT))
    plain = unicodedata.normalize("NFC", _LATIN_MARKS.sub("", plain) if folds else plain).translate(_SAME)
    found = (tuple(_UNIT.findall(clause)) for clause in _CLAUSE_END.split(_REPEATED.sub(r"\1", plain)))
    return [clause for clause in found if clause]


def _whole(clauses: Sequence[Matches], asks: bool) -> Act | None:
    """The act of a message that consists of nothing else."""
    roles = {role for clause in clauses for role in _said(clause)}
    named = any("identity.noun" in match.roles for clause in clauses for place in clause for match in place)
    said: list[Act] = [act for act in ACTS if f"{act}.say" in roles and act != "person"]
    if named and asks and "identity" not in said:
        said.insert(0, "identity")
    allowed = {"any"} | {f"{act}.{key}" for act in said for key in ("say", "with", "noun")}
    if said and said[0] not in ("greeting", "identity") and (not asks or said[0] == "small_talk"):
        allowed.add("plain")
    if not said or not all(_covered(clause, allowed) for clause in clauses):
        return None
    return None if asks and said[0] in STATED else said[0]


def _said(clause: Matches) -> set[str]:
    """The roles of the longest phrases that are an act, from the left."""
    roles: set[str] = set()
    at = 0
    while at < len(clause):
        said = next((m for m in clause[at] if any(role.endswith(".say") for role in m.roles)), NOTHING)
        roles |= said.roles
        at += said.length
    return roles


def _covered(clause: Matches, allowed: set[str]) -> bool:
    """Whether phrases with the roles cover the whole clause."""
    reached = [True] + [False] * len(clause)
    for at, place in enumerate(clause):
        for match in place if reached[at] else ():
            if match.roles & allowed:
                reached[at + match.length] = True
    return reached[-1]


def _wishes(clause: Matches, only: bool = False) -> bool:
    """Whether a clause is a wish for a person, or ends with one unless it must be `only` that."""
    cut = _cut(clause)
    if cut and all(roles & BARE for roles in cut) and any("person.say" in roles for roles in cut):
        return True
    asked = any("identity.say" in match.roles for place in clause for match in place)
    barred = next((n for n, roles in enumerate(cut) if "person.unless" in roles), len(cut))
    runs = [(0, len(cut))] if only and all(_in_wish(roles) for roles in cut) else [] if only else _runs(cut)
    return not asked and any(_is_wish(cut, start, end, barred) for start, end in runs)


def _cut(clause: Matches) -> list[frozenset[str]]:
    """The clause cut from the left into the longest phrases that may be in a wish: their roles. Other words have none,
    or "person.unless"."""
    cut, at = [], 0
    while at < len(clause):
        best = next((m for m in clause[at] if _in_wish(m.roles)), None)
        unless = next((m for m in clause[at] if "person.unless" in m.roles), None)
        taken = max((m for m in (best, unless) if m), key=lambda m: m.length, default=NOTHING)
        cut.append(taken.roles)
        at += taken.length
    return cut


def _in_wish(roles: frozenset[str]) -> bool:
    return any(role == "any" or (role.startswith("person.") and role != "person.unless") for role in roles)


def _runs(cut: Sequence[frozenset[str]]) -> Iterator[tuple[int, int]]:
    """Where phrases of a wish stand without other words between them; only what it is about may follow."""
    start = 0
    for at, roles in enumerate(cut):
        if "person.about" in roles and at > start:
            yield start, at
            return
        if "person.topic" in roles or not _in_wish(roles):
            start = at + 1
    if start < len(cut):
        yield start, len(cut)


def _is_wish(cut: Sequence[frozenset[str]], start: int, end: int, barred: int) -> bool:
    if start and "person.topic" not in cut[start - 1]:  # other words come first: it begins where it may
        start = next((n for n in range(start, end) if "person.opens" in cut[n]), end)
        if barred < start:
            return False
    asks = {n for n in range(start, end) if "person.ask" in cut[n]}
    nouns = {n for n in range(start, end) if cut[n] & NOUNS}
    return bool(asks and nouns) and len(asks | nouns) > 1
