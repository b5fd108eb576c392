"""Fine-tuning the default model: tokens per second, memory and validation loss, compared with TRL's SFTTrainer.

    pip install -c constraints.txt -e '.[train,bench]'
    python benchmarks/training.py [--steps 12] [--repeats 3] [--quick]

The rows are those of `inhouse train` for the example bank. Both trainers get the same base, the same LoRA on all linear
layers, the same rows, batch size, learning rate, steps and cores. TRL gets fp32, no gradient checkpointing, both cores
and batches of similar length, because its defaults are slower here; its loss and logits cover the completions only. It
runs with whole batches and with half batches, and ours is compared with the faster one. Each trial is a separate
process, and the trainers take turns. `seconds` is the time of the steps; for TRL that of `trainer.train()`, which does
nothing else. `all` includes our speed test, validation and checkpoints, which TRL does not do here. The same function
computes the validation loss of both adapters. `inhouse, busy` runs beside a program that never waits. Prints a table of
medians, and writes JSON to `benchmarks/results/training.json`. `--quick` takes 2 steps, once.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inhouse.config.load import load_project
from inhouse.config.sections import Training
from inhouse.models.catalog import Catalog
from inhouse.training.rows import Row
from inhouse.types import Silent

HERE = Path(__file__).parent
BANK = HERE.parent / "examples" / "first_national_bank"
BASE = "smollm2-135m-instruct"
SETTINGS = Training(epochs=1, batch_size=8, patience=1000)
RATE = 5e-4
HELD_ROWS = 24
TRIALS: dict[str, Training | int] = {  # ours with its settings, TRL with its rows per pass
    "inhouse": SETTINGS,
    "inhouse, busy": SETTINGS,
    "TRL SFTTrainer": 8,
    "TRL SFTTrainer, 4 rows at once": 4,
}


def prepare(out: Path, steps: int) -> None:
    """Writes the bank's training rows, some rows of its validation set, and the base as safetensors."""
    from inhouse.assembly.workspace import Workspace
    from inhouse.pipeline.rows import training_rows
    from inhouse.pipeline.stages import curate, fusion, index
    from inhouse.training.sft import load

    project = load_project(BANK, {"store.path": str(out / "store"), "training.max_examples": str(steps * 12)})
    workspace = Workspace(project)
    learned, held, _ = training_rows(workspace, index(workspace), fusion(workspace), curate(workspace))
    for name, rows in (("learned", learned[: steps * SETTINGS.batch_size]), ("held", held[:HELD_ROWS])):
        text = "".join(r.model_dump_json() + "\n" for r in rows)
        (out / f"{name}.jsonl").write_text(text, encoding="utf-8")
    tokenizer, model = load(Catalog().find(BASE, HERE))
    model.save_pretrained(out / "base")
    tokenizer.save_pretrained(out / "base")


def read_rows(file: Path) -> list[Row]:
    return [Row.model_validate_json(line) for line in file.read_text(encoding="utf-8").splitlines()]


def trial(name: str, folder: Path, steps: int) -> dict[str, float]:
    """Runs one training in this process."""
    base = folder / "base"
    rows, held = read_rows(folder / "learned.jsonl"), read_rows(folder / "held.jsonl")
    with tempfile.TemporaryDirectory() as work:
        settings = TRIALS[name]
        if isinstance(settings, Training):
            from inhouse.training.job import TrainingJob
            from inhouse.training.local import train  # before PyTorch is imported

            job = TrainingJob(
                rows=tuple(rows), validation=tuple(held[:4]), base=base, name=BASE, settings=settings, seed=7
            )
            facts = train(job, Path(work), Silent())
            seconds, done = float(str(facts["step_seconds"])), int(str(facts["steps"]))
            whole = float(str(facts["training_seconds"]))
        else:
            seconds, done = with_trl(rows, base, Path(work), steps, settings)
            whole = seconds
        if done != steps:
            raise SystemExit(f"{name}: {done} steps instead of {steps}")
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        loss = loss_of(Path(work) / "adapter", base, held)
    tokens = tokens_of(rows, base)
    return {"seconds": seconds, "all": whole, "tokens_s": tokens / seconds, "memory_mb": memory_mb, "loss": loss}


def tokens_of(rows: list[Row], base: Path) -> int:
    from transformers import AutoTokenizer

    from inhouse.training.data import encode

    encoded, _ = encode(rows, AutoTokenizer.from_pretrained(base), SETTINGS.max_prompt_tokens)
    return sum(len(t.ids) for t in encoded)


@contextmanager
def beside(name: str) -> Iterator[None]:
    """A busy trial shares the cores with a program that never waits."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if name.endswith("busy") else None
    try:
        yield
    finally:
        if other:
            other.kill()
            other.wait()


def with_trl(rows: list[Row], base: Path, work: Path, steps: int, at_once: int) -> tuple[float, int]:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from inhouse.training.sft import load

    torch.set_num_threads(os.cpu_count() or 1)
    tokenizer, model = load(base)
    data = Dataset.from_list(
        [
            {
                "prompt": [m.model_dump() for m in r.messages],
                "completion": [{"role": "assistant", "content": r.target}],
            }
            for r in rows
        ]
    )
    settings = SFTConfig(
        output_dir=str(work / "trl"), max_steps=steps, per_device_train_batch_size=at_once,
        gradient_accumulation_steps=SETTINGS.batch_size // at_once,
        learning_rate=RATE, lr_scheduler_type="cosine", warmup_steps=1, weight_decay=0.0, max_grad_norm=1.0,
        bf16=False, use_cpu=True, gradient_checkpointing=False, max_length=None, packing=False, seed=7,
        save_strategy="no", report_to="none", disable_tqdm=True, logging_steps=1000, dataloader_pin_memory=False,
        train_sampling_strategy="group_by_length",
    )  # fmt: skip
    lora = LoraConfig(
        task_type="CAUSAL_LM", r=SETTINGS.rank, lora_alpha=SETTINGS.alpha, lora_dropout=0.0, target_modules="all-linear"
    )
    trainer = SFTTrainer(model, settings, train_dataset=data, processing_class=tokenizer, peft_config=lora)
    started = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - started
    trainer.model.save_pretrained(work / "adapter", save_embedding_layers=False)
    return seconds, int(trainer.state.global_step)


def loss_of(adapter: Path, base: Path, held: list[Row]) -> float:
    """Mean cross-entropy per token of the answers held out."""
    import torch
    from peft import PeftModel

    from inhouse.training.data import encode
    from inhouse.training.sft import load

    tokenizer, model = load(base)
    model = PeftModel.from_pretrained(model, adapter).eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for row in encode(held, tokenizer, SETTINGS.max_prompt_tokens)[0]:
            logits = model(input_ids=torch.tensor([row.ids])).logits[0, -row.answer - 1 : -1]
            labels = torch.tensor(row.ids[-row.answer :])
            total += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
            count += row.answer
    return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=12, help="optimizer steps")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each trial")
    parser.add_argument("--quick", action="store_true", help="2 steps, once")
    parser.add_argument("--trial", choices=TRIALS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    steps, repeats = (2, 1) if given.quick else (given.steps, given.repeats)
    if given.trial:
        figures = trial(given.trial, given.folder, steps)
        (given.folder / "trial.json").write_text(json.dumps(figures), encoding="utf-8")
        return
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in TRIALS}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), steps)
        for n in range(repeats):
            for name, runs in measured.items():
                print(f"run {n + 1} of {repeats}: {name}", flush=True)
                command = [sys.executable, __file__, "--trial", name, "--folder", folder, "--steps", str(steps)]
                with beside(name):
                    subprocess.run([*command, *(["--quick"] if given.quick else [])], check=True)
                runs.append(json.loads((Path(folder) / "trial.json").read_text(encoding="utf-8")))
                print("  " + ", ".join(f"{key} {value:.4g}" for key, value in runs[-1].items()), flush=True)
    middle = {
        name: {key: statistics.median(r[key] for r in runs) for key in runs[0]} for name, runs in measured.items()
    }
    peer = max(row["tokens_s"] for name, row in middle.items() if name.startswith("TRL"))
    print("\n| trainer | seconds | all | tokens/s | relative to TRL | peak MB | validation loss |\n" + "|---" * 7 + "|")
    for name, row in middle.items():
        ratio = row["tokens_s"] / peer
        print(
            f"| {name} | {row['seconds']:.0f} | {row['all']:.0f} | {row['tokens_s']:.0f} | {ratio:.2f} "
            f"| {row['memory_mb']:.0f} | {row['loss']:.3f} |"
        )
    (HERE / "results").mkdir(exist_ok=True)
    result = {"steps": steps, "runs": measured, "median": middle}
    (HERE / "results" / "training.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
