"""What the name of a field asks for: a kind of value, and the words that a value of it stands near."""

from __future__ import annotations

import re
from typing import NamedTuple

from inhouse.text.words import STOP, stem

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")
_EXACT = {
    "$": "usd dollar dollars", "€": "eur euro euros", "£": "gbp pounds",
    "%": "percent percentage pct apr apy rate yield interest prozent zinssatz zins",
    "minut": "minutes minute mins minuten", "hour": "hours hrs stunden", "day": "days tage", "week": "weeks wochen",
    "month": "months monate", "year": "years age yrs jahre alter",
}  # fmt: skip
_UNITS = {word: unit for unit, names in _EXACT.items() for word in names.split()}
_MONEY = frozenset(
    """fee fees price cost costs charge charges amount limit deposit payment balance penalty sum cents cent gebühr
    gebuehr gebühren gebuehren kosten preis betrag""".split()  # noqa: SIM905
)
_OF_TEXT = {
    "answer": "answer reply response text message content summary explanation details detail result information info"
    " statement conclusion note notes output body hours schedule availability",
    "reason": "reason reasoning rationale justification evidence quote explanation because why",
    "question": "question query",
    "time": "time cutoff opens opening closes closing open close deadline start end from until clock",
    "date": "date",
    "email": "email mail",
    "url": "url link website site web page",
    "phone": "phone telephone tel hotline",
    "code": "form code extension",
    "duration": "duration period term length wait delivery",
    "currency": "currency waehrung währung",
    "name": "branch city town place location person owner author country company bank who where customer",
    "subject": "service product item subject topic name title account card type kind category feature entity thing"
    " object plan label offering",
}  # fmt: skip
_KINDS = {word: kind for kind, names in _OF_TEXT.items() for word in names.split()}
PERMISSION = frozenset("allowed allow allows permitted possible eligible can may ok".split())  # noqa: SIM905
"""Words of fields that ask whether something may be done."""
PRICES = frozenset("fee fees price prices cost costs charge charges".split())  # noqa: SIM905
CERTAINTY = frozenset("confidence certainty probability".split())  # noqa: SIM905
SOURCES = frozenset("source sources citation citations reference references document documents".split())  # noqa: SIM905
_CITED = frozenset("used cited list urls ids files names of the".split())  # noqa: SIM905
_FROM = frozenset("from origin source departure sender".split())  # noqa: SIM905
_TO = frozenset("to into destination target recipient receiver".split())  # noqa: SIM905
_CENTS = re.compile(r"\b(?:cents?|minor units?)\b", re.IGNORECASE)
_FRACTION = re.compile(
    r"\b(?:fraction|ratio|between 0 and 1|from 0 to 1|0\.\d+ (?:for|is|means|=) ?\d+(?:\.\d+)? ?(?:%|percent))",
    re.IGNORECASE)  # fmt: skip
_SAME = {"receiv": "incom", "receipt": "incom", "send": "outgo", "sent": "outgo", "abroad": "intern",
         "foreign": "intern", "daili": "day", "monthli": "month", "yearli": "year", "annual": "year",
         "annum": "year", "weekli": "week", "hourli": "hour"}  # fmt: skip
"""Stems that are compared as another one."""


class Asked(NamedTuple):
    """What a field asks for.

    Attributes:
        words: the words of its name, in lower case.
        unit: of its number, "" if the name says none.
        money: an amount of money, if there is one; "" has no say about the unit.
        kind: of its text, such as "email" or "subject"; "" if the name says none.
        wanted: stems of the words that are near a value of it, without those that only say its kind.
        scale: by which a value is multiplied: 100 for cents; .01 for a share of one, where percent are written.
    """

    words: tuple[str, ...]
    unit: str
    money: bool
    kind: str
    wanted: frozenset[str]
    scale: float = 1.0

    @property
    def direction(self) -> str:
        """ "from" or "to", where it asks for one of two things between which something goes."""
        said = set(self.words)
        return "from" if said & _FROM else "to" if said & _TO else ""

    @property
    def cites(self) -> bool:
        """Whether it asks for the sources of the answer: "sources", not "required_documents"."""
        return not SOURCES.isdisjoint(self.words) and SOURCES.issuperset(set(self.words) - _CITED)


_OF_FORM = """fee fees price cost charge amount phone telephone email address number time date website much many long
get need""".split()  # noqa: SIM905
GENERIC = frozenset(stem(w) for w in (*_UNITS, *_OF_FORM))
"""Stems of words that say which kind of value is asked for, not what it is about."""


def asked_by(name: str, description: str = "") -> Asked:
    """What the field of this name and description asks for."""
    said = tuple(w.casefold() for w in _WORD.findall(name))
    told = tuple(w.casefold() for w in _WORD.findall(description))
    own = said[: said.index("per")] if "per" in said[1:] else said  # of "usd_per_month"
    unit = next((_UNITS[w] for w in (*reversed(own), *told) if w in _UNITS and (w in own or w != "interest")), "")
    kind = next((_KINDS[w] for w in reversed(said) if w in _KINDS), "") or next(
        (_KINDS[w] for w in told if w in _KINDS), ""
    )
    known = {*_UNITS, *_MONEY, *_KINDS, *STOP}
    wanted = frozenset(
        normal(stem(w))
        for n, w in enumerate(said)
        if (w not in known or n >= len(own)) and w not in STOP and not w.isdigit()
    )
    money = not unit and not _MONEY.isdisjoint(said)
    scale = 1.0
    if not {"cents", "cent"}.isdisjoint(said) or (money and _CENTS.search(description)):
        money, scale = not unit, 100.0
    elif not {"fraction", "ratio"}.isdisjoint(said) or _FRACTION.search(description):
        unit, scale = unit or "%", 0.01
    return Asked(said, unit, money, kind, wanted, scale)


def normal(stemmed: str) -> str:
    """The stem that stands for this one: "day" for "daily", "incoming" for "receive"."""
    return _SAME.get(stemmed, stemmed)
