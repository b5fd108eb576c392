"""The rails of a project, built from its settings, and the model wrapped in them and in the replies to dialog acts.

A rail is on by default if benchmarks/guardrails.py measured how good it is (docs/benchmarks.md), or if `inhouse build`
fits it to the project, as it does confidence. An indirect injection is flagged rather than handed off: some clean
passages are mistaken for one, and an answer rests on several passages.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pydantic import ValidationError

from inhouse.agents.calling import Caller, Calling
from inhouse.agents.structured import Quoting, Structured
from inhouse.assembly.bounded import Bounded
from inhouse.assembly.workspace import Workspace
from inhouse.assembly.wrappers import BASE
from inhouse.chat import ChatModel
from inhouse.config.sections import Project, Retrieval
from inhouse.errors import ConfigError, InputError
from inhouse.files import matches
from inhouse.guardrails import external, links, toxicity
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.confidence.calibration import Calibration
from inhouse.guardrails.confidence.features import FeatureExtractor, Features
from inhouse.guardrails.confidence.rail import Confidence
from inhouse.guardrails.external import SequenceClassifier
from inhouse.guardrails.format import Format
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.rail import Groundedness
from inhouse.guardrails.guarded import Guarded, GuardedSettings
from inhouse.guardrails.injection import indirect, jailbreak, languages, meanings
from inhouse.guardrails.injection.indirect import IndirectInjection
from inhouse.guardrails.injection.jailbreak import Jailbreak
from inhouse.guardrails.links import Links
from inhouse.guardrails.pii import DEFAULT_KINDS, ORDER, Pii
from inhouse.guardrails.rail import Action, Guard, Rail, Side
from inhouse.guardrails.relevance import Relevance
from inhouse.guardrails.runner import OneSide, Runner, Threads
from inhouse.guardrails.topic import Topic, learn
from inhouse.guardrails.toxicity import Toxicity
from inhouse.models.embed import OnnxEmbedder
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.privacy.tagger import read_tagger
from inhouse.retrieval.ranking import Ranker
from inhouse.routing.replies import WithReplies
from inhouse.routing.reuse import Reused, ReuseFirst
from inhouse.text.cache import CachedEmbedder
from inhouse.text.language import LANGUAGES, spoken
from inhouse.types import Artifact

if TYPE_CHECKING:
    from inhouse.privacy.anonymize import Anonymizer

ENTRY_POINTS = "inhouse.rails"
ACTIONS: dict[str, dict[Side, Action]] = {
    "pii": {"input": "redact", "output": "redact"},
    "links": {"output": "redact"},
    "injection": {"input": "block", "passages": "flag"},
    "toxicity": {"input": "flag", "output": "handoff"},
    "topic": {"input": "handoff"},
    "format": {"output": "handoff", "answer": "handoff"},
    "relevance": {"passages": "handoff"},
    "groundedness": {"passages": "flag", "output": "redact"},
    "confidence": {"answer": "handoff"},
    "nemo": {"input": "block", "answer": "block"},
}
"""The default actions; rails from entry points hand off."""
EMBEDDER = "minilm-l6-v2"  # that the classifiers were trained on, whichever one the project retrieves with
HOST = re.compile(r"[\w-]+(\.[\w-]+)*", re.ASCII)  # without port and path
LONG_WORDS = 6  # of a paragraph that says something about the domain


@dataclass(frozen=True)
class Parts:
    """What rails are built from.

    Attributes:
        workspace: has the models and the store.
        project: the settings, as the release has them.
        fitted: the artifact with the calibrations by arm, for the rail confidence.
        arm: whose calibration that rail uses.
        verdict: returns the report whose data and documents the rails know; None for the latest.
        index: whose documents the rails know in place of those of the verdict, which may be older.
        recorder: a rail that takes the place of confidence while its calibration is made.
        report: see `GuardedSettings.report`.
        runner: runs the rails that are made from these parts; by default threads of this process.
        reused: approved replies, which answer before any arm but base; None for none.
    """

    workspace: Workspace
    project: Project
    fitted: Artifact | None = None
    arm: str = ""
    verdict: Callable[[], Artifact] | None = None
    index: Artifact | None = None
    recorder: Rail | None = None
    report: bool = False
    runner: Callable[[Parts], Runner] | None = None
    reused: Reused | None = None

    @cached_property
    def embedder(self) -> CachedEmbedder:
        """One cache for all rails of a workspace."""
        return _cached(self.workspace.embedder_of(Retrieval(embedder=EMBEDDER)))

    def alike(self, text: str, others: Sequence[str]) -> list[float]:
        """The cosine of a text with each of the others."""
        own, *rest = self.embedder.embed([text, *others])
        return [float(own @ v) for v in rest]

    def classifier(self, folder: str, names: tuple[str, ...], label: str, threshold: float = 0.5) -> SequenceClassifier:
        """The sequence classifier of a folder in the settings.

        Raises:
            InputError: see `SequenceClassifier`.
        """
        return external.classifier(self.project.path(folder), names, label, threshold)

    def groundedness(self) -> Groundedness:
        settings = self.project.guardrails
        min_support = settings.min_support
        if settings.groundedness_model:
            model = self.classifier(settings.groundedness_model, external.SUPPORTED, settings.groundedness_label)
            return external.ModelGroundedness(self.embedder, model, self.workspace.support, min_support)
        return Groundedness(self.embedder, alignment.shipped(), self.workspace.support, min_support)

    def features(self) -> FeatureExtractor:
        return FeatureExtractor(self.groundedness(), self.embedder)

    def calibration(self) -> Calibration | None:
        """What the confidence rail was fitted to; None where the arm was not, or could not be, calibrated.

        Raises:
            InputError: it was calibrated with another version.
        """
        hint = "run `inhouse build`, then make a new release"
        if self.fitted is None or not (file := calibration_file(Path(self.fitted.path), self.arm)).exists():
            return None
        try:
            calibration = Calibration.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise InputError(f"{file}: not a calibration of this version", hint) from error
        if calibration.features != Features._fields:
            raise InputError(f"{file}: fitted on other features than this version computes", hint)
        return calibration

    def artifact(self, kind: str) -> Artifact | None:
        """The artifact of a kind that the rails know: the verdict's, or the latest."""
        if self.verdict is None:
            return self.workspace.store.latest(kind)
        roots, lineage = [*([self.index] if self.index else []), self.verdict()], self.workspace.store.lineage
        return next((a for root in roots for _, a in lineage(root) if a.kind == kind), None)

    def languages(self) -> frozenset[str]:
        """The languages that the assistant answers in: those of [replies], else those of the documents and of the
        conversations; none where neither is known.

        Raises:
            ConfigError: a language of [replies] is not one that is recognized.
        """
        if chosen := self.project.replies.languages:
            _check_known("replies.languages", chosen, LANGUAGES, "language")
            return frozenset(chosen)
        documents, data = self.artifact("documents"), self.artifact("dataset")
        of_documents = documents.facts.get("languages", {}) if documents else {}
        of_replies = data.facts.get("languages", {}) if data else {}
        return spoken(of_documents) | spoken(of_replies)

    def finder(self) -> Anonymizer:
        """The anonymizer of the training data, which knows what the documents make public."""
        documents, keep = self.artifact("documents"), (self.project.name, *self.project.curation.names_to_keep)
        folder = self.workspace.catalog.find(SPACY_MODEL, self.project.root)
        return _finder(folder, keep, Path(documents.path) / "documents.jsonl" if documents else None)


def wrapped(parts: Parts, model: ChatModel) -> ChatModel:
    """The model behind the project's rails, and these behind its replies to dialog acts: a wish for a person comes
    first, so that no rail can refuse it. A conversation that is too long for the model reaches neither.

    Approved replies are behind the rails that check what users write; for what they say, a person stands.

    Raises:
        ConfigError: a rail or an action is unknown.
        InputError: something that a rail needs is missing.
    """
    project, runner, declines = parts.project, _runner(parts, model), parts.workspace.support.declines
    caller = _guarded(project, Caller(model.name), OneSide(runner, "input"))
    quoting = _guarded(project, Quoting(model.name), OneSide(runner, "output"))
    calls = Calling(_guarded(project, model, runner, parts.report), caller, quoting, parts.alike, declines)
    answers: ChatModel = Structured(calls, quoting, declines, parts.alike, direct=model.name == BASE)
    if parts.reused and model.name != BASE:
        answers = ReuseFirst(answers, parts.reused, _guarded(project, parts.reused, OneSide(runner, "input")))
    replying = WithReplies(answers, project.replies, project.name, parts.languages())
    history = None if model.name == BASE else project.assistant.history_messages
    return Bounded(replying, project.model.context_tokens, history)


def acting_guard(parts: Parts, model: ChatModel) -> ChatModel:
    """A team of agents behind the rails that check what users write, and these behind the replies to dialog acts.

    Personal data stays in the messages, since agents need names and numbers; the answers from the documents have rails
    of their arm. A message that is on no topic may be an answer to a question of an agent.
    """
    off = {"pii.input": "off", "topic.input": "off"}
    actions = {k: v for k, v in {**parts.project.guardrails.actions, **off}.items() if k.split(".")[0] in _rails(parts)}
    rails = parts.project.guardrails.model_copy(update={"actions": actions})
    project = parts.project.model_copy(update={"guardrails": rails}).at(parts.project.root)
    runner = _runner(replace(parts, project=project), model)
    checked = _guarded(project, model, OneSide(runner, "input"))
    replying = WithReplies(checked, project.replies, project.name, parts.languages())
    return Bounded(replying, project.model.context_tokens, project.assistant.history_messages)


def _rails(parts: Parts) -> Collection[str]:
    return parts.project.guardrails.rails


def guarded(parts: Parts, model: ChatModel) -> ChatModel:
    """The model wrapped in the project's rails; the model itself where there are none.

    Raises:
        ConfigError: a rail or an action is unknown.
        InputError: something that a rail needs is missing.
    """
    runner = _runner(parts, model)
    return _guarded(parts.project, model, runner, parts.report)


def _runner(parts: Parts, model: ChatModel) -> Runner:
    parts = replace(parts, arm=model.name)
    return parts.runner(parts) if parts.runner else Threads(guards_of(parts))


def _guarded(project: Project, model: ChatModel, runner: Runner, report: bool = False) -> ChatModel:
    if not runner.rules:
        return model
    settings = GuardedSettings(
        handoff=project.assistant.handoff, refusal=project.guardrails.refusal,
        offer=project.guardrails.offer, second_tokens=project.guardrails.second_sample_tokens, report=report,
    )  # fmt: skip
    return Guarded(model, runner, settings)


def guards_of(parts: Parts) -> list[Guard]:
    """The rails in their order, with the actions for their findings.

    Raises:
        ConfigError: a rail or an action is unknown.
        InputError: something that a rail needs is missing.
    """
    settings = parts.project.guardrails
    makers = {**BUILT_IN, **{p.name: _plugin(p) for p in entry_points(group=ENTRY_POINTS)}}
    _check_known("guardrails.rails", settings.rails, makers)
    _check_known("guardrails.actions", [key.partition(".")[0] for key in settings.actions], makers)
    _check_known("guardrails.fail_open", settings.fail_open, makers)
    for key in settings.actions:
        if key.partition(".")[2] not in get_args(Side):
            raise ConfigError(f"guardrails.actions: {key} is not RAIL.SIDE", f"sides: {', '.join(get_args(Side))}")
    timeout_s = settings.timeout_ms / 1000
    guards = []
    for name in settings.rails:
        if name == "confidence" and parts.recorder:
            continue
        for rail in makers[name](parts):
            if actions := actions_of(name, rail, settings.actions):
                guards.append(Guard(rail, actions, timeout_s, name in settings.fail_open))
    return [*guards, *([Guard(parts.recorder, {"answer": "flag"}, timeout_s)] if parts.recorder else [])]


def calibration_file(folder: Path, arm: str) -> Path:
    """Where a calibration's artifact has that of an arm."""
    return folder / f"calibration-{arm}.json"


def actions_of(name: str, rail: Rail, actions: Mapping[str, str]) -> dict[Side, Action]:
    """The action on each side that the rail checks and that is not switched off; `actions` are guardrails.actions."""
    default = ACTIONS.get(name, dict.fromkeys(rail.sides, "handoff"))
    wanted = {side: actions.get(f"{name}.{side}", default.get(side, "off")) for side in sorted(rail.sides)}
    return {side: action for side, action in wanted.items() if action != "off"}  # type: ignore[misc]


def _check_known(key: str, names: Iterable[str], known: Iterable[str], what: str = "rail") -> None:
    """
    Raises:
        ConfigError: a name is not known; suggests the nearest.
    """
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean '{close[0]}'? " if close else ""
            raise ConfigError(f"{key}: there is no {what} {name!r}", f"{hint}{what}s: {', '.join(known)}")


def _pii(parts: Parts) -> list[Rail]:
    kinds = parts.project.guardrails.pii_kinds or DEFAULT_KINDS
    _check_known("guardrails.pii_kinds", kinds, ORDER, "kind")
    return [Pii(parts.finder(), read_tagger(TAGGER), kinds)]


def _links(parts: Parts) -> list[Rail]:
    project, entries = parts.project, parts.project.guardrails.links_from
    patterns = tuple(e for e in entries if "/" in e or "*" in e)
    for host in entries:
        if host not in patterns and not HOST.fullmatch(host):
            hint = "name a host, such as bank.example, or a pattern of documents, such as contact/**"
            raise ConfigError(f"guardrails.links_from: {host!r} is neither a host nor a pattern", hint)
    documents = parts.artifact("documents")
    held = _held(Path(documents.path) / "documents.jsonl", patterns) if documents else links.Known()
    said = links.known([project.assistant.instructions, project.assistant.handoff, project.guardrails.refusal])
    hosts = frozenset(e.lower().removeprefix("www.") for e in entries if e not in patterns)
    return [Links(links.Known(held.keys | said.keys, hosts))]


def _injection(parts: Parts) -> list[Rail]:
    project, settings = parts.project, parts.project.guardrails
    of_passages = IndirectInjection(parts.embedder, indirect.shipped())
    if not (folder := settings.injection_model):
        foreign = languages.score
        if project.retrieval.embedder == meanings.EMBEDDER:
            foreign = meanings.Meanings(_cached(parts.workspace.embedder), meanings.shipped()).score
        return [Jailbreak(parts.embedder, jailbreak.shipped(), foreign), of_passages]
    model = parts.classifier(folder, external.BAD, settings.injection_label, settings.injection_threshold)
    return [external.ModelJailbreak(model), of_passages]


def _toxicity(parts: Parts) -> list[Rail]:
    settings = parts.project.guardrails
    if not (folder := settings.toxicity_model):
        return [Toxicity(parts.embedder, toxicity.shipped())]
    model = parts.classifier(folder, external.BAD, settings.toxicity_label, settings.toxicity_threshold)
    return [external.ModelToxicity(model)]


def _topic(parts: Parts) -> list[Rail]:
    settings = parts.project.guardrails
    questions, paragraphs = known_topics(parts)
    domain = learn(questions, paragraphs, parts.workspace.embedder) if questions or paragraphs else None
    return [Topic(_cached(parts.workspace.embedder), domain, settings.topics_allowed, settings.topics_forbidden)]


def _relevance(parts: Parts) -> list[Rail]:
    fusion = parts.artifact("fusion")
    ranker = Ranker.read(Path(fusion.path)) if fusion else None
    return [Relevance(ranker.threshold if ranker else 0.0)]


def _confidence(parts: Parts) -> list[Rail]:
    """None where there is no calibration of the arm: the confidence of one says nothing of another."""
    calibration = parts.calibration()
    return [Confidence(calibration, parts.features())] if calibration else []


def _nemo(parts: Parts) -> list[Rail]:
    from inhouse.guardrails.nemo import Nemo

    return [Nemo(parts.project.path(parts.project.guardrails.nemo_path))]


def _plugin(point: EntryPoint) -> Callable[[Parts], list[Rail]]:
    """Makes the rail of an entry point, which names a callable that takes the project and returns a Rail."""

    def make(parts: Parts) -> list[Rail]:
        rail = point.load()(parts.project)
        if not isinstance(rail, Rail):
            message = f"entry point {ENTRY_POINTS}: {point.name} does not return a rail"
            raise ConfigError(message, "a rail has name, sides and check")
        return [rail]

    return make


BUILT_IN: dict[str, Callable[[Parts], list[Rail]]] = {
    "pii": _pii,
    "links": _links,
    "injection": _injection,
    "toxicity": _toxicity,
    "topic": _topic,
    "format": lambda parts: [Format(parts.project.guardrails.answer_pattern)],
    "relevance": _relevance,
    "groundedness": lambda parts: [parts.groundedness()],
    "confidence": _confidence,
    "nemo": _nemo,
}


def known_topics(parts: Parts) -> tuple[list[str], list[str]]:
    """What customers asked, and the paragraphs of the documents, as far as they are curated and indexed."""
    data, documents = parts.artifact("dataset"), parts.artifact("documents")
    questions = [e.question for e in parts.workspace.examples("train", data)] if data else []
    texts = [d.text for d in parts.workspace.documents(documents)] if documents else []
    return questions, [p.strip() for text in texts for p in text.split("\n\n") if len(p.split()) >= LONG_WORDS]


@lru_cache(maxsize=8)
def _cached(embedder: OnnxEmbedder) -> CachedEmbedder:
    return CachedEmbedder(embedder)


@lru_cache(maxsize=2)
def _held(documents: Path, patterns: tuple[str, ...]) -> links.Known:
    """The links and addresses of the trusted documents, of those that match a pattern where there are any.

    Raises:
        ConfigError: a pattern matches none.
    """
    from inhouse.documents.load import read_documents

    read = [d for d in read_documents(documents) if d.trust == "trusted"]
    for pattern in patterns:
        if not any(matches(d.source, [pattern]) for d in read):
            hint = "patterns are relative to documents.path; external documents hold no links for answers"
            raise ConfigError(f"guardrails.links_from: no trusted document matches {pattern!r}", hint)
    some = (d for d in read if not patterns or matches(d.source, patterns))
    return links.known(f"{d.title}\n{d.text}" for d in some)


@lru_cache(maxsize=2)
def _finder(folder: Path, keep: tuple[str, ...], documents: Path | None) -> Anonymizer:
    from inhouse.documents.load import read_documents
    from inhouse.privacy.anonymize import Anonymizer

    finder = Anonymizer(folder, keep)
    if documents:
        read = read_documents(documents)
        finder.keep(d.title for d in read)
        finder.learn(d.text for d in read)
    return finder
