"""What a folder for devices needs: the memory of all processes that serve it, the time of answers, and its size."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

from inhouse.assembly.workspace import Workspace
from inhouse.errors import BackendError, ConfigError
from inhouse.gateway.server import again
from inhouse.types import Record

LIMIT_MB = 600
MOST_QUESTIONS = 10
START_S, ANSWER_S, STOP_S = 180, 120, 60
ASKED = "What do I need to know about {}?"


class Process(Record):
    """Memory in MB: `rss` with all that is shared, `pss` with its share of that (proportional set size)."""

    name: str
    rss_mb: float
    pss_mb: float


class Footprint(Record):
    """Memory after the answers, in MB; times of complete answers, in seconds; the size of the folder's files."""

    processes: tuple[Process, ...]
    disk_mb: float
    questions: int
    p50_s: float
    p95_s: float

    @property
    def pss_mb(self) -> float:
        return sum(p.pss_mb for p in self.processes)


def footprint(workspace: Workspace, options: Sequence[str], questions: Sequence[str] = ()) -> Footprint:
    """Serves the project in a process of its own, with a database that is deleted afterwards, and asks questions.

    Args:
        workspace: what is served.
        options: of `inhouse serve`.
        questions: by default, one about each of some documents.

    Raises:
        ConfigError: this is not Linux.
        BackendError: the server does not start, or does not answer.
    """
    if not Path("/proc/self/smaps_rollup").is_file():
        raise ConfigError("the memory of processes is read from /proc", "measure on Linux")
    questions = questions or _questions(workspace)
    with tempfile.TemporaryDirectory(prefix="inhouse-") as scratch:
        command = again("serve", "--project", str(workspace.project.root), "--port", "0", *options,
                        "--set", f"store.url=sqlite:///{scratch}/ledger.sqlite")  # fmt: skip
        log = Path(scratch) / "log"
        with log.open("w") as errors:
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            url, key = _ready(server, log)
            seconds = [_ask(url, key, question) for question in questions]
            processes = tuple(_process(pid) for pid in _tree(server.pid))
        finally:
            server.terminate()
            try:
                server.wait(STOP_S)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
            if server.stdout:
                server.stdout.close()
    files = (f.stat().st_size for f in workspace.project.root.rglob("*") if f.is_file())
    ordered = sorted(seconds)
    return Footprint(
        processes=processes, disk_mb=sum(files) / 2**20, questions=len(ordered), p50_s=statistics.median(ordered),
        p95_s=ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))],
    )  # fmt: skip


def _questions(workspace: Workspace) -> list[str]:
    titles = sorted({d.title for d in workspace.documents() if d.title and not d.access})
    step = max(1, len(titles) // MOST_QUESTIONS)
    return [ASKED.format(title) for title in titles[::step][:MOST_QUESTIONS]] or [ASKED.format("you")]


def _ready(server: subprocess.Popen[str], log: Path) -> tuple[str, str]:
    """The address and the first key, which `inhouse serve` prints."""
    assert server.stdout is not None
    lines = []
    for name in ("address", "key"):
        lines.append(server.stdout.readline())
        if not lines[-1]:
            problem = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["no message"]
            raise BackendError(f"the server did not start or printed no {name}: {problem[0]}", "try `inhouse serve`")
    return lines[0].rsplit(" at ", 1)[1].strip(), lines[1].rsplit(": ", 1)[1].strip()


def _ask(url: str, key: str, question: str) -> float:
    body = {"model": "custom", "messages": [{"role": "user", "content": question}]}
    started = time.perf_counter()
    try:
        answer = httpx.post(f"{url}/chat/completions", json=body, headers={"Authorization": f"Bearer {key}"},
                            timeout=ANSWER_S, trust_env=False)  # fmt: skip
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise BackendError(f"the server did not answer ({type(error).__name__})", "try `inhouse serve`") from error
    return time.perf_counter() - started


def _tree(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _process(pid: int) -> Process:
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    kb = {row[0]: int(row[1]) for row in rows}
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    name = next((w for w in reversed(words) if w.startswith("inhouse.") and w != "inhouse.cli.main"), "server")
    return Process(name=name, rss_mb=kb["Rss:"] / 1024, pss_mb=kb["Pss:"] / 1024)
