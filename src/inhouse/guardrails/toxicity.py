"""Insults, threats, hatred and obscenity, in questions and answers: a classifier over embeddings and word patterns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from inhouse.guardrails import classifier
from inhouse.guardrails.classifier import Classifier, compiled, counts, joined
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text.cache import CachedEmbedder
from inhouse.text.sentences import windows
from inhouse.types import Matrix

_S = r"[\W_]?"  # what people put between letters to disguise a word
_PATTERNS = compiled({
    "obscene_fuck": rf"\bf{_S}[u*#@v]{_S}[c*#@]{_S}k\w*|\bfk(?:ing?|ed|er)\b|\bfuk\w*|\bstfu\b|\bgtfo\b|\bwtf\b",
    "obscene_mild": rf"\bs{_S}h{_S}[i*!1]{_S}t\w*|\bbull ?shit\w*|\bcrap\w*|\bdamn\w*|\bpiss\w*",
    "obscene_ass": (
        r"\b(?:ass|arse)(?:hole|hat|wipe)?s?\b|\ba\*\*\w*|\bjack ?ass\b|\bdumb ?ass\w*|\bdouche\w*|\bprick\w*"
        r"|\bwank\w*"
    ),
    "obscene_bitch": r"\bb[i*1!]tch\w*|\bcunt\w*|\bc\*nt|\bslut\w*|\bwhore\w*|\bhoe?s\b|\btwat\w*|\bskank\w*",
    "obscene_sexual":
        r"\bdick\w*|\bcock\b|\bpussy\w*|\btits?\b|\bcum\b|\bsuck (?:my|it|on)\b|\bblow ?job\b|\brap(?:e|ed|ist)\w*",
    "slurs": (
        r"\bn[i1*]gg\w*|\bf[a4@]gg?\w*|\bretard\w*|\btard\w*|\bspic\b|\bkike\w*|\bchink\w*|\btrann\w+"
        r"|\bdyke\w*|\bcoon\b"
    ),
    "insults": (
        r"\b(?:idiot|moron|imbecile|stupid|dumb|fool|loser|clown|pathetic|worthless|useless|brain ?dead"
        r"|ignorant|lunatic|psycho)\w*"
    ),
    "dehumanizing": (
        r"\b(?:scum|trash|garbage|filth\w*|vermin|pig|pigs|rat|snake|parasite|cockroach\w*|disgust\w+|vile"
        r"|creep\w*|ugly|fat)\b"
    ),
    "threats": (
        r"\b(?:kill|murder|shoot|hang|stab|burn|beat|punch|slap|strangle|destroy) (?:you|him|her|them|all"
        r"|yourself|every)\w*|\bkys\b"
    ),
    "death": r"\b(?:die|dead|death|rot|burn in hell|go to hell|drop dead|rope|gallows)\b",
    "hatred": r"\b(?:hate|despise|loathe|sick of|fed up)\b",
    "groups": (
        r"\b(?:jews?|muslims?|blacks?|whites?|gays?|lesbians?|mexicans?|immigrants?|women|feminists?|liberals?"
        r"|republicans?|democrats?"
        r"|libs|christians?|asians?|arabs?|trans)\b"
    ),
    "accusations": r"\b(?:nazi|fascist|racist|pedo\w*|groom\w*|terrorist|communist|traitor|criminal|liar)s?\b",
    "second_person": r"\b(?:you|your|you're|ur|u)\b",
    "go_away": r"\b(?:shut up|get lost|go away|screw you|eat it|bite me|get a life|grow up)\b",
    "masked_words": r"\b\w*[a-z][*@#$%!]{2,}\w*\b|\b[a-z]\*+[a-z]+\b",
    "exclamations": r"!{2,}|\?!",
    "capitals": r"\b(?-i:[A-Z]{4,})\b",
    "courtesy": r"\b(?:please|thanks?|thank you|appreciate|help)\b",
})  # fmt: skip
_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}")
FEATURES = (*_PATTERNS, "length")  # after the embedding, in this order
shipped = partial(classifier.shipped, "toxicity", FEATURES)


def pieces(text: str) -> list[str]:
    """What is classified separately: the windows of the text, or the text where it has none."""
    return windows(text) or [text]


def rows(texts: Sequence[str], embedder: CachedEmbedder) -> Matrix:
    """The classifier's input, one row per text."""
    return joined(embedder.embed(texts), [[*counts(t, _PATTERNS.values()), len(t.split()) / 40] for t in texts])


class Toxicity:
    """The rail on the last user message and on each sentence of the answer."""

    name = "toxicity"
    sides: frozenset[Side] = frozenset({"input", "output"})

    def __init__(self, embedder: CachedEmbedder, classifier: Classifier) -> None:
        self._embedder = embedder
        self._classifier = classifier

    def score(self, text: str) -> float:
        """The probability of the most toxic piece of the text."""
        return float(self._classifier.probability(rows(pieces(text), self._embedder)).max())

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        if side == "output":
            text = _MAIL.sub("us", text)  # abuse@ is an address to write to, which the links rail checks
        if not text.strip() or (score := self.score(text)) < self._classifier.threshold:
            return None
        return Finding(score=score, reason="insult, threat or obscenity")
