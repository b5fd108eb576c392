"""Tokens a second of training from scratch, beside litgpt's training loop: same shape, rows, steps, and cores.

    pip install -c constraints.txt -e '.[train]'
    python -m venv VENV && VENV/bin/pip install litgpt
    python benchmarks/scratch_speed.py --litgpt VENV/bin/python [--depth 3] [--steps 12] [--rounds 3]
                                       [--precision fp32] [--compile]

Both train a Llama with SwiGLU, RMSNorm, and tied embeddings by AdamW on the same random tokens: 16 rows of 512 tokens a
step, 8 rows a pass, a row one piece of text. litgpt's loop is `litgpt.pretrain.setup`, called as a user would; ours is
the run of `inhouse scratch`. Neither evaluates or saves in the measured steps. Each trial is a process; the two take
turns. A step lasts from its first row to that of the next one; the first three are warm-up. On a busy machine the clock
measures the other programs, so tokens a second of processor time are given too, of all steps and of the fastest one,
which other programs disturbed least. litgpt compiles its model, which takes minutes on a processor: without `--compile`
it runs as ours, by TORCHDYNAMO_DISABLE. Prints medians of the trials (of the fastest step: the best), and writes JSON
to `benchmarks/results/scratch_speed.json`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROWS, ROWS_AT_ONCE, CONTEXT, WARM_UP = 16, 8, 512, 3


def rows_of(vocabulary: int, count: int) -> Any:
    """Random ids of shape (count, CONTEXT + 1); the first of each row starts a text."""
    import numpy as np

    ids = np.random.default_rng(7).integers(3, vocabulary, (count, CONTEXT + 1))
    ids[:, 0] = 0
    return ids


def inhouse(given: argparse.Namespace, work: Path) -> list[tuple[float, float]]:
    """Seconds by the clock and of the processor at the start of each step."""
    import numpy as np
    from tokenizers import Tokenizer, models

    from inhouse.config.scratch import Scratch
    from inhouse.training import corpus, scratch
    from inhouse.training.plan import Plan, Shape
    from inhouse.types import Silent

    vocabulary = [corpus.END, *(f"t{n}" for n in range(given.vocabulary - 1))]
    tokenizer = Tokenizer(models.WordLevel({token: n for n, token in enumerate(vocabulary)}))
    documents = [row[:-1].astype(np.int32) for row in rows_of(given.vocabulary, ROWS * given.steps)]  # one piece each
    shape = Shape(depth=given.depth, vocabulary=given.vocabulary, context_tokens=CONTEXT)
    plan = Plan(
        shape=shape, text_tokens=ROWS * given.steps * CONTEXT, text_bytes=1, held_bytes=1,
        tokens=given.steps * ROWS * CONTEXT, steps=given.steps, batch_rows=ROWS, tokens_s=1.0, limit="tokens",
        autocast=given.precision == "bf16", learning_rate=1e-3,
    )  # fmt: skip
    starts: list[tuple[float, float]] = []

    class Run(scratch.Run):
        def _step(self) -> float:
            starts.append((time.perf_counter(), time.process_time()))
            loss = super()._step()
            if len(starts) == given.steps:
                starts.append((time.perf_counter(), time.process_time()))
            return loss

        def _evaluate(self) -> None:
            self.state.held.append((self.state.step, 0.0))

    prepared = scratch.Prepared(tokenizer, documents, documents[:1], plan)
    Run(prepared, Scratch(minutes=0), 7, work).loop(Silent())
    return starts


def litgpt(given: argparse.Namespace, work: Path) -> list[tuple[float, float]]:
    """The same of litgpt."""
    import torch
    from litgpt import pretrain
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.config import Config
    from litgpt.data import DataModule
    from torch.utils.data import DataLoader, Dataset

    ids = torch.from_numpy(rows_of(given.vocabulary, ROWS * (given.steps + 1)))
    starts: list[tuple[float, float]] = []

    class Rows(Dataset):  # type: ignore[misc]
        def __init__(self, counted: bool) -> None:
            self.counted = counted

        def __len__(self) -> int:
            return len(ids)

        def __getitem__(self, at: int) -> Any:
            if self.counted and at % ROWS == 0:
                starts.append((time.perf_counter(), time.process_time()))
            return ids[at]

    class Data(DataModule):  # type: ignore[misc]
        def connect(self, tokenizer: Any = None, batch_size: int = 1, max_seq_length: int | None = None) -> None:
            self.batch = batch_size

        def train_dataloader(self) -> Any:
            return DataLoader(Rows(True), batch_size=self.batch)

        def val_dataloader(self) -> Any:
            return DataLoader(Rows(False), batch_size=self.batch)

    pretrain.save_checkpoint = lambda *_: None  # the one at the end, which would pickle the classes above
    width, precision = 64 * given.depth, {"fp32": "32-true", "bf16": "bf16-mixed"}[given.precision]
    config = Config(
        name="llama", block_size=CONTEXT, vocab_size=given.vocabulary, padded_vocab_size=given.vocabulary,
        n_layer=given.depth, n_head=given.depth, n_embd=width, rotary_percentage=1.0, parallel_residual=False,
        bias=False, norm_class_name="RMSNorm", mlp_class_name="LLaMAMLP", intermediate_size=-(-8 * width // 192) * 64,
    )  # fmt: skip
    pretrain.setup(
        "llama", config, work / "out", precision=precision, data=Data(),
        train=TrainArgs(
            save_interval=None, global_batch_size=ROWS, micro_batch_size=ROWS_AT_ONCE, max_norm=1.0,
            max_tokens=given.steps * ROWS * CONTEXT, max_seq_length=CONTEXT, lr_warmup_steps=2, tie_embeddings=True,
            log_interval=1000,
        ),
        eval=EvalArgs(interval=10**6, max_iters=1, final_validation=False), devices=1, logger_name="csv",
    )  # fmt: skip
    return starts


def trial(given: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        starts = {"inhouse": inhouse, "litgpt": litgpt}[given.trial](given, Path(work))
    begin, end = starts[WARM_UP], starts[given.steps]
    tokens = (given.steps - WARM_UP) * ROWS * CONTEXT
    fastest = min(starts[n + 1][1] - starts[n][1] for n in range(WARM_UP, given.steps))
    shown = {"tokens_s": tokens / (end[0] - begin[0]), "tokens_processor_s": tokens / (end[1] - begin[1]),
             "fastest_step": ROWS * CONTEXT / fastest}  # fmt: skip
    print(json.dumps(shown))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litgpt", type=Path, help="the Python of an environment that has litgpt")
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=12, help="of a trial, three of them for warm-up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--compile", action="store_true", help="let litgpt compile its model")
    parser.add_argument("--trial", choices=("inhouse", "litgpt"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.trial:
        trial(given)
        return
    if given.litgpt is None:
        parser.error("--litgpt: name the Python of an environment that has litgpt")
    pythons = {"inhouse": sys.executable, "litgpt": str(given.litgpt.absolute())}
    variables = {**os.environ, "OMP_WAIT_POLICY": "passive"} | ({} if given.compile else {"TORCHDYNAMO_DISABLE": "1"})
    sizes = [f"--{k}={getattr(given, k)}" for k in ("depth", "vocabulary", "steps", "precision")]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    for n in range(given.rounds):
        for name, python in list(pythons.items())[:: -1 if n % 2 else 1]:
            command = [python, str(Path(__file__).absolute()), f"--trial={name}", *sizes]
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(name, found[name][-1], flush=True)
    print(f"{'':<10}{'tokens/s':>12}{'tokens/s of processor time':>30}{'of the fastest step':>22}")
    for name, runs in found.items():
        one, other = (statistics.median(r[k] for r in runs) for k in ("tokens_s", "tokens_processor_s"))
        print(f"{name:<10}{one:>12,.0f}{other:>30,.0f}{max(r['fastest_step'] for r in runs):>22,.0f}")
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    settings = {k: v for k, v in vars(given).items() if k not in ("litgpt", "trial")}
    (results / "scratch_speed.json").write_text(json.dumps({"settings": settings, "trials": found}, indent=1))


if __name__ == "__main__":
    main()
