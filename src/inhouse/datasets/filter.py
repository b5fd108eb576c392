"""Finds examples that are not worth training on, and duplicates; each with its reason.

Careful rather than strict: a short answer ("Yes, pets are welcome.") is often the best one.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from inhouse.config.sections import Curation
from inhouse.privacy.anonymize import PLACEHOLDER
from inhouse.text.language import language, spoken
from inhouse.text.numbers import digits
from inhouse.text.words import content_words, length_in_words, plain, words
from inhouse.types import Embedder, Example, Matrix

BLOCK = 1024
COMPARED_CHARS = 500  # of a conversation; more costs time and changes little
LIKE_ANSWERS = 0.8
LIKE_FOREIGN = 0.5  # of the pairs of characters
MAX_UNENDED_WORDS = 12
_NOTHING = frozenset(
    """ok okay k kk yes no yep nope sure done thanks thank you hello hi hey test testing n a na none idk hmm right good
    great fine cool will do got it noted np yw bye tbd todo null hm um""".split()  # noqa: SIM905
)
_MASHED = re.compile(
    r"^\W*+(?:(?:asdf\w*+|sdf\w*+|qwe\w*+|jkl\w*+|hjkl\w*+|zxcv\w*+|aaa+(?=abc)|aaa++|xxx++|foo|bar|baz|lorem|ipsum"
    r"|blah|test(?:ing|er)?\d*+|bla|abc)\W*+)++$", re.IGNORECASE,
)  # fmt: skip
_RUDE = re.compile(
    r"\b(?:idiots?|morons?|stupid|dumb(?:ass)?|shut up"
    r"|screw (?:you|off)|f+u+c+k\w*|bullsh\w+|shit\w*|crap|damn you"
    r"|go to hell|piss off|asshole|bastard|loser|imbecile|jerk|get lost"
    r"|not my (?:damn )?problem|don'?t (?:waste my|bother me)"
    r"|what(?:'s| is) wrong with you|(?:read|use) your (?:damn )?(?:brain|eyes)|are you (?:deaf|blind|serious)"
    r"|figure it out yourself|learn to read|(?:can'?t|cannot) you read|stop (?:bothering|wasting)"
    r"|google it)\b", re.IGNORECASE,
)  # fmt: skip
_ENDS = re.compile(  # each run of characters is read once, however long
    r"""(?:^|(?<=\w))[^\w.!?:;)\]}>*"'»`|\u0250-\U0010ffff]*+[.!?:;)\]}>*"'»`|\u0250-\U0010ffff]\W*+$"""
    r"|(?:\d|[^\W\x00-\u024f])\W*+$|(?<!\S)(?=\S++$)\S*?(?:\w\.\w{2,}+(?:/|$)|@\S)"
)
_HANGUL = re.compile("[\uac00-\ud7a3]")
_OPEN_WORDS = frozenset(
    """the a an and or but of to for with in on at by from is are was were if that which your our you can will would
    per be as than because when while until so into about after before between its their this these should must may
    have has had not only also up within""".split()  # noqa: SIM905
)


def faults(examples: Sequence[Example], settings: Curation) -> dict[int, str]:
    """Positions of the examples that should not be trained on, with the reason."""
    own = [language(e.target) for e in examples]
    known = spoken(Counter(name for name in own if name))
    reasons = {}
    for n, example in enumerate(examples):
        reason = _fault(example, settings)
        if not reason and own[n] and own[n] not in known:
            reason = f"another language ({own[n]})"
        elif not reason and own[n] and language(example.question) not in ("", own[n]):
            reason = "the answer is in a different language than the question"
        if reason:
            reasons[n] = reason
    return reasons


def _fault(example: Example, settings: Curation) -> str:
    target = example.target.strip()
    reply = words(target)
    if not target:
        return "empty reply"
    if plain(target) and plain(target) == plain(example.question):
        return "the reply is a copy of the question"
    if not re.sub(rf"{PLACEHOLDER.pattern}|\W|_", "", target):
        return "only placeholders or punctuation"
    size = _size(target)
    if target[:1] + target[-1:] in ("{}", "[]"):
        return "" if size <= settings.max_answer_words else "too long"
    if _mashed(target):
        return "keyboard noise"
    if all(w in _NOTHING for w in reply):
        return "the reply has no content"
    if _RUDE.search(target):
        return "rude"
    if size < settings.min_answer_words and not any(c.isdigit() for c in target):
        return "too short"
    if size > settings.max_answer_words:
        return "too long"
    if _cut_off(target, reply):
        return "cut off in the middle of a sentence"
    return "repeats itself" if _repeats(reply) else ""


def _size(text: str) -> int:
    """The length in words; a Korean word says as much as two elsewhere, so there two syllables are at least one."""
    return max(length_in_words(text), len(_HANGUL.findall(text)) // 2)


def _mashed(text: str) -> bool:
    if _MASHED.match(text):
        return True
    symbols = [c for c in text if not c.isspace()]
    letters = [c for c in symbols if c.isalnum() or unicodedata.category(c)[0] == "M"]
    if len(symbols) >= 8 and len(letters) < 0.5 * len(symbols):
        return True
    latin = re.findall(r"[a-z]{5,}", text.lower())
    odd = [w for w in latin if not re.search(r"[aeiouy]", w) or re.search(r"(.)\1\1\1|[bcdfghjklmnpqrstvwxz]{6}", w)]
    return bool(latin) and len(odd) > 0.5 * len(words(text))


def _cut_off(target: str, reply: Sequence[str]) -> bool:
    """Whether the last sentence has no end: it stops at a word that cannot be the last, or is long."""
    if target.endswith((",", "-", "–")):
        return True
    return not _ENDS.search(target) and (reply[-1] in _OPEN_WORDS or len(reply) > MAX_UNENDED_WORDS)


def _repeats(reply: Sequence[str]) -> bool:
    if len(reply) < 16:
        return False
    grams = Counter(zip(reply, reply[1:], reply[2:], strict=False))
    return grams.most_common(1)[0][1] >= 4 and len(grams) < 0.6 * (len(reply) - 2)


def conversation_text(example: Example) -> str:
    """Question and history, the question first, so that a cut leaves out what was said long ago.

    "Do they have wifi?" in two conversations is about two hotels: only with its history is it a question.
    """
    return "\n".join(m.content for m in reversed(example.messages))[:COMPARED_CHARS]


def comparable(one: Example, other: Example) -> bool:
    """Whether a high cosine says that two questions are alike: they are in Latin letters, or share half of their pairs
    of characters. Embedders read Latin letters; of other scripts many see little more than that they are another."""
    a, b = (unicodedata.normalize("NFKC", e.question).casefold() for e in (one, other))
    if not any(_is_foreign(text) for text in (a, b)):
        return True
    pairs, others = ({text[n : n + 2] for n in range(len(text) - 1)} for text in (a, b))
    return len(pairs & others) >= LIKE_FOREIGN * max(len(pairs | others), 1)


def _is_foreign(text: str) -> bool:
    letters = [c for c in text[:COMPARED_CHARS] if c.isalpha()]
    return sum(c >= "\u0370" for c in letters) > len(letters) / 2


def near_pairs(first: Matrix, second: Matrix, threshold: float) -> Iterator[tuple[int, int, float]]:
    """Rows of two matrices of unit vectors whose cosine is at least `threshold`, in the order of the rows."""
    import numpy as np

    for start in range(0, len(first), BLOCK):
        scores = first[start : start + BLOCK] @ second.T
        for a, b in zip(*np.nonzero(scores >= threshold), strict=True):
            yield start + int(a), int(b), float(scores[a, b])


def duplicates(examples: Sequence[Example], embedder: Embedder, threshold: float) -> dict[int, tuple[int, str]]:
    """Positions of examples that repeat an earlier one, with the position of that one and the kind of match.

    Exact: the same words in conversation and reply. Near: conversations with a cosine of at least `threshold` whose
    replies share their numbers, the words that carry meaning, and four of five of all words; not two replies of one
    conversation. A threshold of 1 finds only exact ones.
    """
    first: dict[str, int] = {}
    copies: dict[int, tuple[int, str]] = {}
    for n, example in enumerate(examples):
        key = "\n".join(plain(m.content) for m in example.messages) + "\n=>" + plain(example.target)
        if (earlier := first.setdefault(key, n)) != n:
            copies[n] = (earlier, "exact duplicate")
    kept = [n for n in range(len(examples)) if n not in copies]
    if threshold >= 1 or len(kept) < 2:
        return copies
    vectors = embedder.embed([conversation_text(examples[n]) for n in kept])
    for a, b, _ in near_pairs(vectors, vectors, threshold):
        later, earlier = kept[a], kept[b]
        one, other = examples[later], examples[earlier]
        apart = one.origin == "human" and one.group and one.group == other.group  # replies of one conversation
        if earlier >= later or apart or {later, earlier} & copies.keys():
            continue
        if comparable(one, other) and _alike(one, other):
            copies[later] = (earlier, "near duplicate")
    return copies


def _alike(one: Example, other: Example) -> bool:
    a, b = set(words(one.target)), set(words(other.target))
    if set(content_words(one.target)) != set(content_words(other.target)):
        return False  # "refundable" and "nonrefundable", "before" and "after" are different facts too
    if any(_numbers(x) != _numbers(y) for x, y in ((one.target, other.target), (_asked(one), _asked(other)))):
        return False  # "$25" and "$30" are different facts, however similar the rest is
    return len(a & b) >= LIKE_ANSWERS * max(len(a | b), 1)


def _asked(example: Example) -> str:
    """What the user says in all of the conversation."""
    return "\n".join(m.content for m in example.messages if m.role == "user")


def _numbers(text: str) -> Counter[str]:
    return Counter(digits(PLACEHOLDER.sub("", text)))
