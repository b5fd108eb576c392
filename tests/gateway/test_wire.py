"""HTTP as clients speak it: errors as OpenAI words them, methods, CORS, bodies, and a log that stays JSON."""

import gzip
import json
import os
import socket
import subprocess
import sys
import time
import zlib
from contextlib import ExitStack

import httpx
import pytest

from inhouse.models.scripted import Scripted

CHAT = "/v1/chat/completions"
HI = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(("body", "message", "code", "param"), [
    ({}, "Missing required parameter: 'messages'.", "missing_required_parameter", "messages"),
    ({"messages": []}, "Invalid 'messages': empty array.", "empty_array", "messages"),
    ({"messages": "hi"}, "Invalid type for 'messages': expected an array, but got a string instead.", "invalid_type", "messages"),
    ({"messages": [HI, {"role": "user", "content": 5}]}, "Invalid type for 'messages[1].content': expected one of a string or an array, but got an integer instead.", "invalid_type", "messages[1].content"),
    ({"messages": [{"role": "alien", "content": "x"}]}, "Invalid value for 'messages[0].role'. Supported values are: 'system', 'developer'", "invalid_value", "messages[0].role"),
    ({"messages": [{"content": "x"}]}, "Missing required parameter: 'messages[0].role'.", "missing_required_parameter", "messages[0].role"),
    ({"messages": [HI], "temperature": 3}, "Invalid 'temperature': decimal above maximum value. Expected a value <= 2", "decimal_above_max_value", "temperature"),
    ({"messages": [HI], "temperature": "hot"}, "Invalid type for 'temperature': expected a decimal, but got a string instead.", "invalid_type", "temperature"),
    ({"messages": [HI], "max_tokens": 0}, "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1", "integer_below_min_value", "max_tokens"),
    ({"messages": [HI], "user": "x" * 600}, "Invalid 'user': string above maximum length 512.", "string_above_max_length", "user"),
    ([1], "Invalid type for 'body': expected an object, but got an array instead.", "invalid_type", None),
])  # fmt: skip
def test_errors_as_openai_words_them(gateway, body, message, code, param):
    there = gateway()
    answer = there.http.post(CHAT, json=body)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["message"].startswith(message)
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)


def test_errors_of_routes_and_keys(gateway, ask):
    there = gateway()
    broken = there.http.post(CHAT, content=b'{"messages": [', headers={"Content-Type": "application/json"})
    assert broken.json()["error"]["message"].startswith("We could not parse the JSON body of your request.")
    unknown = there.http.post(CHAT, json=ask() | {"model": "gpt-9"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    nowhere = there.http.get("/v1/nothing")
    assert (nowhere.status_code, nowhere.json()["error"]["message"]) == (404, "Invalid URL (GET /v1/nothing)")
    wrong = there.http.get(CHAT)
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "OPTIONS, POST")
    assert wrong.json()["error"]["code"] == "method_not_supported"
    for header, said in (({}, "You didn't provide"), ({"Authorization": "Bearer ih_no"}, "Incorrect API key provided")):
        refused = httpx.get(there.url + "/v1/models", headers=header)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert refused.json()["error"]["message"].startswith(said)


def test_methods_and_slashes(gateway, ask):
    there = gateway()
    head = there.http.head("/v1/models")
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "application/json")
    assert int(head.headers["content-length"]) > 10
    assert httpx.head(there.url + "/healthz").status_code == 200
    assert httpx.head(there.url + "/v1/models").status_code == 401
    options = httpx.options(there.url + CHAT)
    assert (options.status_code, options.headers["allow"], options.content) == (204, "OPTIONS, POST", b"")
    assert there.http.post(CHAT + "/", json=ask()).status_code == 200
    assert there.http.get("/v1/models/").status_code == 200


def test_cors_is_off_unless_set(gateway, ask):
    origin = "https://app.example.com"
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    shut = gateway()
    assert "access-control-allow-origin" not in httpx.options(shut.url + CHAT, headers=asked).headers
    assert "access-control-allow-origin" not in shut.http.post(CHAT, json=ask(), headers={"Origin": origin}).headers
    there = gateway(cors_origins=(origin,))
    before = httpx.options(there.url + CHAT, headers=asked)
    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, origin)
    assert before.headers["access-control-allow-headers"] == "authorization"
    for answer in (
        there.http.post(CHAT, json=ask(), headers={"Origin": origin}),
        httpx.post(there.url + CHAT, json=ask(), headers={"Origin": origin}),  # the page can read the 401
    ):
        assert answer.headers["access-control-allow-origin"] == origin
        assert "x-ratelimit-remaining-requests" in answer.headers["access-control-expose-headers"]
    other = httpx.options(there.url + CHAT, headers=asked | {"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers


def deflated(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def test_compressed_bodies(gateway, ask):
    there = gateway(max_body_kb=64)
    data = json.dumps(ask("hello")).encode()

    def post(body, coding):
        return there.http.post(
            CHAT, content=body, headers={"Content-Encoding": coding, "Content-Type": "application/json"}
        )

    for body, coding in ((gzip.compress(data), "gzip"), (zlib.compress(data), "deflate"), (deflated(data), "deflate"), (data, "identity")):  # fmt: skip
        assert post(body, coding).json()["choices"][0]["message"]["content"] == "You said: hello"
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 64 * 1024
    started = time.monotonic()
    assert post(bomb, "gzip").status_code == 413
    assert time.monotonic() - started < 3
    assert post(b"nothing packed", "gzip").status_code == 400
    assert post(gzip.compress(data)[:-9], "gzip").status_code == 400
    assert post(gzip.compress(data) * 2, "gzip").status_code == 400
    refused = post(data, "br")
    assert (refused.status_code, refused.headers["accept-encoding"]) == (415, "gzip, deflate")


@pytest.mark.parametrize("kind", ["text/plain", "text/plain;charset=UTF-8", "", "application/x-www-form-urlencoded", "application/json; charset=iso-8859-1", "application/json; charset=utf-16"])  # fmt: skip
def test_a_body_is_json_whatever_its_type_says(gateway, ask, kind):
    there = gateway()
    charset = kind.partition("charset=")[2] or "utf-8"
    data = json.dumps(ask("Grüße"), ensure_ascii=False).encode(charset)
    request = there.http.build_request("POST", CHAT, content=data)
    request.headers.pop("content-type", None)
    if kind:
        request.headers["content-type"] = kind
    answer = there.http.send(request)
    assert answer.json()["choices"][0]["message"]["content"] == "You said: Grüße"
    assert (
        there.http.post(CHAT, content=data, headers={"Content-Type": "text/plain; charset=punycode"}).status_code == 415
    )


LOGGING = """
import logging, os, sys, threading, warnings
from pathlib import Path
from inhouse.gateway import server
sys.argv[1:] = [sys.argv[1], "0", "1"]
exec(Path(sys.argv[1], "program.py").read_text().partition("if len(sys.argv) > 4")[0])

def noise():
    warnings.warn("a warning")
    print("a print", file=sys.stderr)
    logging.getLogger("some.library").error("a library's error\\nwith a second line")
    os.write(2, b"native code\\n")
    threading.Thread(target=lambda: 1 / 0).start()

bound = server.listen("127.0.0.1", 0)
print(server.address_of(bound), flush=True)
server.serve(state(), bound, noise)
"""


def test_the_log_stays_json(tmp_path, ask):
    from tests.gateway.test_processes import PROGRAM

    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "noise.py").write_text(LOGGING)
    command = [sys.executable, str(tmp_path / "noise.py"), str(tmp_path)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
        ExitStack() as ending,
    ):
        ending.callback(process.kill)
        host, port = process.stdout.readline().strip().removeprefix("http://").split(":")
        for junk in (b"\x16\x03\x01\x02\x00\x01\x00", b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", os.urandom(200)):
            with socket.create_connection((host, int(port)), timeout=20) as wire:
                wire.sendall(junk + b"\r\n\r\n")
                wire.shutdown(socket.SHUT_WR)
                answer = wire.recv(65536)
                assert not answer or json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["type"]
        process.terminate()
        errors = process.stderr.read()
    lines = [json.loads(line) for line in errors.splitlines()]
    told = json.dumps(lines)
    for said in (
        "a warning",
        "a print",
        "a library's error",
        "native code",
        "ZeroDivisionError",
        "Invalid HTTP request",
    ):
        assert said in told, said
    assert "with a second line" not in told


def test_slow_models_do_not_matter_to_head(gateway):
    there = gateway({"custom": Scripted(lambda r: "x", seconds=5)})
    assert there.http.head(CHAT).status_code == 405
