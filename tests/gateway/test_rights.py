"""The groups of a caller when an approved call is run: of the key, or of the person as the provider told last."""

import pytest

from inhouse.config.gateway import Gateway
from inhouse.errors import InputError
from inhouse.gateway.rights import Rights
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.sessions import Sessions
from inhouse.tools import Caller

SETTINGS = Gateway.model_validate(
    {"oidc": {"issuer": "https://login.example", "allowed_groups": ["staff", "clerks"], "admins": ["boss"]}}
)
EVE = Caller(user="oidc:eve", key="oidc:eve", groups=frozenset({"staff", "money"}))


@pytest.fixture
def ledger(tmp_path):
    made = Ledger(ledger_url(tmp_path))
    yield made
    made.close()


def sign_in(ledger, *groups):
    claims = {"sub": "eve", "groups": list(groups)}
    return Sessions(ledger).begin("oidc:eve", {"key": "oidc:eve", "claims": claims}, 3600)


def test_a_person_has_the_groups_of_the_last_sign_in(ledger, monkeypatch):
    rights = Rights(Keys(ledger), SETTINGS)
    assert rights(EVE) is None, "nobody has signed in"
    monkeypatch.setattr("inhouse.store.sessions.now_ms", iter(range(1_000, 9_000, 10)).__next__)
    sign_in(ledger, "staff", "money")
    assert rights(EVE).groups == {"staff", "money"}
    token = sign_in(ledger, "clerks")
    assert rights(EVE).groups == {"clerks"}
    sign_in(ledger, "elsewhere")
    with pytest.raises(InputError, match="may not sign in"):
        rights(EVE)
    assert Rights(Keys(ledger), Gateway())(EVE) is None, "there is no provider any more"
    assert token


def test_a_session_that_is_over_tells_nothing(ledger, monkeypatch):
    token = sign_in(ledger, "staff", "money")
    Sessions(ledger).end(token)
    assert Rights(Keys(ledger), SETTINGS)(EVE) is None
    sign_in(ledger, "staff")
    monkeypatch.setattr("inhouse.store.sessions.now_ms", lambda: 4_000_000_000_000)
    assert Rights(Keys(ledger), SETTINGS)(EVE) is None


def test_a_key_has_its_groups_until_it_is_revoked(ledger):
    keys = Keys(ledger)
    key, _ = keys.create("shop", "reviewer", ["staff"])
    rights, caller = Rights(keys, SETTINGS), Caller(user="ann", key=key.id, groups=frozenset({"staff"}))
    assert rights(caller) == caller.model_copy(update={"role": "reviewer"})
    keys.revoke(key.id)
    with pytest.raises(InputError, match="revoked"):
        rights(caller)


@pytest.mark.parametrize("key", ["os:root", ""])
def test_who_uses_this_machine_keeps_the_rights_of_then(ledger, key):
    caller = Caller(user="root", key=key, groups=frozenset({"staff"}))
    assert Rights(Keys(ledger), SETTINGS)(caller) == caller
