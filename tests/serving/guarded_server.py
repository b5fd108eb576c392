"""A server over a real project whose releases are answered by scripted models, for test_guarding.py and
benchmarks/rollback.py.

    python guarded_server.py FOLDER [KEY=VALUE...]

Files in FOLDER say how the challenger answers: with `bad` it is not confident, with `failing` it fails; and with `crash`
the process is killed between the record of a change of what is served and the change.
"""

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.assembly.wrappers import served
from inhouse.chat import Delta, Finish, Usage
from inhouse.config.load import load_project
from inhouse.errors import BackendError
from inhouse.evaluation.report import METRICS
from inhouse.gateway import server
from inhouse.gateway.state import State
from inhouse.serving import fleet, releases
from inhouse.serving.open import Opened
from inhouse.serving.releases import MEASURED, Releases, label
from inhouse.serving.start import watched
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.keys import Keys
from inhouse.store.traffic import Traffic
from inhouse.types import Estimate
from inhouse.verdict import ArmResult, Gain, Parity, Percentiles, Recommendation, Report, Subject

CHALLENGER = "bank/2"
ANSWER_S = 0.02


def workspace_of(folder, **overrides):
    if not (folder / "inhouse.toml").exists():
        (folder / "inhouse.toml").write_text('name = "bank"\n[model]\nparallel = 8\n[gateway]\nkey_per_minute = 0\n')
    return Workspace(load_project(folder, {"gateway.rail_processes": "false", **overrides}))


def make_releases(workspace, count=2):
    """Releases of made-up verdicts over artifacts with made-up contents."""
    gain = Estimate(mean=0.2, low=0.1, high=0.3, n=40)
    ms = Percentiles(p50=1, p95=2, p99=3)
    for n in range(count):
        figures = dict.fromkeys(METRICS, gain) | {"unsupported": Estimate(mean=0, low=-0.1, high=0.1, n=40)}
        wrong = Estimate(mean=0.02, low=0, high=0.04, n=40)
        result = ArmResult(
            metrics={"accuracy": gain, "wrong": wrong}, latency_ms=ms, first_token_ms=ms, prompt_tokens=1,
            answer_tokens=1, usd_per_1000=0, seconds=1, failed=0,
        )  # fmt: skip
        report = Report(
            subject=Subject(project="bank", base_model="b", parity=Parity(passed=True)), questions=40,
            arms=dict.fromkeys(("base", "rag"), result), gains=(Gain(arm="rag", over="base", metrics=figures),),
            recommendation=Recommendation(arm="rag", sentence=""),
        )  # fmt: skip

        def build(work, report=report):
            (work / "report.json").write_text(report.model_dump_json())
            (work / "few_shot.jsonl").write_text("")
            return {"recommended": "rag"}

        parents = [
            workspace.store.make(kind, {"of": kind}, (), lambda work: {}) for kind in ("weights", "index", "fusion", "adapter", "dataset", "parity")
        ]  # fmt: skip
        settings = {s: getattr(workspace.project, s).model_dump(mode="json") for s in MEASURED[1:]}
        workspace.store.make("report", {"name": "bank", **settings, "n": n}, parents, build)
        Releases(workspace).make()


class Answering:
    """A model whose confidence is that of its release."""

    def __init__(self, folder, release):
        self.name, self._folder, self._ours = release, folder, release == CHALLENGER

    async def stream(self, request):
        await asyncio.sleep(ANSWER_S)
        if self._ours and (self._folder / "failing").exists():
            raise BackendError("the challenger fails")
        low = 0.55 if self._ours and (self._folder / "bad").exists() else 0.75
        yield Delta(text=f"{self.name} says so.")
        yield Finish(reason="stop", usage=Usage(completion_tokens=3), confidence=random.uniform(low, low + 0.25))


def main():
    folder = Path(sys.argv[1])
    workspace = workspace_of(folder, **dict(pair.split("=", 1) for pair in sys.argv[2:]))

    def opened(workspace, release, *more):
        return Opened(served(label(release), release.arm, Answering(folder, label(release)), True), lambda: None)

    fleet.open_release = opened
    fleet.open_base = lambda workspace, release, *more: Opened(Answering(folder, "base"), lambda: None)
    replace = os.replace

    def replaced(*paths):
        if (folder / "crash").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        replace(*paths)

    releases.os = type("os", (), {"replace": staticmethod(replaced)})
    ledger = workspace.open_ledger()
    Releases(workspace).note()
    state = State(
        workspace.project, fleet.Fleet(workspace), Audit(ledger), Keys(ledger), Inbox(ledger), Feedback(ledger),
        Traffic(ledger),
    )  # fmt: skip
    bound = server.listen("127.0.0.1", 0)
    server.serve(watched(state, workspace), bound, lambda: print(server.address_of(bound), flush=True))
    server.leave()


if __name__ == "__main__":
    main()
