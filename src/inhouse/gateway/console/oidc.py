"""Sign-in at an OpenID Connect provider: authorization code with PKCE (OpenID Connect Core 1.0, RFC 7636).

Only the provider's ID token counts: its signature by a key that the provider publishes, its issuer, audience, expiry,
and the nonce of this sign-in.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from typing import Any

import httpx
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from inhouse.config.gateway import Oidc
from inhouse.errors import BackendError, InputError
from inhouse.gateway.console.session import ADMIN, AUDITOR, REVIEWER, USER
from inhouse.store.keys import KeyRole
from inhouse.types import Json, Record

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]  # public keys only, no shared secrets
KNOWN_S = 3600  # how long the provider's description and keys are kept
LEEWAY_S = 30
NAMING = ("email", "preferred_username", "name", "sub")  # claims that name a person, the best first
TIMEOUT_S = 10
LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")


class Person(Record):
    """Who signed in, according to the provider; `claims` are those that this follows from."""

    subject: str
    name: str
    role: KeyRole
    groups: frozenset[str]
    claims: dict[str, Json]


class Provider:
    """The provider of the project file."""

    def __init__(self, settings: Oidc) -> None:
        self._settings = settings
        self._known: tuple[float, dict[str, Json], KeySet] | None = None

    async def begin(self, callback: str) -> tuple[str, dict[str, str]]:
        """Where to send the browser, and what `finish` needs when it comes back.

        Raises:
            BackendError: the provider cannot be reached.
        """
        about, _ = await self._about()
        flow = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
        async with self._client(callback) as client:
            named = {"state": flow["state"], "nonce": flow["nonce"], "code_verifier": flow["verifier"]}
            url, _ = client.create_authorization_url(about["authorization_endpoint"], **named)
        return url, flow

    async def finish(self, code: str, flow: Mapping[str, str], callback: str) -> Person:
        """Raises:
        BackendError: the provider cannot be reached.
        InputError: it refuses the sign-in, its token is invalid, or the project file does not admit the person.
        """
        about, keys = await self._about()
        try:
            async with self._client(callback) as client:
                token = await client.fetch_token(
                    about["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=flow["verifier"]
                )
        except OAuthError as error:
            raise InputError(f"The provider refused the sign-in ({error.error}).") from error
        except httpx.HTTPError as error:
            raise BackendError("The sign-in provider is not responding.", type(error).__name__) from error
        claims = self._claims(str(token.get("id_token", "")), keys, flow["nonce"])
        return self.person(claims)

    def _claims(self, token: str, keys: KeySet, nonce: str) -> dict[str, Json]:
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S, iss={"essential": True, "value": self._settings.issuer}, sub={"essential": True},
            aud={"essential": True, "value": self._settings.client_id}, exp={"essential": True},
            nonce={"essential": True, "value": nonce},
        )  # fmt: skip
        try:
            claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
            registry.validate(claims)
        except (JoseError, ValueError) as error:
            raise InputError("The provider's token is invalid.", f"({type(error).__name__})") from error
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self._settings.client_id:
            raise InputError("The provider's token was issued for another application.")
        return dict(claims)

    def person(self, claims: Mapping[str, Json]) -> Person:
        """The person of a token's claims, with the role that the project file gives.

        Raises:
            InputError: the project file does not admit them.
        """
        settings = self._settings
        roles, groups = _texts(claims.get(settings.role_claim)), _texts(claims.get(settings.groups_claim))
        ranks: list[tuple[KeyRole, tuple[str, ...]]] = [
            (ADMIN, settings.admins), (REVIEWER, settings.reviewers), (AUDITOR, settings.auditors),
        ]  # fmt: skip
        role = next((rank for rank, values in ranks if roles & set(values)), USER)
        name = next((str(claims[c]) for c in NAMING if claims.get(c)), "")
        self._admit(claims, groups)
        used = {
            settings.role_claim,
            settings.groups_claim,
            "sub",
            "email",
            "email_verified",
            "preferred_username",
            "name",
        }
        kept = {claim: claims[claim] for claim in sorted(used & claims.keys())}
        return Person(subject=str(claims["sub"]), name=name, role=role, groups=frozenset(groups), claims=kept)

    def _admit(self, claims: Mapping[str, Json], groups: set[str]) -> None:
        """Refuses everyone whom no setting admits: a provider may know people of other companies."""
        settings = self._settings
        if not settings.allowed_domains and not settings.allowed_groups:
            hint = "Set gateway.oidc.allowed_domains or gateway.oidc.allowed_groups in the project file."
            raise InputError("Nobody may sign in with single sign-on yet.", hint)
        verified = claims.get("email_verified") in (True, "true")
        name, _, domain = str(claims.get("email", "")).rpartition("@") if verified else ("", "", "")
        if groups & set(settings.allowed_groups) or (name and _lower(domain) in map(_lower, settings.allowed_domains)):
            return
        raise InputError("Your account may not sign in here.", "Ask an administrator to admit your domain or group.")

    async def _about(self) -> tuple[dict[str, Json], KeySet]:
        """The provider's description and keys, read again every hour."""
        if self._known and self._known[0] > time.monotonic():
            return self._known[1], self._known[2]
        issuer = self._settings.issuer
        if not issuer.startswith(("https://", *LOOPBACK)):
            raise BackendError("gateway.oidc.issuer must start with https://.")
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
                about = (await client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")).raise_for_status()
                described = about.json()
                keys = (await client.get(described["jwks_uri"])).raise_for_status()
                published = KeySet.import_key_set(keys.json())
        except (httpx.HTTPError, ValueError, KeyError, JoseError) as error:
            raise BackendError("The sign-in provider is not responding.", f"({type(error).__name__})") from error
        if described.get("issuer") != issuer:
            raise BackendError("The sign-in provider's issuer differs from gateway.oidc.issuer.")
        self._known = time.monotonic() + KNOWN_S, described, published
        return described, published

    def _client(self, callback: str) -> Any:
        settings = self._settings
        return AsyncOAuth2Client(
            settings.client_id, os.environ.get(settings.client_secret_env) if settings.client_secret_env else None,
            scope=" ".join(settings.scopes), redirect_uri=callback, code_challenge_method="S256", timeout=TIMEOUT_S,
            token_endpoint_auth_method=None if settings.client_secret_env else "none",
        )  # fmt: skip


def _lower(domain: str) -> str:
    """Lowercase as domains are compared: of ASCII letters only. Unicode takes the Kelvin sign for a k, and ß for ss."""
    return "".join(c.lower() if c.isascii() else c for c in domain)


def _texts(claim: Json) -> set[str]:
    """A claim of one text or several, as a set."""
    return {claim} if isinstance(claim, str) else {str(c) for c in claim} if isinstance(claim, list) else set()
