"""The router's classifier: what it learns from, and the artifact that holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from inhouse.assembly.team import described, procedures_of, written
from inhouse.assembly.tools import tools_of
from inhouse.assembly.workspace import Workspace
from inhouse.config.acting import Agent
from inhouse.config.experts import Expert
from inhouse.config.sections import Project
from inhouse.errors import ConfigError, InputError
from inhouse.files import file_sha256, matches, write_text
from inhouse.routing.classifier import Report, TextClassifier, train
from inhouse.types import Artifact, Document, Embedder, Example, Json, Message, may_read

REPORT = "report.json"
FEW = 5  # examples; agents with fewer also get the headings of their documents
MOST = 2000  # past conversations of an agent
MOST_QUESTIONS = 1000  # past conversations that the documents answered
MOST_HEADINGS = 200  # of an agent
HEADING_CHARS = 120
SOURCE = ["routing/classifier.py", "routing/machine.py", "routing/grams.py", "pipeline/router.py", "text/words.py"]


def make_router(workspace: Workspace, documents: Artifact | None) -> Artifact:
    """The artifact "router": the classifier and report.json (`classifier.Report`).

    Args:
        workspace: of a project with agents.
        documents: for agents with few examples, see `needs_documents`; None without such agents.

    Raises:
        ConfigError: there is no agent, or one has nothing to learn from.
    """
    project = workspace.project
    if not project.agent:
        raise ConfigError("there is no [[agent]] to route to", "write an [[agent]] table, see docs/agents.md")
    own = {agent.name: own_examples(workspace, agent) for agent in project.agent}
    files = _files(project)
    inputs: dict[str, Json] = {
        "agents": {agent.name: [own[agent.name], list(agent.documents)] for agent in project.agent},
        "conversations": [file_sha256(file) for file in files],
        "where": project.curation.where,
        "anonymize": project.curation.anonymize,
        "keep": [project.name, *project.curation.names_to_keep],
        "embedder": workspace.embedder_name(project.retrieval),
        "max_false_rejects": project.routing.max_false_rejects,
        "seed": project.seed,
    }

    def build(work: Path) -> dict[str, Json]:
        learned = {name: list(texts) for name, texts in own.items()}
        past = _past(workspace, files)
        read = workspace.documents(documents) if documents else []
        for agent in project.agent:
            learned[agent.name] += past[agent.name]
            if len(learned[agent.name]) < FEW and _has_documents(workspace, agent):
                learned[agent.name] += headings(agent, read)
            if not learned[agent.name]:
                hint = "write a few messages that belong to it under examples, or in its procedures"
                raise ConfigError(f"agent {agent.name}: has no examples", hint)
        pairs = [(text, name) for name, texts in learned.items() for text in texts]
        private = {text for texts in past.values() for text in texts}
        classifier, report = train(
            [text for text, _ in pairs], [name for _, name in pairs], workspace.embedder,
            project.routing.max_false_rejects, project.seed, {text for text, _ in pairs} - private,
        )  # fmt: skip
        classifier.save(work)
        write_text(work / REPORT, report.model_dump_json(indent=1))
        accuracy = {"accuracy": round(report.accuracy.mean, 4)} if report.accuracy else {}
        return {"agents": len(own), "examples": len(pairs), **accuracy, "false_rejects": report.false_rejects}

    return workspace.make("router", inputs, [documents] if documents else [], SOURCE, build)


def make_team(workspace: Workspace, router: Artifact) -> Artifact:
    """The artifact "team": the agents with their procedures, made from the router (`assembly/team.py`)."""
    project = workspace.project
    made_from = described(project, tools_of(project))
    inputs = {**made_from, "embedder": workspace.embedder_name(project.retrieval)}  # the router has the conversations
    source = ["assembly/team.py", "agents/answers.py", *SOURCE]

    def build(work: Path) -> dict[str, Json]:
        asked = islice(_only_asked(_files(project), project.curation.where), MOST_QUESTIONS)
        questions = _anonymized(workspace, {"": list(asked)})[""]
        return written(made_from, workspace.embedder, work, questions)

    return workspace.make("team", inputs, [router], source, build)


def _files(project: Project) -> list[Path]:
    """The past conversations that the router may learn from."""
    files = [project.path(name) for name in project.curation.conversations] if project.routing.conversations else []
    return [file for file in files if file.is_file()]


def open_router(workspace: Workspace, artifact: Artifact) -> tuple[TextClassifier, Report]:
    """
    Raises:
        InputError: the artifact is damaged, or was made with another embedder.
    """
    return opened(Path(artifact.path), workspace.embedder)


def opened(folder: Path, embedder: Embedder) -> tuple[TextClassifier, Report]:
    """The classifier in a folder with its report.

    Raises:
        InputError: one of them is damaged, or another embedder was used.
    """
    try:
        report = Report.model_validate_json((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / REPORT}: not readable ({error})", "delete the folder and train again") from error
    return TextClassifier.load(folder, embedder), report


def allowed(project: Project, groups: frozenset[str], experts: bool = False) -> set[str]:
    """The agents that members of the groups may talk to, or the experts that they may be answered by."""
    tables: Sequence[Agent | Expert] = project.expert if experts else project.agent
    return {table.name for table in tables if may_read(table.groups, groups)}


def needs_documents(workspace: Workspace) -> bool:
    """Whether some agent has so few examples that headings of its documents are taken too."""
    agents = workspace.project.agent
    return any(len(own_examples(workspace, a)) < FEW and _has_documents(workspace, a) for a in agents)


def own_examples(workspace: Workspace, agent: Agent) -> list[str]:
    """The examples that the project gives for an agent: its own, and those of its procedures with their titles."""
    found = [*agent.examples]
    for procedure in procedures_of(workspace.project)[agent.name].values():
        found += [*procedure.examples, *([procedure.title] if procedure.title else [])]
    return list(dict.fromkeys(found))


def headings(agent: Agent, documents: Sequence[Document]) -> list[str]:
    """The titles and headings of an agent's documents, as stand-ins for messages."""
    found: dict[str, None] = {}
    for document in documents:
        if agent.documents and not matches(document.source, agent.documents):
            continue
        lines = [line.lstrip("#").strip() for line in document.text.splitlines() if line.startswith("#")]
        found |= dict.fromkeys(line[:HEADING_CHARS] for line in [document.title, *lines] if line)
    return list(found)[:MOST_HEADINGS]


def _has_documents(workspace: Workspace, agent: Agent) -> bool:
    """Whether there are documents of this agent rather than of all."""
    return bool(agent.documents) or len(workspace.project.agent) == 1


def _past(workspace: Workspace, files: Sequence[Path]) -> dict[str, list[str]]:
    """By agent, how customers began the conversations that have its name in the field `agent`; anonymized as the
    project wants it."""
    found: dict[str, list[str]] = {agent.name: [] for agent in workspace.project.agent}
    for name, text in _begun(files, workspace.project.curation.where):
        if name in found and len(found[name]) < MOST:
            found[name].append(text)
    return _anonymized(workspace, found)


def _anonymized(workspace: Workspace, found: dict[str, list[str]]) -> dict[str, list[str]]:
    """The texts without personal data, if the project wants that."""
    if not workspace.project.curation.anonymize or not any(found.values()):
        return found
    from inhouse.privacy.anonymize import PLACEHOLDER

    anonymizer = workspace.anonymizer()

    def without_names(text: str) -> str:
        asked = Example(id="", messages=(Message(role="user", content=text),), target="")
        return PLACEHOLDER.sub(" ", anonymizer.anonymize(asked)[0].messages[0].content)

    return {name: [without_names(text) for text in texts] for name, texts in found.items()}


def past(files: Sequence[Path], where: dict[str, Json]) -> Iterator[tuple[dict[str, Json], list[dict[str, Json]]]]:
    """The rows of conversations that fit `where`, each with its messages in OpenAI's format."""
    from inhouse.datasets.containers import rows_of
    from inhouse.datasets.conversations import matches as fits
    from inhouse.datasets.shapes import conversation_of
    from inhouse.datasets.turns import ShapeError

    for file in files:
        for _, row in rows_of(file, lambda said: None):
            if not isinstance(row, dict) or not fits(row, where):
                continue
            try:
                messages = conversation_of(row).messages
            except ShapeError:
                continue  # curation reports it
            yield row, messages


def _begun(files: Sequence[Path], where: dict[str, Json]) -> Iterator[tuple[str, str]]:
    """The agent and the first message of the customer, for each row that has both."""
    for row, messages in past(files, where):
        first = next((m["content"] for m in messages if m["role"] == "user" and m.get("content")), "")
        if first and isinstance(row.get("agent"), str):
            yield row["agent"], str(first)


def _only_asked(files: Sequence[Path], where: dict[str, Json]) -> Iterator[str]:
    """The message of each conversation that has a single one of the customer's, and no call of a tool: a question that
    the documents answered."""
    for _, messages in past(files, where):
        said = [str(m.get("content") or "") for m in messages if m["role"] == "user"]
        if len(said) == 1 and said[0].strip() and not any(m.get("tool_calls") or m["role"] == "tool" for m in messages):
            yield said[0]
