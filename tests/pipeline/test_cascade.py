import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from inhouse.assembly.cascade import check_private_arm, check_rungs
from inhouse.assembly.standing import standing
from inhouse.assembly.workspace import Workspace
from inhouse.certificate import NEVER, CascadeReport
from inhouse.config.load import load_project
from inhouse.config.sections import Project
from inhouse.errors import ConfigError, GateError
from inhouse.models.catalog import Catalog
from inhouse.pipeline.cascade import RECORDED, Recorded, _export
from inhouse.pipeline.questions import parted, sample
from inhouse.pipeline.stages import cascade, curate, evaluate
from inhouse.serving.releases import Releases
from inhouse.store.egress import what_left
from inhouse.types import Artifact, Example, Message
from inhouse.verdict import Report

RUNGS = '[{arm="rag"}, {arm="rag", model="%s", name="other"}, {arm="inbox", usd=2.0}]'


def project(**cascade_keys):
    return Project.model_validate({"cascade": cascade_keys})


@pytest.mark.parametrize(
    ("rungs", "message"),
    [
        ([{}], "at least two rungs"),
        ([{}, {}], "two rungs have this name"),
        ([{"arm": "inbox"}, {}], "a person is the last rung"),
        ([{}, {"upstream": "large"}], "there is no [[upstream]] large"),
        ([{}, {"arm": "tuned", "model": "m"}], "tuned is of the project's own model"),
        ([{}, {"model": "m", "upstream": "large"}], "both `model` and `upstream`"),
    ],
)
def test_rungs_that_make_no_cascade_are_refused(rungs, message):
    with pytest.raises(ConfigError) as error:
        check_rungs(project(rung=rungs))
    assert message in str(error.value)


def example(n, group=""):
    return Example(id=f"t{n}", messages=(Message(role="user", content=f"Question {n}?"),), target="Yes.", group=group)


def test_the_certificate_has_questions_that_the_verdict_does_not_ask(tmp_path):
    examples = [example(n, f"g{n // 4}") for n in range(40)]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "test.jsonl").write_text("".join(json.dumps(e.to_openai()) + "\n" for e in examples))
    data = Artifact(kind="dataset", key="k", parents=(), path=str(folder), facts={}, made_at="", seconds=0)
    settings = project(rung=[{}, {"arm": "inbox"}], held_out=0.3).at(tmp_path)
    verdict, held = parted(Workspace(settings), data)
    assert (len(verdict), len(held)) == (28, 12)
    assert not {e.group for e in verdict} & {e.group for e in held}
    assert parted(Workspace(Project().at(tmp_path)), data) == (examples, [])


def test_what_rungs_did_is_json_and_a_person_has_no_time(tmp_path):
    some, nothing = np.ones((2, 2), dtype=bool), np.zeros((2, 2), dtype=bool)
    seconds = np.array([[0.25, np.nan], [1.5, np.nan]])
    done = Recorded(np.array([[0.5, np.nan]] * 2), some, nothing, np.array([0.1, 2.0]), seconds, seconds, {})
    _export(tmp_path, done, [example(1), example(2, "g")], 1, np.array([[0.5], [0.25]]))
    lines = (tmp_path / RECORDED).read_text().splitlines()
    rows = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    assert [(row["split"], row["group"]) for row in rows] == [("selection", "t1"), ("certificate", "g")]
    assert [[rung["ms"] for rung in row["rungs"]] for row in rows] == [[250.0, None], [1500.0, None]]
    assert [[rung["score"] for rung in row["rungs"]] for row in rows] == [[0.5, None], [0.25, None]]


def test_a_sample_of_the_questions_keeps_conversations_whole():
    turns = [example(n, f"g{n // 4}").model_copy(update={"turn": n % 4 + 1}) for n in range(40)]
    some, more = sample(turns, 10, 3), sample(turns, 20, 3)
    assert len(some) == 8
    assert {e.id for e in some} <= {e.id for e in more}  # a larger fit asks these again
    assert all(sum(e.group == g for e in some) == 4 for g in {e.group for e in some})
    assert sample(turns, 0, 3) == turns


@pytest.fixture(scope="module")
def laddered(built, tiny_gguf, models_dir):
    overrides = {"cascade.rung": RUNGS % tiny_gguf, "evaluation.arms": '["base", "rag", "cascade"]'}
    return Workspace(load_project(built, overrides), Catalog(models_dir.parent))


@pytest.mark.slow
def test_a_cascade_of_models_that_know_nothing_goes_to_the_person(laddered):
    made = cascade(laddered)
    report = CascadeReport.read(Path(made.path))
    assert not made.facts["certified"]
    assert report.recommendation.startswith("Do not cascade")
    assert report.thresholds == (NEVER, NEVER) or report.certified.share_up == 1
    assert set(made.facts["not_scored"]) == {"tiny.gguf rag", "other"} - {"tiny.gguf rag"} | {"rag"}
    rows = [json.loads(line) for line in (Path(made.path) / RECORDED).read_text().splitlines()]
    assert len({row["rungs"][1]["score"] for row in rows} - {0.0, 1.0}) <= 1  # of "rag", on which no score was fitted
    splits = [row["split"] for row in rows]
    assert report.questions == {"selection": splits.count("selection"), "certificate": splits.count("certificate")}
    assert np.isfinite([rung["score"] for row in rows for rung in row["rungs"][:2]]).all()
    assert {e.id for e in parted(laddered, curate(laddered))[1]} <= {r["id"] for r in rows if r["split"] != "selection"}


@pytest.mark.slow
def test_a_certificate_is_void_once_something_changed(laddered):
    report = CascadeReport.read(Path(cascade(laddered).path))
    assert report.void(standing(laddered)) == ""
    assistant = laddered.project.assistant.model_copy(update={"instructions": "Answer in verse."})
    changed = laddered.project.model_copy(update={"assistant": assistant}).at(laddered.project.root)
    assert report.void(standing(Workspace(changed, laddered.catalog))) == "prompt"


@pytest.mark.slow
def test_the_verdict_has_the_cascade_and_the_gate_refuses_it(laddered):
    verdict = evaluate(laddered)
    arm = Report.read(Path(verdict.path)).arms["cascade"]
    assert arm.usd_per_1000 == pytest.approx(2000, rel=0.6)  # nearly all go to the person
    assert arm.metrics["answered"].mean < 0.5
    settings = laddered.project.release.model_copy(update={"arm": "cascade"})
    project = laddered.project.model_copy(update={"release": settings}).at(laddered.project.root)
    releases = Releases(Workspace(project, laddered.catalog))
    with pytest.raises(GateError, match="Do not cascade"):
        releases.make()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, "no rung is an upstream"),
        ({"upstream": True}, "send the test questions to large"),
        ({"upstream": True, "private": {"upstream": "large"}}, "lets nothing leave"),
        ({"upstream": True, "private": {"upstream": "large", "groups": {"a": "clear"}}}, ""),
    ],
)
def test_the_private_arm_sends_only_what_some_policy_allows(keys, message):
    settings = {
        "cascade": {"rung": [{}, {"upstream": "large"} if keys else {"arm": "inbox"}]},
        "upstream": [{"name": "large", "url": "http://127.0.0.1:1/v1", "model": "m"}],
        "private": [keys["private"]] if "private" in keys else [],
    }
    if not message:
        check_private_arm(Project.model_validate(settings))
        return
    with pytest.raises(ConfigError) as error:
        check_private_arm(Project.model_validate(settings))
    assert message in str(error.value)


class Large(BaseHTTPRequestHandler):
    """A model elsewhere: it says the last question again, and keeps what it was sent."""

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(json.dumps(body))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        delta = {"content": f"You said: {body['messages'][-1]['content'][-60:]}"}
        for choice in ({"delta": delta, "finish_reason": None}, {"delta": {}, "finish_reason": "stop"}):
            self.wfile.write(f"data: {json.dumps({'choices': [{'index': 0, **choice}]})}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")


@pytest.fixture
def large():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Large)
    server.bodies = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_the_verdict_compares_the_cascade_with_surrogates_to_the_plain_one(built, models_dir, large, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(built, folder)
    url = f"http://127.0.0.1:{large.server_address[1]}/v1"
    overrides = {
        "cascade.rung": '[{arm="rag"}, {arm="rag", upstream="large", usd=0.01}]',
        "upstream": f'[{{name="large", url="{url}", model="m"}}]',
        "private": '[{upstream="large", default="clear"}]',
        "evaluation.arms": '["base", "cascade", "cascade+private"]',
    }
    workspace = Workspace(load_project(folder, overrides), Catalog(models_dir.parent))
    report = Report.read(Path(evaluate(workspace).path))
    compared = report.compared("cascade+private", "cascade")
    assert compared is not None
    assert compared.metrics["accuracy"].low <= 0
    left = what_left(workspace.open_ledger(), limit=1000)
    assert {e.egress.policy for e in left} == {"clear", "surrogates"}
    assert len(left) == len(large.bodies)
