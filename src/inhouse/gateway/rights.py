"""The rights that callers of tools have now, for calls that run while their caller is not there."""

from __future__ import annotations

from inhouse.config.gateway import Gateway
from inhouse.gateway.console.oidc import Provider
from inhouse.store.keys import Keys
from inhouse.store.sessions import Sessions
from inhouse.tools import Caller

PERSON = "oidc:"  # begins the key of somebody who signed in at the provider


class Rights:
    """Returns the caller with the groups and the role of now: those of the API key, or those that the provider told
    when the person signed in last. None if the person is not signed in any more. Whoever uses this machine has the
    rights that the call was proposed with.

    Raises:
        InputError: the key is revoked or has expired, or the project file does not admit the person any more.
    """

    def __init__(self, keys: Keys, settings: Gateway) -> None:
        self._keys, self._sessions = keys, Sessions(keys.ledger, settings.session_idle_minutes * 60)
        self._issuer, self._provider = settings.oidc.issuer, Provider(settings.oidc)

    def __call__(self, caller: Caller) -> Caller | None:
        if caller.key.startswith(PERSON):
            session = self._sessions.latest(caller.key) if self._issuer else None
            if session is None:
                return None
            person = self._provider.person(session.get("claims", {}))
            return caller.model_copy(update={"groups": person.groups, "role": person.role})
        if ":" in caller.key or not caller.key:
            return caller
        key = self._keys.holding(caller.key)
        return caller.model_copy(update={"groups": frozenset(key.groups), "role": key.role})
