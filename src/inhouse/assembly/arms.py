"""What is compared and served: each arm is a ChatModel, nested here from the engine and the rooms' wrappers.

======== ======================= =================================================
arm      weights                 prompt
======== ======================= =================================================
base     the base model          the conversation as it is
prompt   the base model          instructions and examples from the training data
rag      the base model          instructions and retrieved passages
tuned    the custom model        instructions
tuned+rag the custom model       instructions and retrieved passages
cascade  several models          see assembly/cascade.py
cascade+private the same         what models elsewhere are asked has surrogates
oracle   the custom model if any instructions and the passages known to be right
======== ======================= =================================================

cpt and cpt+rag are like tuned and rag, with the base model after continued pre-training on the documents; cpt+tuned and
cpt+tuned+rag are like tuned and tuned+rag, with the custom model over that.
experts and experts+rag are like tuned and tuned+rag, each question with the adapter of its domain.
tuned+feedback and tuned+feedback+rag are tuned and tuned+rag with the model that learned from feedback after that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from inhouse.assembly.experts import Domain, open_experts
from inhouse.assembly.wrappers import OnDemand, Prompted
from inhouse.chat import ChatModel
from inhouse.config.sections import Assistant, Endpoint, Model, Project
from inhouse.errors import ConfigError
from inhouse.models.catalog import WEIGHTS
from inhouse.models.engine import Serves
from inhouse.models.engines import Elsewhere, Installed
from inhouse.models.llama import LlamaEngine
from inhouse.models.openai import OpenAIModel
from inhouse.models.vllm import Adapted, VllmEngine, rank_of
from inhouse.retrieval.grounded import Grounded, Grounding, ungrounded
from inhouse.retrieval.search import Index
from inhouse.text.support import LexicalSupport
from inhouse.types import Artifact, Embedder, Example, Grounder, Message, Passage

if TYPE_CHECKING:
    from inhouse.assembly.private import Border

Messages = tuple[Message, ...]
ADAPTER = "adapter"  # in a training's folder: what LoRA learned, as PEFT writes it
ADAPTER_GGUF = "adapter.gguf"  # the same for the embedded engine
BASE_FOLDER, CUSTOM_FOLDER = "base", "custom"  # in the artifact that vLLM serves; the second only where it is merged
FEEDBACK_FOLDER = "feedback"  # the same of the model that learned from feedback
PRETRAINED_FOLDER = "pretrained"  # the same of the base after continued pre-training
PRETRAINED_CUSTOM_FOLDER = "pretrained_custom"  # the same of the custom model over that
FEW_SHOT = "few_shot.jsonl"  # in a verdict's folder: the examples in the prompt of its `prompt` arm
CASCADES = ("cascade", "cascade+private")
EXPERTS = ("experts", "experts+rag")  # by one of several adapters
RETRIEVING = ("rag", "tuned+rag", "tuned+feedback+rag", "cpt+rag", "cpt+tuned+rag", "experts+rag", "oracle")
LEARNED = ("tuned+feedback", "tuned+feedback+rag")  # by the model that learned from feedback
PRETRAINED_TUNED = ("cpt+tuned", "cpt+tuned+rag")  # by the custom model over continued pre-training
PRETRAINED = ("cpt", "cpt+rag", *PRETRAINED_TUNED)  # that begin with continued pre-training
CUSTOMIZED = ("rag", "tuned", "tuned+rag", *LEARNED, *PRETRAINED, *EXPERTS)  # whose confidence is calibrated


class GoldGrounder:
    """A Grounder that gives the passages known to contain the answer, or retrieved ones where none are known."""

    def __init__(self, grounding: Grounding, gold: Mapping[Messages, Sequence[Passage]]) -> None:
        self._grounding = grounding
        self._gold = gold

    def passages(self, messages: Sequence[Message], groups: frozenset[str]) -> Sequence[Passage]:
        if gold := self._gold.get(tuple(messages)):
            return self._grounding.fitting(gold)
        return self._grounding.passages(messages, groups)

    def ground(self, messages: Sequence[Message], passages: Sequence[Passage]) -> Messages:
        return self._grounding.ground(messages, passages)


class Limited:
    """A Grounder that finds what only these groups of the user may read, and what everyone may."""

    def __init__(self, grounding: Grounding, only: frozenset[str]) -> None:
        self._grounding = grounding
        self._only = only

    def passages(self, messages: Sequence[Message], groups: frozenset[str]) -> Sequence[Passage]:
        return self._grounding.passages(messages, groups & self._only)

    def ground(self, messages: Sequence[Message], passages: Sequence[Passage]) -> Messages:
        return self._grounding.ground(messages, passages)


class Closes(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closes)


class Shared(Generic[T]):
    """Things that are large in memory, by key: made when first taken, closed when the last holder gives them back.

    One thread at a time makes things; giving back does not wait for it.
    """

    def __init__(self) -> None:
        self._open: dict[Hashable, tuple[T, int]] = {}
        self._making, self._counting = threading.Lock(), threading.Lock()

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._making:
            if (known := self._counted(key, 1)) is not None:
                return known
            made = make()
            with self._counting:
                self._open[key] = (made, 1)
            return made

    def give_back(self, key: Hashable) -> None:
        if (last := self._counted(key, -1)) is not None:
            last.close()

    def all(self) -> list[T]:
        """What is open now."""
        with self._counting:
            return [thing for thing, _ in self._open.values()]

    def _counted(self, key: Hashable, change: int) -> T | None:
        """The thing under the key, with one holder more; or with one less, and then only if that was the last."""
        with self._counting:
            if key not in self._open:
                return None
            thing, holders = self._open[key]
            self._open[key] = (thing, holders + change)
            if holders + change == 0:
                del self._open[key]
            return thing if change > 0 or holders + change == 0 else None


@dataclass(frozen=True)
class Built:
    """What arms are made from: the settings, and the artifacts that they need.

    Attributes:
        project: the project's settings.
        embedder: of the index.
        support: cites passages.
        weights: artifact with the served base, model.gguf.
        custom: artifact of the training, None before there is one.
        feedback: artifact of what the custom model learned from feedback, None where no arm asks it.
        pretrained: artifact of continued pre-training, None where no arm asks it.
        pretrained_custom: artifact of the fine-tuning after that, None where no arm asks it.
        experts: artifact with the adapters of domain experts and their router, None where no arm asks them.
        folder: artifact with what vLLM serves, None for the embedded engine.
        vllm: where vLLM is, None for the embedded engine.
        index: artifact that passages come from, None where nothing is retrieved.
        fusion: artifact with the weights of the two searches, None for the defaults.
        guard: puts guardrails and replies to dialog acts around every arm but base, None for none.
        cascade: opens the arm `cascade` or `cascade+private` over the others, None where it was not made.
        commands: artifact with the adapters of agents that understand messages, None where none was trained.
        border: what stands before a custom model that a service keeps, None where none is asked.
    """

    project: Project
    embedder: Embedder
    support: LexicalSupport
    weights: Artifact
    custom: Artifact | None = None
    folder: Artifact | None = None
    vllm: Installed | Elsewhere | None = None
    index: Artifact | None = None
    fusion: Artifact | None = None
    guard: Callable[[ChatModel], ChatModel] | None = None
    cascade: Callable[[str, Arms], ChatModel] | None = None
    commands: Artifact | None = None
    border: Callable[[], Border] | None = None
    feedback: Artifact | None = None
    pretrained: Artifact | None = None
    pretrained_custom: Artifact | None = None
    experts: Artifact | None = None

    @property
    def trained(self) -> dict[str, tuple[Artifact, str]]:
        """The models that were trained and are served here, with the name of the folder that vLLM may serve, by the
        name of the engine."""
        every = {"custom": (self.custom, CUSTOM_FOLDER), "feedback": (self.feedback, FEEDBACK_FOLDER),
                 "pretrained": (self.pretrained, PRETRAINED_FOLDER),
                 "pretrained_custom": (self.pretrained_custom, PRETRAINED_CUSTOM_FOLDER)}  # fmt: skip
        return {name: (made, folder) for name, (made, folder) in every.items() if made and not endpoint_of(made)}

    @property
    def adapters(self) -> dict[str, tuple[Path, str]]:
        """The adapters that are served beside the base, by the name of what answers with them: folder and key."""
        named: list[tuple[Artifact | None, str]] = [(self.commands, "agents"), (self.experts, "experts")]
        return {
            f"{fact}/{name}": (Path(made.path) / str(n), f"{made.key}-{n}")
            for made, fact in named if made for n, name in enumerate(made.facts[fact])
        }  # fmt: skip


class Arms:
    """Opens arms; engines are loaded when first needed and shared.

    Args:
        built: what the arms are made from.
        engines: shared with other holders; without, this object has its own.
    """

    def __init__(self, built: Built, engines: Shared[Serves] | None = None) -> None:
        self._built = built
        self._shared = Shared[Serves]() if engines is None else engines
        self._engines: dict[str, tuple[Hashable, Serves]] = {}
        self._others: dict[str, Arms] = {}

    @cached_property
    def grounding(self) -> Grounding | None:
        """Finds passages; None where there is no index."""
        return self._grounding() if self._index else None

    @cached_property
    def _index(self) -> Index | None:
        b = self._built
        return Index(Path(b.index.path), b.embedder, Path(b.fusion.path) if b.fusion else None) if b.index else None

    def _grounding(self, within: Sequence[str] = (), instructions: str = "") -> Grounding:
        b, assistant = self._built, self._built.project.assistant
        assert self._index is not None
        if instructions:
            assistant = assistant.model_copy(update={"instructions": instructions})
        return Grounding(self._index, b.embedder, b.project.retrieval, assistant, within)

    def base(self) -> ChatModel:
        return self._engine("base").model("base")

    def custom(self) -> ChatModel:
        """The custom model, here or at the endpoint that trained it; the base model where nothing is trained yet."""
        if self._built.custom is None:
            return self.base()
        if endpoint := endpoint_of(self._built.custom):
            return self._border.hosted(OpenAIModel(endpoint), OnDemand("base", self.base))
        return self._engine("custom").model("tuned")

    def local(self) -> ChatModel:
        """The custom model if this machine has its weights, else the base model."""
        return self.custom() if self._built.custom and not endpoint_of(self._built.custom) else self.base()

    @cached_property
    def _border(self) -> Border:
        assert self._built.border is not None
        return self._built.border()

    def behind(self, arm: str) -> ChatModel:
        """The model that answers in an arm: the base, the custom one, the one that learned from feedback or was
        pre-trained further, or the custom one over that."""
        if arm in LEARNED and self._built.feedback:
            return self._engine("feedback").model("tuned+feedback")
        if arm in PRETRAINED_TUNED and self._built.pretrained_custom:
            return self._engine("pretrained_custom").model("cpt+tuned")
        if arm in PRETRAINED and self._built.pretrained:
            return self._engine("pretrained").model("cpt")
        return self.custom() if arm.startswith("tuned") or arm == "oracle" else self.base()

    def commands(self, agent: str) -> ChatModel | None:
        """The base model with the adapter that understands messages for an agent; None if none was trained."""
        adapter = f"agents/{agent}"
        return self._adapted(adapter, agent) if adapter in self._built.adapters else None

    def _adapted(self, adapter: str, name: str) -> ChatModel:
        """The base model with one of the adapters beside it."""
        if self._built.vllm:
            return self._engine(adapter).model(name)
        engine = self._engine("base")
        assert isinstance(engine, LlamaEngine)
        return engine.model(name, list(self._built.adapters).index(adapter))

    def open(
        self, name: str, few_shot: Sequence[Example] = (), gold: Mapping[Messages, Sequence[Passage]] | None = None,
        within: Sequence[str] = (), instructions: str = "",
    ) -> ChatModel:  # fmt: skip
        """The arm called `name`, as in the table above, behind its guardrails and replies.

        Args:
            name: of the arm.
            few_shot: examples in the prompt of the arm `prompt`.
            gold: passages known to contain the answer, for the arm `oracle`.
            within: patterns of the documents that it answers from; empty for all.
            instructions: system prompt instead of the project's.

        Raises:
            ConfigError: a cascade or experts have their own documents or instructions.
        """
        if name in (*CASCADES, *EXPERTS) and (within or instructions):
            what = f"an agent with its own documents or instructions cannot answer from the arm {name}"
            raise ConfigError(what, "remove them from the [[agent]] table, or release another arm")
        if name in CASCADES:
            assert self._built.cascade is not None
            return self._built.cascade(name, self)
        arm = self.bare(name, None, few_shot, gold, within, instructions)
        guard = self._built.guard if name != "base" else None
        return guard(arm) if guard else arm

    def bare(
        self, name: str, model: ChatModel | None = None, few_shot: Sequence[Example] = (),
        gold: Mapping[Messages, Sequence[Passage]] | None = None, within: Sequence[str] = (), instructions: str = "",
        only: frozenset[str] | None = None,
    ) -> ChatModel:  # fmt: skip
        """The arm without guardrails and replies; `model` answers in place of the project's, and passages are those
        of the groups in `only`."""
        if name in EXPERTS and model is None:
            return self._routed(name, only)
        if model is None:
            model, custom = self.behind(name), self._built.custom
            if only is None and custom and endpoint_of(custom) and (name.startswith("tuned") or name == "oracle"):
                only = self._border.leaving
        if name == "base":
            return model
        if name in RETRIEVING:
            assert self.grounding is not None
            grounding = self._grounding(within, instructions) if within or instructions else self.grounding
            grounder: Grounder = grounding if name != "oracle" else GoldGrounder(grounding, gold or {})
            if only is not None:
                grounder = Limited(grounding, only)
            calculate = self._built.project.assistant.calculator
            return Grounded(model, grounder, self._built.support, name, calculate)
        settings, examples = self._built.project.assistant, few_shot if name == "prompt" else ()
        return Prompted(name, model, lambda m: with_examples(m, settings, examples))

    def _routed(self, name: str, only: frozenset[str] | None) -> ChatModel:
        """The experts, each over its own documents; what belongs to none is answered by the base over all."""
        built = self._built
        assert built.experts is not None

        def expert(domain: Domain) -> ChatModel:
            model = self._adapted(f"experts/{domain.name}", domain.name)
            return self.bare(name, model, within=domain.documents if name in RETRIEVING else (), only=only)

        fallback = self.bare(name, self.base(), only=only)
        return open_experts(name, built.experts, built.embedder, expert, fallback)

    def over(self, settings: Model, weights: Artifact) -> Arms:
        """Arms of the same documents over another base model in the embedded engine, closed with these."""
        if weights.key not in self._others:
            project = self._built.project.model_copy(update={"model": settings}).at(self._built.project.root)
            built = replace(
                self._built,
                project=project,
                weights=weights,
                custom=None,
                folder=None,
                vllm=None,
                cascade=None,
                commands=None,
                feedback=None,
                pretrained=None,
                pretrained_custom=None,
                experts=None,
            )
            self._others[weights.key] = Arms(built, self._shared)
        return self._others[weights.key]

    def close(self) -> None:
        for other in self._others.values():
            other.close()
        self._others.clear()
        for key, _ in reversed(self._engines.values()):  # adapters before what they are loaded in
            self._shared.give_back(key)
        self._engines.clear()

    def _engine(self, name: str) -> Serves:
        if name not in self._engines:
            key, make = self._vllm(name) if self._built.vllm else self._embedded(name)
            self._engines[name] = key, self._shared.take(key, make)
        return self._engines[name][1]

    def _embedded(self, name: str) -> tuple[Hashable, Callable[[], Serves]]:
        made, banned = self._built.weights, ()
        adapters = [folder / ADAPTER_GGUF for folder, _ in self._built.adapters.values()]
        if name in self._built.trained:
            # LoRA's adapter is merged in: beside the base it takes a third more time.
            made, _ = self._built.trained[name]
            banned, adapters = tuple(made.facts.get("banned_tokens", [])), []
        weights, settings = Path(made.path) / WEIGHTS, self._built.project.model
        key = (str(weights), _settings(settings), banned, *map(str, adapters))
        return key, lambda: LlamaEngine(weights, settings, adapters, banned)

    def _vllm(self, name: str) -> tuple[Hashable, Callable[[], Serves]]:
        built, settings = self._built, self._built.project.model
        assert built.folder is not None
        assert built.vllm is not None
        vllm, folder = built.vllm, Path(built.folder.path) / BASE_FOLDER
        merged = {key: Path(built.folder.path) / own for key, (_, own) in built.trained.items()}
        adapters = {adapter: (own / ADAPTER, key) for adapter, (own, key) in built.adapters.items()}
        adapters |= {
            key: (Path(made.path) / ADAPTER, made.key)
            for key, (made, _) in built.trained.items() if not merged[key].is_dir()
        }  # fmt: skip
        if name in adapters:
            base, (adapter, key) = self._engine("base"), adapters[name]
            assert isinstance(base, VllmEngine)
            return (self._engines["base"][0], key), lambda: Adapted(base, key, adapter)
        rank = max((rank_of(adapter) for adapter, _ in adapters.values()), default=0)
        if name in merged:
            folder, rank = merged[name], 0
        return (str(folder), _settings(settings), rank), lambda: VllmEngine(folder, settings, vllm, rank)


def endpoint_of(custom: Artifact) -> Endpoint | None:
    """Where a trained model answers whose weights a service kept; None for one that is served here."""
    place = custom.facts.get("endpoint")
    return Endpoint.model_validate(place) if place else None


def trained_kind(arms: Collection[str]) -> str:
    """The kind of the artifact with the trained model that the arms ask; "" where they ask none."""
    for kind, own in (("pretrained_adapter", PRETRAINED_TUNED), ("pretrained", PRETRAINED), ("feedback", LEARNED)):
        if not set(arms).isdisjoint(own):
            return kind
    return "adapter" if any(arm.startswith("tuned") for arm in arms) else ""


def _settings(model: Model) -> str:
    """What tells engines apart."""
    return model.model_dump_json(exclude={"usd_per_hour"})


def with_examples(messages: Messages, settings: Assistant, examples: Sequence[Example]) -> Messages:
    """The instructions, a few answered questions, then the conversation."""
    shown = [
        m
        for e in examples
        for m in (Message(role="user", content=e.question), Message(role="assistant", content=e.target))
    ]
    system, *rest = ungrounded(messages, settings)
    return (system, *shown, *rest)
