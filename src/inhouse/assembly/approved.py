"""The replies of the inbox that people approved, as data and documents are made from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from inhouse.assembly.workspace import Workspace
from inhouse.types import Json

if TYPE_CHECKING:
    from inhouse.store.inbox import Handoff


def approved_replies(workspace: Workspace) -> list[Handoff]:
    """The approved replies of the inbox, oldest first, but those to requests that asked not to be stored; none where
    nothing was ever served."""
    if not workspace.was_served():
        return []
    from inhouse.store.audit import Audit
    from inhouse.store.inbox import Inbox

    with workspace.ledger() as ledger:
        audit = Audit(ledger)
        asked = [(h, audit.get(h.exchange_id)) for h in Inbox(ledger).approved()]
        audit.close()
    return [h for h, exchange in asked if exchange is None or may_store(exchange.parameters)]


def may_store(parameters: Mapping[str, Json]) -> bool:
    """Whether a request with these parameters allows that anything but the audit log keeps it."""
    return parameters.get("store") is not False
