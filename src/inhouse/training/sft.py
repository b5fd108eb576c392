"""Supervised fine-tuning: LoRA on all linear layers, all weights, or a soft prompt; only answers count for the loss.

Learning rates follow common practice (LoRA about ten times full tuning, "LoRA Without Regret", 2025) and the
experiments in docs/LOG.md. The schedule is planned to end with the time budget, so a short budget gets a whole cosine;
every step corrects the plan, since other programs come and go.
Accelerate says which device a process trains on and which process it is. Each of several processes takes its share of
every batch; all follow the clock of the main process, and only that one writes files. With `sharding` they also share
the weights.
"""

from __future__ import annotations

import json
import math
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inhouse import process
from inhouse.config.sections import Training
from inhouse.errors import InputError
from inhouse.training import checkpoint, sharding
from inhouse.training.data import Tokens, batches, encode
from inhouse.training.gguf import quick_reading
from inhouse.training.job import TrainingJob
from inhouse.training.loss import AnswerLoss, micro
from inhouse.types import Json, Progress

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

LEARNING_RATES = {"lora": 5e-4, "full": 5e-5, "prompt_tuning": 1e-2}
WARM_UP = 0.05
EVALUATIONS = 4  # spread over the planned steps, after the one of the untrained model
APART = 5  # steps between two evaluations, at least
RECENT = 8  # steps whose speed the plan assumes for the rest
SAVE_EVERY_S = 60.0
RESERVED = 0.03  # of the budget, for saving
ENOUGH_STEPS = 100  # fewer, and less than one pass over the examples, is hardly any training
VALIDATION_ROWS = 24
PROBE_TOKENS = 16
EMULATED = 8.0  # when a few tokens take this many times as long in bf16 as in float32, no more is tried
WORTH_IT = 0.85  # bf16 is used when a batch takes at most this share of the time in float32


@dataclass
class State:
    """How far a run is; part of every checkpoint."""

    step: int = 0
    planned: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    tokens: int = 0
    autocast: bool = False
    evaluated: int = 0
    best: float = math.inf
    first: float = math.inf
    worse: int = 0
    stopped: str = ""
    losses: list[float] = field(default_factory=list)
    recent: list[tuple[float, int]] = field(default_factory=list)  # seconds and tokens of the last steps


def train(job: TrainingJob, work: Path, progress: Progress) -> dict[str, Json]:
    """Fine-tunes the base model; writes `adapter/` (PEFT) or, for method "full", `weights/` into the folder `work`.

    A run that was killed continues from its last checkpoint in `work`, with the same batches in the same order. It runs
    in this process: alone, or as one of several when the environment variables of a launcher say so. Several processes
    learn what one does, up to rounding.

    Returns:
        Steps, tokens, losses, speed, and why training stopped.

    Raises:
        InputError: the base cannot be loaded, or no row fits into the prompt.
        ConfigError: sharding with one process.
    """
    import torch

    accelerator = accelerator_here()
    torch.manual_seed(job.seed)
    tokenizer, model = load(job.base)
    most = job.settings.max_prompt_tokens
    rows, too_long = encode(job.rows, tokenizer, most)
    validation, _ = encode(job.validation[:VALIDATION_ROWS], tokenizer, most)
    if not rows:
        hint = "raise training.max_prompt_tokens"
        raise InputError(f"no training row fits into training.max_prompt_tokens = {most}", hint)
    model = placed(model, job.settings, job.start, accelerator)
    run = Run(job, model, rows, validation or rows[:8], work, accelerator)
    del model
    run.resume()
    run.loop(progress)
    return run.finish(tokenizer) | {"examples": len(rows), "too_long": too_long}


def accelerator_here() -> Accelerator:
    """This process's device and rank; the processes on this machine share its cores."""
    import torch
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=not torch.cuda.is_available(), mixed_precision="no")
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    torch.set_num_threads(max(1, process.cores() // here))
    return accelerator


def load(base: Path) -> tuple[Any, Any]:
    """Tokenizer and model in float32, from a GGUF file or a folder of safetensors; never runs code from the folder.

    Raises:
        InputError: transformers cannot load it.
    """
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    file = base if base.suffix == ".gguf" else base / "model.gguf"
    place: tuple[str, dict[str, Any]] = (str(base), {"use_safetensors": True})
    given: dict[str, Any] = {}
    if file.is_file():
        place, given = (str(file.parent), {}), {"gguf_file": file.name}
    try:
        with quick_reading():
            tokenizer = AutoTokenizer.from_pretrained(place[0], local_files_only=True, **given)
            model = AutoModelForCausalLM.from_pretrained(
                place[0], local_files_only=True, dtype=torch.float32, **place[1], **given
            )
    except (OSError, ValueError, KeyError) as error:
        hint = "is it a causal language model?"
        raise InputError(f"{base}: transformers cannot load it ({str(error)[:200]})", hint) from error
    if file.is_file():  # plain floats now; transformers would refuse to save what it notes as quantized
        model.hf_quantizer = None
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
    return tokenizer, model


def adapted(model: Any, settings: Training, start: Path | None = None) -> Any:
    """The model with the weights that will be trained: new ones, or those of the adapter `start`."""
    if settings.method == "full":
        return model
    from peft import LoraConfig, PeftModel, PromptTuningConfig, TaskType, get_peft_model

    if start is not None:
        return PeftModel.from_pretrained(model, start, is_trainable=True, local_files_only=True)

    if settings.method == "lora":
        config: Any = LoraConfig(
            task_type=TaskType.CAUSAL_LM, r=settings.rank, lora_alpha=settings.alpha, lora_dropout=0.0,
            target_modules="all-linear",
        )  # fmt: skip
    else:
        config = PromptTuningConfig(
            task_type=TaskType.CAUSAL_LM, num_virtual_tokens=settings.prompt_tokens, prompt_tuning_init="SAMPLE_VOCAB"
        )
    return get_peft_model(model, config)


def placed(model: Any, settings: Training, start: Path | None, accelerator: Accelerator) -> Any:
    """`adapted` on this process's device: the whole model, or this process's part of it.

    Raises:
        ConfigError: sharding with one process.
    """
    if settings.sharding == "none":
        return adapted(model.to(accelerator.device), settings, start)
    model = adapted(model, settings, start)
    sharding.shard(model, accelerator)
    return model


def rate_of(settings: Training) -> float:
    """The peak learning rate."""
    return settings.learning_rate or LEARNING_RATES[settings.method]


class Run:
    """One fine-tuning run: model, optimizer, state, checkpoints."""

    label = "fine-tuning"

    def __init__(
        self, job: TrainingJob, model: Any, rows: list[Tokens], validation: list[Tokens], work: Path,
        accelerator: Accelerator,
    ) -> None:  # fmt: skip
        import torch

        self.job, self.settings, self.model, self.rows, self.validation = job, job.settings, model, rows, validation
        self.work, self.accelerator, self.sharded = work, accelerator, sharding.is_sharded(model)
        self.loss = AnswerLoss(model, self.settings.method)
        self.trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.rate = rate_of(self.settings)
        self.optimizer = torch.optim.AdamW(self.trained.values(), lr=self.rate, weight_decay=0.0)
        self.state = State()
        self.per_epoch = math.ceil(len(rows) / self.settings.batch_size)
        self.most_steps = max(1, math.ceil(self.per_epoch * self.settings.epochs))
        self.saved_at = 0.0  # in seconds of the state
        self.order: tuple[int, list[list[int]]] = (-1, [])

    # --- the loop

    def loop(self, progress: Progress) -> None:
        s = self.state
        if not s.planned:
            self._begin()
        with progress.step(self.label, 1) as step:
            shown = 0.0  # as a share, since the plan may change
            while not s.stopped:
                started = time.monotonic()
                loss, tokens = self._step()
                took = self._agreed(time.monotonic() - started)
                s.seconds, s.step_seconds, s.tokens = s.seconds + took, s.step_seconds + took, s.tokens + tokens
                s.losses.append(round(loss, 5))
                s.recent = [*s.recent, (took, tokens)][-RECENT:]
                if self.settings.max_minutes:
                    self._plan()
                if s.step >= s.planned or s.step - s.evaluated >= self._interval():
                    self._evaluate()
                if s.step >= s.planned:
                    s.stopped = s.stopped or ("epochs" if s.step >= self.most_steps else "time")
                step.advance(s.step / s.planned - shown, f"loss {loss:.2f}, validation {s.best:.2f}")
                shown = s.step / s.planned
                if s.seconds - self.saved_at > SAVE_EVERY_S:
                    self.save()
        self.save()

    def _begin(self) -> None:
        """Chooses the precision, and measures the untrained model."""
        started = time.monotonic()
        self.state.autocast = self._prefers_bf16(max(self._batch(0), key=lambda t: len(t.ids)))
        self.state.seconds += self._agreed(time.monotonic() - started)
        self.state.planned = self.most_steps
        self._evaluate()
        self.save()  # a run that is killed continues with the same plan

    def _plan(self) -> None:
        """Plans as many steps as the rest of the budget has room for at the speed of the last steps."""
        s = self.state
        token_s = sum(seconds for seconds, _ in s.recent) / sum(tokens for _, tokens in s.recent)
        mean_tokens = sum(len(t.ids) for t in self.rows) / len(self.rows)
        step_s = token_s * mean_tokens * min(self.settings.batch_size, len(self.rows))
        evaluation_s = token_s * sum(len(t.ids) for t in self.validation) / 2  # it has no backward pass
        left_s = self.settings.max_minutes * 60 * (1 - RESERVED) - s.seconds - evaluation_s
        more = max(0, int(left_s / (step_s + evaluation_s / self._interval())))
        s.planned = min(self.most_steps, s.step + more)

    def _interval(self) -> int:
        """Steps from one evaluation to the next."""
        return max(APART, self.state.planned // EVALUATIONS)

    def _prefers_bf16(self, probe: Tokens) -> bool:
        """As the settings say; "auto" takes the one that needs less processor time on this machine.

        A few tokens are tried first, since a processor without bf16 emulates it thirty times slower than float32.
        """
        import torch

        if self.settings.precision != "auto":
            return self.settings.precision == "bf16"
        if torch.cuda.is_available():
            return bool(torch.cuda.is_bf16_supported())
        few = Tokens(probe.ids[-PROBE_TOKENS:], min(probe.answer, PROBE_TOKENS - 1))
        for row, faster in ((few, math.inf), (few, EMULATED), (probe, WORTH_IT)):  # the first is the warm-up
            times: dict[bool, float] = {}
            for autocast in (False, True):
                self.state.autocast = autocast
                times[autocast] = self._timed(row)
            if times[True] > faster * times[False]:
                return False
        return True

    def _timed(self, row: Tokens) -> float:
        """Processor seconds that a row takes, which other programs barely affect; the weights do not change."""
        begun = time.process_time()
        self._backward([row], 1)
        self.optimizer.zero_grad(set_to_none=True)
        return self._agreed(time.process_time() - begun)

    def _step(self) -> tuple[float, int]:
        """One optimizer step; returns its mean loss per token, and how many tokens it read."""
        import torch

        s = self.state
        progress = s.step / s.planned
        factor = min(1.0, (s.step + 1) / max(1, WARM_UP * s.planned)) * (0.55 + 0.45 * math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        batch = self._batch(s.step)
        total = sum(t.answer for t in batch)
        self.model.train()
        loss = self._gathered(sum(self._backward(some, of) for some, of in self._pieces(batch, total)))
        torch.nn.utils.clip_grad_norm_(list(self.trained.values()), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        s.step += 1
        return loss, sum(len(t.ids) for t in batch)

    def _batch(self, step: int) -> list[Tokens]:
        epoch, at = divmod(step, self.per_epoch)
        if self.order[0] != epoch:
            self.order = (epoch, batches(self.rows, self.settings.batch_size, self.job.seed, epoch))
        return [self.rows[n] for n in self.order[1][at]]

    def _backward(self, rows: Sequence[Tokens], total: float) -> float:
        loss = self._loss_of(rows) / total
        loss.backward()
        return float(loss.detach())

    def _loss_of(self, rows: Sequence[Tokens]) -> torch.Tensor:
        if self.sharded:
            return self.model.within(lambda: self.loss(rows, self.state.autocast))
        return self.loss(rows, self.state.autocast)

    # --- of several processes

    def _share(self, rows: Sequence[Tokens]) -> list[Tokens]:
        """This process's rows; those of the others have similar lengths."""
        ordered = sorted(rows, key=lambda t: len(t.ids))
        return ordered[self.accelerator.process_index :: self.accelerator.num_processes]

    def _pieces(self, rows: Sequence[Tokens], total: float) -> list[tuple[list[Tokens], float]]:
        """This process's share in pieces that fit into memory, and what the loss of each is divided by.

        Sharded weights are gathered by all processes together, so all run equally many pieces; those added for that
        count nothing.
        """
        import torch
        from accelerate.utils import gather

        pieces = [(some, total) for some in micro(self._share(rows))]
        if self.sharded:
            most = int(gather(torch.tensor([len(pieces)], device=self.accelerator.device)).max())
            pieces += [([min(rows, key=lambda t: len(t.ids))], math.inf)] * (most - len(pieces))
        return pieces

    def _gathered(self, loss: float) -> float:
        """Adds up the gradients and losses of all processes; each is already its part of the whole batch."""
        import torch

        if self.accelerator.num_processes == 1:
            return loss
        if self.sharded:  # the gradients were added up as they were made
            own = torch.tensor([loss], dtype=torch.float64, device=self.accelerator.device)
            return float(self.accelerator.reduce(own, "sum"))
        weights = list(self.trained.values())
        parts = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
        flat = torch.cat([*(p.flatten() for p in parts), parts[0].new_tensor([loss])])
        flat = self.accelerator.reduce(flat, "sum")
        for weight, grad in zip(weights, flat[:-1].split([w.numel() for w in weights]), strict=True):
            weight.grad = grad.view_as(weight)
        return float(flat[-1])

    def _agreed(self, value: float) -> float:
        """The main process's value: clocks differ, and all must decide the same."""
        import torch
        from accelerate.utils import broadcast

        return float(broadcast(torch.tensor([value], dtype=torch.float64, device=self.accelerator.device)))

    # --- validation, checkpoints, the end

    def _evaluate(self) -> None:
        """Computes the validation loss, keeps the best weights, and notices when the loss stops falling."""
        import torch

        started = time.monotonic()
        self.model.eval()
        with torch.no_grad():
            total = sum(t.answer for t in self.validation)
            own = sum(float(self._loss_of(some)) / of for some, of in self._pieces(self.validation, total))
        shares = torch.tensor([own], dtype=torch.float64, device=self.accelerator.device)
        loss = float(self.accelerator.reduce(shares, "sum"))
        s = self.state
        s.first, s.evaluated = (loss if s.first == math.inf else s.first), s.step
        if loss < s.best:
            s.best, s.worse = loss, 0
            weights = self._whole(self.trained)
            if self.accelerator.is_main_process:
                checkpoint.write_tensors(self.work / "best.safetensors", weights)
        else:
            s.worse += 1
            if s.worse >= self.settings.patience:
                s.stopped = "early"
        s.seconds += self._agreed(time.monotonic() - started)
        if self.accelerator.is_main_process:
            self._log(loss)

    def _log(self, loss: float) -> None:
        s = self.state
        recent = s.losses[-20:]
        line = {"step": s.step, "tokens": s.tokens, "seconds": round(s.seconds, 1), "validation_loss": round(loss, 4),
                "loss": round(sum(recent) / max(len(recent), 1), 4)}  # fmt: skip
        with (self.work / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def _whole(self, tensors: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
        """The tensors to be written, in the main process; all must call it."""
        return sharding.whole(tensors, self.accelerator.is_main_process) if self.sharded else tensors

    def save(self) -> None:
        tensors = self._whole(checkpoint.tensors_of(self.trained, self.optimizer))
        if self.accelerator.is_main_process:
            checkpoint.save(self.work / "checkpoint", tensors, asdict(self.state))
        self.saved_at = self.state.seconds

    def resume(self) -> None:
        state = checkpoint.load(self.work / "checkpoint", self.trained, self.optimizer)
        if state is not None:
            self.state = State(**state)
            self.saved_at = self.state.seconds
        self.accelerator.wait_for_everyone()  # before the main process overwrites what the others read

    def finish(self, tokenizer: Any) -> dict[str, Json]:
        """Takes the best weights; writes them and removes the checkpoint, in the main process."""
        self.accelerator.wait_for_everyone()  # until they are written
        checkpoint.read_tensors(self.work / "best.safetensors", self.trained)
        weights = self._whole(self.trained)
        self.accelerator.wait_for_everyone()  # until all have read them
        if self.accelerator.is_main_process:
            self._write(tokenizer, {"state_dict": dict(weights)} if self.sharded else {})
        self.accelerator.wait_for_everyone()
        return self._facts()

    def _write(self, tokenizer: Any, given: dict[str, Any]) -> None:
        if self.settings.method == "full":
            self.model.save_pretrained(self.work / "weights", safe_serialization=True, **given)
            tokenizer.save_pretrained(self.work / "weights")
        else:
            self.model.peft_config["default"].base_model_name_or_path = self.job.name
            # Without save_embedding_layers=False, PEFT looks the base up on the hub to compare vocabularies.
            given |= {"safe_serialization": True, "save_embedding_layers": False}
            self.model.save_pretrained(self.work / "adapter", **given)
        checkpoint.remove(self.work / "checkpoint")
        (self.work / "best.safetensors").unlink()

    def _facts(self) -> dict[str, Json]:
        s = self.state
        return {
            "method": self.settings.method,
            "steps": s.step,
            "planned_steps": s.planned,
            "tokens": s.tokens,
            "tokens_per_s": round(s.tokens / max(s.seconds, 1e-9), 1),
            "training_seconds": round(s.seconds, 1),
            "step_seconds": round(s.step_seconds, 1),
            "processes": self.accelerator.num_processes,
            "precision": "bf16 autocast" if s.autocast else "fp32",
            "loss": round(sum(s.losses[-20:]) / max(len(s.losses[-20:]), 1), 4),
            "validation_loss_first": round(s.first, 4),
            "validation_loss": round(s.best, 4),
            "stopped": s.stopped,
            "hardly_trained": self._hardly_trained(),
            "weights_learned": sum(p.numel() for p in self.trained.values()),
        }

    def _hardly_trained(self) -> str:
        """Why the result says little about fine-tuning, and what to do; "" when it was trained enough to tell."""
        s = self.state
        if s.stopped == "time" and s.step < min(self.per_epoch, ENOUGH_STEPS):
            return (
                f"training.max_minutes stopped it after {s.step} of the {self.per_epoch} steps of one pass over the "
                "examples; raise training.max_minutes, or train when the machine is idle"
            )
        if s.best >= s.first:
            return (
                f"its validation loss never fell below the {s.first:.2f} of the base model; "
                "add examples, or lower training.learning_rate"
            )
        return ""
