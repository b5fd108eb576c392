"""How well the support score separates statements that the evidence supports from those that it does not.

    python benchmarks/support.py [--data ../shared/data] [--quick]

Three kinds of cases. BEGIN: replies of dialogue systems that people labeled as fully attributable to the given
knowledge or not. Foreign: a human reply of the concierge against the sentences that it is based on, and against those
of another dialogue. Changed: a sentence of the bank's documents unchanged, and with another number, a negation added or
removed, or the ending of another sentence. For each: AUROC, and at the product's threshold the share of supported
statements kept and of unsupported ones caught. ROUGE-L precision is the peer. Prints a table and writes
`benchmarks/results/support.json`. `--quick` takes 60 cases of each.
"""

import argparse
import csv
import json
import random
import re
from collections.abc import Iterable
from pathlib import Path

from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder
from inhouse.text.sentences import sentences
from inhouse.text.support import SUPPORTED, LexicalSupport

HERE = Path(__file__).parent
Case = tuple[str, list[str], bool]  # statement, evidence, supported
NUMBER = re.compile(r"\d+")


def begin(data: Path) -> Iterable[tuple[str, list[Case]]]:
    for name in ("cmu", "tc", "wow"):
        with (data / "trust" / f"faithfulness_begin_dev_{name}.tsv").open(encoding="utf-8", newline="") as file:
            rows = [r for r in csv.DictReader(file, delimiter="\t") if r["begin_label"] != "Generic"]
        yield (
            f"BEGIN {name}",
            [(r["response"], [r["knowledge"]], r["begin_label"] == "Fully attributable") for r in rows],
        )


def foreign(data: Path, rng: random.Random) -> list[Case]:
    lines = (data / "concierge" / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [r for r in map(json.loads, lines) if r["needs_knowledge"]]
    cases: list[Case] = []
    for row in rows:
        other = rng.choice([r for r in rows if r["sources"][0]["document"] != row["sources"][0]["document"]])
        for source, supported in ((row, True), (other, False)):
            cases.append((row["messages"][-1]["content"], [s["text"] for s in source["sources"]], supported))
    return cases


def changed(data: Path, rng: random.Random) -> list[Case]:
    files = sorted((data / "bank" / "documents").glob("*.md"))
    texts = [f.read_text(encoding="utf-8") for f in rng.sample(files, 150)]
    statements = [
        (s, t) for t in texts for s in sentences(t) if 8 <= len(s.split()) <= 30 and s.endswith(".") and "|" not in s
    ]
    cases: list[Case] = []
    for sentence, text in rng.sample(statements, 300):
        wrong = []
        if NUMBER.search(sentence):
            wrong.append(NUMBER.sub(lambda m: str(int(m[0]) + rng.randint(1, 9)), sentence, count=1))
        if " not " in sentence:
            wrong.append(sentence.replace(" not ", " ", 1))
        elif found := re.search(r" (?:is|are|can|will|must) ", sentence):
            wrong.append(f"{sentence[: found.end()]}not {sentence[found.end() :]}")
        words, other = sentence.split(), rng.choice(statements)[0].split()
        wrong.append(" ".join(words[: len(words) // 2] + other[len(other) // 2 :]))
        cases += [(sentence, [text], True), (rng.choice(wrong), [text], False)]
    return cases


def auroc(scores: list[float], truth: list[bool]) -> float:
    from scipy.stats import rankdata

    ranks, n = rankdata(scores), sum(truth)
    return float((sum(r for r, t in zip(ranks, truth, strict=True) if t) - n * (n + 1) / 2) / (n * (len(truth) - n)))


def main() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    rng = random.Random(7)
    support = LexicalSupport("", OnnxEmbedder(Catalog().find("minilm-l6-v2", HERE)))
    rouge = RougeScorer(["rougeL"], use_stemmer=True)
    sets = {**dict(begin(options.data)), "foreign": foreign(options.data, rng), "changed": changed(options.data, rng)}
    results = {}
    print(f"{'cases':<12}{'n':>6}{'supported':>11}{'AUROC':>8}{'ROUGE-L':>9}{'kept':>7}{'caught':>8}")
    for name, all_cases in sets.items():
        cases = all_cases[:60] if options.quick else all_cases
        truth = [c[2] for c in cases]
        ours = [min((support.support(s, e) for s in support.statements(text)), default=1.0) for text, e, _ in cases]
        theirs = [rouge.score(" ".join(e), text)["rougeL"].precision for text, e, _ in cases]
        kept = sum(s >= SUPPORTED for s, t in zip(ours, truth, strict=True) if t) / sum(truth)
        caught = sum(s < SUPPORTED for s, t in zip(ours, truth, strict=True) if not t) / (len(truth) - sum(truth))
        row = {"n": len(cases), "supported": sum(truth), "auroc": auroc(ours, truth), "rouge_l": auroc(theirs, truth),
               "kept": kept, "caught": caught}  # fmt: skip
        results[name] = {k: round(v, 4) for k, v in row.items()}
        print(
            f"{name:<12}{row['n']:>6}{row['supported']:>11}{row['auroc']:>8.3f}{row['rouge_l']:>9.3f}{kept:>7.0%}{caught:>8.0%}"
        )
    out = HERE / "results" / "support.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
