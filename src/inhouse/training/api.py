"""Requests to a JSON API that makes jobs, and what their failures mean: refused, busy, or lost on the way."""

from __future__ import annotations

import os
import re
import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from inhouse.errors import BackendError, ConfigError, RefusedError
from inhouse.types import Json

TRIES = 5
PAUSE_S = 1.0  # before the second try; doubles
LONGEST_PAUSE_S = 60.0
TIMEOUT_S = 60.0
BUSY = {409, 425, 429}  # nothing was done, or it was done before


class LostError(BackendError):
    """A request that may have been carried out or not."""


class MissingError(RefusedError):
    """What a request asks for does not exist."""


class Api:
    """An API at a URL.

    Args:
        url: what all paths begin with.
        key_env: environment variable that holds the key, sent as a bearer token; "" for none.

    Raises:
        ConfigError: the environment variable holds no key.
    """

    def __init__(self, url: str, key_env: str = "") -> None:
        self.url, self.headers = url.rstrip("/"), {}
        if key := key_of(key_env):
            self.headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.Client(headers=self.headers, timeout=TIMEOUT_S)

    def once(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """The answer's JSON; a list comes under "data".

        Raises:
            RefusedError: it is refused, or what it asks for does not exist.
            LostError: nobody knows whether it was carried out.
            BackendError: the place is busy.
        """
        try:
            answer = self._client.request(method, self.url + path, **body)
        except httpx.HTTPError as error:
            what = f"{self.url}{path}: the connection failed ({type(error).__name__})"
            raise LostError(what, "check the network") from error
        what = f"{self.url}{path}: {_message(answer)}" if answer.status_code >= 400 else ""
        if answer.status_code in BUSY:
            time.sleep(min(_retry_after_s(answer), LONGEST_PAUSE_S))
            raise BackendError(what, "try again later")
        if answer.status_code == 408 or answer.status_code >= 500:
            raise LostError(what, "try again later")
        if answer.status_code >= 400:
            refusal = MissingError if answer.status_code == 404 else RefusedError
            raise refusal(what, "see the provider's documentation")
        try:
            data = answer.json() if answer.content else {}
        except ValueError as error:
            raise LostError(f"{self.url}{path}: the answer is not JSON", "is the address right?") from error
        return data if isinstance(data, dict) else {"data": data}

    def repeated(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """`once` for a request that may be carried out more than once.

        Raises:
            RefusedError: it is refused.
            BackendError: it keeps failing.
        """
        for attempt in range(TRIES):
            try:
                return self.once(method, path, **body)
            except RefusedError:
                raise
            except BackendError:
                if attempt == TRIES - 1:
                    raise
                time.sleep(pause_s(attempt))
        raise AssertionError

    def close(self) -> None:
        self._client.close()


def key_of(name: str) -> str:
    """The key that an environment variable holds, without white space around it; "" if there is no name.

    Raises:
        ConfigError: the variable is not set, or holds no key. The error says nothing of what it holds.
    """
    if not name:
        return ""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):  # it may be the key itself, so it is not repeated
        what = "a setting for the environment variable of a key (such as api_key_env) has no name of a variable"
        raise ConfigError(what, "name the variable there, such as OPENAI_API_KEY, and put the key into it")
    if name not in os.environ:
        raise ConfigError(f"environment variable {name} is not set", f"run `export {name}=...`")
    key = os.environ[name].strip()
    if not key:
        raise ConfigError(f"environment variable {name} is empty", f"run `export {name}=...`")
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        what = f"environment variable {name} has characters that no key has, such as a space or one that is not ASCII"
        raise ConfigError(what, "copy the key again")
    return key


def check_url(key: str, url: str) -> None:
    """Raises:
    ConfigError: a setting has an address that no request can go to, or one with a password. It is not repeated.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"{key} is no address", "write it like https://host/v1") from error
    if parts.username is not None or parts.password is not None:
        what = f"{key} has a user or a password in it"
        raise ConfigError(what, "remove them, and put the key into an environment variable")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{key} is no address", "write it like https://host/v1")


def pause_s(attempt: int) -> float:
    """How long to wait after a try has failed, the first being 0."""
    return min(PAUSE_S * float(2**attempt), LONGEST_PAUSE_S)


def field_of(value: Json, path: str) -> Json:
    """What is at a dotted path; None if there is nothing."""
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _retry_after_s(answer: httpx.Response) -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "0")))
    except ValueError:
        return 0.0


def _message(answer: httpx.Response) -> str:
    """The API's own words: a message in JSON, or the last line of a text."""
    try:
        said = field_of(answer.json(), "error.message") or answer.json().get("message")
    except (ValueError, AttributeError):
        said = (answer.text.strip().splitlines() or [""])[-1]
    return f"{str(said or 'no reason given')[:300]} (HTTP status {answer.status_code})"
