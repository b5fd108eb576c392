"""The page of actions: who did what, found by person, kind, and time; for admins and auditors."""

import ast
from pathlib import Path
from typing import get_args

import pytest

import inhouse
from inhouse.gateway.console.audited import A_PAGE, KINDS
from inhouse.serving.state import Kind
from inhouse.store.actions import UPGRADED, Actor, acting
from inhouse.store.anchors import anchor, place_of
from inhouse.store.inbox import Status

SOURCES = Path(inhouse.__file__).parent


def act(house, who, what, about="", **facts):
    with acting(Actor(id=f"k-{who[:3]}", name=who, at="10.0.0.7")):
        house.audit.act(what, about, facts)


def rows(page):
    return page.split("<tr>")[2:]


@pytest.fixture(scope="module")
def lived_in(house_of, tmp_path_factory):
    folder = tmp_path_factory.mktemp("actions")
    made = house_of(folder, audit={"anchor": f"file:{folder}/heads.jsonl"})
    made.secrets["auditor"] = made.keys.create("Otto Brandt", "auditor")[1]
    yield made
    made.close()


def test_it_is_for_admins_and_auditors(lived_in):
    for who, status in (("admin", 200), ("auditor", 200), ("reviewer", 403), ("user", 403)):
        client = lived_in.client(who)
        page = client.get("/console/actions")
        assert page.status_code == status, who
        assert ("/console/actions" in client.get("/console/playground").text) == (status == 200), who
    auditor = lived_in.client("auditor")
    opened = {name: auditor.get(f"/console/{name}").status_code for name in ("audit", "settings", "inbox", "data")}
    assert opened == {"audit": 200, "settings": 403, "inbox": 403, "data": 403}
    assert lived_in.client().get("/console/actions").status_code == 303


def test_actions_are_found_by_person_kind_and_time(lived_in):
    act(lived_in, "Grace Park", "release promoted", "releases", production="bank/3")
    act(lived_in, "Grace Park", "audit exported", entries=9)
    act(lived_in, "Grace <b>Mock", "audit exported", entries=7)
    client = lived_in.client("admin")

    def found(**search):
        return rows(client.get("/console/actions", params=search).text)

    assert len(found(by="grace park")) == len(found(by="k-Gra", kind="Exports")) == 2
    (promoted,) = found(by="grace", kind="Releases")
    assert 'href="/console/settings#releases">release bank/3</a>' in promoted
    assert "Grace &lt;b&gt;Mock" in found(by="<b>")[0]
    assert not found(by="grace", until="2026-01-01")
    assert len(found(by="grace", since="2026-01-01")) == 3
    assert client.get("/console/actions?since=yesterday").status_code == 422
    keys = found(kind="API keys")
    assert all("Key created" in row and 'href="/console/settings#key-' in row for row in keys)


def test_pages_of_actions_follow_one_another(lived_in):
    for n in range(A_PAGE + 5):
        act(lived_in, "Pat Long", "feedback", f"exchange-{n}", thumb=1)
    client = lived_in.client("auditor")
    first = client.get("/console/actions?by=pat").text
    assert len(rows(first)) == A_PAGE
    older = first.split(">Older</a>")[0].rsplit('href="', 1)[1].split('"')[0].replace("&amp;", "&")
    second = client.get(older).text
    assert len(rows(second)) == 5
    assert ">Older</a>" not in second
    assert ">Newest</a>" in second


def test_it_shows_the_state_of_the_chain_and_its_last_anchor(lived_in):
    client = lived_in.client("admin")
    assert "Set <code>[audit] anchor</code>" not in client.get("/console/actions").text
    place = place_of(lived_in.state.project.audit.anchor, Path(), "First National Bank")
    anchor(lived_in.audit, place)
    act(lived_in, "Pat Long", "feedback", "exchange-1", thumb=1)
    page = client.get("/console/actions").text
    assert "heads.jsonl; 1 entry since" in page
    act(lived_in, "server", "anchoring failed", why="heads.jsonl: disk full")
    assert "disk full" in client.get("/console/actions").text.split("<form role")[0]
    verified = client.post("/console/actions/verify", data={"csrf": client.token}).text
    assert "entries are unchanged, and all 1 anchored heads are part of the log" in verified
    Path(place.name).write_text("")
    verified = client.post("/console/actions/verify", data={"csrf": client.token}).text
    assert "The log does not verify" in verified
    assert "is not there" in verified


def test_every_kind_of_action_belongs_to_a_group():
    """A new action without a group would be missing from every choice of the page."""
    known = {what for whats in KINDS.values() for what in whats}
    named = {f"release {kind}" for kind in get_args(Kind)} | {f"hand-off {status}" for status in get_args(Status)}
    named.add(UPGRADED)
    for file in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
                "act", "record", "_record",
            ):  # fmt: skip
                named |= {a.value for a in node.args[:3] if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    assert named - known - {"", "cancelled", "handed off"} == set()
    assert len(named) > 20
