"""Sibling swaps: statements with the value of something else in them, made from any documents without a model.

A sentence or row of a table with an amount, a percentage, a duration, or a time of day is right. With the value of its
sibling, which is another row or column, a sentence of the same document or folder, or the other value in the same
sentence, it is wrong, although every number in it stands in the sources. Some answers name no subject, so that
it stands in the question alone: "It costs $14.20."
"""

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from guardrail_training import data as sets
from inhouse.documents.parse import parse
from inhouse.guardrails.groundedness.rail import with_title
from inhouse.retrieval.chunk import chunk_document
from inhouse.text.sentences import sentences
from inhouse.text.words import content_words
from inhouse.types import Document, Embedder, Passage

EXAMPLE = sets.HERE.parent / "examples" / "first_national_bank"
CHUNK_WORDS = 110
NEAREST = 6  # passages of a question
OTHERS = 3  # passages beside the two that have the values
SHORTEST, LONGEST = 5, 32  # words of a sentence
_VALUE = re.compile(
    r"(?<![\w.,$£€-])(?:(?P<money>[$£€] ?\d{1,3}(?:,\d{3})*(?:\.\d+)?)|(?P<percent>\d+(?:\.\d+)? ?%)"
    r"|\d{1,3} (?:business |working |calendar )?(?P<span>minute|hour|day|week|month|year)s?\b"
    r"|(?P<clock>\d{1,2}(?::\d\d)? ?[ap]m\b))(?![\w%]|[.,]\d)",
    re.I,
)
_ROW = re.compile(r"(?P<key>[^:]{3,60}): (?P<column>[A-Z][a-z]+(?: [a-z]+)?) (?=[$£€]?\d)")
_ASKS = re.compile(r"(?:What|How (?:much|many|long|old|soon)|When)\b.*\?", re.I)
_RANGE_GAP = 8  # characters between the two ends of a range, at most


class Swap(NamedTuple):
    statement: str
    evidence: list[str]
    asked: tuple[str, ...]  # the turns before, in turn of user and assistant; the question is the last
    kind: str  # "" for a right one; row, sentence, within, ellipsis, answer
    group: str  # what folds keep together


class Stated(NamedTuple):
    """A sentence of a passage with one value of it."""

    sentence: str
    passage: Passage
    value: str
    unit: str


def values(text: str) -> list[tuple[str, str, int, int]]:
    """Values of a text: as written, what they can be exchanged with, and their span."""
    found = []
    for m in _VALUE.finditer(text):
        kind = m.lastgroup or ""
        unit = m[kind].lower() if kind == "span" else m[kind][0] if kind == "money" else kind
        found.append((m[0], unit, m.start(), m.end()))
    return found


def passages(documents: Sequence[Document]) -> dict[str, list[Passage]]:
    """The chunks of each document, as an index has them."""
    return {
        d.source: [
            Passage(source=d.source, title=d.title, heading=c.heading, text=c.text)
            for c in chunk_document(d, lambda t: len(t.split()), CHUNK_WORDS)
        ]
        for d in documents
    }


def stated_in(passage: Passage) -> Iterator[Stated]:
    for s in sentences(passage.text):
        if SHORTEST <= len(s.split()) <= LONGEST and s.endswith((".", "!", ")")) and "?" not in s:
            yield from (Stated(s, passage, value, unit) for value, unit, _, _ in values(s))


def swaps(folders: dict[str, dict[str, list[Passage]]], most: int, seed: int) -> Iterator[Swap]:
    """Right statements and wrong ones, in turn, of documents in folders; `most` sentences of each folder."""
    rng = random.Random(seed)
    for docs in folders.values():
        said = {name: [s for p in ps for s in stated_in(p)] for name, ps in docs.items()}
        every = [s for own in said.values() for s in own]
        everything = [p for ps in docs.values() for p in ps]
        for one in rng.sample(every, min(most, len(every))):
            near = [s for s in said[one.passage.source] if _sibling(one, s)]
            near = near or [s for s in every if _sibling(one, s)]
            if near:
                other = rng.choice(near)
                evidence = [one.passage, other.passage, *rng.sample(everything, min(OTHERS, len(everything)))]
                rng.shuffle(evidence)
                yield from _forms(one, other, list(dict.fromkeys(with_title(p) for p in evidence)), rng)


def _sibling(one: Stated, other: Stated) -> bool:
    return other.unit == one.unit and one.value not in other.sentence and other.value not in one.sentence


def _forms(one: Stated, other: Stated, evidence: list[str], rng: random.Random) -> Iterator[Swap]:
    """The statement with the subject in it, and with the subject in the question alone."""
    title, heading = one.passage.title, one.passage.heading.rpartition(" > ")[2]
    row = _ROW.search(one.sentence)
    plain = " ".join(evidence)

    def swapped(text: str) -> str:
        return text.replace(one.value, other.value)

    def both(text: str, kind: str, *asked: str) -> Iterator[Swap]:
        yield Swap(text, evidence, asked, "", title)
        if swapped(text) not in plain:
            yield Swap(swapped(text), evidence, asked, kind, title)

    if row and one.value in one.sentence[row.end() :]:
        key, column = row["key"].rpartition(". ")[2], row["column"].lower()
        if len(content_words(key)) and one.sentence[row.end() :].startswith(one.value):
            way = rng.choice(("The {c} for {k} is {v}.", "{k}: {c} {v}.", "{k} has a {c} of {v}."))
            yield from both(way.format(c=column, k=key, v=one.value), "row")
            yield from both(f"It is {one.value}.", "ellipsis", f"What is the {column} for {key}?")
        return
    body = one.sentence if set(content_words(title)) & set(content_words(one.sentence)) else f"{title}: {one.sentence}"
    yield from both(body, "sentence")
    if _ASKS.match(heading) and len(values(one.passage.text)) == 1:
        yield from both(f"It is {one.value}.", "ellipsis", heading)
    if exchanged := _exchanged(one):
        yield Swap(exchanged, evidence, (), "within", title)


def _exchanged(one: Stated) -> str:
    """The sentence with two values of a kind exchanged, "" if it has no two; the ends of a range are no two."""
    own = [v for v in values(one.sentence) if v[1] == one.unit]
    if len(own) != 2 or own[0][0] == own[1][0] or own[1][2] - own[0][3] < _RANGE_GAP:
        return ""
    (a, _, start, end), (b, _, begin, stop) = own
    s = one.sentence
    return s[:start] + b + s[end:begin] + a + s[stop:]


def _markdown(folder: Path, held_out: bool | None) -> list[Document]:
    found = []
    for file in sorted(folder.rglob("*.md")):
        if held_out is None or sets.held_out(file.name) == held_out:
            text = file.read_text(encoding="utf-8")
            title = text.lstrip("# ").partition("\n")[0].strip()
            found.append(Document(source=str(file.relative_to(folder)), text=text, title=title))
    return found


def _families(docs: dict[str, list[Passage]], letters: int) -> dict[str, dict[str, list[Passage]]]:
    """Documents by the beginning of their names."""
    found: dict[str, dict[str, list[Passage]]] = {}
    for name, ps in docs.items():
        found.setdefault(name[:letters], {})[name] = ps
    return found


def example_passages() -> dict[str, list[Passage]]:
    """The example bank's, of documents in all formats that customers may see."""
    docs = []
    for file in sorted((EXAMPLE / "documents").rglob("*.*")):
        source = str(file.relative_to(EXAMPLE / "documents"))
        if source.startswith("staff") or "archive" in source or "copy" in source:
            continue
        read = parse(file.read_bytes(), file.suffix)
        docs.append(Document(source=source, text=read.text, title=read.title or file.stem.replace("-", " ").title()))
    return passages([d.model_copy(update={"title": _title(d)}) for d in docs])


def _title(document: Document) -> str:
    first = document.text.lstrip().partition("\n")[0]
    return first.lstrip("# ").strip() if first.startswith("#") else document.title


def example_bank() -> list[Swap]:
    """Swaps of the example bank's documents, never trained on."""
    return list(swaps({"all": example_passages()}, 400, 23))


def dialogues(embedder: Embedder) -> list[Swap]:
    """The example bank's test questions and conversations with the passages nearest to them, never trained on: right
    answers, and each with the value of another passage of them in place of its own."""
    every = [p for ps in example_passages().values() for p in ps]
    vectors = embedder.embed([with_title(p) for p in every])
    rng, found = random.Random(41), []
    for asked, answer in _answered():
        said = set(content_words(" ".join(asked[-3::2])))
        likeness = vectors @ embedder.embed([" ".join(asked[-3::2])])[0]
        shared = np.array([len(said & set(content_words(with_title(p)))) / max(len(said), 1) for p in every])
        near = [every[n] for n in np.argsort(-(likeness + shared), kind="stable")[:NEAREST]]
        evidence = [with_title(p) for p in near]
        own = values(answer)
        if not own or not all(any(v in e for e in evidence) for v, *_ in own):
            continue
        found.append(Swap(answer, evidence, asked, "", asked[0]))
        one = rng.choice(own)
        others = {v for e in evidence for v, unit, *_ in values(e) if unit == one[1] and v not in answer}
        if others:
            found.append(Swap(answer.replace(one[0], rng.choice(sorted(others))), evidence, asked, "answer", asked[0]))
    return found


def _answered() -> Iterator[tuple[tuple[str, ...], str]]:
    """The turns before an answer, and the answer."""
    for row in sets.lines(EXAMPLE / "tests.jsonl"):
        if (answer := row.get("answer") or "") and not answer.startswith("{"):
            yield tuple(m["content"] for m in row["messages"]), answer
    for row in sets.lines(EXAMPLE / "test_conversations.jsonl"):
        before: tuple[str, ...] = ()
        for turn in row["turns"]:
            yield (*before, turn["user"]), turn["answer"]
            before += (turn["user"], turn["answer"])


def bank(data: Path, testing: bool) -> list[Swap]:
    """Swaps of a large bank's documents of one half of the split; siblings come from documents of the same family."""
    docs = passages(_markdown(data / "bank" / "documents", testing))
    return list(swaps(_families(docs, 22), 6 if testing else 14, 29))


def health(data: Path, testing: bool) -> list[Swap]:
    return list(swaps(_families(passages(_markdown(data / "health" / "documents", testing)), 10), 40, 31))


def reports(data: Path, testing: bool) -> list[Swap]:
    """Questions of people about tables in financial reports, with the figure of another year or row."""
    rng, found = random.Random(37), []
    with gzip.open(data / "tatqa" / "tatqa_dataset_dev.json.gz", "rt", encoding="utf-8") as file:
        every = json.load(file)
    for page in every:
        uid = page["table"]["uid"]
        if sets.held_out(uid) != testing or not (rows := _rows(page["table"]["table"])):
            continue
        evidence = [" ".join(p["text"].split()) for p in page["paragraphs"]][:4] + rows
        for q in page["questions"]:
            answer = q["answer"][0] if isinstance(q["answer"], list) and len(q["answer"]) == 1 else ""
            units = values(answer) if isinstance(answer, str) else []
            if len(units) != 1 or units[0][0] != answer or not any(answer in r for r in rows):
                continue
            others = {v for r in rows for v, unit, _, _ in values(r) if unit == units[0][1] and v not in answer}
            others -= {v for v in others if answer in v}
            if others:
                found.append(Swap(f"It was {answer}.", evidence, (q["question"],), "", uid))
                wrong = f"It was {rng.choice(sorted(others))}."
                found.append(Swap(wrong, evidence, (q["question"],), "ellipsis", uid))
    return found


def _rows(table: list[list[str]]) -> list[str]:
    """A table's rows as sentences; its header is the last row before the first with a name."""
    header: list[str] = []
    found = []
    for row in table:
        cells = [re.sub(r"([$£€]) +", r"\1", c.strip()) for c in row]
        if not cells[0] and not found:
            header = cells
        elif header and len(cells) == len(header) and cells[0]:
            stated = [f"{h} {c}" for h, c in zip(header[1:], cells[1:], strict=True) if c]
            found.append(f"{cells[0]}: {', '.join(stated)}.")
    return found
