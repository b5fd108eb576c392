"""Signing in to MCP servers with OAuth 2.1: the SDK's flows, and what must hold before a secret is sent anywhere.

inhouse signs in as a machine, with a client ID and secret. `Strict` holds for flows with a browser too.

A client is registered with one authorization server, its issuer, which the settings name. A server that is not ours
says where its authorization server is, so that is where an attack starts. Refused, before credentials are sent:

- metadata of the server without `resource`, or for another resource, and a server without any (RFC 9728)
- a server that names another authorization server than the issuer of the settings
- metadata of the authorization server for another `issuer`, compared as text (RFC 8414), and an `iss` of another one
  in the authorization response (RFC 9207)
- a token endpoint that is not the one of the issuer's metadata, and plain HTTP, except to this machine
- metadata anywhere else than at the server and at the issuer

Tokens stay in memory. The SDK puts what an authorization server answers into messages and logs, which may be tokens:
`told` has what may be shown of an error, and the log of the SDK is off.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import httpx2
from mcp.client.auth import OAuthClientProvider, OAuthFlowError
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken, ProtectedResourceMetadata
from mcp.shared.auth_utils import check_resource_allowed, resource_url_from_server_url

LOOPBACK = ("127.0.0.1", "::1", "localhost")
METADATA = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")

logging.getLogger("mcp.client").setLevel(logging.CRITICAL)  # it logs tokens, arguments, and results


class Refused(OAuthFlowError):
    """What an MCP server or its authorization server says would send a secret where it does not belong."""


def told(error: BaseException) -> str:
    """An error of a flow in words that hold no secret: of the SDK's own, only what comes before details."""
    return str(error) if isinstance(error, Refused) else str(error).partition(": ")[0][:200]


def secure(url: str) -> bool:
    """Whether secrets may be sent to a URL: by HTTPS, or to this machine."""
    try:
        parts = httpx2.URL(url)  # as what sends them reads it
    except httpx2.InvalidURL:
        return False
    return bool(parts.host) and (parts.scheme == "https" or (parts.scheme == "http" and parts.host in LOOPBACK))


class Memory:
    """Keeps the tokens of a process. Who we are at the issuer is known to the provider."""

    def __init__(self) -> None:
        self._tokens: OAuthToken | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self._tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self._tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return None

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        raise Refused("a client that is not registered is not registered by the way; set client_id")


if TYPE_CHECKING:
    _Provider = OAuthClientProvider
else:
    _Provider = object


class Strict(_Provider):
    """Looks at every request of a flow before it is sent, and at every answer before it is believed."""

    issuer: str
    scopes: tuple[str, ...]
    _token_endpoint = ""

    async def _auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        flow = super()._auth_flow(request)
        try:
            outgoing = await anext(flow)
            while True:
                if outgoing is not request:
                    self._admit(outgoing)
                response = yield outgoing
                if outgoing is not request and outgoing.method == "GET" and response.status_code == 200:
                    self._believe(str(outgoing.url), await response.aread())
                outgoing = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    def _admit(self, outgoing: httpx2.Request) -> None:
        """Raises:
        Refused: the request goes where it must not.
        """
        url = str(outgoing.url)
        if not secure(url):
            raise Refused(f"{_bare(url)} is neither HTTPS nor on this machine")
        if outgoing.method != "GET":
            if not self._token_endpoint or url != self._token_endpoint:
                raise Refused(f"{_bare(url)} is not the token endpoint of {self.issuer}")
            return
        if not _of_issuer(url):
            if _origin(url) != _origin(self.context.server_url):
                raise Refused(f"the metadata of the server is at {_bare(url)}, which is another server")
        elif self.context.protected_resource_metadata is None:
            raise Refused("the server has no protected resource metadata, so what a token is for is not known")
        elif _origin(url) != _origin(self.issuer):
            raise Refused(f"the metadata of {self.issuer} is at {_bare(url)}, which is another server")

    def _believe(self, url: str, content: bytes) -> None:
        """Raises:
        Refused: metadata is not that of the server or of the issuer.
        """
        try:
            said: dict[str, Any] = dict(json.loads(content))
        except (ValueError, TypeError):
            raise Refused(f"{_bare(url)} has no metadata") from None
        if not _of_issuer(url):
            resource, expected = said.get("resource"), resource_url_from_server_url(self.context.server_url)
            if not isinstance(resource, str) or not resource:
                raise Refused(f"{_bare(url)} does not name its resource")
            if not check_resource_allowed(requested_resource=expected, configured_resource=resource):
                raise Refused(f"{_bare(url)} is for the resource {resource[:200]}, not {expected}")
            return
        self._token_endpoint = ""
        if said.get("issuer") != self.issuer:
            raise Refused(f"{_bare(url)} is of the issuer {str(said.get('issuer'))[:200]}, not {self.issuer}")
        endpoint = said.get("token_endpoint")
        if not isinstance(endpoint, str) or not secure(endpoint):
            raise Refused(f"the token endpoint of {self.issuer} is neither HTTPS nor on this machine")
        self._token_endpoint = str(httpx2.URL(endpoint))

    async def _perform_authorization(self) -> httpx2.Request:
        """Asks for the scopes of the settings, where there are any; the SDK would ask for what the server wishes."""
        if self.scopes:
            self.context.client_metadata.scope = " ".join(self.scopes)
        return await super()._perform_authorization()

    async def _validate_resource_match(self, prm: ProtectedResourceMetadata) -> None:
        """Done by `_believe`, on the text that was sent."""

    def _select_authorization_server(self, advertised: list[str]) -> str:
        if self.issuer not in advertised:
            named = ", ".join(advertised)[:200]
            raise Refused(f"the server names the authorization server {named}; the client is registered with "
                          f"{self.issuer}")  # fmt: skip
        return self.issuer


class Machine(Strict, ClientCredentialsOAuthProvider):
    """A client that signs in by itself, with its secret."""

    def __init__(self, url: str, issuer: str, client_id: str, secret: str, scopes: tuple[str, ...]) -> None:
        super().__init__(url, Memory(), client_id, secret, issuer=issuer)
        self.issuer, self.scopes = issuer, scopes


def _of_issuer(url: str) -> bool:
    return any(part in url for part in METADATA)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = httpx2.URL(url)
    return parts.scheme, parts.host, parts.port


def _bare(url: str) -> str:
    """A URL without what may be a secret."""
    return str(httpx2.URL(url).copy_with(userinfo=b"", query=None, fragment=None))[:200]
