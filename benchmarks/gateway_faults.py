"""Is every answered request in the audit log when the server is killed, or its database stops, under load?

    python benchmarks/gateway_faults.py [--quick] [--workers 2]
    python benchmarks/gateway_faults.py --postgres URL --stop "COMMAND" --start "COMMAND"

First form: 20 times, the gateway over `Scripted` gets requests over 16 connections, plain and streamed, until all its
processes are killed with SIGKILL at a random moment. An answer counts when the client has received all of it: a plain
reply, or a stream up to its [DONE]. After each kill, the audit chain is verified, every answer is looked up in it, and
the server restarts with the same ledger. Second form: the ledger is at URL, and the commands stop and start that
database under load, such as "pg_ctlcluster 15 main stop -m immediate". Requests must fail with 503, answers must
resume, and nothing may be lost. Prints a line for each round, and writes JSON to
`benchmarks/results/gateway_faults.json` (`gateway_postgres.json`).
"""

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from gateway import BODY, HERE, Pool, Served, request_of

from inhouse.store.audit import INTERRUPTED, Audit
from inhouse.store.ledger import Ledger, ledger_url

ID = re.compile(rb'"id":"(chatcmpl-[0-9a-f]+)"')
CONNECTIONS = 16


class Load:
    """A closed loop until `stop`; keeps the ids of complete answers and counts everything else."""

    def __init__(self, url: str, secret: str) -> None:
        self.answered: list[str] = []
        self.codes: Counter[str] = Counter()
        self.by_second: dict[int, Counter[str]] = {}
        self._pool = Pool(url)
        self._requests = [request_of(secret, BODY), request_of(secret, {**BODY, "stream": True})]
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    async def run(self) -> None:
        await asyncio.gather(*(self._one(n) for n in range(CONNECTIONS)))

    async def _one(self, n: int) -> None:
        while not self._stopped:
            try:
                async with asyncio.timeout(20):
                    status, body = await self._pool.ask(self._requests[n % 2])
            except (OSError, TimeoutError) as error:
                self._count(type(error).__name__)
                await asyncio.sleep(0.05)
                continue
            whole = b'"finish_reason":"stop"' in body and (n % 2 == 0 or b"data: [DONE]" in body)
            self._count(str(status) if whole or status != 200 else "200 with an error event")
            if status == 200 and whole:
                self.answered.append(ID.search(body)[1].decode())
            else:
                await asyncio.sleep(0.05)

    def _count(self, what: str) -> None:
        self.codes[what] += 1
        self.by_second.setdefault(int(time.monotonic()), Counter())[what] += 1


def kept(folder: str, url: str, ids: list[str]) -> dict:
    """The result of verifying the chain, and how many of the answers are not in the audit log."""
    ledger = Ledger(ledger_url(Path(folder), url))
    try:
        audit = Audit(ledger)
        verified = audit.verify()
        lost = sum((one := audit.get(id)) is None or one.reason == INTERRUPTED for id in ids)
        return {"rows": verified.rows, "ok": verified.ok, "reason": verified.reason, "lost": lost}
    finally:
        ledger.close()


async def killed_after(server: Served, seconds: float) -> Load:
    load = Load(server.url, server.secret)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(seconds)
    await asyncio.to_thread(server.kill)
    load.stop()
    await running
    return load


def kills(rounds: int, workers: int) -> list[dict]:
    rng, results, all_ids = random.Random(7), [], []
    print(f"{'round':>5}{'killed after':>14}{'answered':>10}{'in audit':>10}{'lost':>6}  chain")
    with tempfile.TemporaryDirectory() as folder:
        for n in range(1, rounds + 1):
            server = Served("gateway", folder, workers)
            seconds = rng.uniform(0.5, 2.5)
            load = asyncio.run(killed_after(server, seconds))
            all_ids += load.answered
            row = {
                "killed_after_s": round(seconds, 2),
                "answered": len(load.answered),
                **kept(folder, "", load.answered),
            }
            results.append(row)
            chain = "whole" if row["ok"] else row["reason"]
            print(
                f"{n:>5}{seconds:>12.2f} s{row['answered']:>10}{row['rows']:>10}{row['lost']:>6}  {chain}", flush=True
            )
        last = kept(folder, "", all_ids)
        chain = "whole" if last["ok"] else "BROKEN"
        print(f"{len(all_ids)} answers in {rounds} kills, {last['lost']} lost, chain {chain}")
        with Served("gateway", folder, workers):
            print("the server starts again")
    return results


async def outage(server: Served, stop: str, start: str, seconds: float) -> Load:
    load = Load(server.url, server.secret)
    running = asyncio.create_task(load.run())
    for command in ("", stop, start):
        if command:
            print(f"+ {command}")
            await (await asyncio.create_subprocess_shell(command)).wait()
        await asyncio.sleep(seconds)
    load.stop()
    await running
    return load


def postgres(url: str, stop: str, start: str, workers: int, seconds: float) -> dict:
    with Served("gateway", "-", workers, url) as server:
        load = asyncio.run(outage(server, stop, start, seconds))
    first = min(load.by_second)
    for second, codes in sorted(load.by_second.items()):
        print(f"{second - first:>4} s  {dict(codes)}")
    results = {"answered": len(load.answered), "codes": dict(load.codes), **kept("-", url, load.answered)}
    last = load.by_second[max(load.by_second)]
    results["recovered"] = last["200"] > 0
    chain = "whole" if results["ok"] else results["reason"]
    recovered = "recovered" if results["recovered"] else "NOT recovered"
    print(f"{results['answered']} answered, {results['lost']} lost, chain {chain}, {recovered}; {results['codes']}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three kills")
    parser.add_argument("--workers", type=int, default=2, help="processes of the gateway")
    parser.add_argument("--postgres", default="", metavar="URL", help="the ledger's database")
    parser.add_argument("--stop", default="", metavar="COMMAND", help="stops the database")
    parser.add_argument("--start", default="", metavar="COMMAND", help="starts the database")
    given = parser.parse_args()
    if given.postgres:
        if not (given.stop and given.start):
            parser.error("--postgres needs --stop and --start")
        results: object = postgres(given.postgres, given.stop, given.start, given.workers, 4 if given.quick else 10)
    else:
        results = kills(3 if given.quick else 20, given.workers)
    out = HERE / "results" / ("gateway_postgres.json" if given.postgres else "gateway_faults.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")
    rows = results if isinstance(results, list) else [results]
    if any(row["lost"] or not row["ok"] for row in rows):
        sys.exit("an answered request is not in the audit log, or the chain is broken")


if __name__ == "__main__":
    main()
