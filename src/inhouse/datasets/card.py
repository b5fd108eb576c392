"""The data card: what went in, what was left out and why, and what is in the sets, for people and for programs.

Everything in it is anonymized like the rows. Topics are the tags of the rows where most have one, else clusters of
question embeddings (k-means), named by their most distinctive words (TF-IDF).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inhouse.datasets.conversations import Rejected
from inhouse.datasets.decontaminate import Leak
from inhouse.privacy.anonymize import PLACEHOLDER
from inhouse.privacy.foreign import gaps
from inhouse.text.language import language, spoken
from inhouse.text.words import STOP, length_in_words, words
from inhouse.types import Embedder, Example, Json, Matrix, Record

SHOWN, SHOWN_LINES = 5, 50
SHOWN_CHARS = 200
MAX_TOPICS = 12
ENOUGH = 2 * MAX_TOPICS  # questions that clusters take
ROUNDS = 20
_DULL = STOP | {"need", "not", "tell", "thank", "thanks"}


class Removed(Record):
    """An example that was left out, with the step and the reason."""

    step: str
    reason: str
    example: Example


class Selection(NamedTuple):
    """The sets, and what is not in them."""

    sets: Mapping[str, Sequence[Example]]
    removed: Sequence[Removed]
    leaks: Sequence[Leak]


def card(
    selection: Selection,
    rejected: Sequence[Rejected],
    read: Mapping[str, Json],
    personal: Counter[str],
    embedder: Embedder,
    seed: int,
    language_gaps: Sequence[str] = (),
) -> dict[str, Json]:
    """The facts of card.json.

    Args:
        selection: the data set.
        rejected: the lines of the input files that could not be read.
        read: what went in.
        personal: how many values were replaced, by kind.
        embedder: for the topics.
        seed: for the topics.
        language_gaps: what the models do not know of the languages of the documents.
    """
    sets, removed, leaks = selection
    everything = [e for rows in sets.values() for e in rows]
    counts = Counter(language(e.target) or "unknown" for e in everything)
    return {
        "read": dict(read),
        "sets": {
            name: {
                "examples": len(rows),
                "groups": len({e.group for e in rows}),
                "origins": dict(Counter(e.origin for e in rows)),
                "unanswerable": sum(not e.answerable for e in rows),
                "question_words": _lengths([e.question for e in rows]),
                "answer_words": _lengths([e.target for e in rows]),
            }
            for name, rows in sets.items()
        },
        "languages": dict(counts.most_common()),
        "language_gaps": list(language_gaps),
        "personal_data_gaps": gaps(spoken({name: n for name, n in counts.items() if name != "unknown"})),
        "topics": topics(everything, embedder, seed),
        "lines_left_out": [r.model_dump() for r in rejected[:SHOWN_LINES]],
        "removed": _reasons(removed),
        "personal_data": dict(personal.most_common()),
        "leaks": [leak.model_dump() for leak in leaks],
    }


def _lengths(texts: Sequence[str]) -> dict[str, int]:
    sizes = sorted(length_in_words(t) for t in texts)
    if not sizes:
        return {}
    return {f"p{p}": sizes[min(len(sizes) - 1, math.ceil(p / 100 * len(sizes)) - 1)] for p in (5, 50, 95)}


def _reasons(removed: Sequence[Removed]) -> list[Json]:
    by_reason: dict[tuple[str, str], list[Example]] = defaultdict(list)
    for r in removed:
        by_reason[r.step, r.reason].append(r.example)
    rows = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        {
            "step": step,
            "reason": reason,
            "count": len(examples),
            "examples": [{"question": _short(e.question), "answer": _short(e.target)} for e in examples[:SHOWN]],
        }
        for (step, reason), examples in rows
    ]


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 1] + "…"


# --- topics -----------------------------------------------------------------------------------------------------


def topics(examples: Sequence[Example], embedder: Embedder, seed: int) -> dict[str, int]:
    """Topics with their number of examples, the largest first."""
    if sum(bool(e.tags) for e in examples) > len(examples) / 2:
        return dict(Counter(tag for e in examples for tag in e.tags).most_common(4 * MAX_TOPICS))
    return dict(Counter(named_clusters(examples, embedder, seed)).most_common())


def named_clusters(examples: Sequence[Example], embedder: Embedder, seed: int) -> list[str]:
    """The name of each question's cluster; none where there are too few questions."""
    if len(examples) < ENOUGH:
        return []
    questions = [PLACEHOLDER.sub(" ", e.question) for e in examples]
    labels = _clusters(
        embedder.embed([e.question for e in examples]), min(MAX_TOPICS, math.isqrt(len(examples) // 2)), seed
    )
    members: dict[int, list[str]] = defaultdict(list)
    for label, question in zip(labels, questions, strict=True):
        members[label].append(question)
    spread = Counter(w for q in questions for w in set(words(q)))
    named: dict[int, str] = {}
    for label, group in members.items():
        counts = Counter(w for q in group for w in set(words(q)) if len(w) > 2 and w not in _DULL and not w.isdigit())
        weights = {w: n * math.log(len(questions) / spread[w]) for w, n in counts.items()}
        named[label] = ", ".join(sorted(weights, key=lambda w: (-weights[w], w))[:3])
    return [named[label] for label in labels]


def _clusters(vectors: Matrix, count: int, seed: int) -> list[int]:
    """k-means on unit vectors, initialized by k-means++."""
    import numpy as np

    rng = np.random.default_rng(seed)
    centers = vectors[rng.integers(len(vectors))][None]
    while len(centers) < count:
        far = np.clip(1 - (vectors @ centers.T).max(axis=1), 0, None).astype(np.float64) ** 2
        if not far.sum():
            break
        centers = np.vstack([centers, vectors[rng.choice(len(vectors), p=far / far.sum())]])
    labels = np.zeros(len(vectors), dtype=np.int64)
    for _ in range(ROUNDS):
        labels = (vectors @ centers.T).argmax(axis=1)
        means = [vectors[labels == k].mean(axis=0) if (labels == k).any() else centers[k] for k in range(len(centers))]
        moved = np.stack([m / max(float(np.linalg.norm(m)), 1e-9) for m in means])
        if np.allclose(moved, centers):
            break
        centers = moved
    return [int(k) for k in labels]


# --- for people -------------------------------------------------------------------------------------------------


def markdown(facts: Mapping[str, Json]) -> str:
    """The card as a page."""
    parts = ["# Data card", "", "## What went in", ""]
    parts += [f"- {name.replace('_', ' ')}: {_value(value)}" for name, value in facts["read"].items()]
    parts += ["", "## What came out", "", "| set | examples | groups | human | from documents | unanswerable | "
              "answer words p5 / p50 / p95 |", "|---|---|---|---|---|---|---|"]  # fmt: skip
    for name, s in facts["sets"].items():
        lengths = " / ".join(str(v) for v in s["answer_words"].values()) or "–"
        human, made = s["origins"].get("human", 0), s["origins"].get("synthetic", 0)
        parts.append(
            f"| {name} | {s['examples']} | {s['groups']} | {human} | {made} | {s['unanswerable']} | {lengths} |"
        )
    for title, key in (("Languages", "languages"), ("Topics", "topics"), ("Personal data replaced", "personal_data")):
        parts += ["", f"## {title}", ""]
        parts += [f"- {_cell(name)}: {n}" for name, n in facts[key].items()] or ["none"]
    parts += ["", *facts["personal_data_gaps"], *facts["language_gaps"]]
    parts += ["", "## What was left out, and why", ""]
    parts += [f"- {_cell(r['file'])}:{r['line']}: {_cell(r['reason'])}" for r in facts["lines_left_out"]]
    for r in facts["removed"]:
        parts += [f"### {r['step']}: {r['reason']} ({r['count']})", ""]
        parts += [f"- {_cell(e['question'])} → {_cell(e['answer']) or '(nothing)'}" for e in r["examples"]]
        parts.append("")
    parts += ["## Test questions that were also in training", ""]
    parts += [
        f"- {_cell(leak['id'])} ({leak['part']}) is test question {_cell(leak['test'])}: {leak['how']}"
        for leak in facts["leaks"]
    ] or ["none"]
    return "\n".join(parts) + "\n"


def _value(value: Json) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{_cell(name)} ({n})" for name, n in value.items()) or "none"
    return str(value)


def _cell(text: str) -> str:
    """Text from a log, escaped for Markdown."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, "\\" + mark)
    return text
