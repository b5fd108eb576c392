"""Runs real clients of the OpenAI API against a served project, and prints a table of clients by features.

`make clients` installs the clients that CLIENTS names (without it all of them), each into a separate folder, and runs
them; a client that is not installed is skipped with the reason. The project needs a release in production, such as the
example bank after `inhouse build`, `inhouse release`, and `inhouse release promote`. A copy of it is served, so nothing
is added to its audit log. The clients' telemetry is off, and a proxy that does not exist keeps them on this machine.
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

HERE = Path(__file__).parent
FEATURES = ("default", "chat", "stream", "structured", "tools", "embeddings")
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


def home(name: str, root: Path) -> Path:
    return root / name


def install(name: str, root: Path) -> None:
    folder = home(name, root)
    if name in PYTHON:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PYTHON[name]], check=True)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        quiet = ["--no-audit", "--no-fund", "--silent"]
        subprocess.run(["npm", "install", *quiet, *NODE[name]], cwd=folder, check=True)


def missing(name: str, root: Path) -> str:
    """Why a client cannot run, "" if it can."""
    folder = home(name, root)
    if name in NODE and not shutil.which("node"):
        return "no node on this machine"
    return "" if (folder / ("bin/python" if name in PYTHON else "node_modules")).exists() else "not installed"


def tried(name: str, root: Path, environment: dict[str, str], limit_s: float) -> dict[str, str]:
    """What came of each feature: "" if it works, else the problem."""
    folder = home(name, root)
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
    if problem and len(found) < len(FEATURES):
        found["default"] = problem[0] if "default" not in found else found["default"]
    return found


@contextmanager
def served(project: Path, root: Path) -> Iterator[tuple[str, str]]:
    """The URL and an admin key of a server over a copy of the project."""
    vocabulary = next(root.glob(f"litellm/lib/python*/site-packages/**/{VOCABULARY}"), "")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        shutil.copytree(project, copy)
        command = [sys.executable, "-m", "inhouse.cli.main", "serve", "--project", str(copy), "--port", "0"]
        command += ["--set", f'gateway.embedding_vocabulary="{vocabulary}"']
        key = [sys.executable, "-m", "inhouse.cli.main", "keys", "create", "clients", "--role", "admin"]
        secret = subprocess.run([*key, "--project", str(copy)], capture_output=True, text=True, check=True).stdout
        with (Path(folder) / "log").open("w") as log:
            server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            try:
                assert server.stdout is not None
                line = server.stdout.readline()
                if "http" not in line:
                    raise SystemExit(f"{project} cannot be served: {(Path(folder) / 'log').read_text()[-2000:]}")
                yield "http" + line.rpartition("http")[2].strip(), "ih_" + secret.rpartition("ih_")[2].split()[0]
            finally:
                server.terminate()
                server.wait(60)


def table(results: dict[str, dict[str, str] | str]) -> str:
    lines = ["", f"{'':14}" + "".join(f"{name:12}" for name in FEATURES)]
    for name, found in results.items():
        if isinstance(found, str):
            lines.append(f"{name:14}skipped: {found}")
            continue
        marks = ["-" if f not in found else "FAIL" if found[f] else "pass" for f in FEATURES]
        lines.append(f"{name:14}" + "".join(f"{mark:12}" for mark in marks))
    return "\n".join([*lines, "(- : the client does not offer it)"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Real clients against a served project.")
    parser.add_argument("--project", type=Path, default=HERE.parent / "examples/first_national_bank")
    parser.add_argument("--home", type=Path, default=HERE.parent / ".clients", help="where the clients are installed")
    parser.add_argument("--clients", default=os.environ.get("CLIENTS", ""), help="names, separated by spaces")
    parser.add_argument("--install", action="store_true", help="install the clients first")
    parser.add_argument("--limit-s", type=float, default=300, help="time limit of one client")
    parser.add_argument("--json", type=Path, help="file for the results")
    given = parser.parse_args()
    names, root = given.clients.split() or [*PYTHON, *NODE], given.home.resolve()
    if unknown := [name for name in names if name not in (*PYTHON, *NODE)]:
        parser.error(f"unknown client {unknown[0]}; there are {', '.join((*PYTHON, *NODE))}")
    results: dict[str, dict[str, str] | str] = {}
    for name in names if given.install else ():
        if missing(name, root) == "not installed":
            print(f"installing {name}", flush=True)
            install(name, root)
    with served(given.project, root) as (url, key):
        cache = next((str(p.parent) for p in root.glob(f"litellm/lib/python*/site-packages/**/{VOCABULARY}")), "")
        environment = {**os.environ, **QUIET, "INHOUSE_URL": url, "INHOUSE_KEY": key, "TIKTOKEN_CACHE_DIR": cache}
        environment.pop("PYTHONPATH", None)
        for name in names:
            started = time.perf_counter()
            results[name] = missing(name, root) or tried(name, root, environment, given.limit_s)
            print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    print(table(results))
    problems = [(n, f, p) for n, found in results.items() if isinstance(found, dict) for f, p in found.items() if p]
    for name, feature, problem in problems:
        print(f"{name}, {feature}: {problem}")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))
    return 1 if problems or not any(isinstance(found, dict) for found in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
