"""Continued pre-training: the model reads texts, and every token counts for the loss.

The run is that of `sft`, with packed texts as rows: its schedule, time limit, checkpoints, and early stopping. What is
learned is a mix: the documents and their rewrites, general text against forgetting, and conversations. Shares count in
tokens. Learning rates are lower than for fine-tuning, as in "LoRA Learns Less and Forgets Less" (Biderman et al. 2024).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inhouse.config.pretraining import Pretraining
from inhouse.config.sections import Training
from inhouse.errors import InputError
from inhouse.training import sft
from inhouse.training.job import TrainingJob
from inhouse.training.packing import Pack, TextLoss, bits_per_byte, pack, pieces, separator_of
from inhouse.types import Json, Message, Progress, Record

LEARNING_RATES = {"lora": 2e-4, "full": 2e-5}
MEASURED_TOKENS = 4096  # of the texts that bits per byte are measured on, at most


class Held(Record):
    """Texts that are not learned: of the domain, which decide when training stops, and general ones."""

    domain: tuple[str, ...]
    general: tuple[str, ...] = ()


class PretrainJob(Record):
    """What to read, and how.

    Attributes:
        domain: texts of the documents, in the order in which they are wanted if the time does not suffice for all.
        general: texts that are mixed in.
        chat: conversations that are mixed in, the reply last.
        held: texts that bits per byte are measured on.
        base: a folder with model.gguf or a Hugging Face folder, or a .gguf file.
        name: the name of the base model in the adapter's files.
        recipe: the [pretraining] section.
        precision, patience, max_minutes: as in [training].
        seed: for initialization and order.
        tokens: of the domain that are learned at most; texts are repeated or cut to make it exact; 0 for all once.
    """

    domain: tuple[str, ...]
    held: Held
    base: Path
    name: str
    recipe: Pretraining
    seed: int
    general: tuple[str, ...] = ()
    chat: tuple[tuple[Message, ...], ...] = ()
    precision: str = "auto"
    patience: int = 2
    max_minutes: float = 0.0
    tokens: int = 0


def settings_of(job: PretrainJob) -> Training:
    """The job as settings of the run of `sft`."""
    recipe = job.recipe
    given = {
        "method": recipe.method, "rank": recipe.rank, "alpha": recipe.alpha, "epochs": recipe.epochs,
        "learning_rate": recipe.learning_rate or LEARNING_RATES[recipe.method], "precision": job.precision,
        "batch_size": max(1, round(recipe.batch_tokens / recipe.pack_tokens)), "patience": job.patience,
        "max_minutes": recipe.max_minutes or job.max_minutes,
    }  # fmt: skip
    return Training.model_validate(given)


def train(job: PretrainJob, work: Path, progress: Progress) -> dict[str, Json]:
    """Reads the texts; writes `adapter/` (PEFT) or, for method "full", `weights/` into the folder `work`.

    A run that was killed continues from its last checkpoint in `work`, with the same packs in the same order.

    Returns:
        What `sft.train` returns, the tokens of each part, and bits per byte before and after, of domain and general.

    Raises:
        InputError: the base cannot be loaded, or there is no text.
    """
    import torch

    settings = settings_of(job)
    accelerator = sft.accelerator_here()
    torch.manual_seed(job.seed)
    tokenizer, model = sft.load(job.base)
    learned, counts = mixed(job, tokenizer)
    packs = pack(learned, job.recipe.pack_tokens)
    held = packed(job.held, tokenizer, job.recipe.pack_tokens)
    if not packs:
        raise InputError("there is no text to continue pre-training on", "only documents that everyone may read count")
    model = sft.adapted(model.to(accelerator.device), settings)
    run = _Run(job, settings, model, packs, held.get("domain") or packs[:4], work)
    del model
    run.resume()
    before = run.before(held)
    run.loop(progress)
    facts = run.finish(tokenizer)  # the best weights are in the model now
    return {
        **facts, **counts, "examples": len(learned), "packs": len(packs),
        "fill": round(fill(packs, job.recipe.pack_tokens), 4), "bits_per_byte_before": before,
        "bits_per_byte_after": bits(run.text, held),
    }  # fmt: skip


def measure(base: Path, adapter: Path | None, held: Held, most: int) -> dict[str, float]:
    """Bits per byte of a model, by "domain" and "general": of the base, or with a PEFT adapter on it.

    Raises:
        InputError: the base cannot be loaded.
    """
    from peft import PeftModel

    tokenizer, model = sft.load(base)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter, local_files_only=True)
    model = model.to(sft.accelerator_here().device)
    return bits(TextLoss(model), packed(held, tokenizer, most))


def packed(held: Held, tokenizer: Any, most: int) -> dict[str, list[Pack]]:
    """What bits per byte are measured on, by "domain" and "general"; without what there is none of."""
    made = {name: measured(getattr(held, name), tokenizer, most) for name in ("domain", "general")}
    return {name: packs for name, packs in made.items() if packs}


def bits(loss: TextLoss, held: Mapping[str, Sequence[Pack]]) -> dict[str, float]:
    """Bits per byte of each."""
    return {name: round(bits_per_byte(loss, packs), 5) for name, packs in held.items()}


def fill(packs: Sequence[Pack], most: int) -> float:
    """The share of the sequences' room that texts take."""
    return sum(len(p.ids) for p in packs) / max(len(packs) * most, 1)


def mixed(job: PretrainJob, tokenizer: Any) -> tuple[list[Pack], dict[str, Json]]:
    """Everything that is learned, a pack for each text, and the tokens of each part.

    Of general texts and conversations as much is taken as their shares need; where there is less, it is repeated.
    """
    recipe, separator = job.recipe, separator_of(tokenizer)

    def coded(texts: Sequence[str]) -> list[Pack]:
        return [p for text in texts for p in pieces(text, tokenizer, separator, recipe.pack_tokens)]

    domain = coded(job.domain)
    if job.tokens:
        domain = _filled(domain, job.tokens, random.Random(job.seed))  # noqa: S311  an order, not a secret
    size = sum(p.answer for p in domain)
    rest = 1 - recipe.general_share * bool(job.general) - recipe.chat_share * bool(job.chat)
    if rest <= 0:
        raise InputError("[pretraining]: general_share and chat_share leave no room for documents", "lower one of them")
    rng = random.Random(f"{job.seed}|mix")  # noqa: S311  an order, not a secret
    general = _filled(coded(job.general), round(size / rest * recipe.general_share), rng)
    chats = [tokenizer.apply_chat_template([m.to_openai() for m in turns], tokenize=False) for turns in job.chat]
    chat = _filled(coded(chats), round(size / rest * recipe.chat_share), rng)
    parts = {"domain": domain, "general": general, "chat": chat}
    return [p for own in parts.values() for p in own], {
        f"{k}_tokens": sum(p.answer for p in v) for k, v in parts.items()
    }


def _filled(texts: Sequence[Pack], tokens: int, rng: random.Random) -> list[Pack]:
    """Texts of about so many tokens in all, in random order; all of them come once before one comes again."""
    made: list[Pack] = []
    left = tokens
    while texts and left > 0:
        for text in rng.sample(list(texts), len(texts)):
            if left <= 0:
                break
            made.append(text)
            left -= text.answer
    return made


def measured(texts: Sequence[str], tokenizer: Any, most: int) -> list[Pack]:
    """The packs that bits per byte are measured on: the first texts, as many as a measurement has time for."""
    separator, size = separator_of(tokenizer), 0
    taken: list[Pack] = []
    for text in texts:
        own = pieces(text, tokenizer, separator, most)
        size += sum(p.answer for p in own)
        if taken and size > MEASURED_TOKENS:
            break
        taken += own
    return pack(taken, most)


class _Run(sft.Run):
    """A run of `sft` over packs."""

    label = "continued pre-training"

    def __init__(
        self, job: PretrainJob, settings: Training, model: Any, packs: list[Pack], held: list[Pack], work: Path
    ) -> None:
        plain = TrainingJob(rows=(), validation=(), base=job.base, name=job.name, settings=settings, seed=job.seed)
        super().__init__(plain, model, list(packs), list(held), work, sft.accelerator_here())
        self.loss = self.text = TextLoss(model)

    def before(self, held: Mapping[str, Sequence[Pack]]) -> dict[str, float]:
        """Bits per byte of the base model, measured once: a run that was killed finds them in its folder."""
        import json

        from inhouse.files import write_text

        file = self.work / "before.json"
        if not file.is_file():
            write_text(file, json.dumps(bits(self.text, held)))
        return dict(json.loads(file.read_text(encoding="utf-8")))
