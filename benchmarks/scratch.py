"""A base model from scratch: bits per byte of held-out documents, beside SmolLM2-135M and 3-gram models.

    pip install -c constraints.txt -e '.[train]'
    python benchmarks/scratch.py [--minutes 10 | --tokens N] [--project examples/from_scratch] [--quick]

Trains the project's base model, and measures it on the documents that were held out. The 3-gram models read the same
training text, of bytes and of the same tokens, and are smoothed as Witten and Bell (1991) do: an order gives way to the
next lower one by the share of different continuations that its context has had. SmolLM2-135M-Instruct, which has read
2 trillion tokens (its model card), reads the same documents in pieces of as many of its own tokens. Bits per byte count
every byte of the documents once, and no end of a document. Prints a table, and writes JSON to
`benchmarks/results/scratch.json`, with the loss curve. `--tokens` trains on so many however long it takes, which a
machine with other programs needs; `--quick` trains for a few seconds.
"""

import argparse
import json
import math
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

from inhouse.config.load import load_project
from inhouse.models.catalog import Catalog
from inhouse.types import Silent

HERE = Path(__file__).parent
KNOWN = "smollm2-135m-instruct"


def ngram_bits(
    train: Sequence[Sequence[Hashable]], held: Sequence[Sequence[Hashable]], vocabulary: int, order: int = 3
) -> float:
    """Bits that an n-gram model of `train` needs for all tokens of `held` but the first of each, which starts it."""
    counts: dict[tuple[Hashable, ...], Counter[Hashable]] = defaultdict(Counter)
    for tokens in train:
        for at in range(1, len(tokens)):
            for length in range(min(order, at + 1)):
                counts[tuple(tokens[at - length : at])][tokens[at]] += 1
    totals = {context: sum(c.values()) for context, c in counts.items()}

    def probability(token: Hashable, context: tuple[Hashable, ...]) -> float:
        lower = probability(token, context[1:]) if context else 1 / vocabulary
        seen = counts.get(context)
        if seen is None:
            return lower
        return (seen[token] + len(seen) * lower) / (totals[context] + len(seen))

    return -sum(
        math.log2(probability(t[at], tuple(t[max(0, at - order + 1) : at]))) for t in held for at in range(1, len(t))
    )


def smollm(held: Sequence[str], context: int) -> float:
    """Bits per byte of the known base."""
    import numpy as np

    from inhouse.training import corpus, scratch
    from inhouse.training.sft import load

    tokenizer, model = load(Catalog().find(KNOWN, HERE))
    start = tokenizer.convert_tokens_to_ids(corpus.END)
    documents = [np.array([start, *tokenizer(text, add_special_tokens=False)["input_ids"]]) for text in held]
    return scratch.bits_per_byte(model, documents, corpus.token_bytes(tokenizer.backend_tokenizer), context)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--tokens", type=int, default=0, help="to train on, without a time limit")
    parser.add_argument("--project", type=Path, default=HERE.parent / "examples" / "from_scratch")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    from inhouse.assembly.workspace import Workspace
    from inhouse.pipeline.base import texts_of
    from inhouse.pipeline.stages import ingest
    from inhouse.training import corpus, scratch

    project = load_project(given.project)
    limit = {"minutes": 0, "tokens": given.tokens} if given.tokens else {"minutes": given.minutes}
    settings = project.scratch.model_copy(update={"minutes": 0.1, "depth": 1} if given.quick else limit)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "scratch"
        folder.mkdir()
        moved = project.model_copy(update={"store": project.store.model_copy(update={"path": f"{work}/store"})})
        workspace = Workspace(moved.at(project.root))
        texts, _ = texts_of(workspace, ingest(workspace))
        started = time.monotonic()
        facts = scratch.train(texts, settings, project.seed, folder, Silent())
        seconds = time.monotonic() - started
        curve = json.loads((folder / scratch.CURVE).read_text(encoding="utf-8"))
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(folder / "base" / "tokenizer.json"))
    own, held = corpus.divide(texts, settings.held_out, project.seed)
    size = sum(len(t.encode()) for t in held)
    tokens = [[ids.tolist() for ids in corpus.encode(tokenizer, some)] for some in (own, held)]
    plain = [[[256, *t.encode()] for t in some] for some in (own, held)]
    bits = {
        f"from scratch, {facts['parameters']:,} parameters": float(str(facts["bits_per_byte"])),
        "3-gram of the same tokens": ngram_bits(*tokens, tokenizer.get_vocab_size()) / size,
        "3-gram of bytes": ngram_bits(*plain, 257) / size,
        KNOWN: smollm(held, settings.context_tokens),
    }
    print(f"{len(held)} held-out documents, {size:,} bytes; trained on {len(own)}, {facts['tokens']:,} tokens, "
          f"{facts['tokens_s']:,} tokens/s, {seconds:.0f} s")  # fmt: skip
    print(f"{'model':<40}bits per byte")
    for name, value in bits.items():
        print(f"{name:<40}{value:13.3f}")
    print("held out, by step: " + ", ".join(f"{step} {loss:.3f}" for step, loss in curve["held_out"]))
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    whole = {"bits_per_byte": bits, "held_bytes": size, "held_documents": len(held), "facts": facts, "seconds": seconds,
             "curve": curve}  # fmt: skip
    (results / "scratch.json").write_text(json.dumps(whole, indent=1))


if __name__ == "__main__":
    main()
