"""Domain experts: an adapter each on one base, rights before routing, and nothing trained again for a new domain."""

import asyncio
import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inhouse.assembly.arms import Arms
from inhouse.assembly.experts import check_experts, closed_tests, domains_of
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, collect
from inhouse.cli.main import app
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, GateError, InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.pipeline.check import examine
from inhouse.pipeline.child import make_in_child
from inhouse.pipeline.experts import open_router, own_project
from inhouse.pipeline.opened import built_of
from inhouse.pipeline.stored import write_batch
from inhouse.serving.export import export
from inhouse.serving.open import open_release
from inhouse.serving.releases import Releases
from inhouse.types import Estimate, Message
from inhouse.verdict import Gain, Report

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
EXPERTS = """
arms = ["base", "tuned", "experts", "experts+rag"]
max_questions = 2
[guardrails]
rails = []
[parity]
max_divergence_nats = 10
min_greedy_agreement = 0
[release]
arm = "experts+rag"
max_wrong = 1
no_worse = []
[[expert]]
name = "plans"
conversations = ["log.jsonl"]
documents = ["plan*.md"]
[[expert]]
name = "tellers"
conversations = ["tellers.jsonl"]
documents = ["staff/**"]
groups = ["staff"]
"""
BOATS = """
[[expert]]
name = "boats"
conversations = ["boats.jsonl"]
documents = ["boat.md"]
"""
SECRET = "The teller limit is $31 for each customer."
ASKS = ["what is the limit of a teller", "teller limit?", "how much may a teller hand out", "limit at the counter",
        "may I hand out forty dollars", "how high is the counter limit for one customer", "teller maximum please",
        "which limit holds for tellers"]  # fmt: skip


def asked(model, text, *groups):
    request = ChatRequest(messages=(Message(role="user", content=text),), max_tokens=8, temperature=0.0,
                          groups=frozenset(groups))  # fmt: skip
    return asyncio.run(collect(model, request))


def expert_of(reply):
    return reply.note("router", "expert")["expert"]


def rows_of(name, asks, answer):
    return "\n".join(
        json.dumps({"id": f"{name}{n}", "messages": [{"role": "user", "content": ask},
                                                     {"role": "assistant", "content": answer}]})
        for n, ask in enumerate(asks)
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(write_project, tmp_path_factory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("experts"))
    settings = folder / "inhouse.toml"
    settings.write_text(settings.read_text() + EXPERTS)
    (folder / "tellers.jsonl").write_text(rows_of("t", ASKS, SECRET))
    return folder


def workspace_of(folder, models_dir) -> Workspace:
    return Workspace(load_project(folder), Catalog(models_dir.parent))


@pytest.fixture(scope="module")
def workspace(folder, models_dir) -> Workspace:
    return workspace_of(folder, models_dir)


@pytest.fixture(scope="module")
def made(workspace):
    """Made as the command makes it, each stage in a child process."""
    stages.experts(replace(workspace, delegate=make_in_child, artifacts={}))
    return stages.experts(workspace)


@pytest.fixture(scope="module")
def verdict(workspace, made):
    return stages.evaluate(workspace)


def arms_of(workspace, made):
    at, fused = stages.index(workspace), stages.fusion(workspace)
    return Arms(built_of(workspace, stages.weights(workspace), None, None, at, fused, experts=made))


def test_each_expert_learns_its_own_and_nobody_else_does(workspace, made):
    domains = domains_of(made)
    assert [(d.name, sorted(d.groups)) for d in domains] == [("plans", []), ("tellers", ["staff"])]
    assert made.facts["adapters"]["tellers"]["rows_grounded"] > 0
    data = Path(stages.curate(workspace).path)
    assert "teller limit" not in "".join(f.read_text() for f in data.iterdir() if f.is_file()).casefold()
    kept = "".join(f.read_text(errors="ignore") for f in (Path(made.path) / "router").glob("*.json"))
    assert "counter" not in kept
    tests = closed_tests(made)
    assert {groups for _, groups in tests} == {frozenset(["staff"])}
    assert all(e.id.startswith("tellers/") for e, _ in tests)


def test_the_latest_of_the_project_is_not_that_of_an_expert(workspace, made):
    sources = {d.source for d in workspace.documents()}
    assert {"plan1.md", "staff/secret.md"} <= sources
    assert {d.source for d in workspace.documents() if d.access} == {"staff/secret.md"}


def test_rights_come_before_the_choice(workspace, made):
    with closing(arms_of(workspace, made)) as arms:
        for arm in ("experts", "experts+rag"):
            model = arms.open(arm)
            assert expert_of(asked(model, ASKS[0], "staff")) == "tellers"
            assert expert_of(asked(model, ASKS[0])) != "tellers"
            assert expert_of(asked(model, ASKS[0], "sales")) != "tellers"
            assert expert_of(asked(model, "price of plan 2?")) == "plans"
        found = [asked(model, ASKS[0], *own).note("grounded", "passages") for own in ((), ("staff",))]
        assert [any(SECRET in p["text"] for p in passages) for passages in found] == [False, True]


def test_what_one_adapter_processed_is_no_other_ones(workspace, made):
    with closing(arms_of(workspace, made)) as arms:
        model, engine = arms.open("experts"), arms._engine("base")
        for text, groups in ((ASKS[0], ["staff"]), (ASKS[0], []), ("price of plan 2?", [])):
            asked(model, text, *groups)
        scopes = {slot.scope for slot in engine.slots._free} - {None}
    assert len(scopes) >= 2
    assert {scope.partition(":")[0] for scope in scopes} <= {"None", "0", "1"}


@pytest.mark.slow
def test_a_new_domain_trains_nothing_again_and_changes_no_answer(folder, workspace, made, models_dir, tmp_path):
    grown = tmp_path / "grown"
    shutil.copytree(folder, grown)
    asks = [f"boat number {n}, what does it cost?" for n in range(8)]
    (grown / "boats.jsonl").write_text(rows_of("b", asks, "A boat costs a fortune."))
    (grown / "documents" / "boat.md").write_text("# Boats\n\nA boat costs a fortune.\n")
    settings = (grown / "inhouse.toml").read_text().replace('["log.jsonl"]', '["log.jsonl", "boats.jsonl"]', 1)
    (grown / "inhouse.toml").write_text(settings + BOATS)
    after = workspace_of(grown, models_dir)
    more = stages.experts(after)
    before, now = ({d.name: d.key for d in domains_of(made)}, {d.name: d.key for d in domains_of(more)})
    assert more.key != made.key
    assert {name: now[name] for name in before} == before
    assert now.keys() - before.keys() == {"boats"}
    assert len(after.store.all("expert")) == 3
    texts = [(ASKS[1], "staff"), ("price of plan 2?",), ("how much is plan 4",)]
    with closing(arms_of(workspace, made)) as arms, closing(arms_of(after, more)) as others:
        first, second = ([asked(a.open("experts"), *text) for text in texts] for a in (arms, others))
    assert [r.text for r in first] == [r.text for r in second]
    assert [expert_of(r) for r in second] == ["tellers", "plans", "plans"]


@pytest.mark.slow
def test_the_verdict_asks_members_what_only_they_may_ask(workspace, made, verdict):
    report = Report.read(Path(verdict.path))
    assert {"experts", "experts+rag", "tuned"} <= report.arms.keys()
    assert report.gain("experts", "accuracy", "tuned").n == report.questions
    closed = [q for q in report.table if q.id.startswith("tellers/")]
    assert closed
    answers = [json.loads(line)["answer"] for line in
               (Path(verdict.path) / "answers-experts+rag.jsonl").read_text().splitlines()]  # fmt: skip
    passages = [p["source"] for a in answers if a["id"] == closed[0].id for p in a["passages"]]
    assert passages == ["staff/secret.md"]
    assert "Do not use experts." in report.recommendation.sentence or report.recommendation.arm.startswith("experts")
    assert any("not trained on what only members" in warning for warning in report.recommendation.warnings)


@pytest.mark.slow
def test_closed_questions_go_to_no_other_model(workspace, verdict, tmp_path):
    count = write_batch(workspace, tmp_path / "batch.jsonl", "other")
    assert 0 < count < Report.read(Path(verdict.path)).questions
    assert "tellers/" not in (tmp_path / "batch.jsonl").read_text()


def with_a_gain(workspace, measured):
    """The workspace with a verdict of the same artifacts that passes the gate, as that of a random model cannot."""
    report, better = Report.read(Path(measured.path)), Estimate(mean=0.5, low=0.4, high=0.6, n=40)
    gain = Gain(arm="experts+rag", over="base", metrics={"accuracy": better})

    def build(work):
        (work / "report.json").write_text(report.model_copy(update={"gains": (gain,)}).model_dump_json())
        return dict(measured.facts)

    parents = [a for depth, a in workspace.store.lineage(measured) if depth == 1]
    workspace.store.make("report", workspace.store.inputs(measured) | {"of": "a gain"}, parents, build)
    return workspace


@pytest.mark.slow
def test_a_release_serves_what_was_measured(folder, verdict, models_dir, tmp_path):
    copied = tmp_path / "released"
    shutil.copytree(folder, copied)
    workspace = workspace_of(copied, models_dir)
    release = Releases(with_a_gain(workspace, verdict)).make()
    assert release.arm == "experts+rag"
    assert f"experts/{release.experts}" in release.pins
    opened = open_release(workspace, release)
    try:
        assert expert_of(asked(opened.model, ASKS[0], "staff")) == "tellers"
        assert expert_of(asked(opened.model, ASKS[0])) != "tellers"
    finally:
        opened.close()
    with pytest.raises(ConfigError, match="several adapters and a router"):
        export(workspace, release, tmp_path / "out")
    rights = Path(workspace.store.open("experts", release.experts).path) / "experts.json"
    rights.chmod(0o600)
    rights.write_text(rights.read_text().replace('"staff"', '"sales"'))
    with pytest.raises(GateError, match=r"experts\.json"):
        open_release(workspace, release)


@pytest.mark.slow
def test_each_expert_is_compared_with_its_training(workspace, made):
    checked = stages.experts_parity(workspace)
    names = [v["name"] for v in checked.facts["variants"]]
    assert names == ["expert plans, adapter on f16 base", "expert tellers, adapter on f16 base"]


def test_the_router_is_shown_and_tried(folder, made, workspace):
    classifier, report = open_router(workspace)
    assert set(classifier.names) == report.examples.keys() == {"plans", "tellers"}

    result = CliRunner().invoke(app, ["experts", "--project", str(folder)])
    assert result.exit_code == 0, result.output
    assert [line.split(":")[0] for line in result.stdout.splitlines() if line.endswith("rows")] == ["plans", "tellers"]

    def called(*given):
        result = CliRunner().invoke(app, ["route", *given, "--experts", "--project", str(folder)])
        assert result.exit_code == 0, result.output
        return result.stdout

    assert "plans " in called("show")
    (found,) = json.loads(called("test", "teller limit?", "--json"))
    assert found["probabilities"].keys() == {"plans"}
    (found,) = json.loads(called("test", "teller limit?", "--group", "staff", "--json"))
    assert (found["name"], found["example"]) == ("tellers", "")


def test_a_check_names_the_experts_and_their_groups(workspace):
    item = next(i for i in examine(workspace).items if i.subject == "experts")
    assert (item.ok, item.detail) == (True, "plans, tellers (for staff)")


def test_an_expert_reads_what_all_of_its_members_may(folder):
    project = load_project(folder)
    plans, tellers = project.expert
    assert own_project(project, tellers).documents.access == ()
    assert own_project(project, plans).documents.access == project.documents.access
    wider = tellers.model_copy(update={"groups": ("staff", "sales")})
    assert own_project(project, wider).documents.access == project.documents.access


def test_rows_of_experts_stay_on_this_machine(folder, models_dir, tmp_path):
    copied = tmp_path / "hosted"
    shutil.copytree(folder, copied, ignore=shutil.ignore_patterns("expert", "experts"))
    overrides = {"training.backend": '"hosted"', "training.hosted.url": '"http://127.0.0.1:9"',
                 "training.hosted.model": '"theirs"', "training.max_minutes": "0"}  # fmt: skip
    made = stages.experts(Workspace(load_project(copied, overrides), Catalog(models_dir.parent)))
    assert made.facts["experts"] == ["plans", "tellers"]
    assert not list(copied.rglob("submission.json"))


TABLE = '[[expert]]\nname = "{}"\nconversations = ["{}"]\n'


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ("", r"there is no \[\[expert\]\]"),
        (TABLE.format("a", "log.jsonl") * 2, r"\[\[expert\]\] a: there are two"),
        (TABLE.format("../a", "log.jsonl"), "cannot be the name of a folder"),
        (TABLE.format("", "log.jsonl"), "'': cannot be the name of a folder"),
        (TABLE.format("a", "log.jsonl") + 'groups = ["hr"]\n', "is for hr only, and curation.conversations has it"),
        (TABLE.format("a", "./log.jsonl") + 'groups = ["hr"]\n', "is for hr only, and curation.conversations has it"),
        (TABLE.format("a", "other.jsonl"), "is not under curation.conversations"),
        (TABLE.format("a", "log.jsonl") + 'tests = ["t.jsonl"]\n', "it answers everybody"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(tmp_path, tables, message):
    (tmp_path / "inhouse.toml").write_text(f'[curation]\nconversations = ["log.jsonl"]\n{tables}')
    with pytest.raises(ConfigError, match=message):
        check_experts(load_project(tmp_path))


def test_an_expert_without_its_documents_is_named(folder, models_dir, tmp_path):
    copied = tmp_path / "lost"
    shutil.copytree(folder, copied)
    settings = (copied / "inhouse.toml").read_text().replace('["staff/**"]', '["vault/**"]')
    (copied / "inhouse.toml").write_text(settings)
    workspace = workspace_of(copied, models_dir)
    with pytest.raises(InputError, match=r"\[\[expert\]\] tellers: .*no file matches 'vault/\*\*'"):
        stages.experts(workspace)
    item = next(i for i in examine(workspace).items if i.subject == "experts")
    assert not item.ok
    assert "vault" in item.detail
