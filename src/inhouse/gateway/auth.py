"""Authentication: a Bearer key, checked before the body of a request is read.

Every route needs a key, except health checks and the console, which uses sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Request
from starlette.types import Scope

from inhouse.errors import BackendError
from inhouse.gateway.errors import HttpError, too_many, unavailable
from inhouse.gateway.state import State
from inhouse.store.actions import ACTING, Actor
from inhouse.store.keys import Key
from inhouse.types import Message

HEALTH = ("/healthz", "/readyz")
CONSOLE = "/console"
EDGE = "/v1/edge/"
LOOPBACK = ("127.0.0.1", "::1")


async def admit(state: State, scope: Scope) -> None:
    """Puts the caller's Key into `scope["inhouse.key"]`, None if the route needs none.

    Raises:
        HttpError: 401 without a valid key, 403 for a device's key elsewhere, 429 over its rate limit, 503 while the
            server drains or if keys cannot be looked up.
    """
    path = scope["path"]
    scope["inhouse.key"] = None
    if path in HEALTH:
        return
    if state.draining:
        raise unavailable("the server is shutting down", "shutting_down", {"Connection": "close"})
    if path == CONSOLE or path.startswith(f"{CONSOLE}/") or scope["method"] == "OPTIONS":  # browsers send no key in it
        return
    if path == "/metrics" and state.project.gateway.metrics_on_loopback and from_here(scope):
        return
    scope["inhouse.key"] = key = await identified(state, secret_of(scope))
    if key.role == "device" and not path.startswith(EDGE):
        raise HttpError(
            403, "keys of the role device are for `inhouse edge sync` alone", "permission_error", "forbidden"
        )
    ACTING.set(Actor(id=key.id, name=key.name, at=(scope.get("client") or [""])[0]))
    count(state, scope, key)


def count(state: State, scope: Scope, key: Key) -> None:
    """Counts a request of the key, and puts the headers that tell how it stands into `scope["inhouse.headers"]`.

    Raises:
        HttpError: 429, the key has no requests left.
    """
    per_minute = key.per_minute or state.project.gateway.key_per_minute
    if not per_minute:
        return
    rate = state.rates.take(key.id, per_minute)
    scope["inhouse.headers"] = {
        "x-ratelimit-limit-requests": str(rate.limit),
        "x-ratelimit-remaining-requests": str(rate.remaining),
        "x-ratelimit-reset-requests": f"{rate.reset_s:.3f}".rstrip("0").rstrip(".") + "s",
    }
    if rate.wait_s:
        message = f"rate limit of this key reached: {per_minute} requests per minute. Try again in {rate.wait_s:.1f} s."
        raise too_many(message, rate.wait_s)


def weigh(state: State, key: Key, size: int) -> None:
    """Counts bytes of a body, or of what it refers to: the audit log keeps conversations, so they are what a key can
    fill the disk with.

    Raises:
        HttpError: 429, the key has sent too many.
    """
    mb_per_minute = state.project.gateway.key_mb_per_minute
    if not size or not mb_per_minute:
        return
    rate = state.rates.take(f"{key.id} bytes", mb_per_minute * 1024, -(-size // 1024))
    if rate.wait_s:
        limit = f"{mb_per_minute} MB per minute in the bodies of its requests"
        raise too_many(f"rate limit of this key reached: {limit}. Try again in {rate.wait_s:.1f} s.", rate.wait_s)


def hand_over(state: State, key: str) -> None:
    """Counts a conversation that goes to a person, before it does.

    Raises:
        HttpError: 429, the key has filled the inbox with as many as it may.
    """
    if per_hour := state.project.gateway.key_handoffs_per_hour:
        rate = state.rates.take(f"{key} hand-offs", per_hour, within_s=3600)
        if rate.wait_s:
            limit = f"{per_hour} conversations per hour go to a person"
            raise too_many(f"rate limit of this key reached: {limit}. Try again in {rate.wait_s:.1f} s.", rate.wait_s)


def secret_of(scope: Scope) -> str:
    """The Bearer token of the Authorization header, "" if there is none."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, secret = value.decode("latin-1").partition(" ")
            return secret.strip() if scheme.lower() == "bearer" else ""
    return ""


async def identified(state: State, secret: str) -> Key:
    """The key of a secret.

    Raises:
        HttpError: 401 if there is none, 503 if it cannot be looked up.
    """
    try:
        key = await state.keys.checked(secret) if secret else None
    except BackendError as error:
        raise unavailable("API keys cannot be looked up", "store_unavailable") from error
    if key is None:
        message = (
            "Incorrect API key provided: it is unknown, revoked, or expired." if secret
            else "You didn't provide an API key. Send it as 'Authorization: Bearer ih_...'."
        )  # fmt: skip
        raise HttpError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
    return key


def from_here(scope: Scope) -> bool:
    """Whether the request comes from a program on this machine, and not through a proxy."""
    client = scope.get("client")
    return client is not None and client[0] in LOOPBACK and all(n != b"x-forwarded-for" for n, _ in scope["headers"])


async def caller(request: Request) -> Key:
    """The key that was admitted. Async, because FastAPI would run a plain function in a thread."""
    key = request.scope.get("inhouse.key")
    if not isinstance(key, Key):
        raise HttpError(401, "this needs an API key", code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
    return key


Caller = Annotated[Key, Depends(caller)]


def need_admin(key: Key) -> None:
    """Raises:
    HttpError: 403 for any other role.
    """
    if key.role != "admin":
        raise HttpError(403, "this needs an admin key", "permission_error", "forbidden")


def need_system(key: Key, state: State, messages: Sequence[Message]) -> None:
    """Raises:
    HttpError: 403 if one is a system (or developer) message and the key's role may not send any.
    """
    at = next((n for n, m in enumerate(messages) if m.role == "system"), None)
    if at is not None and key.role not in state.project.gateway.system_from:
        message = f"keys of role {key.role} may not send system or developer messages (gateway.system_from)"
        raise HttpError(403, message, "permission_error", "forbidden", f"messages[{at}].role")
