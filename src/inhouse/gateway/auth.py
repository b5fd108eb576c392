"""Who asks: a Bearer key, checked before anything of a request's body is read. Every route needs one, but for health
and for the console, which has sessions of its own."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from inhouse.errors import BackendError
from inhouse.gateway.errors import HttpError, too_many, unavailable
from inhouse.store.keys import Key

if TYPE_CHECKING:
    from starlette.types import Scope

    from inhouse.gateway.state import State

HEALTH = ("/healthz", "/readyz")
CONSOLE = "/console"
LOOPBACK = ("127.0.0.1", "::1")
CHECKED_S = 1.0  # how long a key that was good is not looked up again, so how much longer one that is revoked is good
MOST_CHECKED = 10_000


async def admit(state: State, scope: Scope) -> None:
    """Puts the caller's Key into `scope["inhouse.key"]`, None where the route needs none.

    Raises:
        HttpError: 401 without a valid key, 429 where it asks too often, 503 while the server drains or keys cannot be
            looked up.
    """
    path = scope["path"]
    scope["inhouse.key"] = None
    if path in HEALTH:
        return
    if state.draining:
        raise unavailable("the server is shutting down", "shutting_down", {"Connection": "close"})
    if path == CONSOLE or path.startswith(f"{CONSOLE}/"):
        return
    if path == "/metrics" and state.project.gateway.metrics_on_loopback and from_here(scope):
        return
    scope["inhouse.key"] = key = await identified(state, secret_of(scope))
    if wait := state.rates.wait_s(key.id, key.per_minute):
        raise too_many(f"this key may ask {key.per_minute} times a minute", wait)


def secret_of(scope: Scope) -> str:
    """What the Authorization header brings, "" where it brings nothing of use."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, secret = value.decode("latin-1").partition(" ")
            return secret.strip() if scheme.lower() == "bearer" else ""
    return ""


async def identified(state: State, secret: str) -> Key:
    """The key behind a secret.

    Raises:
        HttpError: 401 where there is none, 503 where it cannot be looked up.
    """
    # Looking it up may wait for the database, so a thread does it; one that was good a moment ago need not go there.
    digest, now = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest(), time.monotonic()
    key, checked = state.checked.get(digest, (None, 0.0))
    if key is not None and now - checked < CHECKED_S and key.holds(time.time_ns() // 1_000_000):
        return key
    try:
        key = await asyncio.to_thread(state.keys.check, secret) if secret else None
    except BackendError as error:
        raise unavailable("keys cannot be looked up", "store_unavailable") from error
    if key is not None:
        if len(state.checked) >= MOST_CHECKED:
            state.checked.clear()
        state.checked[digest] = key, now
    if key is None:
        message = "wrong, expired or missing API key; send it as 'Authorization: Bearer ih_...'"
        raise HttpError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
    return key


def from_here(scope: Scope) -> bool:
    """Whether a program on this machine asks, and no proxy for somebody else."""
    client = scope.get("client")
    return client is not None and client[0] in LOOPBACK and all(n != b"x-forwarded-for" for n, _ in scope["headers"])


async def caller(request: Request) -> Key:
    """The key that the door let in. Async, as FastAPI would send it through a thread."""
    key = request.scope.get("inhouse.key")
    if not isinstance(key, Key):
        raise HttpError(401, "this needs an API key", code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
    return key


Caller = Annotated[Key, Depends(caller)]


def need_admin(key: Key) -> None:
    """
    Raises:
        HttpError: 403 for any other role.
    """
    if key.role != "admin":
        raise HttpError(403, "this needs an admin's key", "permission_error", "forbidden")
