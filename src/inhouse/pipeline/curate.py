"""The data set of a project: what is trained on, and what the verdict asks."""

from __future__ import annotations

from pathlib import Path

from inhouse.assembly.workspace import Workspace
from inhouse.datasets.review import FILE, Reviews
from inhouse.errors import InputError
from inhouse.files import file_sha256
from inhouse.models.openai import OpenAIModel
from inhouse.pipeline.feedback import to_learn
from inhouse.types import Artifact, Json


def make_dataset(workspace: Workspace, documents: Artifact) -> Artifact:
    """The artifact "dataset": train, validation, and test sets of conversations and documents, with a data card.

    Raises:
        InputError: a file of conversations or tests is not there, or cannot be read.
    """
    project, settings = workspace.project, workspace.project.curation
    feedback, held = to_learn(workspace)
    reviews = Reviews(workspace.store.root / FILE)
    conversations = [_readable(project.path(p)) for p in settings.conversations]
    tests = [_readable(project.path(p)) for p in settings.tests]
    inputs: dict[str, Json] = {
        "curation": settings.model_dump(mode="json"),
        "handoff": project.assistant.handoff,
        "teacher": project.teacher.model_dump(mode="json", exclude={"api_key_env", "timeout_s"}),
        "embedder": workspace.embedder_name(project.retrieval),
        "name": project.name,
        "seed": project.seed,
        "content": [file_sha256(f) for f in (*conversations, *tests)],
        "feedback": [e.digest for e in feedback],
        "reviews": reviews.digest,
    }

    def build(work: Path) -> dict[str, Json]:
        from inhouse.datasets.curate import Curator, Sources
        from inhouse.routing.acts import is_courtesy

        anonymizer = workspace.anonymizer() if settings.anonymize else None
        teacher = (OpenAIModel(project.teacher), project.teacher.questions_per_chunk) if project.teacher.url else None
        read = [d for d in workspace.documents(documents) if d.source not in held]
        curator = Curator(
            settings, project.assistant.handoff, project.seed, workspace.embedder, anonymizer, teacher,
            tuple(workspace.embedder_gaps([d.text for d in read])), is_courtesy,
        )  # fmt: skip
        sources = Sources(read, conversations, tests, feedback, reviews.all())
        return curator.curate(sources, work, workspace.progress)

    return workspace.make("dataset", inputs, [documents], ["datasets", "privacy", "text", "routing"], build)


def _readable(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file}: no such file", "name your files under [curation] conversations and tests")
    return file
