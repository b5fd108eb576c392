"""The engine as a child process: what happens when it dies, hangs, grows, or loses its parent."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from inhouse.chat import ChatRequest, Delta, collect
from inhouse.config.sections import Model
from inhouse.errors import BackendError
from inhouse.models import supervised
from inhouse.models.llama import LlamaEngine
from inhouse.types import Message

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals")]


def ask(text="Say hello.", tokens=4, **more):
    return ChatRequest(messages=(Message(role="user", content=text),), max_tokens=tokens, **more)


@pytest.fixture
def engine(weights, monkeypatch):
    monkeypatch.setattr(supervised, "CHECK_S", 0.1)
    monkeypatch.setattr(supervised, "TOO_SOON_S", 0.0)
    monkeypatch.setattr(supervised, "WAIT_S", 90.0)  # this machine may be busy
    engine = LlamaEngine(weights / "model.gguf", Model(context_tokens=512, parallel=2, threads=1))
    yield engine
    engine.close()


async def trouble(engine, seconds=60):
    until = time.monotonic() + seconds
    while not engine.trouble:
        assert time.monotonic() < until
        await asyncio.sleep(0.02)
    return engine.trouble


async def test_a_dead_engine_is_replaced_and_what_had_not_begun_is_repeated(engine):
    model = engine.model("base")
    before = engine.process.pid
    first = await collect(model, ask())
    os.kill(before, signal.SIGSTOP)  # so that the request is surely sent, and not answered
    asked = asyncio.create_task(collect(model, ask()))
    await asyncio.sleep(0.5)
    os.kill(before, signal.SIGKILL)
    assert "SIGKILL" in await trouble(engine)
    assert (await asked).text == first.text
    assert engine.process.pid != before
    assert engine.trouble == ""


async def test_an_answer_that_has_begun_fails_with_its_engine(engine):
    stream = engine.model("base").stream(ask("Count to a thousand.", 400))
    assert isinstance(await anext(stream), Delta)
    os.kill(engine.process.pid, signal.SIGSEGV)
    with pytest.raises(BackendError, match="stopped while it answered"):
        async for _ in stream:
            pass


async def test_a_hanging_engine_is_noticed_and_replaced(engine):
    before, engine.process.stall_s = engine.process.pid, 2.0
    os.kill(before, signal.SIGSTOP)
    asked = asyncio.create_task(collect(engine.model("base"), ask()))
    assert "has not answered for" in await trouble(engine)
    with pytest.raises(BackendError, match="try again|stopped while"):
        await asked
    engine.process.stall_s = 60.0
    assert (await collect(engine.model("base"), ask())).text
    assert engine.process.pid != before


async def test_an_engine_that_recovers_in_time_is_kept(engine, monkeypatch):
    monkeypatch.setattr(supervised, "SLOW_S", 1.0)
    before = engine.process.pid
    os.kill(before, signal.SIGSTOP)
    assert "has not answered for" in await trouble(engine)
    os.kill(before, signal.SIGCONT)
    assert (await collect(engine.model("base"), ask())).text
    until = time.monotonic() + 30
    while engine.trouble:
        assert time.monotonic() < until
        await asyncio.sleep(0.1)
    assert engine.process.pid == before


async def test_an_engine_that_uses_too_much_memory_is_replaced(engine):
    if not engine.process.memory_mb():
        pytest.skip("the system does not tell the memory of a process")
    before = engine.process.pid
    engine.process._first_mb -= 4000
    assert "MB more than at its start" in await trouble(engine)
    assert (await collect(engine.model("base"), ask())).text
    assert engine.process.pid != before


def test_closing_does_not_wait_for_a_hanging_engine(engine):
    os.kill(engine.process.pid, signal.SIGSTOP)
    started = time.monotonic()
    engine.close()
    assert time.monotonic() - started < 3


def test_the_engine_ends_with_its_parent(weights, tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from inhouse.config.sections import Model\n"
        "from inhouse.models.llama import LlamaEngine\n"
        "engine = LlamaEngine(Path(sys.argv[1]), Model(context_tokens=256, parallel=1))\n"
        "print(engine.process.pid, flush=True); time.sleep(600)"
    )
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(weights / "model.gguf")], stdout=subprocess.PIPE, text=True, env=variables
    )
    with parent:
        pid = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < until:
        time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_key_sees_only_its_own_prompts_in_the_cache(engine):
    """Also with one slot: `cached_tokens` is the same whether or not somebody else asked the same before."""
    text = "What is the limit of the account of Jane Doe at the harbor branch?"
    model = engine.model("base")

    async def cached(scope):
        return (await collect(model, ask(text, 1, scope=scope))).finish.usage.cached_tokens

    assert await cached("a") == 0
    assert await cached("a") > 10
    assert [await cached("b"), await cached("c"), await cached("d")] == [0, 0, 0]
    assert await cached("d") > 10


def test_an_engine_that_does_not_start_in_time_says_so(weights, monkeypatch):
    monkeypatch.setattr(supervised, "START_S", 0.05)
    with pytest.raises(BackendError, match="did not start within") as error:
        LlamaEngine(weights / "model.gguf", Model(context_tokens=512, parallel=1, threads=1))
    assert "too busy" in error.value.hint
