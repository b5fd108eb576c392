"""The budgets of a project, for commands."""

from __future__ import annotations

from inhouse.assembly.workspace import Workspace
from inhouse.gateway.budgets import BudgetLine, budget_lines


def budgets_of(workspace: Workspace) -> list[BudgetLine]:
    """What was used of each budget in this day and month, those that used the largest share first."""
    with workspace.ledger() as ledger:
        return budget_lines(workspace.project, ledger)
