"""What the terminal shows: progress with time left, durations, errors. Standard output is for results."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from inhouse.errors import InhouseError
from inhouse.types import Step
from inhouse.verdict import ArmResult

out = Console()
err = Console(stderr=True)
LINE_EVERY_S = 20
STATUSES = ("read", "duplicate", "failed")


class Bars:
    """A Progress of Rich bars; a line every 20 seconds where standard error is not a terminal."""

    @contextmanager
    def step(self, label: str, total: float | None) -> Iterator[Step]:
        if not err.is_terminal:
            yield Lines(label, total)
            return
        columns = (
            TextColumn("  {task.description}"), BarColumn(24), TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=err, transient=True) as bars:
            yield Bar(bars, bars.add_task(label, total=total, note=""))


class Bar:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._bars.advance(self._task, amount)
        if note:
            self._bars.update(self._task, note=note)


class Lines:
    def __init__(self, label: str, total: float | None) -> None:
        self._label, self._total, self._done = label, total, 0.0
        self._started = self._printed = time.monotonic()

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._done += amount
        now = time.monotonic()
        if now - self._printed < LINE_EVERY_S:
            return
        self._printed = now
        share = f"{self._done:.0f}"
        if self._total:
            left = (now - self._started) * max(self._total - self._done, 0) / max(self._done, 1e-9)
            share = f"{self._done / self._total:4.0%}, {left:.0f} s left"
        print(f"  {self._label}: {share} {note}".rstrip(), file=sys.stderr, flush=True)


def print_line(text: str, style: str = "") -> None:
    """Prints a line of results as it is: without markup, colors for numbers, or line breaks."""
    out.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def file_counts(files: Sequence[Mapping[str, Any]]) -> Table:
    """The files of a folder by format: how many were read, are duplicates, or failed, and the characters read."""
    table = Table("format", box=None, pad_edge=False)
    for title in (*STATUSES, "characters"):
        table.add_column(title, justify="right")
    suffixes = [PurePath(f["path"]).suffix.lower() or "none" for f in files]
    for name in (*sorted(set(suffixes)), "all"):
        group = [f for f, suffix in zip(files, suffixes, strict=True) if name in ("all", suffix)]
        counts = Counter(f["status"] for f in group)
        read = sum(f["chars"] for f in group if f["status"] == "read")
        table.add_row(name, *(str(counts[status]) for status in STATUSES), f"{read:,}")
    return table


def base_models(rows: Sequence[tuple[str, str, ArmResult, int]]) -> Table:
    """A row for each base model and arm: scores in percent, seconds an answer, megabytes of memory."""
    table = Table("base", "arm", box=SIMPLE_HEAD, pad_edge=False)
    for head in ("accuracy", "wrong", "unsupported", "p50 s", "p95 s", "MB"):
        table.add_column(head, justify="right")
    for base, arm, result, memory_mb in rows:
        scores = (result.metrics.get(m) for m in ("accuracy", "wrong", "unsupported"))
        times = (result.latency_ms.p50, result.latency_ms.p95)
        table.add_row(
            base, arm, *(f"{100 * e.mean:.1f}" if e else "" for e in scores), *(f"{ms / 1000:.1f}" for ms in times),
            f"{memory_mb:,}",
        )  # fmt: skip
    return table


def duration(seconds: float) -> str:
    """Seconds for people: "8.0 s", "25 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def show_error(error: InhouseError) -> None:
    err.print("error:", style="bold red", end=" ")
    err.print(str(error), markup=False, highlight=False, soft_wrap=True)
    if error.hint:
        err.print("hint:", style="bold", end=" ")
        err.print(error.hint, markup=False, highlight=False, soft_wrap=True)
