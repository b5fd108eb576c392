"""What people do is in the log, and what was changed behind it is found."""

import hashlib
import io
import json
import subprocess
import sys

import pytest
import sqlalchemy as sa

from inhouse.store.actions import Actor, acting, state_of
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger
from inhouse.store.sessions import Sessions

LATER = ("session", "tool_call", "turn", "rating", "drawn", "budget", "reservation", "alert")
DROPPED = tuple(f"DROP TABLE {table}" for table in LATER)
DANA = Actor(id="k7", name="Dana", at="10.0.0.7")


@pytest.fixture
def dana():
    with acting(DANA):
        yield DANA


@pytest.fixture
async def lived_in(ledger, audit, exchange):
    """A ledger with two keys, a hand-off with a reply, and feedback."""
    keys, inbox, feedback = Keys(ledger), Inbox(ledger), Feedback(ledger)
    key, _ = keys.create("ann", "user", ["staff"])
    other, _ = keys.create("bob", "reviewer")
    one, two = exchange(), exchange()
    await audit.append(one)
    await audit.append(two)
    handoff = inbox.add(one, "declined")
    inbox.answer(handoff, "It costs 25 dollars.", "Dana")
    feedback.add(one.id, "ann", 1)
    feedback.add(one.id, "bob", -1, "too long")
    feedback.add(one.id, "ann", 0, resolved=True)
    assert audit.verify().ok
    return {"key": key, "other": other, "exchange": one, "two": two, "handoff": handoff}


async def test_each_action_says_who_did_what_on_what_and_from_where(ledger, audit, exchange, dana):
    keys, inbox, one = Keys(ledger), Inbox(ledger), exchange()
    key, secret = keys.create("ann", "admin", ["staff"])
    keys.revoke(key.id)
    keys.revoke(key.id)  # changes nothing
    await audit.append(one)
    handoff = inbox.add(one, "declined")
    inbox.add(one, "declined")
    inbox.answer(handoff, "Yes.", "Dana")
    inbox.approve(handoff, "Dana")
    Feedback(ledger).add(one.id, "ann", 1)
    audit.act("signed out")
    found = audit.actions()[::-1]
    assert [a.what for a in found] == [
        "key created", "key revoked", "handed off", "hand-off answered", "hand-off approved", "feedback", "signed out",
    ]  # fmt: skip
    assert {a.by for a in found} == {DANA}
    assert [a.about for a in found] == [key.id, key.id, one.id, one.id, one.id, one.id, ""]
    assert found[0].facts == {"name": "ann", "role": "admin", "groups": ["staff"], "expires_at": "", "per_minute": 0}
    assert audit.actions(about=key.id, limit=1)[0].what == "key revoked"
    assert secret not in str(found)
    assert [seq for seq, _ in audit.find()] == [3]
    assert audit.verify().ok


def test_actions_are_found_by_person_kind_and_page(audit):
    for name, what in (
        ("Dana Whitfield", "signed in"),
        ("Ines 100%", "signed in"),
        ("Dana Whitfield", "audit exported"),
    ):
        with acting(Actor(id=f"key-{name[:4]}", name=name, at="10.0.0.7")):
            audit.act(what)

    def found(**conditions):
        return [(a.seq, a.what) for a in audit.actions(**conditions)]

    assert found(by="whitfield") == [(3, "audit exported"), (1, "signed in")]
    assert found(by="key-Ines") == found(by="100%") == [(2, "signed in")]
    assert found(by="_") == found(by="%a") == found(what=["key created"]) == []
    assert found(what=["signed in", "signed out"]) == [(2, "signed in"), (1, "signed in")]
    assert found(before=3, limit=1) == [(2, "signed in")]
    assert found(before=2) == [(1, "signed in")]


def test_outside_of_the_gateway_it_is_the_user_of_the_machine(ledger, audit):
    audit.act("tried")
    by = audit.actions()[0].by
    assert by.id.startswith("os:")
    assert by.at


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("UPDATE api_key SET role = 'admin' WHERE role = 'user'", "api_key"),
        ("UPDATE api_key SET revoked_at = '2026' WHERE role = 'user'", "api_key"),
        ("UPDATE api_key SET digest = 'of another secret' WHERE role = 'user'", "api_key"),
        ("DELETE FROM api_key WHERE role = 'user'", "api_key"),
        ("""INSERT INTO api_key SELECT 'x', 'y', name, 'admin', "groups", expires_at, per_minute, created_at, revoked_at
            FROM api_key WHERE role = 'user'""", "api_key"),
        ("UPDATE handoff SET content = replace(content, '25', '20')", "handoff"),
        ("UPDATE handoff SET status = 'approved'", "handoff"),
        ("DELETE FROM handoff", "handoff"),
        ("UPDATE feedback SET thumb = 1 WHERE thumb = -1", "feedback"),
        ("DELETE FROM feedback WHERE thumb = -1", "feedback"),
        ("DELETE FROM feedback", "feedback"),
    ],
)  # fmt: skip
async def test_what_was_changed_behind_the_log_is_found(audit, lived_in, tamper, change, where):
    tamper(change)
    found = audit.verify()
    assert not found.ok
    assert found.reason.startswith(f"{where} ")
    assert "outside of inhouse" in found.reason


@pytest.fixture
def signed_in(ledger):
    """The tokens of two sessions, the second of them ended, and their sessions."""
    sessions = Sessions(ledger)
    tokens = [sessions.begin("oidc:eve", {"key": "oidc:eve", "claims": {"groups": ["staff"]}}, 3600) for _ in range(2)]
    sessions.end(tokens[1])
    return tokens, sessions


FORGED = "INSERT INTO session SELECT :digest, key, at_ms, seen_ms, until_ms, content FROM session"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE session SET content = replace(content, 'staff', 'admins')", "was changed"),
        ("UPDATE session SET key = 'k1'", "was changed"),
        ("UPDATE session SET until_ms = until_ms + 1000000", "was changed"),
        (FORGED, "was added"),
    ],
)
def test_a_session_that_nobody_began_is_found(audit, signed_in, tamper, change, said):
    assert audit.verify().ok
    tamper(change, **({"digest": "d" * 64} if ":digest" in change else {}))
    found = audit.verify()
    assert not found.ok
    assert found.reason.startswith("session ")
    assert said in found.reason


def test_a_session_that_was_ended_is_not_put_back(audit, signed_in, tamper):
    tokens, sessions = signed_in
    tamper(FORGED, digest=hashlib.sha256(tokens[1].encode()).hexdigest())
    assert sessions.find(tokens[1]), "it is as it was"
    assert "was added" in audit.verify().reason


def test_sessions_that_end_in_any_way_are_no_change(ledger, audit, signed_in, tamper):
    tokens, sessions = signed_in
    tamper("UPDATE session SET seen_ms = seen_ms - 120000")
    assert sessions.find(tokens[0]), "and its last use is written"
    assert audit.verify().ok
    tamper("UPDATE session SET seen_ms = 0")
    sessions.begin("k1", {"key": "k1"}, 3600)  # deletes the one that is over
    assert audit.verify().ok
    assert sessions.stop("all") == 1
    assert audit.verify().ok


async def test_an_upgrade_is_not_repeated(url, ledger, audit, lived_in, tamper):
    """Whoever sets the schema back has the next command record what they changed."""
    with ledger.write() as connection:
        for change in ("UPDATE api_key SET role = 'admin'", *DROPPED, "DROP INDEX ix_audit_about",
                       "CREATE TABLE kept AS SELECT seq, about FROM audit", "ALTER TABLE audit DROP COLUMN about",
                       "UPDATE alembic_version SET version_num = '0001'"):  # fmt: skip
            connection.execute(sa.text(change))
    upgraded = Ledger(url)
    try:
        tamper("UPDATE audit SET about = (SELECT about FROM kept WHERE kept.seq = audit.seq) WHERE kind = 'action' "
               "AND reason != 'recorded by an upgrade'")  # fmt: skip
        found = audit.verify()
        assert not found.ok
        assert "upgrade" in found.reason
    finally:
        upgraded.close()


def test_other_things_are_compared_too(audit):
    release = {"name": "bank", "version": 1}
    audit.act("release made", changed=[state_of("release", "bank/1", release)])
    assert audit.verify(others={"release": {"bank/1": release}}).ok
    assert audit.verify(others={"elsewhere": {"x": 1}}).ok, "nothing was recorded of it"
    assert "bank/1 was changed" in audit.verify(others={"release": {"bank/1": release | {"version": 2}}}).reason
    assert "bank/1 was deleted" in audit.verify(others={"release": {}}).reason
    assert "bank/2 was added" in audit.verify(others={"release": {"bank/1": release, "bank/2": release}}).reason


async def test_a_redaction_erases_actions_on_the_exchange(ledger, audit, lived_in, dana):
    Feedback(ledger).add(lived_in["two"].id, "Xaver", 1, "XYZZY")
    audit.redact(lived_in["exchange"].id, "Dana", "asked to")
    audit.redact(lived_in["two"].id, "Dana", "asked to")
    assert audit.verify().ok
    redacted = "exchange redacted"
    assert [a.what for a in audit.actions()] == [redacted, redacted, "key created", "key created"]
    last = audit.actions(what=[redacted], by=DANA.id)[0]
    assert (last.by, last.about, last.facts) == (DANA, lived_in["two"].id, {"by": "Dana", "why": "asked to"})
    out = io.StringIO()
    audit.export(out)
    rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert "Xaver" not in out.getvalue()
    assert [r["reason"] for r in rows if r["kind"] == "action" and r["about"] == lived_in["two"].id] == ["feedback"]
    assert json.loads(rows[-1]["content"])["actor"]["at"] == "10.0.0.7"


async def test_an_upgrade_records_what_is_there(url, ledger, audit, lived_in, tamper):
    """As if an earlier version had written it all: then a change is found from the upgrade on."""
    with ledger.write() as connection:
        for change in (*DROPPED, "DROP INDEX ix_audit_about", "DELETE FROM audit WHERE kind != 'exchange'",
                       "ALTER TABLE audit DROP COLUMN about", "UPDATE alembic_version SET version_num = '0001'"):  # fmt: skip
            connection.execute(sa.text(change))
        rows = connection.execute(sa.text("SELECT seq, hash FROM audit ORDER BY seq")).all()
        assert len(rows) == 2
        connection.execute(sa.text("DELETE FROM audit"))
        connection.execute(sa.text("UPDATE audit_head SET seq = 0, hash = :hash"), {"hash": "0" * 64})
    upgraded = Ledger(url)
    try:
        assert audit.verify().ok
        assert {a.what for a in audit.actions()} == {"recorded by an upgrade"}
        tamper("UPDATE api_key SET role = 'admin' WHERE role = 'user'")
        assert "api_key" in audit.verify().reason
    finally:
        upgraded.close()


def test_processes_act_on_one_log(url, ledger, audit):
    code = (
        "import sys; from inhouse.store.ledger import Ledger; from inhouse.store.keys import Keys\n"
        "keys = Keys(Ledger(sys.argv[1]))\n"
        "for n in range(10): keys.create(f'key {n}', 'user')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(2)]
    for n in range(10):
        audit.act("tried", facts={"n": n})
    assert [process.wait() for process in running] == [0, 0]
    assert audit.verify().rows == 30
    assert audit.verify().ok
