"""Does the right passage come first? Full text, dense, two fusions, each with and without the context prefix.

    python benchmarks/retrieval_quality.py [--data ../shared/data] [--quick]

Four public sets. contextual: 737 chunks of source code, share of a question's chunks among the first 5, 10 and 20.
cacm: 3,204 abstracts, nDCG@10 and recall@100 of the judged ones. concierge: a sentence that the human reply rests on
among the first 10 passages, asked with the last turn alone, and once more with the conversation, as in serving. bank:
share of a task's required documents among the first 10 and 20, asked with the task's scenario, some 700 words. All arms
rank the same candidates of the same LanceDB table. `no prefix` indexes the chunks' texts alone. `rrf` is reciprocal
rank fusion with k = 60 (Cormack et al. 2009); `inhouse` is the product's convex fusion with its default weight, `tuned`
that with the weight that the product's tuner chooses on the even questions. Figures are of all questions, and of the
odd ones, which the tuner did not see. Prints tables, and JSON to `benchmarks/results/retrieval_quality.json`.
`--quick` asks 20 questions of each set.
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
from inhouse.retrieval.search import DEFAULT_WEIGHT, Found, Index, holds
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
    """`unit` names what a chunk counts as: one of the `wanted` of a question."""

    name: str
    chunks: list[Chunk]
    questions: list[Question]
    metrics: dict[str, Callable[[list[str], set[str]], float]]
    unit: Callable[[Chunk, Question], str | None]
    rows: dict[str, dict[str, float]] = field(default_factory=dict)


def share_at(k: int) -> Callable[[list[str], set[str]], float]:
    return lambda found, wanted: len(set(found[:k]) & wanted) / len(wanted)


def any_at(k: int) -> Callable[[list[str], set[str]], float]:
    return lambda found, wanted: float(bool(set(found[:k]) & wanted))


def ndcg_at(k: int) -> Callable[[list[str], set[str]], float]:
    def ndcg(found: list[str], wanted: set[str]) -> float:
        gain = sum(1 / math.log2(n + 2) for n, unit in enumerate(found[:k]) if unit in wanted)
        return gain / sum(1 / math.log2(n + 2) for n in range(min(k, len(wanted))))

    return ndcg


def contextual(data: Path, embedder: OnnxEmbedder) -> Set:
    folder = data / "retrieval" / "contextual"
    with gzip.open(folder / "contextual-embeddings__codebase_chunks.json.gz", "rt", encoding="utf-8") as file:
        documents = json.load(file)
    with gzip.open(folder / "contextual-embeddings__evaluation_set.jsonl.gz", "rt", encoding="utf-8") as file:
        asked = [json.loads(line) for line in file]
    chunks = [
        Chunk(document=d["original_uuid"], source=d["original_uuid"], title="", heading="", text=c["content"],
              lead=" ".join(d["content"].split())[:LEAD_CHARS],
              start=c["original_index"], end=c["original_index"] + 1)
        for d in documents for c in d["chunks"]
    ]  # fmt: skip
    questions = [Question(q["query"], {f"{u}:{n}" for u, n in q["golden_chunk_uuids"]}) for q in asked]
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
            body = re.split(r"\n\s*CA\d{6}", words.text)[0].strip()  # what follows are numbers of citations
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
        held = (w for w in question.wanted if w.startswith(f"{chunk.source}|"))
        return next((w for w in held if holds(chunk.text, w.partition("|")[2])), None)

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


def order(found: Found, scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda n: (-scores[n], found.places[n]))


def rrf(found: Found) -> list[int]:
    scores = [0.0] * len(found.places)
    for weight in (0.0, 1.0):
        arm = found.scores(weight)
        for rank, n in enumerate(order(found, arm), 1):
            scores[n] += 1 / (RRF_K + rank) if arm[n] > 0 else 0.0
    return order(found, scores)


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
        found = index.candidates(question.text)
        ranked = {f"weight {w}": order(found, found.scores(w)) for w in WEIGHTS} | {"rrf": rrf(found)}
        for arm, rows in ranked.items():
            per_arm.setdefault(arm, []).append(units((found.places[n] for n in rows), question))
        if talks:
            asked = grounding.prepared(question.messages)
            for weight in WEIGHTS:
                places = (other.places[n] for _, other, n in asked.ranked(weight, index.mention_boost))
                per_arm.setdefault(f"talk {weight}", []).append(units(places, question))
    score_rows(data, label, "weight", per_arm)
    if talks:
        score_rows(data, "prefix, conversation", "talk", per_arm)


def score_rows(data: Set, label: str, kind: str, per_arm: dict[str, list[list[str]]]) -> None:
    """Fills `data.rows` with the named arms among the weights of one kind of question."""

    def scores(arm: str, metric: str, questions: range) -> list[float]:
        return [data.metrics[metric](per_arm[arm][n], data.questions[n].wanted) for n in questions]

    first = next(iter(data.metrics))
    every, even, odd = (range(start, len(data.questions), step) for start, step in ((0, 1), (0, 2), (1, 2)))
    by_weight = {(w, 1.0): scores(f"{kind} {w}", first, even) for w in WEIGHTS}
    best, _ = choose(by_weight, (DEFAULT_WEIGHT, 1.0), [(0.0, 1.0), (1.0, 1.0)])
    arms = {"text": f"{kind} 0.0", "dense": f"{kind} 1.0", "rrf": "rrf", "inhouse": f"{kind} {DEFAULT_WEIGHT}",
            f"inhouse, tuned to {best}": f"{kind} {best}"}  # fmt: skip
    if kind != "weight":
        del arms["rrf"]
    for name, arm in arms.items():
        data.rows[f"{name}, {label}"] = {
            f"{m}{of}": sum(found := scores(arm, m, some)) / len(found)
            for of, some in (("", every), (" of odd", odd))
            for m in data.metrics
        }


def main() -> None:
    parser = argparse.ArgumentParser(description="Retrieval quality on four public sets.")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("--sets", default="contextual,cacm,concierge,bank")
    parser.add_argument("--quick", action="store_true")
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
