"""Does a tool ever act twice, or unseen, when the process that runs it is killed?

    python benchmarks/actions.py [--quick] [--kills 1000] [--postgres URL] [--peers VENV/bin/python] [--peer-kills 20]

A process per call runs a tool through the executor and gets SIGKILL at a named point between the proposal and the
record (before, in, and after each transaction of the ledger; before, in, and after the effect), or at a random moment.
Six kinds of tools, one of which a person approves between the proposal and the start, on SQLite and on PostgreSQL;
effects are counted outside, in another SQLite file, which the HTTP tool's server writes. Then processes that settle the
calls are killed at random moments too, the last one is not, and every turn is answered again, as by a client that
repeats its request. An effect is lost if its call is neither done nor unknown and waiting for a person with its
arguments; it is invented if a call is done without it, and unapproved if nobody is recorded to have approved it.

With --peers, LangGraph (SqliteSaver, durability="sync") and DBOS (SQLite) do the same plain write in a node and in a
step, are killed after the effect and before their record, and are resumed as their documentation says.
Prints tables, and writes JSON to `benchmarks/results/actions.json`.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import sqlalchemy as sa

from inhouse.agents.executor import Executor
from inhouse.store.audit import Audit
from inhouse.store.calls import StoredCalls
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.tools import Call, Caller, Proposal, Tool

HERE = Path(__file__).parent
TIMEOUT_S, MARGIN_S = 3.0, 0.2  # a call is settled this long after its start
CALLER = Caller(user="ann", key="k1")
PARAMETERS = {"type": "object", "properties": {"number": {"type": "integer"}, "name": {"type": "string"}}}
KINDS = {
    "read": Tool(name="act", effect="read", parameters=PARAMETERS, timeout_s=TIMEOUT_S),
    "idempotent write": Tool(name="act", idempotent=True, parameters=PARAMETERS, timeout_s=TIMEOUT_S),
    "write with a check": Tool(name="act", check="look", parameters=PARAMETERS, timeout_s=TIMEOUT_S),
    "plain write": Tool(name="act", parameters=PARAMETERS, timeout_s=TIMEOUT_S),
    "write with an approval": Tool(name="act", approval="always", parameters=PARAMETERS, timeout_s=TIMEOUT_S),
    "HTTP with Idempotency-Key": Tool(name="act", idempotent=True, parameters=PARAMETERS, timeout_s=TIMEOUT_S),
}
LOOK = Tool(name="look", effect="read", parameters={"type": "object", "properties": {"number": {"type": "integer"}}})
WRITES = ("propose", "start", "end")
APPROVED = "write with an approval"
APPROVAL = ("before approve", "in approve", "after approve")
WRONG = ("duplicates", "lost", "invented", "unlisted", "stuck", "unapproved")
POINTS = (*(f"{when} {write}" for write in WRITES for when in ("before", "in", "after")), "before the effect",
          "in the effect", "after the effect")  # fmt: skip


# --- outside: where effects are counted -------------------------------------------------------------------------


def outside(path: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30)
    database.execute("CREATE TABLE IF NOT EXISTS effects (key TEXT, number INTEGER)")
    database.execute("CREATE TABLE IF NOT EXISTS runs (key TEXT)")
    database.execute("CREATE TABLE IF NOT EXISTS seen (key TEXT PRIMARY KEY)")
    database.commit()
    return database


def serve(path: str) -> None:
    """A program: an HTTP service that acts once for each Idempotency-Key. Prints its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers["Idempotency-Key"]
            with closing(outside(path)) as database:
                database.execute("INSERT INTO runs VALUES (?)", (key,))
                if database.execute("INSERT INTO seen VALUES (?) ON CONFLICT DO NOTHING", (key,)).rowcount:
                    database.execute("INSERT INTO effects VALUES (?, ?)", (key, body["number"]))
                database.commit()
            answer = json.dumps({"number": body["number"]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            try:
                self.wfile.write(answer)
            except OSError:  # the client was killed
                self.close_connection = True

        def log_message(self, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


# --- the process that is killed -------------------------------------------------------------------------------


class Killer:
    """Kills this process at a point."""

    def __init__(self, point: str) -> None:
        self._point, self.write = point, ""
        sa.event.listen(sa.Engine, "commit", lambda connection: self.at(f"in {self.write}"))

    def at(self, point: str) -> None:
        if point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


class Killed(StoredCalls):
    """A ledger of calls with points before, in, and after its writes."""

    def __init__(self, ledger: Ledger, killer: Killer) -> None:
        super().__init__(ledger)
        self._killer = killer

    def _at(self, write: str, work: Callable):
        self._killer.at(f"before {write}")
        self._killer.write = write
        done = work()
        self._killer.write = ""
        self._killer.at(f"after {write}")
        return done

    def propose(self, call):
        return self._at("propose", lambda: super(Killed, self).propose(call))

    def approve(self, key, by, until_ms):
        return self._at("approve", lambda: super(Killed, self).approve(key, by, until_ms))

    def start(self, key, lease_ms, needs_approval):
        return self._at("start", lambda: super(Killed, self).start(key, lease_ms, needs_approval))

    def end(self, key, status, result=None, why="", raw=""):
        return self._at("end", lambda: super(Killed, self).end(key, status, result, why, raw))


class Acts:
    """A tool of a kind."""

    def __init__(self, kind: str, path: str, port: int, killer: Killer) -> None:
        self.tool, self._kind, self._path, self._port, self._killer = KINDS[kind], kind, path, port, killer

    async def run(self, arguments, key, caller):
        if self._kind.startswith("HTTP"):
            return await self._post(arguments, key)
        with closing(outside(self._path)) as database:
            database.execute("INSERT INTO runs VALUES (?)", (key,))
            database.commit()
            self._killer.at("before the effect")
            if self._kind == "idempotent write":
                new = "SELECT ?, ? WHERE NOT EXISTS (SELECT 1 FROM effects WHERE key = ?)"
                database.execute(f"INSERT INTO effects {new}", (key, arguments["number"], key))
            elif self._kind != "read":
                database.execute("INSERT INTO effects VALUES (?, ?)", (key, arguments["number"]))
            self._killer.at("in the effect")
            database.commit()
            self._killer.at("after the effect")
        return {"number": arguments["number"]}

    async def _post(self, arguments, key):
        self._killer.at("before the effect")
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        body = json.dumps(dict(arguments)).encode()
        head = f"POST / HTTP/1.0\r\nIdempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        self._killer.at("in the effect")
        answer = await reader.read()
        writer.close()
        self._killer.at("after the effect")
        return json.loads(answer.partition(b"\r\n\r\n")[2])


class Looks:
    tool = LOOK

    def __init__(self, path: str) -> None:
        self._path = path

    async def run(self, arguments, key, caller):
        with closing(outside(self._path)) as database:
            found = database.execute("SELECT 1 FROM effects WHERE number = ?", (arguments["number"],)).fetchone()
        return {"happened": found is not None, "result": {"number": arguments["number"]}}


class Place:
    """Where the calls of a kind are made: the database, the file outside, and the HTTP service."""

    def __init__(self, kind: str, url: str, path: str, port: int) -> None:
        self.kind, self.url, self.path, self.port = kind, url, path, port

    def proposal(self, number: int) -> Proposal:
        return Proposal(conversation=f"{self.kind} {number}", turn=0, ordinal=0, tool="act",
                        arguments={"number": number, "name": f"Customer {number}"})  # fmt: skip

    def executor(self, ledger: Ledger, killer: Killer, calls: StoredCalls | None = None) -> Executor:
        tools = {"act": Acts(self.kind, self.path, self.port, killer), "look": Looks(self.path)}
        return Executor(tools, calls or Killed(ledger, killer), margin_s=MARGIN_S)

    def call(self, number: int, point: str = "") -> None:
        self.answer([number], point)

    def answer(self, numbers: list[int], point: str = "") -> None:
        async def all_of() -> None:
            ledger, killer = Ledger(self.url), Killer(point)
            calls = Killed(ledger, killer)
            executor = self.executor(ledger, killer, calls)
            for number in numbers:
                call = await executor.run(self.proposal(number), CALLER, ["act"])
                if call.status == "proposed":  # it waits for a person, who approves it
                    calls.approve(call.key, "key:reviewer", round(time.time() * 1000) + 3_600_000)
                    await executor.resume(call.key, CALLER)

        asyncio.run(all_of())

    def recover(self) -> None:
        asyncio.run(self.executor(Ledger(self.url), Killer("")).recover())


def forked(work: Callable[[], None], kill_after_s: float | None = None) -> bool:
    """Does the work in a process; whether that was killed, by itself or after a time."""
    if not (child := os.fork()):
        try:
            work()
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)  # nothing if it has ended: it is not waited for yet
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a process failed with {status}")
    return status == -signal.SIGKILL


# --- the rounds -----------------------------------------------------------------------------------------------


def round_of(place: Place, kills: int, seed: int) -> dict:
    """Kills calls of a kind, settles them, and counts."""
    chance = random.Random(seed)
    took = []
    for n in range(3):
        started = time.monotonic()
        assert not forked(lambda n=n: place.call(n))
        took.append(time.monotonic() - started)
    number, killed = 3, Counter()
    points = (*POINTS, *APPROVAL) if place.kind == APPROVED else POINTS
    named = [point for point in points if not (place.kind == "read" and point == "in the effect")]
    each = max(1, kills * 3 // 4 // len(named))
    for point in named:
        for _ in range(each):
            if not forked(lambda: place.call(number, point)):  # noqa: B023 (it runs at once)
                raise RuntimeError(f"{place.kind}: nothing was killed {point}")
            killed[point] += 1
            number += 1
    while sum(killed.values()) < kills:
        killed["at a random moment"] += forked(lambda: place.call(number), chance.uniform(0, max(took)))  # noqa: B023
        number += 1
    for _ in range(3):
        time.sleep(TIMEOUT_S + MARGIN_S)
        killed["while settling"] += forked(place.recover, chance.uniform(0, 2 * max(took)))
    time.sleep(TIMEOUT_S + MARGIN_S)
    forked(place.recover)
    numbers = list(range(number))
    forked(lambda: place.answer(numbers))
    return {"calls": number, "kills": sum(killed.values()), **counted(place, numbers), "by point": dict(killed)}


def counted(place: Place, numbers: list[int]) -> dict:
    ledger = Ledger(place.url)
    calls, audit = StoredCalls(ledger), Audit(ledger)
    with closing(outside(place.path)) as database:
        effects = Counter(key for (key,) in database.execute("SELECT key FROM effects"))
        runs = Counter(key for (key,) in database.execute("SELECT key FROM runs"))
    waiting = {call.key: call for call in calls.waiting()}
    statuses, lost, invented, unlisted, stuck, unapproved = Counter(), 0, 0, 0, 0, 0
    for proposal in map(place.proposal, numbers):
        call = calls.get(proposal.key) or Call(proposal=proposal)
        statuses[call.status] += 1
        listed = call.key in waiting and waiting[call.key].proposal == proposal
        lost += effects[call.key] > 0 and call.status != "done" and not (call.status == "unknown" and listed)
        invented += place.kind != "read" and call.status == "done" and not effects[call.key]
        unlisted += call.status == "unknown" and not listed
        unapproved += place.kind == APPROVED and effects[call.key] > 0 and not call.by
        stuck += call.status in ("proposed", "approved", "started")
    verified = audit.verify()
    audit.close()
    ledger.close()
    own = {proposal.key for proposal in map(place.proposal, numbers)}
    return {
        "duplicates": sum(n - 1 for key, n in effects.items() if key in own and n > 1), "lost": lost,
        "invented": invented, "unlisted": unlisted, "stuck": stuck, "unapproved": unapproved, "done": statuses["done"],
        "failed": statuses["failed"], "unknown": statuses["unknown"],
        "repeated runs": sum(n - 1 for key, n in runs.items() if key in own and n > 1),
        "chain": verified.ok, "entries": verified.rows, "reason": verified.reason,
    }  # fmt: skip


def latency(place: Place, calls: int) -> dict:
    """How long a call takes through the executor, and the tool alone, in milliseconds."""

    async def times() -> dict:
        killer = Killer("")
        ledger = Ledger(place.url)
        executor, tool = place.executor(ledger, killer), Acts(place.kind, place.path, place.port, killer)
        found = {"with ledger, ms": [], "tool alone, ms": []}
        for n in range(calls):
            proposal = place.proposal(-1 - n)
            for name, work in (("with ledger, ms", executor.run(proposal, CALLER, ["act"])),
                               ("tool alone, ms", tool.run(proposal.arguments, uuid.uuid4().hex, CALLER))):  # fmt: skip
                started = time.perf_counter()
                await work
                found[name].append((time.perf_counter() - started) * 1000)
        ledger.close()
        return {name: round(statistics.median(values), 1) for name, values in found.items()}

    return asyncio.run(times())


@contextmanager
def database(name: str, folder: str, server: str) -> Iterator[str]:
    """The URL of an empty database."""
    if name == "SQLite":
        yield ledger_url(Path(folder))
        return
    made = f"inhouse_actions_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {made}")
    try:
        yield sa.make_url(server).set(database=made).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {made} WITH (FORCE)")


# --- others in the same harness ---------------------------------------------------------------------------------

ACT = """
import os, signal, sqlite3, sys
path, state, number, kill = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "kill"

def act():
    database = sqlite3.connect(path, timeout=30)
    database.execute("INSERT INTO effects VALUES (?, ?)", (f"{state} {number}", number))
    database.commit()
    database.close()
    if kill:
        os.kill(os.getpid(), signal.SIGKILL)
"""
PEERS = {
    "LangGraph": """
from typing import TypedDict
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

class State(TypedDict):
    paid: bool

def pay(state):
    act()
    return {"paid": True}

graph = StateGraph(State)
graph.add_node("pay", pay)
graph.add_edge(START, "pay")
graph.add_edge("pay", END)
with SqliteSaver.from_conn_string(state) as saver:
    app = graph.compile(checkpointer=saver)
    config = {"configurable": {"thread_id": str(number)}}
    app.invoke({"paid": False} if kill else None, config, durability="sync")
    assert app.get_state(config).values["paid"]
""",
    "DBOS": """
from dbos import DBOS, SetWorkflowID

DBOS(config={"name": "actions", "system_database_url": f"sqlite:///{state}", "run_admin_server": False})

@DBOS.step()
def pay():
    act()
    return True

@DBOS.workflow()
def order(number):
    return pay()

DBOS.launch()  # goes on with what was interrupted
if kill:
    with SetWorkflowID(str(number)):
        order(number)
assert DBOS.retrieve_workflow(str(number)).get_result()
DBOS.destroy()
""",
}


def peer(name: str, python: str, kills: int, folder: str) -> dict:
    """Kills a peer after the effect and before its record, and resumes it."""
    path, state = str(Path(folder) / f"{name}.outside"), str(Path(folder) / f"{name}.sqlite")
    outside(path).close()
    code, quiet = (
        ACT + PEERS[name],
        {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True},
    )
    for number in range(kills):
        command = [python, "-c", code, path, state, str(number)]
        first = subprocess.run([*command, "kill"], check=False, **quiet)
        if first.returncode != -signal.SIGKILL:
            raise RuntimeError(f"{name} was not killed: {first.stderr[-2000:]}")
        second = subprocess.run([*command, "resume"], check=False, **quiet)
        if second.returncode:
            raise RuntimeError(f"{name} did not resume: {second.stderr[-2000:]}")
    with closing(outside(path)) as database:
        effects = Counter(n for (n,) in database.execute("SELECT number FROM effects"))
    return {"kills": kills, "calls": kills, "duplicates": sum(n - 1 for n in effects.values()),
            "lost": sum(not effects[n] for n in range(kills))}  # fmt: skip


def printed(rows: dict[str, dict], columns: tuple[str, ...]) -> None:
    print(f"\n| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name, row in rows.items():
        cells = " | ".join(str(row.get(column, "-")) for column in columns)
        print(f"| {name} | {cells} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the kills")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--postgres", default=os.environ.get("INHOUSE_TEST_POSTGRES", ""))
    parser.add_argument("--peers", default="", help="a Python with langgraph, langgraph-checkpoint-sqlite, and dbos")
    parser.add_argument("--peer-kills", type=int, default=20)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    databases = ["SQLite"] + (["PostgreSQL"] if given.postgres else [])
    if not given.postgres:
        print("PostgreSQL is left out: name a server with --postgres")
    kills = (given.kills // 10 if given.quick else given.kills) // (len(KINDS) * len(databases))
    rounds: dict[str, dict] = {}
    peers: dict[str, dict] = {}
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, kind) in enumerate((d, k) for d in databases for k in KINDS):
            inside = Path(folder) / str(seed)
            inside.mkdir()
            path = str(inside / "outside.sqlite")
            with closing(outside(path)) as shared:
                shared.execute("PRAGMA journal_mode=WAL")
            server = subprocess.Popen([sys.executable, __file__, "--serve", path], stdout=subprocess.PIPE, text=True)
            try:
                port = int(server.stdout.readline())
                with database(name, str(inside), given.postgres) as url:
                    Ledger(url).close()
                    place = Place(kind, url, path, port)
                    rounds[f"{name}, {kind}"] = row = round_of(place, kills, seed)
                    row |= latency(place, 5 if given.quick else 30) if kind != APPROVED else {}
            finally:
                server.terminate()
                server.wait()
                server.stdout.close()
            said = ", ".join(f"{row[what]} {what}" for what in ("kills", "duplicates", "lost", "unknown"))
            print(f"{time.monotonic() - started:5.0f} s  {name}, {kind}: {said}", flush=True)
        for name in PEERS if given.peers else ():
            peers[name] = peer(name, given.peers, 3 if given.quick else given.peer_kills, folder)
            print(f"{time.monotonic() - started:5.0f} s  {name}: {peers[name]}", flush=True)
    columns = ("calls", "kills", "duplicates", "lost", "invented", "unlisted", "stuck", "unapproved", "done", "failed",
               "unknown", "repeated runs", "chain", "with ledger, ms", "tool alone, ms")  # fmt: skip
    printed(rounds, columns)
    if peers:
        printed(peers, ("calls", "kills", "duplicates", "lost"))
    total = sum(row["kills"] for row in rounds.values())
    bad = sum(row[c] for row in rounds.values() for c in WRONG)
    whole = all(row["chain"] for row in rounds.values())
    print(f"\n{total} kills, {bad} wrong, chains {'intact' if whole else 'BROKEN'}, {time.monotonic() - started:.0f} s")
    (HERE / "results").mkdir(exist_ok=True)
    result = {"rounds": rounds, "peers": peers, "kills": total, "wrong": bad, "seconds": time.monotonic() - started}
    (HERE / "results" / "actions.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    if bad or not whole:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
