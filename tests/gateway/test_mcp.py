"""inhouse as an MCP server, asked by the SDK's client in both eras, over HTTP and over standard input."""

import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from inhouse.config.sections import Assistant, Project
from inhouse.errors import BackendError
from inhouse.gateway.console.seams import Match
from inhouse.models.scripted import Scripted
from inhouse.store.audit import Audit
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.types import Chunk

PROGRAM = Path(__file__).with_name("mcp_program.py")
ERAS = {"legacy": "2025-11-25", "auto": "2026-07-28"}
HEADERS = {"accept": "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25"}


@pytest.fixture(params=sorted(ERAS))
def era(request):
    return request.param


@asynccontextmanager
async def over_http(url, secret, era):
    headers = {"authorization": f"Bearer {secret}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=era) as client,
    ):
        assert client.protocol_version == ERAS[era]
        yield client


def text(result):
    (block,) = result.content
    return block.text


class Documents:
    """An index of two passages, one of them for a group."""

    def search(self, query, k, groups):
        chunks = [
            Chunk(document="1", source="fees.md", title="Fees", start=0, end=9, text="A wire is $20.", heading="Wires"),
            Chunk(document="2", source="board.md", title="Board", start=0, end=9, text="Secret.", heading="",
                  access=frozenset({"board"})),
            Chunk(document="3", source="forum.html", title="Forum", start=0, end=9, text="Wires are free!", heading="",
                  trust="external"),
        ]  # fmt: skip
        readable = [c for c in chunks if not c.access or c.access & groups]
        return [Match(chunk=c, score=1, dense=1, text=1) for c in readable][:k]


async def test_the_tools_are_listed_with_their_hints(gateway, era):
    server = gateway(role="user")
    async with over_http(server.url, server.secret, era) as client:
        tools = {t.name: t for t in (await client.list_tools()).tools}
        assert tools.keys() == {"search", "ask", "hand_over"}
        assert tools["search"].annotations.read_only_hint
        assert not tools["hand_over"].annotations.read_only_hint
        assert all(t.annotations.destructive_hint is False and t.description for t in tools.values())
        assert tools["ask"].input_schema["required"] == ["question"]


async def test_an_answer_is_recorded_like_every_other(gateway, era):
    server = gateway(role="user", groups=["staff"])
    async with over_http(server.url, server.secret, era) as client:
        assert text(await client.call_tool("ask", {"question": "What is a wire?"})) == "You said: What is a wire?"
    ((_, exchange),) = server.state.audit.find()
    assert (exchange.key, exchange.model, exchange.answer) == (server.key.id, "custom", "You said: What is a wire?")
    assert exchange.groups == frozenset({"staff"})
    assert exchange.reason == "stop"


async def test_a_declined_answer_goes_to_the_inbox(gateway, era):
    sentence = "A colleague will help you."
    project = Project(assistant=Assistant(handoff=sentence))
    server = gateway({"custom": Scripted(lambda r: sentence)}, role="user", project=project)
    async with over_http(server.url, server.secret, era) as client:
        said = text(await client.call_tool("ask", {"question": "Who are you?"}))
    (waiting,) = server.state.inbox.all("waiting")
    assert said == f"{sentence}\n\nA person takes over; the hand-off is {waiting.id}."


async def test_passages_are_those_of_the_callers_groups(gateway, era):
    for groups, sources in (([], ["fees.md", "forum.html"]), (["board"], ["fees.md", "board.md", "forum.html"])):
        server = gateway(role="user", groups=groups)
        server.state.insight = Documents()
        async with over_http(server.url, server.secret, era) as client:
            said = text(await client.call_tool("search", {"query": "wires"}))
            assert [s for s in ("fees.md", "board.md", "forum.html") if s in said] == sources
            assert "[1] Fees > Wires (fees.md)\nA wire is $20." in said
            assert "forum.html, external: others may have written it" in said
            assert text(await client.call_tool("search", {"query": "wires", "k": 1})).count("[") == 1


async def test_a_question_is_handed_over(gateway, era):
    server = gateway(role="user", groups=["staff"], key_handoffs_per_hour=1)
    async with over_http(server.url, server.secret, era) as client:
        said = text(await client.call_tool("hand_over", {"question": "May I have a refund?"}))
        (waiting,) = server.state.inbox.all("waiting")
        assert waiting.id in said
        assert (waiting.messages[0].content, waiting.reason, waiting.groups) == (
            "May I have a refund?", "requested", ("staff",),
        )  # fmt: skip
        again = await client.call_tool("hand_over", {"question": "And another?"})
        assert again.is_error
        assert "1 conversations per hour go to a person" in text(again)
    assert len(server.state.inbox.all()) == 1
    server.state.inbox.answer(waiting.id, "Yes.", "ada")
    assert server.http.get(f"/v1/handoffs/{waiting.id}").json()["answer"] == "Yes."


async def test_errors_are_said(gateway, era):
    def breaks(request):
        raise RuntimeError("a secret of the engine")

    server = gateway({"custom": Scripted(breaks)}, role="user")
    async with over_http(server.url, server.secret, era) as client:
        for name, arguments, why in (
            ("ask", {}, "question: Field required"),
            ("ask", {"question": 5}, "question: Input should be a valid string"),
            ("ask", {"question": "x", "role": "admin"}, "role: Extra inputs are not permitted"),
            ("search", {"query": "x", "k": 1000}, "k: Input should be less than or equal to 20"),
            ("search", {"query": "x"}, "there is no index"),
            ("ask", {"question": "x"}, "internal server error"),
        ):
            result = await client.call_tool(name, arguments)
            assert result.is_error
            assert text(result) == why
        with pytest.raises(MCPError, match="there is no tool drop_tables"):
            await client.call_tool("drop_tables", {})
    assert [e.reason for _, e in server.state.audit.find()] == ["error"]


def test_without_a_key_nothing_is_said(gateway):
    server = gateway()
    for secret in ("", "Bearer ih_wrong"):
        answer = httpx2.post(
            f"{server.url}/mcp", headers=HEADERS | {"authorization": secret},
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        )  # fmt: skip
        assert answer.status_code == 401
    assert server.http.get("/mcp").status_code == 405
    assert server.http.delete("/mcp").status_code == 405


async def test_the_limits_of_a_key_hold(gateway):
    server = gateway(role="user", per_minute=2)
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    codes = [server.http.post("/mcp", headers=HEADERS, json=body).status_code for _ in range(4)]
    assert codes == [200, 200, 429, 429]


class Failing(Audit):
    async def append(self, exchange, settlement=None):
        raise BackendError("the disk is full")


async def test_what_cannot_be_recorded_is_not_answered(gateway, era):
    server = gateway(role="user", audit=Failing)
    async with over_http(server.url, server.secret, era) as client:
        for name in ("ask", "hand_over"):
            result = await client.call_tool(name, {"question": "x"})
            assert result.is_error
            assert text(result) == "the audit log is not available, so no answer is given"
    assert not server.state.inbox.all()


def test_a_server_may_do_without_it(gateway):
    server = gateway(mcp=False)
    assert server.http.post("/mcp", json={}, headers=HEADERS).status_code == 404


# --- over standard input ------------------------------------------------------------------------------------------


async def test_a_program_asks_over_standard_input(tmp_path, era):
    ledger = Ledger(ledger_url(tmp_path))
    keys = Keys(ledger)
    key, _ = keys.create("desktop", "user", ["staff"])
    program = StdioServerParameters(command=sys.executable, args=[str(PROGRAM), str(tmp_path), key.id],
                                    env={"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    async with Client(program, mode=era) as client:
        assert client.protocol_version == ERAS[era]
        assert text(await client.call_tool("ask", {"question": "hi"})) == "You said: hi"
        assert "in the inbox" in text(await client.call_tool("hand_over", {"question": "help"}))
        keys.revoke(key.id)
        refused = await client.call_tool("ask", {"question": "hi"})
        assert refused.is_error
        assert "is revoked or expired" in text(refused)
    audit = Audit(ledger)
    exchanges = [e for _, e in audit.find()]
    assert {(e.key, e.model) for e in exchanges} == {(key.id, "custom"), (key.id, "person")}
    assert {e.groups for e in exchanges} == {frozenset({"staff"})}
    assert len(Inbox(ledger).all("waiting")) == 1
    audit.close()
    ledger.close()
