"""Runs real clients of the OpenAI API against a served project, and prints a table of clients by features.

`make clients` installs the clients that CLIENTS names (without it all of them), each into its own folder and once for
its list of packages, and runs them. A client that cannot be installed is a failed row with the reason; without
`--install`, one that is not installed is skipped. The project needs a release in production, such as the example bank
after `inhouse build`, `inhouse release`, and `inhouse release promote`. A copy of it is served, so nothing is added to
its audit log. The clients' telemetry is off, and a proxy that does not exist keeps them on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
FEATURES = ("default", "chat", "stream", "structured", "tools", "embeddings", "async", "helpers", "errors")
PYTHON = {  # packages of the clients whose script is python/NAME_client.py
    "openai": ("openai",),
    "langchain": ("langchain", "langchain-openai"),
    "llama-index": ("llama-index-llms-openai-like", "llama-index-embeddings-openai-like"),
    "litellm": ("litellm",),
    "haystack": ("haystack-ai",),
    "instructor": ("instructor",),
    "pydantic-ai": ("pydantic-ai-slim[openai]",),
    "openai-agents": ("openai-agents",),
    "lm-eval": ("lm_eval[api]",),
}
NODE = {  # packages of the clients whose script is node/NAME.mjs
    "openai-node": ("openai", "zod"),
    "ai-sdk": ("ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible", "zod"),
    "promptfoo": ("promptfoo",),
}
CLOSED = "http://127.0.0.1:9"  # no proxy is there
QUIET = {
    "HTTP_PROXY": CLOSED, "HTTPS_PROXY": CLOSED, "http_proxy": CLOSED, "https_proxy": CLOSED,
    "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "1", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_DISABLE_REMOTE_GENERATION": "1",
}  # fmt: skip
VOCABULARY = "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"  # cl100k_base, as tiktoken's cache names it; litellm has it
NEEDS = {"langchain": "litellm"}  # its embeddings are sent as tokens of that vocabulary
STAMP = "installed.json"  # what a client's folder was made from
PER_MINUTE = 8  # of the key whose requests are refused soon


class Row(NamedTuple):
    """What came of a client. `problems` has its features ("" if one works); `skipped` is why it was not tried."""

    version: str
    problems: dict[str, str]
    skipped: str = ""


def install(name: str, root: Path, limit_s: float) -> str:
    """Installs a client unless it is there already. Returns what prevented it, "" if nothing did."""
    folder, packages = root / name, [*PYTHON.get(name, ()), *NODE.get(name, ())]
    if name in NODE and not shutil.which("npm"):
        return "npm is not on this machine"
    made_from = {"packages": packages, "python": sys.version if name in PYTHON else ""}
    if _stamped(folder) == made_from:
        return ""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if name in PYTHON:
        pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "--disable-pip-version-check", "-q"]
        steps = [[sys.executable, "-m", "venv", "--without-pip", str(folder)], [*pip, *packages]]
    else:
        (folder / "package.json").write_text('{"private": true}')
        steps = [["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", *packages]]
    for step in steps:
        try:
            ended = subprocess.run(step, check=False, cwd=folder, capture_output=True, text=True, timeout=limit_s)
        except subprocess.TimeoutExpired:
            return f"not installed within {limit_s:g} s"
        if ended.returncode:
            return next((line for line in ended.stderr.splitlines() if "rror" in line), f"exit code {ended.returncode}")
    (folder / STAMP).write_text(json.dumps(made_from))
    return ""


def _stamped(folder: Path) -> dict[str, object]:
    stamp = folder / STAMP
    return json.loads(stamp.read_text()) if stamp.exists() else {}


def version(name: str, root: Path) -> str:
    """The version of a client's main package."""
    if name in NODE:
        return str(json.loads((root / name / "node_modules" / NODE[name][0] / "package.json").read_text())["version"])
    package = PYTHON[name][-1].partition("[")[0]
    asked = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.check_output([root / name / "bin/python", "-c", asked], text=True).strip()


def tried(name: str, root: Path, environment: dict[str, str], limit_s: float) -> Row:
    """Runs a client's script."""
    folder = root / name
    if name in PYTHON:
        command = [str(folder / "bin/python"), str(HERE / "python" / f"{name.replace('-', '_')}_client.py")]
    else:
        for file in (HERE / "node").iterdir():  # modules are looked up from where the script is
            shutil.copy(file, folder)
        command = ["node", str(folder / f"{name.replace('-', '_')}.mjs")]
    try:
        ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=limit_s)
        out, problem = ended.stdout, ended.stderr.strip().splitlines()[-1:] if ended.returncode else []
    except subprocess.TimeoutExpired as error:
        out, problem = (error.stdout or b"").decode(), [f"not done within {limit_s:g} s"]
    rows = [json.loads(line) for line in out.splitlines() if line.startswith('{"feature"')]
    found = {row["feature"]: row["problem"] for row in rows}
    if problem:
        found[next((f for f in FEATURES if f not in found), FEATURES[-1])] = problem[0]
    return Row(version(name, root), found)


def inhouse(command: str, project: Path, *more: str) -> str:
    """The output of a command about the project. Ends the program if it fails."""
    line = [sys.executable, "-m", "inhouse.cli.main", *command.split(), "--project", str(project), *more]
    ended = subprocess.run(line, check=False, capture_output=True, text=True)
    if ended.returncode:
        raise SystemExit(f"inhouse {command}: {ended.stderr.strip()}")
    return ended.stdout


def key(project: Path, *more: str) -> str:
    return "ih_" + inhouse("keys create clients", project, *more).rpartition("ih_")[2].split()[0]


@contextmanager
def served(project: Path, vocabulary: str) -> Iterator[dict[str, str]]:
    """The environment of the clients of a server over a copy of the project."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(project, copy)
        keys = {"INHOUSE_KEY": key(copy, "--role", "admin"),
                "INHOUSE_SLOW_KEY": key(copy, "--role", "user", "--per-minute", str(PER_MINUTE)),
                "INHOUSE_PER_MINUTE": str(PER_MINUTE)}  # fmt: skip
        command = [sys.executable, "-m", "inhouse.cli.main", "serve", "--project", str(copy), "--port", "0"]
        command += ["--set", f'gateway.embedding_vocabulary="{vocabulary}"']
        with (Path(folder) / "log").open("w") as log:
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                assert server.stdout is not None
                line = server.stdout.readline()
                if "http" not in line:
                    raise SystemExit(f"{project} cannot be served: {(Path(folder) / 'log').read_text()[-2000:]}")
                yield {"INHOUSE_URL": "http" + line.rpartition("http")[2].strip(), **keys}
            finally:
                server.terminate()
                server.wait(60)


def line(cells: list[str]) -> str:
    """A row of a table in Markdown."""
    widths = (24, *(10 for _ in FEATURES), 6)
    return "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True)) + " |"


def shown(name: str, row: Row, took_s: float) -> str:
    """The row of a client in the table, and its problems below."""
    if row.skipped:
        return f"{name}: skipped, {row.skipped}"
    marks = ["-" if f not in row.problems else "FAIL" if row.problems[f] else "pass" for f in FEATURES]
    problems = [f"    {feature}: {problem}" for feature, problem in row.problems.items() if problem]
    return "\n".join([line([f"{name} {row.version}".strip(), *marks, f"{took_s:.0f} s"]), *problems])


def installed(names: list[str], root: Path, limit_s: float) -> dict[str, Row]:
    """Installs clients one by one and says how far it is. Returns rows of those that cannot be installed."""
    failed = {}
    everything = list(dict.fromkeys([*names, *(NEEDS[n] for n in names if n in NEEDS)]))
    for n, name in enumerate(everything, 1):
        print(f"[{n}/{len(everything)}] installing {name}", end=" ... ", flush=True)
        started = time.perf_counter()
        problem = install(name, root, limit_s)
        print(problem or f"{time.perf_counter() - started:.0f} s", flush=True)
        if problem:
            failed[name] = Row("", dict.fromkeys(("default",), f"not installed: {problem}"))
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(description="Real clients against a served project.")
    parser.add_argument("--project", type=Path, default=HERE.parent / "examples/first_national_bank")
    parser.add_argument("--home", type=Path, default=HERE.parent / ".clients", help="where the clients are installed")
    parser.add_argument("--clients", default=os.environ.get("CLIENTS", ""), help="names, separated by spaces")
    parser.add_argument("--install", action="store_true", help="install the clients first")
    parser.add_argument(
        "--install-limit-s", type=float, default=900, help="time limit of the installation of one client"
    )
    parser.add_argument("--limit-s", type=float, default=300, help="time limit of one client")
    parser.add_argument("--json", type=Path, help="file for the results")
    given = parser.parse_args()
    names, root = given.clients.split() or [*PYTHON, *NODE], given.home.resolve()
    if unknown := [name for name in names if name not in (*PYTHON, *NODE)]:
        parser.error(f"unknown client {unknown[0]}; there are {', '.join((*PYTHON, *NODE))}")
    inhouse("release show production", given.project)  # before the installation, which takes minutes
    rows = installed(names, root, given.install_limit_s) if given.install else {}
    cached = next(root.glob(f"litellm/lib/python*/site-packages/**/{VOCABULARY}"), None)
    with served(given.project, str(cached or "")) as given_by_server:
        environment = {
            **os.environ,
            **QUIET,
            **given_by_server,
            "TIKTOKEN_CACHE_DIR": str(cached.parent if cached else ""),
        }
        environment.pop("PYTHONPATH", None)
        print(line(["client", *FEATURES, "time"]), line(["---"] * (len(FEATURES) + 2)), sep="\n", flush=True)
        for name in names:
            started = time.perf_counter()
            if name not in rows:
                there = (root / name / STAMP).exists()
                rows[name] = tried(name, root, environment, given.limit_s) if there else Row("", {}, "not installed")
            print(shown(name, rows[name], time.perf_counter() - started), flush=True)
    tries = [problem for name in names for problem in rows[name].problems.values()]
    passed = sum(not problem for problem in tries)
    print(f"{passed} of {len(tries)} pass (- : the client does not offer it, or it is not tried)")
    if given.json:
        given.json.write_text(json.dumps({name: rows[name]._asdict() for name in names}, indent=1))
    return 0 if tries and passed == len(tries) else 1


if __name__ == "__main__":
    sys.exit(main())
