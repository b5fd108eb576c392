"""Budgets under kill -9: overspend, lost money, and what a reservation adds to the time of a request.

    python benchmarks/budgets.py [--quick] [--postgres URL] [--requests 1000]

`ledger`: 8 processes make 10,000 calls against one real ledger. Each call reserves its worst case, writes what it truly
cost into a file (the model has been paid), and appends its exchange to the audit log, which settles. Processes are
killed (SIGKILL) at random moments and started again. The budget is too small for all calls, so many are refused.
A watcher reads what is spent and held all the while. At the end the leases are over, and each call is accounted for:

- overspend: the most that was ever spent or held above the limit, in nanodollars;
- lost money: what calls cost that no budget was charged for;
- difference: what the budget has, less the audit log's costs of settled calls and the worst cases of calls that were
  killed. It must be 0: nothing is held or charged without a call.

`gateway`: the same through `inhouse`'s server with two worker processes, a scripted model that is paid when it is
asked, and workers that are killed while clients ask.

`latency`: two servers in one run, one with four budgets (project, team, key, user) and one without; requests go to both
in turn, one at a time, so that both see the same noise of the machine. Added p99 is the difference of their p99. The
paired bootstrap over blocks of 50 requests gives its interval. Processor time of the servers per request depends less
on what else the machine does. Prints tables, and writes JSON to `benchmarks/results/budgets.json`.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

HERE = Path(__file__).parent
PROCESSES, CALLS = 8, 10_000
WORST, LIMIT = 1_000_000, 0.55  # nanodollars; the budget as a share of what all calls would cost
MOST = 300  # requests through the gateway
BODY = {"model": "custom", "messages": [{"role": "user", "content": "How do I apply for a business loan? " * 4}]}


def limit_of(nano: int):
    from inhouse.store.budgets import Amount, Limit

    return Limit(per="project", most=Amount(nano, 0, 0))


# --- the ledger -------------------------------------------------------------------------------------------------


def worker(url: str, paid: str, calls: int, limit_nano: int, seed: int) -> None:
    """Makes calls, five at a time, until it is killed or they are done; prints how many it began."""
    from inhouse.chat import Exchange
    from inhouse.store.audit import Audit
    from inhouse.store.budgets import Amount, Settlement
    from inhouse.store.ledger import Ledger
    from inhouse.store.reservations import Reservations
    from inhouse.store.tables import now_ms, to_iso
    from inhouse.types import Message

    ledger = Ledger(url)
    audit, reservations, dice = Audit(ledger), Reservations(ledger), random.Random(seed)
    log = os.open(paid, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    limits, left = [limit_of(limit_nano)], calls

    async def one() -> None:
        id, cost = uuid.uuid4().hex, dice.randrange(WORST // 10, WORST)
        refusal = await reservations.reserve(id, limits, Amount(WORST, 0, 1), 600_000)
        if refusal is not None:
            print("refused", flush=True)
            return
        os.write(log, f"{id} {cost}\n".encode())
        await asyncio.sleep(dice.random() * 0.01)
        exchange = Exchange(
            id=id, at=to_iso(now_ms()), user="u", key="k", model="custom", release="", arm="", answer="yes",
            messages=(Message(role="user", content="hello"),), reason="stop", cost_usd=cost / 1e9,
        )  # fmt: skip
        await audit.append(exchange, Settlement(id, Amount(cost, 0, 1)))
        print("answered", flush=True)

    async def line() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await one()

    async def all_lines() -> None:
        await asyncio.gather(*(line() for _ in range(5)))

    asyncio.run(all_lines())
    audit.close()
    reservations.close()


class Watch:
    """Reads the budget while others write it: the most that was spent and held."""

    def __init__(self, url: str) -> None:
        from inhouse.store.ledger import Ledger

        self.ledger, self.most, self.looks, self._stop = Ledger(url), 0, 0, threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        from inhouse.store.budgets import Budgets

        while not self._stop.wait(0.01):
            for use in Budgets(self.ledger).used():
                self.most, self.looks = max(self.most, use.spent.nano_usd + use.held.nano_usd), self.looks + 1

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.ledger.close()


def accounted(url: str, paid: Path, limit_nano: int, watch: Watch) -> dict:
    """Ends all leases, and compares the budget with the audit log and with what was paid."""
    import sqlalchemy as sa

    from inhouse.store.audit import Audit
    from inhouse.store.budgets import Budgets
    from inhouse.store.ledger import Ledger
    from inhouse.store.tables import RESERVATIONS

    ledger = Ledger(url)
    with ledger.read() as connection:
        rows = connection.execute(sa.select(RESERVATIONS)).mappings().all()
    lost = {row["exchange_id"]: row["nano_usd"] for row in rows}
    Budgets(ledger).charge_lost(at_ms=round(time.time() * 1000) + 86_400_000 // 24)
    audit = Audit(ledger)
    settled = {e.id: round(e.cost_usd * 1e9) for _, e in audit.find(limit=10**6) if e.reason != "interrupted"}
    chain = audit.verify().ok
    audit.close()
    (use,) = Budgets(ledger).used()
    ledger.close()
    truth = dict(line.split() for line in paid.read_text().splitlines()) if paid.exists() else {}
    charged = settled | lost
    uncharged = sum(max(0, int(cost) - charged.get(id, 0)) for id, cost in truth.items())
    return {
        "answered": len(settled), "lost calls": len(lost), "paid calls": len(truth),
        "limit usd": limit_nano / 1e9, "spent usd": use.spent.usd,
        "overspend nano": max(0, watch.most - limit_nano, use.spent.nano_usd - limit_nano),
        "lost money nano": uncharged, "looks": watch.looks,
        "difference nano": use.spent.nano_usd - sum(settled.values()) - sum(lost.values()),
        "held at the end": use.held.nano_usd, "audit chain": chain,
        "charged above truth usd": (sum(charged.values()) - sum(map(int, truth.values()))) / 1e9,
    }  # fmt: skip


def stressed(url: str, folder: Path, calls: int) -> dict:
    paid, limit_nano = folder / "paid", round(calls * WORST * 0.55 * LIMIT)
    began, dice, kills = time.perf_counter(), random.Random(7), 0
    results = {"answered": 0, "refused": 0}
    left = calls
    running: list[tuple[subprocess.Popen, int]] = []
    lock = threading.Lock()
    watch = Watch(url)

    def counted(process: subprocess.Popen) -> None:
        for line in process.stdout:
            with lock:
                results[line.strip()] = results.get(line.strip(), 0) + 1

    def started(share: int) -> subprocess.Popen:
        arguments = ["worker", url, str(paid), str(share), str(limit_nano), str(dice.randrange(10**9))]
        process = subprocess.Popen([sys.executable, __file__, *arguments], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=counted, args=(process,), daemon=True).start()
        return process

    for _ in range(PROCESSES):
        running.append((started(calls // PROCESSES), 0))
    while running:
        time.sleep(0.3 + dice.random())
        running = [(p, n) for p, n in running if p.poll() is None]
        with lock:
            left = calls - sum(results.values())
        if running and left > calls // 50 and dice.random() < 0.8:
            at = dice.randrange(len(running))
            running[at][0].send_signal(signal.SIGKILL)
            running[at][0].wait()
            kills += 1
            running[at] = (started(max(10, left // PROCESSES)), 0)
        elif not running and left > calls // 50:
            running.append((started(left), 0))
    time.sleep(0.2)
    watch.close()
    return {"calls": sum(results.values()), "refused": results["refused"], "kills": kills,
            **accounted(url, paid, limit_nano, watch), "seconds": round(time.perf_counter() - began, 1)}  # fmt: skip


# --- the gateway ------------------------------------------------------------------------------------------------


def server(folder: str, url: str, workers: int, limited: str, inherited: str = "") -> None:
    """The gateway over a scripted model that is paid when it is asked."""
    from inhouse.config.sections import Project
    from inhouse.gateway import server as gateway
    from inhouse.gateway.limits import Rates
    from inhouse.gateway.state import State
    from inhouse.models.scripted import Scripted
    from inhouse.store.audit import Audit
    from inhouse.store.feedback import Feedback
    from inhouse.store.inbox import Inbox
    from inhouse.store.keys import Keys
    from inhouse.store.ledger import Ledger
    from inhouse.store.traffic import Traffic

    paid = os.open(str(Path(folder) / "paid"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def answer(request) -> str:
        os.write(paid, f"{request.exchange} 1\n".encode())
        return "Apply online or in any branch; you need two years of accounts. " * 3

    class Models:
        def names(self):
            return ["custom"]

        def model(self, name):
            return Scripted(answer)

        def trouble(self):
            return ""

        async def refresh(self):
            return False

        def close(self):
            return None

    tables = {
        "": [],
        "requests": [{"requests": MOST}],
        "four": [{"per": p, "usd": 1e6, "tokens": 10**12} for p in ("project", "team", "key", "user")],
    }[limited]

    def state(rates=None):
        ledger = Ledger(url)
        settings = {"parallel": 16, "waiting": 500, "key_parallel": 16, "key_per_minute": 0, "deadline_s": 5}
        project = Project.model_validate({"gateway": settings, "budget": tables})
        return State(project, Models(), Audit(ledger), Keys(ledger), Inbox(ledger), Feedback(ledger), Traffic(ledger),
                     rates=Rates(rates))  # fmt: skip

    if inherited:
        socket, rates = map(int, inherited.split(","))
        gateway.serve(state(rates), gateway.inherit(socket), lambda: None, os.getppid())
        return
    ledger = Ledger(url)
    secret = Keys(ledger).create("load", "admin", ["sales"])[1]
    ledger.close()
    bound = gateway.listen("127.0.0.1", 0)
    print(gateway.address_of(bound), secret, flush=True)
    if workers == 1:
        gateway.serve(state(), bound, lambda: None)
    else:
        again = [sys.executable, __file__, "server", folder, url, str(workers), limited]
        gateway.supervise(lambda a, b: [*again, f"{a},{b}"], workers, bound)


def through_gateway(folder: Path, requests: int) -> dict:
    """Clients ask while workers are killed; a budget of MOST requests must let at most MOST reach the model."""
    import httpx
    from gateway import Served

    from inhouse.store.budgets import Budgets
    from inhouse.store.ledger import Ledger, ledger_url

    url, dice, codes, kills = ledger_url(folder), random.Random(3), {}, 0
    command = [sys.executable, __file__, "server", str(folder), url, "2", "requests"]
    with Served(command=command) as served:

        def client(n: int) -> None:
            with httpx.Client(timeout=20) as http:
                for _ in range(requests // 8):
                    try:
                        code = http.post(f"{served.url}/v1/chat/completions", json=BODY,
                                         headers={"Authorization": f"Bearer {served.secret}"}).status_code  # fmt: skip
                    except httpx.HTTPError:
                        code = 0
                        time.sleep(0.05)
                    codes[code] = codes.get(code, 0) + 1

        threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        while any(t.is_alive() for t in threads):
            time.sleep(0.8 + dice.random())
            children = [p for p in served.pids()[1:] if Path(f"/proc/{p}/cmdline").read_bytes().find(b"server") > 0]
            if children and kills < 6 and any(t.is_alive() for t in threads):
                os.kill(dice.choice(children), signal.SIGKILL)
                kills += 1
        for thread in threads:
            thread.join()
    ledger = Ledger(url)
    held = sum(u.held.requests for u in Budgets(ledger).used())
    Budgets(ledger).charge_lost(at_ms=round(time.time() * 1000) + 600_000)
    (use,) = Budgets(ledger).used()
    ledger.close()
    asked = len((folder / "paid").read_text().splitlines())
    return {"requests": sum(codes.values()), "codes": {str(k): v for k, v in sorted(codes.items())}, "kills": kills,
            "model calls": asked, "charged requests": use.spent.requests, "charged at lease end": held,
            "overspend requests": max(0, asked - MOST, use.spent.requests - MOST),
            "calls not charged": max(0, asked - use.spent.requests), "held at the end": use.held.requests}  # fmt: skip


def latency(folder: Path, requests: int) -> dict:
    import httpx
    import numpy as np
    from gateway import Served

    from inhouse.store.ledger import ledger_url

    def start(name: str, limited: str) -> Served:
        own = folder / name
        own.mkdir()
        return Served(command=[sys.executable, __file__, "server", str(own), ledger_url(own), "1", limited])

    times: dict[str, list[float]] = {"without": [], "with": []}
    with start("without", "") as plain, start("with", "four") as limited, httpx.Client(timeout=20) as http:
        pairs = [("without", plain), ("with", limited)]
        for n in range(requests + 50):
            if n == 50:
                busy = {name: -served.cpu_s() for name, served in pairs}
            for name, served in pairs if n % 2 else reversed(pairs):
                began = time.perf_counter()
                answer = http.post(f"{served.url}/v1/chat/completions", json=BODY,
                                   headers={"Authorization": f"Bearer {served.secret}"})  # fmt: skip
                assert answer.status_code == 200, answer.text
                if n >= 50:
                    times[name].append(1000 * (time.perf_counter() - began))
        busy = {name: 1000 * (busy[name] + served.cpu_s()) / requests for name, served in pairs}
    a, b = np.array(times["without"]), np.array(times["with"])
    rng, blocks = np.random.default_rng(1), len(a) // 50
    picks = rng.integers(0, blocks, (1000, blocks))
    rows = [np.quantile(x[: blocks * 50].reshape(blocks, 50)[picks].reshape(1000, -1), 0.99, axis=1) for x in (a, b)]
    low, high = np.quantile(rows[1] - rows[0], [0.025, 0.975])
    result = {name: {f"p{q}": round(float(np.percentile(x, q)), 2) for q in (50, 90, 99)}
              for name, x in (("without", a), ("with", b))}  # fmt: skip
    added = {f"added p{q}": round(float(np.percentile(b, q) - np.percentile(a, q)), 2) for q in (50, 90, 99)}
    cpu = {f"processor ms {name}": round(ms, 2) for name, ms in busy.items()}
    return {
        "requests": len(a),
        **result,
        **added,
        **cpu,
        "added p99 interval": [round(float(low), 2), round(float(high), 2)],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--postgres", default="", help="URL of an empty database")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    from inhouse.store.ledger import ledger_url

    calls = 1000 if given.quick else CALLS
    file = HERE / "results" / "budgets.json"
    results = json.loads(file.read_text()) if given.only and file.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        parts = {
            "ledger": lambda f: stressed(ledger_url(f), f, calls),
            "gateway": lambda f: through_gateway(f, given.requests),
            "latency": lambda f: latency(f, 300 if given.quick else 2000),
        }
        if given.postgres:
            parts["ledger on PostgreSQL"] = lambda f: stressed(given.postgres, f, calls)
        for name, measure in parts.items():
            if given.only and given.only != name:
                continue
            folder = Path(scratch) / name.replace(" ", "-")
            folder.mkdir()
            results[name] = measure(folder)
            print(f"\n{name}")
            for key, value in results[name].items():
                print(f"  {key:26} {value}", flush=True)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker", url, paid, calls, limit_nano, seed]:
            worker(url, paid, int(calls), int(limit_nano), int(seed))
        case ["server", folder, url, workers, limited, *inherited]:
            server(folder, url, int(workers), limited, *inherited)
        case _:
            main()
