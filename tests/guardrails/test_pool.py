"""Rails in processes: what hangs, crashes, or grows is killed, and the other exchanges do not notice."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inhouse.chat import ChatRequest, collect
from inhouse.errors import BackendError, ConfigError, RestartingError
from inhouse.guardrails.guarded import Guarded, GuardedSettings
from inhouse.guardrails.pool import AVAILABLE, DIED, Pool
from inhouse.guardrails.rail import Turn
from inhouse.models.scripted import Scripted
from inhouse.types import Message, Passage

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="rails run in processes on Linux only")
HERE = str(Path(__file__).parent)
HANDOFF = "A colleague will help."
LIMIT_S = 2.0


@pytest.fixture
def pool(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    opened = Pool("hostile_rails", 4)
    yield opened
    opened.close()


@pytest.fixture
def rails(pool, tmp_path):
    """Opens hostile rails."""
    return lambda timeout_s=LIMIT_S, **more: pool.open({"folder": str(tmp_path), "timeout_s": timeout_s, **more})


@pytest.fixture
def ask(rails):
    """Asks a model behind the rails."""
    runner = rails()

    async def asked(text):
        model = Guarded(Scripted(lambda r: "Fine."), runner, GuardedSettings(handoff=HANDOFF))
        return await collect(model, ChatRequest(messages=(Message(role="user", content=text),)))

    return asked


def turn(text="Hi"):
    page = Passage(source="a.md", title="", heading="", text="It costs 5.", page=2, box=(0, 0, 0.5, 1))
    return Turn(ChatRequest(messages=(Message(role="user", content=text),), groups=frozenset({"staff"})), (page,))


async def reason(runner, text, on=None):
    (result,) = await runner.run([0], "output", text, on or turn())
    return result.failed or result.finding.reason


def gone(pid):
    """Whether a process has ended, within a while; its number may still be kept."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("how", ["sleep", "loop", "backtrack"])
async def test_a_check_that_hangs_is_killed_and_others_are_answered_meanwhile(ask, rails, how):
    runner, order = rails(), []
    pids = [await reason(runner, "report")]  # of the process that will hang

    async def hang():
        reply = await ask(f"please {how}")
        order.append("hung")
        return reply

    async def other():
        await asyncio.sleep(0.1)
        reply = await ask("What does it cost?")
        order.append("other")
        return reply

    hung, answered = await asyncio.gather(hang(), other())
    assert (hung.text, answered.text) == (HANDOFF, "Fine.")
    assert hung.note("guarded", "handoff") == {"reason": "hostile: timed out"}
    assert order == ["other", "hung"]
    assert LIMIT_S <= hung.latency_s < LIMIT_S + 2
    assert gone(pids[0])
    assert await reason(runner, "report") not in pids


async def test_a_check_that_takes_too_much_memory_fails_and_its_process_is_replaced(ask, rails):
    runner = rails()
    before = await reason(runner, "report")
    reply = await ask("please grow")
    assert reply.text == HANDOFF
    assert "timed out" not in reply.note("guarded", "handoff")["reason"]
    assert gone(before)
    assert await reason(runner, "report") != before


async def test_a_crash_fails_closed(ask):
    reply = await ask("please crash")
    assert reply.note("guarded", "handoff") == {"reason": f"hostile: {DIED}"}
    assert (await ask("What does it cost?")).text == "Fine."


async def test_a_check_whose_process_is_killed_from_outside_is_repeated(rails, tmp_path):
    def kill():
        file = tmp_path / "waiting"
        while not (file.exists() and file.read_text()):
            time.sleep(0.02)
        os.kill(int(file.read_text()), signal.SIGKILL)

    check = rails(timeout_s=30).run([0], "output", "please wait", turn())
    _, results = await asyncio.gather(asyncio.to_thread(kill), asyncio.wait_for(check, 20))
    assert [(r.finding, r.failed) for r in results] == [(None, "")]


def becomes(condition, seconds=30):
    """Waits for a condition, without a check."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


async def test_a_host_that_is_killed_is_restarted_at_once_and_nothing_waits_for_it(rails, pool):
    runner = rails(builds_s=1)
    assert pool.trouble == ""
    for _ in range(2):
        before, host = await reason(runner, "report"), pool._host
        host.kill()
        becomes(lambda: "SIGKILL" in pool.trouble)
        with pytest.raises(RestartingError):
            async with asyncio.timeout(LIMIT_S):
                await reason(runner, "report")
        assert gone(before)  # the system ends it with its host
        becomes(lambda: not pool.trouble)
        assert pool._host.pid != host.pid
        assert (await reason(runner, "report")).isdigit()


async def test_a_host_that_does_not_answer_is_replaced(rails, pool, monkeypatch):
    monkeypatch.setattr("inhouse.guardrails.pool.FORK_S", 0.5)
    runner, host = rails(), pool._host
    host.send_signal(signal.SIGSTOP)
    with pytest.raises(RestartingError, match="did not answer within"):
        await reason(runner, "report")
    becomes(lambda: not pool.trouble)
    assert gone(host.pid)
    assert (await reason(runner, "report")).isdigit()


def test_a_host_that_cannot_be_restarted_says_why_until_it_can(rails, pool, tmp_path):
    rails()
    (tmp_path / "damaged").touch()
    pool._host.kill()
    becomes(lambda: "the rails are damaged" in pool.trouble)
    (tmp_path / "damaged").unlink()
    becomes(lambda: not pool.trouble)


def test_a_host_that_builds_for_too_long_ends_with_what_to_do(rails, pool, monkeypatch):
    monkeypatch.setattr("inhouse.guardrails.pool.LOAD_S", 0.5)
    with pytest.raises(BackendError, match="did not answer within") as error:
        rails(builds_s=60)
    assert "too busy" in error.value.hint
    assert pool.trouble == ""  # nothing needs it


async def test_what_a_rail_keeps_reaches_its_next_check(rails):
    runner, exchange = rails(), turn("Hi, remember")
    assert await reason(runner, "remember", exchange) == "None False"
    assert (exchange.state, exchange.cited, exchange.confidence) == ({"json": 1}, {"a": 1}, 0.5)
    assert await reason(runner, "remember", exchange) == "1 True"
    exchange.passages = ()
    assert await reason(runner, "remember", exchange) == "2 False"  # objects may be about the passages
    await reason(runner, "crash", exchange)
    assert await reason(runner, "remember", exchange) == "3 False"


async def test_findings_come_back_whole(rails):
    given = turn("What about ümlauts and \u2028?")
    (result,) = await rails().run([0], "input", "remember", given)
    assert result.finding.messages == given.request.messages
    assert result.finding.passages == (0,)
    assert Turn.from_json(given.to_json()).request == given.request
    assert Turn.from_json(given.to_json()).passages == given.passages


async def test_all_rails_of_a_side_run_in_one_process(rails):
    results = await rails(rails=3).run([0, 2], "input", "report", turn())
    assert len({r.finding.reason for r in results}) == 1
    assert len(results) == 2


async def test_a_set_is_built_once_and_ends_with_its_last_holder(rails, pool):
    first, second, other = rails(), rails(), rails(rails=2)
    pid = await reason(first, "report")
    assert await reason(second, "report") == pid
    assert len(other.rules) == 2
    for runner in (first, other):
        runner.close()
    assert (await reason(second, "report")).isdigit()
    host = pool._host.pid
    second.close()
    assert gone(host)
    assert (await reason(rails(), "report")).isdigit()


def test_the_error_of_a_host_is_the_callers(rails):
    with pytest.raises(ConfigError, match="no such rail") as error:
        rails(wrong=True)
    assert error.value.hint == "add it"


PARENT = """
import asyncio, sys, time
from inhouse.guardrails.pool import Pool
from inhouse.guardrails.rail import Turn
from inhouse.chat import ChatRequest
from inhouse.types import Message

pool = Pool("hostile_rails", 4)
runner = pool.open({"folder": sys.argv[1], "timeout_s": 60})
turn = Turn(ChatRequest(messages=(Message(role="user", content="Hi"),)))

async def main():
    (pid,) = await runner.run([0], "input", "report", turn)
    asyncio.ensure_future(runner.run([0], "input", "backtrack", turn))
    await asyncio.sleep(0.3)
    print(pool._host.pid, pid.finding.reason, flush=True)
    time.sleep(60)

asyncio.run(main())
"""


def test_no_process_outlives_a_server_that_is_killed(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([HERE, *filter(None, sys.path)])}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
    ) as server:
        pids = server.stdout.readline().split()
        server.kill()
    assert len(pids) == 2
    assert all(map(gone, pids))
