"""Table questions: is the row that holds the answer among the first five chunks?

    python benchmarks/tables.py [--data ../shared/data/tatqa] [--arms "rows alone" inhouse]

The 278 contexts of TAT-QA dev (financial reports; Zhu et al. 2021) are the documents, each a table with its paragraphs.
A question counts when its answer, or a figure that its answer is calculated from, is a cell of one row of the table
alone. Each is searched in all documents, where many reports have the same rows, and in its own. Arm `rows alone`
indexes the rows as they stand in the table, without caption and names of columns; `inhouse` is the product.
Prints the table, and writes JSON to `benchmarks/results/tables.json`.
"""

import argparse
import gzip
import json
import re
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from inhouse.config.sections import Retrieval
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.retrieval.chunk import chunk_document
from inhouse.retrieval.index import Part, index_parts
from inhouse.retrieval.search import Index
from inhouse.types import Chunk, Document, Silent

HERE = Path(__file__).parent
SETTINGS = Retrieval()
FIRST = 5
_FIGURE = re.compile(r"\d[\d,.]*")


class Question(NamedTuple):
    text: str
    source: str
    rows: tuple[tuple[int, int], ...]  # spans in the document's text


def contexts(data: Path) -> Iterator[tuple[Document, list[Question]]]:
    with gzip.open(data / "tatqa_dataset_dev.json.gz", "rt", encoding="utf-8") as file:
        rows = json.load(file)
    for number, context in enumerate(rows):
        first, *others = [" ".join(p["text"].split()) for p in sorted(context["paragraphs"], key=lambda p: p["order"])]
        cells = [[" ".join(c.replace("|", "/").split()) for c in row] for row in context["table"]["table"]]
        lines = ["| " + " | ".join(row) + " |" for row in cells]
        lines.insert(1, "|" + " --- |" * len(cells[0]))
        text = "\n\n".join([first, "\n".join(lines), *others])
        document = Document(source=f"{number}.md", text=text, title=f"Report {number}")
        start = len(first) + 2
        spans = []
        for line in lines:
            spans.append((start, start + len(line)))
            start += len(line) + 1
        del spans[1]
        yield document, list(_questions(context, document.source, cells, spans))


def _questions(context: dict, source: str, cells: list[list[str]], spans: list[tuple[int, int]]) -> Iterator[Question]:
    by_cell: dict[str, set[int]] = {}
    for n, row in enumerate(cells):
        for cell in row[1:] if n and row[0] else ():  # others go on with the header
            by_cell.setdefault(_plain(cell), set()).add(n)
    for q in context["questions"]:
        if "table" not in q["answer_from"]:
            continue
        answers = q["answer"] if isinstance(q["answer"], list) else [q["answer"]]
        values = _FIGURE.findall(q["derivation"]) if q["answer_type"] == "arithmetic" else map(str, answers)
        found = [by_cell[v] for v in map(_plain, values) if v and len(by_cell.get(v, ())) == 1]
        if found:
            yield Question(q["question"], source, tuple(spans[n] for n in sorted(set.union(*found))))


def _plain(value: str) -> str:
    return re.sub(r"[^\w.]", "", value).strip(".").casefold()


def as_they_stand(chunk: Chunk, document: Document) -> Chunk:
    """The chunk with the text of the document at its place."""
    return chunk.model_copy(update={"text": document.text[chunk.start : chunk.end]})


def measure(arm: str, found: list[tuple[Document, list[Question]]], embedder: OnnxEmbedder) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        cut = []
        for document, _ in found:
            chunks = chunk_document(document, embedder.count_tokens, SETTINGS.chunk_tokens)
            alone = arm == "rows alone"
            chunks = [as_they_stand(c, document) for c in chunks] if alone else chunks
            cut.append(Part(document.digest, partial(list, chunks)))
        started = time.monotonic()
        with Silent().step("", None) as step:
            facts = index_parts(cut, embedder, SETTINGS, Path(folder), None, step)
        seconds = time.monotonic() - started
        index = Index(Path(folder), embedder)
        asked = [q for _, own in found for q in own]
        inside = sum(_ranked(index, q, [q.source]) for q in asked) / len(asked)
        everywhere = sum(_ranked(index, q, []) for q in asked) / len(asked)
    return {"questions": len(asked), "chunks": facts["chunks"], "all documents": everywhere, "own document": inside,
            "index, s": seconds}  # fmt: skip


def _ranked(index: Index, question: Question, sources: list[str]) -> bool:
    hits = index.search(question.text, FIRST, sources=sources)
    places = [(h.chunk.start, h.chunk.end) for h in hits if h.chunk.source == question.source]
    return any(start < high and low < end for start, end in places for low, high in question.rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data" / "tatqa")
    parser.add_argument("--arms", nargs="+", default=["rows alone", "inhouse"])
    given = parser.parse_args()
    embedder = OnnxEmbedder(Catalog().find(SETTINGS.embedder, HERE))
    found = list(contexts(given.data))
    result = {arm: measure(arm, found, embedder) for arm in given.arms}
    columns = list(next(iter(result.values())))
    print(f"| arm | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for arm, row in result.items():
        print(f"| {arm} | {' | '.join(f'{row[c]:.3f}' if row[c] < 1 else f'{row[c]:.0f}' for c in columns)} |")
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "tables.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
