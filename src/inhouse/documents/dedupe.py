"""Finds documents that repeat another one, and documents that are versions of another one.

A repeat has the same words, numbers and signs in the same order (`wording`): only its layout differs. One word more or
another one makes a version, and all versions are kept: two long documents that differ only in "the fee is $25" and "the
fee is $30" state two facts. Of repeats, the newer one stays, or else the longer one.

Versions are found without sampling: two sets of word 5-grams with a Jaccard similarity of at least t share one among
the first |S| - ceil(t |S|) + 1 of each, in any common order, so only documents that share one there are compared
(prefix filter, Chaudhuri et al. 2006; Bayardo et al. 2007). Rare 5-grams come first, and only the first document of
each set of versions is compared with those that come later, which keeps comparisons few even where documents follow a
template.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from email.utils import parsedate
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from inhouse.documents.clean import headings
from inhouse.documents.wording import wording
from inhouse.types import Document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

NGRAM_WORDS = 5
MAX_CHARS = 5_000_000  # longer documents are not compared as versions: their 5-grams would take too much memory
MOST_COMPARED = 50  # documents, for each: only then is the time linear whatever the documents are
SHOWN_WORDS = 3
METADATA_LINES = 5  # at the beginning of a text, among which its front matter stands
LATER_S = 60  # files that are copied or unpacked together get times that say nothing
_DATES = (
    "updated", "updated_at", "last_updated", "modified", "last_modified", "lastmod", "revised", "reviewed", "date",
    "published", "created", "created_at",
)  # fmt: skip
_NOT_SAID = frozenset([*_DATES, "version", "revision", "rev", "from", "author", "authors", "id", "uuid", "slug", "url",
                       "permalink", "layout", "title"])  # fmt: skip
_DATE = re.compile(
    r"(?<!\d)(?P<y>(?:19|20)\d\d)(?:(?P<s>[-_./ ]?)(?P<m>0[1-9]|1[0-2])(?:(?P=s)(?P<d>0[1-9]|[12]\d|3[01]))?)?(?!\d)"
    r"|(?<!\d)(?P<D>\d\d)[._-](?P<M>\d\d)[._-](?P<Y>(?:19|20)\d\d)(?!\d)"
)
_VERSION = re.compile(r"(?<![a-z])(?:v|ver|version|rev|revision)[ ._-]?(\d{1,6}(?:\.\d{1,6}){0,3})", re.IGNORECASE)


class Repeat(NamedTuple):
    """The document that stays instead, by its index, and why it is that one."""

    of: int
    why: str


class Version(NamedTuple):
    """Another document with nearly the same words, by its index, and in what they differ."""

    of: int
    similarity: float  # Jaccard, (0, 1)
    differs: str


def words_of(document: Document) -> str:
    """The wording of a document, without the line of its front matter, which `duplicates` compares by itself."""
    *lines, rest = document.text.split("\n", METADATA_LINES)
    pairs = _properties(document).items()
    starts = tuple(
        f"{name.replace('_', ' ').replace('.', ' ')}: {value.rstrip('.')}".casefold() for name, value in pairs if value
    )
    if starts:
        lines = [line for line in lines if not line.casefold().startswith(starts)]
    return wording("\n".join([*lines, rest]))


def duplicates(documents: Sequence[Document], wordings: Sequence[str]) -> dict[int, Repeat]:
    """Maps the index of each document whose wording another one has too to the one that stays, never a key itself.

    Documents with different access groups or trust are never duplicates of each other: dropping one would hide its text
    from some readers or, worse, show it to others, or let others' text pass for the business's. Nor are those whose
    front matter says something different.
    """
    same: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, (document, words) in enumerate(zip(documents, wordings, strict=True)):
        text = hashlib.sha256((words or document.text).encode("utf-8", "surrogatepass")).digest()
        same[document.access, document.trust, text, _metadata(document)].append(i)
    repeats: dict[int, Repeat] = {}
    for group in same.values():
        best = group[0]
        for i in group[1:]:
            best = i if _stays(documents[i], documents[best])[0] else best
        repeats |= {i: Repeat(best, _why(documents[best], documents[i])) for i in group if i != best}
    return dict(sorted(repeats.items()))


def _properties(document: Document) -> dict[str, str]:
    """Front matter, or the header of a mail."""
    given: dict[str, str] = document.meta.get("properties", {})
    return {name.casefold().replace("-", "_").replace(" ", "_"): str(value) for name, value in given.items()}


def _metadata(document: Document) -> tuple[tuple[str, str], ...]:
    """The front matter that says what the text is about, such as a region; not who wrote it when."""
    pairs = _properties(document)
    said = {name: wording(value) for name, value in pairs.items() if name not in _NOT_SAID}
    if "title" in pairs and not any(level == 1 for level, _ in headings(document.text)):
        said["title"] = wording(document.title)  # it names every chunk
    return tuple(sorted(said.items()))


def _stays(one: Document, other: Document) -> tuple[bool, str]:
    """Whether the first of two documents with the same words stays, and what decides it."""
    for dates in ((_stated(one), _stated(other)), (_version(one), _version(other))):
        shared = min(map(len, dates))
        if dates[0][:shared] != dates[1][:shared]:
            first = dates[0][:shared] > dates[1][:shared]
            return first, "newer"
    times = [document.meta.get("modified", "") for document in (one, other)]
    if all(times):
        later = (datetime.fromisoformat(times[0]) - datetime.fromisoformat(times[1])).total_seconds()
        if abs(later) > LATER_S:
            return later > 0, "newer by its file time"
    if len(one.text) != len(other.text):
        return len(one.text) > len(other.text), "longer"
    return (len(one.source), one.source) < (len(other.source), other.source), ""


def _why(stays: Document, goes: Document) -> str:
    same = "same text as" if stays.text == goes.text else "same words as"
    _, reason = _stays(stays, goes)
    return f"{same} {stays.source}" + (f", which is {reason}" if reason else "")


def _stated(document: Document) -> tuple[int, ...]:
    """Year, month and day, as far as front matter, the header of a mail, or else the path says them."""
    pairs = _properties(document)
    for value in (pairs[name] for name in _DATES if name in pairs):
        found = _DATE.search(value)
        day = _day(found) if found else ()
        if len(day) < 3 and (mail := parsedate(value)):
            return mail[:3]
        if day:
            return day
    *_, last = (None, *_DATE.finditer(document.source))
    return _day(last) if last else ()


def _day(found: re.Match[str]) -> tuple[int, ...]:
    parts = (found["y"], found["m"], found["d"]) if found["y"] else (found["Y"], found["M"], found["D"])
    return tuple(int(part) for part in parts if part)


def _version(document: Document) -> tuple[int, ...]:
    pairs = _properties(document)
    said = next((f"v{pairs[name]}" for name in ("version", "revision", "rev") if name in pairs), "")
    found = _VERSION.match(said.replace("vv", "v")) or next(reversed([*_VERSION.finditer(document.source)]), None)
    return tuple(map(int, found[1].split("."))) if found else ()


def versions(documents: Sequence[Document], wordings: Sequence[str], threshold: float) -> dict[int, Version]:
    """Maps the index of each document that is much like an earlier one for the same groups to the first such one.

    None with a threshold of 1. Among documents that follow a template, a few may be missed (MOST_COMPARED).
    """
    groups: dict[tuple[frozenset[str], str], list[int]] = defaultdict(list)
    for i, document in enumerate(documents):
        if len(wordings[i]) <= MAX_CHARS and threshold < 1:
            groups[document.access, document.trust].append(i)
    found: dict[int, Version] = {}
    for members in groups.values():
        texts = [wordings[i] for i in members]
        for i, (j, score) in _near(texts, threshold).items():
            found[members[i]] = Version(members[j], score, _difference(texts[i], texts[j]))
    return found


def _near(texts: Sequence[str], threshold: float) -> dict[int, tuple[int, float]]:
    sets = _by_rarity([ngrams(text) for text in texts])
    seen: dict[int, list[int]] = defaultdict(list)  # 5-gram -> first documents that have it in their prefix
    near: dict[int, tuple[int, float]] = {}
    for i, grams in enumerate(sets):
        prefix = grams[: len(grams) - math.ceil(threshold * len(grams) - 1e-9) + 1].tolist()
        candidates = sorted({j for gram in prefix for j in seen[gram][:MOST_COMPARED]})[:MOST_COMPARED]
        for j in candidates:
            score = _jaccard(grams, sets[j])
            if score >= threshold:
                near[i] = (j, score)
                break
        else:
            for gram in prefix:
                seen[gram].append(i)
    return near


def _difference(one: str, other: str) -> str:
    """The first words that only one of two texts has."""
    texts = [one.split(), other.split()]
    for _ in range(2):  # what both end with, then what both begin with
        texts = [words[::-1] for words in texts]
        same = next((n for n, pair in enumerate(zip(*texts, strict=False)) if pair[0] != pair[1]), min(map(len, texts)))
        texts = [words[same:] for words in texts]
    counts = Counter(texts[0]), Counter(texts[1])
    here, there = ([*(counts[n] - counts[1 - n])][:SHOWN_WORDS] for n in (0, 1))
    said = [f'{where} "{words}"' for where, words in (("here", " ".join(here)), ("there", " ".join(there))) if words]
    return ", ".join(said) or "the same words in another order"


def ngrams(words: str) -> Hashes:
    """Hashes of the distinct 5-grams of words; one hash for the whole text when it is shorter."""
    hashes = np.fromiter((zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words.split()), dtype=np.uint64)
    width = min(NGRAM_WORDS, len(hashes))
    if not width:
        return hashes
    total = np.zeros(len(hashes) - width + 1, dtype=np.uint64)
    for k in range(width):
        total = (total ^ hashes[k : k + len(total)]) * np.uint64(0x9E3779B97F4A7C15)  # overflows on purpose: it mixes
        total ^= total >> np.uint64(29)
    return np.unique(total)


def _by_rarity(sets: Sequence[Hashes]) -> list[Hashes]:
    """The same sets with members renumbered and sorted from the rarest to the most common."""
    members, counts = np.unique(np.concatenate([*sets, np.empty(0, np.uint64)]), return_counts=True)
    rank = np.empty(len(members), np.uint64)
    rank[np.lexsort((members, counts))] = np.arange(len(members), dtype=np.uint64)
    return [np.sort(rank[np.searchsorted(members, grams)]) for grams in sets]


def _jaccard(a: Hashes, b: Hashes) -> float:
    if not len(a) or not len(b):
        return 0.0
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)
