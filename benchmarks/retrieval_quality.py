"""Retrieval quality of full text, dense search and two fusions, each with and without the context prefix.

    python benchmarks/retrieval_quality.py [--data ../shared/data] [--quick]

Four public data sets:

- contextual: 737 chunks of source code; share of a question's chunks among the first 5, 10 and 20.
- cacm: 3,204 abstracts; nDCG@10 and recall@100 of those judged relevant.
- concierge: is a sentence that supports the human reply among the first 10 passages? The query is the last turn alone
  and, in a second table, the whole conversation, as in serving.
- bank: share of a task's required documents among the first 10 and 20; the query is the task's scenario of about 700
  words.

All arms rank the same candidates of the same LanceDB table. `no prefix` indexes only the chunks' texts. `rrf` is
reciprocal rank fusion with k = 60 (Cormack et al. 2009). `inhouse` is the product's convex fusion with its default
weight, and `fitted` the same with the weight that the product chooses on the even questions. Figures are for all
questions and for the odd ones, which were not used for fitting. Prints tables, and writes JSON to
`benchmarks/results/retrieval_quality.json`. `--quick` asks 20 questions of each set.
"""

import argparse
import gzip
import json
import math
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

from inhouse.config.sections import Assistant, Retrieval
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.retrieval.chunk import LEAD_CHARS, chunk_document
from inhouse.retrieval.fusion import WEIGHTS, choose
from inhouse.retrieval.grounded import Grounding
from inhouse.retrieval.index import Part, index_parts
from inhouse.retrieval.search import Fusion, Index, Results, holds
from inhouse.types import Chunk, Document, Message, Silent

HERE = Path(__file__).parent
RRF_K = 60
SETTINGS = Retrieval()


@dataclass
class Question:
    text: str
    wanted: set[str]
    messages: tuple[Message, ...] = ()


@dataclass
class Set:
    """`unit` says which of a question's `wanted` a chunk counts as."""

    name: str
    chunks: list[Chunk]
    questions: list[Question]
    metrics: dict[str, Callable[[list[str], set[str]], float]]
    unit: Callable[[Chunk, Question], str | None]
    rows: dict[str, dict[str, float]] = field(default_factory=dict)


def share_at(k: int) -> Callable[[list[str], set[str]], float]:
    return lambda ranked, wanted: len(set(ranked[:k]) & wanted) / len(wanted)


def any_at(k: int) -> Callable[[list[str], set[str]], float]:
    return lambda ranked, wanted: float(bool(set(ranked[:k]) & wanted))


def ndcg_at(k: int) -> Callable[[list[str], set[str]], float]:
    def ndcg(ranked: list[str], wanted: set[str]) -> float:
        gain = sum(1 / math.log2(n + 2) for n, unit in enumerate(ranked[:k]) if unit in wanted)
        return gain / sum(1 / math.log2(n + 2) for n in range(min(k, len(wanted))))

    return ndcg


def contextual(data: Path, embedder: OnnxEmbedder) -> Set:
    folder = data / "retrieval" / "contextual"
    with gzip.open(folder / "contextual-embeddings__codebase_chunks.json.gz", "rt", encoding="utf-8") as file:
        documents = json.load(file)
    with gzip.open(folder / "contextual-embeddings__evaluation_set.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    chunks = [
        Chunk(document=d["original_uuid"], source=d["original_uuid"], title="", heading="", text=c["content"],
              lead=" ".join(d["content"].split())[:LEAD_CHARS],
              start=c["original_index"], end=c["original_index"] + 1)
        for d in documents for c in d["chunks"]
    ]  # fmt: skip
    questions = [Question(q["query"], {f"{u}:{n}" for u, n in q["golden_chunk_uuids"]}) for q in rows]
    metrics = {f"pass@{k}": share_at(k) for k in (5, 10, 20)}
    return Set("contextual", chunks, questions, metrics, lambda c, _: f"{c.source}:{c.start}")


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


def cacm(data: Path, embedder: OnnxEmbedder) -> Set:
    folder = data / "retrieval" / "cacm"
    documents = []
    with tarfile.open(folder / "cacm.tar.gz") as archive:
        for member in archive:
            file = archive.extractfile(member)
            if not file:
                continue
            words = _Words()
            words.feed(file.read().decode("latin-1"))
            body = re.split(r"\n\s*CA\d{6}", words.text)[0].strip()  # citation numbers follow
            title = " ".join(body.split("\n\n")[0].split())
            documents.append(Document(source=Path(member.name).stem, text=body, title=title))
    judged: dict[str, set[str]] = {}
    for line in (folder / "qrels.cacm.txt").read_text().splitlines():
        number, _, source, _ = line.split()
        judged.setdefault(number, set()).add(source)
    topics = re.findall(r"<DOCNO>\s*(\d+)\s*</DOCNO>(.*?)</DOC>", (folder / "topics.cacm.txt").read_text(), re.DOTALL)
    questions = [Question(" ".join(text.split()), judged[n]) for n, text in topics if n in judged]
    metrics = {"ndcg@10": ndcg_at(10), "recall@100": share_at(100)}
    return Set("cacm", cut(documents, embedder), questions, metrics, lambda c, _: c.source)


def concierge(data: Path, embedder: OnnxEmbedder) -> Set:
    rows = [json.loads(line) for line in (data / "concierge" / "dev.jsonl").read_text(encoding="utf-8").splitlines()]
    questions = []
    for row in rows:
        if row["needs_knowledge"]:
            messages = tuple(Message(**m) for m in row["messages"][:-1])
            wanted = {f"{s['document']}|{s['text']}" for s in row["sources"]}
            questions.append(Question(messages[-1].content, wanted, messages))

    def unit(chunk: Chunk, question: Question) -> str | None:
        sentences = (w for w in question.wanted if w.startswith(f"{chunk.source}|"))
        return next((w for w in sentences if holds(chunk.text, w.partition("|")[2])), None)

    documents = markdown(data / "concierge" / "documents")
    return Set("concierge", cut(documents, embedder), questions, {"gold@10": any_at(10)}, unit)


def bank(data: Path, embedder: OnnxEmbedder) -> Set:
    folder = data / "bank"
    tasks = [json.loads(line) for line in (folder / "tasks.jsonl").read_text(encoding="utf-8").splitlines()]
    questions = [Question(t["scenario"], set(t["required_documents"])) for t in tasks if t["required_documents"]]
    metrics = {"documents@10": share_at(10), "documents@20": share_at(20)}
    chunks = cut(markdown(folder / "documents"), embedder)
    return Set("bank", chunks, questions, metrics, lambda c, _: Path(c.source).stem)


def markdown(folder: Path) -> list[Document]:
    made = []
    for file in sorted(folder.rglob("*.md")):
        text = file.read_text(encoding="utf-8")
        heading = re.search(r"(?m)^#\s+(.+)$", text)
        title = heading[1].strip() if heading else file.stem
        made.append(Document(source=str(file.relative_to(folder)), text=text, title=title))
    return made


def cut(documents: Iterable[Document], embedder: OnnxEmbedder) -> list[Chunk]:
    return [c for d in documents for c in chunk_document(d, embedder.count_tokens, SETTINGS.chunk_tokens)]


def bare(chunk: Chunk) -> Chunk:
    """The chunk without its prefix."""
    return chunk.model_copy(update={"title": "", "heading": "", "lead": ""})


def order(results: Results, scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda n: (-scores[n], results.places[n]))


def rrf(results: Results) -> list[int]:
    scores = [0.0] * len(results.places)
    for weight in (0.0, 1.0):
        arm = results.scores(weight)
        for rank, n in enumerate(order(results, arm), 1):
            scores[n] += 1 / (RRF_K + rank) if arm[n] > 0 else 0.0
    return order(results, scores)


def measure(data: Set, label: str, chunks: list[Chunk], embedder: OnnxEmbedder, folder: Path) -> None:
    """Fills `data.rows` with the arms over an index of `chunks`."""
    out = folder / f"{data.name}-{label.replace(' ', '-')}"
    parts = (Part(c.digest, partial(list, [c])) for c in chunks)
    with Silent().step("", None) as step:
        index_parts(parts, embedder, SETTINGS, out, None, step)
    index = Index(out, embedder)
    at = {(c.source, c.start): c for c in chunks}

    def units(places: Iterable[tuple[str, int]], question: Question) -> list[str]:
        named: dict[str, None] = {}
        for n, place in enumerate(places):
            named.setdefault(data.unit(at[place], question) or f"other {n}")
        return list(named)

    per_arm: dict[str, list[list[str]]] = {}
    talks = bool(data.questions[0].messages) and label == "prefix"
    grounding = Grounding(index, embedder, SETTINGS, Assistant())
    for question in data.questions:
        results = index.candidates(question.text)
        ranked = {f"weight {w}": order(results, results.scores(w)) for w in WEIGHTS} | {"rrf": rrf(results)}
        for arm, rows in ranked.items():
            per_arm.setdefault(arm, []).append(units((results.places[n] for n in rows), question))
        if talks:
            candidates = grounding.candidates(question.messages)
            for weight in WEIGHTS:
                fusion = index.fusion._replace(weight=weight)
                places = (other.places[n] for _, other, n in candidates.ranked(fusion))
                per_arm.setdefault(f"talk {weight}", []).append(units(places, question))
    score_rows(data, label, "weight", per_arm)
    if talks:
        score_rows(data, "prefix, conversation", "talk", per_arm)


def score_rows(data: Set, label: str, kind: str, per_arm: dict[str, list[list[str]]]) -> None:
    """Fills `data.rows` with the arms to report, for one kind of query."""

    def scores(arm: str, metric: str, questions: range) -> list[float]:
        return [data.metrics[metric](per_arm[arm][n], data.questions[n].wanted) for n in questions]

    first = next(iter(data.metrics))
    every, even, odd = (range(start, len(data.questions), step) for start, step in ((0, 1), (0, 2), (1, 2)))
    default = Fusion()
    by_weight = {default._replace(weight=w): scores(f"{kind} {w}", first, even) for w in WEIGHTS}
    best = choose(by_weight, default, [f for f in by_weight if f.weight in {0.0, 1.0}]).weight
    arms = {"text": f"{kind} 0.0", "dense": f"{kind} 1.0", "rrf": "rrf", "inhouse": f"{kind} {default.weight}",
            f"inhouse, fitted to {best}": f"{kind} {best}"}  # fmt: skip
    if kind != "weight":
        del arms["rrf"]
    for name, arm in arms.items():
        data.rows[f"{name}, {label}"] = {
            f"{m}{of}": sum(values := scores(arm, m, some)) / len(values)
            for of, some in (("", every), (" of odd", odd))
            for m in data.metrics
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data", help="the public data")
    parser.add_argument("--sets", default="contextual,cacm,concierge,bank", help="separated by commas")
    parser.add_argument("--quick", action="store_true", help="20 questions of each set")
    given = parser.parse_args()
    embedder = OnnxEmbedder(Catalog().find(SETTINGS.embedder, HERE))
    result = {}
    makers = {f.__name__: f for f in (contextual, cacm, concierge, bank)}
    for name in given.sets.split(","):
        data = makers[name](given.data, embedder)
        data.questions = data.questions[:20] if given.quick else data.questions
        print(f"\n{name}: {len(data.chunks)} chunks, {len(data.questions)} questions", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            measure(data, "no prefix", [bare(c) for c in data.chunks], embedder, Path(folder))
            measure(data, "prefix", data.chunks, embedder, Path(folder))
        columns = list(next(iter(data.rows.values())))
        print(f"\n| {name} | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
        for arm, row in data.rows.items():
            print(f"| {arm} | {' | '.join(f'{100 * row[c]:.1f}' for c in columns)} |")
        result[name] = data.rows
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "retrieval_quality.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
