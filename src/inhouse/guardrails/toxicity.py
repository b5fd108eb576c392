"""Insults, threats, hatred and obscenity, asked or answered: a head over embeddings and signs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inhouse.guardrails.classifier import Classifier, counts, windows
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text.cache import CachedEmbedder

if TYPE_CHECKING:
    from inhouse.types import Matrix

_S = r"[\W_]?"  # what is put between letters to hide a word
_FEATURES = [
    re.compile(p, re.IGNORECASE)
    for p in (
        rf"\bf{_S}[u*#@v]{_S}[c*#@]{_S}k\w*|\bfk(?:ing?|ed|er)\b|\bfuk\w*|\bstfu\b|\bgtfo\b|\bwtf\b",
        rf"\bs{_S}h{_S}[i*!1]{_S}t\w*|\bbull ?shit\w*|\bcrap\w*|\bdamn\w*|\bpiss\w*",
        r"\b(?:ass|arse)(?:hole|hat|wipe)?s?\b|\ba\*\*\w*|\bjack ?ass\b|\bdumb ?ass\w*|\bdouche\w*|\bprick\w*"
        r"|\bwank\w*",
        r"\bb[i*1!]tch\w*|\bcunt\w*|\bc\*nt|\bslut\w*|\bwhore\w*|\bhoe?s\b|\btwat\w*|\bskank\w*",
        r"\bdick\w*|\bcock\b|\bpussy\w*|\btits?\b|\bcum\b|\bsuck (?:my|it|on)\b|\bblow ?job\b|\brap(?:e|ed|ist)\w*",
        r"\bn[i1*]gg\w*|\bf[a4@]gg?\w*|\bretard\w*|\btard\w*|\bspic\b|\bkike\w*|\bchink\w*|\btrann\w+"
        r"|\bdyke\w*|\bcoon\b",
        r"\b(?:idiot|moron|imbecile|stupid|dumb|fool|loser|clown|pathetic|worthless|useless|brain ?dead"
        r"|ignorant|lunatic|psycho)\w*",
        r"\b(?:scum|trash|garbage|filth\w*|vermin|pig|pigs|rat|snake|parasite|cockroach\w*|disgust\w+|vile"
        r"|creep\w*|ugly|fat)\b",
        r"\b(?:kill|murder|shoot|hang|stab|burn|beat|punch|slap|strangle|destroy) (?:you|him|her|them|all"
        r"|yourself|every)\w*|\bkys\b",
        r"\b(?:die|dead|death|rot|burn in hell|go to hell|drop dead|rope|gallows)\b",
        r"\b(?:hate|despise|loathe|sick of|fed up)\b",
        r"\b(?:jews?|muslims?|blacks?|whites?|gays?|lesbians?|mexicans?|immigrants?|women|feminists?|liberals?"
        r"|republicans?|democrats?"
        r"|libs|christians?|asians?|arabs?|trans)\b",
        r"\b(?:nazi|fascist|racist|pedo\w*|groom\w*|terrorist|communist|traitor|criminal|liar)s?\b",
        r"\b(?:you|your|you're|ur|u)\b",
        r"\b(?:shut up|get lost|go away|screw you|eat it|bite me|get a life|grow up)\b",
        r"\b\w*[a-z][*@#$%!]{2,}\w*\b|\b[a-z]\*+[a-z]+\b",
        r"!{2,}|\?!",
        r"\b(?-i:[A-Z]{4,})\b",
        r"\b(?:please|thanks?|thank you|appreciate|help)\b",
    )
]


def pieces(text: str) -> list[str]:
    return windows(text) or [text]


def rows(found: Sequence[str], embedder: CachedEmbedder) -> Matrix:
    import numpy as np

    own = np.array([[*counts(w, _FEATURES), len(w.split()) / 40] for w in found], dtype=np.float32)
    return np.concatenate([embedder.embed(found), own], axis=1)


class Toxicity:
    """The rail, on what the user says last and on each sentence of the answer."""

    name = "toxicity"
    sides: frozenset[Side] = frozenset({"input", "output"})

    def __init__(self, embedder: CachedEmbedder, classifier: Classifier) -> None:
        self._embedder = embedder
        self._head = classifier

    def score(self, text: str) -> float:
        return float(self._head.probability(rows(pieces(text), self._embedder)).max())

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        if not text.strip() or (score := self.score(text)) < self._head.threshold:
            return None
        return Finding(score=score, reason="insults, threatens or is obscene")
