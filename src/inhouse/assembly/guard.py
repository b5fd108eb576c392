"""The rails of a project, built from its settings and wrapped around a model: composition, as `arms` is.

A rail is here by default where benchmarks/guardrails.py measured how good it is (docs/LOG.md); topic and confidence
depend on the project's own data and are switched on by name. Orders in passages are flagged and not handed off: of
clean pieces of documents some are taken for one, and an answer rests on several.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

from inhouse.chat import ChatModel
from inhouse.config.sections import Project
from inhouse.errors import ConfigError, InputError
from inhouse.guardrails.classifier import TAGGER, classifier
from inhouse.guardrails.confidence.calibration import Calibration
from inhouse.guardrails.confidence.features import Signals
from inhouse.guardrails.confidence.rail import Confidence
from inhouse.guardrails.format import Format
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.rail import Groundedness
from inhouse.guardrails.guarded import Guarded
from inhouse.guardrails.injection.rails import IndirectInjection, Jailbreak
from inhouse.guardrails.pii import DEFAULT, ORDER, Pii
from inhouse.guardrails.rail import Action, Guard, Rail, Side
from inhouse.guardrails.topic import Topic, learn
from inhouse.guardrails.toxicity import Toxicity
from inhouse.models.embed import OnnxEmbedder
from inhouse.privacy.tagger import read_tagger
from inhouse.text.cache import CachedEmbedder
from inhouse.types import Artifact

if TYPE_CHECKING:
    from inhouse.models.catalog import Catalog
    from inhouse.store.artifacts import Store
    from inhouse.text.support import LexicalSupport

ENTRY_POINTS = "inhouse.rails"
ACTIONS: dict[str, dict[Side, Action]] = {
    "pii": {"input": "redact", "output": "redact"},
    "injection": {"input": "block", "passages": "flag"},
    "toxicity": {"input": "flag", "output": "handoff"},
    "topic": {"input": "handoff"},
    "format": {"output": "handoff", "answer": "handoff"},
    "groundedness": {"passages": "flag", "output": "redact"},
    "confidence": {"answer": "handoff"},
    "nemo": {"input": "block", "answer": "block"},
}
"""What is done by default; a rail of one's own hands off."""
SPACY = "en-core-web-sm"
READS = "minilm-l6-v2"  # whatever a project retrieves with


class Place(Protocol):
    """What rails need of the pipeline's Site."""

    @property
    def catalog(self) -> Catalog: ...

    @property
    def store(self) -> Store: ...

    @property
    def embedder(self) -> OnnxEmbedder: ...

    @property
    def support(self) -> LexicalSupport: ...


def guarded(
    workspace: Place,
    model: ChatModel,
    project: Project,
    calibration: Artifact | None = None,
    measured: Callable[[], Artifact] | None = None,
    watching: Rail | None = None,
    tells: bool = False,
) -> ChatModel:
    """The model with the project's rails around it; the model itself where none is named.

    Args:
        workspace: where the models and the store are.
        model: what answers.
        project: its `guardrails` and `assistant` settings count, as the release holds them.
        calibration: what `inhouse calibrate` made, for the rail confidence.
        measured: gives the verdict whose data and documents the rails know; without it they know the latest.
        watching: looks at whole answers in the place of the rail confidence, for its calibration.
        tells: for evaluation, see `Guarded`.

    Raises:
        ConfigError: a rail or an action is not known.
        InputError: what a rail needs is missing.
    """
    told = project.guardrails
    if watching:
        rest = told.model_copy(update={"rails": tuple(r for r in told.rails if r != "confidence")})
        project = project.model_copy(update={"guardrails": rest})
    guards = guards_of(workspace, project, calibration, measured)
    guards += [Guard(watching, {"answer": "flag"}, told.timeout_ms / 1000)] if watching else []
    if calibration and calibration.facts["arm"] != model.name:  # another arm's confidence says nothing of this one's
        guards = [g for g in guards if g.rail.name != "confidence"]
    if not guards:
        return model
    return Guarded(model, guards, project.assistant.handoff, told.refusal, told.second_sample_tokens, tells)


def guards_of(
    workspace: Place,
    project: Project,
    calibration: Artifact | None = None,
    measured: Callable[[], Artifact] | None = None,
) -> list[Guard]:
    """The rails in their order, with what is done about their findings."""
    settings = project.guardrails
    parts = Parts(workspace, project, calibration, measured)
    known = {**BUILT_IN, **{p.name: _own(p) for p in entry_points(group=ENTRY_POINTS)}}
    for name in settings.rails:
        _known("guardrails.rails", name, known)
    for key in settings.actions:
        rail, dot, side = key.partition(".")
        _known("guardrails.actions", rail, known)
        if not dot or side not in get_args(Side):
            raise ConfigError(f"guardrails.actions: {key} is not RAIL.SIDE", f"sides: {', '.join(get_args(Side))}")
    for name in settings.fail_open:
        _known("guardrails.fail_open", name, known)
    found = []
    for name in settings.rails:
        for made in known[name](parts):
            if actions := actions_of(name, made, settings.actions):
                found.append(Guard(made, actions, settings.timeout_ms / 1000, name in settings.fail_open))
    return found


def actions_of(name: str, rail: Rail, given: dict[str, Any]) -> dict[Side, Action]:
    """What is done on each side that the rail looks at and that is not switched off."""
    default = ACTIONS.get(name, dict.fromkeys(rail.sides, "handoff"))
    wanted = {side: given.get(f"{name}.{side}", default.get(side, "off")) for side in sorted(rail.sides)}
    return {side: action for side, action in wanted.items() if action != "off"}


def _known(key: str, name: str, known: dict[str, Any]) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise ConfigError(f"{key}: there is no rail {name!r}", f"{hint}rails: {', '.join(known)}")


class Parts:
    """What rails are built from, each made when first wanted."""

    def __init__(
        self,
        workspace: Place,
        project: Project,
        calibration: Artifact | None = None,
        measured: Callable[[], Artifact] | None = None,
    ) -> None:
        self.workspace = workspace
        self._measured = measured
        self.project = project
        self._calibration = calibration
        self.embedder = _remembered(workspace, project)
        self.support = workspace.support

    def facts(self) -> Groundedness:
        return Groundedness(self.embedder, alignment.shipped(), self.support, self.project.guardrails.min_support)

    def signals(self) -> Signals:
        return Signals(self.facts(), self.embedder)

    def calibration(self) -> Calibration:
        """
        Raises:
            InputError: nothing was calibrated yet.
        """
        if self._calibration is None:
            raise InputError("the rail confidence has nothing to go by", "`inhouse calibrate` first, then release anew")
        file = Path(self._calibration.path) / "calibration.json"
        return Calibration.model_validate(json.loads(file.read_text(encoding="utf-8")))

    def made(self, kind: str) -> Artifact | None:
        """What of a kind the rails know: that of the verdict, or the latest."""
        if self._measured is None:
            return self.workspace.store.latest(kind)
        return next((a for _, a in self.workspace.store.lineage(self._measured()) if a.kind == kind), None)

    def finder(self) -> Any:
        """The anonymizer of the training data, which knows what the documents make public."""
        read, keep = self.made("documents"), (self.project.name, *self.project.curation.names_to_keep)
        folder = self.workspace.catalog.find(SPACY, self.project.root)
        return _finder_for(folder, keep, Path(read.path) / "documents.jsonl" if read else None)


def _personal(parts: Parts) -> list[Rail]:
    kinds = parts.project.guardrails.pii_kinds or DEFAULT
    for kind in kinds:
        _known("guardrails.pii_kinds", kind, dict.fromkeys(ORDER))
    return [Pii(parts.finder(), read_tagger(TAGGER), kinds)]


def _injection(parts: Parts) -> list[Rail]:
    return [
        Jailbreak(parts.embedder, classifier("jailbreak")),
        IndirectInjection(parts.embedder, classifier("indirect")),
    ]


def _topic(parts: Parts) -> list[Rail]:
    settings = parts.project.guardrails
    questions, documents = known_topics(parts)
    domain = learn(questions, documents, parts.workspace.embedder) if questions or documents else None
    return [Topic(parts.embedder, domain, settings.topics_allowed, settings.topics_forbidden)]


def _confidence(parts: Parts) -> list[Rail]:
    return [Confidence(parts.calibration(), parts.signals())]


def _nemo(parts: Parts) -> list[Rail]:
    from inhouse.guardrails.nemo import Nemo

    return [Nemo(parts.project.path(parts.project.guardrails.nemo_path))]


def _own(point: Any) -> Callable[[Parts], list[Rail]]:
    """A rail of one's own: the entry point names a callable that takes the project and returns a Rail."""

    def build(parts: Parts) -> list[Rail]:
        made = point.load()(parts.project)
        if not isinstance(made, Rail):
            raise ConfigError(
                f"entry point {ENTRY_POINTS}: {point.name} makes no rail", "it needs name, sides and check"
            )
        return [made]

    return build


BUILT_IN: dict[str, Callable[[Parts], list[Rail]]] = {
    "pii": _personal,
    "injection": _injection,
    "toxicity": lambda parts: [Toxicity(parts.embedder, classifier("toxicity"))],
    "topic": _topic,
    "format": lambda parts: [Format(parts.project.guardrails.answer_pattern)],
    "groundedness": lambda parts: [parts.facts()],
    "confidence": _confidence,
    "nemo": _nemo,
}


def known_topics(parts: Parts) -> tuple[list[str], list[str]]:
    """What customers asked, and what the documents say, as far as they are curated and indexed."""
    from inhouse.datasets.curate import read_examples
    from inhouse.documents.load import read_documents

    data, read = parts.made("dataset"), parts.made("documents")
    questions = [e.question for e in read_examples(Path(data.path) / "train.jsonl")] if data else []
    documents = read_documents(Path(read.path) / "documents.jsonl") if read else []
    return questions, [p.strip() for d in documents for p in d.text.split("\n\n") if len(p.split()) > 5]


@lru_cache(maxsize=8)
def _remembered_for(embedder: Any) -> CachedEmbedder:
    return CachedEmbedder(embedder)


@lru_cache(maxsize=2)
def _opened(folder: Path) -> OnnxEmbedder:
    return OnnxEmbedder(folder)


def _remembered(workspace: Place, project: Project) -> CachedEmbedder:
    """One memory of vectors for all rails of a site, of the embedder that the heads were trained on."""
    if project.retrieval.embedder == READS:
        return _remembered_for(workspace.embedder)
    return _remembered_for(_opened(workspace.catalog.find(READS, project.root)))


@lru_cache(maxsize=2)
def _finder_for(folder: Path, keep: tuple[str, ...], documents: Path | None) -> Any:
    from inhouse.documents.load import read_documents
    from inhouse.privacy.anonymize import Anonymizer

    made = Anonymizer(folder, keep)
    if documents:
        read = read_documents(documents)
        made.keep(d.title for d in read)
        made.learn(d.text for d in read)
    return made
