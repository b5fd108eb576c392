"""The workspace: a project with its store, its models, and who is told how far a run is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.config.sections import Project
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.store.artifacts import Store, source_digest
from inhouse.text.support import LexicalSupport
from inhouse.types import (
    Artifact,
    Json,
    Progress,
    Silent,
)

if TYPE_CHECKING:
    from inhouse.store.ledger import Ledger

PACKAGE = Path(__file__).parents[1]


def _quiet(stage: str, artifact: Artifact, fresh: bool) -> None:
    return None


@dataclass(frozen=True)
class Workspace:
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

    def open_ledger(self) -> Ledger:
        """The database of audit, keys, feedback and inbox; the caller closes it.

        Raises:
            ConfigError: the variable that store.url_env names is not set, or its value is not a database URL.
            BackendError: the database cannot be opened.
        """
        from inhouse.store.ledger import open_ledger

        settings = self.project.store
        return open_ledger(self.project.path(settings.path), settings.url, settings.url_env)

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The same database, closed at the end of the block."""
        ledger = self.open_ledger()
        try:
            yield ledger
        finally:
            ledger.close()

    def make(
        self,
        kind: str,
        inputs: dict[str, Json],
        parents: Sequence[Artifact],
        source: Sequence[str],
        build: Callable[[Path], dict[str, Json]],
    ) -> Artifact:
        """The stage's artifact, made now or earlier; `source` names the stage's own files below the package."""
        inputs = inputs | {"source": source_digest(*(PACKAGE / s for s in source))}
        done = self.store.find(kind, inputs, parents)
        if done:
            self.store.wanted(done)
        artifact = done or self.store.make(kind, inputs, parents, build)
        self.said(kind, artifact, done is None)
        return artifact
