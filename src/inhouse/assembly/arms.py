"""What is compared and what is asked: each arm is a ChatModel, nested here from the engine and the rooms' wrappers.

======== ======================= =================================================
arm      weights                 prompt
======== ======================= =================================================
base     the base model          the conversation as it is
prompt   the base model          instructions and examples from the training data
rag      the base model          instructions and retrieved passages
tuned    the custom model        instructions
tuned+rag the custom model       instructions and retrieved passages
oracle   the custom model if any instructions and passages, those known to be right first
======== ======================= =================================================
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from inhouse.chat import ChatEvent, ChatModel, ChatRequest
from inhouse.config.sections import Assistant, Project
from inhouse.models.llama import LlamaEngine
from inhouse.retrieval.grounded import Grounded, Grounding, ungrounded
from inhouse.retrieval.search import Index
from inhouse.text.support import LexicalSupport
from inhouse.types import Artifact, Embedder, Example, Message, Passage

Messages = tuple[Message, ...]
FEW_SHOT = "few_shot.jsonl"  # in a verdict's folder: the examples that its `prompt` arm showed
MOST_RETRIEVED = 20  # that the oracle's right passages are filled up from


class Prompted:
    """A ChatModel that rewrites the messages before `model` sees them."""

    def __init__(self, name: str, model: ChatModel, rewrite: Callable[[Messages], Messages]) -> None:
        self.name = name
        self._model = model
        self._rewrite = rewrite

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        rewritten = request.model_copy(update={"messages": self._rewrite(request.messages)})
        async for event in self._model.stream(rewritten):
            yield event


class GoldGrounder:
    """A Grounder that gives the passages known to hold the answer, and fills up with retrieved ones."""

    def __init__(self, grounding: Grounding, gold: Mapping[Messages, Sequence[Passage]]) -> None:
        self._grounding = grounding
        self._gold = gold

    def passages(self, messages: Sequence[Message], groups: frozenset[str]) -> Sequence[Passage]:
        gold = list(self._gold.get(tuple(messages), ()))
        there = {p.text for p in gold}
        retrieved = [hit.passage for hit in self._grounding.hits(messages, groups, MOST_RETRIEVED)]
        return self._grounding.fitting([*gold, *(p for p in retrieved if p.text not in there)])

    def ground(self, messages: Sequence[Message], passages: Sequence[Passage]) -> Messages:
        return self._grounding.ground(messages, passages)


class Closes(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closes)


class Shared(Generic[T]):
    """What is large in memory, by key: made when first taken, and closed when the last holder gives it back.

    Made by one thread at a time; giving back does not wait for what is being made.
    """

    def __init__(self) -> None:
        self._held: dict[Hashable, tuple[T, int]] = {}
        self._making, self._counting = threading.Lock(), threading.Lock()

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._making:
            if (found := self._counted(key, 1)) is not None:
                return found
            made = make()
            with self._counting:
                self._held[key] = (made, 1)
            return made

    def give_back(self, key: Hashable) -> None:
        if (last := self._counted(key, -1)) is not None:
            last.close()

    def _counted(self, key: Hashable, change: int) -> T | None:
        """What is held under the key, with one holder more; or with one less, then only where that was the last."""
        with self._counting:
            if key not in self._held:
                return None
            thing, holders = self._held[key]
            self._held[key] = (thing, holders + change)
            if holders + change == 0:
                del self._held[key]
            return thing if change > 0 or holders + change == 0 else None


class Arms:
    """Opens arms over the artifacts of a project; engines are loaded when first needed and shared.

    Args:
        project: the project's settings.
        weights: artifact with the served base, model.gguf.
        custom: artifact of the training, None before there is one.
        grounding: finds passages, None where the project has no documents.
        support: cites passages.
        engines: those that others hold too; its own without.
        guard: puts the project's guardrails around every arm but base, which stays the model as it came.
    """

    def __init__(
        self,
        project: Project,
        weights: Artifact,
        custom: Artifact | None,
        grounding: Grounding | None,
        support: LexicalSupport,
        engines: Shared[LlamaEngine] | None = None,
        guard: Callable[[ChatModel], ChatModel] | None = None,
    ) -> None:
        self._project = project
        self._weights = Path(weights.path) / "model.gguf"
        self._custom = custom
        self.grounding = grounding
        self._support = support
        self._guard = guard
        self._shared = Shared[LlamaEngine]() if engines is None else engines
        self._engines: dict[str, tuple[Hashable, LlamaEngine]] = {}

    def base(self) -> ChatModel:
        return self._engine("base").model("base")

    def custom(self) -> ChatModel:
        """The custom model; the base model where nothing is trained yet."""
        if self._custom is None:
            return self.base()
        return self._engine("custom").model("tuned")

    def open(
        self,
        name: str,
        few_shot: Sequence[Example] = (),
        gold: Mapping[Messages, Sequence[Passage]] | None = None,
    ) -> ChatModel:
        """The arm called `name`, as in the table above, behind its guardrails."""
        model = self._bare(name, few_shot, gold)
        return model if name == "base" or self._guard is None else self._guard(model)

    def _bare(
        self, name: str, few_shot: Sequence[Example], gold: Mapping[Messages, Sequence[Passage]] | None
    ) -> ChatModel:
        told = self._project.assistant
        match name:
            case "base":
                return self.base()
            case "prompt":
                return Prompted(name, self.base(), lambda m: with_examples(m, told, few_shot))
            case "tuned":
                return Prompted(name, self.custom(), lambda m: ungrounded(m, told))
            case "rag":
                return self._grounded(name, self.base(), self.grounding)
            case "tuned+rag":
                return self._grounded(name, self.custom(), self.grounding)
            case "oracle":
                assert self.grounding is not None
                return self._grounded(name, self.custom(), GoldGrounder(self.grounding, gold or {}))
        raise KeyError(name)

    def close(self) -> None:
        for key, _ in self._engines.values():
            self._shared.give_back(key)
        self._engines.clear()

    def _grounded(self, name: str, model: ChatModel, grounder: Any) -> ChatModel:
        return Grounded(model, grounder, self._support, name=name)

    def _engine(self, name: str) -> LlamaEngine:
        if name not in self._engines:
            settings = self._project.model
            weights, banned = self._weights, ()
            if name == "custom" and self._custom:
                # With its adapter merged in, for LoRA: beside the base an adapter takes a third more time.
                weights = Path(self._custom.path) / "model.gguf"
                banned = tuple(self._custom.facts.get("banned_tokens", []))
            key = (str(weights), settings.model_dump_json(exclude={"usd_per_hour"}), banned)
            self._engines[name] = key, self._shared.take(key, lambda: LlamaEngine(weights, settings, (), banned))
        return self._engines[name][1]


def open_grounding(index: Artifact, fusion: Artifact | None, embedder: Embedder, project: Project) -> Grounding:
    """Retrieval over an index artifact, fused as tuned where it was."""
    opened = Index(Path(index.path), embedder, Path(fusion.path) if fusion else None)
    return Grounding(opened, embedder, project.retrieval, project.assistant)


def with_examples(messages: Messages, told: Assistant, examples: Sequence[Example]) -> Messages:
    """The conversation after the instructions and a few answered questions."""
    shown = [
        m
        for e in examples
        for m in (Message(role="user", content=e.question), Message(role="assistant", content=e.target))
    ]
    system, *rest = ungrounded(messages, told)
    return (system, *shown, *rest)
