"""Breaker and fallback, with models that fail on purpose and with llama.cpp's server in a second process."""

import asyncio
import json
import subprocess
import sys

import pytest

from inhouse.assembly.routes import upstreams
from inhouse.chat import ChatRequest, Delta, Finish, collect
from inhouse.config.sections import Upstream
from inhouse.errors import CONTEXT_LENGTH, BackendError, ConfigError, RefusedError
from inhouse.models.fallback import FAILURES, REST_S, Breaker, Fallback, InTime
from inhouse.models.scripted import Scripted
from inhouse.types import Message

SERVER = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.api_keys = sys.argv[1], int(sys.argv[2]), ["sesame"]
params.n_ctx, params.n_parallel, params.use_jinja, params.warmup, params.verbosity = 512, 1, True, False, -1
params.cpuparams.n_threads = 2
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


def ask(text, **more):
    return ChatRequest(messages=(Message(role="user", content=text),), **{"max_tokens": 8, **more})


def failing(times, error=BackendError):
    """A model that fails so many times, then answers; `requests` counts."""

    class Failing:
        name = "failing"
        requests = 0

        async def stream(self, request):
            self.requests += 1
            if self.requests <= times:
                raise error("no")
            async for event in Scripted(lambda r: "back").stream(request):
                yield event

    return Failing()


class Breaking:
    name = "breaking"

    async def stream(self, request):
        yield Delta(text="so far")
        raise BackendError("gone")


# --- failures on purpose ------------------------------------------------------------------------------------------


async def test_a_breaker_disables_a_failing_model_and_tries_it_again():
    now = [0.0]
    model = failing(FAILURES + 1)
    breaker = Breaker(model, lambda: now[0])
    for _ in range(FAILURES + 5):
        with pytest.raises(BackendError):
            await collect(breaker, ask("x"))
    assert model.requests == FAILURES
    now[0] += REST_S
    with pytest.raises(BackendError, match="^no$"):  # the request that tries the model
        await collect(breaker, ask("x"))
    with pytest.raises(BackendError, match="temporarily disabled after"):
        await collect(breaker, ask("x"))
    now[0] += REST_S
    assert (await collect(breaker, ask("x"))).text == "back"
    assert (await collect(breaker, ask("x"))).text == "back"


async def test_a_model_that_hangs_is_a_failure_that_a_breaker_counts():
    class Hanging:
        name = "hanging"
        asked = 0

        async def stream(self, request):
            self.asked += 1
            await asyncio.sleep(60)
            yield Delta(text="late")

    model = Hanging()
    breaker = Breaker(InTime(model, 0.02))
    for _ in range(FAILURES):
        with pytest.raises(BackendError, match=r"no answer within 0\.02 s"):
            await collect(breaker, ask("a"))
    with pytest.raises(BackendError, match="temporarily disabled"):
        await collect(breaker, ask("a"))
    assert model.asked == FAILURES


async def test_a_model_that_has_begun_may_take_its_time():
    class Slow:
        name = "slow"

        async def stream(self, request):
            yield Delta(text="a")
            await asyncio.sleep(0.2)
            yield Delta(text="b")
            yield Finish(reason="stop")

    assert (await collect(InTime(Slow(), 0.1), ask("a"))).text == "ab"


async def test_a_rejected_request_is_no_failure_and_goes_to_no_other_model():
    model = failing(99, RefusedError)
    breaker = Breaker(model)
    other = Scripted(lambda r: "other")
    for _ in range(FAILURES + 2):
        with pytest.raises(RefusedError):
            await collect(Fallback("f", [lambda: breaker, lambda: other]), ask("x"))
    assert model.requests == FAILURES + 2


async def test_the_next_model_answers_and_a_note_says_so():
    models = [failing(99), Scripted(lambda r: "second", name="second"), Scripted(lambda r: "third")]
    reply = await collect(Fallback("f", [lambda m=m: m for m in models]), ask("x"))
    assert reply.text == "second"
    assert reply.note("fallback", "served") == {"model": "second", "after": 1}


async def test_the_errors_of_all_models_are_named():
    with pytest.raises(BackendError, match="no server could answer: no; no"):
        await collect(Fallback("f", [lambda: failing(9), lambda: failing(9)]), ask("x"))


async def test_an_answer_that_has_begun_is_not_started_again():
    texts = []

    async def answered():
        async for event in Fallback("f", [Breaking, lambda: Scripted(lambda r: "other")]).stream(ask("x")):
            texts.append(event.text)

    with pytest.raises(BackendError, match="gone"):
        await answered()
    assert texts == ["so far"]


def test_upstreams_without_url_or_with_unknown_names_are_refused():
    fine = Upstream(name="a", url="http://127.0.0.1:1", fallback=("custom",))
    assert list(upstreams([fine], lambda name: Scripted(str))) == ["a"]
    for tables in ([fine, fine], [Upstream(name="custom", url="http://x")], [Upstream(name="a")],
                   [Upstream(name="a", url="http://x", fallback=("zzz",))]):  # fmt: skip
        with pytest.raises(ConfigError, match="upstream"):
            upstreams(tables, lambda name: Scripted(str))


# --- a real second process --------------------------------------------------------------------------------------


@pytest.fixture
def other_server(weights, unused_tcp_port):
    running = []

    def start():
        command = [sys.executable, "-c", SERVER, str(weights / "model.gguf"), str(unused_tcp_port)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        running.append(process)
        assert process.stdout.readline().startswith("http://127.0.0.1")
        return process

    yield f"http://127.0.0.1:{unused_tcp_port}/v1", start
    for process in running:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.slow
async def test_llama_cpps_server(other_server, monkeypatch):
    url, start = other_server
    monkeypatch.setenv("OTHER_KEY", "sesame")
    monkeypatch.setattr("inhouse.models.openai.PAUSE_S", 0.05)
    table = Upstream(name="other", url=url, model="any", api_key_env="OTHER_KEY", timeout_s=30, fallback=("custom",))
    model = upstreams([table], lambda name: Scripted(lambda r: f"{name} instead", name=name))["other"]
    process = start()
    reply = await collect(model, ask("Say hello.", logprobs=2))
    assert reply.text
    assert reply.finish.usage.completion_tokens == 8
    assert reply.finish.reason == "length"
    stream = model.stream(ask("Say hello.", logprobs=2))
    first = await anext(stream)
    assert len(first.logprobs[0]["top_logprobs"]) == 2
    await stream.aclose()
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert set(json.loads((await collect(model, ask("JSON", json_schema=schema, max_tokens=40))).text)) == {"a"}
    with pytest.raises(RefusedError) as refused:
        await collect(model, ask("word " * 900))
    assert refused.value.code == CONTEXT_LENGTH
    process.kill()
    process.wait()
    for _ in range(FAILURES + 1):
        assert (await collect(model, ask("Say hello."))).text == "custom instead"
    start()
    assert (await collect(model, ask("Say hello."))).text == "custom instead"  # still disabled
    model = upstreams([table], lambda name: Scripted(lambda r: f"{name} instead", name=name))["other"]
    assert (await collect(model, ask("Say hello."))).text == reply.text
