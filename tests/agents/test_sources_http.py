"""Operations of HTTP services as tools, against real servers on loopback: what is sent, and what each answer means."""

import asyncio
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from inhouse.agents.sources import http
from inhouse.config.acting import OpenApi, Rules
from inhouse.errors import BackendError, ConfigError
from inhouse.tools import Caller, ToolError

API = """
openapi: 3.0.3
info: {title: CRM, version: "1"}
paths:
  /bookings/{id}:
    parameters:
      - {name: id, in: path, required: true, schema: {type: string}}
    get:
      operationId: getBooking
      summary: A booking.
      x-inhouse-effect: write
      parameters:
        - {name: fields, in: query, schema: {type: array, items: {type: string}}}
        - {name: tags, in: query, explode: false, schema: {type: array, items: {type: string}}}
        - {name: filter, in: query, style: deepObject, schema: {type: object}}
        - {name: full, in: query, schema: {type: boolean}}
        - {name: where, in: query, content: {application/json: {schema: {type: object}}}}
        - {name: X-Desk, in: header, schema: {type: string}}
        - {name: Idempotency-Key, in: header, schema: {type: string}}
        - {name: session, in: cookie, schema: {type: string}}
    delete: {operationId: cancel.booking}
  /bookings:
    post:
      operationId: createBooking
      description: Book a time.
      x-inhouse-effect: read
      requestBody: {$ref: "#/components/requestBodies/Booking"}
  /notes:
    post:
      requestBody: {content: {application/json: {schema: {type: array, items: {type: string}}}}}
components:
  requestBodies:
    Booking: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Booking"}}}}
  schemas:
    Booking:
      type: object
      required: [id, day, price]
      properties:
        id: {type: string, readOnly: true}
        day: {$ref: "#/components/schemas/Day"}
        price: {type: number, minimum: 0, exclusiveMinimum: true}
        note: {type: string, nullable: true}
        guests: {type: array, items: {$ref: "#/components/schemas/Guest"}}
    Day: {type: string, format: date, example: 2026-12-02}
    Guest: {type: object, properties: {name: {type: string}, friends: {type: array, items: {$ref: "#/components/schemas/Guest"}}}}
"""
HUGE = 3_000_000


class Service(BaseHTTPRequestHandler):
    """Answers as `server.answer` says, and notes what it gets."""

    protocol_version = "HTTP/1.1"

    def _answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.got.append((self.command, self.path, dict(self.headers), body.decode()))
        answer = self.server.answer
        if callable(answer):
            answer = answer(self)
        if answer is None:  # the connection is lost
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        status, headers, text = answer
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _answer

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Starts servers that answer as told."""
    started = []

    def start(answer=(200, {}, b"{}")):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
        server.daemon_threads, server.answer, server.got = True, answer, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def tools(tmp_path):
    def make(url, text=API, file="crm.yaml", **more):
        (tmp_path / file).write_text(text)
        settings = OpenApi(name="crm", description=file, url=url, **more)
        return {one.tool.name: one for one in http.tools(settings, tmp_path, "[[openapi]] crm")}

    return make


def call(tool, key="k1", **arguments):
    return asyncio.run(tool.run(arguments, key, Caller()))


def booked(tools, url, **rules):
    made = tools(
        url,
        rules={
            "createBooking": Rules(**rules),
            "getBooking": Rules(**{k: v for k, v in rules.items() if k == "timeout_s"}),
        },
    )
    return made["crm_createBooking"], made["crm_getBooking"]


BOOKING = {"day": "2026-12-02", "price": 45}


# --- descriptions -----------------------------------------------------------------------------------------------


def test_operations_become_tools_with_schemas(tools):
    made = tools("http://127.0.0.1:1")
    assert list(made) == ["crm_getBooking", "crm_cancel_booking", "crm_createBooking", "crm_post_notes"]
    assert [one.tool.effect for one in made.values()] == ["read", "write", "write", "write"], (
        "whatever the description says"
    )
    get, create = made["crm_getBooking"].tool.parameters, made["crm_createBooking"].tool.parameters
    assert list(get["properties"]) == ["id", "fields", "tags", "filter", "full", "where", "X-Desk"]
    assert get["required"] == ["id"]
    assert create["properties"]["day"] == {"type": "string", "format": "date"}
    assert create["properties"]["price"] == {"type": "number", "exclusiveMinimum": 0}
    assert create["properties"]["note"] == {"type": ["string", "null"]}
    assert create["properties"]["guests"] == {"type": "array", "items": {"$ref": "#/$defs/Guest"}}
    assert create["$defs"]["Guest"]["properties"]["friends"]["items"] == {"$ref": "#/$defs/Guest"}
    assert create["required"] == ["day", "price"], "id is read-only"
    assert made["crm_post_notes"].tool.parameters["properties"] == {
        "body": {"type": "array", "items": {"type": "string"}}
    }
    assert made["crm_createBooking"].tool.description == "Book a time."


def test_settings_choose_operations_and_rules(tools):
    made = tools(
        "http://127.0.0.1:1",
        operations=("createBooking",),
        rules={"createBooking": Rules(approval="always", effect="read", idempotent=True)},
    )
    assert list(made) == ["crm_createBooking"]
    tool = made["crm_createBooking"].tool
    assert (tool.approval, tool.effect, tool.idempotent, tool.origin) == ("always", "read", True, "http")


def test_json_and_the_first_server(tools):
    data = yaml.safe_load(API.replace("example: 2026-12-02", "example: x")) | {
        "openapi": "3.1.0", "servers": [{"url": "https://{host}/v1/", "variables": {"host": {"default": "crm.example"}}}],
    }  # fmt: skip
    made = tools("", json.dumps(data), "crm.json")
    assert made["crm_createBooking"]._base == "https://crm.example/v1"


@pytest.mark.parametrize(("old", "new", "said"), [
    ("#/components/schemas/Day", "https://evil.example/day.json", "another file or address"),
    ("#/components/schemas/Day", "other.yaml#/Day", "another file or address"),
    ("#/components/schemas/Day", "#/components/schemas/None", "refers to nothing"),
    ("#/components/requestBodies/Booking", "#/paths/~1bookings/post/requestBody", "in a circle"),
    ("application/json: {schema: {type: array", "text/csv: {schema: {type: array", "only JSON is supported"),
    ("{name: session, in: cookie,", "{name: session, in: cookie, required: true,", "'session' in cookie is not supported"),
    ("{name: X-Desk, in: header", "{name: Host, in: header", "'Host' in header is not supported"),
    ("operationId: cancel.booking", "operationId: getBooking", "two operations have the ID 'getBooking'"),
    ("/bookings/{id}:", "/bookings/{id}/{part}:", "the path has 'part'"), ("{name: full, in: query", "{name: id, in: query", "two parameters have the name 'id'"),
    ("openapi: 3.0.3", "swagger: '2.0'", "no OpenAPI 3.0 or 3.1"), ("paths:", "paths: [", "OpenAPI|openapi|crm.yaml"),
    ("operationId: getBooking", f"operationId: {'x' * 70}", "not a valid tool name"), ("type: number", "type: money", "'money' is not valid"),
])  # fmt: skip
def test_descriptions_that_are_refused(tools, old, new, said):
    assert old in API
    with pytest.raises(ConfigError, match=rf"^\[\[openapi\]\] crm: .*{said}"):
        tools("http://127.0.0.1:1", API.replace(old, new))


@pytest.mark.parametrize(("more", "said"), [
    ({"operations": ("getBoking",)}, "operations: there is no operation 'getBoking'"), ({"rules": {"refund": Rules()}}, "rules: there is no operation 'refund'"),
    ({"key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"), ({"url": "ftp://x"}, "is no base URL"), ({"url": "http://user:pass@x/"}, "is no base URL"),
    ({"url": ""}, "is no base URL"), ({"file": "../crm.yaml"}, "outside the project"),
])  # fmt: skip
def test_settings_that_are_refused(tools, more, said):
    with pytest.raises(ConfigError, match=rf"^\[\[openapi\]\] crm: .*{said}"):
        tools(**({"url": "http://127.0.0.1:1"} | more))


def test_a_name_in_the_error_helps(tools):
    with pytest.raises(ConfigError) as caught:
        tools("http://127.0.0.1:1", operations=("getBoking",))
    assert "did you mean 'getBooking'?" in caught.value.hint


# --- requests ---------------------------------------------------------------------------------------------------


def test_what_a_read_sends(serve, tools, monkeypatch):
    monkeypatch.setenv("CRM_KEY", "s3cret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    server = serve((200, {}, b'{"id": "B-7", "price": 45.5}'))
    tool = tools(server.url + "/v1/", key_env="CRM_KEY")["crm_getBooking"]
    found = call(
        tool,
        id="a/b ?#%",
        fields=["x", "y"],
        tags=["p", "q"],
        filter={"day": "Mo"},
        full=True,
        where={"a": [1]},
        **{"X-Desk": "7"},
    )
    assert found == {"id": "B-7", "price": 45.5}
    ((method, path, headers, body),) = server.got
    assert (method, body) == ("GET", "")
    place, query = path.split("?")
    assert place == "/v1/bookings/a%2Fb%20%3F%23%25"
    assert query == "fields=x&fields=y&tags=p%2Cq&filter%5Bday%5D=Mo&full=true&where=%7B%22a%22%3A+%5B1%5D%7D"
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["X-Desk"] == "7"
    assert "Idempotency-Key" not in headers


def test_what_a_write_sends(serve, tools):
    server = serve((201, {}, b'{"id": "B-7"}'))
    made = tools(server.url)
    assert call(made["crm_createBooking"], key="abc", note=None, **BOOKING) == {"id": "B-7"}
    call(made["crm_post_notes"], body=["one"])
    (method, path, headers, body), notes = server.got
    assert (method, path, json.loads(body)) == ("POST", "/bookings", {"note": None, **BOOKING})
    assert headers["Idempotency-Key"] == "abc"
    assert "Authorization" not in headers
    assert json.loads(notes[3]) == ["one"]


@pytest.mark.parametrize("arguments", [
    {"id": ".."}, {"id": "."}, {"id": ""}, {}, {"id": 7}, {"id": "x", "X-Desk": "a\r\nHost: evil"}, {"id": "x", "more": 1},
    {"id": "x", "X-Desk": "é"}, {"id": "\ud800"}, {"id": "x", "Idempotency-Key": "mine"},
])  # fmt: skip
def test_arguments_that_cannot_be_sent(serve, tools, arguments):
    server = serve()
    with pytest.raises(ToolError):
        call(tools(server.url)["crm_getBooking"], **arguments)
    assert server.got == []


# --- answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "result"), [
    ((200, {}, b"[1, null]"), [1, None]), ((204, {}, b""), None), ((200, {}, b" "), None), ((200, {"Content-Type": "text/plain"}, "é".encode()), "é"),
    ((200, {"Content-Type": "application/hal+json; charset=utf-8"}, b"{}"), {}),
])  # fmt: skip
def test_results(serve, tools, answer, result):
    write, read = booked(tools, serve(answer).url)
    assert call(write, **BOOKING) == call(read, id="7") == result


DONE_NOTHING = [400, 401, 403, 404, 405, 409, 410, 412, 422, 423, 425, 428, 429, 451, 307, 308]
NOT_KNOWN = [301, 302, 303, 408, 499, 500, 501, 502, 503, 504, 599]


@pytest.mark.parametrize("status", [*DONE_NOTHING, *NOT_KNOWN])
def test_what_a_status_says_of_a_write(serve, tools, status):
    server = serve((status, {"Location": "/elsewhere"} if status < 400 else {}, b'{"detail": "the time is taken"}'))
    write, read = booked(tools, server.url)
    with pytest.raises(BackendError, match=f"status {status}.*the time is taken") as caught:
        call(write, **BOOKING)
    assert isinstance(caught.value, ToolError) == (status in DONE_NOTHING)
    assert len(server.got) == 1, "it was sent twice"
    if status >= 400:
        with pytest.raises(ToolError, match="the time is taken"):
            call(read, id="7")


def test_a_conflict_about_the_key_is_not_known(serve, tools):
    write, _ = booked(tools, serve((409, {}, b'{"title": "A request is outstanding for this Idempotency-Key"}')).url)
    with pytest.raises(BackendError, match="outstanding") as caught:
        call(write, **BOOKING)
    assert not isinstance(caught.value, ToolError)


@pytest.mark.parametrize(("body", "kind", "said"), [
    (b'{"error": {"message": "no such day"}}', "application/json", "no such day"), (b"plain words", "text/plain", "plain words"),
    (b"<html>stack trace</html>", "text/html", "Bad Request"), (b'{"odd": 1}', "application/json", '"odd": 1'), (b"[" * 5000, "application/json", "Bad Request"),
])  # fmt: skip
def test_what_the_service_says_is_in_the_error(serve, tools, body, kind, said):
    write, _ = booked(tools, serve((400, {"Content-Type": kind}, body)).url)
    with pytest.raises(ToolError) as caught:
        call(write, **BOOKING)
    assert said in str(caught.value)
    assert "stack trace" not in str(caught.value)
    assert len(str(caught.value)) < 400


def _slow(handler):
    time.sleep(1.5)
    return 200, {}, b"{}"


def _drips(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(20):
        handler.wfile.write(b" ")
        time.sleep(0.1)


def _breaks_off(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")


def _not_http(handler):
    handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")


@pytest.mark.parametrize(("answer", "said"), [
    (None, "connection was lost"), (_breaks_off, "connection was lost"), (_not_http, "connection was lost"), (_slow, r"no answer within 0\.5 s|ReadTimeout"),
    (_drips, r"no answer within 0\.5 s"), ((200, {}, b"x" * HUGE), "more than 1,000,000 bytes"), ((200, {}, b"{"), "is no JSON"),
    ((200, {}, b"[" * 100_000), "is no JSON"), ((200, {}, b"NaN"), "is no JSON"), ((200, {"Content-Encoding": "gzip"}, b"xx"), "compressed"),
])  # fmt: skip
def test_lost_late_and_large_answers(serve, tools, answer, said):
    server = serve((lambda handler: answer(handler)) if callable(answer) else answer)
    write, read = booked(tools, server.url, timeout_s=0.5)
    started = time.monotonic()
    with pytest.raises(BackendError, match=said) as caught:
        call(write, **BOOKING)
    assert not isinstance(caught.value, ToolError)
    assert "whether something was changed is not known" in str(caught.value)
    assert len(server.got) == 1, "it was sent twice"
    with pytest.raises(ToolError, match=said):
        call(read, id="7")
    assert time.monotonic() - started < 3


def test_no_connection_means_that_nothing_was_done(tools):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        write, _ = booked(tools, f"http://127.0.0.1:{unused.getsockname()[1]}")
    with pytest.raises(ToolError, match="cannot be reached"):
        call(write, **BOOKING)


def test_reads_follow_redirects_within_the_service_alone(serve, tools, monkeypatch):
    monkeypatch.setenv("CRM_KEY", "s3cret")
    elsewhere = serve((200, {}, b'"stolen"'))
    server = serve(lambda h: (200, {}, b'"here"') if h.path == "/new" else (302, {"Location": h.server.target}, b""))
    read = tools(server.url, key_env="CRM_KEY")["crm_getBooking"]
    server.target = "/new"
    assert call(read, id="7") == "here"
    for target in (
        elsewhere.url,
        f"//127.0.0.1:{elsewhere.server_port}/x",
        "http://[bad",
        "file:///etc/passwd",
        f"https://127.0.0.1:{server.server_port}/new",
    ):
        server.target = target
        with pytest.raises(ToolError):
            call(read, id="7")
    server.target = "/bookings/8"  # for ever
    with pytest.raises(ToolError, match="more than 3 times"):
        call(read, id="7")
    assert elsewhere.got == []


def test_writes_follow_no_redirect(serve, tools):
    elsewhere = serve()
    server = serve((307, {"Location": elsewhere.url + "/bookings"}, b""))
    write, _ = booked(tools, server.url)
    with pytest.raises(ToolError, match="status 307"):
        call(write, **BOOKING)
    assert elsewhere.got == []
    assert len(server.got) == 1
