"""A model elsewhere behind its policy: real servers that answer, cut, stall, and garble, and what the client sees."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from inhouse.assembly.guard import Parts
from inhouse.assembly.private import border_of
from inhouse.assembly.routes import upstreams
from inhouse.assembly.workspace import Workspace
from inhouse.config.private import Private
from inhouse.config.sections import Project, Storage, Upstream
from inhouse.errors import ConfigError
from inhouse.models.scripted import Scripted
from inhouse.store.egress import what_left

TEXT = "My name is Anna Weber, mail anna.weber@corp.com, phone +49 151 2345678, card 4111 1111 1111 1111."
MEANT = "My name is Anna Weber, mail anna.weber@corp.com, phone +49 151 2345678, card [card number removed]."


class Handler(BaseHTTPRequestHandler):
    """An OpenAI-compatible server that echoes the last message as text and as arguments of a tool, in small pieces."""

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        if self.server.mode == "busy":
            self.send_response(400)
            self.end_headers()
            self.wfile.write(
                b'{"error": {"message": "I do not know ' + body["messages"][-1]["content"].encode() + b'"}}'
            )
            return
        if self.server.mode == "fails":
            self.send_response(501)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        if self.server.mode == "stalls":
            time.sleep(3)
        text = body["messages"][-1]["content"]
        for n, piece in enumerate(pieces(text, 7)):
            if n == 9 and self.server.mode in ("cuts", "garbles"):
                time.sleep(1)  # what came before is sent to the client meanwhile
            if n == 9 and self.server.mode == "garbles":
                self.wfile.write(b"data: {not json\n\n")
                return
            if n == 9 and self.server.mode == "cuts":
                return
            self.say({"content": piece})
        if self.server.mode == "calls":
            said = json.dumps({"note": text}, ensure_ascii=True)
            self.say(
                {
                    "tool_calls": [
                        {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
                    ]
                }
            )
            for piece in pieces(said, 5):
                self.say({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        self.say({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")

    def say(self, delta, reason=None):
        chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()


def pieces(text, seed):
    chance, at = random.Random(seed), 0
    while at < len(text):
        size = chance.randint(1, 6)
        yield text[at : at + size]
        at += size


@pytest.fixture
def remote():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.mode, server.bodies = "answers", []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def served(gateway, remote, models_dir, tmp_path):
    """A gateway with the model `cloud`: served(groups) -> the gateway."""

    def start(groups=("staff",), **settings):
        table = Private(upstream="cloud", groups={"staff": "surrogates", "open": "clear"}, **settings)
        url = f"http://127.0.0.1:{remote.server_address[1]}/v1"
        project = Project(
            upstream=(Upstream(name="cloud", url=url, model="m"),), private=(table,), store=Storage(path=str(tmp_path))
        )
        local = Scripted(lambda r: "A model here answers.", name="custom")
        border = border_of(Parts(Workspace(project), project))
        models = {"custom": local, **upstreams(project.upstream, lambda name: local, border)}
        return gateway(models, groups=groups, project=project)

    return start


def stream(running, text=TEXT):
    """The text of a streamed answer, its arguments of tools, and its error."""
    said, arguments, error = "", "", None
    body = {"model": "cloud", "messages": [{"role": "user", "content": text}], "stream": True}
    with running.http.stream("POST", "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                chunk = json.loads(line[6:])
                error = chunk.get("error") or error
                for choice in chunk.get("choices", ()):
                    said += choice["delta"].get("content") or ""
                    for call in choice["delta"].get("tool_calls") or ():
                        arguments += call["function"].get("arguments") or ""
    return said, arguments, error


def left_nothing(remote):
    everything = json.dumps(remote.bodies).lower()
    return not [v for v in ("anna", "weber", "corp.com", "2345678", "1111") if v in everything]


def recorded(running):
    (_, exchange), *_ = running.state.audit.find(limit=1)
    assert running.state.audit.verify().ok
    return exchange, what_left(running.ledger, exchange=exchange.id)


def test_the_client_sees_its_own_values_and_the_server_elsewhere_none(served, remote):
    running = served()
    remote.mode = "calls"
    text, arguments, error = stream(running)
    assert (text, json.loads(arguments), error) == (MEANT, {"note": MEANT}, None)
    assert left_nothing(remote)
    exchange, (left,) = recorded(running)
    assert exchange.answer.startswith(MEANT)
    assert left.egress.replaced == {"EMAIL": 1, "PERSON": 1, "PHONE": 1}
    assert left.egress.removed == {"CARD_NUMBER": 1}

    body = {"model": "cloud", "messages": [{"role": "user", "content": TEXT}]}
    plain = running.http.post("/v1/chat/completions", json=body).json()
    assert plain["choices"][0]["message"]["content"] == MEANT
    assert plain["inhouse"]["private"]["egress"]["policy"] == "surrogates"


@pytest.mark.parametrize("mode", ["fails", "stalls"])
def test_a_server_that_says_nothing_is_replaced_by_the_model_here(served, remote, mode):
    running = served(timeout_s=0.5 if mode == "stalls" else 20)
    remote.mode = mode
    assert stream(running) == ("A model here answers.", "", None)
    exchange, left = recorded(running)
    assert (exchange.reason, exchange.answer) == ("stop", "A model here answers.")
    assert len(left) == 1  # it was sent all the same
    assert left_nothing(remote)


@pytest.mark.parametrize("mode", ["cuts", "garbles"])
def test_an_answer_that_breaks_off_ends_in_an_error_and_stays_as_it_was(served, remote, mode):
    running = served()
    remote.mode = mode
    text, _, error = stream(running)
    assert error["code"] == "model_failed"
    assert text
    exchange, left = recorded(running)
    assert exchange.reason == "error"
    assert exchange.answer.startswith(text)  # and what was not sent any more
    assert MEANT.startswith(exchange.answer)
    assert len(left) == 1


def test_the_console_shows_what_an_exchange_sent(served, remote):
    running = served()
    stream(running)
    exchange, (left,) = recorded(running)
    token = re.search('name="csrf" value="([^"]+)"', running.http.get("/console/sign-in").text)[1]
    running.http.post("/console/sign-in", data={"key": running.secret, "csrf": token})
    page = running.http.get("/console/audit/exchange", params={"id": exchange.id}).text
    shown = page.partition("What left this machine")[2].partition("</section>")[0]
    assert left.egress.sha256 in shown
    assert "1 CARD_NUMBER" in shown
    assert not [v for v in ("Anna", "4111", "2345678") if v in shown]


def test_a_rejection_is_told_in_the_clients_words(served, remote):
    running = served()
    remote.mode = "busy"
    body = {"model": "cloud", "messages": [{"role": "user", "content": "I am Anna Weber"}]}
    response = running.http.post("/v1/chat/completions", json=body)
    assert response.status_code == 400
    assert "I do not know I am Anna Weber" in response.json()["error"]["message"]


def test_groups_decide_what_leaves(served, remote):
    assert stream(served(groups=())) == ("A model here answers.", "", None)
    assert remote.bodies == []
    running = served(groups=("open",))
    without_card = TEXT.replace("4111 1111 1111 1111", "[card number removed]")
    assert stream(running)[0] == without_card
    assert remote.bodies[0]["messages"][-1]["content"] == without_card
    assert recorded(running)[1][0].egress.policy == "clear"


@pytest.mark.parametrize(
    ("tables", "message"),
    [([Private(upstream="x")], "there is no \\[\\[upstream\\]\\] of this name"),
     ([Private(upstream="cloud"), Private(upstream="cloud")], "has two tables"),
     ([Private(upstream="cloud", never=("NAME",))], "there is no kind 'NAME'"),
     ([Private(upstream="cloud", local="x")], "'x' is not a model of this machine")],
)  # fmt: skip
def test_wrong_tables_are_refused(tables, message):
    project = Project(upstream=(Upstream(name="cloud", url="http://127.0.0.1:1/v1"),), private=tuple(tables))
    with pytest.raises(ConfigError, match=message):
        border_of(Parts(Workspace(project), project))
