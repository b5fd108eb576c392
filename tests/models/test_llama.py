import asyncio
import json
import re

import httpx
import pytest

from inhouse.chat import ChatModel, ChatRequest, Delta, Finish, collect
from inhouse.config.sections import Model
from inhouse.errors import CONTEXT_LENGTH, InputError, RefusedError
from inhouse.models.llama import LlamaEngine
from inhouse.types import Message

pytestmark = pytest.mark.slow


def ask(text, **more):
    return ChatRequest(messages=(Message(role="user", content=text),), max_tokens=12, **more)


async def test_answers_stream_with_usage_and_confidence(engine):
    model = engine.model("base")
    assert isinstance(model, ChatModel)
    reply = await collect(model, ask("Say hello."))
    assert reply.text
    assert reply.finish.usage.prompt_tokens > 10
    assert 0 < reply.finish.confidence <= 1
    assert 0 < reply.first_token_s <= reply.latency_s


async def test_concurrent_answers_equal_sequential_ones(engine):
    model = engine.model("base")
    questions = [f"Name {n} animals." for n in (2, 3, 4)]
    alone = [(await collect(model, ask(q))).text for q in questions]
    if engine.socket:  # how vLLM rounds bfloat16 depends on what else is in the batch
        assert alone == [(await collect(model, ask(q))).text for q in questions]
        return
    together = [r.text for r in await asyncio.gather(*(collect(model, ask(q)) for q in questions))]
    assert alone == together


async def test_an_adapter_never_reuses_a_prompt_processed_with_another(weights, tmp_path):
    """The engine processes the prompts without an adapter first, and must not reuse that when asked with one."""
    import torch
    from peft import LoraConfig, get_peft_model

    from inhouse.training.gguf import adapter_to_gguf
    from inhouse.training.sft import load

    torch.manual_seed(3)
    model = get_peft_model(load(weights)[1], LoraConfig(r=2, lora_alpha=2, target_modules=["q_proj", "v_proj"]))
    for name, tensor in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(tensor, std=0.3)
    model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    adapter_to_gguf(tmp_path / "adapter", weights / "model.gguf", tmp_path / "adapter.gguf")
    requests = [
        ask(f"{subject} in one long sentence, please.") for subject in ("Rain", "Describe a ship", "Why is tea hot")
    ]

    async def answers(*arms):
        engine = LlamaEngine(weights / "model.gguf", Model(context_tokens=512, parallel=1), [tmp_path / "adapter.gguf"])
        try:
            return [[await collect(engine.model("m", arm), r) for r in requests] for arm in arms][-1]
        finally:
            engine.close()

    alone, after_base = await answers(0), await answers(None, 0)
    assert [r.text for r in after_base] == [r.text for r in alone]
    assert [r.text for r in await answers(None)] != [r.text for r in alone]
    assert after_base[0].finish.usage.cached_tokens == 0
    assert [r.finish.usage.cached_tokens for r in after_base] == [r.finish.usage.cached_tokens for r in alone]


async def test_a_json_schema_is_enforced(engine):
    schema = {
        "type": "object",
        "properties": {"a": {"type": "number"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    request = ask("Give me a number.", json_schema=schema).model_copy(update={"max_tokens": 60})
    reply = await collect(engine.model("base"), request)
    assert set(json.loads(reply.text)) == {"a"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1500)}},
        {"enum": [f"{n * 7919 % 5000:04}{'x' * 6}" for n in range(4000)]},
        {"type": "string", "pattern": "^(((a?){1,50}){1,50}){1,50}$"},
    ],
)
async def test_no_admitted_schema_keeps_the_engine_busy(engine, schema):
    asked = collect(engine.model("base"), ask("Give me an object.", json_schema=schema))
    await asyncio.wait_for(asked, 20)


async def test_a_pattern_that_cannot_be_followed_is_refused(engine):
    with pytest.raises(RefusedError, match="look-ahead"):
        await collect(engine.model("base"), ask("Hi", json_schema={"type": "string", "pattern": "^(?=a)b$"}))


async def test_leaving_the_stream_stops_the_engine(engine):
    request = ask("Count to a thousand.").model_copy(update={"max_tokens": 400})
    stream = engine.model("base").stream(request)
    assert isinstance(await anext(stream), Delta)
    await stream.aclose()
    reply = await asyncio.wait_for(collect(engine.model("base"), ask("Hi")), 20)
    assert isinstance(reply.finish, Finish)


async def test_an_answer_may_be_longer_than_what_is_left_of_the_context(engine):
    request = ask("word " * 440).model_copy(update={"max_tokens": 5000})
    reply = await collect(engine.model("base"), request)
    assert reply.finish.usage.prompt_tokens + reply.finish.usage.completion_tokens <= 512


async def test_a_conversation_beyond_the_context_is_refused(engine):
    with pytest.raises(RefusedError) as refused:
        await collect(engine.model("base"), ask("word " * 2000))
    assert refused.value.code == CONTEXT_LENGTH
    words = "This model's maximum context length is \\d+ tokens. However, your messages resulted in (at least )?\\d+ tokens. "
    assert re.fullmatch(words + "Please shorten the conversation.", str(refused.value))


def test_the_engines_port_needs_a_key_and_refuses_browsers(engine):
    if engine.socket:
        pytest.skip("it has no port")
    bare = httpx.post(f"{engine.url}/v1/chat/completions", json={"messages": [{"role": "user", "content": "hi"}]})
    assert bare.status_code == 401
    allowed = httpx.options(f"{engine.url}/completion", headers={"Origin": "http://evil.example"}).headers
    assert allowed.get("access-control-allow-origin") not in ("*", "http://evil.example")
    assert httpx.get(engine.url).status_code in (401, 404)
    assert httpx.URL(engine.url).host == "127.0.0.1"


@pytest.mark.parametrize("content", [b"", b"hello", b"GGUF" + bytes(200)])
def test_damaged_weights_are_refused(tmp_path, content):
    file = tmp_path / "bad.gguf"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.gguf"):
        LlamaEngine(file, Model())
