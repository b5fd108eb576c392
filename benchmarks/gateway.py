"""The gateway's overhead: latency at 200 requests/s, the highest rate it sustains, and memory.

    python benchmarks/gateway.py [--quick] [--project FOLDER]

The engine is `Scripted`, which answers immediately, so all time is spent in the gateway: keys, queue, and the audit on
disk before the reply. Compared with calling the engine directly, and with a plain FastAPI application that reads the
same body and returns the same answer. The load comes from a separate process over raw keep-alive connections in an open
loop: requests are due at random times (Poisson), and latency counts from the due time, so that a slow server gets no
fewer requests. A rate is sustained when 99 % of the requests are answered and 99 % of these within 250 ms. The CPU time
per request is less affected by other programs on the machine. Memory is the proportional set size of all server
processes after 1,000 requests and after 10,000 more.

With `--project`, measures the memory of `inhouse serve` with that project's production release instead, over
`--requests` requests of `--tokens` tokens. Prints tables, and writes JSON to `benchmarks/results/gateway.json`
(`gateway_memory.json`).
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlparse

HERE = Path(__file__).parent
BODY = {"model": "custom", "messages": [{"role": "user", "content": "How do I apply for a business loan? " * 4}]}
ANSWER = "Apply online or in any branch; you need two years of accounts and your tax number. " * 3
SUSTAINED_S = 0.25
RATES = (200, 300, 400, 500, 600, 700, 800, 1000, 1200, 1400)


# --- servers ----------------------------------------------------------------------------------------------------


def gateway(folder: str, workers: int, url: str = "", inherited: tuple[int, int] | None = None) -> None:
    """The gateway over `Scripted`, with its ledger in `folder` or at `url`."""
    from inhouse.config.gateway import Gateway
    from inhouse.config.sections import Project
    from inhouse.gateway import server
    from inhouse.gateway.limits import Rates
    from inhouse.gateway.state import State
    from inhouse.models.scripted import Scripted
    from inhouse.store.audit import Audit
    from inhouse.store.feedback import Feedback
    from inhouse.store.inbox import Inbox
    from inhouse.store.keys import Keys
    from inhouse.store.ledger import Ledger, ledger_url
    from inhouse.store.traffic import Traffic

    class Models:
        def names(self):
            return ["custom"]

        def model(self, name):
            return Scripted(lambda request: ANSWER)

        def trouble(self):
            return ""

        async def refresh(self):
            return False

        def close(self):
            return None

    def state(rates=None):
        ledger = Ledger(ledger_url(Path(folder), url))
        project = Project(gateway=Gateway(parallel=64, waiting=2000, key_parallel=64, key_per_minute=0))
        return State(
            project, Models(), Audit(ledger), Keys(ledger), Inbox(ledger), Feedback(ledger), Traffic(ledger),
            rates=Rates(rates),
        )  # fmt: skip

    if inherited:
        server.serve(state(inherited[1]), server.inherit(inherited[0]), lambda: None, os.getppid())
        return
    ledger = Ledger(ledger_url(Path(folder), url))
    secret = Keys(ledger).create("load", "admin")[1]
    ledger.close()
    bound = server.listen("127.0.0.1", 0)
    print(server.address_of(bound), secret, flush=True)
    if workers == 1:
        server.serve(state(), bound, lambda: None)
    else:
        again = [sys.executable, __file__, "gateway", folder, str(workers), url]
        server.supervise(lambda *descriptors: [*again, *map(str, descriptors)], workers, bound)


def echo() -> None:
    """A plain FastAPI application that reads the same body and answers with the same text."""
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel

    class Turn(BaseModel):
        role: str
        content: str

    class Body(BaseModel):
        model: str
        messages: list[Turn]

    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def chat(body: Body) -> dict:
        message = {"role": "assistant", "content": ANSWER}
        return {"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": message}]}

    from inhouse.gateway import server

    bound = server.listen("127.0.0.1", 0)
    print(server.address_of(bound), "none", flush=True)
    config = uvicorn.Config(app, access_log=False, log_level="warning")
    # uvicorn's default loop: asyncio's does not disable Nagle's delay on an inherited socket.
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve([bound]))


class Served:
    """A server in separate processes, with its `url` and `secret` once it answers."""

    def __init__(
        self, *arguments: object, command: list[str] | None = None, secret: str = "", errors: object = None
    ) -> None:  # fmt: skip
        # A new process group, so that all processes can be killed together.
        self.process = subprocess.Popen(
            command or [sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True,
            stderr=errors or subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self.url, self.secret = "", secret
        while not (self.url and self.secret):
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server did not start (code {self.process.wait()})")
            words = line.split()
            self.url = next((w.removesuffix("/v1") for w in words if w.startswith("http://")), self.url)
            self.secret = self.secret or (words[-1] if len(words) > 1 and not words[-1].startswith("http") else "")
        self.until_ready()

    def until_ready(self) -> None:
        import httpx

        for _ in range(1200):
            try:
                if httpx.get(f"{self.url}/readyz").status_code in (200, 404):
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise RuntimeError("the server did not become ready")

    def pids(self) -> list[int]:
        command = ["ps", "-o", "pid=", "--ppid", str(self.process.pid)]
        children = subprocess.run(command, capture_output=True, text=True, check=False)
        return [self.process.pid, *map(int, children.stdout.split())]

    def memory_mb(self) -> float:
        total = 0
        for pid in self.pids():
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:  # `ps` itself
                continue
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total / 1024

    def cpu_s(self) -> float:
        total = 0
        for pid in self.pids():
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            total += int(fields[11]) + int(fields[12])
        return total / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        self.kill()


# --- load -------------------------------------------------------------------------------------------------------


class Wire(asyncio.Protocol):
    """One keep-alive connection, one request at a time; reads bodies with a length or in chunks."""

    def __init__(self) -> None:
        self.buffer = b""
        self.waiting: asyncio.Future[tuple[int, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.waiting and not self.waiting.done():
            self.waiting.set_exception(ConnectionError("closed"))

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        self.buffer, self.waiting = b"", asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return await self.waiting

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator or self.waiting is None or self.waiting.done():
            return
        lowered = head.lower()
        if b"content-length: " in lowered:
            whole = len(body) >= int(lowered.split(b"content-length: ")[1].split(b"\r\n")[0])
        else:
            whole = body.endswith(b"0\r\n\r\n")
        if whole:
            self.waiting.set_result((int(head[9:12]), body))


class Pool:
    """A pool that opens as many connections as are needed."""

    def __init__(self, url: str) -> None:
        place = urlparse(url)
        self._host, self._port = place.hostname, place.port
        self._free: list[Wire] = []

    async def ask(self, data: bytes) -> tuple[int, bytes]:
        while self._free and self._free[-1].transport.is_closing():
            self._free.pop()
        if self._free:
            wire = self._free.pop()
        else:
            _, wire = await asyncio.get_running_loop().create_connection(Wire, self._host, self._port)
        answer = await wire.ask(data)
        self._free.append(wire)
        return answer


def request_of(secret: str, body: dict) -> bytes:
    text = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n".encode() + text


async def load(url: str, secret: str, rate: float, seconds: float, seed: int = 7) -> dict:
    """Sends requests due at random times, `rate` per second, for `seconds`."""
    rng, pool, data = random.Random(seed), Pool(url), request_of(secret, BODY)
    loop = asyncio.get_running_loop()
    took: list[float] = []
    codes: dict[str, int] = {}

    async def one(due: float) -> None:
        try:
            async with asyncio.timeout(10):
                status, _ = await pool.ask(data)
        except (OSError, TimeoutError) as error:
            status = type(error).__name__
        codes[str(status)] = codes.get(str(status), 0) + 1
        if status == 200:
            took.append(loop.time() - due)

    tasks, due = [], loop.time() + 0.05
    end = due + seconds
    while due < end:
        await asyncio.sleep(max(0, due - loop.time()))
        tasks.append(asyncio.create_task(one(due)))
        due += rng.expovariate(rate)
    await asyncio.gather(*tasks)
    took.sort()
    share = (
        {q: round(took[min(len(took) - 1, int(q / 100 * len(took)))] * 1000, 2) for q in (50, 95, 99)} if took else {}
    )
    return {"sent": len(tasks), "answered": len(took), "codes": codes, "lag_ms": None,
            **{f"p{q}_ms": v for q, v in share.items()}}  # fmt: skip


def loaded(server: Served, rate: float, seconds: float) -> dict:
    """Figures of a load from a separate process, and the server's CPU time per request."""
    before = server.cpu_s()
    command = [sys.executable, __file__, "load", server.url, server.secret, str(rate), str(seconds)]
    results = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    del results["lag_ms"]
    return {**results, "rate": rate, "cpu_ms": round((server.cpu_s() - before) * 1000 / max(results["sent"], 1), 3)}


def sustained(row: dict) -> bool:
    return row["answered"] >= 0.99 * row["sent"] and row["p99_ms"] <= SUSTAINED_S * 1000


# --- measurements ----------------------------------------------------------------------------------------------


def directly(n: int) -> dict:
    """Latency of the engine called in this process."""
    from inhouse.chat import ChatRequest, collect
    from inhouse.models.scripted import Scripted
    from inhouse.types import Message

    request = ChatRequest(messages=tuple(Message(**m) for m in BODY["messages"]))

    async def run() -> list[float]:
        took = []
        for _ in range(n):
            started = time.perf_counter()
            await collect(Scripted(lambda r: ANSWER), request)
            took.append((time.perf_counter() - started) * 1000)
        return sorted(took)

    took = asyncio.run(run())
    return {"p50_ms": round(statistics.median(took), 3), "p99_ms": round(took[int(0.99 * n)], 3)}


def measure(quick: bool) -> dict:
    seconds, rates = (4, RATES[:5:2]) if quick else (15, RATES)
    results: dict = {"machine": {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}, "direct": directly(2000)}
    print(f"direct: p50 {results['direct']['p50_ms']} ms, p99 {results['direct']['p99_ms']} ms")
    print(f"{'server':<12}{'rate':>6}{'answered':>10}{'p50 ms':>9}{'p95 ms':>9}{'p99 ms':>9}{'cpu ms':>9}  sustained")
    for name, arguments in (("echo", ["echo"]), ("gateway", ["gateway", 1]), ("2 workers", ["gateway", 2])):
        with tempfile.TemporaryDirectory() as folder:
            given = [arguments[0], folder, *arguments[1:]] if arguments[0] == "gateway" else arguments
            with Served(*given) as server:
                loaded(server, 100, 2)  # warm
                rows = results[name] = []
                for rate in rates:
                    row = loaded(server, rate, seconds)
                    rows.append({**row, "sustained": sustained(row)})
                    figures = "".join(f"{row.get(q, 0):>9}" for q in ("p50_ms", "p95_ms", "p99_ms", "cpu_ms"))
                    share = row["answered"] / row["sent"]
                    print(
                        f"{name:<12}{rate:>6}{share:>10.1%}{figures}  {'yes' if sustained(row) else 'no'}", flush=True
                    )
                    if not sustained(row):
                        break
                if name == "gateway":
                    results["memory"] = memory(server, 1000 if quick else 10_000, BODY, 200)
            if name != "echo":
                results[f"{name} audit"] = verified(folder)
    at = {name: results[name][0] for name in ("echo", "gateway", "2 workers")}
    peers = {"direct": results["direct"], "echo": at["echo"]}
    results["added"] = {
        f"{name} over {peer}": {q: round(at[name][q] - figures[q], 2) for q in ("p50_ms", "p99_ms")}
        for name in ("gateway", "2 workers")
        for peer, figures in peers.items()
    }
    for name, gap in results["added"].items():
        print(f"added latency at {rates[0]} requests/s, {name}: p50 {gap['p50_ms']} ms, p99 {gap['p99_ms']} ms")
    for name in at:
        rate = results[f"{name} sustains"] = max((r["rate"] for r in results[name] if r["sustained"]), default=0)
        print(f"{name} sustains {rate} requests/s")
    return results


def memory(server: Served, requests: int, body: dict, rate: float) -> dict:
    """Megabytes before and after requests in a closed loop of 8 connections."""
    readings = []
    for n in (min(1000, requests), requests // 2, requests - requests // 2):
        command = [sys.executable, __file__, "flood", server.url, server.secret, str(n), json.dumps(body)]
        subprocess.run(command, check=True)
        readings.append(round(server.memory_mb(), 1))
    grown = readings[-1] - readings[0]
    print(
        f"memory: {readings[0]} MB after the first requests, {readings[-1]} MB after {requests} more ({grown:+.1f} MB)"
    )
    return {"mb": readings, "requests": requests}


async def flood(url: str, secret: str, requests: int, body: dict) -> None:
    pool, data, left = Pool(url), request_of(secret, body), iter(range(requests))

    async def one() -> None:
        for _ in left:
            await pool.ask(data)

    await asyncio.gather(*(one() for _ in range(8)))


def verified(folder: str, url: str = "") -> dict:
    from inhouse.store.audit import Audit
    from inhouse.store.ledger import Ledger, ledger_url

    ledger = Ledger(ledger_url(Path(folder), url))
    try:
        return Audit(ledger).verify().model_dump()
    finally:
        ledger.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three rates of 4 s each, 1,000 requests for memory")
    parser.add_argument("--project", type=Path, help="measure the memory of `inhouse serve` with this project instead")
    parser.add_argument("--requests", type=int, default=10_000, help="requests to the project")
    parser.add_argument("--tokens", type=int, default=4, help="tokens per answer of the project")
    given = parser.parse_args()
    out = HERE / "results" / ("gateway.json" if not given.project else "gateway_memory.json")
    if given.project:
        inhouse, project = [sys.executable, "-m", "inhouse.cli.main"], ["--project", str(given.project)]
        key = subprocess.run(
            [*inhouse, "keys", "create", "benchmark", "--json", *project], capture_output=True, check=True
        )
        secret = json.loads(key.stdout)["secret"]
        with Served(command=[*inhouse, "serve", *project, "--port", "0"], secret=secret) as server:
            requests = 100 if given.quick else given.requests
            results = memory(server, requests, {**BODY, "max_tokens": given.tokens}, 0)
    else:
        results = measure(given.quick)
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["gateway", folder, workers]:
            gateway(folder, int(workers))
        case ["gateway", folder, workers, url]:
            gateway(folder, int(workers), url)
        case ["gateway", folder, workers, url, bound, rates]:
            gateway(folder, int(workers), url, (int(bound), int(rates)))
        case ["echo"]:
            echo()
        case ["load", url, secret, rate, seconds]:
            print(json.dumps(asyncio.run(load(url, secret, float(rate), float(seconds)))))
        case ["flood", url, secret, requests, body]:
            asyncio.run(flood(url, secret, int(requests), json.loads(body)))
        case _:
            main()
