"""Throughput, time to first token, latency and memory of the engine, compared with `transformers.generate`.

    pip install -c constraints.txt -e '.[train]'; inhouse engines install vllm (without, vLLM is left out)
    python benchmarks/inference.py [--modes merged adapter adapters] [--at 1 4 8] [--prompts 16] [--repeats 3]
                                   [--tries 3] [--quick]

Prompts are the example bank's test questions with twelve passages each from the product's retrieval, about 500 tokens.
Every answer has exactly 60 tokens, because the end-of-answer token is banned in all systems. All use the same
weights: transformers reads the GGUF of the default model as float32, the embedded engine has Q8_0, vLLM bfloat16.
Memory is the peak of transformers' process, and that of the engine's processes after the last answer.
`transformers` gets both cores, its key-value cache, greedy search and, for several prompts at a time, one left-padded
batch of prompts of similar length. The adapters are random LoRA of the default rank on all linear layers: their content
does not affect speed. Modes:

- `merged`: one custom model with its adapter merged in; for transformers, the plain model.
- `adapter`: the base with one adapter.
- `adapters`: the base with four adapters, one chosen for each request; for transformers with PEFT's `adapter_names`.

Two variants of the same prompts: `cold` starts each system message with a number, so that no two prompts have a common
prefix; `served` leaves them unchanged. `cached` is the share of prompt tokens found in the engine's prefix cache. Each
trial is a separate process, and the systems take turns. The first-token time of a batch is that of the whole batch.
Other programs on the machine slow down both systems, the engine more. A trial during which they use more than a tenth
of a core is repeated, `--tries` in all, and the one with the least interference counts. Prints a table of medians, and
writes JSON to `benchmarks/results/inference.json`. `--quick` uses 8 prompts, merged, one and eight at a time, once.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from inhouse.chat import ChatModel, ChatRequest, collect
from inhouse.config.load import load_project
from inhouse.config.sections import Model, Training
from inhouse.models.catalog import WEIGHTS, Catalog
from inhouse.models.engine import Engine
from inhouse.models.engines import installed
from inhouse.models.supervised import tree
from inhouse.types import Message

HERE = Path(__file__).parent
BANK = HERE.parent / "examples" / "first_national_bank"
os.environ["TQDM_DISABLE"] = "1"
BASE = "smollm2-135m-instruct"
MODES = ("merged", "adapter", "adapters")
SYSTEMS = ("transformers", "embedded cold", "embedded served", "vllm cold", "vllm served")
COUNTS = {"merged": 0, "adapter": 1, "adapters": 4}  # of adapters
ADAPTERS = 4
TOKENS = 60
QUIET = 0.1  # cores that other programs may use during a trial
Messages = list[dict[str, str]]


def prepare(folder: Path, adapters: int) -> None:
    """Makes the prompts, `adapters` adapters, and the weights for all trials."""
    import torch
    from peft import LoraConfig, get_peft_model

    from inhouse.assembly.workspace import Workspace
    from inhouse.pipeline.stages import index
    from inhouse.retrieval.grounded import Grounding
    from inhouse.retrieval.search import Index
    from inhouse.training import gguf
    from inhouse.training.folder import write_folder
    from inhouse.training.sft import load

    more = {"store.path": str(folder / "store"), "retrieval.passages": "12", "retrieval.passage_tokens": "480"}
    project = load_project(BANK, more)
    workspace = Workspace(project)
    opened = Index(Path(index(workspace).path), workspace.embedder)
    grounding = Grounding(opened, workspace.embedder, project.retrieval, project.assistant)
    prompts = []
    for line in (BANK / "tests.jsonl").read_text(encoding="utf-8").splitlines():
        messages = [Message(**m) for m in json.loads(line)["messages"]]
        prompts.append([m.model_dump() for m in grounding.ground(messages, grounding.passages(messages))])
    (folder / "prompts.json").write_text(json.dumps(prompts), encoding="utf-8")
    base = Catalog().find(BASE, HERE)
    gguf.quantize(base / WEIGHTS, folder / "base.gguf", project.model.quantization)
    rank, alpha = Training().rank, Training().alpha
    for n in range(adapters):
        torch.manual_seed(n)
        lora = LoraConfig(task_type="CAUSAL_LM", r=rank, lora_alpha=alpha, target_modules="all-linear")
        model = get_peft_model(load(base)[1], lora)
        for name, tensor in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(tensor, std=0.01)
        model.save_pretrained(folder / f"adapter{n}", save_embedding_layers=False)
        gguf.adapter_to_gguf(folder / f"adapter{n}", base / WEIGHTS, folder / f"adapter{n}.gguf")
    gguf.merge(folder / "adapter0", base / WEIGHTS, folder / "merged.gguf", project.model.quantization)
    write_folder(base, folder / "base")
    write_folder(base, folder / "merged", folder / "adapter0")


def read_prompts(folder: Path, count: int, cold: bool) -> list[Messages]:
    prompts: list[Messages] = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))[:count]
    if cold:
        prompts = [[p[0] | {"content": f"{n}. {p[0]['content']}"}, *p[1:]] for n, p in enumerate(prompts)]
    return prompts


# --- the two systems --------------------------------------------------------------------------------------------


def with_embedded(folder: Path, mode: str, at: int, prompts: list[Messages]) -> dict[str, float | list[float]]:
    from inhouse.models.llama import LlamaEngine

    weights = folder / ("merged.gguf" if mode == "merged" else "base.gguf")
    adapters = [folder / f"adapter{n}.gguf" for n in range(COUNTS[mode])]
    engine = LlamaEngine(weights, Model(parallel=at), adapters)
    models = [engine.model(f"adapter {n}", n) for n in range(len(adapters))] or [engine.model("merged")]
    return asked(engine, models, end_token(folder), at, prompts)


def with_vllm(folder: Path, mode: str, at: int, prompts: list[Messages]) -> dict[str, float | list[float]]:
    from inhouse.models.engines import needed
    from inhouse.models.vllm import VllmEngine, rank_of

    place, rank = (
        folder / ("merged" if mode == "merged" else "base"),
        0 if mode == "merged" else rank_of(folder / "adapter0"),
    )
    engine = VllmEngine(place, Model(parallel=at), needed(Catalog()), rank)
    for n in range(COUNTS[mode]):
        engine.load(f"adapter{n}", folder / f"adapter{n}")
    models = [engine.model(f"adapter {n}", f"adapter{n}") for n in range(COUNTS[mode])] or [engine.model("merged")]
    return asked(engine, models, end_token(folder), at, prompts)


def end_token(folder: Path) -> int:
    from inhouse.training.gguf import read, value

    return int(value(read(folder / "base.gguf"), "tokenizer.ggml.eos_token_id"))


def asked(
    engine: Engine, models: list[ChatModel], end: int, at: int, prompts: list[Messages]
) -> dict[str, float | list[float]]:
    """Asks all prompts, `at` at a time, and closes the engine. A short question before makes it load what it loads."""

    async def ask_all() -> list[object]:
        free = asyncio.Semaphore(at)

        async def one(n: int, messages: Messages) -> object:
            async with free:
                request = ChatRequest(
                    messages=tuple(Message(**m) for m in messages),
                    max_tokens=TOKENS,
                    extra={"logit_bias": {str(end): -100}},
                )
                return await collect(models[n % len(models)], request)

        return list(await asyncio.gather(*(one(n, p) for n, p in enumerate(prompts))))

    hello = ChatRequest(messages=(Message(role="user", content="Hello"),), max_tokens=2)
    for model in models:
        asyncio.run(collect(model, hello))
    started = time.perf_counter()
    replies = asyncio.run(ask_all())
    seconds = time.perf_counter() - started
    memory_mb, engine_s = engine.process.memory_mb(), spent_s(engine.process.pid)
    engine.close()
    usages = [r.finish.usage for r in replies]
    return {
        "seconds": seconds,
        "first_s": [r.first_token_s for r in replies],
        "answer_s": [r.latency_s for r in replies],
        "prompt_tokens": sum(u.prompt_tokens for u in usages),
        "answer_tokens": sum(u.completion_tokens for u in usages),
        "cached": sum(u.cached_tokens for u in usages) / sum(u.prompt_tokens for u in usages),
        "engine_mb": memory_mb,
        "engine_s": engine_s,
    }


def with_transformers(folder: Path, mode: str, at: int, prompts: list[Messages]) -> dict[str, float | list[float]]:
    import torch
    from peft import PeftModel
    from transformers import StoppingCriteria, StoppingCriteriaList

    from inhouse.training.sft import load

    torch.set_num_threads(os.cpu_count() or 1)
    tokenizer, model = load(Catalog().find(BASE, HERE))
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    for n in range(COUNTS[mode]):
        if n == 0:
            model = PeftModel.from_pretrained(model, str(folder / "adapter0"), adapter_name="0")
        else:
            model.load_adapter(str(folder / f"adapter{n}"), adapter_name=str(n))
    model.eval()

    class FirstToken(StoppingCriteria):
        when = 0.0

        def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
            self.when = self.when or time.perf_counter()
            return torch.zeros(len(input_ids), dtype=torch.bool)

    texts = [tokenizer.apply_chat_template(p, add_generation_prompt=True, tokenize=False) for p in prompts]
    order = sorted(range(len(texts)), key=lambda n: len(texts[n])) if at > 1 else list(range(len(texts)))
    first, whole, tokens, answered = [], [], 0, 0
    started = time.perf_counter()
    for start in range(0, len(order), at):
        chosen = order[start : start + at]
        begun, clock = time.perf_counter(), FirstToken()
        batch = tokenizer([texts[n] for n in chosen], return_tensors="pt", padding=True, add_special_tokens=False)
        more = {}
        if mode == "adapters":
            if at == 1:
                model.set_adapter(str(chosen[0] % ADAPTERS))
            else:
                more["adapter_names"] = [str(n % ADAPTERS) for n in chosen]
        with torch.inference_mode():
            out = model.generate(
                **batch, **more, do_sample=False, min_new_tokens=TOKENS, max_new_tokens=TOKENS,
                stopping_criteria=StoppingCriteriaList([clock]), pad_token_id=tokenizer.pad_token_id,
            )  # fmt: skip
        tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        ended = time.perf_counter()
        first += [clock.when - begun] * len(chosen)
        whole += [ended - begun] * len(chosen)
        tokens += int(batch["attention_mask"].sum())
        answered += (out.shape[1] - batch["input_ids"].shape[1]) * len(chosen)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "first_s": first, "answer_s": whole, "prompt_tokens": tokens, "answer_tokens": answered,
            "cached": 0.0, "engine_mb": 0.0, "engine_s": 0.0}  # fmt: skip


# --- trials -----------------------------------------------------------------------------------------------------


def trial(system: str, folder: Path, mode: str, at: int, count: int) -> dict[str, float]:
    """Measures one system in one mode, in this process."""
    prompts = read_prompts(folder, count, cold=not system.endswith("served"))
    run = {"transformers": with_transformers, "embedded": with_embedded, "vllm": with_vllm}[system.split(maxsplit=1)[0]]
    before, started = others_s(), time.perf_counter()
    figures = run(folder, mode, at, prompts)
    others = max(0.0, others_s() - before - figures["engine_s"]) / (time.perf_counter() - started)
    if figures["answer_tokens"] != count * TOKENS:
        raise SystemExit(f"{system}: {figures['answer_tokens']} answer tokens instead of {count * TOKENS}")
    answers = sorted(figures["answer_s"])
    return {
        "answers_s": count / figures["seconds"],
        "first_p50_s": statistics.median(figures["first_s"]),
        "p50_s": statistics.median(answers),
        "p99_s": answers[min(len(answers) - 1, round(0.99 * (len(answers) - 1)))],
        "memory_mb": figures["engine_mb"] or peak_mb(),
        "cached": figures["cached"],
        "others": others,
        "prompt_tokens": figures["prompt_tokens"] / count,
    }


def spent_s(pid: int) -> float:
    """CPU seconds of a process and its children."""
    ticks = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def others_s() -> float:
    """CPU seconds since the machine started that other programs used."""
    spent = [int(n) for n in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return (sum(spent[:3]) + sum(spent[5:8])) / os.sysconf("SC_CLK_TCK") - time.process_time()


def peak_mb() -> float:
    """Peak resident memory of this program; getrusage would include its parent's at the fork."""
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--at", nargs="+", type=int, default=[1, 4, 8], help="numbers of prompts at a time")
    parser.add_argument("--prompts", type=int, default=16, help="number of prompts")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each trial")
    parser.add_argument("--tries", type=int, default=3, help="of a trial during which other programs were busy")
    parser.add_argument("--quick", action="store_true", help="8 prompts, merged, 1 and 8 at a time, once")
    parser.add_argument("--folder", type=Path, help="keep prompts and weights here, and reuse them")
    parser.add_argument("--trial", choices=SYSTEMS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.quick:
        given.modes, given.at, given.prompts, given.repeats, given.tries = ["merged"], [1, 8], 8, 1, 1
    if given.trial:
        figures = trial(given.trial, given.folder, given.modes[0], given.at[0], given.prompts)
        (given.folder / "trial.json").write_text(json.dumps(figures), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        adapters = ADAPTERS if "adapters" in given.modes else 1
        if not all((folder / f"{name}.gguf").exists() for name in ("merged", f"adapter{adapters - 1}")):
            print("preparing prompts, weights and adapters", flush=True)
            prepare(folder, adapters)
        rows = run_all(folder, given)
    report(rows)
    out = HERE / "results" / "inference.json"
    out.parent.mkdir(exist_ok=True)
    earlier = json.loads(out.read_text(encoding="utf-8")) if out.exists() else []
    kept = [row for row in earlier if row["mode"] not in given.modes]
    out.write_text(json.dumps([*kept, *rows], indent=1), encoding="utf-8")


def run_all(folder: Path, given: argparse.Namespace) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"mode": mode, "at": at, "system": system, "runs": []}
        for mode in given.modes
        for at in given.at
        for system in SYSTEMS
        if not system.startswith("vllm") or installed(Catalog())
    ]
    for n in range(given.repeats):
        for row in rows:
            print(f"run {n + 1} of {given.repeats}: {row['mode']}, {row['at']} at a time, {row['system']}", flush=True)
            command = [sys.executable, __file__, "--trial", str(row["system"]), "--folder", str(folder), "--modes",
                       str(row["mode"]), "--at", str(row["at"]), "--prompts", str(given.prompts)]  # fmt: skip
            tries: list[dict[str, float]] = []
            while not tries or (tries[-1]["others"] > QUIET and len(tries) < given.tries):
                subprocess.run(command, check=True)
                tries.append(json.loads((folder / "trial.json").read_text(encoding="utf-8")))
                print(
                    f"  {tries[-1]['answers_s']:.2f} answers/s, other programs {tries[-1]['others']:.2f} cores",
                    flush=True,
                )
            row["runs"].append(min(tries, key=lambda t: t["others"]))
    for row in rows:
        row["median"] = {key: statistics.median(r[key] for r in row["runs"]) for key in row["runs"][0]}
    return rows


def report(rows: list[dict[str, object]]) -> None:
    columns = ("mode", "at a time", "system", "answers/s", "ratio", "first token s", "p50 s", "p99 s", "MB",
               "cached")  # fmt: skip
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    peers = {(r["mode"], r["at"]): r["median"]["answers_s"] for r in rows if r["system"] == "transformers"}
    for row in rows:
        m = row["median"]
        ratio = m["answers_s"] / peers[row["mode"], row["at"]]
        print(
            f"| {row['mode']} | {row['at']} | {row['system']} | {m['answers_s']:.2f} | {ratio:.2f} "
            f"| {m['first_p50_s']:.2f} | {m['p50_s']:.2f} | {m['p99_s']:.2f} | {m['memory_mb']:.0f} "
            f"| {100 * m['cached']:.0f} % |"
        )


if __name__ == "__main__":
    main()
