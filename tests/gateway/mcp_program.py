"""A gateway's state that speaks MCP over standard input and output, for test_mcp.py: `mcp_program.py FOLDER KEY`."""

import sys
from pathlib import Path

from inhouse.config.sections import Project
from inhouse.gateway.mcp import over_stdio
from inhouse.gateway.state import State
from inhouse.models.scripted import Scripted
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.traffic import Traffic


class Models:
    def names(self):
        return ["custom"]

    def model(self, name):
        return Scripted(lambda request: f"You said: {request.messages[-1].content}")

    def trouble(self):
        return ""

    async def refresh(self):
        return False

    def close(self):
        return None


ledger = Ledger(ledger_url(Path(sys.argv[1])))
keys = Keys(ledger)
state = State(Project(), Models(), Audit(ledger), keys, Inbox(ledger), Feedback(ledger), Traffic(ledger))
print("this is not a message")  # goes to standard error once the protocol is spoken; before, clients skip it
over_stdio(state, lambda: keys.holding(sys.argv[2]))
ledger.close()
