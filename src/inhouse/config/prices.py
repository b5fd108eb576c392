"""Checks of the prices of models elsewhere."""

from __future__ import annotations

from inhouse.config.sections import Project
from inhouse.errors import ConfigError


def check_prices(project: Project) -> list[str]:
    """Upstreams without a price beside a budget in US dollars: what they are paid does not count for it.

    Raises:
        ConfigError: a price is for an upstream that does not exist.
    """
    names, priced = [t.name for t in project.upstream], {p.upstream for p in project.costs.price}
    for name in sorted(priced.difference(names)):
        what = f"[[costs.price]] {name}: there is no [[upstream]] of this name"
        raise ConfigError(what, "add the table, or correct the name")
    return [name for name in names if name not in priced] if any(t.usd for t in project.budget) else []
