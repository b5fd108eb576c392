"""The adapters of domain experts, one for each on the same base model, and the router among them.

Each expert is built like a separate project, from its documents and conversations alone, in a folder of the store: what
one learns depends on no other, so that a new domain trains nothing again. The joint model, the arm `tuned`, is trained
as ever, and knows what everybody may.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.assembly.arms import ADAPTER, ADAPTER_GGUF
from inhouse.assembly.experts import FILE, ROUTER, TESTS, check_experts, domains_of
from inhouse.assembly.workspace import Workspace
from inhouse.config.experts import Expert
from inhouse.config.sections import Project, Storage
from inhouse.datasets.review import FILE as REVIEWS
from inhouse.errors import ConfigError, InputError
from inhouse.evaluation import parity
from inhouse.files import write_text
from inhouse.pipeline.adapters import train_adapter
from inhouse.pipeline.parity import Forms, compare_exports, prompts_of
from inhouse.pipeline.router import MOST, REPORT, opened
from inhouse.pipeline.rows import training_rows
from inhouse.pipeline.sources import TRAINING
from inhouse.routing.classifier import Report, TextClassifier, train
from inhouse.types import Artifact, Example, Json, digest_of
from inhouse.verdict import Parity

FOLDER = "experts"  # in the store: a folder for each expert, with the artifacts that its rows are made from
SOURCE = [*TRAINING, "assembly/experts.py", "pipeline/adapters.py", "pipeline/experts.py", "pipeline/rows.py",
          "routing/classifier.py", "routing/machine.py", "routing/grams.py", "text/words.py"]  # fmt: skip


@dataclass(frozen=True)
class Own:
    """What one expert is made from: its table, its workspace, its index, and its data set."""

    table: Expert
    workspace: Workspace
    index: Artifact
    data: Artifact

    def questions(self) -> list[str]:
        """What the router learns from."""
        return [e.question for e in self.workspace.examples("train", self.data)][:MOST]


def own_project(project: Project, table: Expert) -> Project:
    """The project of one expert alone. Documents that every member of its groups may read are open in it."""
    access = tuple(r for r in project.documents.access if not (table.groups and {*table.groups} <= {*r.groups}))
    only = table.documents or project.documents.only
    tests = table.tests if table.groups else project.curation.tests
    curation = {"conversations": table.conversations, "tests": tests, "where": project.curation.where | table.where}
    return project.model_copy(update={
        "store": Storage(path=str(Path(project.store.path) / FOLDER / table.name), models=project.store.models),
        "documents": project.documents.model_copy(update={"only": only, "access": access}),
        "curation": project.curation.model_copy(update=curation),
        "expert": (),
    }).at(project.root)  # fmt: skip


def make_experts(
    workspace: Workspace, served: Artifact, data: Artifact, stages: Callable[[Workspace], tuple[Artifact, Artifact]]
) -> Artifact:
    """The artifact "experts": a folder 0, 1, ... for each expert, in the order of the fact `experts`, with its adapter,
    as PEFT writes it and as adapter.gguf; the router; and the questions that only members of groups are asked.
    training.max_minutes is for each expert. Each adapter is an artifact "expert", kept under the rows that it learned.

    Args:
        workspace: the project's.
        served: the base.
        data: the data set of the joint model, whose tests no expert learns.
        stages: make the index and the data set of a workspace.

    Raises:
        ConfigError: the tables do not fit together, or an expert has nothing to learn from.
        InputError: files of an expert are not there, or cannot be read.
    """
    project = workspace.project
    check_experts(project)
    made = [_own(workspace, table, stages) for table in project.expert]
    inputs: dict[str, Json] = {
        "experts": [[o.table.name, sorted(o.table.groups), list(o.table.documents), o.index.key, o.data.key]
                    for o in made],
        "training": project.training.recipe(),
        "assistant": project.assistant.model_dump(mode="json"),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "max_false_rejects": project.routing.max_false_rejects,
        "seed": project.seed,
    }  # fmt: skip

    def build(work: Path) -> dict[str, Json]:
        tests = {e.group or e.id for e in workspace.examples("test", data)}
        facts: dict[str, Json] = {}
        domains = []
        for n, own in enumerate(made):
            trained = _expert(workspace, served, own, set() if own.table.groups else tests)
            for name in (ADAPTER, ADAPTER_GGUF):
                _copied(Path(trained.path) / name, work / str(n) / name)
            table = own.table
            domains.append({"name": table.name, "groups": sorted(table.groups), "documents": table.documents,
                            "key": trained.key})  # fmt: skip
            facts[table.name] = trained.facts
        write_text(work / FILE, json.dumps(domains, indent=1, ensure_ascii=False))
        write_text(work / TESTS, "".join(_tests(own) for own in made if own.table.groups))
        report = _router(workspace, made, work)
        accuracy = {"accuracy": round(report.accuracy.mean, 4)} if report.accuracy else {}
        return {"experts": [own.table.name for own in made], "adapters": facts, **accuracy}

    return workspace.make("experts", inputs, [served, data], SOURCE, build)


def _own(workspace: Workspace, table: Expert, stages: Callable[[Workspace], tuple[Artifact, Artifact]]) -> Own:
    """The index and the data set of an expert. What reviewers said of examples holds for them too."""
    project = own_project(workspace.project, table)
    folder = project.path(project.store.path)
    reviews = workspace.store.root / REVIEWS
    if reviews.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / REVIEWS, reviews.read_text(encoding="utf-8"), 0o600)
    own = replace(workspace, project=project, artifacts={}, announce=lambda artifact, fresh: None)
    try:
        index, data = stages(own)
    except InputError as error:
        raise InputError(f"[[expert]] {table.name}: {error}", error.hint) from error
    return Own(table, own, index, data)


def _expert(workspace: Workspace, served: Artifact, own: Own, tests: set[str]) -> Artifact:
    """The adapter of one expert, kept under the rows that it learned: nothing else of the project matters to it."""
    rows, validation, counts = training_rows(own.workspace, own.index, None, own.data, tests)
    if not rows:
        hint = "add conversations whose figures its documents contain, or correct `where`"
        raise ConfigError(f"[[expert]] {own.table.name}: has nothing to learn from", hint)
    settings = workspace.project.training
    sharding = settings.sharding if settings.backend == "local" else "none"  # that of the machines elsewhere
    settings = settings.model_copy(update={"method": "lora", "backend": "local", "sharding": sharding})
    inputs: dict[str, Json] = {
        "rows": digest_of([[row.digest for row in some] for some in (rows, validation)]),
        "training": settings.recipe(),
        "seed": workspace.project.seed,
    }

    def build(work: Path) -> dict[str, Json]:
        facts = train_adapter(workspace, served, rows, validation, settings, work)
        return facts | {f"rows_{name}": n for name, n in counts.items()}

    return workspace.make("expert", inputs, [served], [*TRAINING, "pipeline/adapters.py"], build)


def _router(workspace: Workspace, made: list[Own], work: Path) -> Report:
    """Writes the classifier and its report. It keeps no text: questions of some experts are not for everybody."""
    pairs = [(text, own.table.name) for own in made for text in own.questions()]
    project = workspace.project
    classifier, report = train(
        [text for text, _ in pairs], [name for _, name in pairs], workspace.embedder,
        project.routing.max_false_rejects, project.seed, (),
    )  # fmt: skip
    (work / ROUTER).mkdir(exist_ok=True)
    classifier.save(work / ROUTER)
    write_text(work / ROUTER / REPORT, report.model_dump_json(indent=1))
    return report


def _tests(own: Own) -> str:
    """The test questions of an expert with groups, a line each; their ids are no other's."""

    def line(example: Example) -> str:
        named = {"id": f"{own.table.name}/{example.id}", "group": f"{own.table.name}/{example.group or example.id}"}
        row = example.model_copy(update=named).model_dump(mode="json")
        return json.dumps({"example": row, "groups": sorted(own.table.groups)}) + "\n"

    return "".join(map(line, own.workspace.examples("test", own.data)))


def _copied(source: Path, target: Path) -> None:
    """A file or a folder, whole; what an interrupted run left is replaced."""
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)


def open_router(workspace: Workspace) -> tuple[TextClassifier, Report]:
    """The router of the latest experts, and what held-out questions say of it.

    Raises:
        InputError: there are none, they are damaged, or were made with another embedder.
    """
    made = workspace.store.latest("experts")
    if made is None:
        raise InputError("there are no experts yet", "run `inhouse experts`")
    return opened(Path(made.path) / ROUTER, workspace.embedder)


def make_parity(
    workspace: Workspace, served: Artifact, made: Artifact, plain: Artifact | None,
    found: tuple[Artifact, Artifact, Artifact], engines: tuple[str, ...],
) -> Artifact:  # fmt: skip
    """The artifact "experts_parity": each expert beside the base as it is served, compared with the trained one."""
    inputs: dict[str, Json] = {"parity": workspace.project.parity.model_dump(), "engine": workspace.engine}

    def build(work: Path) -> dict[str, Json]:
        prompts, result = prompts_of(workspace, found), None
        for n, domain in enumerate(domains_of(made)):
            own = made.model_copy(update={"path": str(Path(made.path) / str(n)), "key": f"{made.key}-{n}"})
            forms = Forms(served, own, plain, "", "lora", f"expert {domain.name}, ")
            (work / str(n)).mkdir(exist_ok=True)
            compared = compare_exports(workspace, forms, prompts, work / str(n))
            result = parity.joined(result, compared) if result else compared
        assert isinstance(result, Parity)
        write_text(work / "parity.json", result.model_dump_json(indent=1))
        return result.model_dump(mode="json")

    source = ["evaluation/parity.py", "pipeline/parity.py", "pipeline/experts.py", "training/gguf.py", *engines]
    parents = [served, made, found[2], *([plain] if plain else [])]
    return workspace.make("experts_parity", inputs, parents, source, build)
