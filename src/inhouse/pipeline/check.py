"""`inhouse check`: are project file, machine and data fit for a build, and how long will each stage take here.

The estimates come from two short probes (embedding, matrix products) and the sizes of the data. A token costs about two
floating point operations per weight where it is read and six where the gradient runs through it (Kaplan et al. 2020,
table 1); the shares of peak that are reached come from runs of this code on two cores.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from inhouse.assembly.workspace import Workspace
from inhouse.datasets.conversations import read_conversations, read_tests
from inhouse.errors import InhouseError
from inhouse.privacy.recognizers import SPACY_MODEL

MIN_MEMORY_GB = 4.0
MIN_DISK_GB = 3.0
BYTES_PER_WEIGHT = 0.62  # of the default weights as they are distributed
TRAIN_SHARE, PROMPT_SHARE = 0.65, 0.8  # of the probe's matrix products; the engine reads prompts in 8 bits
PROMPT_TOKENS, PLAIN_TOKENS, ANSWER_TOKENS = 380, 100, 45  # with passages, without, and of an answer
ANSWER_COSTS = 3  # times what a token of a prompt costs
PLAIN_ARMS = {"base", "prompt", "tuned"}
CHARS_PER_TOKEN = 4.2


def examine(workspace: Workspace) -> dict[str, Any]:
    """What was found: `rows` of (what, state, detail), `problems`, and `stages` with their seconds."""
    rows: list[tuple[str, str, str]] = [("project file", "ok", str(workspace.project.root))]
    problems: list[str] = []

    def note(what: str, good: bool, detail: str) -> None:
        rows.append((what, "ok" if good else "problem", detail))
        if not good:
            problems.append(f"{what}: {detail}")

    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    note("memory", memory_gb >= MIN_MEMORY_GB, f"{memory_gb:.0f} GB")
    cores = len(os.sched_getaffinity(0))
    note("cores", True, str(cores))
    root = workspace.store.root if workspace.store.root.exists() else workspace.project.root
    disk_gb = shutil.disk_usage(root).free / 2**30
    note("disk", disk_gb >= MIN_DISK_GB and os.access(root, os.W_OK), f"{disk_gb:.0f} GB free at {root}")
    for name in (workspace.project.model.base, workspace.project.retrieval.embedder, SPACY_MODEL):
        try:
            note(f"model {name}", True, str(workspace.catalog.find(name, workspace.project.root)))
        except InhouseError as error:
            note(f"model {name}", False, f"{error}; {error.hint}")
    sizes = _data(workspace, note)
    stages = {} if problems else _estimates(workspace, sizes, cores)
    return {"rows": rows, "problems": problems, "stages": stages}


def _data(workspace: Workspace, note: Any) -> dict[str, float]:
    settings = workspace.project.curation
    folder = workspace.project.path(workspace.project.documents.path)
    files = [f for f in folder.rglob("*") if f.is_file()] if folder.is_dir() else []
    total = sum(f.stat().st_size for f in files)
    note("documents", bool(files), f"{len(files)} files, {total / 2**20:.1f} MB in {folder}")
    counts = {}
    for what, names, read in (
        ("conversations", settings.conversations, read_conversations),
        ("tests", settings.tests, read_tests),
    ):
        paths = [workspace.project.path(name) for name in names]
        try:
            examples, rejected = read(paths, settings.where) if paths else ([], [])
        except InhouseError as error:
            note(what, False, f"{error}; {error.hint}")
            continue
        counts[what] = len(examples)
        first = (
            f"; the first bad line: {Path(rejected[0].file).name}:{rejected[0].line}: {rejected[0].reason}"
            if rejected
            else ""
        )
        note(what, bool(examples) or not paths, f"{len(examples)} good, {len(rejected)} left out{first}")
    if not counts.get("tests"):
        counts["tests"] = round(counts.get("conversations", 0) * settings.test_share)
    return {"files": len(files), "bytes": total, **counts}


def _estimates(workspace: Workspace, sizes: dict[str, float], cores: int) -> dict[str, float]:
    """Seconds a stage."""
    import numpy as np

    project = workspace.project
    texts = ["How long does it take until a transfer arrives at another bank? " * 8] * 24
    workspace.embedder.embed(texts[:2])
    started = time.perf_counter()
    workspace.embedder.embed(texts)
    embed_tokens_s = len(texts) * workspace.embedder.count_tokens(texts[0]) / (time.perf_counter() - started)
    matrix = np.ones((1024, 1024), dtype=np.float32)
    started = time.perf_counter()
    for _ in range(20):
        matrix @ matrix
    flops = 20 * 2 * 1024**3 / (time.perf_counter() - started)

    base = workspace.catalog.find(project.model.base, project.root)
    files = [base] if base.is_file() else [*base.glob("*.gguf"), *base.glob("*.safetensors")]
    weights = sum(f.stat().st_size for f in files) / BYTES_PER_WEIGHT
    prompt_tokens_s = flops * PROMPT_SHARE / (2 * weights)
    chunk_tokens = min(sizes["bytes"] / CHARS_PER_TOKEN, 1e9)
    rows = min(sizes["conversations"], project.training.max_examples or 1e9)
    row_flops = 6 * (PROMPT_TOKENS + ANSWER_TOKENS) * weights
    train_s = rows * project.training.epochs * row_flops / (flops * TRAIN_SHARE)
    questions = min(sizes["tests"], project.evaluation.max_questions or 1e9)
    arms = [PLAIN_TOKENS if arm in PLAIN_ARMS else PROMPT_TOKENS for arm in project.evaluation.arms]
    return {
        "ingest": 2 + sizes["files"] * 0.05,
        "index": 3 + 1.3 * chunk_tokens / embed_tokens_s,
        "curate": 8 + 0.04 * sizes["conversations"],
        "train": 20 + (min(train_s, project.training.max_minutes * 60) if project.training.max_minutes else train_s),
        "parity": 45,
        "evaluate": questions * sum(n + ANSWER_COSTS * ANSWER_TOKENS for n in arms) / prompt_tokens_s,
    }
