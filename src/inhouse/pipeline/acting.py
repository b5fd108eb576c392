"""A team of agents over what is built, without a release, for the command line and for measurements."""

from __future__ import annotations

from inhouse.assembly.arms import Arms
from inhouse.assembly.guard import Parts
from inhouse.assembly.team import desk_of, open_team, read_team
from inhouse.assembly.tools import tools_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatModel
from inhouse.pipeline.opened import calibration_of
from inhouse.pipeline.stages import team
from inhouse.store.calls import StoredCalls
from inhouse.store.ledger import Ledger
from inhouse.store.turns import StoredTurns


def team_of(workspace: Workspace, arms: Arms, arm: str, ledger: Ledger) -> ChatModel:
    """The project's agents around an arm; what they do is in the ledger.

    Raises:
        ConfigError: a table of an agent or a tool is wrong.
    """
    made = team(workspace)
    assert made is not None
    parts = Parts(workspace, workspace.project, calibration_of(workspace))
    desk = desk_of(tools_of(workspace.project), StoredCalls(ledger), StoredTurns(ledger), parts)
    return open_team(read_team(workspace.store, made, workspace.embedder), arms, arm, desk, parts)
