"""The server of test_killed.py: a small engine behind rails of hostile_rails.py, each in processes of their own."""

import asyncio
import sys
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Model, Project
from inhouse.gateway import server
from inhouse.gateway.state import State
from inhouse.guardrails.guarded import Guarded, GuardedSettings
from inhouse.guardrails.pool import Pool
from inhouse.models.catalog import Catalog
from inhouse.models.llama import LlamaEngine
from inhouse.serving.fleet import Fleet, Generation
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.traffic import Traffic

BUILDS_S = 2  # the rails, so that a test can ask meanwhile


class Small(Fleet):
    """A fleet of one model, which no release describes."""

    def __init__(self, project, folder, weights):
        super().__init__(Workspace(project.at(folder), Catalog(folder)))
        self._pool, self._folder, self._weights = Pool("hostile_rails", 2), folder, weights

    async def refresh(self):
        if self._generation is None:
            self._generation = await asyncio.to_thread(self._opened_now)

    def _opened_now(self):
        settings = Model(context_tokens=512, parallel=2, threads=1)
        engine = self._engines.take("engine", lambda: LlamaEngine(self._weights, settings))
        rails = self._pool.open({"folder": str(self._folder), "timeout_s": 30, "builds_s": BUILDS_S})
        guarded = Guarded(engine.model("base"), rails, GuardedSettings(handoff="A colleague will help."))
        return Generation(1, models={"custom": guarded})


if __name__ == "__main__":
    folder, project = Path(sys.argv[1]), Project()
    ledger = Ledger(ledger_url(folder))
    state = State(project, Small(project, folder, Path(sys.argv[2])), Audit(ledger), Keys(ledger), Inbox(ledger),
                  Feedback(ledger), Traffic(ledger))  # fmt: skip
    bound = server.listen("127.0.0.1", 0)
    server.serve(state, bound, lambda: print(server.address_of(bound), flush=True))
