"""Bodies made to keep the server busy: full of wrong values, deep, or with names as long as the body."""

import json
import time
import tracemalloc

import pytest
from pydantic import TypeAdapter

from inhouse.gateway.completions import CompletionBody
from inhouse.gateway.embeddings import EmbeddingBody
from inhouse.gateway.responses import ResponsesBody
from inhouse.gateway.wire import ChatBody, FeedbackBody
from inhouse.models.scripted import Scripted
from inhouse.schema import LONGEST, MOST_DEPTH, excess

BODIES = (ChatBody, ResponsesBody, CompletionBody, EmbeddingBody, FeedbackBody)
MOST_S = 1.5  # of processor time, on any machine; each wrong value of a list costs 20 microseconds
LONG = 1_000_000
USER = {"role": "user", "content": "Hello?"}
CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
ASKED = '"messages":[{"role":"user","content":"Hello?"}],'


def full(before: str, unit: str, after: str) -> str:
    """A body of a megabyte that repeats `unit`, in which # is the number."""
    count = LONG // (len(unit) + 7)
    return before + ",".join(unit.replace("#", str(n)) for n in range(count)) + after


WRONG = {
    "messages": (CHAT, '{"messages":[', "#", "]}"),
    "messages without anything": (CHAT, '{"messages":[', "{}", "]}"),
    "parts": (CHAT, '{"messages":[{"role":"user","content":[', "{}", "]}]}"),
    "tools": (CHAT, "{" + ASKED + '"tools":[', "{}", "]}"),
    "stops": (CHAT, "{" + ASKED + '"stop":[', "#", "]}"),
    "biases": (CHAT, "{" + ASKED + '"logit_bias":{', '"x#":1', "}}"),
    "metadata": (CHAT, "{" + ASKED + '"metadata":{', '"x#":1', "}}"),
    "unknown": (CHAT, "{" + ASKED, '"x#":1', "}"),
    "items": (RESPONSES, '{"input":[', "{}", "]}"),
    "item parts": (RESPONSES, '{"input":[{"role":"user","content":[', "{}", "]}]}"),
    "response tools": (RESPONSES, '{"input":"a","tools":[', "{}", "]}"),
    "included": (RESPONSES, '{"input":"a","include":[', "#", "]}"),
    "prompts": ("/v1/completions", '{"prompt":[', "#", "]}"),
    "texts": ("/v1/embeddings", '{"model":"a","input":[', '"",#', "]}"),
    "tokens": ("/v1/embeddings", '{"model":"a","input":[', '[""]', "]}"),
    "feedback": ("/v1/feedback", "{", '"x#":1', "}"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_body_full_of_wrong_values_takes_little_time(gateway, name):
    path, *pieces = WRONG[name]
    served = gateway({"custom": Scripted(lambda _: "Hello.")})
    body = full(*pieces)
    started = time.process_time()  # of the server, which runs in this process
    answer = served.http.post(path, content=body, timeout=120)
    took = time.process_time() - started
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert took < MOST_S


def schemas(node):
    """All parts of a core schema of pydantic."""
    if isinstance(node, dict):
        if "type" in node:
            yield node
        for value in node.values():
            yield from schemas(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from schemas(value)


@pytest.mark.parametrize("body", BODIES, ids=lambda b: b.__name__)
def test_every_list_of_a_body_is_read_up_to_the_first_wrong_value(body):
    lists = [s for s in schemas(TypeAdapter(body).core_schema) if s["type"] == "list"]
    assert all(s.get("fail_fast") for s in lists)
    assert all(s.get("max_length") for s in lists if s["items_schema"]["type"] == "model")


def test_long_names_in_a_schema_take_no_memory():
    schema = {"x" * 30_000: {f"a{n}": {"b": {}} for n in range(4000)}}
    tracemalloc.start()
    try:
        assert "bytes" in excess(schema)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_deep_schema_is_named_by_the_beginning_of_its_place():
    deep: object = {}
    for _ in range(MOST_DEPTH + 5):
        deep = {"a" * 50: deep}
    why = excess(deep)
    assert why.startswith("schema.aaaa")
    assert "nested more than" in why
    assert len(why) < LONGEST + 60


@pytest.mark.parametrize("depth", [500, 900, 5_000, 150_000])
def test_deep_json_is_refused(gateway, depth):
    served = gateway({"custom": Scripted(lambda _: "Hello.")})
    for field in ("prediction", "metadata", "response_format", "messages"):
        body = '{"messages":[{"role":"user","content":"Hello?"}],"' + field + '":' + '{"a":' * depth + "1" + "}" * depth
        answer = served.http.post(CHAT, content=body + "}", timeout=60)
        assert answer.status_code == 400, field
    assert json.loads(served.http.get("/healthz").text) == {"status": "ok"}


def test_a_key_sends_so_many_megabytes_per_minute(gateway):
    served = gateway({"custom": Scripted(lambda _: "Hello.")}, key_mb_per_minute=2)
    older = {"role": "user", "content": "word " * 100_000}  # too old for a prompt, but the audit log keeps it
    codes = [served.http.post(CHAT, json={"messages": [older, older, USER]}).status_code for _ in range(4)]
    assert codes == [200, 200, 429, 429]
    refused = served.http.post(CHAT, json={"messages": [older, USER]})
    assert "2 MB per minute" in refused.json()["error"]["message"]
    assert int(refused.headers["retry-after"]) > 0
    assert served.http.get("/v1/models").status_code == 200
