"""Domain experts opened: one adapter for each on the base, behind the router that chooses among those that the caller
may be answered by.

The artifact "experts" is complete: the adapters in the order of experts.json, the router's classifier, and the test
questions that only members of a group are asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from inhouse.chat import ChatModel
from inhouse.config.sections import Project
from inhouse.errors import ConfigError, InputError
from inhouse.routing.classifier import TextClassifier
from inhouse.routing.experts import Experts
from inhouse.types import Artifact, Embedder, Example, Record

FILE, ROUTER, TESTS = "experts.json", "router", "tests.jsonl"


class Domain(Record):
    """One expert of an artifact: who is answered by it, the documents that it answers from, and the key of the artifact
    with its training."""

    name: str
    groups: frozenset[str] = frozenset()
    documents: tuple[str, ...] = ()
    key: str = ""


def check_experts(project: Project) -> None:
    """
    Raises:
        ConfigError: a name is used twice, weights would stay at a service, or the joint model would learn what only
            members of a group may know, or not learn what everybody may.
    """
    if not project.expert:
        raise ConfigError("there is no [[expert]] to train", "write an [[expert]] table, see docs/experts.md")
    names = [table.name for table in project.expert]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise ConfigError(f"[[expert]] {twice}: there are two of that name", "rename one")
    bad = next((name for name in names if not name or Path(name).name != name or name.startswith(".")), None)
    if bad is not None:  # "" is no name either: the router calls the fallback so
        raise ConfigError(f"[[expert]] {bad!r}: cannot be the name of a folder", "use letters and digits")
    if project.training.backend == "hosted" and project.training.hosted.endpoint:
        what = "[[expert]] needs weights, and training.hosted.endpoint = true leaves them at the service"
        raise ConfigError(what, "train where the weights come back, see docs/training.md")
    joint = {project.path(file).resolve() for file in project.curation.conversations}
    for table in project.expert:
        for file in table.conversations:
            listed, about = project.path(file).resolve() in joint, f"[[expert]] {table.name}: conversations: {file}"
            if table.groups and listed:
                what = f"{about} is for {', '.join(table.groups)} only, and curation.conversations has it too"
                raise ConfigError(what, "remove it there, or everybody's model learns it")
            if not table.groups and not listed:
                what = f"{about} is not under curation.conversations"
                raise ConfigError(what, "add it there, or the joint model does not learn what this expert does")
        if table.tests and not table.groups:
            raise ConfigError(f"[[expert]] {table.name}: tests: it answers everybody", "use curation.tests")


def domains_of(made: Artifact) -> list[Domain]:
    """The experts of an artifact, in the order of its adapters.

    Raises:
        InputError: it is gone or damaged.
    """
    file = Path(made.path) / FILE
    try:
        return [Domain.model_validate(row) for row in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read ({error})", "run `inhouse build` again") from error


def closed_tests(made: Artifact) -> list[tuple[Example, frozenset[str]]]:
    """The questions that only members of groups are asked, with these groups."""
    lines = (Path(made.path) / TESTS).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [(Example.model_validate(row["example"]), frozenset(row["groups"])) for row in rows]


def open_experts(
    name: str, made: Artifact, embedder: Embedder, expert: Callable[[Domain], ChatModel], fallback: ChatModel
) -> ChatModel:
    """The experts of an artifact behind their router; `expert` opens one of them.

    Raises:
        InputError: the artifact is damaged, or was made with another embedder.
    """
    domains = domains_of(made)
    router = TextClassifier.load(Path(made.path) / ROUTER, embedder)
    groups = {domain.name: domain.groups for domain in domains}
    return Experts(name, router.predict, {d.name: expert(d) for d in domains}, groups, fallback)
