"""Replies that are only polite: "You're welcome!", "How can I help you?", "One moment, please."

The phrases are what people at a help desk write around their answers. What customers write (greetings, thanks) is
recognized elsewhere, in more words; a caller may pass that in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from inhouse.privacy.given_names import GIVEN

MOST_CHARS, MOST_WORDS = 400, 16  # of a text, of a part of it
_CLAUSE_END = re.compile(
    r"[.,;:!?()\n\u2026\u3001\u3002\u0964\u061f\u060c\uff01\uff0c\uff1f\u00bf\u00a1\u2013\u2014~]+"
)
_WORD = re.compile(r"[^\W_]++(?:[\u0300-\u036f\u0900-\u0963\u0e31-\u0e4e]++[^\W_]*+)*+")
_APOSTROPHES = re.compile("['\u2019\u2018\u02bc`\u00b4]")
_FILLERS = frozenset(
    """yes no ok okay sure great perfect of course certainly absolutely alright right well and no problem no worries
    wonderful lovely please so then oh good excellent ja nein klar natürlich super oui non bien sûr sí no claro sì certo
    sim claro tak da да так ạ 好的 好 是的 はい 네 예""".split()  # noqa: SIM905
)


def is_polite(text: str, act: Callable[[str], bool] = lambda text: False) -> bool:
    """Whether a reply says nothing but something polite.

    Args:
        text: the reply.
        act: recognizes other such messages, such as a customer's thanks; asked for the whole text and each part of it.
    """
    if len(text) > MOST_CHARS:
        return False
    found, known, others = False, False, []
    for clause in _CLAUSE_END.split(text):
        spoken = _plain(clause)
        said = spoken.split()
        if _polite().fullmatch(spoken):
            found = known = True
        elif all(word in GIVEN or word in _FILLERS for word in said):
            known = known or bool(said)
        elif len(said) > MOST_WORDS:
            return False
        else:
            others.append(clause)
    if not others:
        return found
    return all(map(act, others)) if known else act(text)


@lru_cache(maxsize=1)
def _polite() -> re.Pattern[str]:
    lines = Path(__file__).with_name("courtesy.txt").read_text(encoding="utf-8").splitlines()
    return re.compile("|".join(line for line in lines if line and not line.startswith("#")))


def _plain(clause: str) -> str:
    folded = _APOSTROPHES.sub("", unicodedata.normalize("NFKC", clause).casefold())
    return " ".join(_WORD.findall(folded))
