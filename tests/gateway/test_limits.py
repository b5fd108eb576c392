"""What the gateway refuses, and that it survives what it is given."""

import asyncio
import json
import logging
import socket
import threading
import time

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inhouse.assembly.arms import Prompted
from inhouse.chat import Delta, Finish
from inhouse.errors import BackendError
from inhouse.gateway import middleware
from inhouse.gateway.limits import Queue, Rates
from inhouse.gateway.logs import JsonLines
from inhouse.models.scripted import Scripted
from inhouse.store.audit import Audit
from inhouse.store.keys import FRESH_S

CHAT = "/v1/chat/completions"


class Endless:
    """A ChatModel that talks until it is stopped."""

    name = "endless"

    def __init__(self):
        self.said = 0
        self.stopped = threading.Event()

    async def stream(self, request):
        try:
            while True:
                self.said += 1
                yield Delta(text="word ")
                await asyncio.sleep(0.01)
        finally:
            self.stopped.set()


class Slow(Endless):
    """One that says nothing for long."""

    async def stream(self, request):
        try:
            await asyncio.sleep(30)
            yield Finish(reason="stop")
        finally:
            self.stopped.set()


class Failing(Audit):
    """One that stops to write once a question was written."""

    async def append(self, exchange, settlement=None):
        raise BackendError("the disk is full")


class Full(Failing):
    async def begin(self, exchange):
        raise BackendError("the disk is full")


def raw(url, data, wait_s=10):
    """Sends bytes and reads until the server closes, or answers and keeps silent."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait_s) as wire:
        wire.sendall(data)
        got = b""
        while piece := wire.recv(65536):
            got += piece
    return got


def wait_for(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


# --- access -----------------------------------------------------------------------------------------------------


def test_every_route_but_health_needs_a_key(gateway):
    there = gateway()
    app = there.state
    paths = ["/v1/models", "/v1/models/x", "/v1/handoffs/x", "/metrics", "/openapi.json", "/docs", "/nothing"]
    for path in paths:
        assert httpx.get(there.url + path).status_code == 401, path
    for path in (CHAT, "/v1/embeddings", "/v1/feedback"):
        refused = httpx.post(there.url + path, content=b"not even json")
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"
        assert refused.headers["www-authenticate"] == "Bearer"
    assert httpx.get(there.url + "/healthz").json() == {"status": "ok"}
    assert httpx.get(there.url + "/readyz").json()["models"] == ["custom", "base"]
    app.draining = True
    assert httpx.get(there.url + "/readyz").status_code == 503
    assert there.http.get("/v1/models").status_code == 503
    assert httpx.get(there.url + "/healthz").status_code == 200
    app.draining = False


@pytest.mark.parametrize("header", ["", "Bearer", "Basic abc", "Bearer ih_x\x80", "bearer  ih_" + "a" * 5000, "ih_raw"])
def test_forged_keys(gateway, header):
    there = gateway()
    refused = httpx.get(there.url + "/v1/models", headers={"Authorization": header.encode("latin-1")})
    assert refused.status_code == 401
    assert there.secret not in refused.text


def test_expired_and_revoked_keys(gateway, monkeypatch):
    there = gateway()
    key, secret = there.keys.create("short", "user", expires_at="2030-01-01")
    headers = {"Authorization": f"Bearer {secret}"}
    assert httpx.get(there.url + "/v1/models", headers=headers).status_code == 200
    monkeypatch.setattr("inhouse.store.keys.now_ms", lambda: 2_000_000_000_000)
    assert httpx.get(there.url + "/v1/models", headers=headers).status_code == 401
    monkeypatch.undo()
    assert httpx.get(there.url + "/v1/models", headers=headers).status_code == 200
    there.keys.revoke(key.id)
    wait_for(lambda: httpx.get(there.url + "/v1/models", headers=headers).status_code == 401, FRESH_S + 1)


def test_metrics_need_an_admin_or_the_setting(gateway, ask):
    there = gateway(role="user")
    assert there.http.get("/metrics").status_code == 403
    there.http.post(CHAT, json=ask("a very private prompt"))
    admin = {"Authorization": f"Bearer {there.keys.create('boss', 'admin')[1]}"}
    text = httpx.get(there.url + "/metrics", headers=admin).text
    assert 'inhouse_answers_total{model="custom",reason="stop"} 1.0' in text
    assert f'inhouse_requests_total{{route="{CHAT}",status="200"}} 1.0' in text
    assert "private" not in text
    open_here = gateway(role="user", metrics_on_loopback=True)
    assert httpx.get(open_here.url + "/metrics").status_code == 200
    assert httpx.get(open_here.url + "/metrics", headers={"X-Forwarded-For": "9.9.9.9"}).status_code == 401


def test_a_keys_rate(gateway, ask):
    there = gateway(per_minute=3)
    codes = [there.http.post(CHAT, json=ask()).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]
    refused = there.http.get("/v1/models")
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"


def test_rates_let_through_what_they_say():
    now = [1000.0]
    rates = Rates(clock=lambda: now[0])
    assert [rates.take("a", 2).wait_s for _ in range(2)] == [0, 0]
    assert rates.take("a", 2).wait_s == pytest.approx(30)
    assert rates.take("b", 2).wait_s == 0
    now[0] += 30
    assert rates.take("a", 2).wait_s == 0
    assert rates.take("a", 2).wait_s > 0
    let_in = 0
    for _ in range(600):
        now[0] += 0.5
        let_in += rates.take("c", 60).wait_s == 0
    assert 300 <= let_in <= 360
    many = [rates.take(f"key {n}", 1).wait_s for n in range(3000)]
    assert many == [0] * 3000
    assert sum(rates.take(f"key {n}", 1).wait_s > 0 for n in range(3000)) > 2990


def test_groups_of_the_key_and_no_other_go_to_the_model(gateway, ask):
    asked = []
    there = gateway({"custom": Scripted(lambda r: asked.append(r) or "x")}, groups=("staff", "eu"))
    assert there.http.post(CHAT, json=ask(groups=["board"])).status_code == 400
    there.http.post(CHAT, json=ask(metadata={"groups": "board"}, user="board"), headers={"X-Groups": "board"})
    assert asked[0].groups == {"staff", "eu"}
    assert there.state.audit.find()[0][1].groups == {"staff", "eu"}


def test_headers_that_keep_browsers_out(gateway):
    there = gateway()
    got = httpx.options(
        there.url + CHAT, headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert "access-control-allow-origin" not in got.headers
    for answer in (got, there.http.get("/healthz"), there.http.get("/v1/models"), there.http.get("/nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"].startswith("req-")


@pytest.mark.parametrize("path", ["/v1/models/../../../../etc/passwd", "/v1/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/..%2f..%2fetc/passwd", "/v1/handoffs/..%2f..%2fledger.sqlite", "/console/static/..%2f..%2fapp.py", "//etc/passwd", "/v1/handoffs/%00"])  # fmt: skip
def test_path_traversal(gateway, path):
    there = gateway()
    got = raw(
        there.url,
        f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {there.secret}\r\nConnection: close\r\n\r\n".encode(),
    )
    assert got.split(b" ")[1] in (b"404", b"400"), got
    assert b"root:" not in got
    assert b"import" not in got


# --- size and time ----------------------------------------------------------------------------------------------


def test_oversized_bodies(gateway, ask):
    there = gateway(max_body_kb=2)
    assert there.http.post(CHAT, json=ask("x" * 3000)).status_code == 413
    told = there.http.post(CHAT, content=(b"x" * 500 for _ in range(10)), headers={"Content-Type": "application/json"})
    assert told.status_code == 413
    assert there.http.post(CHAT, json=ask("x" * 1000)).status_code == 200
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {there.secret}\r\nContent-Length: 99999999999999999999\r\n\r\n"
    assert b" 413 " in raw(there.url, head.replace("99999999999999999999", "9999999").encode())
    assert raw(there.url, head.encode()).split(b" ")[1] in (b"400", b"413")
    assert there.http.get("/healthz").status_code == 200


def test_slow_clients(gateway, monkeypatch):
    monkeypatch.setattr(middleware, "READ_S", 0.4)
    there = gateway()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {there.secret}\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    started = time.monotonic()
    assert b" 408 " in raw(there.url, head.encode() + b'{"mod')
    assert raw(there.url, head.encode()[:40]) == b""
    assert raw(there.url, b"") == b""
    assert time.monotonic() - started < 8


def test_a_client_that_leaves_stops_the_engine(gateway, ask):
    endless, slow = Endless(), Slow()
    wrapped = Prompted("outer", Prompted("inner", endless, lambda m: m), lambda m: m)
    there = gateway({"custom": wrapped, "slow": slow})
    with there.http.stream("POST", CHAT, json=ask(stream=True)) as answer:
        next(answer.iter_lines())
    assert endless.stopped.wait(10)
    with pytest.raises(httpx.ReadTimeout):
        there.http.post(CHAT, json=ask() | {"model": "slow"}, timeout=0.3)
    assert slow.stopped.wait(10)
    wait_for(lambda: [e.reason for _, e in there.state.audit.find()] == ["cancelled", "cancelled"])
    assert there.state.audit.find()[1][1].answer.startswith("word ")
    wait_for(lambda: there.state.queue.open == there.state.queue.running == 0)


def test_deadlines(gateway, ask):
    there = gateway({"custom": Endless(), "slow": Slow()}, deadline_s=0.4)
    for stream in (False, True):
        late = there.http.post(CHAT, json=ask(stream=stream) | {"model": "slow"})
        assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline")
    assert there.http.post(CHAT, json=ask()).status_code == 504
    events = there.http.post(CHAT, json=ask(stream=True)).text.strip().split("\n\n")
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "deadline"
    assert {e.reason for _, e in there.state.audit.find()} == {"error"}


def test_a_full_queue(gateway, ask):
    there = gateway({"custom": Scripted(lambda r: "x", seconds=1)}, parallel=1, waiting=1)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(there.http.post(CHAT, json=ask()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_for(lambda: there.state.queue.open == 2)
    for stream in (False, True):
        refused = there.http.post(CHAT, json=ask(stream=stream))
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
    for thread in threads:
        thread.join()
    assert [a.status_code for a in answers] == [200, 200]


async def test_a_queue_gives_places_back():
    queue = Queue(1, 1)
    for _ in range(3):
        with queue.admitted("a") as place:
            async with queue.slot(place):
                assert (queue.open, queue.running) == (1, 1)
    assert (queue.open, queue.running) == (0, 0)


@pytest.mark.parametrize("audit", [Full, Failing])
def test_an_audit_that_cannot_write_closes_the_gateway(gateway, ask, audit):
    there = gateway({"custom": Scripted(lambda r: "an answer")}, audit=audit)
    for stream in (False, True):
        refused = there.http.post(CHAT, json=ask("a secret", stream=stream))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "audit_unavailable")
        assert "an answer" not in refused.text
        assert int(refused.headers["retry-after"]) >= 1


def test_after_a_failure_a_model_is_asked_only_what_is_recorded(gateway, ask):
    asked = []
    there = gateway({"custom": Scripted(lambda r: asked.append(r) or "an answer")}, audit=Full)
    there.state.audit._writer.trouble = "the disk is full"
    assert there.http.post(CHAT, json=ask()).status_code == 503
    assert not asked


def test_logs_hold_no_prompt_and_no_secret(gateway, ask, caplog):
    there = gateway({"custom": Scripted(lambda r: "hush"), "bad": Scripted(lambda r: 1 / 0)})
    formatter = JsonLines()
    with caplog.at_level(logging.INFO, "inhouse"):
        there.http.post(CHAT + "?token=topsecret", json=ask("my private prompt"))
        there.http.post(CHAT, json=ask("my private prompt") | {"model": "bad"})
        there.http.post(CHAT, json=ask("my private prompt", temperature="my private prompt"))
        wait_for(lambda: [r.msg for r in caplog.records].count("request") == 3)  # logged after the reply is sent
    lines = [formatter.format(r) for r in caplog.records if r.name.startswith("inhouse")]
    assert any(json.loads(line).get("error") == "ZeroDivisionError" for line in lines)
    text = "\n".join(lines)
    assert "private" not in text
    assert "topsecret" not in text
    assert there.secret not in text


# --- nonsense ---------------------------------------------------------------------------------------------------

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
KEYS = ["model", "messages", "max_tokens", "temperature", "top_p", "stop", "n", "stream", "stream_options", "logprobs", "seed",
        "top_logprobs", "response_format", "tools", "tool_choice", "user", "functions", "input", "id", "thumb", "comment"]  # fmt: skip
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system", "assistant", "tool", "alien"]) | ANY, "content": ANY}
)
BODY = st.dictionaries(st.sampled_from(KEYS), ANY, max_size=6)


def test_malformed_bodies_never_make_a_500(gateway, ask):
    there = gateway()

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(
        path=st.sampled_from([CHAT, "/v1/embeddings", "/v1/feedback"]),
        body=BODY
        | st.builds(lambda b, m: {**b, "model": "custom", "messages": m}, BODY, st.lists(MESSAGE, max_size=3))
        | ANY,
        type=st.sampled_from(["application/json", "text/plain", "application/json; charset=utf-16", ""]),
    )
    def attempt(path, body, type):
        answer = there.http.post(path, content=json.dumps(body).encode(), headers={"Content-Type": type})
        assert answer.status_code < 500, (path, body)
        if answer.status_code >= 400:
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}

    attempt()
    for content in (
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"model": "custom", "messages": ' + b"9" * 5000 + b"}",
        b"NaN",
    ):
        assert there.http.post(CHAT, content=content, headers={"Content-Type": "application/json"}).status_code == 400
    half = json.dumps(ask("\ud800", user="\ud800", stop="\ud800"))
    assert there.http.post(CHAT, content=half.encode(), headers={"Content-Type": "application/json"}).status_code == 200
    tools = json.dumps(ask("x", tools=[{"type": "function", "function": {"name": "f", "description": "\ud800"}}]))
    assert (
        there.http.post(CHAT, content=tools.encode(), headers={"Content-Type": "application/json"}).status_code == 400
    )
    nul = there.http.post(CHAT, json=ask("a\x00b", user="\x00"))
    assert nul.status_code == 200


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(junk=st.binary(max_size=200))
def test_malformed_requests_never_make_a_500(shared, junk):
    url, secret = shared
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nConnection: close\r\n".encode()
    for data in (junk + b"\r\n\r\n", head + junk + b"\r\n\r\n", head + b"Transfer-Encoding: chunked\r\n\r\n" + junk):
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as wire:
            wire.sendall(data)
            wire.shutdown(socket.SHUT_WR)
            try:
                got = wire.recv(65536)
            except ConnectionError:
                got = b""
        assert not got.startswith(b"HTTP/1.1 5"), data


@pytest.fixture
def shared(gateway):
    there = gateway()
    return there.url, there.secret
