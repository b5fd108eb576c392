"""The gateway over real parts: an index with documents of several groups, the embedded engine, a trace receiver."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from inhouse.assembly.bounded import Bounded
from inhouse.config.sections import Assistant, Model, Retrieval
from inhouse.errors import BackendError
from inhouse.gateway.metrics import Traces
from inhouse.models.llama import LlamaEngine
from inhouse.models.scripted import Scripted
from inhouse.retrieval.grounded import Grounded, Grounding
from inhouse.retrieval.index import build_index
from inhouse.retrieval.search import Index
from inhouse.text.support import LexicalSupport
from inhouse.types import Document, Silent

CHAT = "/v1/chat/completions"
DOCUMENTS = [
    Document(source="wires.md", title="Wires", text="# Wires\n\n## Cost\n\nAn outgoing wire costs $21.50."),
    Document(source="staff/waivers.md", title="Waivers", text="# Waivers\n\n## Limit\n\nA teller may waive up to $31.",
             access=frozenset({"staff"})),
]  # fmt: skip


@pytest.mark.slow
def test_another_groups_document_is_not_shown(gateway, ask, embedder, tmp_path):
    build_index(DOCUMENTS, embedder, Retrieval(), tmp_path / "index", None, Silent())
    grounding = Grounding(Index(tmp_path / "index", embedder), embedder, Retrieval(), Assistant())
    prompts = []
    inner = Scripted(lambda r: prompts.append(r.messages[-1].content) or "A teller may waive up to $31.")
    there = gateway({"custom": Grounded(inner, grounding, LexicalSupport("", embedder), name="rag")}, role="user")
    questions = [
        "What may a teller waive?",
        "Waivers: the limit?",
        "Show staff/waivers.md",
        "groups: staff. teller waive $31",
    ]
    for question in questions:
        body = ask(question, user="staff", metadata={"groups": "staff"})
        plain = there.http.post(CHAT, json=body, headers={"X-Groups": "staff"}).json()
        assert "staff/waivers.md" not in json.dumps(plain["inhouse"])
        streamed = there.http.post(CHAT, json={**body, "stream": True}).text
        assert "staff/waivers.md" not in streamed
        assert "$31" not in prompts[-1].rpartition("Question:")[0]
    staff = {"Authorization": f"Bearer {there.keys.create('staff', 'user', ['staff'])[1]}"}
    ours = there.http.post(CHAT, json=ask(questions[0]), headers=staff).json()["inhouse"]
    assert ours["passages"][0]["source"] == "staff/waivers.md"
    assert ours["citations"][0]["source"] == "staff/waivers.md"


@pytest.mark.slow
def test_the_embedded_engine(gateway, ask, weights):
    engine = LlamaEngine(weights / "model.gguf", Model(context_tokens=512, parallel=1))
    try:
        there = gateway({"base": engine.model("base"), "custom": engine.model("custom")})
        create = there.client.chat.completions.create
        reply = create(**ask("Say hello."), max_tokens=6, logprobs=True, top_logprobs=3, seed=1)
        assert len(reply.choices[0].logprobs.content) == 6
        assert len(reply.choices[0].logprobs.content[0].top_logprobs) == 3
        assert (reply.choices[0].finish_reason, reply.usage.completion_tokens) == ("length", 6)
        assert 0 < reply.inhouse["confidence"] <= 1
        stopped = create(**ask("Count: one, two, three"), max_tokens=40, stop=[" "])
        assert " " not in stopped.choices[0].message.content
        schema = {
            "type": "object",
            "properties": {"a": {"type": "boolean"}},
            "required": ["a"],
            "additionalProperties": False,
        }
        format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        chunks = create(**ask("JSON"), max_tokens=40, response_format=format, stream=True)
        assert set(json.loads("".join(c.choices[0].delta.content or "" for c in chunks))) == {"a"}
        for bad in (
            {"max_tokens": 5} | ask("word " * 900),
            ask(response_format={"type": "json_schema", "json_schema": {"schema": {"type": "zzz"}}}),
        ):
            assert there.http.post(CHAT, json=bad).status_code == 400
        # One conversation at a time: when a client leaves amid a long answer, the next is not kept waiting for its end.
        with there.http.stream("POST", CHAT, json=ask("Tell a long story.", stream=True, max_tokens=400)) as story:
            next(story.iter_lines())
        create(**ask("Hi"), max_tokens=2)
        kept = {e.reason: e for _, e in there.state.audit.find() if e.reason == "cancelled"}
        assert 0 < len(kept["cancelled"].answer.split()) < 200
    finally:
        engine.close()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        return None


def test_traces_by_the_genai_conventions_and_only_where_an_endpoint_is_set(gateway, ask, monkeypatch):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    def failing(request):
        raise BackendError("no")

    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.got = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        there = gateway({"custom": Scripted(lambda r: "private answer"), "bad": Scripted(failing)})
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        there.state.traces = Traces()
        parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        there.http.post(CHAT, json=ask("private question", max_tokens=7), headers={"traceparent": parent})
        there.http.post(CHAT, json=ask() | {"model": "bad"})
        there.state.traces.close()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    spans = [
        span
        for path, body in server.got
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
        if path == "/v1/traces"
    ]
    assert [span.name for span in spans] == ["chat custom", "chat bad"]
    assert spans[0].trace_id.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    told = {a.key: a.value for a in spans[0].attributes}
    assert told["gen_ai.operation.name"].string_value == "chat"
    assert told["gen_ai.request.max_tokens"].int_value == 7
    assert told["gen_ai.usage.output_tokens"].int_value == 2
    assert [v.string_value for v in told["gen_ai.response.finish_reasons"].array_value.values] == ["stop"]
    assert "error.type" in {a.key for a in spans[1].attributes}
    assert b"private" not in b"".join(body for _, body in server.got)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
    quiet = Traces()
    assert quiet._provider is None


@pytest.mark.parametrize("role", ["system", "developer"])
def test_who_may_send_a_system_message_is_a_setting(gateway, role):
    said = [{"role": role, "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    refusing = gateway(role="user", system_from=("admin",))
    refused = refusing.http.post("/v1/chat/completions", json={"messages": said})
    assert refused.status_code == 403
    assert refused.json()["error"]["param"] == "messages[0].role"
    assert refusing.http.post("/v1/chat/completions", json={"messages": said[1:]}).status_code == 200
    assert gateway(role="user").http.post("/v1/chat/completions", json={"messages": said}).status_code == 200


def test_a_conversation_that_is_too_long_is_named_with_the_limit(gateway):
    model = Bounded(Scripted(lambda r: "Yes."), 512)
    refused = gateway({"custom": model}).http.post(
        "/v1/chat/completions", json={"messages": [{"role": "user", "content": "many words " * 40_000}]}
    )
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert "512 tokens" in error["message"]
