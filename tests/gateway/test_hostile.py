"""Bodies made to keep the server busy: full of wrong values, deep, or with names as long as the body."""

import contextlib
import gzip
import json
import logging
import re
import socket
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from pydantic import TypeAdapter

from inhouse.gateway.completions import CompletionBody
from inhouse.gateway.embeddings import EmbeddingBody
from inhouse.gateway.responses import ResponsesBody
from inhouse.gateway.wire import ChatBody, FeedbackBody
from inhouse.models.scripted import Scripted
from inhouse.schema import LONGEST, MOST_DEPTH, excess

BODIES = (ChatBody, ResponsesBody, CompletionBody, EmbeddingBody, FeedbackBody)
MOST_S = 4  # of a machine that does other work; without the limits it takes minutes
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


# --- on the wire ------------------------------------------------------------------------------------------------


def chunked(body: bytes, size: bytes | None = None) -> bytes:
    return (size or f"{len(body):x}".encode()) + b"\r\n" + body + b"\r\n0\r\n\r\n"


ASK = json.dumps({"messages": [USER]}).encode()
CHUNKED = "Transfer-Encoding: chunked"
DEEP = b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BOMB = gzip.compress(bytes(50_000_000))
WIRE = {  # name: lines of the head, body
    "gzip": (["Content-Encoding: gzip", f"Content-Length: {len(BOMB)}"], BOMB),
    "gzip in gzip": (["Content-Encoding: gzip", CHUNKED], chunked(gzip.compress(BOMB))),
    "two codings": (["Content-Encoding: gzip, gzip", CHUNKED], chunked(gzip.compress(BOMB))),
    "deflate": (["Content-Encoding: deflate", CHUNKED], chunked(zlib.compress(bytes(50_000_000)))),
    "half of gzip": (["Content-Encoding: gzip", CHUNKED], chunked(BOMB[:1000])),
    "length and chunks": ([f"Content-Length: {len(ASK)}", CHUNKED], chunked(ASK)),
    "two lengths": (["Content-Length: 5", f"Content-Length: {len(ASK)}"], ASK),
    "negative length": (["Content-Length: -1"], ASK),
    "length with a sign": ([f"Content-Length: +{len(ASK)}"], ASK),
    "huge length": ([f"Content-Length: {'9' * 400}"], ASK),
    "wrong chunk": ([CHUNKED], chunked(ASK, b"5")),
    "chunk without a number": ([CHUNKED], chunked(ASK, b"xyz")),
    "huge chunk": ([CHUNKED], chunked(ASK, b"f" * 40)),
    "unknown transfer": (["Transfer-Encoding: identity, chunked, gzip", "Content-Length: 3"], ASK),
    "spaced name": (["Content-Length : 3"], ASK),
    "many headers": ([f"x-{n}: y" for n in range(10_000)], b""),
    "long header": ([f"x: {'y' * 200_000}"], b""),
    "not UTF-8": ([f"Content-Length: {len(ASK) + 1}"], ASK.replace(b"Hello", b"\xff\xfe\x80o!o")),
    "deep": ([f"Content-Length: {len(DEEP)}"], DEEP),
}


def sent(url: str, data: bytes, ends: bool = True) -> bytes:
    """What comes back until the server closes, once the client has sent all (and says so, if it ends there)."""
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=20) as wire:
        got = b""
        with contextlib.suppress(OSError):
            wire.sendall(data)
            if ends:
                wire.shutdown(socket.SHUT_WR)
            while more := wire.recv(65536):
                got += more
    return got


def answered(got: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3})", got)]


@pytest.mark.parametrize("name", [*WIRE, "all together"])
def test_hostile_requests_stop_nobody(gateway, name, caplog):
    there = gateway({"custom": Scripted(lambda _: "Hello.")})
    key = there.keys.create("hostile", "user")[1]
    head = [f"POST {CHAT} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", "Content-Type: application/json"]
    tried = [WIRE[name]] if name in WIRE else list(WIRE.values())
    with ThreadPoolExecutor(8) as threads:
        wires = ["\r\n".join([*head, *more, "", ""]).encode() + body for more, body in tried]
        for got in threads.map(lambda data: sent(there.url, data), wires):
            codes = answered(got)
            assert all(400 <= code < 500 for code in codes), got[:300]
            assert len(codes) < 2, "one request, one answer"
        assert there.http.post(CHAT, json={"messages": [USER]}).json()["choices"][0]["message"]["content"] == "Hello."
    assert not [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "line", ["GET /", "GET " + "/" * 100_000 + " HTTP/1.1", "GET /\xff HTTP/1.1", "G\0T / HTTP/1.1"]
)
def test_hostile_request_lines(gateway, line):
    got = sent(gateway().url, f"{line}\r\nHost: x\r\n\r\n".encode("latin-1"))
    assert all(400 <= code < 500 for code in answered(got)), got[:300]


def test_pipelined_requests_get_an_answer_each(gateway):
    there = gateway({"custom": Scripted(lambda _: "Hello.")})
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {there.secret}\r\nContent-Length: {len(ASK)}\r\n\r\n"
    )
    got = sent(
        there.url, (head.encode() + ASK) * 30 + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False
    )
    assert answered(got) == [200] * 31


NUMBERS = ("1e999999", "9" * 4000, "-1", "NaN", "Infinity", "-0.0", "1e-400", "0x10")
FIELDS = ("max_tokens", "max_completion_tokens", "seed", "temperature", "top_p")


@pytest.mark.parametrize("field", FIELDS)
def test_hostile_numbers(gateway, field):
    there = gateway({"custom": Scripted(lambda _: "Hello.")})
    for number in NUMBERS:
        answer = there.http.post(CHAT, content=f'{{{ASKED}"{field}":{number}}}')
        assert answer.status_code in (200, 400), (number, answer.text)
        if answer.status_code == 200:
            assert number in ("-0.0", "1e-400", "9" * 4000, "-1"), number
