"""Which model answers to a name: a split of users, or an upstream server with its fallbacks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from inhouse.assembly.private import Border
from inhouse.assembly.wrappers import BASE, CUSTOM, OnDemand
from inhouse.chat import ChatModel
from inhouse.config.sections import Upstream
from inhouse.errors import ConfigError
from inhouse.models.fallback import Breaker, Fallback
from inhouse.models.openai import OpenAIModel
from inhouse.routing.split import Split


def split_custom(experiment: str, arms: Mapping[str, tuple[ChatModel, float]]) -> ChatModel:
    """`custom`, which splits users among the arms by their weights; notes and audit name the experiment."""
    return Split(CUSTOM, experiment, dict(arms))


def upstreams(
    tables: Sequence[Upstream], local: Callable[[str], ChatModel], border: Border | None = None
) -> dict[str, ChatModel]:
    """The models of the [[upstream]] tables by name, each behind the policy of its [[private]] table.

    `local` opens `custom` and `base`, where they are a fallback or answer what may not leave.

    Raises:
        ConfigError: a name is taken or unknown, or a key's environment variable is not set.
    """
    servers: dict[str, ChatModel] = {}
    for table in tables:
        if table.name in servers or table.name in (CUSTOM, BASE) or not table.url:
            raise ConfigError(f"[[upstream]] {table.name}: needs a unique name, and a url")
        servers[table.name] = Breaker(OpenAIModel(table))
        if border and border.has(table.name):
            name = border.local(table.name)
            here = OnDemand(name, partial(local, name)) if name else None
            servers[table.name] = border.around(table.name, servers[table.name], here)
    for table in tables:
        if unknown := [name for name in table.fallback if name not in (*servers, CUSTOM, BASE)]:
            raise ConfigError(f"[[upstream]] {table.name}: fallback {unknown[0]} is not a model of this project")

    def opened(name: str) -> Callable[[], ChatModel]:
        return lambda: servers[name] if name in servers else local(name)

    return {t.name: Fallback(t.name, [opened(name) for name in (t.name, *t.fallback)]) for t in tables}


def upstream(tables: Sequence[Upstream], name: str) -> ChatModel:
    """The server of one [[upstream]] table, without its fallbacks.

    Raises:
        ConfigError: there is no such table, or a key's environment variable is not set.
    """
    table = next((t for t in tables if t.name == name), None)
    if table is None or not table.url:
        raise ConfigError(f"there is no [[upstream]] named {name!r} with a url", "add the table, or correct the name")
    return Breaker(OpenAIModel(table))
