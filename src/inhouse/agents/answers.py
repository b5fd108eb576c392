"""Short answers that need no model: yes, no, stop, and whether a message asks something.

A message counts as one of them only if its words are all known, so "yes" is a yes and "yes but on Tuesday" is not.
"""

from __future__ import annotations

import re
from itertools import pairwise


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
MOST_WORDS = 8
_FILLER = _set(
    "please thanks thank you ok okay that that's thats it it's its is for me do so go ahead and the this very much "
    "all i am i'm would be great good fine sounds works perfect just well oh um uh hi then now book"
)
_SIGHS = _set("oh um uh hm hmm ah well")
_YES = _set(
    "yes y yep yeah yup sure correct right absolutely definitely certainly confirm confirmed affirmative ok okay "
    "exactly agreed perfect great good fine works ahead yess ye"
)
_NO = _set("no n nope nah negative don't dont not wrong incorrect never")
_BUT = _set("but except only if instead actually wait change make different rather another other on at to than")
_STOP = _set("cancel stop abort quit exit forget nevermind drop leave enough")
_STOP_PHRASES = (
    "never mind", "changed my mind", "do not want this any more", "don't want this anymore", "don't want to do this",
    "don't want it anymore", "not now",
)  # fmt: skip
_BESIDE_STOP = _set(
    "everything process whole thing about actually sorry wait let's lets let us want to rather i've can could we you "
    "and"
)
_DENY = _set("don't dont not never")
_AFFIRMS = _YES | _set(
    "go do proceed course means lovely wonderful excellent brilliant awesome deal love si sí oui ja claro vale cool "
    "nice alright totally aye"
)
_AROUND = _FILLER | _set("we let's lets us you by of happy glad looks seems like right away too my with")
_ASKS = _set("what when where who whom whose which why how do does did is are was were can could will would should may")
_POLITE = _set("can could would will may")
_OPENING = _set("ok okay so and but well oh um uh hm hmm ah hi hello hey then also please sorry thanks good morning")
"""Words that may come before a question."""


def words(text: str) -> list[str]:
    return [w.replace("’", "'") for w in _WORD.findall(text.casefold())]


def polarity_of(text: str, question: str = "") -> bool | None:
    """True for a yes, False for a no, None for anything else.

    Args:
        text: the message.
        question: what was asked; its words may stand beside a yes, as in "yes, cancel it".
    """
    said = words(text)
    if not said or len(said) > MOST_WORDS or asks(text):
        return None
    beside = _FILLER.union(words(question)) - _NO
    no = any(w in _NO for w in said)
    if no and all(w in _NO or w in _FILLER for w in said):
        return False
    if not no and any(w in _YES for w in said) and all(w in _YES or w in beside for w in said):
        return True
    plain = not any(w in _BUT or w[0].isdigit() for w in said)  # "yes, I have a card"
    first = next((w for w in said if w not in _SIGHS), "")
    if plain and first in ("yes", "yeah", "yep", "yup") and not no:
        return True
    return False if plain and first in ("no", "nope", "nah") else None


def affirms(text: str, question: str = "") -> bool:
    """Whether a model may read the message as a yes: all its words are of assent, beside one, or in the question. What
    a model says alone confirms nothing."""
    said = words(text)
    known = (_AFFIRMS | _AROUND).union(words(question)) - _NO - _STOP - _BUT
    return (
        0 < len(said) <= MOST_WORDS
        and not asks(text)
        and any(w in _AFFIRMS for w in said)
        and all(w in known for w in said)
    )


def stops(text: str) -> bool:
    """Whether the user wants to leave what is going on, and says nothing else."""
    said = words(text)
    if len(said) > MOST_WORDS:
        return False
    line = " ".join(said)
    for phrase in _STOP_PHRASES:
        line = line.replace(phrase, "stop")
    said = line.split()
    own = [w for w in said if w not in _FILLER and w not in _NO and w not in _SIGHS and w not in _BESIDE_STOP]
    denied = any(a in _DENY and b in _STOP for a, b in pairwise(said))  # "please don't stop"
    return bool(own) and all(w in _STOP for w in own) and not denied


def asks(text: str) -> bool:
    """Whether it is a question for information, by its form: not "can you book...", which asks for an action."""
    first, second, _ = _first_words(text)
    polite = first in _POLITE and second in ("you", "i", "we")
    return (text.rstrip().endswith("?") or first in _ASKS) and not polite


def is_asking(text: str) -> bool:
    """Whether it asks something by its form, also for an action, such as "can I pay in cash?"."""
    return asks(text) or text.rstrip().endswith("?")


def requests(text: str) -> bool:
    """Whether it asks the assistant to do something: "could you book me in?", not "can you tell me when..."."""
    first, second, third = _first_words(text)
    return first in _POLITE and second in ("you", "u") and third not in ("tell", "explain", "say")


def _first_words(text: str) -> tuple[str, str, str]:
    """The first three words after a greeting and the like; "" for those that there are not."""
    said = words(text)
    at = next((n for n, word in enumerate(said) if word not in _OPENING), len(said))
    first, second, third = [*said[at : at + 3], "", "", ""][:3]
    return first, second, third
