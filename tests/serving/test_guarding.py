"""Canaries that are taken back while servers answer: two processes, killed ones, SQLite and PostgreSQL, and the alert."""

import asyncio
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from inhouse.serving.guarding import Watched, badness
from inhouse.serving.releases import Releases
from inhouse.store.audit import Audit
from inhouse.store.canaries import Answered
from inhouse.store.incidents import incidents
from inhouse.store.keys import Keys

HERE = Path(__file__).parent
sys.path.append(str(HERE))
from guarded_server import CHALLENGER, make_releases, workspace_of  # noqa: E402


class House:
    """A project with two releases, a canary of half of the users, and servers over it."""

    def __init__(self, folder, url, stack):
        self.folder, self.stack = folder, stack
        self.settings = {"store.url": url} if url else {}
        self.workspace = workspace_of(folder, **self.settings)
        make_releases(self.workspace)
        self.releases = Releases(self.workspace)
        self.releases.promote("1")
        self.releases.canary(50, "2")
        self.ledger = self.workspace.open_ledger()
        stack.callback(self.ledger.close)
        self.secret = Keys(self.ledger).create("tester", "admin")[1]

    def start(self, **settings):
        pairs = [f"{k}={v}" for k, v in {**self.settings, **settings}.items()]
        command = [sys.executable, str(HERE / "guarded_server.py"), str(self.folder), *pairs]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        self.stack.callback(process.stdout.close)
        url = process.stdout.readline().strip()
        client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {self.secret}"}, timeout=20)
        self.stack.callback(client.close)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                if client.get("/readyz").status_code == 200:
                    return process, client
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the server is not ready")

    def say(self, name):
        (self.folder / name).touch()

    def incidents(self):
        return incidents(Audit(self.ledger))


@pytest.fixture
def house(tmp_path, url):
    with ExitStack() as stack:
        yield House(tmp_path, url, stack)


def ask(client, user):
    body = {"model": "custom", "user": user, "messages": [{"role": "user", "content": "What does it cost?"}]}
    reply = client.post("/v1/chat/completions", json=body)
    return reply.status_code, reply.json().get("inhouse", {}).get("release", "")


class Users:
    """Users who ask all the time; `seen` has the time of each answer, its status, and the release that gave it."""

    def __init__(self, *clients):
        self.seen, self._stop = [], threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(c, n)) for n, c in enumerate(clients) for _ in range(2)
        ]

    def _run(self, client, n):
        user = 0
        while not self._stop.is_set():
            try:
                status, release = ask(client, f"{threading.get_ident()}-{n}-{(user := user + 1)}")
            except httpx.TransportError:
                status, release = 0, "gone"
            self.seen.append((time.time(), status, release))
            if status != 200:
                time.sleep(0.02)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join()


def waits(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def served(house):
    return house.releases.serving()


@pytest.mark.slow
def test_a_worse_canary_is_rolled_back_once_and_users_see_no_error(house):
    (_, one), (_, two) = house.start(), house.start()
    with Users(one, two) as users:
        waits(lambda: len(users.seen) > 60)
        assert served(house).canary
        house.say("bad")
        waits(lambda: served(house).canary is None)
        decided = time.time()
        time.sleep(1.5)
    assert {status for _, status, _ in users.seen} == {200}
    last = max(at for at, _, release in users.seen if release == CHALLENGER)
    assert last < decided + 1
    assert {release for at, _, release in users.seen if at > decided + 1} == {"bank/1"}
    (incident,) = house.incidents()
    assert (incident.release, incident.production, incident.metric) == (CHALLENGER, "bank/1", "confidence")
    line = next(line for line in incident.metrics if line.metric == "confidence")
    assert line.evidence > line.needed
    assert line.state == "worse"
    assert incident.reason.startswith("Estimated accuracy: ")
    exchanges = [Audit(house.ledger).get(id) for id in incident.examples]
    assert [e.release for e in exchanges] == [CHALLENGER] * 5
    assert all(e.confidence < 0.7 for e in exchanges)
    assert served(house).history[-1].text == f"Canary rolled back: {CHALLENGER}"
    assert Audit(house.ledger).verify().ok
    assert house.releases.altered() == ""


@pytest.mark.slow
def test_killed_between_record_and_change_the_rollback_is_finished_after_a_restart(house):
    (first, one), (second, two) = house.start(), house.start()
    house.say("bad")
    house.say("crash")
    with Users(one, two):
        waits(lambda: first.poll() is not None and second.poll() is not None)
    assert served(house).canary  # the file is as it was, the log has the change
    assert len(house.incidents()) == 1
    (house.folder / "crash").unlink()
    _, three = house.start()
    waits(lambda: served(house).canary is None, 5)
    waits(lambda: ask(three, "ann")[1] == "bank/1", 3)
    assert {ask(three, f"user {n}") for n in range(20)} == {(200, "bank/1")}
    assert len(house.incidents()) == 1
    assert house.releases.altered() == ""


@pytest.mark.slow
def test_one_of_two_processes_is_killed_and_the_other_goes_on(house):
    (first, one), (_, two) = house.start(), house.start()
    with Users(one, two):
        time.sleep(0.5)
        first.kill()
        house.say("failing")
        waits(lambda: served(house).canary is None)
    (incident,) = house.incidents()
    assert incident.metric == "errors"
    waits(lambda: {ask(two, f"user {n}") for n in range(20)} == {(200, "bank/1")}, 3)


# --- without servers --------------------------------------------------------------------------------------------


@pytest.fixture
def quiet(tmp_path):
    """A project on SQLite without a server."""
    from inhouse.store.ledger import ledger_url

    with ExitStack() as stack:
        yield House(tmp_path, ledger_url(tmp_path), stack)


async def answers(ledger, arm, count, **values):
    from inhouse.chat import Exchange
    from inhouse.store.tables import now_ms, to_iso
    from inhouse.types import Message

    audit = Audit(ledger)
    for n in range(count):
        told = {"reason": "stop", "confidence": 0.9, "latency_s": 0.1, **values}
        await audit.append(Exchange(
            id=f"{arm}-{n}-{time.time_ns()}", at=to_iso(now_ms()), user=f"{arm} {time.time_ns()}", key="k", model="custom", release=arm,
            arm="rag", messages=(Message(role="user", content="?"),), answer="!", experiment=f"canary {CHALLENGER}:{arm}",
            **told,
        ))  # fmt: skip
    await asyncio.to_thread(audit.close)


def guarding(house, sent, **settings):
    from inhouse.gateway.metrics import Metrics
    from inhouse.serving.guarding import Guarding

    async def refreshed():
        return True

    workspace = workspace_of(house.folder, **house.settings, **settings)
    return Guarding(workspace, house.ledger, refreshed, lambda alert, window: sent.append(alert), Metrics())


@pytest.fixture(autouse=True)
def settled_at_once(monkeypatch):
    from inhouse.store import canaries

    monkeypatch.setattr(canaries, "SETTLED_MS", -1000)


async def test_the_decision_is_made_once_and_announced(quiet):
    sent = []
    guard = guarding(quiet, sent)
    assert guard.look()
    for _ in range(5):
        await answers(quiet.ledger, "bank/1", 1)
        await answers(quiet.ledger, CHALLENGER, 1, reason="error")
    assert not guard.look()
    assert {line.metric: line.answers for line in guard.lines()}["errors"] == (5, 5)
    for _ in range(25):
        await answers(quiet.ledger, "bank/1", 1)
        await answers(quiet.ledger, CHALLENGER, 1, reason="error")
    other = guarding(quiet, sent)
    assert (guard.look(), other.look()) == (True, True)
    assert (guard.look(), other.look()) == (False, False)
    assert len(quiet.incidents()) == 1
    assert {a.title for a in sent} == {"bank/2 was rolled back; bank/1 answers everyone"}
    assert len({a.key for a in sent}) == 1
    assert guard.lines() == []


async def test_a_canary_that_was_started_again_is_not_judged_by_its_past(quiet):
    guard = guarding(quiet, [])
    guard.look()
    watched = guard._watched
    await answers(quiet.ledger, "bank/1", 60)
    await answers(quiet.ledger, CHALLENGER, 30, reason="error")
    await asyncio.sleep(0.01)
    quiet.releases.canary(50, "2")
    guard.look()
    assert served(quiet).canary is not None
    found = watched.look()
    from inhouse.serving.guarding import incident_of, roll_back

    assert not roll_back(quiet.releases, watched.canary, incident_of(watched, found))
    assert (served(quiet).canary is not None, quiet.incidents()) == (True, [])


async def test_only_what_is_listed_counts_and_it_must_be_there(quiet):
    listed = {"release.rollback_on": "{ groundedness = 0.1 }", "release.rollback_missing": "20"}
    guard = guarding(quiet, [], **listed)
    await answers(quiet.ledger, "bank/1", 40)
    await answers(quiet.ledger, CHALLENGER, 19, reason="stop")
    guard.look()
    assert [line.metric for line in guard.lines()] == ["groundedness"]
    await answers(quiet.ledger, CHALLENGER, 1)
    guard.look()
    (incident,) = quiet.incidents()
    assert incident.reason == "Groundedness: missing in the last 20 answers of the canary"
    assert len(incident.examples) == 5


async def test_it_can_be_turned_off(quiet):
    guard = guarding(quiet, [], **{"release.rollback": "false"})
    await answers(quiet.ledger, "bank/1", 60)
    await answers(quiet.ledger, CHALLENGER, 60, reason="error")
    guard.look()
    assert served(quiet).canary
    watched = Watched(quiet.workspace, quiet.ledger, served(quiet).canary, "bank/1")
    assert watched.look().metric == "errors"


def test_how_bad_an_answer_was():
    def of(**values):
        return badness(Answered(**{"id": "1", "arm": "a", "user": "u", "reason": "stop", "latency_s": 2.0} | values))

    assert of() == {"errors": 0, "handoffs": 0, "refusals": 0, "latency": 2.0}
    assert of(reason="error") == {"errors": 1.0}
    assert of(reason="cancelled") == {"latency": 2.0}
    assert of(reason="content_filter")["refusals"] == 1
    assert of(handed_off=True)["handoffs"] == 1
    found = of(confidence=0.75, groundedness=0.25)
    assert (found["confidence"], found["groundedness"]) == (0.25, 0.75)


def test_the_metrics_of_the_settings_are_those_of_the_guards():
    from typing import get_args

    from inhouse.config.release import Guard
    from inhouse.monitoring.guards import METRICS

    assert set(get_args(Guard)) == METRICS.keys()


async def test_the_commands_show_how_a_canary_stands_and_what_happened(tmp_path, capsys):
    from inhouse.cli import canaries
    from inhouse.store.shadows import Shadow

    with ExitStack() as stack:
        house = House(tmp_path, "", stack)
        canaries.incidents(tmp_path)
        canaries.guards(tmp_path)
        empty, *_ = (text := capsys.readouterr().out).splitlines()
        assert empty == "No incidents."
        assert "Estimated accuracy" in text
        canaries.shadow("20%", "2", tmp_path)
        assert "shadow bank/2 for 20% of requests" in capsys.readouterr().out
        for _ in range(25):
            await answers(house.ledger, "bank/1", 1)
            await answers(house.ledger, CHALLENGER, 1, reason="error")
        canaries.guards(tmp_path)
        text = capsys.readouterr().out
        assert "100.0% of" in text
        assert "  worse" in text
        guarding(house, []).look()
        canaries.incidents(tmp_path)
        text = capsys.readouterr().out
        assert "bank/2 (50% of users) was rolled back to bank/1" in text
        assert text.count("inhouse audit show") == 5
        exchange = Audit(house.ledger).find(release="bank/1", limit=1)[0][1]
        audit = Audit(house.ledger)
        await audit.shadowed(
            Shadow(exchange=exchange.id, release="bank/2", answer="No.", reason="stop", confidence=0.7)
        )
        await asyncio.to_thread(audit.close)
        canaries.compare("2", tmp_path)
        text = capsys.readouterr().out
        assert "bank/2 as a shadow: 1 requests, 0 failed" in text
        assert "users saw: !" in text
