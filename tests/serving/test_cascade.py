"""A cascade from its rungs to a released answer, with a server elsewhere as its first rung."""

import json
import re
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from inhouse.assembly.arms import Arms
from inhouse.assembly.cascade import Ladder, check_rungs
from inhouse.assembly.guard import Parts
from inhouse.assembly.workspace import Workspace
from inhouse.certificate import CascadeReport
from inhouse.chat import ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.config.private import Private
from inhouse.errors import BackendError, ConfigError, GateError
from inhouse.guardrails.confidence import calibration
from inhouse.models.catalog import Catalog
from inhouse.monitoring.alarms import FILE, Alarm, DriftReport, Kept
from inhouse.pipeline import stages
from inhouse.pipeline.opened import built_of
from inhouse.pipeline.stages import evaluate
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases
from inhouse.store.egress import what_left
from inhouse.types import Message

PLAN = re.compile(r"plan (\d)")


class Server(BaseHTTPRequestHandler):
    """Knows the prices of plans, but those of plans 1 and 4 wrong."""

    def do_POST(self):  # noqa: N802
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        asked = PLAN.findall(body["messages"][-1]["content"].casefold())
        n = int(asked[-1]) if asked else 0
        text = f"Plan {n} costs ${n + (93 if n in (1, 4) else 3)}."
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for choice in ({"delta": {"content": text}, "finish_reason": None}, {"delta": {}, "finish_reason": "stop"}):
            self.wfile.write(f"data: {json.dumps({'choices': [{'index': 0, **choice}]})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def elsewhere():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.bodies = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def workspace(write_project, models_dir, elsewhere, tmp_path_factory):
    folder = write_project(tmp_path_factory.mktemp("cascade"))
    with (folder / "tests.jsonl").open("a") as tests:
        for n in range(36):
            asked = ("Charge of plan {}?", "What is the charge for plan {}", "plan {} charge please", "Is plan {} $9?",
                     "I want plan {}. What will you charge?", "The charge of plan {}, thanks")[n // 6]  # fmt: skip
            row = {"id": f"m{n}", "messages": [{"role": "user", "content": asked.format(n % 6)}],
                   "answer": f"Plan {n % 6} costs ${n % 6 + 3}.", "checks": {"must_include": [f"${n % 6 + 3}"]}}  # fmt: skip
            tests.write(f"\n{json.dumps(row)}")
    overrides = {
        "upstream": f'[{{name="prices", url="http://127.0.0.1:{elsewhere.server_port}/v1", model="m"}}]',
        "cascade.rung": '[{upstream="prices", usd=0.001}, {arm="inbox", usd=2.0}]',
        "cascade.max_wrong": "0.9", "cascade.max_loss": "0.9", "curation.validation_share": "0.4", "cascade.skip": "false",
        "evaluation.arms": '["base", "cascade"]', "evaluation.probes": "8", "evaluation.smallest_gain": "0",
        "guardrails.rails": '["pii", "format"]',
        "release.arm": '"cascade"', "release.max_wrong": "1", "release.no_worse": "[]",
    }  # fmt: skip
    return Workspace(load_project(folder, overrides), Catalog(models_dir.parent))


def ask(text):
    return ChatRequest(messages=(Message(role="user", content=text),), max_tokens=40)


@pytest.fixture(scope="module")
def released(workspace):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "FEWEST", 6)  # the project is small
        verdict = evaluate(workspace)
    made = next(a for depth, a in workspace.store.lineage(verdict) if depth == 1 and a.kind == "cascade")
    return made, Releases(workspace).make()


@pytest.mark.slow
def test_what_is_certified_is_released(workspace, released):
    made, release = released
    report = CascadeReport.read(Path(made.path))
    assert made.facts["certified"]
    assert report.recommendation.startswith("Cascade: it saves")
    assert all(c.passed and c.bound <= c.target for c in report.certificates)
    assert [r.name for r in report.rungs] == ["prices rag", "inbox"]
    assert (release.arm, release.cascade) == ("cascade", made.key)
    assert release.settings["upstream"][0]["name"] == "prices"
    assert next(rule for rule in release.gate if rule.name == "certificate").text == report.recommendation
    assert not [c.problem for c in Releases(workspace).verify() if c.problem]


@pytest.mark.slow
async def test_the_release_answers_as_it_was_certified(workspace, released):
    made, release = released
    opened = open_release(workspace, release)
    try:
        reply = await collect(opened.model, ask("What does plan 2 cost?"))
        note = reply.note("cascade", "rung")
        assert reply.text in ("Plan 2 costs $5.", workspace.project.assistant.handoff)
        assert note["rung"] == ("prices rag" if "$5" in reply.text else "inbox")
        assert note["tried"][0]["score"] == pytest.approx(
            reply.finish.confidence or note["tried"][0]["score"], abs=1e-3
        )
        assert {c["risk"] for c in note["certificate"]} == {"wrong", "loss"}
    finally:
        opened.close()


@pytest.mark.slow
async def test_what_may_not_leave_does_not_leave_for_a_rung_without_a_table(workspace, released, elsewhere):
    opened = open_release(workspace, released[1])
    elsewhere.bodies.clear()
    try:
        staff = ask("What is the teller limit for each customer?").model_copy(update={"groups": frozenset({"staff"})})
        await collect(opened.model, staff)
    finally:
        opened.close()
    assert elsewhere.bodies
    assert "$31" not in json.dumps(elsewhere.bodies)
    with workspace.ledger() as ledger:
        assert {left.egress.policy for left in what_left(ledger, upstream="prices")} == {"clear"}


@pytest.mark.slow
async def test_a_void_certificate_is_neither_released_nor_named(workspace, released):
    report = DriftReport(made_at="2026-11-30T20:00:00+00:00", release="plans/1", since="", until="",
                         reference="nothing", usual_days=0, requests=0, monitors=())  # fmt: skip
    alarm = Alarm(monitor="topics", since="2026-11-30T20:00:00+00:00", release="plans/1")
    file = workspace.store.root / FILE
    file.write_text(Kept(report=report, alarms=(alarm,)).model_dump_json())
    try:
        with pytest.raises(GateError, match="certificate is void: drift changed since"):
            Releases(workspace).make()
        opened = open_release(workspace, released[1])
        try:
            note = (await collect(opened.model, ask("What does plan 2 cost?"))).note("cascade", "rung")
        finally:
            opened.close()
        assert "certificate" not in note
    finally:
        file.unlink()


def test_a_rung_that_nobody_may_use_is_refused(workspace):
    closed = workspace.project.model_copy(update={"private": (Private(upstream="prices"),)})
    with pytest.raises(ConfigError, match="lets nothing leave, so the rung would never answer"):
        check_rungs(closed)
    check_rungs(closed.model_copy(update={"private": (Private(upstream="prices", groups={"staff": "clear"}),)}))
    agreeing = workspace.project.cascade.model_copy(update={"score": "agreement"})
    with pytest.raises(ConfigError, match="needs a second answer"):
        check_rungs(workspace.project.model_copy(update={"cascade": agreeing}))


@pytest.mark.slow
async def test_a_rung_is_measured_with_a_policy_that_lets_something_leave_and_without_a_model_here(
    workspace, elsewhere
):
    tables = (Private(upstream="prices", groups={"staff": "clear"}),)
    project = workspace.project.model_copy(update={"private": tables}).at(workspace.project.root)
    there = replace(workspace, project=project, artifacts={})
    arms = Arms(built_of(there, stages.weights(there), None, None, stages.index(there), stages.fusion(there)))
    try:
        rung, parts = check_rungs(project)[0], Parts(there, project)
        elsewhere.bodies.clear()
        reply = await collect(Ladder(parts, {}, measured=True).open(rung, arms), ask("What does plan 2 cost?"))
        assert (reply.text, len(elsewhere.bodies)) == ("Plan 2 costs $5.", 1)
        with pytest.raises(
            BackendError, match="nothing leaves this machine"
        ):  # as it is served, to users without groups
            await collect(Ladder(parts, {}).open(rung, arms), ask("What does plan 2 cost?"))
        assert len(elsewhere.bodies) == 1
    finally:
        arms.close()


@pytest.mark.slow
def test_a_changed_policy_is_not_opened(workspace, released):
    made, release = released
    file = Path(made.path) / "policy.json"
    whole = file.read_text()
    file.chmod(0o600)
    file.write_text(whole.replace('"thresholds":[', '"thresholds":[0.0,'))
    try:
        with pytest.raises(GateError, match="policy"):
            open_release(workspace, release)
    finally:
        file.write_text(whole)
