"""The verbs of what is kept: API keys and the audit. Nothing heavy at import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from inhouse.config import Project
    from inhouse.store.ledger import Ledger


def ledger_of(project: Project) -> Ledger:
    """The project's database, opened: where [store] url_env or url says, else SQLite in the store's folder.

    Raises:
        ConfigError: the variable that url_env names is not set, or the URL is none.
        BackendError: the database cannot be opened.
    """
    import os

    from inhouse.store.ledger import Ledger, ledger_url
    from inhouse.types import ConfigError

    store = project.store
    url = os.environ.get(store.url_env, "") if store.url_env else store.url
    if store.url_env and not url:
        raise ConfigError(f"[store] url_env: the variable {store.url_env} is not set", "set it to the database's URL")
    return Ledger(ledger_url(project.path(store.path), url))


def add_to(app: typer.Typer) -> None:
    """Adds these verbs to the command line."""
