"""Answers per second and latency of a served release, through the whole gateway: guardrails, retrieval, and audit.

    python benchmarks/serving.py FOLDER [FOLDER ...] [--clients 1 8] [--seconds 90] [--rounds 2] [--quick]

Each folder is a project with a release in production, such as one release measured with each engine (the store is used
as it is: take copies). Clients with a key each ask the project's test questions, plain, one after another without
thinking. The projects take turns, `--rounds` in all, and each turn begins with a served question per client that does
not count. Memory is the proportional set size of all processes of the server. Prints a table, and writes JSON to
`benchmarks/results/serving.json`.
"""

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from pathlib import Path

import httpx
from gateway import HERE, Served
from soak import CHAT, keys_of, memory_mb

WARM = 1  # questions of each client before the clock starts


def questions_of(project: Path) -> list[list[dict]]:
    from inhouse.config.load import load_project

    settings = load_project(project)
    lines = (settings.path(f).read_text(encoding="utf-8").splitlines() for f in settings.curation.tests)
    rows = [json.loads(line) for line in itertools.chain(*lines) if line.strip()]
    return [row["messages"] for row in rows if row.get("messages")]


def engine_of(project: Path) -> str:
    from inhouse.assembly.workspace import Workspace
    from inhouse.config.load import load_project
    from inhouse.serving.releases import Releases

    return Releases(Workspace(load_project(project))).get("production").engine or "embedded"


async def ask(url: str, secrets: list[str], questions: list[list[dict]], seconds: float) -> dict:
    """Answers of all clients within so many seconds."""
    took: list[float] = []
    failed = 0
    until = 0.0

    async def client(n: int, secret: str) -> None:
        nonlocal failed
        async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=120) as http:
            for round_ in itertools.count():
                if until and time.monotonic() > until:
                    return
                body = {"model": "custom", "messages": questions[(n + round_ * len(secrets)) % len(questions)]}
                started = time.monotonic()
                answer = await http.post(CHAT, json=body)
                if round_ >= WARM and until and time.monotonic() <= until:
                    took.append(time.monotonic() - started)
                    failed += answer.status_code != 200
                if round_ + 1 == WARM:
                    ready.release()
                    await go.wait()

    ready, go = asyncio.Semaphore(0), asyncio.Event()
    tasks = [asyncio.create_task(client(n, secret)) for n, secret in enumerate(secrets)]
    for _ in secrets:
        await ready.acquire()
    until = time.monotonic() + seconds
    go.set()
    await asyncio.gather(*tasks)
    took.sort()
    return {
        "answers_s": len(took) / seconds, "p50_s": statistics.median(took), "p95_s": took[int(0.95 * (len(took) - 1))],
        "failed": failed,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("projects", type=Path, nargs="+")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--parallel", type=int, default=0, help="model.parallel of the server, by default its own")
    parser.add_argument("--quick", action="store_true", help="one round of 20 s")
    given = parser.parse_args()
    if given.quick:
        given.seconds, given.rounds = 20, 1
    rows = []
    for n, project in itertools.product(range(given.rounds), given.projects):
        secrets = keys_of(project, [f"serving-{time.time_ns()}-{c}" for c in range(max(given.clients))])
        more = ["--set", f"model.parallel={given.parallel}"] if given.parallel else []
        command = [sys.executable, "-m", "inhouse.cli.main", "serve", "--project", str(project), "--port", "0", *more,
                   "--set", "gateway.key_per_minute=0", "--set", "gateway.workers=1"]  # fmt: skip
        engine = engine_of(project)
        with Served(command=command, secret=secrets[0]) as server:
            for clients in given.clients:
                figures = asyncio.run(ask(server.url, secrets[:clients], questions_of(project), given.seconds))
                rows.append({"project": str(project), "engine": engine, "clients": clients, "round": n, **figures,
                             "mb": memory_mb(server.process.pid)})  # fmt: skip
                print(json.dumps(rows[-1]), flush=True)
    print("\n| engine | clients | answers/s | p50 s | p95 s | failed | MB |\n|---|---|---|---|---|---|---|")
    for engine, clients in itertools.product(dict.fromkeys(r["engine"] for r in rows), given.clients):
        of = [r for r in rows if r["engine"] == engine and r["clients"] == clients]
        mean = {k: statistics.mean(r[k] for r in of) for k in ("answers_s", "p50_s", "p95_s", "failed", "mb")}
        print(f"| {engine} | {clients} | {mean['answers_s']:.2f} | {mean['p50_s']:.2f} | {mean['p95_s']:.2f} "
              f"| {mean['failed']:.0f} | {mean['mb']:.0f} |")  # fmt: skip
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "serving.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
