"""Nothing leaves the machine: the system calls of every command and of a server under load, as strace sees them.

The rest of the suite closes Python's sockets (conftest.py); native code opens sockets without Python. Here the kernel's
view counts: every address must be on loopback or a Unix socket, and no name may be looked up.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from typer.main import get_command

from inhouse.cli.main import app
from inhouse.models.catalog import Catalog

STRACE = ["strace", "-f", "--seccomp-bpf", "-qq", "-ttt", "-e", "trace=network", "-o"]
# Two commands use the network; `serve` and `mcp` run by themselves below.
ELSEWHERE = {"models pull", "engines install", "serve", "mcp", "edge measure"}
RESOLVERS = ("systemd/resolve", "avahi", "winbind")  # nscd also answers who a user is; without it, names go to port 53
RUNGS = ["--set", 'cascade.rung=[{arm="rag"}, {arm="inbox", usd=1}]']
GATE = ["--set", "release.arm=tuned+rag", "--set", "release.max_wrong=1", "--set", "release.no_worse=[]"]
TOOL = 'tool=[{name = "hours", python = "tools.py:hours", effect = "read"}]'
_FAMILY = re.compile(r"\b(?:sa_family=|socket\()AF_(\w+)")
_ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"|sin6?_port=htons\((\d+)\)')

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def leaks(trace: str) -> list[str]:
    """The lines of a trace that reach beyond this machine or look up a name."""
    found = []
    for line in trace.splitlines():
        families = set(_FAMILY.findall(line)) - {"UNIX", "INET", "INET6", "UNSPEC"}
        hosts = [ip for four, six, _ in _ADDRESS.findall(line) if (ip := four or six)]
        ports = [port for _, _, port in _ADDRESS.findall(line) if port]
        beyond = [h for h in hosts if not (h.startswith("127.") or h in ("::1", "::ffff:127.0.0.1"))]
        looks_up = "53" in ports or any(r in line for r in RESOLVERS)
        if families or beyond or looks_up:
            found.append(line)
    return found


def environment(home: Path) -> dict[str, str]:
    """As a new user has it: libraries that are quiet under CI must not be quiet only there.

    The models lie in a cache beside `home`, so that `models add` does not change the real one.
    """
    cache = home.with_name("cache")
    if not cache.exists():
        (cache / "models").mkdir(parents=True)
        for model in Catalog().folder.iterdir():
            if model.is_dir():
                (cache / "models" / model.name).symlink_to(model)
    kept = ("PATH", "PYTHONPATH", "LANG")
    return {**{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(home), "INHOUSE_CACHE": str(cache)}  # fmt: skip


def commands(project: Path, scratch: Path) -> list[tuple[str, list[str], str]]:
    """Every command with arguments with which it succeeds, in an order that a user could type them."""
    lines = scratch / "lines.jsonl"
    lines.write_text(json.dumps({"text": "hello there my friend", "rail": "toxicity", "bad": False}) + "\n")
    (project / "tools.py").write_text('def hours(day: str) -> str:\n    return "9:00 to 17:00"\n')
    log = project / "log.jsonl"
    page = scratch / "hello.toml"
    page.write_text('name = "hello"\nexamples = ["hi"]\n[[states]]\nname = "hi"\nsay = "Hi!"\nend = true\n')
    stored = scratch / "old.stored.jsonl"
    asked = [{"role": "user", "content": "Tell me the charge of plan 2"}]
    stored.write_text(json.dumps({"id": "x", "messages": asked, "answer": "Plan 2 costs $5.", "model": "ft"}) + "\n")
    flows = scratch / "flows.yml"
    flows.write_text("flows: {hi: {description: greets, steps: [{action: utter_hi}]}}\n")
    at = ["--project", str(project)]
    agents = ["--set", 'agent=[{name="prices", examples=["price of a plan"]}, {name="speed", examples=["how fast"]}]']
    experts = ["--set", 'expert=[{name="plans", conversations=["log.jsonl"], documents=["plan*.md"]}]']
    return [
        ("init", ["init", str(scratch / "new")], ""),
        ("check", ["check", *at], ""),
        ("ingest", ["ingest", *at], ""),
        ("index", ["index", *at], ""),
        ("curate", ["curate", *at], ""),
        ("train", ["train", *at], ""),
        ("scratch", ["scratch", "--plan", "--set", "model.base=none", "--set", "scratch.depth=1",
                     "--set", "scratch.context_tokens=32", *at], ""),
        ("pretrain", ["pretrain", "--set", "pretraining.epochs=1", *at], ""),
        ("experts", ["experts", *experts, *at], ""),
        ("parity", ["parity", *at], ""),
        ("calibrate", ["calibrate", *at], ""),
        ("evaluate", ["evaluate", *at], ""),
        ("build", ["build", *at], ""),
        ("search", ["search", "price of plan 2", *at], ""),
        ("ask", ["ask", "What does plan 2 cost?", *at], ""),
        ("chat", ["chat", *at], "What does plan 3 cost?\n"),
        ("show", ["show", *at], ""),
        ("import", ["import", str(log), "--out", str(scratch / "imported.jsonl")], ""),
        ("models list", ["models", "list"], ""),
        ("models add", ["models", "add", "mine", str(next(project.glob("*.gguf")))], ""),
        ("models compare", ["models", "compare", str(next(project.glob("*.gguf"))), *at], ""),
        ("engines list", ["engines", "list"], ""),
        ("engines measure", ["engines", "measure", *at], ""),
        ("engines remove", ["engines", "remove", "vllm"], ""),
        ("release", ["release", *at, *GATE], ""),
        ("release promote", ["release", "promote", "1", *at], ""),
        ("release verify", ["release", "verify", *at], ""),
        ("release list", ["release", "list", *at], ""),
        ("release show", ["release", "show", "1", *at], ""),
        ("experiment start", ["experiment", "start", "--name", "try", "base=1", "1=1", *at], ""),
        ("experiment weights", ["experiment", "weights", "base=1", "1=2", *at], ""),
        ("experiment show", ["experiment", "show", *at], ""),
        ("experiment stop", ["experiment", "stop", *at], ""),
        ("release 2", ["release", *at, *GATE, "--set", "release.name=second"], ""),
        ("release canary", ["release", "canary", "10%", "2", *at], ""),
        ("release shadow", ["release", "shadow", "20%", "2", *at], ""),
        ("release compare", ["release", "compare", "2", *at], ""),
        ("release guards", ["release", "guards", *at], ""),
        ("release incidents", ["release", "incidents", *at], ""),
        ("release rollback", ["release", "rollback", *at], ""),
        ("export", ["export", str(scratch / "exported"), "--release", "1", *at], ""),
        ("export for edge", ["export", str(scratch / "edge"), "--for", "edge", "--release", "1", *at], ""),
        ("edge sync", ["edge", "sync", "--from", str(scratch / "edge"), "--project", str(scratch / "edge")], ""),
        ("keys create", ["keys", "create", "ci", "--role", "admin", "--json", *at], ""),
        ("keys list", ["keys", "list", *at], ""),
        ("keys sessions", ["keys", "sessions", *at], ""),
        ("keys sign-out", ["keys", "sign-out", "all", *at], ""),
        ("keys revoke", ["keys", "revoke", "none", *at], ""),
        ("audit show", ["audit", "show", *at], ""),
        ("audit actions", ["audit", "actions", *at], ""),
        ("audit egress", ["audit", "egress", *at], ""),
        ("audit anchor", ["audit", "anchor", "--set", f"audit.anchor=file:{scratch / 'heads.jsonl'}", *at], ""),
        ("audit verify", ["audit", "verify", *at], ""),
        ("audit export", ["audit", "export", str(scratch / "audit.jsonl"), *at], ""),
        ("audit redact", ["audit", "redact", "none", "--reason", "asked", *at], ""),
        ("tools list", ["tools", "list", *at], ""),
        ("tools call", ["tools", "call", "hours", "day=Friday", "--set", TOOL, *at], ""),
        ("reuse list", ["reuse", "list", *at], ""),
        ("guard show", ["guard", "show", *at], ""),
        ("guard explain", ["guard", "explain", "hello", *at], ""),
        ("guard test", ["guard", "test", str(lines), *at], ""),
        ("procedure check", ["procedure", "check", str(page), *at], ""),
        ("procedure draw", ["procedure", "draw", str(page), "--out", str(scratch / "hello.svg")], ""),
        ("procedure import", ["procedure", "import", str(flows), "--from", "rasa", "--out", str(scratch / "flows")], ""),
        ("route test", ["route", "test", "what does plan 2 cost?", *agents, *at], ""),
        ("route show", ["route", "show", *agents, *at], ""),
        ("cascade fit", ["cascade", "fit", *RUNGS, *at], ""),
        ("cascade show", ["cascade", "show", *RUNGS, *at], ""),
        ("quality", ["quality", *at], ""),
        ("drift", ["drift", *at], ""),
        ("roi", ["roi", "--html", str(scratch / "roi.html"), "--xlsx", str(scratch / "roi.xlsx"), *at], ""),
        ("budget", ["budget", *at], ""),
        ("alerts test", ["alerts", "test", *at], ""),
        ("alerts list", ["alerts", "list", *at], ""),
        ("audit-data", ["audit-data", "--html", str(scratch / "audit.html"), *at], ""),
        ("roadmap", ["roadmap", *at], ""),
        ("watch", ["watch", "--once", *at], ""),
        ("watch status", ["watch", "status", *at], ""),
        ("watch mark", ["watch", "mark", "the fee rule changed", *at], ""),
        ("watch build", ["watch", "build", *at], ""),
        ("watch compare", ["watch", "compare", *at], ""),
        ("watch accept", ["watch", "accept", *at], ""),
        ("openai questions", ["openai", "questions", str(scratch / "batch.jsonl"), "--model", "ft", *at], ""),
        ("openai compare", ["openai", "compare", str(stored), *at], ""),
        ("import openai", ["import", "openai", str(log), "--out", str(scratch / "rows.jsonl")], ""),
        ("openai export", ["openai", "export", str(scratch / "rows.jsonl"), "--out", str(scratch / "back.jsonl")], ""),
        ("tools approve", ["tools", "approve", "none", *at], ""),
        ("tools diff", ["tools", "diff", "none", *at], ""),
    ]  # fmt: skip


# There is nothing with that ID or name, or nothing to compare or to send to; they look for it all the same.
FAILING = {
    "keys revoke", "audit redact", "tools approve", "tools diff", "watch accept", "release compare", "alerts test",
}  # fmt: skip


def names(command, path=()):
    inner = getattr(command, "commands", {})
    if not inner or command.invoke_without_command:
        yield " ".join(path)
    for name, one in inner.items():
        yield from names(one, (*path, name))


@pytest.fixture(scope="module")
def traced(write_project, tiny_gguf, tmp_path_factory):
    """The project after every command, and what strace and the commands printed."""
    scratch = tmp_path_factory.mktemp("traced")
    project, home = scratch / "project", scratch / "home"
    home.mkdir()
    write_project(project)
    shutil.copy(tiny_gguf, project / "tiny.gguf")
    trace = scratch / "trace.txt"
    program = Path(__file__).with_name("commands_under_trace.py")
    done = subprocess.run(
        [*STRACE, str(trace), sys.executable, str(program)], input=json.dumps(commands(project, scratch)),
        env=environment(home), capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return project, home, trace, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_every_command_is_watched(traced):
    known = {name for name in names(get_command(app)) if name}
    assert {row["name"] for row in traced[3]} - {"release 2", "export for edge", "import openai"} == known - ELSEWHERE


def test_commands_succeed_and_reach_nothing(traced):
    _, home, trace, rows, stderr = traced
    failed = [row for row in rows if (row["code"] != 0) != (row["name"] in FAILING)]
    assert not failed, (failed, stderr[-3000:])
    text = trace.read_text()
    assert "AF_INET" in text  # the engine's port on loopback: the trace does see native code
    assert leaks(text) == []
    assert [str(f) for f in home.rglob("*") if f.is_file()] == []  # no device ID, no queue of events


def test_a_server_under_load_reaches_nothing(traced):
    project, home, _, _, _ = traced
    trace = project / "serve.txt"
    server = subprocess.Popen(
        [*STRACE, str(trace), sys.executable, "-m", "inhouse.cli.main", "serve", "--project", str(project), "--port", "0"],
        env=environment(home), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        url = re.search(r"at (http://\S+)", server.stdout.readline())[1]
        key = subprocess.run(
            [sys.executable, "-m", "inhouse.cli.main", "keys", "create", "load", "--role", "admin", "--json",
             "--project", str(project)], env=environment(home), capture_output=True, text=True, check=True)  # fmt: skip
        secret = json.loads(key.stdout)["secret"]
        threads = [threading.Thread(target=_use, args=(url, secret)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pid = int(Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0])
        os.kill(pid, signal.SIGTERM)
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.stdout.close()
        server.wait()
    assert leaks(trace.read_text()) == []
    assert [str(f) for f in home.rglob("*") if f.is_file()] == []


def test_a_server_over_standard_input_reaches_nothing(traced, tmp_path):
    project, home, _, _, _ = traced
    trace = tmp_path / "mcp.txt"
    server = subprocess.Popen(
        [*STRACE, str(trace), sys.executable, "-m", "inhouse.cli.main", "mcp", "--project", str(project)],
        env=environment(home), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    question = "What does plan 2 cost?"

    def said(method, params, id=None):
        server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n"
                           if id else json.dumps({"jsonrpc": "2.0", "method": method}) + "\n")  # fmt: skip
        server.stdin.flush()
        return json.loads(server.stdout.readline())["result"] if id else None

    try:
        assert said("initialize", client, 1)["serverInfo"]["name"] == "inhouse"
        said("notifications/initialized", {})
        for id, (name, arguments) in enumerate(
            [("ask", {"question": question}), ("search", {"query": question}), ("hand_over", {"question": question})], 2
        ):
            result = said("tools/call", {"name": name, "arguments": arguments}, id)
            assert not result.get("isError"), result
        server.stdin.close()
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.stdout.close()
        server.wait()
    assert leaks(trace.read_text()) == []
    assert [str(f) for f in home.rglob("*") if f.is_file()] == []


def _use(url, secret):
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=120) as client:
        for stream in (False, True, False):
            asked = {"messages": [{"role": "user", "content": "What does plan 2 cost?"}], "stream": stream}
            assert client.post("/chat/completions", json=asked).status_code == 200
        assert client.post("/embeddings", json={"model": "m", "input": ["hello", "there"]}).status_code == 200
        assert client.get("/models").status_code == 200
        assert client.get(url.removesuffix("/v1") + "/console/sign-in").status_code == 200


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("import socket; socket.socket().connect_ex(('192.0.2.7', 443))", "192.0.2.7"),
        ("import socket; socket.socket(socket.AF_INET6).connect_ex(('2001:db8::7', 443))", "2001:db8::7"),
        ("import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))", "53"),
        ("import socket; socket.getaddrinfo('name.invalid', 443)", "53"),
        ("import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)", "NETLINK"),
    ],
)
def test_the_watch_sees_what_leaves(tmp_path, code, seen):
    """In a network namespace without a network, so that nothing is sent."""
    trace = tmp_path / "trace.txt"
    subprocess.run(["unshare", "-n", *STRACE, str(trace), sys.executable, "-c", code], capture_output=True, check=False)
    found = leaks(trace.read_text())
    assert any(seen in line for line in found), trace.read_text()


def test_the_watch_lets_this_machine_pass():
    fine = ('1 2.0 socket(AF_UNIX, SOCK_STREAM, 0) = 3\n1 2.0 connect(3, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0\n'
            '1 2.0 bind(4, {sa_family=AF_INET, sin_port=htons(8000), sin_addr=inet_addr("127.0.0.1")}, 16) = 0\n'
            '1 2.0 connect(5, {sa_family=AF_INET6, sin6_port=htons(80), sin6_flowinfo=htonl(0), '
            'inet_pton(AF_INET6, "::1", &sin6_addr), sin6_scope_id=0}, 28) = 0')  # fmt: skip
    assert leaks(fine) == []
