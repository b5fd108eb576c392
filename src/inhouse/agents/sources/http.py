"""Operations of an HTTP service as tools.

What an answer says of a write's outcome:

======================= ============== ======================================================================
answer                  outcome        because
======================= ============== ======================================================================
2xx                     done           its body is the result
no connection           nothing done   nothing was sent
307, 308                nothing done   the service did not act, but says where to send the request instead
other 3xx               not known      after a POST they often mean that it was done; they are never followed
408, 499                not known      some gateways send them while the service behind them is still at work
409                     nothing done   a conflict, such as a time that is taken; not known if it speaks of the key
                                       ("idempotency"), as a request with the same key is still at work then
425, 429                nothing done   the service refuses to begin now
other 4xx               nothing done   the service refuses the request
5xx                     not known      it may have failed before, while, or after it acted
lost, late, too long    not known      the request was sent
======================= ============== ======================================================================

Reads change nothing, so all their failures are ToolErrors; they follow redirects within the same origin.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx

from inhouse.agents.sources import rules as common
from inhouse.agents.sources.openapi import BODY, KEY_HEADER, READS, Argument, Operation, read
from inhouse.agents.sources.results import MOST_BYTES
from inhouse.config.acting import OpenApi, Rules
from inhouse.errors import BackendError, ConfigError
from inhouse.tools import Caller, Tool, ToolError
from inhouse.types import Digest, Json

CONNECT_S = 5.0
MOST_REDIRECTS = 3
UNKNOWN = frozenset((408, 499))
NOT_DONE = frozenset((307, 308))
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol,
            httpx.LocalProtocolError, httpx.InvalidURL)  # fmt: skip
_SEPARATORS = {"spaceDelimited": " ", "pipeDelimited": "|"}


class Answer(NamedTuple):
    status: int
    kind: str  # the media type
    text: str
    moved: str  # where a redirect leads


class HttpTool:
    """A tool that calls an operation of a service.

    Args:
        operation: of the description.
        rules: of the settings.
        base: URL of the service, without a slash at its end.
        name: of the tool.
        token: bearer token; "" for none.
        place: where it stands in the settings.
    """

    def __init__(self, operation: Operation, rules: Rules, *, base: str, name: str, token: str, place: str) -> None:
        self.tool: Tool = common.tool_of(
            name, rules, default="read" if operation.method in READS else "write", origin="http", place=place,
            description=operation.description, parameters=operation.parameters,
        )  # fmt: skip
        self._operation, self._base, self._token = operation, base, token

    async def run(self, arguments: Mapping[str, Json], key: Digest, caller: Caller) -> Json:
        """The JSON of the answer, or its text; None for an empty one.

        Raises:
            ToolError: the arguments do not fit, or nothing was changed (see the module).
            BackendError: whether something was changed is not known.
        """
        common.check_arguments(self.tool, arguments)
        request = self._request(common.with_defaults(self.tool, arguments), key)
        try:
            async with asyncio.timeout(self.tool.timeout_s):
                answer = await self._answer(request)
        except TimeoutError as error:
            raise common.failure(self.tool, f"no answer within {self.tool.timeout_s:g} s") from error
        except NOT_SENT as error:
            raise ToolError(f"{self.tool.name}: the service cannot be reached ({_said(error)})") from error
        except httpx.HTTPError as error:
            raise common.failure(self.tool, f"the connection was lost ({_said(error)})") from error
        return self._result(answer)

    def _request(self, arguments: Mapping[str, Json], key: Digest) -> httpx.Request:
        """
        Raises:
            ToolError: an argument cannot be sent.
        """
        path, pairs, headers = self._operation.path, [], {"Accept": "application/json", "Accept-Encoding": "identity"}
        for argument in self._operation.arguments:
            if arguments.get(argument.name) is None:
                continue
            written = _written(argument, arguments[argument.name])
            if argument.place == "query":
                pairs += written
                continue
            value = ",".join(text for _, text in written)
            if argument.place == "path":
                if value in ("", ".", ".."):
                    raise ToolError(f"{self.tool.name}: {argument.name}: {value!r} is no part of a path")
                path = path.replace(f"{{{argument.name}}}", quote(value, safe=""))
            elif not (value.isascii() and value.isprintable()):
                raise ToolError(f"{self.tool.name}: {argument.name}: a header has printable ASCII characters alone")
            else:
                headers[argument.name] = value
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self.tool.effect == "write":
            headers[KEY_HEADER] = key
        body = {name: arguments[name] for name in self._operation.body if name in arguments}
        content = None
        if self._operation.body == (BODY,):
            content = body.get(BODY)
        elif self._operation.body:
            content = body
        try:
            return httpx.Request(
                self._operation.method, f"{self._base}{path}", params=tuple(pairs) or None, headers=headers,
                **({} if content is None else {"json": content}),
            )  # fmt: skip
        except (httpx.InvalidURL, ValueError) as error:  # a lone surrogate, say
            raise ToolError(f"{self.tool.name}: the arguments cannot be sent ({error})") from error

    async def _answer(self, request: httpx.Request) -> Answer:
        timeout = httpx.Timeout(self.tool.timeout_s, connect=min(CONNECT_S, self.tool.timeout_s))
        # One client for each call: a connection that was kept may be lost by the time it is used again.
        async with httpx.AsyncClient(timeout=timeout, verify=_certificates(), trust_env=False) as client:
            for _ in range(MOST_REDIRECTS + 1):
                response = await client.send(request, stream=True)
                try:
                    answer = await self._read(response)
                finally:
                    await response.aclose()
                if not answer.moved or self.tool.effect == "write" or request.method not in READS:
                    return answer
                target = request.url.join(answer.moved)
                if _origin(target) != _origin(request.url):
                    raise ToolError(f"{self.tool.name}: the service redirects to another host ({target.host})")
                request = httpx.Request(request.method, target, headers=request.headers)
        raise ToolError(f"{self.tool.name}: the service redirects more than {MOST_REDIRECTS} times")

    async def _read(self, response: httpx.Response) -> Answer:
        if response.headers.get("content-encoding", "identity") != "identity":  # what it unpacks to is not known
            raise common.failure(
                self.tool, f"status {response.status_code} with a compressed answer, which was not asked for"
            )
        data = bytearray()
        async for part in response.aiter_raw():
            data += part
            if len(data) > MOST_BYTES:
                what = f"status {response.status_code} with an answer of more than {MOST_BYTES:,} bytes"
                raise common.failure(self.tool, what)
        text = data.decode(response.charset_encoding or "utf-8", "replace")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        moved = response.headers.get("location", "") if response.has_redirect_location else ""
        return Answer(response.status_code, kind, text, moved)

    def _result(self, answer: Answer) -> Json:
        status = answer.status
        if 200 <= status < 300:
            if not answer.text.strip():
                return None
            if answer.kind != "application/json" and not answer.kind.endswith("+json"):
                return answer.text
            try:
                return json.loads(answer.text, parse_constant=_refuse)
            except (ValueError, RecursionError) as error:
                raise common.failure(self.tool, f"status {status} with an answer that is no JSON") from error
        raise self._refused(answer)

    def _refused(self, answer: Answer) -> BackendError:
        status = answer.status
        what = f"status {status} {_phrase(status)}: {_reason(answer)}".rstrip(": ")
        in_progress = status == 409 and "idempotency" in answer.text.lower()
        if status in NOT_DONE or (400 <= status < 500 and status not in UNKNOWN and not in_progress):
            return ToolError(f"{self.tool.name}: {what}")
        return common.failure(self.tool, what)


def tools(settings: OpenApi, root: Path, place: str) -> list[HttpTool]:
    """The tools of an OpenAPI description.

    Raises:
        ConfigError: the description or a setting is wrong; the message begins with `place`.
    """
    base, operations = read(settings, root, place)
    token = ""
    if settings.key_env:
        if settings.key_env not in os.environ:
            hint = f"run `export {settings.key_env}=...`, or remove key_env"
            raise ConfigError(f"{place}: key_env: environment variable {settings.key_env} is not set", hint)
        token = os.environ[settings.key_env]
        if not (token.isascii() and token.isprintable()) or not token:
            raise ConfigError(f"{place}: key_env: the value of {settings.key_env} is no token", "it is printable ASCII")
    rules = {operation.id: settings.rules.get(operation.id, Rules()) for operation in operations}
    return [
        HttpTool(
            operation, rules[operation.id], base=base, name=name_of(settings.name, operation.id), token=token,
            place=f"{place}: {operation.id}",
        )
        for operation in operations
    ]  # fmt: skip


def name_of(prefix: str, operation: str) -> str:
    """The name of an operation's tool."""
    return f"{prefix}_{''.join(c if (c.isascii() and c.isalnum()) or c in '_-' else '_' for c in operation)}"


def _written(argument: Argument, value: Json) -> list[tuple[str, str]]:
    """The value as pairs of a query; outside of queries only the texts count."""
    name = argument.name
    if argument.as_json:
        return [(name, json.dumps(value, ensure_ascii=False))]
    if isinstance(value, dict):
        if argument.style == "deepObject":
            return [(f"{name}[{key}]", _text(one)) for key, one in value.items()]
        if argument.explode and argument.place == "query":
            return [(key, _text(one)) for key, one in value.items()]
        mark = "=" if argument.explode else ","
        return [(name, ",".join(f"{key}{mark}{_text(one)}" for key, one in value.items()))]
    if isinstance(value, list):
        if argument.explode and argument.style == "form":
            return [(name, _text(one)) for one in value]
        return [(name, _SEPARATORS.get(argument.style, ",").join(map(_text, value)))]
    return [(name, _text(value))]


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _reason(answer: Answer) -> str:
    """What the service says of an error: its message, or the beginning of its text."""
    try:
        said = json.loads(answer.text)
    except (ValueError, RecursionError):
        said = "" if "html" in answer.kind else answer.text
    for _ in range(3):
        if isinstance(said, dict):
            said = next((said[k] for k in ("detail", "message", "error", "title") if said.get(k)), json.dumps(said))
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return " ".join(text.split())[: common.SHOWN]


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else ""


def _refuse(constant: str) -> Json:
    raise ValueError(constant)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")[: common.SHOWN]


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


@cache
def _certificates() -> ssl.SSLContext:
    """Loaded once, because that takes longer than a request to this machine."""
    return httpx.create_ssl_context()
