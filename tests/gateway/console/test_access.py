"""Who gets in, and to what: sessions, tokens, roles, groups, and names that lead elsewhere."""

import hashlib
import json
import os
import stat
from urllib.parse import quote

import httpx
import pytest

from inhouse.errors import BackendError, InputError
from inhouse.gateway.console.session import COOKIE, secret_in
from inhouse.gateway.limits import Rates

PAGES = ["home", "playground", "inbox", "verdict", "verdict/report", "cascade", "knowledge", "knowledge?view=failed",
         "data", "data?part=test", "data/example?id=ex-000&part=train", "traffic", "drift", "agents", "experiments", "incidents",
         "inbox/approvals", "audit", "settings"]  # fmt: skip
OPEN_TO = {
    "admin": set(PAGES),
    "reviewer": {
        p
        for p in PAGES
        if p.split("/")[0].split("?")[0] in ("home", "playground", "inbox", "knowledge", "data", "audit")
    },
    "user": {"playground"},
}
FORMS = {
    "data/example": {"id": "ex-000", "part": "train", "status": "approved", "target": "Another answer."},
    "inbox/conversation": {"id": "x", "act": "reject"},
    "inbox/call": {"key": "x", "decision": "approve"},
    "experiments/start": {"name": "a", "first": "base", "second": "first-national-bank/3", "share": "50"},
    "experiments/stop": {},
    "experiments/weights": {"weight-base": "1"},
    "audit/verify": {},
    "sign-out": {},
}


@pytest.mark.parametrize("role", OPEN_TO)
def test_roles_open_their_pages_and_no_others(house, role):
    client = house.client(role)
    codes = {page: client.get(f"/console/{page}").status_code for page in PAGES}
    assert codes == {page: 200 if page in OPEN_TO[role] else 403 for page in PAGES}
    shown = client.get("/console/playground").text
    for page in ("inbox", "verdict", "settings"):
        assert (f'href="/console/{page}"' in shown) == (page in OPEN_TO[role]), "the menu shows what the role opens"


def test_forms_of_other_roles_are_refused_even_with_a_token(house):
    for role, forms in {
        "user": set(FORMS) - {"sign-out"},
        "reviewer": {f for f in FORMS if f.startswith("exp")},
    }.items():
        client = house.client(role)
        for form in forms:
            answer = client.post(f"/console/{form}", data=FORMS[form] | {"csrf": client.token})
            assert answer.status_code == 403, (role, form, answer.status_code)
    assert house.bank.said == {}
    assert house.bank.arms == {}


def test_without_a_session_there_is_nothing(house):
    client = house.client()
    for page in ["", *PAGES, "nothing-here", "../v1/models", "data/example?id=ex-000"]:
        answer = client.get(f"/console/{page}")
        assert answer.status_code in (303, 401, 404), page
        assert "ex-000" not in answer.text
        assert "wire" not in answer.text
    assert client.get("/console/knowledge").headers["location"] == "/console/sign-in?to=%2Fconsole%2Fknowledge"
    assert client.post("/console/playground/chat", json={}).status_code in (303, 401)
    assert client.get("/console/playground", headers={"accept": "*/*"}).status_code == 401


@pytest.mark.parametrize("form", FORMS)
def test_every_form_needs_the_token_of_its_session(house, form):
    client, other = house.client("admin"), house.client("admin")
    for token in (None, "", "x", other.token, client.token[:-1]):
        data = FORMS[form] | ({} if token is None else {"csrf": token})
        assert client.post(f"/console/{form}", data=data).status_code == 403, token
    assert client.get("/console/data").status_code == 200, "nobody was signed out"
    assert house.bank.said == {}


def test_json_calls_need_the_token_too(house):
    client = house.client("admin")
    body = {"model": "custom", "messages": [{"role": "user", "content": "hello"}]}
    for path in ("chat", "feedback", "person"):
        for headers in ({}, {"x-csrf": "no"}, {"content-type": "text/plain"}):
            assert (
                client.post(f"/console/playground/{path}", content=json.dumps(body), headers=headers).status_code == 403
            )
    assert client.get("/console/audit").text.count("audit/exchange?id") == 0, "nothing was asked"


def test_sign_in_refuses_what_is_no_key_and_forms_of_others(house):
    client = house.client()
    page = client.get("/console/sign-in").text
    token = page.split('name="csrf" value="')[1].split('"')[0]
    for key in ("", "ih_wrong", house.secrets["admin"][:-1], "x" * 100_000):
        answer = client.post("/console/sign-in", data={"key": key, "csrf": token})
        assert answer.status_code == 401, key[:20]
        assert COOKIE not in answer.cookies
        token = answer.text.split('name="csrf" value="')[1].split('"')[0]
    assert client.post("/console/sign-in", data={"key": house.secrets["admin"]}).status_code == 403
    assert (
        httpx.post(f"{house.url}/console/sign-in", data={"key": house.secrets["admin"], "csrf": token}).status_code
        == 403
    )


def test_the_cookie_is_out_of_reach_and_ends(house):
    client = house.client()
    token = client.get("/console/sign-in").text.split('name="csrf" value="')[1].split('"')[0]
    answer = client.post("/console/sign-in", data={"key": house.secrets["user"], "csrf": token})
    cookie = next(c for c in answer.headers.get_list("set-cookie") if c.startswith(COOKIE)).lower()
    for part in ("httponly", "samesite=strict", "path=/console", "max-age=28800"):
        assert part in cookie
    assert house.secrets["user"] not in answer.cookies[COOKIE]


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example",
        "/console//evil",
        "/console/\\evil",
        "javascript:alert(1)",
        "/console/data",
    ],
)
def test_after_sign_in_one_stays_here(house, to):
    client = house.client()
    page = client.get("/console/sign-in", params={"to": to}).text
    token = page.split('name="csrf" value="')[1].split('"')[0]
    where = client.post("/console/sign-in", data={"key": house.secrets["admin"], "csrf": token, "to": to}).headers[
        "location"
    ]
    assert where.startswith("/console/")
    assert where == to or not to.startswith("/console/d")


def begin(house, who, **more):
    """The cookie of a session that was made in the ledger."""
    key = house.made[who][0] if who in house.made else None
    content = {"key": key.id if key else who, "name": "Dana", "role": "admin", "csrf": "x"} | more
    return house.state.sessions.begin(content["key"], content, 60)


def opened(house, cookie, page="settings"):
    headers = {"cookie": f"{COOKIE}={cookie}".encode(), "accept": "text/html"}
    return httpx.get(f"{house.url}/console/{page}", headers=headers).status_code


def test_forged_and_old_sessions_are_refused(house):
    real = begin(house, "admin")
    assert opened(house, real) == 200
    for cookie in (
        "",
        "x",
        real[:-1],
        real + "x",
        real.upper(),
        hashlib.sha256(real.encode()).hexdigest(),
        "é.é",
        "%00",
    ):
        assert opened(house, cookie) == 303, cookie
    assert opened(house, begin(house, "nobody")) == 303
    assert opened(house, begin(house, "oidc:u-1")) == 303, "there is no provider"
    assert opened(house, begin(house, "user")) == 403, "the key's role counts"


def test_sessions_end_by_time_by_admins_and_everywhere(house, monkeypatch):
    from inhouse.store import sessions as module

    real, other = begin(house, "admin"), begin(house, "admin")
    now = module.now_ms
    for later_s, status in ((59, 200), (61, 303)):
        monkeypatch.setattr(module, "now_ms", lambda later_s=later_s: now() + later_s * 1000)
        assert opened(house, real) == status
    monkeypatch.undo()
    idle = type(house.state.sessions)(house.ledger, idle_s=0)
    assert idle.find(real) is None
    elsewhere = type(house.state.sessions)(house.ledger)
    assert elsewhere.stop(hashlib.sha256(real.encode()).hexdigest()[:12]) == 1
    assert (opened(house, real), opened(house, other)) == (303, 200)
    assert elsewhere.stop(house.made["admin"][0].id) >= 1
    assert opened(house, other) == 303
    with pytest.raises(InputError, match="no such session"):
        elsewhere.stop("12")


def test_a_revoked_key_ends_its_sessions(house):
    key, house.secrets["leaver"] = house.keys.create("Leaver", "admin")
    client = house.client("leaver")
    assert client.get("/console/settings").status_code == 200
    house.keys.revoke(key.id)
    assert client.get("/console/settings").status_code == 303


def test_signing_out_ends_the_session(house):
    client = house.client("admin")
    cookie = client.cookies[COOKIE]
    assert client.post("/console/sign-out", data={"csrf": client.token}).status_code == 303
    assert client.get("/console/settings").status_code == 303
    assert opened(house, cookie) == 303, "a copy of the cookie is worth nothing"
    assert [a.what for a in house.audit.actions(limit=2)] == ["signed out", "signed in"]
    assert house.audit.actions(limit=1)[0].by.at == "127.0.0.1"


def test_the_secret_is_for_its_owner_alone(tmp_path):
    secret = secret_in(tmp_path)
    file = tmp_path / "console.secret"
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert secret_in(tmp_path) == secret
    assert len(secret) == 32
    file.chmod(0o644)
    with pytest.raises(BackendError, match="other users may read it"):
        secret_in(tmp_path)


# --- groups -------------------------------------------------------------------------------------------------------


def test_another_groups_document_is_not_there(house):
    """By the list, by search, by its address, by failed files; with the group it is."""
    secret, path = "waive up to $40", "staff/fee-waiver-authority.md"
    addresses = [
        "knowledge",
        "knowledge?q=tellers+may+waive+approval",
        f"knowledge/document?source={path}",
        "knowledge?view=failed",
    ]
    outside, inside = house.client("reviewer"), house.client("admin")
    seen, told = ([client.get(f"/console/{a}") for a in addresses] for client in (outside, inside))
    assert [a.status_code for a in seen] == [200, 200, 404, 200]
    for answer in seen:
        assert secret not in answer.text
        assert "staff/" not in answer.text
        assert "Fee waiver" not in answer.text
    assert [a.status_code for a in told] == [200] * 4
    assert secret in told[1].text
    assert path in told[0].text
    assert "staff/broken.docx" in told[3].text
    missing = outside.get("/console/knowledge/document?source=staff/none.md")
    assert missing.text == seen[2].text.replace(path, "staff/none.md"), "whether it is there is not told"


def test_another_groups_document_is_not_in_answers_or_citations(house):
    def asked(who):
        client = house.client(who)
        body = {
            "model": "custom",
            "messages": [{"role": "user", "content": "What may tellers waive without approval?"}],
        }
        answer = client.post("/console/playground/chat", json=body, headers={"x-csrf": client.token})
        assert answer.status_code == 200
        return answer.text

    assert "staff/fee-waiver-authority.md" in asked("staff")
    assert "staff/" not in asked("user")
    assert "staff/" not in asked("reviewer")


def test_what_another_group_was_told_is_not_in_audit_or_inbox(house):
    client = house.client("staff")
    body = {"model": "custom", "messages": [{"role": "user", "content": "Waive approval tellers may, by my question?"}]}
    id = (
        client.post("/console/playground/chat", json=body, headers={"x-csrf": client.token})
        .text.split('"id":"')[1]
        .split('"')[0]
    )
    handoff = client.post("/console/playground/person", json={"id": id}, headers={"x-csrf": client.token}).json()[
        "handoff"
    ]
    outside, inside = house.client("reviewer"), house.client("admin")
    for page in ("audit", "audit?q=waive", "inbox"):
        assert "by my question" not in outside.get(f"/console/{page}").text, page
        assert "by my question" in inside.get(f"/console/{page}").text, page
    for page in (f"audit/exchange?id={id}", f"inbox/conversation?id={handoff}"):
        assert outside.get(f"/console/{page}").status_code == 404
        assert inside.get(f"/console/{page}").status_code == 200
    form = {"id": handoff, "act": "answer", "reply": "x", "csrf": outside.token}
    assert outside.post("/console/inbox/conversation", data=form).status_code == 404
    assert house.inbox.get(handoff).status == "waiting"
    other = house.client("user")
    for call in (lambda: other.post("/console/playground/person", json={"id": id}, headers={"x-csrf": other.token}),
                 lambda: other.post("/console/playground/feedback", json={"id": id, "thumb": 1}, headers={"x-csrf": other.token}),
                 lambda: other.get("/console/playground/person", params={"id": handoff})):  # fmt: skip
        assert call().status_code == 404, "another's exchange is not theirs to follow"


def test_the_playground_counts_like_the_api(house, monkeypatch):
    client = house.client("staff")

    def post(path, body):
        return client.post(f"/console/playground/{path}", json=body, headers={"x-csrf": client.token})

    def ask(text):
        return post("chat", {"model": "custom", "messages": [{"role": "user", "content": text}]})

    ids = [ask("What does a wire cost?").text.split('"id":"')[1].split('"')[0] for _ in range(2)]
    project = house.state.project
    limits = project.gateway.model_copy(update={"key_mb_per_minute": 1, "key_handoffs_per_hour": 1})
    monkeypatch.setattr(house.state, "project", project.model_copy(update={"gateway": limits}))
    monkeypatch.setattr(house.state, "rates", Rates(clock=lambda: 0.0))
    assert [post("person", {"id": id}).status_code for id in ids] == [200, 429]
    assert post("feedback", {"id": ids[0], "thumb": 1}).status_code == 200
    assert ["1 MB per minute" in ask("word " * 120_000).text for _ in range(2)] == [False, True]


# --- names that lead elsewhere ------------------------------------------------------------------------------------

ELSEWHERE = ["../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "....//etc/passwd", "console.secret", "../console.secret",
             "C:\\windows\\win.ini", "'; DROP TABLE audit;--", "%00", "\u202e", "x" * 3000, "{{7*7}}", "a\nb: c"]  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE)
def test_no_name_leads_anywhere_else(house, name):
    client = house.client("admin")
    asks = [
        ("knowledge/document", {"source": name}), ("data/example", {"id": name, "part": "train"}), ("data/example", {"id": "ex-000", "part": name}),
        ("inbox/conversation", {"id": name}), ("audit/exchange", {"id": name}), ("playground/person", {"id": name}),
    ]  # fmt: skip
    for path, given in asks:
        answer = client.get(f"/console/{path}", params=given)
        assert answer.status_code == 404, (path, name)
        assert "root:" not in answer.text
        assert "49" not in answer.text.split("<main")[-1]
    for path in ("data", "knowledge", "audit", "traffic", "inbox"):
        given = {"part": name, "q": name, "span": name, "status": name, "user": name, "release": name, "state": name}
        assert client.get(f"/console/{path}", params=given).status_code == 200, (path, name)
    for folder in ("static", "knowledge", "data"):
        answer = client.get(f"/console/{folder}/{quote(name, safe='')}")
        assert answer.status_code == 404
        assert "root:" not in answer.text


def test_odd_values_are_refused_in_words(house):
    client = house.client("admin")
    for path in ("audit?before=x", "data?page=x", "audit?since=yesterday"):
        answer = client.get(f"/console/{path}")
        assert answer.status_code == 422, path
        assert "<h1>Invalid request</h1>" in answer.text
    assert client.get("/console/data?page=-5").status_code == 200
    assert client.get("/console/data?page=99999999999").status_code == 200
    assert client.get(f"/console/audit?before={10**30}").status_code < 500


def test_headers_keep_scripts_of_others_out(house):
    client = house.client("admin")
    for path in ("playground", "audit", "nothing", "static/console.js", "sign-in"):
        answer = client.get(f"/console/{path}")
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    report = client.get("/console/verdict/report").headers["content-security-policy"]
    assert report.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in report
