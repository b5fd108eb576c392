"""The body of a request: read whole within limits of size and time, decompressed, and as UTF-8."""

from __future__ import annotations

import asyncio
import zlib
from email.message import Message as Header

from starlette.types import Message, Receive, Scope

from inhouse.gateway.errors import HttpError

CHARSETS = ("utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252", "utf-16", "utf-16le", "utf-16be",
            "utf-32")  # fmt: skip
WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "x-gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}


async def read(receive: Receive, most: int, within_s: float) -> bytes | None:
    """The whole body as sent; None if the client left.

    Raises:
        HttpError: 413, it is larger than `most` bytes; 408, it did not arrive in time.
    """
    pieces, size = [], 0
    try:
        async with asyncio.timeout(within_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > most:
                    raise too_large(most)
                if not message.get("more_body", False):
                    return b"".join(pieces)
    except TimeoutError:
        late = f"the request body did not arrive within {within_s:g} seconds"
        raise HttpError(408, late, headers={"Connection": "close"}) from None


def decoded(scope: Scope, body: bytes, most: int) -> tuple[Scope, bytes]:
    """The request with its body decompressed and in UTF-8. The body of an API request counts as JSON, whatever type it
    claims to have: clients send none, text/plain, or what curl sends by default.

    Raises:
        HttpError: 415, an unknown compression or charset; 400, the body is damaged; 413, it is too large decompressed.
    """
    headers = dict(scope["headers"])
    coding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if coding not in ("", "identity"):
        body = _decompressed(body, coding, most)
    for_api = scope["path"].startswith("/v1/") and body
    if for_api:
        body = _as_utf8(body, headers.get(b"content-type", b"").decode("latin-1"))
    if not for_api and coding in ("", "identity"):
        return scope, body
    dropped = (b"content-encoding", b"content-length", *((b"content-type",) if for_api else ()))
    kept = [(name, value) for name, value in scope["headers"] if name not in dropped]
    kept.append((b"content-length", str(len(body)).encode()))
    if for_api:
        kept.append((b"content-type", b"application/json"))
    return {**scope, "headers": kept}, body


def again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body first, and then what `receive` gives."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


def too_large(most: int) -> HttpError:
    # The rest of the body is not read, so the connection cannot be reused.
    return HttpError(413, f"the request body is larger than {most} bytes", headers={"Connection": "close"})


def _decompressed(body: bytes, coding: str, most: int) -> bytes:
    if coding not in WINDOWS:
        message = "the compression of the request body is not supported: send it with gzip or deflate, or without"
        raise HttpError(415, message, headers={"Accept-Encoding": "gzip, deflate"})
    windows = WINDOWS[coding]
    if coding == "deflate" and (not body or body[0] & 0x0F != 8 or int.from_bytes(body[:2]) % 31):
        windows = -zlib.MAX_WBITS  # some clients send it without the header of zlib
    unpacker = zlib.decompressobj(windows)
    try:
        text = unpacker.decompress(body, most + 1)
    except zlib.error:
        raise HttpError(400, f"the request body is not valid {coding}") from None
    if len(text) > most:
        raise too_large(most)
    if not unpacker.eof or unpacker.unused_data:
        raise HttpError(400, f"the request body is not one complete {coding} stream")
    return text


def _as_utf8(body: bytes, content_type: str) -> bytes:
    if "charset" not in content_type.lower():
        return body
    header = Header()
    header["content-type"] = content_type
    charset = str(header.get_content_charset() or "utf-8")
    if charset in ("utf-8", "utf8"):
        return body
    if charset not in CHARSETS:
        raise HttpError(415, f"the charset of the request body is not supported: send JSON as {CHARSETS[0]}")
    try:
        return body.decode(charset).encode("utf-8", "surrogatepass")
    except UnicodeError:
        raise HttpError(400, f"the request body is not {charset}") from None
