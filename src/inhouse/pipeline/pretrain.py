"""The stages of continued pre-training: the base model reads the documents, and may be fine-tuned after that.

1. The sections of the documents that everyone may read are rewritten (datasets/rewrite.py).
2. General text and chats that the base model writes itself are mixed in against forgetting.
3. The model learns from all of it; a few rewrites are held out, and decide when that stops.
4. Bits per byte of general text before and after, and later the general questions, say whether it may be promoted.
5. Fine-tuning goes on from what was learned: from the adapter, or from the weights of method "full". What that forgets
   is measured on the same texts, against the base model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from inhouse.assembly.arms import ADAPTER, PRETRAINED_TUNED
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.config.sections import Project
from inhouse.datasets import rewrite
from inhouse.datasets.rewrite import Part
from inhouse.errors import ConfigError, InputError
from inhouse.files import file_sha256, write_text
from inhouse.models.catalog import WEIGHTS
from inhouse.models.llama import LlamaEngine
from inhouse.models.openai import OpenAIModel
from inhouse.pipeline.feedback import without_replies
from inhouse.pipeline.rows import training_rows
from inhouse.pipeline.sources import TRAINING
from inhouse.text.support import LexicalSupport
from inhouse.training.pretrain import Held, PretrainJob
from inhouse.types import Artifact, Document, Json, Message, Progress, digest_of

SOURCE = ["training", "pipeline/pretrain.py", "datasets/rewrite.py", "datasets/synthesize.py", "datasets/templates.py",
          "datasets/templates.toml", "pipeline/feedback.py", "text"]  # fmt: skip
HELD = "held.json"  # in the artifact: the texts that bits per byte are measured on
HELD_SHARE = 0.05  # of the rewrites
HELD_MOST = 60
GENERAL_HELD_SHARE = 0.15
GENERAL_WORDS = 20  # of a general text at least; shorter paragraphs, such as headings, are left out
GENERAL_CHARS = 2000  # of a general text; longer paragraphs are cut
CHAT_TOKENS = 48
CHATS = tuple(
    f"{ask} {about}."
    for about in (
        "a river", "a bicycle", "bread", "a library", "the moon", "a garden", "music", "a map", "winter", "a bridge",
        "friendship", "a kitchen",
    )
    for ask in ("Write two sentences about", "Explain to a child what is meant by", "Name three words that go with")
)  # fmt: skip
"""What the base model is asked for chats; none of it is in the general questions of the verdict."""


def make_pretrained(workspace: Workspace, served: Artifact, documents: Artifact) -> Artifact:
    """The artifact "pretrained": the same files as a training, and bits per byte before and after. Replies of the inbox
    are not read.

    Raises:
        ConfigError: the shares leave no room for documents.
        InputError: no document may be read by everyone, or a file of general text is missing.
    """
    project, settings = workspace.project, workspace.project.pretraining
    check_pretraining(project)
    files = [project.path(p) for p in settings.general]
    inputs: dict[str, Json] = {
        "pretraining": settings.model_dump(mode="json", exclude={"max_general_loss", "max_question_loss"}),
        "training": project.training.model_dump(mode="json", include={"precision", "patience", "max_minutes"}),
        "teacher": project.teacher.model_dump(mode="json", exclude={"api_key_env", "timeout_s"}),
        "name": project.name,
        "seed": project.seed,
        "general": [file_sha256(f) for f in files],
        "quantization": project.model.quantization,
    }

    def build(work: Path) -> dict[str, Json]:
        from inhouse.training import anywhere, gguf, pretrain

        _say(workspace, elsewhere(project))
        if not set(PRETRAINED_TUNED).isdisjoint(project.evaluation.arms):
            anywhere.check(project.training.model_copy(update={"backend": "local"}))  # what comes after it
        read = workspace.documents(documents)
        own = without_replies(read)
        parts = parts_of(own)
        written, left_out = rewritten(workspace, parts)
        left_out |= {"replies of the inbox": len(read) - len(own)} if len(own) < len(read) else {}
        chat = asyncio.run(_chats(workspace, Path(served.path) / WEIGHTS)) if settings.chat_share else ()
        job = job_of(workspace, parts, written, general_texts(files), chat)
        facts = pretrain.train(job, work, workspace.progress)
        base = workspace.base_gguf or Path(served.path) / WEIGHTS
        gguf.write_served(work, base, settings.method, project.model.quantization)
        write_text(work / HELD, job.held.model_dump_json())
        made = {"sections": len(parts), "rewrites": sum(map(len, written)), "left_out": left_out}
        return {**facts, **made, **_HERE}

    return workspace.make("pretrained", inputs, [served, documents], SOURCE, build)


_HERE: dict[str, Json] = {"place": "this machine"}  # in the facts: training.backend is not for these stages


class Before(NamedTuple):
    """The artifacts that fine-tuning after continued pre-training starts from."""

    pretrained: Artifact
    weights: Artifact
    at: Artifact
    fusion: Artifact
    dataset: Artifact


def make_pretrained_adapter(workspace: Workspace, before: Before) -> Artifact:
    """The artifact "pretrained_adapter": the same files as a training, and bits per byte before all training and after.

    With LoRA there is one adapter, of the rank of [pretraining]: fine-tuning goes on with its weights.
    """
    project, settings = workspace.project, workspace.project.training
    inputs: dict[str, Json] = {
        "training": settings.recipe(),
        "assistant": project.assistant.model_dump(mode="json"),
        "retrieval": project.retrieval.model_dump(mode="json"),
        "seed": project.seed,
    }

    def build(work: Path) -> dict[str, Json]:
        from inhouse.training import gguf, local, pretrain
        from inhouse.training.job import TrainingJob

        _say(workspace, elsewhere(project, tuning=True))
        rows, validation, counts = training_rows(workspace, before.at, before.fusion, before.dataset)
        read, full = Path(before.pretrained.path), settings.method == "full"
        job = TrainingJob(
            rows=tuple(rows), validation=tuple(validation), base=read / "weights" if full else workspace.base,
            name=project.model.base, settings=settings, seed=project.seed, start=None if full else read / ADAPTER,
        )  # fmt: skip
        facts = local.train(job, work, workspace.progress)
        base = workspace.base_gguf or Path(before.weights.path) / WEIGHTS
        gguf.write_served(work, base, settings.method, project.model.quantization)
        held = pretrain.Held.model_validate_json((read / HELD).read_text(encoding="utf-8"))
        base, adapter = (work / "weights", None) if full else (workspace.base, work / ADAPTER)
        after = pretrain.measure(base, adapter, held, project.pretraining.pack_tokens)
        known = {"bits_per_byte_before": before.pretrained.facts["bits_per_byte_before"], "bits_per_byte_after": after}
        return facts | known | _HERE | {f"rows_{name}": n for name, n in counts.items()}

    return workspace.make("pretrained_adapter", inputs, list(before), [*SOURCE, *TRAINING, "retrieval"], build)


def check_pretraining(project: Project) -> None:
    """Raises:
    ConfigError: the shares leave no room for documents.
    InputError: a file of general text is missing, or they have too little text to learn and to measure.
    """
    settings = project.pretraining
    if settings.general_share + settings.chat_share >= 1:
        what = (
            f"pretraining.general_share = {settings.general_share:g} and pretraining.chat_share = "
            f"{settings.chat_share:g} leave no room for documents"
        )
        raise ConfigError(what, "lower one of them, so that their sum is less than 1")
    files = [project.path(p) for p in settings.general]
    for file in files:
        if not file.is_file():
            raise InputError(f"{file}: no such file", "name text files under [pretraining] general")
    if files and len(general_texts(files)) < 2:  # one is learned, and one measures what is forgotten
        what = f"{', '.join(map(str, files))}: fewer than two paragraphs of more than {GENERAL_WORDS} words"
        raise InputError(what, "name files with longer paragraphs under [pretraining] general, or none")


def elsewhere(project: Project, tuning: bool = False) -> str:
    """Which settings of the place a stage of continued pre-training does not follow; empty where none is set.

    Args:
        tuning: the stage fine-tunes after it, in as many processes as are set.
    """
    settings = project.training
    named = [f'training.backend = "{settings.backend}"'] if settings.backend != "local" else []
    if not tuning:
        named += [f'training.sharding = "{settings.sharding}"'] if settings.sharding != "none" else []
        named += [f"training.processes = {settings.processes}"] if settings.processes > 1 else []
    what = "the fine-tuning after continued pre-training runs on this machine"
    what = what if tuning else "continued pre-training runs on this machine, in one process"
    return f"{what}: {', '.join(named)} is not for it" if named else ""


def _say(workspace: Workspace, said: str) -> None:
    if said:
        with workspace.progress.step(said, 1) as step:
            step.advance()


def parts_of(documents: Sequence[Document]) -> list[Part]:
    """The sections that are learned. What documents for everyone say is not personal data to the anonymizer, so it has
    nothing to replace in them.

    Raises:
        InputError: there are none.
    """
    parts = rewrite.parts_of(documents)
    if not parts:
        hint = "remove the arms cpt from evaluation.arms"
        raise InputError("no trusted document has text that everyone may read", hint)
    return parts


def rewritten(workspace: Workspace, parts: Sequence[Part]) -> tuple[list[list[str]], dict[str, Json]]:
    """The rewrites of each part, and how many were left out, by reason. With a teacher, half of them are its own."""
    project, count = workspace.project, workspace.project.pretraining.rewrites
    support = LexicalSupport(project.assistant.handoff)  # by words alone: a template's rewrite has those of its section
    taught: list[list[str]] = [[] for _ in parts]
    refused: dict[str, Json] = {}
    if project.teacher.url and count:
        teacher, own = OpenAIModel(project.teacher), (count + 1) // 2
        asking = rewrite.from_teacher(parts, teacher, own, workspace.support, project.seed, workspace.progress)
        taught, why = asyncio.run(asking)
        refused = {k: n for k, n in why.items() if n}
    made, left_out = rewrite.rewrites(parts, count, support, project.seed, workspace.progress)
    both = [[*theirs, *ours][:count] for theirs, ours in zip(taught, made, strict=True)]
    return both, {**{k: n for k, n in left_out.items() if n}, **refused}


def job_of(
    workspace: Workspace, parts: Sequence[Part], written: Sequence[Sequence[str]], general: Sequence[str],
    chat: Sequence[tuple[Message, ...]],
) -> PretrainJob:  # fmt: skip
    """What is learned, and what is held out: some rewrites of parts that are learned in other words, and some general
    texts. The first wordings of all parts come before the second ones."""
    project, settings = workspace.project, workspace.project.pretraining
    every = [(k, n, text) for n, texts in enumerate(written) for k, text in enumerate(texts)]
    usable = [t for t in every if len(written[t[1]]) > 1]
    order = sorted(usable, key=lambda t: digest_of(["held", project.seed, t[2]]))
    held = order[: min(HELD_MOST, round(HELD_SHARE * len(every)) or bool(order))]
    learned = sorted(set(every) - set(held))
    shown = sorted(general, key=lambda t: digest_of(["general", project.seed, t]))
    cut = max(1, round(GENERAL_HELD_SHARE * len(shown))) if len(shown) > 1 else 0
    judged = tuple(t for *_, t in held) or tuple(p.raw for p in parts[:HELD_MOST])
    return PretrainJob(
        domain=(*(p.raw for p in parts), *(t for _, _, t in learned)),
        held=Held(domain=judged, general=tuple(shown[:cut])),
        base=workspace.base, name=project.model.base, recipe=settings, seed=project.seed,
        general=tuple(shown[cut:]) if settings.general_share else (), chat=tuple(chat),
        precision=project.training.precision, patience=project.training.patience,
        max_minutes=project.training.max_minutes,
    )  # fmt: skip


def general_texts(files: Sequence[Path]) -> list[str]:
    """Paragraphs of the user's files; without any, of the documentation that comes with Python (PSF license)."""
    if files:
        whole = [f.read_text(encoding="utf-8", errors="replace") for f in files]
    else:
        from pydoc_data.topics import topics

        whole = list(topics.values())
    paragraphs = [p.strip() for text in whole for p in text.split("\n\n")]
    return list(dict.fromkeys(p[:GENERAL_CHARS] for p in paragraphs if len(p.split()) > GENERAL_WORDS))


async def _chats(workspace: Workspace, weights: Path) -> list[tuple[Message, ...]]:
    """Conversations with the base model, as it is served."""
    with closing(LlamaEngine(weights, workspace.project.model)) as engine:
        return await chats(engine.model("base"), CHATS, workspace.project.model.parallel, workspace.progress)


async def chats(
    model: ChatModel, asked: Sequence[str], concurrent: int, progress: Progress
) -> list[tuple[Message, ...]]:
    """Each question with the model's answer; one without an answer is left out."""
    free = asyncio.Semaphore(concurrent)
    with progress.step("chats against forgetting", len(asked)) as step:

        async def one(text: str) -> tuple[Message, ...]:
            question = Message(role="user", content=text)
            async with free:
                reply = await collect(model, ChatRequest(messages=(question,), max_tokens=CHAT_TOKENS))
            step.advance()
            return (question, Message(role="assistant", content=reply.text)) if reply.text.strip() else ()

        return [turns for turns in await asyncio.gather(*(one(t) for t in asked)) if turns]
