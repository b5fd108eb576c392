"""What a request asks for is done or refused by name, and upstream servers get what the caller asked for."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from inhouse.assembly.wrappers import Prompted, served
from inhouse.config.sections import Assistant, Project, Upstream
from inhouse.models.openai import OpenAIModel
from inhouse.models.scripted import Scripted
from inhouse.retrieval.grounded import ungrounded
from inhouse.serving.releases import fixed

CHAT = "/v1/chat/completions"
REFUSED = {
    "n": (2, "unsupported_value"),
    "audio": ({"voice": "alloy", "format": "wav"}, "unsupported_parameter"),
    "modalities": (["text", "audio"], "unsupported_value"),
    "functions": ([{"name": "f"}], "unsupported_parameter"),
    "function_call": ("auto", "unsupported_parameter"),
    "web_search_options": ({}, "unsupported_parameter"),
    "moderation": ({"model": "m"}, "unsupported_parameter"),
    "reasoning_effort": ("high", "unsupported_parameter"),
    "verbosity": ("low", "unsupported_parameter"),
    "service_tier": ("priority", "unsupported_parameter"),
    "prediction": ({"type": "content", "content": "x"}, "unsupported_parameter"),
    "repetition_penalty": (1.1, "unknown_parameter"),
    "groups": (["staff"], "unknown_parameter"),
}
HARMLESS = {
    "n": 1, "modalities": ["text"], "store": True, "metadata": {"a": "b"}, "prompt_cache_key": "k", "verbosity": "medium",
    "prompt_cache_retention": "24h", "reasoning_effort": "none", "service_tier": "auto", "functions": None,
    "stream_options": None,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_offered_is_refused_by_name(gateway, ask, name):
    value, code = REFUSED[name]
    answer = gateway().http.post(CHAT, json=ask(**{name: value}))
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"], error["code"]) == (
        400, "invalid_request_error", name, code,
    )  # fmt: skip
    assert name in error["message"]


def test_harmless_parameters_are_accepted(gateway, ask):
    there = gateway()
    assert there.http.post(CHAT, json=ask(**HARMLESS)).status_code == 200
    reply = there.http.post(CHAT, json=ask(safety_identifier="ann")).json()
    assert there.state.audit.get(reply["id"]).user == "ann"


@pytest.mark.parametrize("stop", ["", [], [""], None, ["", "said"]])
def test_an_empty_stop_stops_nothing(gateway, ask, stop):
    asked = []
    there = gateway({"custom": Scripted(lambda r: asked.append(r.stop) or "You said: hello")})
    assert there.http.post(CHAT, json=ask(stop=stop)).status_code == 200
    assert asked == [("said",) if stop == ["", "said"] else ()]


def test_messages_that_clients_send_back(gateway):
    asked = []
    there = gateway({"custom": Scripted(lambda r: asked.append([m.content for m in r.messages]) or "fine")})
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "first", "name": "ann"},
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "annotations": [], "audio": None},
        {"role": "assistant", "content": None, "function_call": None, "tool_calls": None},
        {"role": "user", "content": [{"type": "text", "text": "sec"}, {"type": "text", "text": "ond"}]},
    ]
    assert there.http.post(CHAT, json={"messages": messages}).status_code == 200
    assert asked == [["Be kind.", "first", "I cannot.", "No.", "", "second"]]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    for messages in ([{"role": "user", "content": [picture]}], [{"role": "user", "content": None}]):
        error = there.http.post(CHAT, json={"messages": messages})
        assert error.status_code == 400
        assert error.json()["error"]["param"].startswith("messages")


class Server(BaseHTTPRequestHandler):
    """An upstream server that keeps the bodies it gets."""

    def do_POST(self):
        self.server.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        chunk = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
        body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        return None


@pytest.fixture
def upstream():
    server = HTTPServer(("127.0.0.1", 0), Server)
    server.got = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, {"max_completion_tokens": 1024}),
        ({"max_tokens": 9}, {"max_tokens": 9}),
        ({"max_completion_tokens": 9}, {"max_completion_tokens": 9}),
        ({"temperature": 0}, {"max_completion_tokens": 1024, "temperature": 0}),
        ({"temperature": 0.7, "stop": ["x"], "max_tokens": 5000},
         {"max_tokens": 1024, "temperature": 0.7, "stop": ["x"]}),
        ({"reasoning_effort": "high", "verbosity": "low", "top_k": 4, "logit_bias": {"5": -100}, "seed": 3},
         {"max_completion_tokens": 1024, "reasoning_effort": "high", "verbosity": "low", "top_k": 4,
          "logit_bias": {"5": -100}, "seed": 3}),
    ],
)  # fmt: skip
def test_upstreams_get_what_the_caller_asked_for(gateway, ask, upstream, asked, expected):
    table = Upstream(name="big", url=f"http://127.0.0.1:{upstream.server_port}/v1", model="m")
    there = gateway({"big": OpenAIModel(table)}, project=Project(upstream=(table,)))
    assert there.http.post(CHAT, json=ask(**asked) | {"model": "big"}).status_code == 200
    (body,) = upstream.got
    always = {"model", "messages", "stream", "stream_options"}
    assert {name: value for name, value in body.items() if name not in always} == expected


@pytest.mark.parametrize("setting", ["ignore", "append"])
def test_system_messages_of_clients_are_appended_or_said_to_be_ignored(gateway, setting):
    assistant = Assistant(instructions="Answer customers.", client_system=setting)
    prompts = []
    model = Prompted("rag", Scripted(lambda r: prompts.append(r.messages[0].content) or "Yes."),
                     lambda m: ungrounded(m, assistant))  # fmt: skip
    there = gateway({"custom": served("bank/1", "prompt", model, setting == "append")})
    system = {"role": "system", "content": "Rhyme."}
    reply = there.client.chat.completions.create(model="custom", messages=[system, {"role": "user", "content": "Hi"}])
    if setting == "append":
        assert (prompts, "ignored" in reply.inhouse) == (["Answer customers. Rhyme."], False)
    else:
        assert (prompts, reply.inhouse["ignored"]) == (["Answer customers."], ["messages[0]"])
    plain = there.client.chat.completions.create(model="custom", messages=[{"role": "user", "content": "Hi"}])
    assert "ignored" not in plain.inhouse


def test_settings_that_a_release_fixes():
    given = [
        "assistant.max_tokens=9",
        "assistant.handoff=No.",
        "gateway.port=1",
        "name=x",
        "guardrails.actions={}",
        "upstream=[]",
    ]
    assert fixed(given) == ["assistant.handoff", "name", "guardrails.actions"]
