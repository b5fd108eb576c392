"""The official openai client against the gateway, unchanged."""

import json
import time

import numpy as np
import openai
import pydantic
import pytest

from inhouse.chat import Delta, Finish, Note, Usage
from inhouse.config.sections import Replies
from inhouse.errors import CONTEXT_LENGTH, BackendError, RefusedError
from inhouse.models.scripted import Scripted
from inhouse.routing.replies import WithReplies

PASSAGE = {"source": "fees.md", "title": "Fees", "heading": "Wires", "text": "A wire costs 5.", "score": 0.9}


class Telling:
    """A ChatModel that yields given events."""

    def __init__(self, *events, name="telling"):
        self.name = name
        self.events = events
        self.asked = []

    async def stream(self, request):
        self.asked.append(request)
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


TOKEN = {"token": "Hi", "bytes": [72, 105], "logprob": -0.1, "top_logprobs": []}
DONE = Finish(reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=2), confidence=0.8)


def test_plain_answer_with_usage_and_our_field(gateway, ask):
    told = Telling(
        Note(layer="release", kind="served", data={"release": "bank/3", "arm": "tuned+rag"}),
        Note(layer="split", kind="arm", data={"experiment": "first", "arm": "b"}),
        Note(layer="grounded", kind="passages", data=[PASSAGE]),
        Delta(text="Five"),
        Delta(text=" euros."),
        Note(layer="grounded", kind="citations", data=[{"passage": 1, "source": "fees.md"}]),
        Note(layer="guarded", kind="findings", data=[{"rail": "pii", "action": "none"}]),
        DONE,
    )
    there = gateway({"custom": told})
    reply = there.client.chat.completions.create(**ask("what is a wire?"), user="ann", max_completion_tokens=9, seed=5)
    assert reply.choices[0].message.content == "Five euros."
    assert (reply.choices[0].finish_reason, reply.usage.total_tokens) == ("stop", 5)
    ours = reply.inhouse
    assert ours == {
        "id": reply.id, "release": "bank/3", "arm": "tuned+rag", "passages": [PASSAGE], "confidence": 0.8,
        "citations": [{"passage": 1, "source": "fees.md"}], "findings": [{"rail": "pii", "action": "none"}], "handoff": None,
    }  # fmt: skip
    kept = there.state.audit.get(reply.id)
    assert (kept.answer, kept.user, kept.key, kept.release, kept.arm) == (
        "Five euros.",
        "ann",
        there.key.id,
        "bank/3",
        "tuned+rag",
    )
    assert (kept.experiment, kept.reason, kept.confidence) == ("first:b", "stop", 0.8)
    assert kept.passages[0].source == "fees.md"
    assert 0 < kept.first_token_s <= kept.latency_s
    request = told.asked[0]
    assert (request.max_tokens, request.seed, request.user) == (9, 5, "ann")


def test_streaming_equals_the_plain_answer(gateway, ask):
    there = gateway()
    plain = there.client.chat.completions.create(**ask("one two three")).choices[0].message.content
    chunks = list(
        there.client.chat.completions.create(
            **ask("one two three"), stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == plain
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-2].inhouse["id"] == chunks[0].id
    assert not chunks[-1].choices
    assert chunks[-1].usage.completion_tokens > 0
    assert there.state.audit.get(chunks[0].id).answer == plain
    raw = there.http.post("/v1/chat/completions", json=ask(stream=True))
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.text.endswith("data: [DONE]\n\n")
    assert '"usage"' not in raw.text


def test_the_answer_and_the_audit_log_name_the_rung(gateway, ask):
    data = {"rung": "large", "usd": 0.011, "tried": [{"rung": "small", "usd": 0.001, "ms": 9.0, "score": 0.4},
                                                     {"rung": "large", "usd": 0.01, "ms": 90.0, "score": 0.95}]}  # fmt: skip
    fallback = {"model": "base", "after": 1}
    told = Telling(
        Note(layer="fallback", kind="served", data=fallback), Delta(text="Five."),
        Note(layer="cascade", kind="rung", data=data), DONE,
    )  # fmt: skip
    there = gateway({"custom": told})
    reply = there.client.chat.completions.create(**ask("what is a wire?"))
    assert (reply.inhouse["cascade"], reply.inhouse["fallback"]) == (data, fallback)
    assert there.state.audit.get(reply.id).cascade == data
    assert there.state.audit.verify().ok


async def test_the_async_client(gateway, ask):
    there = gateway()
    async with openai.AsyncOpenAI(base_url=f"{there.url}/v1", api_key=there.secret, max_retries=0) as client:
        assert (await client.chat.completions.create(**ask("a"))).choices[0].message.content == "You said: a"
        stream = await client.chat.completions.create(**ask("b"), stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "You said: b"


def test_what_engines_are_asked_with(gateway, ask):
    told = Telling(Delta(text="{}"), DONE)
    there = gateway({"custom": told}, max_tokens=50)
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    there.client.chat.completions.create(
        model="custom", max_tokens=500, stop=["x", "y"], top_p=0.5, frequency_penalty=0.1, tools=[tool],
        tool_choice="auto", response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}},
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "two "}, {"type": "text", "text": "parts"}]},
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
        ],
    )  # fmt: skip
    request = told.asked[0]
    assert [m.role for m in request.messages] == ["system", "user", "assistant", "tool"]
    assert request.messages[1].content == "two parts"
    assert request.messages[2].tool_calls[0]["function"]["name"] == "look"
    assert (request.max_tokens, request.stop, request.json_schema) == (50, ("x", "y"), {"type": "array"})
    asked = {"json_schema": {"name": "n", "schema": {"type": "array"}}, "type": "json_schema"}
    given = {"tools": [tool], "tool_choice": "auto", "top_p": 0.5, "frequency_penalty": 0.1}
    assert request.extra == given | {"response_format": asked}
    there.client.chat.completions.create(**ask(), response_format={"type": "json_object"})
    assert told.asked[1].json_schema == {"type": "object"}


def test_logprobs_and_tool_calls_come_through(gateway, ask):
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a":'}}
    rest = {"index": 0, "function": {"arguments": "1}"}}
    there = gateway({
        "custom": Telling(Delta(text="Hi", logprobs=(TOKEN,)), DONE),
        "tools": Telling(Delta(text="", tool_calls=(call,)), Delta(text="", tool_calls=(rest,)), Finish(reason="tool_calls")),
    })  # fmt: skip
    choice = there.client.chat.completions.create(**ask(), logprobs=True, top_logprobs=2).choices[0]
    assert choice.logprobs.content[0].token == "Hi"
    stream = there.client.chat.completions.create(**ask(), logprobs=True, stream=True)
    assert [c.choices[0].logprobs.content[0].logprob for c in stream if c.choices[0].logprobs] == [-0.1]
    reply = there.client.chat.completions.create(**ask() | {"model": "tools"})
    assert reply.choices[0].finish_reason == "tool_calls"
    function = reply.choices[0].message.tool_calls[0].function
    assert (function.name, json.loads(function.arguments)) == ("look", {"a": 1})
    assert "look" in there.state.audit.get(reply.id).answer


def test_errors_are_the_clients_own(gateway, ask):
    there = gateway({
        "custom": Scripted(lambda r: "fine"),
        "broken": Telling(BackendError("http://10.0.0.1 failed")),
        "refusing": Telling(RefusedError("too long", code=CONTEXT_LENGTH)),
        "choosy": Telling(RefusedError("no schema in this context")),
        "half": Telling(Delta(text="so"), BackendError("gone")),
        "mistaken": Telling(ZeroDivisionError("secret prompt")),
    })  # fmt: skip
    create = there.client.chat.completions.create
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        create(**ask() | {"model": "gpt-4o"})
    with pytest.raises(openai.BadRequestError) as bad:
        create(**ask(), temperature=3)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        create(**ask() | {"model": "refusing"})
    assert (long.value.code, long.value.param) == ("context_length_exceeded", "messages")
    with pytest.raises(openai.BadRequestError) as other:
        create(**ask() | {"model": "choosy"})
    assert other.value.code is None
    for model, status in (("broken", 502), ("mistaken", 500)):
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError) as failed:
                create(**ask() | {"model": model}, stream=stream)
            assert failed.value.status_code == status
            assert "10.0.0.1" not in str(failed.value)
            assert "secret" not in str(failed.value)
    with pytest.raises(openai.APIError, match="could not answer"):
        list(create(**ask() | {"model": "half"}, stream=True))
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{there.url}/v1", api_key="ih_wrong", max_retries=0).models.list()
    reasons = sorted(e.model + ":" + e.reason for _, e in there.state.audit.find())
    assert reasons == [
        "broken:error",
        "broken:error",
        "choosy:error",
        "half:error",
        "mistaken:error",
        "mistaken:error",
        "refusing:error",
    ]


@pytest.mark.slow
def test_embeddings(gateway, embedder):
    there = gateway(embedder=embedder)
    for encoding in (openai.NOT_GIVEN, "float"):  # the client's own choice is base64
        reply = there.client.embeddings.create(model="any", input=["a wire", "a loan"], encoding_format=encoding)
        vectors = np.array([d.embedding for d in reply.data])
        assert np.allclose(vectors, embedder.embed(["a wire", "a loan"]), atol=1e-5)
    assert reply.usage.prompt_tokens > 2
    with pytest.raises(openai.BadRequestError):
        there.client.embeddings.create(model="any", input=[])
    with pytest.raises(openai.BadRequestError):
        there.client.embeddings.create(model="any", input=[[1, 2]])
    with pytest.raises(openai.BadRequestError, match="384"):
        there.client.embeddings.create(model="any", input="x", dimensions=7)


def test_models(gateway):
    there = gateway()
    assert [m.id for m in there.client.models.list()] == ["custom", "base"]
    assert there.client.models.retrieve("base").id == "base"
    there.state.fleet.models["bank/3"] = there.state.fleet.models["custom"]
    assert there.client.models.retrieve("bank/3").id == "bank/3"
    with pytest.raises(openai.NotFoundError):
        there.client.models.retrieve("../etc/passwd")


def test_a_wish_for_a_person_lands_in_the_inbox(gateway, ask):
    there = gateway({"custom": WithReplies(Scripted(lambda r: "It is 5."), Replies(), "Bank")})
    reply = there.client.chat.completions.create(**ask("fine, give me a person"))
    assert reply.choices[0].message.content == Replies().person
    assert there.state.inbox.get(reply.inhouse["handoff"]).reason == "asked for a person"
    assert there.client.chat.completions.create(**ask("hello")).inhouse["handoff"] is None


def test_a_hand_off_reaches_the_client_that_waits(gateway, ask):
    sentence = "I do not have that information, so I am passing you to a colleague who can help."
    there = gateway({
        "custom": Scripted(lambda r: sentence),
        "guarded": Telling(Delta(text="Let me ask."), Note(layer="guarded", kind="handoff", data={"reason": "unsure"}), DONE),
        "fine": Scripted(lambda r: "It is 5."),
    })  # fmt: skip
    reply = there.client.chat.completions.create(**ask("what is the fee?"))
    path = f"/v1/handoffs/{reply.inhouse['handoff']}"
    assert there.http.get(path).json()["status"] == "waiting"
    started = time.monotonic()
    assert there.http.get(path, params={"wait": 0.3}).json()["answer"] is None
    assert time.monotonic() - started >= 0.3
    there.state.inbox.answer(reply.inhouse["handoff"], "Five euros.", "bea")
    assert there.http.get(path, headers={"X-Inhouse-Wait": "5"}).json()["answer"] == "Five euros."
    guarded = there.http.post("/v1/chat/completions", json=ask(stream=True) | {"model": "guarded"}).text
    last = json.loads(guarded.split("data: ")[-2])
    assert there.state.inbox.get(last["inhouse"]["handoff"]).reason == "unsure"
    assert there.client.chat.completions.create(**ask() | {"model": "fine"}).inhouse["handoff"] is None
    for role, status in (("user", 404), ("reviewer", 200)):
        other = there.keys.create("other", role)[1]
        assert there.http.get(path, headers={"Authorization": f"Bearer {other}"}).status_code == status
    board = gateway({"custom": Scripted(lambda r: sentence)}, groups=("board",))
    path = f"/v1/handoffs/{board.client.chat.completions.create(**ask()).inhouse['handoff']}"
    stranger = board.keys.create("stranger", "reviewer", ("sales",))[1]
    assert board.http.get(path).status_code == 200
    assert board.http.get(path, headers={"Authorization": f"Bearer {stranger}"}).status_code == 404
    assert there.http.get("/v1/handoffs/nope").status_code == 404
    assert there.http.get(path, params={"wait": "nan"}).status_code == 400


def test_feedback(gateway, ask):
    there = gateway(role="user")
    id = there.client.chat.completions.create(**ask(), user="ann").id
    assert there.http.post("/v1/feedback", json={"id": id, "thumb": 1}).status_code == 200
    assert (
        there.http.post("/v1/feedback", json={"id": id, "thumb": -1, "comment": "no", "resolved": False}).status_code
        == 200
    )
    (kept,) = there.state.feedback.for_exchange(id)
    assert (kept.user, kept.thumb, kept.comment, kept.resolved) == ("ann", -1, "no", False)
    assert there.http.post("/v1/feedback", json={"id": "nope", "thumb": 1}).status_code == 404
    assert there.http.post("/v1/feedback", json={"id": id, "thumb": 7}).status_code == 400
    other = there.keys.create("other", "user")[1]
    refused = there.http.post("/v1/feedback", json={"id": id, "thumb": 1}, headers={"Authorization": f"Bearer {other}"})
    assert refused.status_code == 404


def test_the_clients_helpers(gateway, ask):
    class Fee(pydantic.BaseModel):
        euros: int

    there = gateway({"custom": Scripted(lambda r: '{"euros": 5}')})
    parsed = there.client.chat.completions.parse(**ask(), response_format=Fee)
    assert parsed.choices[0].message.parsed == Fee(euros=5)
    with there.client.chat.completions.stream(**ask(), response_format=Fee) as stream:
        kinds = {event.type for event in stream}
        assert stream.get_final_completion().choices[0].message.parsed == Fee(euros=5)
    assert {"chunk", "content.delta", "content.done"} <= kinds
    raw = there.client.chat.completions.with_raw_response.create(**ask())
    assert raw.headers["x-request-id"].startswith("req-")
    assert raw.parse().choices[0].message.role == "assistant"


def test_a_refusal_has_no_content(gateway, ask):
    there = gateway({"custom": Telling(Delta(text="The amount is not known.", refusal=True), DONE)})
    reply = there.client.chat.completions.create(**ask())
    message = reply.choices[0].message
    assert (message.content, message.refusal) == (None, "The amount is not known.")
    assert there.state.audit.get(reply.id).answer == message.refusal
    with there.client.chat.completions.stream(**ask()) as stream:
        message = stream.get_final_completion().choices[0].message
    assert (message.content, message.refusal) == (None, "The amount is not known.")


def test_a_rejected_field_is_named(gateway, ask):
    error = RefusedError("tools.0: no such thing", param="tools.0")
    there = gateway({"custom": Telling(error)})
    with pytest.raises(openai.BadRequestError) as caught:
        there.client.chat.completions.create(**ask())
    assert caught.value.body["param"] == "tools.0"
    assert caught.value.body["message"] == "tools.0: no such thing"


def test_unknown_tools_are_refused(gateway, ask):
    there = gateway()
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "jump", "arguments": "{}"}}
    called = [*ask()["messages"], {"role": "assistant", "content": None, "tool_calls": [call]}]
    for wrong, param in (
        ({"tools": [tool], "tool_choice": {"type": "function", "function": {"name": "jump"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [tool, tool]}, "tools"),
        ({"tools": [tool], "messages": called}, "tools"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            there.client.chat.completions.create(**ask() | wrong)
        assert caught.value.body["param"] == param


def test_the_client_waits_as_long_as_the_server_says_and_tries_again(gateway, ask, monkeypatch):
    """After 429 of a key with a rate limit, and after 503 of a server that is restarted."""
    there, slept = gateway(per_minute=60), []
    client = there.client.with_options(max_retries=1).chat.completions.with_raw_response
    started = time.monotonic()

    def sleep(seconds):
        slept.append(seconds)
        there.state.draining = False

    monkeypatch.setattr("openai._base_client.time.sleep", sleep)
    monkeypatch.setattr(there.state.rates, "_clock", lambda: started + sum(slept))
    replies = [client.create(**ask()) for _ in range(61)]
    assert [r.retries_taken for r in replies] == [0] * 60 + [1]
    assert len(slept) == 1
    there.state.draining = True
    assert client.create(**ask()).retries_taken == 1
    assert slept[1:] == [5]
