"""How often a canary that is no worse is rolled back, how fast one that is worse is, and what users see of it.

    python benchmarks/rollback.py [--runs 1000] [--only alarms|drops|servers]

Simulated canaries, looked at after every answer, all seven metrics together. `A/A`: both releases are the same; users
ask once, or return (geometric, five answers on average, each user with rates of their own: Beta, correlation .2). Then
one metric of the challenger is worse by ten points, all others the same, at a share of 10 %: the share of runs that are
rolled back within 400 answers of the challenger, the median number of its answers, and the same for a share of 50 %.
`accuracy`: ten points fewer right answers, of which the guards see only the confidence (AUROC .75), calibrated for
each release; `stale`: the same with the calibration of the champion, which the drop hardly moves. Beside A/A a z-test
on each metric, looked at after each answer at a level of 1 % / 7 (`peeked z`).

Servers: two gateway processes over a scripted champion and challenger, on SQLite and on PostgreSQL (where
$INHOUSE_TEST_POSTGRES is set), a canary of 50 %, users who ask all the time. The challenger begins to fail; the time
from the decision to its last answer, errors that users saw that were not the challenger's own, and what is served. Then
the same with a kill -9 of one process, and of both right between the record of the incident and the change, and a
restart. Prints tables, and writes JSON to `benchmarks/results/rollback.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import sqlalchemy as sa
from scipy.stats import norm

from inhouse.monitoring.guards import DEFAULTS, LEVEL, METRICS, Guards

HERE = Path(__file__).parent
PROGRAM = HERE.parent / "tests" / "serving" / "guarded_server.py"
POSTGRES = os.environ.get("INHOUSE_TEST_POSTGRES", "")
LIMIT = 400  # answers of the challenger
BASE = {"errors": 0.01, "handoffs": 0.05, "refusals": 0.02}
Z = norm.isf(LEVEL / len(METRICS))


class Peeked:
    """A one-sided z-test of each metric, looked at after each answer once both arms have 30."""

    def __init__(self, runs):
        self.n, self.s, self.q = (np.zeros((len(METRICS), 2, runs)) for _ in range(3))
        self.found = np.zeros(runs, dtype=bool)
        self.runs = np.arange(runs)

    def answer(self, arm, values):
        x = np.stack([np.broadcast_to(values.get(name, np.nan), arm.shape) for name in METRICS])
        known = ~np.isnan(x)
        x = np.where(known, x, 0)
        for sums, value in ((self.n, known), (self.s, x), (self.q, x * x)):
            sums[:, arm.astype(int), self.runs] += value
        mean = self.s / np.maximum(self.n, 1)
        spread = np.maximum(self.q / np.maximum(self.n, 1) - mean**2, 1e-9) / np.maximum(self.n, 1)
        z = (mean[:, 1] - mean[:, 0]) / np.sqrt(spread.sum(axis=1))
        self.found |= ((z > Z) & (self.n >= 30).all(axis=1)).any(axis=0)


def values(rng, arm, worse, by, rate=None):
    """How bad the answers of all runs are, by metric; the challenger's are worse in one of them."""
    n, more = len(arm), by * arm
    found = {
        name: (rng.random(n) < (p if rate is None else rate * p) + more * (worse == name)).astype(float)
        for name, p in BASE.items()
    }
    found["latency"] = rng.lognormal(0, 0.5, n) * np.where(arm & (worse == "latency"), 1.35, 1)
    rate_right = 0.85 - more * (worse in ("accuracy", "stale"))
    right = rng.random(n) < rate_right
    prior = np.where(worse == "accuracy", rate_right, 0.85)
    score = np.where(right, rng.normal(0.954, 1, n), rng.normal(0, 1, n))  # AUROC .75
    confidence = 1 / (1 + (1 - prior) / prior * np.exp(-0.954 * score + 0.954**2 / 2))  # P(right)
    found["confidence"] = 1 - np.clip(confidence - more * (worse == "confidence"), 0, 1)
    mean = 0.25 + more * (worse == "groundedness")
    found["groundedness"] = np.where(rng.random(n) < 0.8, rng.beta(3 * mean, 3 * (1 - mean)), np.nan)
    voted = rng.random(n) < 0.2
    return found, np.where(voted, rng.random(n) < 0.15 + more * (worse == "thumbs"), np.nan)


def simulate(seed, runs, share, answers, worse="", by=0.1, returning=False):
    """Rolled back by us and by the peeked test; the challenger's answers until then, infinite where it was not."""
    rng, guards, peeked = np.random.default_rng(seed), Guards(share, DEFAULTS, runs=runs), Peeked(runs)
    theirs, caught = np.zeros(runs), np.full(runs, np.inf)
    users = answers // 5 if returning else answers
    arms, rates = rng.random((runs, users)) < share, rng.beta(4 * 0.25, 4 * 0.75, (runs, users)) / 0.25
    for n in range(answers):
        who = rng.integers(0, users, runs) if returning else np.full(runs, n)
        at = np.arange(runs), who
        arm = arms[at]
        found, votes = values(rng, arm, worse, by, rates[at] if returning else None)
        guards.answer(arm, found, who)
        guards.vote(arm, votes, who)
        peeked.answer(arm, {**found, "thumbs": votes})
        theirs += arm
        now = np.any([*guards.worse().values(), *guards.missing().values()], axis=0)
        caught[np.isinf(caught) & now] = theirs[np.isinf(caught) & now]
    return caught, peeked.found


def false_alarms(runs):
    rows = {}
    for name, share, answers, returning in (
        ("share 10%, one answer a user", 0.1, 2000, False), ("share 50%, one answer a user", 0.5, 800, False),
        ("share 10%, returning users", 0.1, 1000, True), ("share 50%, returning users", 0.5, 800, True),
    ):  # fmt: skip
        caught, peeked = simulate(1, runs, share, answers, returning=returning)
        rows[name] = {"runs": runs, "answers": answers, "false": float(np.isfinite(caught).mean()),
                      "peeked z": float(peeked.mean())}  # fmt: skip
        print(f"{name:<34}{answers:>8}{rows[name]['false']:>10.1%}{rows[name]['peeked z']:>12.1%}", flush=True)
    return rows


def drops(runs, metrics):
    rows = {}
    for worse in metrics:
        rows[worse] = {}
        for share in (0.1, 0.5):
            caught, _ = simulate(2, runs, share, round(LIMIT / share * 1.05), worse)
            within = caught <= LIMIT
            median = float(np.median(caught)) if within.mean() > 0.5 else None
            rows[worse][f"{share:.0%}"] = {"caught": float(within.mean()), "median": median}
        ten, half = rows[worse]["10%"], rows[worse]["50%"]
        print(f"{worse:<16}{ten['caught']:>10.1%}{ten['median'] or float('nan'):>9.0f}"
              f"{half['caught']:>12.1%}{half['median'] or float('nan'):>9.0f}", flush=True)  # fmt: skip
    return rows


# --- servers ----------------------------------------------------------------------------------------------------


class House:
    """A project with two releases of scripted models, a canary of half of the users, and server processes."""

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        sys.path.append(str(PROGRAM.parent))
        from guarded_server import make_releases, workspace_of

        from inhouse.serving.releases import Releases
        from inhouse.store.keys import Keys

        self.folder, self.url, self.stack = folder, url, stack
        workspace = workspace_of(folder, **({"store.url": url} if url else {}))
        make_releases(workspace)
        self.releases = Releases(workspace)
        self.releases.promote("1")
        self.releases.canary(50, "2")
        self.ledger = workspace.open_ledger()
        stack.callback(self.ledger.close)
        self.secret = Keys(self.ledger).create("users", "admin")[1]

    def start(self):
        command = [sys.executable, str(PROGRAM), str(self.folder), *([f"store.url={self.url}"] if self.url else [])]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        url = process.stdout.readline().strip()
        client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {self.secret}"}, timeout=20)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                if client.get("/readyz").status_code == 200:
                    return process, client
            except httpx.TransportError:
                time.sleep(0.05)
        raise RuntimeError("the server is not ready")

    def canary(self):
        return self.releases.serving().canary

    def incidents(self):
        from inhouse.store.audit import Audit
        from inhouse.store.incidents import incidents

        return incidents(Audit(self.ledger))


class Users:
    """Two users at a time for each server; `seen` has when each answer came, its status, and its release."""

    def __init__(self, *clients) -> None:
        self.seen, self._stop, self._gone = [], threading.Event(), set()
        self._threads = [threading.Thread(target=self._run, args=(c,)) for c in clients for _ in range(2)]

    def _run(self, client):
        while not self._stop.is_set():
            body = {"user": uuid.uuid4().hex, "messages": [{"role": "user", "content": "What does it cost?"}]}
            try:
                reply = client.post("/v1/chat/completions", json=body)
            except httpx.TransportError:
                if client not in self._gone:  # of a process that was killed
                    self.seen.append((time.time(), -1, ""))
                return
            self.seen.append((time.time(), reply.status_code, reply.json().get("inhouse", {}).get("release", "")))

    def goes(self, client):
        """The client's process is killed now."""
        self._gone.add(client)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError("it did not happen")
        time.sleep(0.01)


def plain(house):
    """Two processes, no kill."""
    (_, one), (_, two) = house.start(), house.start()
    return _judged(house, Users(one, two), lambda users: None)


def one_killed(house):
    """One of two processes is killed while the canary gets worse."""
    (first, one), (_, two) = house.start(), house.start()

    def kill(users):
        users.goes(one)
        first.kill()

    return _judged(house, Users(one, two), kill)


def _judged(house, users, meanwhile):
    from inhouse.store.tables import to_ms

    with users:
        until(lambda: len(users.seen) > 100)
        calm = house.canary() is not None
        (house.folder / "bad").touch()
        meanwhile(users)
        until(lambda: house.canary() is None)
        time.sleep(2)
    (incident,) = house.incidents()
    decided = to_ms(incident.at) / 1000
    last = max(at for at, _, release in users.seen if release == "bank/2")
    line = next(line for line in incident.metrics if line.metric == incident.metric)
    return {
        "kept before": calm, "metric": incident.metric, "canary answers": line.answers[1], "incidents": 1,
        "last canary answer after decision s": round(max(0.0, last - decided), 3),
        "users saw errors": sum(status != 200 for _, status, _ in users.seen), "requests": len(users.seen),
    }  # fmt: skip


def killed_in_between(house):
    """Both processes are killed between the record of the incident and the change; then a restart."""
    (first, one), (second, two) = house.start(), house.start()
    for name in ("bad", "crash"):
        (house.folder / name).touch()
    users = Users(one, two)
    users.goes(one)
    users.goes(two)
    with users:
        until(lambda: first.poll() is not None and second.poll() is not None)
    left = house.canary() is not None
    (house.folder / "crash").unlink()
    _, three = house.start()
    began = time.monotonic()
    until(lambda: house.canary() is None, 10)
    finished = time.monotonic() - began
    with Users(three) as users:
        time.sleep(2)
    return {
        "canary left by the kill": left, "finished after restart s": round(finished, 3),
        "incidents": len(house.incidents()), "altered": house.releases.altered(),
        "canary answers after restart": sum(release == "bank/2" for at, _, release in users.seen[20:]),
        "users saw errors": sum(status != 200 for _, status, _ in users.seen), "requests": len(users.seen),
    }  # fmt: skip


def servers():
    rows = {}
    for database in ("sqlite", *(["postgres"] if POSTGRES else [])):
        for case in (plain, one_killed, killed_in_between):
            name = f"inhouse_bench_{uuid.uuid4().hex[:10]}"
            admin = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT") if database == "postgres" else None
            with tempfile.TemporaryDirectory() as folder:
                url = ""
                if admin:
                    with admin.connect() as connection:
                        connection.exec_driver_sql(f"CREATE DATABASE {name}")
                    url = sa.make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
                with ExitStack() as stack:
                    rows[f"{database}, {case.__name__}"] = found = case(House(Path(folder), url, stack))
                if admin:
                    with admin.connect() as connection:
                        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
            print(f"{database}, {case.__name__}: {found}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulated A/A canaries of each case")
    parser.add_argument("--metrics", default="", help="drops of these alone, separated by commas")
    parser.add_argument("--only", choices=["alarms", "drops", "servers"], help="one part")
    parser.add_argument("--quick", action="store_true", help="20 simulated A/A canaries of each case alone")
    given = parser.parse_args()
    if given.quick:
        given.runs, given.only = 20, "alarms"
    started, out = time.perf_counter(), HERE / "results" / "rollback.json"
    out.parent.mkdir(exist_ok=True)
    result = json.loads(out.read_text()) if given.only and out.exists() else {}
    if given.only in (None, "alarms"):
        print(f"A/A, {given.runs} canaries, looked at after each answer, {len(METRICS)} metrics together")
        print(f"{'case':<34}{'answers':>8}{'false':>10}{'peeked z':>12}")
        result["a_a"] = false_alarms(given.runs)
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.only in (None, "drops"):
        runs = max(200, given.runs // 4)
        print(
            f"\nten points worse in one metric, {runs} canaries: rolled back within {LIMIT} answers of the challenger"
        )
        print(f"{'metric':<16}{'share 10%':>10}{'median':>9}{'share 50%':>12}{'median':>9}")
        metrics = given.metrics.split(",") if given.metrics else ("accuracy", "stale", *METRICS)
        result["drops"] = result.get("drops", {}) | drops(runs, metrics)
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if given.only in (None, "servers"):
        print("\nservers")
        result["servers"] = servers()
    print(f"\n{time.perf_counter() - started:.0f} s")
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
