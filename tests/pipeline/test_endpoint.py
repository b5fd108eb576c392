"""A service that trains and keeps the weights: the verdict asks it, and a release of it pins its name. The service is
on loopback."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from inhouse.assembly.guard import Parts
from inhouse.assembly.private import border_of, check_oracle
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, GateError
from inhouse.evaluation.agreement import agreement
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.serving.edge import export_edge
from inhouse.serving.export import export
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases
from inhouse.store.egress import what_left
from inhouse.types import Message
from inhouse.verdict import Report

PROGRAM = Path(__file__).parents[1] / "training" / "fine_tuning_api.py"
MODEL = "ft:theirs:me"


def test_agreement_is_equal_words_and_overlap():
    same, overlap = agreement([("a b c", "a  b\nc"), ("a b c d", "a b x y"), ("", ""), ("a", "")])
    assert same == 0.5
    assert overlap == pytest.approx((1 + 0.5 + 1 + 0) / 4)


@pytest.fixture(scope="module")
def service():
    """Its URL, and a function that tells it what to do, and says what it was asked."""
    with subprocess.Popen([sys.executable, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        url = f"http://127.0.0.1:{int(child.stdout.readline())}"

        def control(**values):
            data = json.dumps(values).encode() if values else None
            with urllib.request.urlopen(urllib.request.Request(f"{url}/control", data)) as answer:
                return json.load(answer)

        yield url, control
        child.stdin.close()


@pytest.fixture(scope="module")
def opened(write_project, models_dir, service, tmp_path_factory):
    """Opens the project, with other settings, and others of the service, if some are given."""
    folder = write_project(tmp_path_factory.mktemp("endpoint"))

    def made(settings=None, **more):
        hosted = {"provider": "openai", "url": f"{service[0]}/v1", "model": "theirs", "endpoint": True,
                  "api_key_env": "KEY_OF_TEST"} | more  # fmt: skip
        overrides = {f"training.hosted.{key}": json.dumps(value) for key, value in hosted.items()} | {
            "training.backend": '"hosted"', "training.poll_s": "0.01", "training.rank": "16",
            "evaluation.arms": '["base", "tuned", "tuned+rag"]', "evaluation.smallest_gain": "0",
            "guardrails.rails": '["pii", "format"]', "release.arm": '"tuned"', "release.max_wrong": "1",
            "release.no_worse": "[]", **(settings or {}),
        }  # fmt: skip
        return Workspace(load_project(folder, overrides), Catalog(models_dir.parent))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEY_OF_TEST", "secret-key-of-test")
        yield made


@pytest.fixture(scope="module")
def verdict(opened, service):
    made = stages.evaluate(opened())
    return made, service[1]()


@pytest.mark.slow
def test_without_consent_nothing_is_sent(opened, service):
    with pytest.raises(ConfigError, match="gives no weights"):
        stages.train(opened(endpoint=False))
    assert service[1]()["seen"] == []


@pytest.mark.slow
def test_the_verdict_asks_the_service_and_reports_agreement(opened, verdict):
    made, seen = verdict
    workspace = opened()
    custom = stages.train(workspace)
    assert [f.name for f in Path(custom.path).glob("*.gguf")] == []
    assert json.loads((Path(custom.path) / "endpoint.json").read_text())["model"] == MODEL
    report = Report.model_validate_json((Path(made.path) / "report.json").read_text())
    assert (report.subject.parity.same_answers, report.subject.parity.overlap) == (1.0, 1.0)
    assert report.subject.parity.prompts == 5
    assert report.arms["tuned"].metrics["accuracy"].mean > report.arms["base"].metrics["accuracy"].mean
    assert "asked twice it answered 100" in (Path(made.path) / "report.html").read_text()
    assert {asked["model"] for asked in seen["asked"]} == {MODEL}
    passages = [asked for asked in seen["asked"] if "Plan 1 costs $4." in json.dumps(asked["messages"])]
    assert len(passages) >= 2  # twice with passages
    assert {authorization for _, authorization in seen["seen"]} == {"Bearer secret-key-of-test"}
    kept = [f for f in Path(custom.path).rglob("*") if f.is_file() and b"secret-key" in f.read_bytes()]
    assert kept == []


@pytest.mark.slow
async def test_a_release_pins_the_name_and_asks_the_service(opened, verdict, service, tmp_path):
    workspace = opened()
    release = Releases(workspace).make()
    assert next(rule for rule in release.gate if rule.name == "agreement").passed
    opened_release = open_release(workspace, release)
    try:
        question = ChatRequest(messages=(Message(role="user", content="What does plan 1 cost?"),), max_tokens=20)
        assert (await collect(opened_release.model, question)).text == "Plan 1 costs $4."
    finally:
        opened_release.close()
    assert service[1]()["asked"][-1]["model"] == MODEL
    for refused in (lambda: export(workspace, release, tmp_path / "out"),
                    lambda: export_edge(workspace, release, tmp_path / "edge")):  # fmt: skip
        with pytest.raises(ConfigError, match="answers at the endpoint that trained it"):
            refused()
    file = Path(stages.train(workspace).path) / "endpoint.json"
    whole = file.read_text()
    file.chmod(0o600)
    file.write_text(whole.replace(MODEL, "ft:another"))
    try:
        with pytest.raises(GateError, match=r"endpoint\.json"):
            open_release(workspace, release)
    finally:
        file.write_text(whole)


@pytest.mark.slow
async def test_what_leaves_is_recorded_and_closed_documents_do_not(opened, verdict, service):
    workspace = opened({"release.arm": '"tuned+rag"'})
    with workspace.ledger() as ledger:
        before = len(what_left(ledger, upstream="hosted"))
        assert before >= 2 * 5  # the questions that were asked twice
    release = Releases(workspace).make()
    closed, free = "What is the teller limit for each customer?", "What does plan 1 cost? I am Mary Sample."
    said = await answers(workspace, release, closed, free, groups={"staff"})
    passages = [json.dumps(asked["messages"]) for asked in service[1]()["asked"][-2:]]
    assert "$31" not in passages[0]
    assert "Plan 1 costs $4." in passages[1]
    assert said[1].text == "Plan 1 costs $4."
    with workspace.ledger() as ledger:
        left = what_left(ledger, upstream="hosted")
    assert len(left) == before + 2
    assert {entry.egress.policy for entry in left} == {"clear"}


@pytest.mark.slow
async def test_a_policy_replaces_personal_data_or_answers_here(opened, verdict, service):
    table = {"upstream": "hosted", "default": "surrogates", "groups": {"board": "local-only"}, "local": "base"}
    workspace = opened({"release.arm": '"tuned"', "private": inline([table])})
    release = Releases(opened()).make()
    question = "I am Mary Sample. What does plan 1 cost?"
    (elsewhere,) = await answers(workspace, release, question)
    count = len(service[1]()["asked"])
    assert "Mary Sample" not in json.dumps(service[1]()["asked"][-1])
    (here,) = await answers(workspace, release, question, groups={"board"})
    assert len(service[1]()["asked"]) == count
    assert [n.kind for n in (*elsewhere.notes, *here.notes) if n.layer == "private"] == ["egress", "local"]


@pytest.mark.parametrize(
    ("table", "message"),
    [({"local": "base"}, "default policy cannot be local-only"),
     ({"default": "clear"}, "answers at the service"),
     ({"default": "clear", "local": "base", "never": ["X"]}, "no kind 'X'")],
)  # fmt: skip
def test_policies_that_cannot_hold_are_refused(opened, table, message):
    workspace = opened({"private": inline([{"upstream": "hosted"} | table])})
    with pytest.raises(ConfigError, match=message):
        border_of(Parts(workspace, workspace.project))


def test_the_oracle_would_send_closed_documents(opened):
    with pytest.raises(ConfigError, match="oracle would send passages"):
        check_oracle(opened({"evaluation.arms": '["base", "oracle"]'}).project)


def inline(value) -> str:
    """The value in TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(v)}" for key, v in value.items()) + "}"
    return "[" + ", ".join(map(inline, value)) + "]" if isinstance(value, list) else json.dumps(value)


async def answers(workspace, release, *questions, groups=()):
    opened_release = open_release(workspace, release)
    try:
        asked = [ChatRequest(messages=(Message(role="user", content=q),), max_tokens=20, groups=frozenset(groups))
                 for q in questions]  # fmt: skip
        return [await collect(opened_release.model, request) for request in asked]
    finally:
        opened_release.close()


@pytest.mark.slow
def test_a_model_that_contradicts_itself_is_refused(opened, verdict, service):
    service[1](varies=True)
    try:
        workspace = opened(min_overlap=0.9)  # its answers differ in one word of four
        with pytest.raises(GateError, match=r"agreement refused: ft:theirs:me was asked 5 questions twice"):
            stages.evaluate(workspace)
    finally:
        service[1](varies=False)
