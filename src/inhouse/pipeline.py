"""The flow on one page: each stage makes an artifact from artifacts, and asks for what it needs first.

    ingest -> index -> curate -> tune -> train -> parity -> evaluate

A stage whose artifact is there already returns it at once, so any verb may be called at any time.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from inhouse.arms import Arms, open_grounding
from inhouse.config import Project
from inhouse.models.catalog import WEIGHTS, Catalog, file_sha256
from inhouse.models.embed import OnnxEmbedder
from inhouse.models.openai import OpenAIModel
from inhouse.retrieval.citations import LexicalSupport
from inhouse.retrieval.grounded import Grounding, ungrounded
from inhouse.retrieval.search import Index, gold_passages
from inhouse.store.artifacts import Store, source_digest
from inhouse.store.inbox import Handoff
from inhouse.training.mix import Mixer, Row
from inhouse.types import (
    Artifact,
    ChatModel,
    Document,
    Example,
    GateError,
    InputError,
    Json,
    Passage,
    Progress,
    Silent,
)

HERE = Path(__file__).parent
NER = "en-core-web-sm"
SUPPORTED = 0.5


def _quiet(stage: str, artifact: Artifact, fresh: bool) -> None:
    return None


@dataclass(frozen=True)
class Site:
    """Where a run happens: the project, its store, the models on this machine, and who is told how far it is."""

    project: Project
    catalog: Catalog = field(default_factory=Catalog)
    progress: Progress = field(default_factory=Silent)
    said: Callable[[str, Artifact, bool], None] = _quiet
    done: dict[str, Artifact] = field(default_factory=dict)  # stages of this run by name

    @cached_property
    def store(self) -> Store:
        return Store(self.project.path(self.project.store.path))

    @cached_property
    def embedder(self) -> OnnxEmbedder:
        return OnnxEmbedder(self.catalog.find(self.project.retrieval.embedder, self.project.root))

    @cached_property
    def support(self) -> LexicalSupport:
        return LexicalSupport(self.project.assistant.handoff, self.embedder)

    @cached_property
    def base(self) -> Path:
        """The base model: a folder with model.gguf or safetensors, or a .gguf file."""
        return self.catalog.find(self.project.model.base, self.project.root)

    def make(
        self,
        kind: str,
        inputs: dict[str, Json],
        parents: Sequence[Artifact],
        source: Sequence[str],
        build: Callable[[Path], dict[str, Json]],
    ) -> Artifact:
        """The stage's artifact, made now or earlier; `source` names the stage's own files below the package."""
        inputs = inputs | {"source": source_digest(*(HERE / s for s in source))}
        done = self.store.find(kind, inputs, parents)
        if done:
            self.store.wanted(done)
        artifact = done or self.store.make(kind, inputs, parents, build)
        self.said(kind, artifact, done is None)
        return artifact


Stage = Callable[[Site], Artifact]


def stage(make: Stage) -> Stage:
    """A stage is asked for by many others; in one run it is looked up once."""

    @functools.wraps(make)
    def once(site: Site) -> Artifact:
        if make.__name__ not in site.done:
            site.done[make.__name__] = make(site)
        return site.done[make.__name__]

    return once


# --- stages -----------------------------------------------------------------------------------------------------


@stage
def ingest(site: Site) -> Artifact:
    """Documents read: documents.jsonl and report.json; after them what people replied in the inbox."""
    from inhouse.documents.load import folder_digest, load_documents
    from inhouse.documents.replies import add_documents

    settings = site.project.documents
    folder = site.project.path(settings.path)
    inputs: dict[str, Json] = {
        "documents": settings.model_dump(mode="json"),
        "content": folder_digest(folder, settings),
    }
    approved = _approved(site)
    if approved:
        inputs |= {"replies": [h.digest for h in approved], "anonymize": site.project.curation.anonymize}

    def build(work: Path) -> dict[str, Json]:
        summary = load_documents(folder, settings, site.store.cache("documents"), work, site.progress)
        facts = summary.model_dump(mode="json")
        if approved:
            add_documents(work / "documents.jsonl", _replies(site, approved, work / "documents.jsonl"))
            facts["replies"] = len(approved)
        return facts | {"failures": [{"path": f["path"], "reason": f["reason"]} for f in facts["failures"]]}

    return site.make("documents", inputs, [], ["documents"], build)


@stage
def index(site: Site) -> Artifact:
    """Documents cut into chunks, embedded and indexed; what did not change is carried over from the index before."""
    from inhouse.documents.load import read_documents
    from inhouse.retrieval.index import build_index

    documents = ingest(site)
    settings = site.project.retrieval
    inputs = {"embedder": settings.embedder, "chunk_tokens": settings.chunk_tokens}

    def build(work: Path) -> dict[str, Json]:
        earlier = site.store.latest("index")
        previous = Path(earlier.path) if earlier else None
        read = read_documents(Path(documents.path) / "documents.jsonl")
        return build_index(read, site.embedder, settings, work, previous, site.progress)

    source = ["retrieval/chunk.py", "retrieval/index.py", "models/embed.py"]
    return site.make("index", inputs, [documents], source, build)


@stage
def curate(site: Site) -> Artifact:
    """Conversations and documents turned into train, validation and test sets with a data card."""
    from inhouse.datasets import curate as room
    from inhouse.datasets.anonymize import Anonymizer
    from inhouse.datasets.review import FILE, Reviews
    from inhouse.documents.load import read_documents

    documents = ingest(site)
    project, settings = site.project, site.project.curation
    # What members of a group were told stays out: nobody can be kept from what a model has learned.
    feedback = [h.example for h in _approved(site) if not h.groups]
    reviews = Reviews(site.store.root / FILE)
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
        anonymizer = Anonymizer(site.catalog.find(NER, project.root), keep) if settings.anonymize else None
        teacher = (OpenAIModel(project.teacher), project.teacher.questions_per_chunk) if project.teacher.url else None
        read = read_documents(Path(documents.path) / "documents.jsonl")
        return room.curate(
            read, logs, tests, settings, project.assistant.handoff, project.seed, site.embedder, anonymizer, teacher,
            work, site.progress, feedback, reviews.all(),
        )  # fmt: skip

    return site.make("dataset", inputs, [documents], ["datasets"], build)


@stage
def tune(site: Site) -> Artifact:
    """The fusion of the index, tuned on questions of people, or on made ones as well where those are few."""
    from inhouse.retrieval.tune import ENOUGH_QUESTIONS, MOST_QUESTIONS, tune_fusion

    at, data = index(site), curate(site)
    settings = site.project.retrieval

    def build(work: Path) -> dict[str, Json]:
        opened = Index(Path(at.path), site.embedder)
        given = [e for e in (*_examples(data, "validation"), *_examples(data, "train")) if e.answerable]
        asked = sorted(given, key=lambda e: e.origin == "synthetic")[:MOST_QUESTIONS]
        if sum(e.origin != "synthetic" for e in asked) >= ENOUGH_QUESTIONS:
            asked = [e for e in asked if e.origin != "synthetic"]
        gold = [(e, _holding(site, opened, e)) for e in asked]
        grounding = Grounding(opened, site.embedder, settings, site.project.assistant)
        return tune_fusion(opened, grounding, gold, settings.passages, work, site.progress)

    return site.make("fusion", {"passages": settings.passages}, [at, data], ["retrieval"], build)


@stage
def weights(site: Site) -> Artifact:
    """The base model as it is served: model.gguf in the quantization of the project file."""
    from inhouse.training.convert import convert
    from inhouse.training.gguf import quantize

    kind = site.project.model.quantization
    file = site.base if site.base.suffix == ".gguf" else site.base / WEIGHTS
    marks = [file] if file.is_file() else sorted(site.base.glob("*.safetensors"))
    inputs = {"quantization": kind, "content": [file_sha256(_readable(m)) for m in marks]}

    def build(work: Path) -> dict[str, Json]:
        out = work / WEIGHTS
        if not file.is_file():
            return convert(site.base, out, "q8_0" if kind == "as_is" else kind)
        if kind == "as_is":
            out.write_bytes(file.read_bytes())
            return {"kind": kind}
        return quantize(file, out, kind)

    return site.make("weights", inputs, [], ["training/gguf.py", "training/convert.py"], build)


@stage
def train(site: Site) -> Artifact:
    """The custom model: model.gguf as it is served, and for LoRA a PEFT folder and adapter.gguf too."""
    from inhouse.training import gguf
    from inhouse.training.workers import train as tuned

    served, at, fusion, data = weights(site), index(site), tune(site), curate(site)
    project, settings = site.project, site.project.training
    inputs: dict[str, Json] = {
        "training": settings.model_dump(mode="json"),
        "assistant": project.assistant.model_dump(mode="json"),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "seed": project.seed,
        "served": "merged",
    }

    def build(work: Path) -> dict[str, Json]:
        learned, held, counts = training_rows(site)
        facts = tuned(learned, held, site.base, project.model.base, settings, project.seed, work, site.progress)
        file = site.base if site.base.suffix == ".gguf" else site.base / WEIGHTS
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

    return site.make("adapter", inputs, [served, at, fusion, data], ["training"], build)


def training_rows(site: Site) -> tuple[list[Row], list[Row], dict[str, int]]:
    """What the model learns from, what stops its training, and the counts of the first by kind."""
    at, fusion, data = index(site), tune(site), curate(site)
    project = site.project
    opened = Index(Path(at.path), site.embedder, Path(fusion.path))
    mixer = Mixer(
        Grounding(opened, site.embedder, project.retrieval, project.assistant),
        lambda e: gold_passages(opened, e.question, e.sources), site.support,
        lambda m: ungrounded(m, project.assistant), project.assistant, project.training, project.seed,
    )  # fmt: skip
    chosen = _examples(data, "train")[: project.training.max_examples or None]
    learned, counts = mixer.rows(chosen, site.progress)
    held, _ = mixer.rows(_examples(data, "validation")[:24] or chosen[:8], site.progress)
    return learned, held, counts


@stage
def parity(site: Site) -> Artifact:
    """The served model compared with the trained one: parity.json. The gate is `refuse_without_parity`."""
    from inhouse.exports import compare_exports

    served, custom, data = weights(site), train(site), curate(site)
    settings = site.project.parity
    grounding = grounding_of(site)
    examples = _examples(data, "test")[: settings.prompts] or _examples(data, "train")[: settings.prompts]
    prompts = [grounding.ground(e.messages, grounding.passages(e.messages)) for e in examples]

    def build(work: Path) -> dict[str, Json]:
        return compare_exports(site.project, site.base, served, custom, prompts, work, site.progress)

    source = ["evaluation/parity.py", "exports.py", "training/gguf.py"]
    return site.make("parity", {"parity": settings.model_dump()}, [served, custom, data], source, build)


def refuse_without_parity(artifact: Artifact) -> None:
    """Raises:
    GateError: the served model is not the trained one; says which step moved it.
    """
    if not artifact.facts["passed"]:
        hint = f"see {artifact.path}/parity.json; another model.quantization may do"
        raise GateError(f"parity refused: {artifact.facts['moved']}", hint)


@stage
def evaluate(site: Site) -> Artifact:
    """The verdict: every arm's answers, report.json and report.html."""
    from inhouse.verdict import judge_arms

    served, at, fusion, data = weights(site), index(site), tune(site), curate(site)
    project, settings = site.project, site.project.evaluation
    custom = train(site) if customizes(project) else None
    compared = parity(site) if custom else None
    if compared:
        refuse_without_parity(compared)
    parents = [served, at, fusion, data, *([custom] if custom else []), *([compared] if compared else [])]
    inputs: dict[str, Json] = {
        "evaluation": settings.model_dump(mode="json"),
        "assistant": project.assistant.model_dump(mode="json"),
        "model": project.model.model_dump(mode="json"),
        "judge": project.judge.model_dump(mode="json", exclude={"api_key_env", "timeout_s"}),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "guardrails": project.guardrails.model_dump(mode="json"),
        "name": project.name,
    }
    calibrated = calibration_of(site)
    parents += [calibrated] if calibrated else []

    def build(work: Path) -> dict[str, Json]:
        opened = Index(Path(at.path), site.embedder, Path(fusion.path))
        arms = Arms(project, served, custom, grounding_of(site), site.support, None, guard_of(site, tells=True))
        try:
            examples = _drawn(_examples(data, "test"), settings.max_questions, project.seed)
            gold = {e.messages: gold_passages(opened, e.question, e.sources) for e in examples}
            extras = _extras(site, data, fusion, custom, compared)
            replies = _examples(data, "train")
            return judge_arms(
                project, arms, examples, replies, gold, site.embedder, site.support, extras, work, site.progress
            )
        finally:
            arms.close()

    source = ["evaluation", "arms.py", "verdict.py", "retrieval", "models/llama.py", "guardrails", "rails.py"]
    return site.make("report", inputs, parents, source, build)


def build(site: Site) -> Artifact:
    """Every stage; what is done is skipped."""
    return evaluate(site)


def customizes(project: Project) -> bool:
    """Whether the verdict asks a custom model."""
    return any(arm.startswith("tuned") for arm in project.evaluation.arms)


def calibration_of(site: Site) -> Artifact | None:
    """What the rail `confidence` goes by; None where that rail is off."""
    return site.store.latest("calibration") if "confidence" in site.project.guardrails.rails else None


def guard_of(site: Site, tells: bool = False) -> Callable[[ChatModel], ChatModel]:
    """Puts the project's guardrails around a model."""
    from inhouse.rails import guarded

    return lambda model: guarded(site, model, site.project, calibration_of(site), tells=tells)


def grounding_of(site: Site) -> Grounding:
    """Retrieval over the project's index, with the tuned fusion where there is one."""
    at = index(site)
    fusion = site.store.latest("fusion")
    tuned = fusion if fusion and at.key in fusion.parents else None
    return open_grounding(at, tuned, site.embedder, site.project)


# --- small things the stages share ------------------------------------------------------------------------------


def _examples(data: Artifact, split: str) -> list[Example]:
    from inhouse.datasets.curate import read_examples

    return read_examples(Path(data.path) / f"{split}.jsonl")


def _approved(site: Site) -> list[Handoff]:
    """The inbox's approved replies, oldest first; none where nothing was ever served."""
    from inhouse.store.inbox import Inbox
    from inhouse.store.ledger import open_ledger

    told = site.project.store
    if not (told.url or told.url_env or (site.store.root / "ledger.sqlite").is_file()):
        return []
    ledger = open_ledger(site.store.root, told.url, told.url_env)
    try:
        return Inbox(ledger).approved()
    finally:
        ledger.close()


def _replies(site: Site, approved: Sequence[Handoff], documents: Path) -> list[Document]:
    """Approved replies as documents, without personal data."""
    from inhouse.datasets.anonymize import Anonymizer
    from inhouse.documents.load import read_documents
    from inhouse.documents.replies import reply_document

    project = site.project
    if not project.curation.anonymize:
        return [reply_document(h.example, frozenset(h.groups)) for h in approved]
    read = read_documents(documents)
    keep = [project.name, *project.curation.names_to_keep, *(d.title for d in read)]
    anonymizer = Anonymizer(site.catalog.find(NER, project.root), keep)
    anonymizer.learn(d.text for d in read if not d.access)
    return [reply_document(anonymizer.anonymize(h.example)[0], frozenset(h.groups)) for h in approved]


def _readable(file: Path) -> Path:
    if not file.is_file():
        raise InputError(f"{file}: not there", "name your files under [curation] conversations and tests")
    return file


def _drawn(examples: list[Example], most: int, seed: int) -> list[Example]:
    if not most or len(examples) <= most:
        return examples
    return random.Random(seed).sample(examples, most)  # noqa: S311  a draw, not a secret


def _holding(site: Site, opened: Index, example: Example) -> list[Passage]:
    """The passages that hold an answer: as the data says, else those that bear out the reply's every statement."""
    if example.sources:
        return gold_passages(opened, example.question, example.sources)
    statements = site.support.statements(example.target)
    hits = opened.search(f"{example.question} {example.target}", 10)
    return [
        h.passage
        for h in hits
        if statements and all(site.support.support(s, [h.chunk.text]) >= SUPPORTED for s in statements)
    ]


def _extras(
    site: Site, data: Artifact, fusion: Artifact, custom: Artifact | None, compared: Artifact | None
) -> dict[str, Json]:
    card = json.loads((Path(data.path) / "card.json").read_text(encoding="utf-8"))
    return {
        "project": site.project.name,
        "base_model": site.project.model.base,
        "data": card,
        "retrieval": fusion.facts,
        "training": custom.facts if custom else None,
        "parity": compared.facts if compared else None,
    }
