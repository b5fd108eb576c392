"""Attempts to turn the model round: in the user's own words, and in passages and tool results that it is given to read.

Both are heads over MiniLM embeddings and hand-made features, the highest window counting. In a user's text they look
for orders that lift the rules; in a passage for any order or question to an assistant that is not about the passage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from inhouse.guardrails.classifier import Classifier, counts, windows
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text import claims as wording
from inhouse.text.cache import VECTORS, CachedEmbedder, Recent

if TYPE_CHECKING:
    from inhouse.types import Matrix

_RULES = (
    r"(?:instruction|rule|guideline|prompt|polic(?:y|ies)|restriction|direction|command|programming|filter|safeguard"
    r"|limitation|limits|constraint|protocol|boundar(?:y|ies)|ethic|moral|censor|training|disclaimer|warning)\w*"
)
_FORBIDDEN = (
    r"\b(?:illegal|unethical|immoral|amoral|harmful|nsfw|explicit|offensive|dangerous|malicious|violen\w+|profan\w+"
    r"|vulgar|curs\w+|swear\w*|evil|hack\w*|erotic\w*|sexual\w*|drugs?|weapons?|bombs?|racis\w+|inappropriate)\b"
)
_FEATURES = [
    re.compile(p, re.IGNORECASE)
    for p in (
        rf"\b(?:ignore|disregard|forget|override|overrule|bypass|circumvent|violate|break"
        rf"|drop)\b[^.?!\n]{{0,50}}\b{_RULES}",
        r"\b(?:ignore|disregard|forget)\b[^.?!\n]{0,30}\b(?:previous|prior|above|earlier|everything|all of)\b",
        r"\b(?:act as|pretend|role-?play\w*|impersonat\w+|simulat\w+|play the (?:role|part) of|persona|emulate)\b",
        r"\b(?:you are|you're|you will be|become) (?:now |going to be |no longer )?(?:an? |the |my |(?-i:[A-Z]))",
        r"\b(?:from now on|from this point|henceforth|stay in character|in character|going forward)\b",
        rf"\b(?:no|without|free (?:of|from)|not? (?:bound|limited|restricted)\w* by|beyond|zero"
        rf"|any)\b[^.?!\n]{{0,25}}\b{_RULES}",
        r"\b(?:unrestricted|uncensored|unfiltered|unbound|unlimited|unmoderated|jailbr\w+|no longer bound)\b",
        r"\b(?:never|don'?t|do not|cannot|can'?t|must not|won'?t|not allowed to|unable to"
        r"|without)\b[^.?!\n]{0,25}\b(?:refus\w+"
        r"|declin\w+|reject\w*|apolog\w+|say(?:ing)? no|warn\w*|moraliz\w*|break character|mention\w*"
        r"|remind\w*|add\w*)\b",
        r"\b(?:developer|debug\w*|god|dan|admin\w*|sudo|root|maintenance|diagnostic|evil|opposite|test) mode\b",
        r"(?-i:\b(?:ChatGPT|GPT(?:-?\d)?|OpenAI|DAN|LLM|AI|Claude|Bard|Bing)\b)|\blanguage model\b|\bas an ai\b",
        _FORBIDDEN,
        r"\b(?:system|initial|hidden|original|secret|internal) (?:prompt|instruction|message|rule)\w*"
        r"|\b(?:reveal|print|repeat|show|output|display|leak)\b[^.?!\n]{0,30}\b(?:prompt|instructions|above"
        r"|configuration)\b",
        r"\b(?:two|both|each|every|all your|your next) (?:different |separate )?(?:responses?|answers?"
        r"|repl(?:y|ies)|outputs?)\b",
        r"[\[{<(](?:insert|your|put|prompt|user|question|query|topic|name|text)[^\]})>]{0,40}[\]})>]",
        r"\byou (?:will|must|should|shall|can|are to|have to|always|never|don'?t|cannot)\b",
        r"(?m)(?:^|\s)(?:system|assistant|user|human|ai|gpt|chatgpt|dan|bot) ?:|<\|\w+\|>|\[/?INST\]|#{3,}",
        r"\b(?:hypothetical\w*|fictional|fiction|imagin\w+|alternate|parallel|scenario|novel)\b",
        r"\b(?:if you understand|understood\?|acknowledge|are you ready|let'?s (?:begin|start|play)"
        r"|start (?:with|by|every))\b",
        r"\b(?:tokens?|points) \w+|\bwill be (?:shut ?down|terminated|punished|deleted|disconnected"
        r"|replaced)\b|\btip you\b",
        r"\b(?:respond|answer|reply|output|write|say) (?:only|with|as|in|every|like|to all|to every|my)\b",
        r"\b(?:new|following|real|actual|updated) (?:task|instruction|rule|order|directive|prompt)s?\b|\binstead\b",
        r"\b(?:do anything|anything i|whatever i|obey|comply|at all costs|no matter what|all questions|any question)\b",
        r"\b[A-Za-z0-9+/]{24,}={0,2}\b|(?:\b[0-9a-f]{2}\b ?){8,}|(?:\\x[0-9a-f]{2}){4,}|\b(?:base64|rot13|decode)\b",
        r"https?://|\bwww\.|\bcurl\b|\bwebhook\b",
        r"(?-i:\b[A-Z]{4,}\b)",
        r"[\[\]{}<>*]",
        r"\b(?:i|my|me|mine|i'm|i've|i'd)\b",
        r"\?",
        r"[^\x00-\x7f]",
    )
]
_ORDER = re.compile(
    r"^\W*(?:please |kindly |now |also |then |and |next |finally |instead,? )*(?:write|explain|describe"
    r"|translate|tell|give"
    r"|show|list|add|include|insert|integrate|modify|replace|use|rearrange|remove|group|draft|compose|create|generate"
    r"|summari[sz]e|provide|make|introduce|misspell|present|append|mention|compute|calculate|convert|rewrite|respond"
    r"|answer|reply|say|ignore|forget|disregard|print|output|repeat|send|forward|delete|recommend|suggest|find"
    r"|define|sort"
    r"|solve|compare|encode|decode|spell|reverse|capitali[sz]e|promote|encourage|advise|tweak|embed"
    r"|incorporate|begin|end"
    r"|scramble|set|call|remind|book|play|turn|schedule|design|outline|discuss|analy[sz]e|identify|classify)\b",
    re.IGNORECASE,
)
_ASKED = re.compile(
    r"^\W*(?:what|who|how|why|when|where|which|can you|could you|would you|will you|is|are|do|does)\b.*\?\W*$",
    re.I | re.S,
)
_OF_ANSWER = re.compile(
    r"\b(?:your|the|this|my|each|every) (?:\w+ )?(?:response|answer|reply|output|message|summary|text)s?\b", re.I
)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+")
FEWEST_WORDS = 4  # "2 pm", "yes please": too little for an order
MOST_SENTENCES = 60  # of a passage; a chunk has far fewer


def features(window: str) -> list[float]:
    """What a window has of each sign, and its share of words in capitals and its length."""
    words = window.split()
    capitals = sum(w.isupper() and len(w) > 2 for w in words) / max(len(words), 1)
    return [*counts(window, _FEATURES), capitals, len(words) / 40]


class Jailbreak:
    """The rail on the user's side; a jailbreak may stand in any of the user's messages."""

    name = "injection"
    sides: frozenset[Side] = frozenset({"input"})

    def __init__(self, embedder: CachedEmbedder, classifier: Classifier) -> None:
        self._embedder = embedder
        self._head = classifier

    def scores(self, texts: Sequence[str]) -> tuple[list[str], Matrix]:
        """Windows of the texts with the probability of each."""
        import numpy as np

        found = [w for t in texts for w in windows(t) if len(w.split()) >= FEWEST_WORDS]
        if not found:
            return [], np.zeros(0, dtype=np.float32)
        return found, self._head.probability(rows(found, self._embedder))

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        told = [m.content for m in turn.request.messages if m.role == "user"]
        _, p = self.scores(told or [text])
        if not len(p) or p.max() < self._head.threshold:
            return None
        return Finding(score=float(p.max()), reason="an attempt to lift the assistant's rules")


def rows(found: Sequence[str], embedder: CachedEmbedder) -> Matrix:
    """The head's input, a row a window: its embedding and its features."""
    import numpy as np

    own = np.array([features(w) for w in found], dtype=np.float32)
    return np.concatenate([embedder.embed(found), own], axis=1)


class IndirectInjection:
    """The rail on passages and tool results: orders and questions to an assistant that the text has no use for."""

    name = "injection"
    sides: frozenset[Side] = frozenset({"passages"})

    def __init__(self, embedder: CachedEmbedder, classifier: Classifier) -> None:
        self._embedder = embedder
        self._head = classifier
        self._scores: Recent[float] = Recent(VECTORS)  # passages come again

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        texts = [p.text for p in turn.passages]
        known = self._scores.filled(texts, lambda new: map(self.score, new))
        scores = [known[t] for t in texts]
        found = tuple(n for n, score in enumerate(scores) if score >= self._head.threshold)
        if not found:
            return None
        which = ", ".join(f"passage {n + 1} ({turn.passages[n].source})" for n in found)
        return Finding(score=max(scores), reason=f"orders to the assistant in {which}", passages=found)

    def score(self, text: str) -> float:
        """The probability of the sentence that is most like an order."""
        spans = sentences(text)
        return float(self._head.probability(passage_rows(spans, self._embedder)).max()) if spans else 0.0


def sentences(text: str) -> list[str]:
    return [s.strip() for s in _SENTENCE.split(wording.unwrapped(text)) if len(s.split()) > 1][:MOST_SENTENCES]


def passage_rows(found: Sequence[str], embedder: CachedEmbedder) -> Matrix:
    """A row a sentence: its embedding, its signs, and how far it stands from its neighbours and from the whole."""
    import numpy as np

    vectors = embedder.embed(found)
    n = len(found)
    alike = vectors @ vectors.T
    rest = (alike.sum(1) - 1) / max(n - 1, 1)
    own = []
    for i, sentence in enumerate(found):
        before = alike[i, i - 1] if i else rest[i]
        after = alike[i, i + 1] if i + 1 < n else rest[i]
        others = np.delete(alike[i], i)
        nearest = others.max() if n > 1 else 0.0
        order, asked = float(bool(_ORDER.match(sentence))), float(bool(_ASKED.match(sentence)))
        answer = float(bool(_OF_ANSWER.search(sentence)))
        far = 1 - max(float(nearest), 0.0)
        edge = float(i == 0 or i == n - 1)
        own.append([
            order, asked, answer, order * answer, order * far, asked * far, asked * (1 - after), float(before),
            float(after), float(rest[i]), float(nearest), edge, float(n == 1), *features(sentence),
        ])  # fmt: skip
    return np.concatenate([vectors, np.array(own, dtype=np.float32)], axis=1)
