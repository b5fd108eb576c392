"""The flow on one page: each stage makes an artifact from artifacts, and asks for what it needs first.

    ingest -> index -> curate -> fusion -> train -> parity -> evaluate

A stage whose artifact is there already returns it at once, so any verb may be called at any time.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from pathlib import Path

from inhouse.assembly.arms import Arms, Built, open_grounding
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatModel
from inhouse.config.sections import Project
from inhouse.errors import GateError, InputError
from inhouse.files import file_sha256
from inhouse.models.catalog import WEIGHTS
from inhouse.models.openai import OpenAIModel
from inhouse.pipeline.feedback import approved_replies, reply_documents
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.retrieval.grounded import Grounding, ungrounded
from inhouse.retrieval.search import Index, gold_passages
from inhouse.text.support import SUPPORTED
from inhouse.training.rows import Mixer, Row
from inhouse.types import Artifact, Example, Json, Passage
from inhouse.verdict import DataFacts, Parity, RetrievalFacts, Subject, TrainingFacts

PARITY_PROMPTS = 8

Stage = Callable[[Workspace], Artifact]


def stage(make: Stage) -> Stage:
    """A stage is asked for by many others; in one run it is looked up once."""

    @functools.wraps(make)
    def once(workspace: Workspace) -> Artifact:
        if make.__name__ not in workspace.done:
            workspace.done[make.__name__] = make(workspace)
        return workspace.done[make.__name__]

    return once


# --- stages -----------------------------------------------------------------------------------------------------


@stage
def ingest(workspace: Workspace) -> Artifact:
    """Documents read: documents.jsonl and report.json; after them what people replied in the inbox."""
    from inhouse.documents.folder import folder_digest
    from inhouse.documents.load import load_documents
    from inhouse.pipeline.feedback import add_documents

    settings = workspace.project.documents
    folder = workspace.project.path(settings.path)
    inputs: dict[str, Json] = {
        "documents": settings.model_dump(mode="json"),
        "content": folder_digest(folder, settings),
    }
    approved = approved_replies(workspace)
    if approved:
        inputs |= {"replies": [h.digest for h in approved], "anonymize": workspace.project.curation.anonymize}

    def build(work: Path) -> dict[str, Json]:
        summary = load_documents(folder, settings, workspace.store.cache("documents"), work, workspace.progress)
        facts = summary.model_dump(mode="json")
        if approved:
            add_documents(work / "documents.jsonl", reply_documents(workspace, approved, work / "documents.jsonl"))
            facts["replies"] = len(approved)
        return facts | {"failures": [{"path": f["path"], "reason": f["reason"]} for f in facts["failures"]]}

    return workspace.make("documents", inputs, [], ["documents"], build)


@stage
def index(workspace: Workspace) -> Artifact:
    """Documents cut into chunks, embedded and indexed; what did not change is carried over from the index before."""
    from inhouse.documents.load import read_documents
    from inhouse.retrieval.index import build_index

    documents = ingest(workspace)
    settings = workspace.project.retrieval
    inputs = {"embedder": settings.embedder, "chunk_tokens": settings.chunk_tokens}

    def build(work: Path) -> dict[str, Json]:
        earlier = workspace.store.latest("index")
        previous = Path(earlier.path) if earlier else None
        read = read_documents(Path(documents.path) / "documents.jsonl")
        return build_index(read, workspace.embedder, settings, work, previous, workspace.progress)

    source = ["retrieval/chunk.py", "retrieval/index.py", "models/embed.py"]
    return workspace.make("index", inputs, [documents], source, build)


@stage
def curate(workspace: Workspace) -> Artifact:
    """Conversations and documents turned into train, validation and test sets with a data card."""
    from inhouse.datasets.curate import Curator, Sources
    from inhouse.datasets.review import FILE, Reviews
    from inhouse.documents.load import read_documents
    from inhouse.privacy.anonymize import Anonymizer

    documents = ingest(workspace)
    project, settings = workspace.project, workspace.project.curation
    # What members of a group were told stays out: nobody can be kept from what a model has learned.
    feedback = [h.example for h in approved_replies(workspace) if not h.groups]
    reviews = Reviews(workspace.store.root / FILE)
    logs = [_readable(project.path(p)) for p in settings.conversations]
    tests = [_readable(project.path(p)) for p in settings.tests]
    inputs: dict[str, Json] = {
        "curation": settings.model_dump(mode="json"),
        "handoff": project.assistant.handoff,
        "teacher": project.teacher.model_dump(mode="json", exclude={"api_key_env", "timeout_s"}),
        "embedder": project.retrieval.embedder,
        "name": project.name,
        "seed": project.seed,
        "content": [file_sha256(f) for f in (*logs, *tests)],
        "feedback": [e.digest for e in feedback],
        "reviews": reviews.digest,
    }

    def build(work: Path) -> dict[str, Json]:
        keep = [project.name, *settings.names_to_keep]
        anonymizer = Anonymizer(workspace.catalog.find(SPACY_MODEL, project.root), keep) if settings.anonymize else None
        teacher = (OpenAIModel(project.teacher), project.teacher.questions_per_chunk) if project.teacher.url else None
        read = read_documents(Path(documents.path) / "documents.jsonl")
        curator = Curator(settings, project.assistant.handoff, project.seed, workspace.embedder, anonymizer, teacher)
        return curator.curate(Sources(read, logs, tests, feedback, reviews.all()), work, workspace.progress)

    return workspace.make("dataset", inputs, [documents], ["datasets", "privacy", "text"], build)


@stage
def fusion(workspace: Workspace) -> Artifact:
    """The fusion of the index, tuned on questions of people, or on made ones as well where those are few."""
    from inhouse.retrieval.fusion import ENOUGH_QUESTIONS, MOST_QUESTIONS, fit_fusion

    at, data = index(workspace), curate(workspace)
    settings = workspace.project.retrieval

    def build(work: Path) -> dict[str, Json]:
        opened = Index(Path(at.path), workspace.embedder)
        given = [e for e in (*_examples(data, "validation"), *_examples(data, "train")) if e.answerable]
        asked = sorted(given, key=lambda e: e.origin == "synthetic")[:MOST_QUESTIONS]
        if sum(e.origin != "synthetic" for e in asked) >= ENOUGH_QUESTIONS:
            asked = [e for e in asked if e.origin != "synthetic"]
        gold = [(e, _holding(workspace, opened, e)) for e in asked]
        grounding = Grounding(opened, workspace.embedder, settings, workspace.project.assistant)
        return fit_fusion(opened, grounding, gold, settings.passages, work, workspace.progress)

    return workspace.make("fusion", {"passages": settings.passages}, [at, data], ["retrieval"], build)


@stage
def weights(workspace: Workspace) -> Artifact:
    """The base model as it is served: model.gguf in the quantization of the project file."""
    from inhouse.training.convert import convert
    from inhouse.training.gguf import quantize

    kind = workspace.project.model.quantization
    file = workspace.base if workspace.base.suffix == ".gguf" else workspace.base / WEIGHTS
    marks = [file] if file.is_file() else sorted(workspace.base.glob("*.safetensors"))
    inputs = {"quantization": kind, "content": [file_sha256(_readable(m)) for m in marks]}

    def build(work: Path) -> dict[str, Json]:
        out = work / WEIGHTS
        if not file.is_file():
            return convert(workspace.base, out, "q8_0" if kind == "as_is" else kind)
        if kind == "as_is":
            out.write_bytes(file.read_bytes())
            return {"kind": kind}
        return quantize(file, out, kind)

    return workspace.make("weights", inputs, [], ["training/gguf.py", "training/convert.py"], build)


@stage
def train(workspace: Workspace) -> Artifact:
    """The custom model: model.gguf as it is served, and for LoRA a PEFT folder and adapter.gguf too."""
    from inhouse.training import gguf, local
    from inhouse.training.job import TrainingJob

    served, at, fused, data = weights(workspace), index(workspace), fusion(workspace), curate(workspace)
    project, settings = workspace.project, workspace.project.training
    inputs: dict[str, Json] = {
        "training": settings.model_dump(mode="json"),
        "assistant": project.assistant.model_dump(mode="json"),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "seed": project.seed,
        "served": "merged",
    }

    def build(work: Path) -> dict[str, Json]:
        rows, validation, counts = training_rows(workspace)
        job = TrainingJob(
            rows=tuple(rows), validation=tuple(validation), base=workspace.base, name=project.model.base,
            settings=settings, seed=project.seed,
        )  # fmt: skip
        facts = local.train(job, work, workspace.progress)
        file = workspace.base if workspace.base.suffix == ".gguf" else workspace.base / WEIGHTS
        base = file if file.is_file() else Path(served.path) / WEIGHTS
        kind = "q8_0" if project.model.quantization == "as_is" else project.model.quantization
        if settings.method == "lora":
            gguf.adapter_to_gguf(work / "adapter", base, work / "adapter.gguf")
            gguf.merge(work / "adapter", base, work / WEIGHTS, kind)
        elif settings.method == "full":
            gguf.replace_weights(work / "weights", base, work / WEIGHTS, kind)
        else:
            facts |= gguf.prompt_to_gguf(work / "adapter", base, work / WEIGHTS, kind)
        return facts | {f"rows_{name}": n for name, n in counts.items()}

    return workspace.make("adapter", inputs, [served, at, fused, data], ["training"], build)


def training_rows(workspace: Workspace) -> tuple[list[Row], list[Row], dict[str, int]]:
    """What the model learns from, what stops its training, and the counts of the first by kind."""
    at, fused, data = index(workspace), fusion(workspace), curate(workspace)
    project = workspace.project
    opened = Index(Path(at.path), workspace.embedder, Path(fused.path))
    mixer = Mixer(
        grounder=Grounding(opened, workspace.embedder, project.retrieval, project.assistant),
        gold=lambda e: gold_passages(opened, e.question, e.sources),
        ungrounded=lambda messages: ungrounded(messages, project.assistant), support=workspace.support,
        settings=project.training, handoff=project.assistant.handoff, seed=project.seed,
    )  # fmt: skip
    chosen = _examples(data, "train")[: project.training.max_examples or None]
    learned, counts = mixer.rows(chosen, workspace.progress)
    held, _ = mixer.rows(_examples(data, "validation")[:24] or chosen[:8], workspace.progress)
    return learned, held, counts


@stage
def parity(workspace: Workspace) -> Artifact:
    """The served model compared with the trained one: parity.json. The gate is `refuse_without_parity`."""
    from inhouse.pipeline.parity import compare_exports

    served, custom, data = weights(workspace), train(workspace), curate(workspace)
    settings = workspace.project.parity
    grounding = grounding_of(workspace)
    examples = _examples(data, "test")[:PARITY_PROMPTS] or _examples(data, "train")[:PARITY_PROMPTS]
    prompts = [grounding.ground(e.messages, grounding.passages(e.messages)) for e in examples]

    def build(work: Path) -> dict[str, Json]:
        return compare_exports(workspace, served, custom, prompts, work).model_dump(mode="json")

    source = ["evaluation/parity.py", "pipeline/parity.py", "training/gguf.py"]
    return workspace.make("parity", {"parity": settings.model_dump()}, [served, custom, data], source, build)


def refuse_without_parity(artifact: Artifact) -> None:
    """Raises:
    GateError: the served model is not the trained one; says which step moved it.
    """
    if not artifact.facts["passed"]:
        hint = f"see {artifact.path}/parity.json; another model.quantization may do"
        raise GateError(f"parity refused: {artifact.facts['moved']}", hint)


@stage
def evaluate(workspace: Workspace) -> Artifact:
    """The verdict: every arm's answers, report.json and report.html."""
    from inhouse.pipeline.evaluate import Questions, headline, judge_arms

    served, at, fused, data = weights(workspace), index(workspace), fusion(workspace), curate(workspace)
    project, settings = workspace.project, workspace.project.evaluation
    custom = train(workspace) if customizes(project) else None
    compared = parity(workspace) if custom else None
    if compared:
        refuse_without_parity(compared)
    parents = [served, at, fused, data, *([custom] if custom else []), *([compared] if compared else [])]
    inputs: dict[str, Json] = {
        "evaluation": settings.model_dump(mode="json"),
        "assistant": project.assistant.model_dump(mode="json"),
        "model": project.model.model_dump(mode="json"),
        "judge": project.judge.model_dump(mode="json", exclude={"api_key_env", "timeout_s"}),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "guardrails": project.guardrails.model_dump(mode="json"),
        "name": project.name,
    }
    calibrated = calibration_of(workspace)
    parents += [calibrated] if calibrated else []

    def build(work: Path) -> dict[str, Json]:
        opened = Index(Path(at.path), workspace.embedder, Path(fused.path))
        guard = guard_of(workspace, report=True)
        arms = Arms(Built(project, workspace.embedder, workspace.support, served, custom, at, fused, guard))
        try:
            examples = _drawn(_examples(data, "test"), settings.max_questions, project.seed)
            gold = {e.messages: gold_passages(opened, e.question, e.sources) for e in examples}
            questions = Questions(examples, _examples(data, "train"), gold)
            subject = _subject(workspace, data, fused, custom, compared)
            return headline(judge_arms(workspace, arms, questions, subject, work))
        finally:
            arms.close()

    source = [
        "evaluation",
        "assembly",
        "pipeline/evaluate.py",
        "verdict.py",
        "retrieval",
        "models/llama.py",
        "guardrails",
        "text",
        "privacy",
    ]
    return workspace.make("report", inputs, parents, source, build)


def build(workspace: Workspace) -> Artifact:
    """Every stage; what is done is skipped."""
    return evaluate(workspace)


def customizes(project: Project) -> bool:
    """Whether the verdict asks a custom model."""
    return any(arm.startswith("tuned") for arm in project.evaluation.arms)


def calibration_of(workspace: Workspace) -> Artifact | None:
    """What the confidence rail was fitted to; None where that rail is off."""
    return workspace.store.latest("calibration") if "confidence" in workspace.project.guardrails.rails else None


def guard_of(workspace: Workspace, report: bool = False) -> Callable[[ChatModel], ChatModel]:
    """Wraps a model in the project's guardrails."""
    from inhouse.assembly.guard import Parts, guarded

    parts = Parts(workspace, workspace.project, calibration_of(workspace), report=report)
    return lambda model: guarded(parts, model)


def grounding_of(workspace: Workspace) -> Grounding:
    """Retrieval over the project's index, with the fitted fusion where there is one."""
    at = index(workspace)
    return open_grounding(at, fusion_of(workspace, at), workspace.embedder, workspace.project)


def fusion_of(workspace: Workspace, at: Artifact) -> Artifact | None:
    """The latest fusion, where it was fitted to that index."""
    fusion = workspace.store.latest("fusion")
    return fusion if fusion and at.key in fusion.parents else None


# --- small things the stages share ------------------------------------------------------------------------------


def _examples(data: Artifact, split: str) -> list[Example]:
    from inhouse.datasets.curate import read_examples

    return read_examples(Path(data.path) / f"{split}.jsonl")


def _readable(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file}: not there", "name your files under [curation] conversations and tests")
    return file


def _drawn(examples: list[Example], most: int, seed: int) -> list[Example]:
    if not most or len(examples) <= most:
        return examples
    return random.Random(seed).sample(examples, most)  # noqa: S311  a draw, not a secret


def _holding(workspace: Workspace, opened: Index, example: Example) -> list[Passage]:
    """The passages that hold an answer: as the data says, else those that bear out the reply's every statement."""
    if example.sources:
        return gold_passages(opened, example.question, example.sources)
    statements = workspace.support.statements(example.target)
    hits = opened.search(f"{example.question} {example.target}", 10)
    return [
        h.passage
        for h in hits
        if statements and all(workspace.support.support(s, [h.chunk.text]) >= SUPPORTED for s in statements)
    ]


def _subject(
    workspace: Workspace, data: Artifact, fusion: Artifact, custom: Artifact | None, compared: Artifact | None
) -> Subject:
    card = json.loads((Path(data.path) / "card.json").read_text(encoding="utf-8"))
    return Subject(
        project=workspace.project.name,
        base_model=workspace.project.model.base,
        data=DataFacts.of(card),
        retrieval=RetrievalFacts.of(fusion.facts),
        training=TrainingFacts.of(custom.facts) if custom else None,
        parity=Parity.of(compared.facts) if compared else None,
    )
