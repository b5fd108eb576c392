"""Learning from preferences: DPO from pairs of answers, KTO from single answers that were wanted or not.

Let r be the log-ratio of an answer, log p(answer | prompt) under the model less that under the reference, which is the
model before the first step. With length control r is divided by the answer's length and multiplied by the mean length.

- DPO (Rafailov et al. 2023): -log sigmoid(beta (r of the chosen - r of the rejected)).
- KTO (Ethayarajh et al. 2024): w (1 - sigmoid(beta (r - z))) for a wanted answer, w (1 - sigmoid(beta (z - r))) for an
  unwanted one; z is the mean r of answers to other questions, at least 0, without a gradient. The weights w of the two
  kinds make up for how many there are of each.
- Both add `anchor` times the cross-entropy per token of answers that were chosen or wanted (as RPO, Pang et al. 2024):
  without it they become less likely too, as long as the rejected ones do so faster.

The log-probabilities of the reference are computed once, so a step costs no pass through a second model. Loop, budget,
checkpoints, and files are those of `sft`. TRL's trainers are not used: they need the logits of prompts too, have other
checkpoints, and do not know a time limit; that the losses are the same is tested against TRL where it is installed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inhouse.config.feedback import Feedback
from inhouse.config.sections import Training
from inhouse.errors import InputError
from inhouse.files import write_text
from inhouse.training import sft
from inhouse.training.data import Tokens, encode
from inhouse.training.job import TrainingJob
from inhouse.training.loss import AnswerLoss
from inhouse.training.rows import Row
from inhouse.types import Json, Message, Progress, Record

if TYPE_CHECKING:
    import torch

Method = Literal["dpo", "kto"]
REFERENCE = "reference.json"  # log-probabilities under the reference, so that a run that was killed goes on
AT_ONCE = 4  # answers whose log-probabilities are computed at once, where nothing is learned
SHARE_OF_RATE = 0.2  # of the learning rate of plain fine-tuning


class Preference(Record):
    """What is known of answers to one prompt: the chosen and the rejected of a pair, or one of them alone."""

    messages: tuple[Message, ...]
    chosen: str = ""
    rejected: str = ""


class PreferenceJob(Record):
    """What to learn from, and how.

    Attributes:
        rows: what the model learns from.
        validation: the rows whose loss decides about early stopping.
        base: a folder with model.gguf or a Hugging Face folder, or a .gguf file.
        name: of the base model in the adapter's files.
        settings: the [training] section; its time limit and number of epochs hold.
        recipe: the [feedback] section.
        method: "dpo" uses the pairs, "kto" all answers.
        seed: for the order.
        start: the adapter that training goes on from; None for method "full", whose weights `base` has.
    """

    rows: tuple[Preference, ...]
    validation: tuple[Preference, ...]
    base: Path
    name: str
    settings: Training
    recipe: Feedback
    method: Method
    seed: int
    start: Path | None = None


@dataclass(frozen=True)
class Item:
    """A pair, or a single answer: its sides as tokens, whether each was wanted, and their log-probabilities under the
    reference; `other` is an answer to another question after this prompt. `answer` counts items, as the loss is one of
    items."""

    sides: tuple[Tokens, ...]
    wanted: tuple[bool, ...]
    reference: tuple[float, ...] = ()
    other: Tokens | None = None
    other_reference: float = 0.0
    answer: int = 1

    @property
    def ids(self) -> list[int]:
        """The ids of the longest side twice where there are two, by which batches are made."""
        return max((s.ids for s in self.sides), key=len) * len(self.sides)


def train(job: PreferenceJob, work: Path, progress: Progress) -> dict[str, Json]:
    """Learns from preferences; writes `adapter/` or `weights/` into `work`, and continues a run that was killed.

    Returns:
        Steps, losses, speed, why it stopped, and by how much chosen answers became likelier than rejected ones.

    Raises:
        InputError: no row fits, or the method cannot use any.
    """
    import torch

    accelerator = sft.accelerator_here()
    torch.manual_seed(job.seed)
    tokenizer, model = sft.load(job.base)
    model = sft.adapted(model.to(accelerator.device), job.settings, job.start)
    rows, left_out = items_of(job.rows, job.method, tokenizer, job.settings.max_prompt_tokens)
    validation, _ = items_of(job.validation, job.method, tokenizer, job.settings.max_prompt_tokens)
    if not rows:
        raise InputError(f"no row for {job.method} fits into the prompt", "raise training.max_prompt_tokens")
    loss = PreferenceLoss(model, job, rows)
    rows, validation = _with_reference(loss, (rows, validation or rows[:8]), work, accelerator.is_main_process)
    run = _Run(job, model, rows, validation, work, accelerator, loss)
    del model
    run.resume()
    run.loop(progress)
    facts = run.finish(tokenizer) | {"examples": len(rows), "too_long": left_out, "method": job.method}
    if accelerator.is_main_process:
        (work / REFERENCE).unlink(missing_ok=True)
    return facts | {"mean_answer_tokens": round(loss.mean_length, 1)}


def items_of(
    rows: Sequence[Preference], method: Method, tokenizer: Any, max_prompt_tokens: int
) -> tuple[list[Item], int]:
    """The items that a method learns from, and how many rows do not fit. KTO takes a pair as two single answers."""
    items: list[Item] = []
    left_out = 0
    for row in rows:
        given = [(text, wanted) for text, wanted in ((row.chosen, True), (row.rejected, False)) if text]
        if method == "dpo" and len(given) < 2:
            continue
        sides = [
            encode([Row(messages=row.messages, target=t, kind="")], tokenizer, max_prompt_tokens)[0] for t, _ in given
        ]
        if not all(sides):
            left_out += 1
            continue
        tokens, wanted = [s[0] for s in sides], [w for _, w in given]
        if method == "dpo":
            items.append(Item(tuple(tokens), tuple(wanted)))
        else:
            items += [Item((t,), (w,)) for t, w in zip(tokens, wanted, strict=True)]
    return (_with_others(items) if method == "kto" else items), left_out


def _with_others(items: Sequence[Item]) -> list[Item]:
    """Each item with the answer to another question behind its own prompt."""
    made = []
    for n, item in enumerate(items):
        (own,) = item.sides
        other = next((i.sides[0] for i in (*items[n + 1 :], *items[:n]) if _prompt(i.sides[0]) != _prompt(own)), None)
        mixed = Tokens([*_prompt(own), *other.ids[-other.answer :]], other.answer) if other else None
        made.append(Item(item.sides, item.wanted, other=mixed))
    return made


def _prompt(tokens: Tokens) -> list[int]:
    return tokens.ids[: -tokens.answer]


# --- losses -----------------------------------------------------------------------------------------------------


def dpo_loss(chosen: torch.Tensor, rejected: torch.Tensor, beta: float) -> torch.Tensor:
    """DPO of log-ratios (pairs,) of chosen and rejected answers; (pairs,)."""
    from torch.nn.functional import logsigmoid

    return -logsigmoid(beta * (chosen - rejected))


def kto_loss(ratios: torch.Tensor, wanted: torch.Tensor, z: float, beta: float) -> torch.Tensor:
    """KTO of log-ratios (answers,), and whether each answer was wanted; (answers,), before weights."""
    import torch

    sign = torch.where(wanted, 1.0, -1.0)
    return 1 - torch.sigmoid(beta * sign * (ratios - z))


class PreferenceLoss(AnswerLoss):
    """The summed loss of items under a model, where `AnswerLoss` sums tokens.

    Attributes:
        mean_length: of answers, in tokens; length control brings all to it.
        z: KTO's reference point, set before each step.
    """

    def __init__(self, model: Any, job: PreferenceJob, rows: Sequence[Item]) -> None:
        super().__init__(model, job.settings.method)
        self._recipe, self._method = job.recipe, job.method
        lengths = [side.answer for item in rows for side in item.sides]
        self.mean_length = sum(lengths) / len(lengths)
        self.z = 0.0
        wanted = sum(item.wanted[0] for item in rows) if job.method == "kto" else 0
        unwanted = len(rows) - wanted
        both = job.method == "kto" and wanted > 0 and unwanted > 0
        self._weights = (len(rows) / (2 * wanted), len(rows) / (2 * unwanted)) if both else (1.0, 1.0)

    def __call__(self, rows: Sequence[Any], autocast: bool) -> torch.Tensor:
        import torch

        sides = [side for item in rows for side in item.sides]
        logs = self.logprobs(sides, autocast)
        ratios = self.ratios(logs, [r for item in rows for r in item.reference], sides)
        wanted = torch.tensor([w for item in rows for w in item.wanted], device=logs.device)
        lengths = logs.new_tensor([s.answer for s in sides])
        anchor = (-logs / lengths)[wanted].sum() * self._recipe.anchor
        if self._method == "dpo":
            pairs = ratios.view(-1, 2)
            return dpo_loss(pairs[:, 0], pairs[:, 1], self._recipe.beta).sum() + anchor
        each = kto_loss(ratios, wanted, self.z, self._recipe.beta)
        return (each * torch.where(wanted, *self._weights)).sum() + anchor

    def ratios(self, logs: torch.Tensor, reference: Sequence[float], sides: Sequence[Tokens]) -> torch.Tensor:
        """The log-ratios of answers, with length control if that is set."""
        ratios = logs - logs.new_tensor(reference)
        if self._recipe.length_control:
            ratios = ratios * (self.mean_length / logs.new_tensor([s.answer for s in sides]))
        return ratios

    def reference_point(self, rows: Sequence[Item], autocast: bool) -> tuple[float, int]:
        """The summed log-ratio of answers to other questions, and how many there are."""
        some = [item for item in rows if item.other]
        if not some:
            return 0.0, 0
        tokens = [item.other for item in some if item.other]
        logs = self.plain_logprobs(tokens, autocast)
        return float(self.ratios(logs, [item.other_reference for item in some], tokens).sum()), len(some)

    def plain_logprobs(self, rows: Sequence[Tokens], autocast: bool) -> torch.Tensor:
        """`logprobs` without a gradient, a few rows at a time."""
        import torch

        with torch.no_grad():
            parts = [self.logprobs(rows[n : n + AT_ONCE], autocast) for n in range(0, len(rows), AT_ONCE)]
        return torch.cat(parts)


def _with_reference(
    loss: PreferenceLoss, sets: tuple[Sequence[Item], Sequence[Item]], work: Path, writes: bool
) -> tuple[list[Item], list[Item]]:
    """The items with their log-probabilities under the model as it is now, before it learns anything; from the file
    that an earlier run left, if it was killed."""
    file = work / REFERENCE
    everything = [item for items in sets for item in items]
    tokens = [t for item in everything for t in (*item.sides, *([item.other] if item.other else []))]
    logs: list[float] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    if len(logs) != len(tokens):
        loss.model.eval()
        logs = [float(v) for v in loss.plain_logprobs(tokens, autocast=False)]
        if writes:
            write_text(file, json.dumps(logs))
    left = iter(logs)
    known = [
        Item(
            item.sides,
            item.wanted,
            tuple(next(left) for _ in item.sides),
            item.other,
            next(left) if item.other else 0.0,
        )
        for item in everything
    ]
    return known[: len(sets[0])], known[len(sets[0]) :]


# --- the run ----------------------------------------------------------------------------------------------------


class _Run(sft.Run):
    """A run of `sft` over items, with another loss."""

    def __init__(
        self, job: PreferenceJob, model: Any, rows: Sequence[Item], validation: Sequence[Item], work: Path,
        accelerator: Any, loss: PreferenceLoss,
    ) -> None:  # fmt: skip
        rate = job.recipe.learning_rate or SHARE_OF_RATE * sft.rate_of(job.settings)
        settings = job.settings.model_copy(update={"learning_rate": rate, "epochs": job.recipe.epochs})
        plain = TrainingJob(
            rows=(), validation=(), base=job.base, name=job.name, settings=settings, seed=job.seed, start=job.start
        )
        super().__init__(plain, model, list(rows), list(validation), work, accelerator)  # type: ignore[arg-type]
        self.preferences, self.loss = loss, loss
        self.needs_point = job.method == "kto"

    def _prefers_bf16(self, probe: Tokens) -> bool:
        """As the settings say: what is faster here was found out by the training before."""
        return self.settings.precision == "bf16"

    def _step(self) -> tuple[float, int]:
        self._set_point(self._batch(self.state.step))
        return super()._step()

    def _evaluate(self) -> None:
        self._set_point(self.validation)
        super()._evaluate()

    def _set_point(self, rows: Sequence[Any]) -> None:
        """KTO's reference point for the whole batch, before it is cut into what fits into memory."""
        if not self.needs_point:
            return
        import torch

        own: list[Any] = list(self._share(rows))
        point = self.preferences.reference_point(own, self.state.autocast)
        total, count = self.accelerator.reduce(
            torch.tensor(point, dtype=torch.float64, device=self.accelerator.device), "sum"
        )
        self.preferences.z = max(0.0, float(total / count)) if count else 0.0
