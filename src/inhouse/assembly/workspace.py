"""The workspace: a project with its store, its models, and what is opened from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.config.scratch import FROM_SCRATCH
from inhouse.config.sections import Model, Project, Retrieval
from inhouse.errors import ConfigError, InputError
from inhouse.models.catalog import CATALOG, WEIGHTS, Catalog
from inhouse.models.coverage import gaps
from inhouse.models.embed import AUTO, OnnxEmbedder, Recipe, model_file
from inhouse.models.engines import Elsewhere, Installed, chosen, place_of
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.retrieval.grounded import Grounding
from inhouse.retrieval.search import Index
from inhouse.store.artifacts import Store, source_digest
from inhouse.text.language import language, languages, spoken
from inhouse.text.support import LexicalSupport
from inhouse.types import Artifact, Document, Example, Json, Progress, Silent, digest_of

if TYPE_CHECKING:
    from inhouse.privacy.anonymize import Anonymizer
    from inhouse.store.ledger import Ledger

TRAINED_RAILS = frozenset(["groundedness", "injection", "toxicity"])
GAPS_LOOKED_AT = 200  # documents whose tokens are counted
PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Workspace:
    """Where a run happens.

    Attributes:
        project: its settings and its folder.
        catalog: the models on this machine.
        progress: where long work reports.
        announce: called for each artifact that a stage returns, and whether it was made now.
        delegate: makes the artifact of a kind elsewhere and returns it; None makes it in this process.
        artifacts: those of this run, by stage.
    """

    project: Project
    catalog: Catalog = field(default_factory=Catalog)
    progress: Progress = field(default_factory=Silent)
    announce: Callable[[Artifact, bool], None] = lambda artifact, fresh: None
    delegate: Callable[[Workspace, str], Artifact] | None = None
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    _embedders: dict[str, OnnxEmbedder] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Settles which engine "auto" is here, so that artifacts and releases name the one that was measured."""
        model = self.project.model
        soft = self.project.training.method == "prompt_tuning"  # its tokens are only in GGUF files
        if model.engine == "vllm" and soft:
            what = 'model.engine = "vllm" cannot serve training.method = "prompt_tuning"'
            raise ConfigError(what, 'set training.method = "lora", or model.engine = "embedded"')
        if model.engine == "auto":
            engine = "embedded" if soft else chosen(model.engine, self.catalog)
            settled = self.project.model_copy(update={"model": model.model_copy(update={"engine": engine})})
            object.__setattr__(self, "project", settled.at(self.project.root))

    # --- models -------------------------------------------------------------------------------------------------

    @property
    def embedder(self) -> OnnxEmbedder:
        return self.embedder_of(self.project.retrieval)

    def embedder_of(self, settings: Retrieval) -> OnnxEmbedder:
        """The embedder of these settings, opened once."""
        name = self.embedder_name(settings)
        if name not in self._embedders:
            folder = self.catalog.find(settings.embedder, self.project.root)
            compact = self.project.gateway.low_memory
            self._embedders[name] = OnnxEmbedder(folder, 0, _recipe(folder, settings), name, compact)
        return self._embedders[name]

    def embedder_name(self, settings: Retrieval) -> str:
        """By what an index remembers its embedder: a folder's name has the digest of what makes its vectors."""
        given = {settings.pooling, settings.query_prefix, settings.passage_prefix}
        if settings.embedder in CATALOG and given == {AUTO}:
            return settings.embedder
        folder = self.catalog.find(settings.embedder, self.project.root)
        model = model_file(folder)
        digest = digest_of([_recipe(folder, settings).digest, model.name, model.stat().st_size])
        return f"{folder.name}@{digest[:8]}"

    def embedder_gaps(self, texts: Sequence[str]) -> list[str]:
        """What the embedder does not know of the languages of the documents, a sentence each."""
        unknown = None
        with suppress(InputError):  # it is not there, which is said elsewhere
            unknown = self.embedder.unknown
        some = texts[:: max(len(texts) // GAPS_LOOKED_AT, 1)]
        return gaps(self.project.retrieval.embedder, languages(texts), some, unknown)

    def language_gaps(self, texts: Sequence[str]) -> list[str]:
        """The same for every model; and the hand-off, where it is in another language."""
        settings, counts = self.project, languages(texts)
        found = [*self.embedder_gaps(texts), *gaps(settings.model.base, counts, [])]
        others = sorted(spoken(counts) - {"en"})
        own = {name for name in TRAINED_RAILS if getattr(settings.guardrails, f"{name}_model")}
        if others and (rails := sorted(TRAINED_RAILS.intersection(settings.guardrails.rails) - own)):
            said = (
                f"The guardrails {', '.join(rails)} were trained on English texts; documents are in {', '.join(others)}"
            )
            found.append(f"{said}. Try them with `inhouse guard test`, or set models of your own.")
        written = language(settings.assistant.handoff)
        if counts and written and written not in spoken(counts):
            main = max(counts, key=lambda code: counts[code])
            found.append(f"assistant.handoff is in {written}; most documents are in {main}.")
        return found

    @property
    def vllm(self) -> Installed | Elsewhere | None:
        """The vLLM that serves the project; None for the embedded engine.

        Raises:
            ConfigError: it is not installed.
            BackendError: it runs elsewhere, and does not answer.
        """
        return place_of(self.project.model, self.catalog) if self.project.model.engine == "vllm" else None

    @property
    def engine(self) -> str:
        """What runs the model, with what answers depend on."""
        return engine_name(self.project.model, self.vllm)

    @cached_property
    def support(self) -> LexicalSupport:
        return LexicalSupport(self.project.assistant.handoff, self.embedder)

    @property
    def base(self) -> Path:
        """The base model: a folder with model.gguf or safetensors, or a .gguf file.

        Raises:
            InputError: there is no such model, or it is to be trained from scratch, and was not yet.
        """
        return self._trained_base if self.project.model.base == FROM_SCRATCH else self._found_base

    @cached_property
    def _found_base(self) -> Path:
        return self.catalog.find(self.project.model.base, self.project.root)

    @property
    def _trained_base(self) -> Path:
        artifact = self.artifacts.get("scratch") or self.store.latest("scratch")
        if artifact is None:
            raise InputError("the base model is not trained yet", "run `inhouse scratch` or `inhouse build`")
        return Path(artifact.path) / "base"

    @property
    def base_gguf(self) -> Path | None:
        """The GGUF file of the base model; None for a folder of safetensors."""
        file = self.base if self.base.suffix == ".gguf" else self.base / WEIGHTS
        return file if file.is_file() else None

    def anonymizer(self) -> Anonymizer:
        """Replaces personal data, and keeps the names that the project keeps."""
        from inhouse.privacy.anonymize import Anonymizer

        names = [self.project.name, *self.project.curation.names_to_keep]
        return Anonymizer(self.catalog.find(SPACY_MODEL, self.project.root), names)

    # --- what was built -----------------------------------------------------------------------------------------

    @cached_property
    def store(self) -> Store:
        return Store(self.project.path(self.project.store.path))

    def documents(self, artifact: Artifact | None = None) -> list[Document]:
        """The documents of an artifact, by default the latest; none before there is one."""
        from inhouse.documents.load import DOCUMENTS, read_documents

        artifact = artifact or self.store.latest("documents")
        return read_documents(Path(artifact.path) / DOCUMENTS) if artifact else []

    def examples(self, split: str, data: Artifact | None = None) -> list[Example]:
        """The "train", "validation" or "test" set of a data set, by default the latest; none before there is one."""
        from inhouse.datasets.curate import read_examples

        data = data or self.store.latest("dataset")
        return read_examples(Path(data.path) / f"{split}.jsonl") if data else []

    def fusion_of(self, index: Artifact) -> Artifact | None:
        """The latest fusion, if it was fitted to this index."""
        fusion = self.store.latest("fusion")
        return fusion if fusion and index.key in fusion.parents else None

    def index(self, index: Artifact, fusion: Artifact | None, project: Project | None = None) -> Index:
        """An index, opened with its fusion and with the embedder of the project, by default this one."""
        embedder = self.embedder_of((project or self.project).retrieval)
        return Index(Path(index.path), embedder, Path(fusion.path) if fusion else None)

    def grounding(self, index: Index, project: Project | None = None) -> Grounding:
        """Retrieval over an opened index, with the settings of the project, by default this one."""
        project = project or self.project
        embedder = self.embedder_of(project.retrieval)
        return Grounding(index, embedder, project.retrieval, project.assistant)

    # --- state --------------------------------------------------------------------------------------------------

    def open_ledger(self) -> Ledger:
        """The database of audit, keys, feedback and inbox; the caller closes it.

        Raises:
            ConfigError: the variable that store.url_env names is not set, or its value is not a database URL.
            BackendError: the database cannot be opened.
        """
        from inhouse.store.ledger import open_ledger

        settings = self.project.store
        return open_ledger(self.project.path(settings.path), settings.url, settings.url_env)

    def was_served(self) -> bool:
        """Whether there is a database, which serving makes."""
        from inhouse.store.ledger import DATABASE

        settings = self.project.store
        return bool(settings.url or settings.url_env or (self.store.root / DATABASE).is_file())

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The same database, closed at the end of the block."""
        ledger = self.open_ledger()
        try:
            yield ledger
        finally:
            ledger.close()

    # --- stages -------------------------------------------------------------------------------------------------

    def make(
        self,
        kind: str,
        inputs: dict[str, Json],
        parents: Sequence[Artifact],
        source: Sequence[str],
        build: Callable[[Path], dict[str, Json]],
    ) -> Artifact:
        """The artifact of a stage, made now or earlier; `source` names the stage's own files in the package."""
        inputs = inputs | {"source": source_digest(*(PACKAGE / s for s in source))}
        artifact = self.store.find(kind, inputs, parents)
        fresh = artifact is None
        if artifact:
            self.store.touch(artifact)
        elif self.delegate:
            artifact = self.delegate(self, kind)
        else:
            artifact = self.store.make(kind, inputs, parents, build)
        self.announce(artifact, fresh)
        return artifact


def engine_name(settings: Model, vllm: Installed | Elsewhere | None) -> str:
    """An engine with its version and the precision of the weights."""
    return f"vllm {vllm.version} bfloat16" if vllm else f"embedded {settings.quantization}"


def _recipe(folder: Path, settings: Retrieval) -> Recipe:
    """How the folder's model makes vectors, where the settings do not say otherwise."""
    return Recipe.read(
        folder, pooling=settings.pooling, query_prefix=settings.query_prefix, passage_prefix=settings.passage_prefix
    )
