"""The OpenAI client against the embedded engine's endpoint, which speaks the same protocol."""

import pytest

from inhouse.chat import ChatRequest, collect
from inhouse.config.sections import Endpoint
from inhouse.errors import BackendError, ConfigError
from inhouse.models.openai import OpenAIModel
from inhouse.types import Message


def ask(text):
    return ChatRequest(messages=(Message(role="user", content=text),), max_tokens=12)


@pytest.mark.slow
async def test_an_answer_is_the_same_through_the_endpoint(embedded, monkeypatch):
    monkeypatch.setenv("TEST_KEY", embedded.api_key)
    remote = OpenAIModel(Endpoint(url=f"{embedded.url}/v1", model="any", api_key_env="TEST_KEY"))
    local = await collect(embedded.model("base"), ask("Name a color."))
    assert (await collect(remote, ask("Name a color."))).text == local.text


@pytest.mark.slow
async def test_a_wrong_key_is_an_error(embedded, monkeypatch):
    monkeypatch.setenv("TEST_KEY", "wrong")
    with pytest.raises(BackendError, match="401"):
        await collect(OpenAIModel(Endpoint(url=f"{embedded.url}/v1", api_key_env="TEST_KEY")), ask("hi"))


async def test_an_endpoint_that_is_down_is_an_error(unused_tcp_port, monkeypatch):
    monkeypatch.setattr("inhouse.models.openai.PAUSE_S", 0.01)
    with pytest.raises(BackendError, match="cannot be reached"):
        await collect(OpenAIModel(Endpoint(url=f"http://127.0.0.1:{unused_tcp_port}")), ask("hi"))


def test_a_key_that_is_not_set_is_named():
    with pytest.raises(ConfigError, match="NO_SUCH_KEY"):
        OpenAIModel(Endpoint(url="http://127.0.0.1:1", api_key_env="NO_SUCH_KEY"))
