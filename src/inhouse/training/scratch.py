"""A Llama trained from scratch: its tokenizer, its data, its schedule, and checkpoints, on one processor or GPU.

What is trained on is settled before the first step (training/plan.py) and kept in the work folder with the tokenizer,
and the order of the data follows from the seed. So a run that was killed continues from its last checkpoint as if it
had never stopped. Only a machine that turns out slower than planned, where `minutes` is set, gets fewer steps. The
learning rate rises for a twentieth of the steps and falls to a tenth along a cosine; weights
decay but for norms. The result is the state with the lowest loss on held-out documents, as a Hugging Face folder.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from inhouse.config.scratch import Scratch
from inhouse.errors import InputError
from inhouse.files import write_text
from inhouse.training import checkpoint, corpus
from inhouse.training.curve import draw
from inhouse.training.plan import Plan, Shape, budget, rate_of
from inhouse.types import Json, Progress

FOLDER, CURVE, PICTURE, PLAN, TOKENIZER = "base", "curve.json", "curve.svg", "plan.json", "tokenizer.json"
CHECKPOINT, BEST = "checkpoint", "best.safetensors"
EVALUATIONS = 20  # spread over the steps, after the one of the untrained model
HELD_TOKENS = 200_000  # that each of them looks at, at most; a hundredth of those that are trained on,
FEW_TOKENS = 20_000  # but at least so many
RECENT = 8  # steps whose speed is assumed for the rest
RESERVED = 0.03  # of the time, for saving
SAVE_EVERY_S = 60.0
WARM_UP, LAST_RATE, DECAY, BETAS = 0.05, 0.1, 0.1, (0.9, 0.95)
MICRO_TOKENS = 4096  # of a forward pass
PROBES = 3  # passes in each precision; the first is a warm-up
WORTH_IT = 0.85  # bf16 is used when a pass takes at most this share of the time in fp32
EMULATED = 8.0  # when a few tokens take this many times as long in bf16, no more is tried
SHOWN = 20  # steps whose mean the progress shows


@dataclass
class State:
    """How far a run is; part of every checkpoint. Losses are in bits per byte."""

    step: int = 0
    planned: int = 0
    tokens: int = 0
    evaluation_s: float = 0.0  # of the last one
    seconds: float = 0.0
    step_seconds: float = 0.0
    best: float = math.inf
    best_step: int = 0
    losses: list[float] = field(default_factory=list)  # of every step
    recent: list[float] = field(default_factory=list)  # seconds of the last ones
    held: list[tuple[int, float]] = field(default_factory=list)  # step, loss on held-out documents


@dataclass(frozen=True)
class Prepared:
    """What a run needs: the tokenizer, documents as ids, and the plan."""

    tokenizer: Any
    train: list[corpus.Ids]
    held: list[corpus.Ids]
    plan: Plan


def train(
    texts: Sequence[str], settings: Scratch, seed: int, work: Path, progress: Progress, context_tokens: int = 0
) -> dict[str, Json]:
    """Trains a model on the texts; writes its folder `base/`, curve.json, curve.svg, and plan.json into `work`.

    Args:
        context_tokens: the context that the folder claims if it is longer than the pieces that are trained on, since
            the engine cuts conversations off there; only a fine-tune can teach the positions beyond.

    Returns:
        Parameters, tokens, speed, and bits per byte of held-out documents, before and after.

    Raises:
        InputError: there is too little text.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch is imported, see training/local.py
    prepared = prepare(texts, settings, seed, work, progress)
    for line in prepared.plan.lines():
        with progress.step(line, 1) as shown:
            shown.advance()
    run = Run(prepared, settings, seed, work)
    run.resume()
    run.loop(progress)
    return run.finish(context_tokens)


def prepare(texts: Sequence[str], settings: Scratch, seed: int, work: Path, progress: Progress) -> Prepared:
    """Trains the tokenizer, cuts the text, and makes the plan; takes what an earlier run left in `work`.

    Raises:
        InputError: there is too little text.
    """
    from tokenizers import Tokenizer

    own, held = corpus.divide(texts, settings.held_out, seed)
    file, planned = work / TOKENIZER, work / PLAN
    if not file.is_file():
        with progress.step("training the tokenizer", 1) as step:
            write_text(file, corpus.train_tokenizer(own, settings.vocabulary).to_str())
            step.advance()
    tokenizer = Tokenizer.from_str(file.read_text(encoding="utf-8"))
    train_ids, held_ids = corpus.encode(tokenizer, own), corpus.encode(tokenizer, held)
    tokens = sum(len(ids) for ids in train_ids)
    if tokens < settings.context_tokens:
        hint = "add documents, set scratch.text, or lower scratch.context_tokens"
        raise InputError(f"there are only {tokens} tokens of text, less than scratch.context_tokens", hint)
    if planned.is_file():
        plan = Plan.model_validate_json(planned.read_text(encoding="utf-8"))
    else:
        shape = Shape(
            depth=settings.depth, vocabulary=tokenizer.get_vocab_size(), context_tokens=settings.context_tokens
        )
        rows = max(1, settings.batch_tokens // settings.context_tokens)
        with progress.step("measuring the speed of this machine", 1) as step:
            autocast, tokens_s = probe(shape, settings.precision, rows)
            step.advance()
        limited, limit = budget(settings, shape, tokens_s)
        steps = max(1, math.ceil(limited / (rows * settings.context_tokens)))
        plan = Plan(
            shape=shape, text_tokens=tokens, text_bytes=sum(len(t.encode()) for t in own),
            held_bytes=sum(len(t.encode()) for t in held), tokens=steps * rows * settings.context_tokens, steps=steps,
            batch_rows=rows, tokens_s=tokens_s, limit=limit, autocast=autocast, learning_rate=rate_of(settings),
        )  # fmt: skip
        write_text(planned, plan.model_dump_json(indent=1))
    return Prepared(tokenizer, train_ids, held_ids, plan)


def new_model(shape: Shape) -> Any:
    """A model with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.inner,
        num_hidden_layers=shape.depth, num_attention_heads=shape.depth, num_key_value_heads=shape.depth,
        max_position_embeddings=shape.context_tokens, tie_word_embeddings=True, bos_token_id=0, eos_token_id=2,
        pad_token_id=0, attn_implementation="sdpa",
    ))  # fmt: skip


def device_here() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def probe(shape: Shape, precision: str, rows: int) -> tuple[bool, float]:
    """Whether bf16 is used, and tokens a second in steps of so many rows, by a few passes with random tokens."""
    import torch

    device, length = device_here(), shape.context_tokens
    torch.manual_seed(0)
    model = new_model(shape).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)
    part = min(rows, max(1, MICRO_TOKENS // length))

    def seconds(autocast: bool, length: int, rows: int) -> tuple[float, float]:
        """Of a pass and of the optimizer's step, at best."""
        ids = torch.randint(shape.vocabulary, (rows, length), device=device)
        passes, updates = [], []
        for _ in range(PROBES):
            started = time.perf_counter()
            _loss(model, ids, None, ids, autocast).backward()
            if device == "cuda":
                torch.cuda.synchronize()
            passed = time.perf_counter()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if device == "cuda":
                torch.cuda.synchronize()
            passes.append(passed - started)
            updates.append(time.perf_counter() - passed)
        return min(passes[1:]), min(updates[1:])

    def speed(autocast: bool) -> float:
        passing, updating = seconds(autocast, length, part)
        return rows * length / (passing * rows / part + updating)

    plain = 0.0 if precision == "bf16" else speed(False)
    few = min(16, length)
    emulated = precision == "auto" and seconds(True, few, 1)[0] > EMULATED * seconds(False, few, 1)[0]
    if precision == "fp32" or emulated:
        return False, plain
    half = speed(True)
    autocast = half * WORTH_IT >= plain
    return autocast, half if autocast else plain


def _loss(model: Any, ids: Any, positions: Any, labels: Any, autocast: bool) -> Any:
    """Sum of the losses of the labels, in nats. transformers keeps attention inside pieces by the positions, which
    start from 0 in each; None for rows of one piece, which need no mask for it and take a tenth less time."""
    import torch

    with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=autocast):
        logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits
    flat = logits.float().flatten(0, 1)
    return torch.nn.functional.cross_entropy(flat, labels.flatten(), ignore_index=corpus.IGNORED, reduction="sum")


def bits_per_byte(
    model: Any, documents: Sequence[corpus.Ids], lengths: corpus.Ids, context: int, most_tokens: int = 0
) -> float:
    """Bits that the model needs for each byte of the documents, which are read in pieces of the context's length.

    Args:
        model: a causal language model of transformers.
        documents: ids, each after a token that starts it and that is not counted.
        lengths: bytes of each token of the vocabulary.
        context: length of a piece, in tokens.
        most_tokens: stops after about so many; 0 reads all.
    """
    import torch

    device = next(model.parameters()).device
    nats, count, read = 0.0, 0, 0
    model.eval()
    with torch.no_grad():
        for ids in documents:
            for given, following in corpus.windows(ids, context):
                labels = torch.from_numpy(following.astype("int64"))[None].to(device)
                inputs = torch.from_numpy(given.astype("int64"))[None].to(device)
                nats += float(_loss(model, inputs, None, labels, False))
                count, read = count + int(lengths[following].sum()), read + len(given)
            if most_tokens and read >= most_tokens:
                break
    return nats / math.log(2) / max(count, 1)


class Run:
    """One training run: model, optimizer, state, checkpoints."""

    def __init__(self, prepared: Prepared, settings: Scratch, seed: int, work: Path) -> None:
        import torch

        self.prepared, self.settings, self.seed, self.work = prepared, settings, seed, work
        self.plan, self.device = prepared.plan, device_here()
        torch.manual_seed(seed)
        self.model = new_model(self.plan.shape).to(self.device)
        self.end = int(prepared.tokenizer.token_to_id(corpus.END))
        self.lengths = corpus.token_bytes(prepared.tokenizer)
        named = list(self.model.named_parameters())
        decayed, others = ([(n, p) for n, p in named if (p.ndim > 1) is kind] for kind in (True, False))
        self.trained = dict(decayed + others)  # in the optimizer's order, by which checkpoints name its moments
        groups = [{"params": [p for _, p in some], "weight_decay": decay} for some, decay in
                  ((decayed, DECAY), (others, 0.0))]  # fmt: skip
        self.optimizer = torch.optim.AdamW(groups, lr=self.plan.learning_rate, betas=BETAS)
        self.state = State()
        self.looked_at = min(
            sum(len(ids) for ids in prepared.held), HELD_TOKENS, max(FEW_TOKENS, self.plan.tokens // 100)
        )
        step_tokens = self.plan.batch_rows * self.plan.shape.context_tokens
        rarely = 3 * self.looked_at // step_tokens  # so that evaluating, which is a third of the work, is a tenth
        self.every = max(1, self.plan.steps // EVALUATIONS, rarely)
        self.saved_at = time.monotonic()
        self.epoch, self.before = -1, 0
        self.rows: corpus.Rows | None = None  # of the epoch; `before` is how many came before them

    def loop(self, progress: Progress) -> None:
        s = self.state
        s.planned = s.planned or self.plan.steps
        if not s.held:
            self._evaluate()
        with progress.step("training from scratch", 1) as step:
            shown = 0.0  # as a share, since the plan may change
            while s.step < s.planned:
                started = time.monotonic()
                s.losses.append(self._step())
                took = time.monotonic() - started
                s.tokens += self.plan.batch_rows * self.plan.shape.context_tokens
                s.seconds, s.step_seconds, s.recent = (
                    s.seconds + took,
                    s.step_seconds + took,
                    [*s.recent, took][-RECENT:],
                )
                self._plan()
                if s.step % self.every == 0 or s.step >= s.planned:
                    self._evaluate()
                recent = sum(s.losses[-SHOWN:]) / len(s.losses[-SHOWN:])
                speed = s.tokens / s.step_seconds
                said = f"{recent:.3f} bits per byte, held out {s.held[-1][1]:.3f}, {speed:,.0f} tokens/s"
                step.advance(s.step / s.planned - shown, said)
                shown = s.step / s.planned
                if time.monotonic() - self.saved_at > SAVE_EVERY_S:
                    self.save()
        self.save()

    def _plan(self) -> None:
        """Plans fewer steps where the time has no room for those that are left, at the speed of the last ones."""
        s = self.state
        if self.settings.minutes:
            step_s = sum(s.recent) / len(s.recent) + s.evaluation_s / self.every
            left_s = self.settings.minutes * 60 * (1 - RESERVED) - s.seconds - s.evaluation_s
            s.planned = min(s.planned, s.step + max(0, int(left_s / step_s)))

    def _step(self) -> float:
        """One optimizer step; returns the bits per byte of its rows."""
        import numpy as np
        import torch

        s = self.state
        rate = self.plan.learning_rate * factor(s.step, s.planned)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        ids, labels, positions = self._batch(s.step)
        counted = labels != corpus.IGNORED
        whole = ((positions == np.arange(ids.shape[1])) | ~counted).all(axis=1)  # rows of one piece, which come first
        order = np.argsort(~whole, kind="stable")
        ids, labels, positions, whole, counted = (a[order] for a in (ids, labels, positions, whole, counted))
        count, many = int(counted.sum()), max(1, MICRO_TOKENS // ids.shape[1])
        self.model.train()
        nats = 0.0
        for at in range(0, len(ids), many):
            given, places, following = (
                torch.from_numpy(a[at : at + many]).to(self.device) for a in (ids, positions, labels)
            )
            inside = None if whole[at : at + many].all() else places
            loss = _loss(self.model, given, inside, following, self.plan.autocast)
            (loss / count).backward()
            nats += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(list(self.trained.values()), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        s.step += 1
        return nats / math.log(2) / max(1, int(self.lengths[labels[counted]].sum()))

    def _batch(self, step: int) -> tuple[corpus.Ids, corpus.Ids, corpus.Ids]:
        """Ids, labels, and positions of the step's rows; the rows of all epochs are one sequence."""
        import numpy as np

        parts, at, left = [], step * self.plan.batch_rows, self.plan.batch_rows
        while left:
            rows = self._epoch_of(at)
            some = slice(at - self.before, at - self.before + left)
            parts.append((rows.ids[some], rows.labels[some], rows.positions[some]))
            at, left = at + len(parts[-1][0]), left - len(parts[-1][0])
        ids, labels, positions = (np.concatenate(a) for a in zip(*parts, strict=True))
        return ids, labels, positions

    def _epoch_of(self, row: int) -> corpus.Rows:
        """The rows of the epoch that has the given one."""
        while self.rows is None or row >= self.before + len(self.rows):
            self.before += len(self.rows) if self.rows else 0
            self.epoch += 1
            self.rows = corpus.epoch_rows(
                self.prepared.train, self.plan.shape.context_tokens, self.end, self.seed, self.epoch
            )
        return self.rows

    def _evaluate(self) -> None:
        """Measures the held-out documents, and keeps the best weights."""
        s, started = self.state, time.monotonic()
        loss = self.held_out(self.looked_at)
        s.held.append((s.step, loss))
        s.evaluation_s = time.monotonic() - started
        s.seconds += s.evaluation_s
        if loss < s.best:
            s.best, s.best_step = loss, s.step
            checkpoint.write_tensors(self.work / BEST, self.trained)

    def held_out(self, most_tokens: int = 0) -> float:
        """Bits per byte of the held-out documents."""
        context = self.plan.shape.context_tokens
        return bits_per_byte(self.model, self.prepared.held, self.lengths, context, most_tokens)

    def save(self) -> None:
        tensors = checkpoint.tensors_of(self.trained, self.optimizer)
        checkpoint.save(self.work / CHECKPOINT, tensors, asdict(self.state))
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        found = checkpoint.load(self.work / CHECKPOINT, self.trained, self.optimizer)
        if found:
            held: Any = found.pop("held")
            known: Any = found
            self.state = State(**known, held=[(int(step), float(loss)) for step, loss in held])

    def finish(self, context_tokens: int) -> dict[str, Json]:
        """Writes the result, and removes what only a run needs."""
        from transformers.utils.logging import disable_progress_bar

        checkpoint.read_tensors(self.work / BEST, self.trained)
        s, plan, folder = self.state, self.plan, self.work / FOLDER
        best = self.held_out()
        disable_progress_bar()
        self.model.config.max_position_embeddings = max(context_tokens, plan.shape.context_tokens)
        self.model.to("cpu").save_pretrained(folder)
        corpus.save_tokenizer(self.prepared.tokenizer, folder)
        curve = {"unit": "bits per byte", "steps": s.step, "tokens_per_step": s.tokens // max(1, s.step),
                 "training": s.losses, "held_out": s.held, "best_step": s.best_step}  # fmt: skip
        write_text(self.work / CURVE, json.dumps(curve))
        write_text(self.work / PICTURE, draw(s.losses, s.held, s.tokens // max(1, s.step)))
        checkpoint.remove(self.work / CHECKPOINT)
        (self.work / BEST).unlink()
        (self.work / TOKENIZER).unlink()
        return {
            "parameters": plan.shape.parameters, "vocabulary": plan.shape.vocabulary, "tokens": s.tokens,
            "steps": s.step, "passes": round(s.tokens / plan.text_tokens, 2),
            "limit": plan.limit if s.step == plan.steps else "scratch.minutes", "best_step": s.best_step,
            "bits_per_byte": round(best, 4), "bits_per_byte_untrained": round(s.held[0][1], 4),
            "tokens_s": round(s.tokens / max(s.step_seconds, 1e-9)),
            "minutes": round(s.seconds / 60, 1), "precision": "bf16" if plan.autocast else "fp32",
        }  # fmt: skip


def factor(step: int, steps: int) -> float:
    """The share of the peak learning rate at a step, from 0."""
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    share = (step - warm) / max(1, steps - warm)
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * share)) / 2
