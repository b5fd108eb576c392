"""The budgets of a project, for commands, and their alerts in words."""

from __future__ import annotations

from inhouse.assembly.workspace import Workspace
from inhouse.gateway.budgets import BudgetLine, budget_lines, in_words
from inhouse.store.budgets import BudgetAlert


def budgets_of(workspace: Workspace) -> list[BudgetLine]:
    """What was used of each budget in this day and month, those that used the largest share first."""
    with workspace.ledger() as ledger:
        return budget_lines(workspace.project, ledger)


def alert_in_words(alert: BudgetAlert) -> dict[str, str]:
    """An alert as the fields of those that people get: kind, title, text, severity, link, and key."""
    limit, whole = alert.limit, alert.kind == "refused"
    used, most = in_words(alert.spent, limit.most), in_words(limit.most, limit.most)
    done = "refuses requests" if whole else f"has reached {limit.alert_at:.0%}"
    return {
        "kind": "budget", "title": f"The {limit.name} {done}",
        "text": f"{used} of {most} are used. It resets at {alert.resets_at}.",
        "severity": "critical" if whole else "warning", "link": "/costs", "key": alert.key,
    }  # fmt: skip
