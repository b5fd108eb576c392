"""Splits into train, validation and test sets by whole groups: by a hash of seed and group, or by time.

The set of a group depends only on its hash, so new rows do not move old ones. Examples made from documents are only for
training: they have the wording of the document, so success on them would say little about customers. Where there are no
conversations, the documents are the groups.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from inhouse.config.sections import Curation
from inhouse.errors import InputError
from inhouse.types import Example

NAMES = ("train", "validation", "test")


def split(
    examples: Sequence[Example], own_tests: Sequence[Example], settings: Curation, seed: int, left_out: str = ""
) -> dict[str, list[Example]]:
    """The three sets. `own_tests`, if there are any, are the whole test set; `left_out` says what is no longer there.

    Raises:
        InputError: there is too little to hold out a test, or no row has a time to split by.
    """
    human = [e for e in examples if e.origin != "synthetic"] or list(examples)
    groups: dict[str, list[Example]] = {}
    for e in human:
        groups.setdefault(e.group or e.id, []).append(e)
    wanted = {"test": 0.0 if own_tests else settings.test_share, "validation": settings.validation_share}
    if not own_tests and len(groups) < 2:
        raise InputError(
            f"no test set can be held out: {len(groups)} usable conversations{left_out and f' ({left_out})'}",
            "provide at least two, preferably several hundred, or name a test file in curation.tests",
        )
    place = _by_time(groups, wanted) if settings.split_by == "time" else _by_hash(groups, wanted, seed)
    made: dict[str, list[Example]] = {name: [] for name in NAMES}
    for e in examples:
        placed = e.origin != "synthetic" or len(human) == len(examples)
        made[place.get(e.group or e.id, "train") if placed else "train"].append(e)
    made["test"] += own_tests
    return made


def _by_hash(groups: Mapping[str, Sequence[Example]], wanted: Mapping[str, float], seed: int) -> dict[str, str]:
    hashes = {g: hashlib.sha256(f"{seed}:{g}".encode("utf-8", "replace")).hexdigest() for g in groups}
    drawn = {g: int(digest[:13], 16) / 16**13 for g, digest in hashes.items()}
    order = sorted(groups, key=lambda g: (drawn[g], g))
    limit = wanted["test"] + wanted["validation"]
    place = {g: "test" if drawn[g] < wanted["test"] else "validation" if drawn[g] < limit else "train" for g in order}
    return _filled(place, order, wanted)


def _by_time(groups: Mapping[str, Sequence[Example]], wanted: Mapping[str, float]) -> dict[str, str]:
    latest = {g: max(e.time for e in rows) for g, rows in groups.items()}
    if not any(latest.values()):
        hint = 'add one, or set curation.split_by = "group"'
        raise InputError("no row has a `time` or `created_at` to split by", hint)
    order = sorted(groups, key=lambda g: (latest[g], g), reverse=True)
    total = sum(len(rows) for rows in groups.values())
    place, seen = {}, 0
    for g in order:
        share = seen / total
        timed = latest[g] != ""
        place[g] = "test" if timed and share < wanted["test"] else "train"
        if timed and wanted["test"] <= share < wanted["test"] + wanted["validation"]:
            place[g] = "validation"
        seen += len(groups[g])
    return _filled(place, order, wanted)


def _filled(place: dict[str, str], order: Sequence[str], wanted: Mapping[str, float]) -> dict[str, str]:
    """For small data: gives each set a group while there are groups, training and test first."""
    needed = [name for name in ("train", "test", "validation") if name == "train" or wanted[name]]
    for name in needed[: len(order)]:
        if name not in place.values():
            sizes = {other: sum(p == other for p in place.values()) for other in NAMES}
            donor = max(NAMES, key=lambda other: sizes[other])
            if sizes[donor] > 1 or name == "train":
                last = [g for g in order if place[g] == donor]
                place[last[0] if name != "train" else last[-1]] = name
    return place
