"""What an answer says as a whole: yes or no, and what it is about."""

from __future__ import annotations

import re

from inhouse.agents.evidence import nearest_clause
from inhouse.agents.names import Asked
from inhouse.text.claims import NEGATION, opposed
from inhouse.text.sentences import sentences
from inhouse.text.words import STOP, content_words, stem

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
_ONLY = re.compile(r"\b(?:only|unless|except)\b", re.IGNORECASE)  # yes in one case, no in others
_PAID = re.compile(r"[$£€]\s?\d|\d\s?%|\bcosts?\b|\bcharges?\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’&-][^\W_]+)*|[.,;:!?]")
_VERBS = frozenset(
    """cost costs charge charges pay pays paid takes take need needs has have had is are was were includes include
    offers offer finance finances financed
    gives give lasts last holds hold arrives arrive sends send costing open opens close closes closed opened do does
    make makes get gets wants want know tell say says many much long far old often soon price prices charged
    maximum minimum amount number name find happen happens work works mean means allow allows allowed
    available possible cheap expensive today tomorrow currently now bring sign apply order keep kept want use uses using
    send sending receive receiving per each every return respond json no not nothing plus below
    above over under""".split()  # noqa: SIM905
)
_HEADS = frozenset("fee fees rate rates limit limits day days week weeks month months year years".split())  # noqa: SIM905
"""Words that name something only with others: "late fee", "rate lock"."""
_OF = frozenset("of on for".split())  # noqa: SIM905
_ARTICLES = frozenset("a an the your my our".split())  # noqa: SIM905
_SPAN = re.compile(  # amounts and spans of time
    r"[$£€] ?\d[\d.,]{0,15}|\b\d[\d.,]{0,15} ?%|\b\d{1,4} (?:(?:business|calendar|working|banking) )?"
    r"(?:second|minute|hour|day|week|month|quarter|year)s?\b", re.IGNORECASE)  # fmt: skip
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
    about = _told(question, answer)
    if about is None or _ONLY.search(about):
        return None
    asks = frozenset(content_words(question))
    clause = nearest_clause(question, about, opposites=True)
    denies = bool(NEGATION.search(about)) != bool(opposed(asks, frozenset(content_words(clause))))
    return denies == bool(NEGATION.search(question))


def _told(question: str, answer: str) -> str | None:
    """What of an answer says yes or no: all of it or, where some sentences deny and others do not, the only one with
    all words of the question; None if that is not clear."""
    parts = sentences(answer)
    if len({bool(NEGATION.search(part)) for part in parts}) < 2:
        return answer
    asked = set(content_words(question))
    full = [part for part in parts if asked <= set(content_words(part))]
    return full[0] if len(full) == 1 else None


def subject(question: str, answer: str) -> str:
    """What question and answer are both about: of the question's phrases, the one that shares most with the answer,
    without the words at its ends that the answer does not have; the longest one where none shares any."""
    said = frozenset(stem(w.casefold()) for w in _WORD.findall(answer))
    best: tuple[int, tuple[str, ...]] = (0, ())
    runs = _runs(question)
    for run in runs:
        shared = [n for n, word in enumerate(run) if word.casefold() not in STOP and stem(word.casefold()) in said]
        if len(shared) > best[0]:
            best = len(shared), run[shared[0] : shared[-1] + 1] if len(shared) > 1 else run
    chosen = best[1] or max(runs, key=len, default=())
    return " ".join(_as_written(chosen, answer)[:_LONGEST_WORDS])


def _runs(text: str) -> list[tuple[str, ...]]:
    """Runs of words that name something: without function words, verbs, and figures. "The late fee of the River Card"
    is one run."""
    runs: list[list[str]] = [[]]
    for word in _WORD.findall(_SPAN.sub(" , ", text)):
        low = word.casefold()
        last = runs[-1][-1].casefold() if len(runs[-1]) > 1 else ""
        if (low in _OF and last in _HEADS) or (low in _ARTICLES and last in _OF):
            runs[-1].append(word)
        elif low in STOP or low in _VERBS or not word[0].isalnum() or (word.isdigit() and not runs[-1]):
            runs.append([])
        else:
            runs[-1].append(word)
    trimmed = (_trimmed(run) for run in runs)
    return [tuple(run) for run in trimmed if not _HEADS.issuperset(w.casefold() for w in run)]


def _trimmed(run: list[str]) -> list[str]:
    """The run without "of the" at its end."""
    while run and run[-1].casefold() in _OF | _ARTICLES:
        run = run[:-1]
    return run


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
