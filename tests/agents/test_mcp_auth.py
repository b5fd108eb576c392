"""OAuth with MCP servers: an authorization server and a server made with the SDK on loopback, and servers that lie.

In every refused case, the secret of the client and its tokens must not have reached whom they are not for, and must not
be in an error or a log.
"""

import asyncio
import base64
import json
import logging
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import parse_qs, urlsplit

import httpx2
import mcp_types as types
import pytest
import uvicorn
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.server.lowlevel import Server
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata

from inhouse.agents import mcp_lock
from inhouse.agents.mcp import Servers
from inhouse.agents.mcp_auth import Memory, Strict, told
from inhouse.agents.mcp_lock import Approved, Offer
from inhouse.config.acting import McpServer
from inhouse.tools import Caller, ToolError

SECRET, TOKEN = "client-s3cret-value", "t0ken-of-the-client"
NOTHING = {"type": "object", "properties": {}}


@contextmanager
def served(app):
    """The URL of an ASGI application on loopback."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, access_log=False, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


async def reply(send, status, body=b"", headers=()):
    body = json.dumps(body).encode() if isinstance(body, dict) else body
    kind = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": [*kind, *headers]})
    await send({"type": "http.response.body", "body": body})


async def body_of(receive):
    whole, more = b"", True
    while more:
        event = await receive()
        whole, more = whole + event.get("body", b""), event.get("more_body", False)
    return whole


class Authority:
    """An authorization server. `metadata` overrides what it says of itself; None removes it."""

    def __init__(self):
        self.url, self.metadata, self.redirects, self.refuses = "", {}, "", b""
        self.asked, self.paths, self.expires_in = [], [], 3600

    def said(self):
        usual = {
            "issuer": self.url, "authorization_endpoint": f"{self.url}/authorize", "token_endpoint": f"{self.url}/token",
            "response_types_supported": ["code"], "authorization_response_iss_parameter_supported": True,
        }  # fmt: skip
        return {k: v for k, v in {**usual, **self.metadata}.items() if v is not None}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        self.paths.append(scope["path"])
        if scope["path"] == "/.well-known/oauth-authorization-server":
            await reply(send, 200, self.said())
        elif scope["path"] == "/token":
            form = {k: v[0] for k, v in parse_qs((await body_of(receive)).decode()).items()}
            self.asked.append((form, dict(scope["headers"]).get(b"authorization", b"").decode()))
            if self.redirects:
                await reply(send, 307, headers=[(b"location", self.redirects.encode())])
            elif self.refuses:
                await reply(send, 400, self.refuses)
            else:
                await reply(send, 200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": self.expires_in})
        else:
            await reply(send, 404, {})


class Resource:
    """An MCP server that wants a token. `metadata` overrides what it says of itself; None removes it."""

    def __init__(self, authority):
        self.url, self.metadata, self.authority, self.published, self.challenge = "", {}, authority, True, ""
        self.bearers, self.calls = [], []

        async def tools(ctx, params):
            return types.ListToolsResult(tools=[types.Tool(name="book", description="Books.", input_schema=NOTHING)])

        async def call(ctx, params):
            self.calls.append(params.name)
            return types.CallToolResult(content=[types.TextContent(type="text", text="booked")])

        self._inner = Server("desk", on_list_tools=tools, on_call_tool=call).streamable_http_app()

    def said(self):
        usual = {"resource": f"{self.url}/mcp", "authorization_servers": [self.authority.url]}
        return {k: v for k, v in {**usual, **self.metadata}.items() if v is not None}

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["path"].startswith("/.well-known/oauth-protected-resource"):
            await (reply(send, 200, self.said()) if self.published else reply(send, 404, {}))
        elif scope["path"].startswith("/.well-known/"):
            await reply(send, 200, {**self.authority.said(), "token_endpoint": f"{self.url}/token"})
        elif scope["path"] == "/mcp":
            bearer = dict(scope["headers"]).get(b"authorization", b"").decode()
            self.bearers.append(bearer)
            if bearer == f"Bearer {TOKEN}":
                await self._inner(scope, receive, send)
                return
            where = self.challenge or f"{self.url}/.well-known/oauth-protected-resource/mcp"
            await reply(send, 401, {}, [(b"www-authenticate", f'Bearer resource_metadata="{where}"'.encode())])
        else:
            self.bearers.append((await body_of(receive)).decode())
            await reply(send, 200, {"access_token": TOKEN, "token_type": "Bearer"})


async def lifespan(receive, send):
    while True:
        event = await receive()
        await send({"type": f"{event['type']}.complete"})
        if event["type"] == "lifespan.shutdown":
            return


class World:
    """An authorization server, an MCP server that trusts it, and one that is neither's."""

    def __init__(self, folder):
        self.folder, self.authority, self.other = folder, Authority(), Authority()
        self.resource = Resource(self.authority)

    def servers(self, **more):
        table = {"name": "desk", "url": f"{self.resource.url}/mcp", "client_id": "inhouse", "scopes": ["book"],
                 "client_secret_env": "DESK_SECRET", "issuer": self.authority.url} | more  # fmt: skip
        offer = Offer(name="book", description="Books.", parameters=NOTHING)
        mcp_lock.write(self.folder, "desk", {"book": Approved(offer=offer, by="ada", at="2026-11-30")})
        return Servers([McpServer.model_validate(table)], self.folder, variables={"DESK_SECRET": SECRET})

    @asynccontextmanager
    async def client(self, **more):
        servers = self.servers(**more)
        try:
            yield servers
        finally:
            await servers.close()


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    with served(world.authority) as a, served(world.other) as o, served(world.resource) as r:
        world.authority.url, world.other.url, world.resource.url = a, o, r
        yield world


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog):
    caplog.set_level(logging.DEBUG)
    yield
    assert not any(secret in caplog.text for secret in (SECRET, TOKEN, "c0de-of-the-person"))


async def book(servers):
    return await servers.tools["desk_book"].run({}, "k1", Caller())


async def refused(world, why, **more):
    """Booking fails for this reason, and no secret went to a stranger or into the error."""
    async with world.client(**more) as servers:
        with pytest.raises(ToolError, match=why) as raised:
            await book(servers)
    shown = f"{raised.value} {raised.value.hint} {raised.value.__cause__}"
    assert SECRET not in shown
    assert TOKEN not in shown
    assert world.resource.calls == []
    seen = " ".join([*world.resource.bearers, str(world.other.asked)])
    basic = base64.b64encode(f"inhouse:{SECRET}".encode()).decode()
    assert SECRET not in seen
    assert basic not in seen
    return raised.value


# --- what works ---------------------------------------------------------------------------------------------------


async def test_a_client_signs_in_and_calls(world):
    async with world.client() as servers:
        assert await book(servers) == "booked"
        assert await book(servers) == "booked"
    ((form, basic),) = world.authority.asked  # once
    assert form == {"grant_type": "client_credentials", "scope": "book", "resource": f"{world.resource.url}/mcp"}
    assert base64.b64decode(basic.removeprefix("Basic ")).decode() == f"inhouse:{SECRET}"
    assert world.resource.calls == ["book", "book"]
    assert set(world.resource.bearers) == {"", f"Bearer {TOKEN}"}


async def test_an_expired_token_is_replaced_and_the_call_runs_once(world):
    world.authority.expires_in = 1
    async with world.client() as servers:
        await book(servers)
        await asyncio.sleep(1.2)
        await book(servers)
    assert len(world.authority.asked) >= 2
    assert world.resource.calls == ["book", "book"]


async def test_a_plain_key_needs_no_sign_in(world):
    async with world.client(client_id="", client_secret_env="", issuer="", scopes=[], key_env="DESK_SECRET") as servers:
        servers._sessions["desk"]._variables = {"DESK_SECRET": TOKEN}
        assert await book(servers) == "booked"
    assert world.authority.paths == []


# --- the issuer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["{other}", "{own}/", "{own}/tenant", "HTTP://127.0.0.1", None])
async def test_metadata_of_another_issuer_is_refused(world, said):
    """The text must be the same: another server, a slash more, another case, none."""
    given = said and said.format(other=world.other.url, own=world.authority.url)
    world.authority.metadata = {"issuer": given}
    await refused(world, "is of the issuer")
    assert world.authority.asked == []


async def test_credentials_are_not_sent_to_another_issuer(world):
    """The MCP server names an authorization server of its own choice, which describes itself correctly."""
    world.resource.metadata = {"authorization_servers": [world.other.url]}
    await refused(world, "names the authorization server .* the client is registered with")
    assert world.other.asked == []
    assert world.other.paths == []  # it was not even asked
    world.resource.metadata = {"authorization_servers": [world.other.url, world.authority.url]}
    async with world.client() as servers:  # ours is among them
        assert await book(servers) == "booked"
    assert world.other.paths == []


async def test_an_issuer_of_the_settings_that_is_not_the_servers_is_refused(world):
    await refused(world, "names the authorization server", issuer=world.other.url)
    assert world.authority.asked == []


# --- the resource -------------------------------------------------------------------------------------------------


async def test_metadata_without_a_resource_is_refused(world):
    for resource in (None, "", 5):
        world.resource.metadata = {"resource": resource}
        await refused(world, "does not name its resource")
    assert world.authority.asked == []


@pytest.mark.parametrize("resource", ["{other}/mcp", "{own}/admin", "{own}/mcp/other", "https://bank.example/mcp"])
async def test_metadata_of_another_resource_is_refused(world, resource):
    given = resource.format(other=world.other.url, own=world.resource.url)
    world.resource.metadata = {"resource": given}
    await refused(world, "is for the resource")
    assert world.authority.asked == []


async def test_a_server_without_metadata_is_refused(world):
    world.resource.published = False  # and offers a token endpoint itself, as servers did in 2025-03-26
    await refused(world, "no protected resource metadata")
    assert world.authority.asked == []


async def test_metadata_elsewhere_is_refused(world):
    world.resource.challenge = f"{world.other.url}/.well-known/oauth-protected-resource"
    await refused(world, "which is another server")
    assert world.other.paths == []


# --- the token endpoint -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ["http://as.example/token", None, "ftp://127.0.0.1/token"])
async def test_a_token_endpoint_without_https_is_refused(world, endpoint):
    world.authority.metadata = {"token_endpoint": endpoint}
    await refused(world, "the token endpoint .* is neither HTTPS nor on this machine")
    assert world.authority.asked == []


async def test_a_token_request_does_not_follow_to_another_host(world):
    world.authority.redirects = f"{world.other.url}/token"
    await refused(world, "Token exchange failed")
    assert world.other.asked == []


async def test_a_metadata_request_does_not_follow_to_another_host(world, monkeypatch):
    async def redirecting(scope, receive, send):
        if scope["type"] == "http" and "oauth-authorization-server" in scope["path"]:
            await reply(send, 302, headers=[(b"location", f"{world.other.url}{scope['path']}".encode())])
        else:
            await world.authority(scope, receive, send)

    with served(redirecting) as url:
        world.authority.url = url
        await refused(world, "not available")
    assert world.other.paths == []
    assert world.authority.asked == []


async def test_what_an_authorization_server_answers_is_not_shown(world):
    world.authority.refuses = json.dumps({"error": "invalid_client", "error_description": f"{SECRET} {TOKEN}"}).encode()
    error = await refused(world, r"Token exchange failed \(400\)$")
    assert "invalid_client" not in str(error)
    world.authority.refuses = b""
    world.authority.expires_in = {"access_token": TOKEN}  # not a number: the SDK's error repeats the answer
    await refused(world, "Invalid token response|OAuthTokenError")


# --- a person with a browser --------------------------------------------------------------------------------------


class Known(Memory):
    """Tokens of a client that is registered already."""

    def __init__(self, client):
        super().__init__()
        self._client = client

    async def get_client_info(self):
        return self._client


class Person(Strict, OAuthClientProvider):
    """A client for which a person signs in with a browser, as the SDK has it, under our rules."""

    def __init__(self, url, issuer, scopes, browser):
        known = {"redirect_uris": ["http://127.0.0.1:1/callback"], "token_endpoint_auth_method": "none",
                 "grant_types": ["authorization_code", "refresh_token"]}  # fmt: skip
        client = OAuthClientInformationFull(client_id="inhouse", issuer=issuer, **known)
        super().__init__(url, OAuthClientMetadata(**known), Known(client), browser.show, browser.answer)
        self.issuer, self.scopes = issuer, scopes


class Browser:
    """Brings back what `answer` says: the issuer and the state, "same" for those of the request."""

    def __init__(self, iss, state="same"):
        self.iss, self.state, self.asked = iss, state, {}

    async def show(self, url):
        self.asked = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}

    async def answer(self):
        state = self.asked["state"] if self.state == "same" else self.state
        return AuthorizationCodeResult(code="c0de-of-the-person", state=state, iss=self.iss)


async def sign_in(world, browser):
    url = f"{world.resource.url}/mcp"
    auth = Person(url, world.authority.url, ("book",), browser)
    async with (
        httpx2.AsyncClient(auth=auth, timeout=20) as http,
        Client(streamable_http_client(url, http_client=http), cache=None) as client,
    ):
        return await client.call_tool("book", {})


def leaf(error):
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def test_a_person_signs_in_with_pkce(world):
    browser = Browser(world.authority.url)
    assert (await sign_in(world, browser)).content[0].text == "booked"
    assert browser.asked["code_challenge_method"] == "S256"
    assert browser.asked["resource"] == f"{world.resource.url}/mcp"
    ((form, basic),) = world.authority.asked
    assert form["resource"] == f"{world.resource.url}/mcp"
    assert form["code_verifier"]
    assert not basic


@pytest.mark.parametrize("iss", ["{other}", "{own}/", "https://AS.example", "", None])
async def test_an_answer_of_another_issuer_is_refused(world, iss):
    given = iss and iss.format(other=world.other.url, own=world.authority.url)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - groups of groups
        await sign_in(world, Browser(given))
    assert "iss" in told(leaf(raised.value))
    assert world.authority.asked == []  # the code was not redeemed
    assert world.resource.calls == []


async def test_an_answer_to_another_request_is_refused(world):
    with pytest.raises(Exception) as raised:  # noqa: PT011
        await sign_in(world, Browser(world.authority.url, state="st4te"))
    assert told(leaf(raised.value)) == "State parameter mismatch"
    assert world.authority.asked == []
