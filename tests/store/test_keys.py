import logging
import time

import pytest
import sqlalchemy as sa

from inhouse.errors import BackendError, InputError
from inhouse.store import keys as module
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger
from inhouse.store.tables import now_ms, to_iso


@pytest.fixture
def keys(ledger):
    return Keys(ledger)


def test_a_key_opens_with_its_secret_alone(keys):
    key, secret = keys.create("Ann's laptop \0", "user", ["staff", "all", "staff"], per_minute=30)
    assert keys.check(secret) == key
    assert (key.role, key.groups, key.per_minute, key.revoked_at) == ("user", ("all", "staff"), 30, "")
    for wrong in ("", "ih_", secret[:-1], secret + "x", secret.upper(), "\ud800", key.id):
        assert keys.check(wrong) is None
    assert keys.all() == [key]


async def test_a_loop_asks_the_database_seldom(keys, ledger):
    key, secret = keys.create("ann", "user")
    assert await keys.checked(secret) == key
    asked = []
    sa.event.listen(ledger._engine, "before_cursor_execute", lambda *call: asked.append(call))
    for _ in range(100):
        assert await keys.checked(secret) == key
    assert len(asked) < 10
    assert await keys.checked("ih_wrong") is None
    keys.revoke(key.id)
    assert await keys.checked(secret) is None


def test_the_secret_is_kept_nowhere(keys, ledger, caplog):
    caplog.set_level(logging.DEBUG)
    key, secret = keys.create("ann", "admin")
    keys.check(secret)
    assert len(secret) >= 3 + 32
    with ledger.read() as connection:
        assert secret[3:] not in str(connection.execute(sa.text("SELECT * FROM api_key")).all())
    assert secret[3:] not in caplog.text + repr(key) + repr(keys._read)


def test_a_revoked_key_is_refused_at_once_here_and_soon_elsewhere(keys, url, monkeypatch):
    elsewhere = Keys(Ledger(url))
    key, secret = keys.create("ann", "reviewer")
    assert elsewhere.check(secret) == key
    assert keys.revoke(key.id).revoked_at
    assert keys.check(secret) is None
    assert elsewhere.check(secret) == key  # for FRESH_S at most
    monkeypatch.setattr(module, "FRESH_S", 0)
    assert elsewhere.check(secret) is None
    first = keys.all()[0].revoked_at
    assert keys.revoke(key.id).revoked_at == first
    with pytest.raises(InputError, match="no such key"):
        keys.revoke("none")
    elsewhere.ledger.close()


def test_a_key_made_elsewhere_is_known_soon(keys, url):
    assert keys.check("ih_none") is None
    other = Ledger(url)
    key, secret = Keys(other).create("bob", "user")
    other.close()
    time.sleep(module.RETRY_S)
    assert keys.check(secret) == key


def test_wrong_secrets_do_not_each_ask_the_database(keys, ledger):
    asked = []
    sa.event.listen(ledger._engine, "before_cursor_execute", lambda *call: asked.append(call))
    for n in range(500):
        assert keys.check(f"ih_{n}") is None
    assert len(asked) < 50


def test_a_key_expires_to_the_moment(keys):
    soon = to_iso(now_ms() + 400)
    key, secret = keys.create("ann", "user", expires_at=soon)
    assert key.expires_at == soon
    assert keys.check(secret) == key
    time.sleep(0.5)
    assert keys.check(secret) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": " "}, "name"),
        ({"role": "root"}, "not a role"),
        ({"expires_at": "2001-01-01"}, "past"),
        ({"expires_at": "soon"}, "not a time"),
        ({"per_minute": -1}, "negative"),
    ],
)
def test_keys_that_make_no_sense_are_refused(keys, values, said):
    with pytest.raises(InputError, match=said):
        keys.create(**{"name": "ann", "role": "user", **values})
    assert keys.all() == []


def test_without_the_database_nobody_is_let_in(keys, ledger, tamper, monkeypatch):
    _, secret = keys.create("ann", "user")
    assert keys.check(secret)
    monkeypatch.setattr(module, "FRESH_S", 0)
    tamper("UPDATE api_key SET role = 'user'")
    with ledger.write() as connection:
        connection.execute(sa.text("ALTER TABLE api_key RENAME TO gone"))
    with pytest.raises(BackendError):
        keys.check(secret)
    with ledger.write() as connection:
        connection.execute(sa.text("ALTER TABLE gone RENAME TO api_key"))
    time.sleep(module.RETRY_S)
    assert keys.check(secret)
