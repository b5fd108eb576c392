"""What an answer says as a whole: yes or no, and what it is about."""

from __future__ import annotations

import re

from inhouse.agents.evidence import nearest_clause
from inhouse.agents.names import Asked
from inhouse.text.claims import NEGATION
from inhouse.text.words import STOP, stem

_YES = re.compile(r"\s*(?:yes|sure|certainly|of course|correct|right)\b", re.IGNORECASE)
_NO = re.compile(r"\s*(?:no|unfortunately)\b[,. ]|\s*(?:no|sorry)\b", re.IGNORECASE)
_YES_OR_NO = re.compile(
    r"(?:^|[.!?,;]\s+|\b(?:and|but|so|whether|if)\s+)(?:is|are|was|do|does|did|can|could|may|must|should|will|would|has|have|am)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(r"\s*(?:what|which|who|whom|whose|when|where|why|how|tell me|give me|say)\b", re.IGNORECASE)
_FREE = re.compile(
    r"\b(?:free|no (?:\w{1,20} )?(?:fee|charge|cost)s?|without (?:a |any )?(?:fee|charge)|costs? nothing|waived)\b",
    re.IGNORECASE,
)
_PAID = re.compile(r"[$£€]\s?\d|\d\s?%|\bcosts?\b|\bcharges?\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’&-][^\W_]+)*|[.,;:!?]")
_VERBS = frozenset(
    """cost costs charge charges pay pays paid takes take need needs has have had is are was were includes include
    offers offer finance finances financed
    gives give lasts last holds hold arrives arrive sends send costing open opens close closes closed opened do does
    make makes get gets wants want know tell say says many much long far old often soon fee fees price prices charged
    rate limit maximum minimum amount number name find happen happens work works mean means allow allows allowed
    available possible cheap expensive today tomorrow currently now bring sign apply order keep kept want use uses using
    send sending receive receiving per each every return respond json""".split()  # noqa: SIM905
)
_LONGEST_WORDS = 8


def polarity(question: str, answer: str, asked: Asked) -> bool | None:
    """Whether the answer says yes; None if it says neither."""
    if {"free", "waived", "gratis"} & set(asked.words):
        clause = nearest_clause(question, answer)
        free, paid = bool(_FREE.search(clause)), bool(_PAID.search(clause))
        return free if free != paid else None
    if _YES.match(answer):
        return True
    if _NO.match(answer) and not re.match(r"\s*no (?:fee|charge|cost|matter|problem)", answer, re.IGNORECASE):
        return False
    if not _YES_OR_NO.search(question):
        return None
    denies = bool(NEGATION.search(answer))
    asks_not = bool(NEGATION.search(question))
    return denies == asks_not


def subject(question: str, answer: str) -> str:
    """What question and answer are both about: of the question's phrases, the one that shares most with the answer,
    without the words at its ends that the answer does not have; the longest one where none shares any."""
    said = frozenset(stem(w.casefold()) for w in _WORD.findall(answer))
    best: tuple[int, tuple[str, ...]] = (0, ())
    runs = _runs(question)
    for run in runs:
        shared = [n for n, word in enumerate(run) if stem(word.casefold()) in said]
        if len(shared) > best[0]:
            best = len(shared), run[shared[0] : shared[-1] + 1]
    chosen = best[1] or max(runs, key=len, default=())
    return " ".join(_as_written(chosen, answer)[:_LONGEST_WORDS])


def _runs(text: str) -> list[tuple[str, ...]]:
    """Runs of words that name something: without function words and verbs."""
    runs: list[list[str]] = [[]]
    for word in _WORD.findall(text):
        low = word.casefold()
        if low in STOP or low in _VERBS or not (word[0].isalnum()):
            runs.append([])
        else:
            runs[-1].append(word)
    return [tuple(run) for run in runs if run]


def _as_written(run: tuple[str, ...], answer: str) -> list[str]:
    """The words as the answer spells them, with their capitals; as given where it has them not in a row."""
    words = [w for w in _WORD.findall(answer) if w[0].isalnum()]
    stems = [stem(w.casefold()) for w in words]
    wanted = [stem(w.casefold()) for w in run]
    for at in range(len(words) - len(run) + 1):
        if run and stems[at : at + len(run)] == wanted:
            return words[at : at + len(run)]
    return list(run)


def is_question(text: str) -> bool:
    """Whether the text asks something, rather than holding what is to be read from it."""
    return "?" in text or bool(_ASKS.match(text)) or bool(_YES_OR_NO.match(text))
