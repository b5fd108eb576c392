"""The Responses API through the official client, whose types check every body and event."""

import json

import openai
import pydantic
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from inhouse.chat import Delta, Finish, Usage
from inhouse.config.sections import Project, Upstream
from inhouse.gateway.limits import Rates
from inhouse.models.scripted import Scripted

EVENTS = pydantic.TypeAdapter(ResponseStreamEvent)
PATH = "/v1/responses"
WEATHER = {"type": "function", "name": "weather", "strict": True, "parameters": {"type": "object", "properties": {}}}


class Telling:
    def __init__(self, *events):
        self.name, self.events, self.asked = "telling", events, []

    async def stream(self, request):
        self.asked.append(request)
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event


def call(index, id=None, name=None, arguments=""):
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"index": index, "type": "function", "function": function} | ({"id": id} if id else {})


DONE = Finish(reason="stop", usage=Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1))
CALLS = (
    Delta(text="Let me look."),
    Delta(text="", tool_calls=(call(0, "call_a", "weather", '{"city":'),)),
    Delta(text="", tool_calls=(call(0, arguments='"Bern"}'), call(1, "call_b", "weather", "{}"))),
    Finish(reason="tool_calls", usage=Usage(prompt_tokens=3, completion_tokens=9)),
)


def events_of(there, **body):
    """The events of a stream, each checked against the client's types."""
    raw = there.http.post(PATH, json={"model": "custom", "stream": True, **body}).text
    events = []
    for block in filter(None, raw.split("\n\n")):
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        if not lines:
            continue
        kind, data = lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))
        assert kind == data["type"]
        EVENTS.validate_python(data, strict=False)
        events.append(data)
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
    return events


def test_plain_text(gateway):
    there = gateway({"custom": Telling(Delta(text="Five"), Delta(text=" euros."), DONE)})
    reply = there.client.responses.create(model="custom", input="What is a wire?", max_output_tokens=9, temperature=0.5)
    assert (reply.output_text, reply.status, reply.id[:5]) == ("Five euros.", "completed", "resp_")
    assert (reply.usage.input_tokens, reply.usage.total_tokens) == (3, 5)
    assert reply.usage.input_tokens_details.cached_tokens == 1
    Response.model_validate(reply.model_dump())
    asked = there.state.fleet.models["custom"].asked[0]
    assert (asked.max_tokens, asked.temperature, asked.messages[-1].content) == (9, 0.5, "What is a wire?")
    assert there.state.audit.get(reply.id).answer == "Five euros."


def test_every_event_of_a_stream(gateway):
    there = gateway({"custom": Telling(Delta(text="Five"), Delta(text=" euros."), DONE)})
    events = events_of(there, input="hello")
    kinds = [e["type"].removeprefix("response.") for e in events]
    assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
    assert kinds[-4:] == ["output_text.done", "content_part.done", "output_item.done", "completed"]
    assert set(kinds[4:-4]) == {"output_text.delta"}
    assert "".join(e["delta"] for e in events if e["type"].endswith("text.delta")) == "Five euros."
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "Five euros."
    with there.client.responses.stream(model="custom", input="hello") as stream:
        assert [event.type for event in stream][-1] == "response.completed"
        assert stream.get_final_response().output_text == "Five euros."


def test_calls_of_functions_and_their_results(gateway):
    told = Telling(*CALLS)
    there = gateway({"custom": told})
    reply = there.client.responses.create(model="custom", input="Weather?", tools=[WEATHER], tool_choice="auto")
    message, first, second = reply.output
    assert message.content[0].text == "Let me look."
    assert (first.call_id, first.name, first.arguments) == ("call_a", "weather", '{"city":"Bern"}')
    assert (second.call_id, second.arguments, second.status) == ("call_b", "{}", "completed")
    assert told.asked[0].extra["tools"][0]["function"]["name"] == "weather"
    events = events_of(there, input="Weather?", tools=[WEATHER])
    done = {e["item_id"]: e["arguments"] for e in events if e["type"] == "response.function_call_arguments.done"}
    assert sorted(done.values()) == ['{"city":"Bern"}', "{}"]
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["message", "function_call", "function_call"]
    told.events = (Delta(text="Sunny."), DONE)
    results = [{"type": "function_call_output", "call_id": i, "output": "sunny"} for i in ("call_a", "call_b")]
    for body in (
        {"previous_response_id": reply.id, "input": results},
        {"input": [{"role": "user", "content": "Weather?"}, *(i.model_dump() for i in reply.output), *results]},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
                   *({"type": "item_reference", "id": i.id} for i in reply.output), *results]},
    ):  # fmt: skip
        last = there.client.responses.create(model="custom", **body)
        assert last.output_text == "Sunny."
        roles = [(m.role, len(m.tool_calls)) for m in told.asked[-1].messages]
        assert roles == [("user", 0), ("assistant", 2), ("tool", 0), ("tool", 0)]


def test_structured_output_and_refusals(gateway):
    class Fee(pydantic.BaseModel):
        euros: int

    told = Telling(Delta(text='{"euros": 5}'), DONE)
    there = gateway({"custom": told})
    reply = there.client.responses.parse(model="custom", input="Fee?", text_format=Fee)
    assert reply.output_parsed == Fee(euros=5)
    assert told.asked[0].json_schema["properties"]["euros"]["type"] == "integer"
    told.events = (Delta(text="I cannot say.", refusal=True), DONE)
    refused = there.client.responses.create(model="custom", input="Fee?").output[0].content[0]
    assert (refused.type, refused.refusal) == ("refusal", "I cannot say.")
    kinds = [e["type"] for e in events_of(there, input="Fee?")]
    assert "response.refusal.done" in kinds
    assert "response.output_text.delta" not in kinds


def test_an_answer_that_is_cut_off_is_incomplete(gateway):
    there = gateway({"custom": Telling(Delta(text="Five"), Finish(reason="length"))})
    reply = there.client.responses.create(model="custom", input="hello")
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert events_of(there, input="hello")[-1]["type"] == "response.incomplete"


def test_a_failure_in_a_stream(gateway):
    long = "word " * 400
    there = gateway({"custom": Telling(Delta(text=long), RuntimeError("boom"))})
    answer = there.http.post(PATH, json={"input": "hello", "stream": True})
    if answer.status_code == 200:  # the stream had begun
        assert '"type":"response.failed"' in answer.text
    else:
        assert answer.status_code == 500


def test_a_conversation_continues_only_for_who_had_it(gateway):
    asked = []
    there = gateway(
        {"custom": Scripted(lambda r: asked.append([m.content for m in r.messages]) or "Yes.")}, groups=("staff",)
    )
    create = there.client.responses.create
    first = create(model="custom", input="One?", instructions="Be brief.", user="ann")
    second = create(model="custom", input="Two?", previous_response_id=first.id, user="ann")
    create(model="custom", input="Three?", previous_response_id=second.id, instructions="Be kind.", user="ann")
    assert asked == [
        ["Be brief.", "One?"],
        ["One?", "Yes.", "Two?"],
        ["Be kind.", "One?", "Yes.", "Two?", "Yes.", "Three?"],
    ]
    unstored = create(model="custom", input="One?", store=False)
    assert unstored.store is False
    stranger = there.keys.create("stranger", "admin", ("staff",))[1]
    fewer = there.client.with_options(api_key=stranger)
    for client, id, more in (
        (there.client, first.id, {"user": "bob"}),
        (there.client, first.id, {}),
        (fewer, first.id, {"user": "ann"}),
        (there.client, unstored.id, {}),
        (there.client, "resp_nope", {}),
    ):
        with pytest.raises(openai.BadRequestError) as failed:
            client.responses.create(model="custom", input="Two?", previous_response_id=id, **more)
        assert failed.value.code == "previous_response_not_found"
        assert failed.value.param == "previous_response_id"
    kept = there.client.responses.retrieve(first.id)
    assert (kept.output_text, kept.instructions, kept.status) == ("Yes.", "Be brief.", "completed")
    for client, id in ((fewer, first.id), (there.client, unstored.id), (there.client, "resp_nope")):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(id)
    with pytest.raises(openai.PermissionDeniedError):
        there.client.responses.delete(first.id)
    there.state.audit.redact(first.id, "ann", "asked for")
    with pytest.raises(openai.NotFoundError):
        there.client.responses.retrieve(first.id)


def test_a_conversation_is_no_longer_than_the_context(gateway):
    told = Scripted(lambda r: f"{len(r.messages)} messages.")
    project = Project().model_copy(update={"upstream": (Upstream(name="far", url="http://127.0.0.1:9"),)})
    there = gateway({"custom": told, "far": told}, project=project, max_body_kb=64)

    def say(id, words=900, **more):
        body = {"model": "custom", "input": "word " * words, "previous_response_id": id, "instructions": "Be brief."}
        return there.http.post(PATH, json=body | more)

    first = say(None).json()
    second = say(first["id"]).json()
    long = say(second["id"])
    assert (long.status_code, long.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert long.json()["error"]["param"] == "input"
    cut = say(second["id"], truncation="auto").json()
    assert cut["truncation"] == "auto"
    kept = there.state.audit.get(cut["id"]).messages
    assert [m.role for m in kept] == ["system", "user", "assistant", "user"]
    assert say(second["id"], 3000, truncation="auto").status_code == 400
    assert say(second["id"], model="far").status_code == 200  # whose context is not known
    turns = 0
    while (large := say(second["id"], model="far")).status_code == 200:
        second, turns = large.json(), turns + 1
        assert turns < 20
    assert (large.status_code, large.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert turns > 5


def test_what_is_read_again_counts_as_sent(gateway):
    there = gateway(key_mb_per_minute=1)
    there.state.rates = Rates(clock=lambda: 0.0)
    words = "word " * 2000
    ids = [there.http.post(PATH, json={"input": words}).json()["id"] for _ in range(60)]
    items = [{"type": "item_reference", "id": id.replace("resp_", "msg_")} for id in ids]
    body = {"input": [{"role": "user", "content": "Hello?"}, *items]}
    refused = there.http.post(PATH, json=body)
    assert (refused.status_code, "1 MB per minute" in refused.json()["error"]["message"]) == (429, True)


def test_results_of_unknown_calls_are_refused(gateway):
    there = gateway()
    question, result = {"role": "user", "content": "Weather?"}, {"type": "function_call_output", "output": "sunny"}
    called = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"}
    for items, status in (
        ([question, called, {**result, "call_id": "c1"}], 200),
        ([question, called, {**result, "call_id": "c2"}], 400),
        ([question, {**result, "call_id": "c1"}, called], 400),
    ):
        answer = there.http.post(PATH, json={"input": items})
        assert answer.status_code == status
        if status == 400:
            error = answer.json()["error"]
            id = next(i for i in items if i.get("output"))["call_id"]
            assert error["message"] == f"No tool call found for function call output with call_id {id}."
            assert error["param"] == "input"
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    asked = [question, {"role": "assistant", "tool_calls": [call]}]
    for last, status in (({"tool_call_id": "c1"}, 200), ({"tool_call_id": "c2"}, 400), ({}, 400)):
        messages = [*asked, {"role": "tool", "content": "sunny", **last}]
        answer = there.http.post("/v1/chat/completions", json={"messages": messages})
        assert answer.status_code == status
        if status == 400:
            assert "tool" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "truncation": "start"}, "truncation"),
        ({"input": "x", "conversation": "conv_1"}, "conversation"),
        ({"input": "x", "reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"input": "x", "text": {"verbosity": "low"}}, "text.verbosity"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "message", "content": "x"}]}, "input[0]"),
        ({"input": []}, "input"),
        ({"input": "x", "max_tokens": 5}, "max_tokens"),
        ({}, "input"),
    ],
)
def test_what_is_not_offered_is_refused_by_name(gateway, body, param):
    answer = gateway().http.post(PATH, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
