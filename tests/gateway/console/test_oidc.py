"""Signing in at a real, small OpenID Connect provider on loopback, and what is refused of a false one."""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from inhouse.errors import InputError
from inhouse.gateway.console.session import COOKIE

CLIENT, SECRET = "inhouse-console", "a-client-secret"
PERSON = {"sub": "u-17", "email": "ines@bank.example", "email_verified": True, "groups": ["staff", "inhouse-reviewers"]}


class Provider(ThreadingHTTPServer):
    """Authorization code with PKCE; `twist` changes the ID token's claims or key before it is signed."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Pages)
        self.issuer = f"http://127.0.0.1:{self.server_port}"
        self.key = RSAKey.generate_key(2048, auto_kid=True)
        self.codes, self.twist, self.person = {}, None, PERSON

    def id_token(self, nonce):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce, **self.person}
        header, key = {"alg": "RS256", "kid": self.key.kid}, self.key
        if self.twist:
            header, claims, key = self.twist(header, claims, key)
        return jwt.encode(header, claims, key, algorithms=["RS256", "HS256", "none"])


class Pages(BaseHTTPRequestHandler):
    def log_message(self, *_):
        return None

    def _json(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        at, issuer = urlsplit(self.path), self.server.issuer
        if at.path == "/.well-known/openid-configuration":
            self._json(
                {
                    "issuer": issuer,
                    "authorization_endpoint": f"{issuer}/authorize",
                    "token_endpoint": f"{issuer}/token",
                    "jwks_uri": f"{issuer}/keys",
                }
            )
        elif at.path == "/keys":
            self._json({"keys": [self.server.key.as_dict(private=False)]})
        else:
            asked = {k: v[0] for k, v in parse_qs(at.query).items()}
            assert asked["client_id"] == CLIENT
            assert asked["response_type"] == "code"
            assert asked["code_challenge_method"] == "S256"
            code = secrets.token_urlsafe(8)
            self.server.codes[code] = asked
            self.send_response(302)
            self.send_header(
                "location", f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
            )
            self.send_header("content-length", "0")
            self.end_headers()

    def do_POST(self):
        form = {k: v[0] for k, v in parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()).items()}
        asked = self.server.codes.pop(form.get("code"), None)
        challenge = (
            base64.urlsafe_b64encode(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            .decode()
            .rstrip("=")
        )
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if (
            asked is None
            or challenge != asked["code_challenge"]
            or self.headers.get("authorization") != f"Basic {basic}"
        ):
            self._json({"error": "invalid_grant"}, 400)
        else:
            self._json({"access_token": "t", "token_type": "Bearer", "id_token": self.server.id_token(asked["nonce"])})


@pytest.fixture(scope="module")
def provider():
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def oidc_house(house_of, provider, tmp_path_factory):
    told = {
        "issuer": provider.issuer,
        "client_id": CLIENT,
        "client_secret_env": "CONSOLE_OIDC_SECRET",
        "admins": ["inhouse-admins"],
        "reviewers": ["inhouse-reviewers"],
        "allowed_domains": ["Bank.example"],
        "allowed_groups": ["guests"],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONSOLE_OIDC_SECRET", SECRET)
        made = house_of(tmp_path_factory.mktemp("oidc"), oidc=told)
        yield made
        made.close()


def go(client, house):
    """From the button to the callback's answer."""
    start = client.get("/console/oidc/start")
    assert start.status_code == 303
    back = httpx.get(start.headers["location"])
    return client.get(back.headers["location"].removeprefix(house.url))


@pytest.fixture(autouse=True)
def as_it_was(provider):
    provider.twist, provider.person = None, PERSON


def test_the_button_leads_in_with_groups_and_role(oidc_house):
    client = oidc_house.client()
    assert "Sign in with single sign-on" in client.get("/console/sign-in").text
    answer = go(client, oidc_house)
    assert answer.status_code == 200, answer.text
    assert 'http-equiv="refresh"' in answer.text, "a page of ours: the strict cookie comes along from here"
    page = client.get("/console/knowledge").text
    assert "ines@bank.example" in page
    assert "Fee waiver authority" in page, "the claim's groups read what they may"
    assert client.get("/console/settings").status_code == 403
    assert client.get("/console/inbox").status_code == 200
    token = page.split('name="csrf" content="')[1].split('"')[0]
    body = {"model": "custom", "messages": [{"role": "user", "content": "What may tellers waive without approval?"}]}
    assert "staff/fee-waiver" in client.post("/console/playground/chat", json=body, headers={"x-csrf": token}).text
    assert oidc_house.audit.find(limit=1)[0][1].key == "oidc:u-17"


@pytest.mark.parametrize(
    ("groups", "page", "status"),
    [
        (["inhouse-admins"], "settings", 200),
        (["staff"], "inbox", 403),
        ([], "playground", 200),
        ("inhouse-admins", "settings", 200),
        (None, "inbox", 403),
    ],
)
def test_roles_come_from_the_claim(oidc_house, provider, groups, page, status):
    provider.person = {**PERSON, "groups": groups}
    client = oidc_house.client()
    go(client, oidc_house)
    assert client.get(f"/console/{page}").status_code == status


TWISTS = {
    "another audience": lambda h, c, k: (h, {**c, "aud": "another"}, k),
    "made for several, by another": lambda h, c, k: (h, {**c, "aud": [CLIENT, "another"], "azp": "another"}, k),
    "another issuer": lambda h, c, k: (h, {**c, "iss": "http://127.0.0.1:1"}, k),
    "over": lambda h, c, k: (h, {**c, "exp": 1}, k),
    "another nonce": lambda h, c, k: (h, {**c, "nonce": "x"}, k),
    "no nonce": lambda h, c, k: (h, {n: v for n, v in c.items() if n != "nonce"}, k),
    "no subject": lambda h, c, k: (h, {n: v for n, v in c.items() if n != "sub"}, k),
    "another key": lambda h, c, k: (h, c, RSAKey.generate_key(2048)),
    "a shared key": lambda h, c, k: ({"alg": "HS256"}, c, OctKey.import_key("x" * 32)),
}


@pytest.mark.parametrize("twist", TWISTS)
def test_a_false_token_opens_nothing(oidc_house, provider, twist):
    provider.twist = TWISTS[twist]
    client = oidc_house.client()
    answer = go(client, oidc_house)
    assert answer.status_code == 403, twist
    assert COOKIE not in client.cookies
    assert client.get("/console/playground").status_code == 303


def test_a_sign_in_begun_elsewhere_is_refused(oidc_house):
    """A code or state of another browser, none, or a code used twice."""
    client, other = oidc_house.client(), oidc_house.client()
    start = other.get("/console/oidc/start")
    back = httpx.get(start.headers["location"]).headers["location"].removeprefix(oidc_house.url)
    assert client.get(back).status_code == 403
    assert other.get(back).status_code == 200
    assert other.get(back).status_code == 403
    own = client.get("/console/oidc/start").headers["location"].split("state=")[1].split("&")[0]
    assert client.get(f"/console/oidc/callback?code=made-up&state={own}").status_code == 403
    assert client.get(f"/console/oidc/callback?error=access_denied&state={own}").status_code == 403
    assert client.get("/console/oidc/callback").status_code == 403
    assert COOKIE not in client.cookies


def test_a_provider_that_is_not_there_is_told(house_of, tmp_path):
    for issuer, said in (("http://127.0.0.1:9", "is not responding"), ("http://login.example.com", "https://")):
        made = house_of(tmp_path, oidc={"issuer": issuer, "client_id": CLIENT})
        try:
            answer = made.client().get("/console/oidc/start")
            assert answer.status_code == 502
            assert said in answer.text
        finally:
            made.close()


def test_without_a_provider_there_is_no_button(house):
    client = house.client()
    assert "/console/oidc" not in client.get("/console/sign-in").text
    assert client.get("/console/oidc/start").status_code == 404


# --- who may sign in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({}, 200),
        ({"email": "eve@elsewhere.example"}, 403),
        ({"email": "eve@elsewhere.example", "groups": ["guests"]}, 200),
        ({"email": "eve@evil-bank.example"}, 403),
        ({"email": "eve@bank.example.evil"}, 403),
        ({"email": "ines@BANK.example"}, 200),
        ({"email": "eve@ban\u212a.example"}, 403),  # the Kelvin sign
        ({"email": "bank.example"}, 403),
        ({"email": "@bank.example"}, 403),
        ({"email": "eve@bank.example@evil.example"}, 403),
        ({"email": ["ines@bank.example"]}, 403),
        ({"email": "ines@bank.example", "email_verified": "false"}, 403),
        ({"email_verified": False}, 403),
        ({"email_verified": None}, 403),
        ({"email": None}, 403),
    ],
)
def test_only_admitted_domains_and_groups_sign_in(oidc_house, provider, claims, status):
    provider.person = PERSON | claims
    client = oidc_house.client()
    answer = go(client, oidc_house)
    assert answer.status_code == status
    assert client.get("/console/playground").status_code == (200 if status == 200 else 303)
    if status != 200:
        assert "may not sign in here" in answer.text


def test_by_default_nobody_signs_in(house_of, provider, tmp_path, monkeypatch):
    monkeypatch.setenv("CONSOLE_OIDC_SECRET", SECRET)
    told = {
        "issuer": provider.issuer,
        "client_id": CLIENT,
        "client_secret_env": "CONSOLE_OIDC_SECRET",
        "admins": ["staff"],
    }
    made = house_of(tmp_path, oidc=told)
    try:
        client = made.client()
        answer = go(client, made)
        assert answer.status_code == 403
        assert "allowed_domains" in answer.text
        assert client.get("/console/playground").status_code == 303
        assert made.audit.actions(limit=1)[0].what == "sign-in failed"
    finally:
        made.close()


def test_a_person_who_is_no_longer_admitted_is_out(oidc_house, monkeypatch):
    client = oidc_house.client()
    go(client, oidc_house)
    assert client.get("/console/inbox").status_code == 200
    settings = oidc_house.state.project.gateway.oidc
    from inhouse.gateway.console.oidc import Provider as Ours

    seen = []

    def admit(self, claims, groups):
        seen.append(claims)
        raise InputError("no")

    monkeypatch.setattr(Ours, "_admit", admit)
    assert client.get("/console/inbox").status_code == 303
    assert seen, settings
