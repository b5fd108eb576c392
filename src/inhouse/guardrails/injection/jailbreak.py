"""Jailbreaks: text of a user that tries to override the assistant's instructions.

A classifier over MiniLM embeddings and hand-made features; the window with the highest probability counts, of the text
and of its other readings (`text/disguise.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from inhouse.guardrails import classifier
from inhouse.guardrails.classifier import Classifier, joined
from inhouse.guardrails.injection import languages
from inhouse.guardrails.injection.features import FEATURES, features_of
from inhouse.guardrails.rail import Finding, Side, Turn
from inhouse.text.cache import VECTORS, CachedEmbedder, Recent
from inhouse.text.disguise import readings, restored, unseen, written
from inhouse.text.sentences import SENTENCE_GAP, windows
from inhouse.types import Matrix, Message

HIDDEN = 3.0  # odds of a window of which most letters are in words that the text hides
FEWEST_WORDS = 4  # "2 pm", "yes please": too short for an instruction
WISH_WORDS = 25  # at most, of a sentence that asks for a person
SHORT_WORDS = 60  # of a message from which wishes for a person are left out
SHOUTED = 0.7  # share of the words in capitals from which a text is all capitals

_PERSON = (
    r"(?:human|person|agent|representative|operator|manager|supervisor|somebody|someone|employee|colleague|advis[eo]r"
    r"|member of (?:your )?(?:staff|team)|customer (?:service|support|care))s?\b"
)
_WISH = re.compile(
    rf"\b(?:talk|speak|chat|discuss|connect\w*|transfer\w*|reach|put|hand|switch)\b[^.,?!\n]{{0,40}}\b{_PERSON}"
    rf"|\b(?:get|give|find|send) (?:me|us) (?:(?:an?|the|your|some) )?(?:\w{{1,12}} )?{_PERSON}"
    rf"|\b(?:need|want) (?:(?:an?|the|your|some) )?(?:\w{{1,12}} )?{_PERSON}",
    re.IGNORECASE,
)
_ATTACKS = frozenset(
    """override_rules ignore_previous role_play new_identity from_now_on without_rules unrestricted never_refuse
    special_mode names_a_model forbidden_content system_prompt placeholder speaker_labels new_task obey encoded links
    brackets""".split()  # noqa: SIM905
)
_OVERRIDES = [FEATURES.index(name) for name in ("override_rules", "ignore_previous")]
_SIGNS = [*_OVERRIDES, *map(FEATURES.index, ("special_mode", "unrestricted", "without_rules"))]
_HARMFUL = [n for n, name in enumerate(FEATURES) if name in _ATTACKS]
shipped = partial(classifier.shipped, "jailbreak", FEATURES)


def rows(texts: Sequence[str], embedder: CachedEmbedder) -> Matrix:
    """The classifier's input, one row per window."""
    return joined(embedder.embed(texts), [features_of(unshouted(t)) for t in texts])


def asks_for_a_person(text: str) -> bool:
    """Whether a short sentence asks for a person and has no sign of a jailbreak. It is never a reason to block."""
    if len(text.split()) > WISH_WORDS or not _WISH.search(text):
        return False
    values = features_of(unshouted(text))
    return not any(values[n] for n in _HARMFUL)


def without_wishes(text: str) -> str:
    """A short text without its sentences that ask for a person; the text itself where it has none or is longer."""
    if len(text.split()) > SHORT_WORDS:
        return text
    sentences = SENTENCE_GAP.split(text)
    left = [s for s in sentences if not asks_for_a_person(s)]
    return "\n".join(left) if len(left) < len(sentences) else text


def unshouted(text: str) -> str:
    """The text in lower case where most of its words are in capitals: those emphasize nothing then."""
    words = [w for w in text.split() if any(c.isalpha() for c in w)]
    return text.lower() if sum(w.isupper() for w in words) > SHOUTED * len(words) else text


class Jailbreak:
    """The rail on the user's side. It judges what the client sent: the new turn (the user's messages since the last
    answer), and messages of other roles, which may be made up as well.

    An earlier turn was judged when it was new. Where it was a jailbreak, the client was refused, and may send it again
    as part of the conversation, or has made it up: it is removed with its answer, so that the model does not read it,
    and the conversation goes on.

    Args:
        embedder: the one that the classifier was trained with.
        classifier: of English text.
        foreign: the score of a text in another language; 0 for English.
    """

    name = "injection"
    sides: frozenset[Side] = frozenset({"input"})

    def __init__(
        self, embedder: CachedEmbedder, classifier: Classifier, foreign: Callable[[str], float] = languages.score
    ) -> None:
        self._embedder = embedder
        self._classifier = classifier
        self._foreign = foreign
        self._scores: Recent[float] = Recent(VECTORS)  # a conversation repeats its earlier turns

    def score(self, texts: Sequence[str]) -> float:
        """The probability of the most suspicious window of the texts; 0 where all are too short."""
        known = self._scores.filled(texts, lambda new: map(self._score, new))
        return max((known[t] for t in texts), default=0.0)

    def check(self, side: Side, text: str, turn: Turn) -> Finding | None:
        messages = turn.request.messages
        began = _new_turn(messages)
        new = [m.content for m in messages[began:] if m.role == "user"]
        whole = ["\n".join(new)] if len(new) > 1 else []  # an instruction may be spread over several messages
        if (score := self.score([*(new or [text]), *whole])) >= self._classifier.threshold:
            return Finding(score=score, reason="jailbreak: tries to override the assistant's instructions")
        scores = {n: self._of_client(m) for n, m in enumerate(messages) if n < began or m.role != "user"}
        bad = [n for n, score in scores.items() if score >= self._classifier.threshold]
        if not bad:
            return None
        worst = max(scores[n] for n in bad)
        roles = {messages[n].role for n in bad if n >= began or messages[n].role == "system"}
        if "system" in roles:
            return Finding(score=worst, reason="jailbreak in a system message")
        if roles:  # the tool or the client wrote it, not the user
            return Finding(score=worst, reason=f"jailbreak in a message of role {min(roles)}", action="handoff")
        removed = {at for n in bad for at in _turn_of(messages, n, began)}
        return Finding(
            score=worst, reason="jailbreak in an earlier turn", removed=tuple(sorted(removed)), action="redact"
        )

    def _of_client(self, message: Message) -> float:
        """The score of a message that the client sent. System messages instruct and tools describe, so of roles other
        than the user's only sentences with a sign of an attack count."""
        if message.role == "user":
            return self.score([message.content])
        said = "\n".join((message.content, *_called(message)))
        texts = (said, *readings(said))
        signed = (s for text in texts for s in SENTENCE_GAP.split(text) if any(features_of(s)[n] for n in _SIGNS))
        return self.score(list(dict.fromkeys(signed)))

    def _score(self, text: str) -> float:
        others = readings(text)
        foreign = max(map(self._foreign, (text, *others)))
        words = written(text)
        weights = dict.fromkeys(_judged(restored(text)), 1.0)
        for window in (w for other in others for w in _judged(other)):
            weights.setdefault(window, _weight(window, words, len(text.split()) > SHORT_WORDS))
        long_enough = [w for w in weights if len(w.split()) >= FEWEST_WORDS]
        if not long_enough:
            return foreign
        p = self._classifier.probability(rows(long_enough, self._embedder)).astype(float)
        odds = p / (1 - p).clip(1e-9) * [weights[w] for w in long_enough]
        return max(foreign, float((odds / (1 + odds)).max()))


def _called(message: Message) -> Iterator[str]:
    """The names of the calls in a message, as words, and their arguments: the client writes these too, and the model
    reads the name before the result."""
    for call in message.tool_calls:
        function = call.get("function") or {}
        yield str(function.get("name") or "").replace("_", " ").replace("-", " ")
        yield str(function.get("arguments") or "")


def _weight(window: str, seen: frozenset[str], long: bool) -> float:
    """What the odds of a reading's window are multiplied by: more where its words were hidden, since few would hide
    harmless ones, and less where a long text has nearly all, since they were judged in it."""
    new = unseen(window, seen)
    return HIDDEN if new > 0.5 else 1 / HIDDEN if long and new < 0.15 else 1.0


def _judged(text: str) -> list[str]:
    """What of a text is judged: its windows, and alone its sentences with a sign of an attack, which others hide."""
    bare = without_wishes(text)
    found = windows(bare)
    if len(found) > 1 or any(SENTENCE_GAP.finditer(bare)):
        alone = (s for s in SENTENCE_GAP.split(bare) if any(features_of(s)[n] for n in _OVERRIDES))
        found += [w for s in alone for w in windows(s)]
    return found


def _turn_of(messages: Sequence[Message], n: int, began: int) -> range:
    """The positions of an earlier turn: from the user's message at or before `n` to the next one."""
    start = next((at for at in range(n, -1, -1) if messages[at].role == "user"), n)
    return range(start, next((e for e in range(n + 1, began) if messages[e].role == "user"), began))


def _new_turn(messages: Sequence[Message]) -> int:
    """Where the last run of the user's messages begins; results of tools may follow it."""
    at = max((n for n, m in enumerate(messages) if m.role == "user"), default=0)
    while at and messages[at - 1].role == "user":
        at -= 1
    return at
