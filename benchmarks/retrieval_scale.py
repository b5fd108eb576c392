"""Search over a million chunks: latency, recall and cost of the index, compared with Chroma.

    pip install -c constraints.txt -e '.[train,bench]'
    python benchmarks/retrieval_scale.py [--rows 1000000] [--data ../shared/data] [--quick]

The rows are generated from real ones: the chunks of a bank's documents, cut and embedded by the product. A generated
vector is a real one plus Gaussian noise of NOISE times its length, scaled to a unit vector (cosine to its source about
.8). Its text is a serial number and the text of its source, with every fifth word replaced by a random word of the
corpus. Of a hundred chunks, one is visible to group `one` only, nine to `ten`, ninety to `hundred`; a user is in one,
two or all three of these groups. The questions are those of the bank's customers.

Measured are our `Index.search` (embedding the question, access filter, full text, vectors, fusion), its vector search
alone, and Chroma's `query` (same embedding, same filter on metadata, and once without a filter; HNSW with the smallest
`ef_search` of EF that reaches RECALL, chosen without a filter on 50 questions). Recall is the share of the ten nearest
visible rows by exact cosine. Each system is built and queried in a separate process, one after the other. Build time is
for adding and indexing rows whose vectors and texts are ready. Update: a thousand more documents, until a search finds
the last of them. Prints tables, and writes JSON to `benchmarks/results/retrieval_scale.json`. `--quick` takes 100,000
rows and 60 questions.
"""

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path

import numpy as np
from retrieval_quality import cut, markdown

from inhouse.config.sections import Retrieval
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.retrieval.index import Part, index_parts
from inhouse.retrieval.search import Index
from inhouse.types import Chunk, Silent

HERE = Path(__file__).parent
SETTINGS = Retrieval()
NOISE = 0.75
SWAPPED = 5  # every fifth word is replaced
UPDATE = 1_000
READERS = 8
RECALL = 0.95
EF = (50, 100, 200, 400, 800)
BLOCK = 50_000
MOST_S = 120.0  # for one figure: a slow search gets fewer questions
VISIBLE = {"1 %": ("one",), "10 %": ("one", "ten"), "100 %": ("one", "ten", "hundred")}


class Rows:
    """The generated rows, numbered and always the same."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.rows = rows
        self.real = np.load(folder / "real.npy")
        self.words = [text.split() for text in json.loads((folder / "texts.json").read_text(encoding="utf-8"))]
        self.all_words = np.array([w for words in self.words for w in words], dtype=object)

    def vectors(self, start: int, stop: int) -> np.ndarray:
        """Float32 unit vectors of rows `start` to `stop`; `start` is a multiple of BLOCK."""
        random = np.random.default_rng([start, 1])
        drawn = self.real[self._sources(start, stop)]
        noise = random.standard_normal(drawn.shape, dtype=np.float32) * np.float32(NOISE / drawn.shape[1] ** 0.5)
        drawn = drawn + noise
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    def texts(self, start: int, stop: int) -> list[str]:
        random = np.random.default_rng([start, 2])
        texts = []
        for serial, source in enumerate(self._sources(start, stop), start):
            words = list(self.words[source])
            swapped = self.all_words[random.integers(0, len(self.all_words), len(words[::SWAPPED]))]
            words[::SWAPPED] = swapped.tolist()
            texts.append(f"{serial} {' '.join(words)}")
        return texts

    def groups(self, start: int, stop: int) -> list[str]:
        kinds = np.random.default_rng([start, 3]).random(stop - start)
        return ["one" if kind < 0.01 else "ten" if kind < 0.1 else "hundred" for kind in kinds]

    def blocks(self, start: int = 0, stop: int = 0) -> Iterator[tuple[int, int]]:
        for at in range(start, stop or self.rows, BLOCK):
            yield at, min(at + BLOCK, stop or self.rows)

    def _sources(self, start: int, stop: int) -> np.ndarray:
        return np.random.default_rng([start, 0]).integers(0, len(self.real), stop - start)


class GeneratedEmbedder:
    """An embedder that finds a generated row's vector by the serial number in its text, and embeds questions."""

    def __init__(self, rows: Rows, embedder: OnnxEmbedder) -> None:
        self.name, self.dimensions, self.count_tokens = embedder.name, embedder.dimensions, embedder.count_tokens
        self.sides = embedder.sides
        self._rows, self._embedder = rows, embedder
        self._at, self._block = -1, np.zeros((0, embedder.dimensions), dtype=np.float32)

    def embed(self, texts: list[str], query: bool = False) -> np.ndarray:
        serials = [text.partition("\n")[2].partition(" ")[0] for text in texts]
        if not all(serial.isdigit() for serial in serials):
            return self._embedder.embed(texts)
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for n, serial in enumerate(map(int, serials)):
            at = serial // BLOCK * BLOCK
            if at != self._at:
                self._at, self._block = at, self._rows.vectors(at, at + BLOCK)
            vectors[n] = self._block[serial - at]
        return vectors


class Ours:
    def __init__(self, rows: Rows, embedder: OnnxEmbedder, folder: Path) -> None:
        self.rows, self.folder, self.embedder = rows, folder, GeneratedEmbedder(rows, embedder)

    def parts(self, stop: int) -> Iterator[Part]:
        """A document of one chunk for each row."""
        for start, end in self.rows.blocks(stop=stop):
            texts = cache(partial(self.rows.texts, start, end))  # generated when the first of them is cut
            for n, group in enumerate(self.rows.groups(start, end), start):
                yield Part(f"{n:064d}", partial(self.cut, n, lambda n=n, texts=texts: texts()[n % BLOCK], group))

    def cut(self, number: int, text: Callable[[], str], group: str) -> list[Chunk]:
        return [
            Chunk(document=f"{number:064d}", source=f"{number}.md", title=f"Document {number}", start=0, end=1,
                  text=text(), heading="", access=frozenset([group]))
        ]  # fmt: skip

    def build(self) -> None:
        self._index(self.rows.rows, self.folder / "a", None)

    def _index(self, stop: int, out: Path, previous: Path | None) -> None:
        with Silent().step("", None) as step:
            index_parts(self.parts(stop), self.embedder, SETTINGS, out, previous, step)

    def open(self) -> None:
        self.index = Index(self.folder / "a", self.embedder)

    def search(self, question: str, groups: tuple[str, ...]) -> list[int]:
        return [int(h.chunk.source[:-3]) for h in self.index.search(question, 10, groups)]

    def nearest(self, question: str, groups: tuple[str, ...]) -> list[int]:
        """Results of the vector search alone."""
        return [int(h.chunk.source[:-3]) for h in self.index.search(question, 10, groups, weight=1.0)]

    def update(self) -> None:
        stop = self.rows.rows + UPDATE
        self._index(stop, self.folder / "b", self.folder / "a")
        results = Index(self.folder / "b", self.embedder).search(str(stop - 1), 1, VISIBLE["100 %"], weight=0.0)
        if results[0].chunk.source != f"{stop - 1}.md":
            raise SystemExit("inhouse: the update is incomplete, the last document is not found")


class Chroma:
    def __init__(self, rows: Rows, embedder: OnnxEmbedder, folder: Path) -> None:
        import chromadb

        self.rows, self.embedder, self.folder = rows, embedder, folder
        settings = chromadb.Settings(anonymized_telemetry=False)
        self.client = chromadb.PersistentClient(str(folder), settings)

    def add(self, start: int, stop: int) -> None:
        most = self.client.get_max_batch_size()
        for block, end in self.rows.blocks(start, stop):
            vectors, texts = self.rows.vectors(block, end), self.rows.texts(block, end)
            groups = self.rows.groups(block, end)
            for a in range(0, end - block, most):
                b = min(a + most, end - block)
                self.collection.add(
                    ids=[str(n) for n in range(block + a, block + b)], embeddings=vectors[a:b], documents=texts[a:b],
                    metadatas=[{"group": group} for group in groups[a:b]],
                )  # fmt: skip

    def build(self) -> None:
        configuration = {"hnsw": {"space": "cosine", "num_threads": os.cpu_count() or 1}}
        self.collection = self.client.create_collection("rows", configuration=configuration, embedding_function=None)
        self.add(0, self.rows.rows)

    def open(self, ef_search: int = 0) -> None:
        """Chroma only uses a new `ef_search` that is set before the first query of a process."""
        self.collection = self.client.get_collection("rows", embedding_function=None)
        if ef_search:
            self.collection.modify(configuration={"hnsw": {"ef_search": ef_search}})

    def search(self, question: str, groups: tuple[str, ...]) -> list[int]:
        where = {"group": {"$in": list(groups)}} if groups else None
        vector = self.embedder.embed([question])
        results = self.collection.query(query_embeddings=vector, n_results=10, where=where, include=["documents"])
        return [int(n) for n in results["ids"][0]]

    def update(self) -> None:
        start = -(-self.rows.rows // BLOCK) * BLOCK
        self.add(start, start + UPDATE)
        results = self.collection.query(query_embeddings=self.rows.vectors(start, start + UPDATE)[-1:], n_results=1)
        if results["ids"][0][0] != str(start + UPDATE - 1):
            raise SystemExit("chroma: the update is incomplete, the last document is not found")


SYSTEMS = {"inhouse": Ours, "chroma": Chroma}


def exact(rows: Rows, vectors: np.ndarray) -> dict[str, list[list[int]]]:
    """By visibility and question, the ten nearest visible rows by cosine."""
    best = {name: [(np.zeros(0), np.zeros(0, dtype=int))] * len(vectors) for name in VISIBLE}
    for start, stop in rows.blocks():
        cosines = vectors @ rows.vectors(start, stop).T
        groups = np.array(rows.groups(start, stop))
        for name, visible in VISIBLE.items():
            numbers = np.flatnonzero(np.isin(groups, visible))
            for n, row in enumerate(cosines[:, numbers]):
                scores, places = (np.concatenate(p) for p in zip(best[name][n], (row, numbers + start), strict=True))
                top = np.argsort(-scores)[:10]
                best[name][n] = scores[top], places[top]
    return {name: [places.tolist() for _, places in results] for name, results in best.items()}


def timed(ask: Callable[[str, tuple[str, ...]], list[int]], questions: list[str], visible: tuple[str, ...],
          wanted: list[list[int]] | None = None) -> dict[str, float]:  # fmt: skip
    """Latency of questions asked one by one, for at most MOST_S after five warm-up questions, and recall at ten."""
    for question in questions[:5]:
        ask(question, visible)
    times, results = [], []
    over = time.perf_counter() + MOST_S
    for question in questions:
        started = time.perf_counter()
        results.append(ask(question, visible))
        times.append(1000 * (time.perf_counter() - started))
        if time.perf_counter() > over:
            break
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    figures = {"questions": len(times), "p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99)}
    if wanted is not None:
        figures["recall"] = statistics.mean(
            len(set(a) & set(b)) / len(b) for a, b in zip(results, wanted, strict=False)
        )
    return figures


def at_once(ask: Callable[[str, tuple[str, ...]], list[int]], questions: list[str]) -> dict[str, float]:
    """Throughput and latency of eight concurrent readers that share the questions."""
    times = []

    def one(question: str) -> None:
        begun = time.perf_counter()
        ask(question, VISIBLE["10 %"])
        times.append(1000 * (time.perf_counter() - begun))

    started = time.perf_counter()
    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(one, questions))
    p50, p99 = np.percentile(times, [50, 99])
    return {"a_second": len(questions) / (time.perf_counter() - started), "p50_ms": float(p50), "p99_ms": float(p99)}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def trial(name: str, step: str, folder: Path, rows: Rows, ef_search: int) -> dict[str, object]:
    """Runs one step of one system in this process: `build`, `recall` (Chroma only), or `search` with the update."""
    embedder = OnnxEmbedder(Catalog().find(SETTINGS.embedder, HERE))
    system = SYSTEMS[name](rows, embedder, folder / name)
    if step == "build":
        started = time.perf_counter()
        system.build()
        seconds = time.perf_counter() - started
        disk = sum(f.stat().st_size for f in (folder / name).rglob("*") if f.is_file())
        return {"build_s": seconds, "build_mb": peak_mb(), "disk_mb": disk / 2**20}
    questions: list[str] = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    wanted = json.loads((folder / "exact.json").read_text(encoding="utf-8"))
    figures: dict[str, object] = {}
    gc.freeze()  # the generated texts, which a server would not have
    if isinstance(system, Chroma):
        system.open(ef_search)
        unfiltered = timed(system.search, questions[: 50 if step == "recall" else None], (), wanted["100 %"])
        if step == "recall":
            return unfiltered
        figures = {"ef_search": ef_search, "vectors, no filter": unfiltered}
    else:
        system.open()
    for label, visible in VISIBLE.items():
        if isinstance(system, Ours):
            figures[f"search, {label} visible"] = timed(system.search, questions, visible)
            figures[f"vectors, {label} visible"] = timed(system.nearest, questions, visible, wanted[label])
        else:
            figures[f"vectors, {label} visible"] = timed(system.search, questions, visible, wanted[label])
    figures["readers"] = at_once(system.search, questions)
    figures["search_mb"] = peak_mb()
    started = time.perf_counter()
    system.update()
    figures["update_s"] = time.perf_counter() - started
    return figures


def prepare(data: Path, folder: Path, rows: int, questions: int) -> None:
    """Writes the real chunks, the questions, and the exact results."""
    embedder = OnnxEmbedder(Catalog().find(SETTINGS.embedder, HERE))
    chunks = cut(markdown(data / "bank" / "documents"), embedder)
    np.save(folder / "real.npy", embedder.embed([f"{c.title}\n{c.heading}\n{c.text}" for c in chunks]))
    (folder / "texts.json").write_text(json.dumps([c.text for c in chunks]), encoding="utf-8")
    lines = (data / "bank" / "intents_train.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    texts = texts[:: max(1, len(texts) // questions)][:questions]
    (folder / "questions.json").write_text(json.dumps(texts), encoding="utf-8")
    nearest = exact(Rows(folder, rows), embedder.embed(texts))
    (folder / "exact.json").write_text(json.dumps(nearest), encoding="utf-8")


def save(rows: int, questions: int, result: dict[str, dict[str, object]]) -> None:
    (HERE / "results").mkdir(exist_ok=True)
    figures = {"rows": rows, "questions": questions} | result
    (HERE / "results" / "retrieval_scale.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


def show(result: dict[str, dict[str, object]]) -> None:
    for name, figures in result.items():
        print(f"\n| {name} | questions | p50 ms | p95 ms | p99 ms | recall@10 |\n|---|---|---|---|---|---|")
        for label, row in figures.items():
            if isinstance(row, dict) and "p95_ms" in row:
                recall = f"{row['recall']:.3f}" if "recall" in row else ""
                times = " | ".join(f"{row[q]:.1f}" for q in ("p50_ms", "p95_ms", "p99_ms"))
                print(f"| {label} | {row['questions']} | {times} | {recall} |")
        print(f"eight concurrent readers: {figures['readers']}")
        print({k: round(v, 1) for k, v in figures.items() if isinstance(v, float | int)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="number of chunks")
    parser.add_argument("--questions", type=int, default=300, help="number of questions")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data", help="the public data")
    parser.add_argument("--systems", default="inhouse,chroma", help="separated by commas")
    parser.add_argument("--quick", action="store_true", help="100,000 chunks and 60 questions")
    parser.add_argument("--trial", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--ef-search", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    rows, questions = (100_000, 60) if given.quick else (given.rows, given.questions)
    if given.trial:
        results = trial(*given.trial, given.folder, Rows(given.folder, rows), given.ef_search)
        (given.folder / "trial.json").write_text(json.dumps(results), encoding="utf-8")
        return
    result: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        print("generating rows and computing the exact results", flush=True)
        prepare(given.data, folder, rows, questions)
        for system in given.systems.split(","):
            result[system] = {}

            def run(step: str, ef_search: int = 0, system: str = system) -> dict[str, object]:
                print(f"{system}: {step} {ef_search or ''}", flush=True)
                command = [sys.executable, __file__, "--trial", system, step, "--folder", name, "--rows", str(rows)]
                subprocess.run([*command, "--ef-search", str(ef_search)], check=True)
                return json.loads((folder / "trial.json").read_text(encoding="utf-8"))

            result[system] = run("build")
            save(rows, questions, result)  # saved early, since a run of half an hour may be interrupted
            ef_search = 0
            if system == "chroma":
                ef_search = next((ef for ef in EF if run("recall", ef)["recall"] >= RECALL), EF[-1])
            result[system] |= run("search", ef_search)
            save(rows, questions, result)
    show(result)


if __name__ == "__main__":
    main()
