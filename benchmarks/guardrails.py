"""How good the rails are and how long they take, on the quarter of the public sets that no classifier was trained on.

    python benchmarks/guardrails.py [--data ../shared/data] [--sections pii ...] [--answers FOLDER ...] [--quick]

Sections: pii, injection, indirect, groundedness, siblings, ratings, unsupported, confidence, toxicity, topic,
disguises, languages, latency.
`guardrail_training/data.py` defines the split. `confidence` and `unsupported` need a model's answers: folders that
`benchmarks/guard_answers.py` filled. Prints every figure with its aim, lists false blocks, and writes
`benchmarks/results/guardrails.json`. `--quick` uses a tenth of the data.
"""

import argparse
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # for guardrail_training
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the product's commands do, before NumPy is imported

import numpy as np
from guard_confidence import confidence, unsupported
from guard_disguises import disguises, languages
from guard_latency import latency
from guard_subjects import ratings, siblings

from guardrail_training import data as sets
from guardrail_training import lookalikes, plain
from guardrail_training.statements import stated
from guardrail_training.train_classifiers import auroc
from guardrail_training.written import written
from inhouse.guardrails import topic, toxicity
from inhouse.guardrails.classifier import FOLDER, TAGGER
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.rail import Groundedness, statements
from inhouse.guardrails.injection import indirect, jailbreak
from inhouse.guardrails.injection.indirect import IndirectInjection
from inhouse.guardrails.injection.jailbreak import Jailbreak
from inhouse.guardrails.pii import ORDER, Pii
from inhouse.guardrails.topic import Topic
from inhouse.guardrails.toxicity import Toxicity
from inhouse.models.catalog import Catalog
from inhouse.privacy.anonymize import Anonymizer
from inhouse.privacy.recognizers import SPACY_MODEL
from inhouse.privacy.tagger import read_tagger
from inhouse.text.cache import CachedEmbedder
from inhouse.text.sentences import sentences, windows
from inhouse.text.support import LexicalSupport
from inhouse.types import Message

HERE = Path(__file__).parent
SHOWN = 12  # false blocks listed
KINDS = {
    "CREDIT_CARD": {"CARD_NUMBER"}, "US_SSN": {"SSN"}, "IBAN_CODE": {"IBAN"}, "EMAIL_ADDRESS": {"EMAIL"},
    "PHONE_NUMBER": {"PHONE"}, "IP_ADDRESS": {"IP_ADDRESS"}, "PERSON": {"PERSON"}, "GPE": {"PLACE", "ADDRESS"},
    "STREET_ADDRESS": {"ADDRESS", "PLACE"},
}  # fmt: skip
STRUCTURED = ("CREDIT_CARD", "US_SSN", "IBAN_CODE", "EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS")


class Bench:
    """What the sections have in common."""

    def __init__(self, data: Path, quick: bool) -> None:
        self.data = data
        self.quick = quick
        self.on_disk = sets.DiskCachedEmbedder()
        self.embedder = CachedEmbedder(self.on_disk, 10**6)
        self.support = LexicalSupport("", self.on_disk)
        self.groundedness = Groundedness(self.embedder, alignment.shipped(), self.support)

    def some(self, items: Sequence, most: int | None = None) -> list:
        most = most or len(items)
        return list(items)[: max(30, most // 10) if self.quick else most]


def pii(b: Bench) -> dict:
    rail = Pii(Anonymizer(Catalog().find(SPACY_MODEL, HERE)), read_tagger(TAGGER), ORDER)
    rows = b.some(sets.pii(b.data)[1])
    wanted, hit, typed = Counter(), Counter(), Counter()
    given, right, missed, wrong = Counter(), Counter(), [], []
    for row in rows:
        (spans,) = rail.spans([Message(role="user", content=row["text"])])
        for start, end, kind in row["spans"]:
            if kind not in KINDS:
                continue
            over = [f for f in spans if f.start < end and start < f.end]
            wanted[kind] += 1
            hit[kind] += bool(over)
            typed[kind] += any(f.kind in KINDS[kind] for f in over)
            if not over and kind in STRUCTURED:
                missed.append((kind, row["text"][start:end]))
        for f in spans:
            given[f.kind] += 1
            true = any(f.start < end and start < f.end for start, end, _ in row["spans"])
            right[f.kind] += true
            if not true:
                wrong.append((f.kind, row["text"][f.start : f.end], row["text"][max(0, f.start - 30) : f.end + 15]))
    chat = b.some([t for texts in sets.business(b.data)[1].values() for t in texts[:400]])
    names = Counter(f.kind for t in chat for f in rail.spans([Message(role="user", content=t)])[0])
    print(f"pii: {len(rows)} held-out sentences")
    for kind in KINDS:
        if wanted[kind]:
            aim = 0.99 if kind in STRUCTURED else 0.85
            print(f"  {kind:<15}{wanted[kind]:>5}  recall {hit[kind] / wanted[kind]:.3f} (aim {aim}), "
                  f"of the right kind {typed[kind] / wanted[kind]:.3f}")  # fmt: skip
    own = {k: right[k] / given[k] for k in given}
    for kind, n in given.most_common():
        print(f"  {kind:<15}{n:>5} found, precision {own[kind]:.3f}")
    total = sum(right.values()) / max(sum(given.values()), 1)
    print(f"  overall precision {total:.3f} (aim 0.9); on {len(chat)} lines of business chat it found {dict(names)}")
    for line in (*missed[:SHOWN], *wrong[:SHOWN]):
        print("   ", *line)
    structured = sum(hit[k] for k in STRUCTURED) / max(sum(wanted[k] for k in STRUCTURED), 1)
    return {"sentences": len(rows), "structured_recall": structured, "precision": total,
            "recall": {k: hit[k] / wanted[k] for k in wanted}, "n": dict(wanted), "precision_by_kind": own,
            "found_in_chat": dict(names), "chat_lines": len(chat)}  # fmt: skip


def injection(b: Bench) -> dict:
    rail = Jailbreak(b.embedder, jailbreak.shipped())
    threshold = jailbreak.shipped().threshold

    def scores(texts: Sequence[str]) -> np.ndarray:
        b.on_disk.embed([w for t in texts for w in windows(t) or [t]])
        return np.array([rail.score([t]) for t in texts])

    jail = b.some(sets.jailbreaks(b.on_disk, b.data)[1])
    alike = b.some(sets.lookalikes(b.data)[1])
    chat = {name: b.some(texts) for name, texts in sets.business(b.data)[1].items()}
    high, near = scores(jail), scores(alike)
    results = {"jailbreaks": len(jail), "recall": float((high >= threshold).mean()),
             "lookalikes": len(alike), "lookalike_blocks": float((near >= threshold).mean()), "chat": {}}  # fmt: skip
    false = []
    low = []
    for name, texts in chat.items():
        p = scores(texts)
        low.append(p)
        results["chat"][name] = {"n": len(texts), "blocks": float((p >= threshold).mean())}
        false += [(name, t) for t, s in zip(texts, p, strict=True) if s >= threshold]
    every = np.concatenate(low)
    results["chat_blocks"], results["auroc"] = float((every >= threshold).mean()), auroc(high, every)
    short = sets.one_line_jailbreaks("test")
    caught = scores(short) >= threshold
    results |= {"short": len(short), "short_recall": float(caught.mean()), "harmless": {}}
    print(f"  one-line jailbreaks, worded unlike training: recall {results['short_recall']:.3f} of {len(short)}")
    for text in [t for t, c in zip(short, caught, strict=True) if not c][:SHOWN]:
        print(f"    missed: {text}")
    for name, texts in _harmless(b).items():
        blocked = scores(texts) >= threshold
        results["harmless"][name] = {"n": len(texts), "blocks": float(blocked.mean())}
        print(f"  false blocks, {name}: {blocked.mean():.4f} of {len(texts)} (aim .05)")
        for text in [t for t, b_ in zip(texts, blocked, strict=True) if b_][:4]:
            print(f"    blocked: {' '.join(text.split())[:140]}")
    print(f"jailbreaks: recall {results['recall']:.3f} on {len(jail)} held-out (aim .90), AUROC {results['auroc']:.3f}")
    print(f"  false blocks: chat {results['chat_blocks']:.4f} of {len(every)} (aim .01), lookalikes "
          f"{results['lookalike_blocks']:.3f} of {len(alike)} (aim .10)")  # fmt: skip
    for name, text in false[:SHOWN]:
        print(f"    blocked ({name}): {text[:140]}")
    for text, p in zip(alike, near, strict=True):
        if p >= threshold:
            print(f"    blocked (lookalike): {text[:140]}")
    for text, p in zip(jail, high, strict=True):
        if p < threshold:
            print(f"    missed {p:.2f}: {' '.join(text.split())[:140]}")
    return results


def _harmless(b: Bench) -> dict[str, list[str]]:
    """Messages with the words or the form of jailbreaks, worded unlike those of the training."""
    documents = [t for texts in sets.passages(b.data)[1].values() for t in texts]
    return {"written by hand": sets.HARMLESS["test"], **lookalikes.every("test"),
            "pasted documents": lookalikes.pasted_pieces(documents, 1, 200),
            "requests": sets.requests(b.data)[1]}  # fmt: skip


def indirect_injection(b: Bench) -> dict:
    rail = IndirectInjection(b.embedder, indirect.shipped())
    threshold = indirect.shipped().threshold
    instructions = sets.attacks(b.data)[1]
    kinds = {kind: b.some(texts) for kind, texts in sets.passages(b.data)[1].items()}
    every = [t for texts in kinds.values() for t in texts]
    results: dict = {"passages": len(every), "instructions": len(instructions)}

    def scores(clean: list[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        poisoned = sets.injected(clean, instructions, seed)
        b.on_disk.embed([s for t in (*clean, *poisoned) for s in indirect.sentences(t)])
        return np.array([rail.score(t) for t in poisoned]), np.array([rail.score(t) for t in clean])

    by_kind = {kind: scores(texts, 5) for kind, texts in kinds.items()}
    for kind, (high, low) in by_kind.items():
        results[kind] = {"recall": float((high >= threshold).mean()), "false": float((low >= threshold).mean())}
        print(f"  indirect injections, {kind}: recall {results[kind]['recall']:.3f} of {len(high)}, "
              f"false alarms {results[kind]['false']:.3f}")  # fmt: skip
        for text in [t for t, p in zip(kinds[kind], low, strict=True) if p >= threshold][:4]:
            print(f"    false: {' '.join(text.split())[:140]}")
    high, low = (np.concatenate(side) for side in zip(*by_kind.values(), strict=True))
    results |= {"recall": float((high >= threshold).mean()), "false": float((low >= threshold).mean()),
              "auroc": auroc(high, low)}  # fmt: skip
    print(f"indirect injections: recall {results['recall']:.3f} of {len(high)} (aim .80), "
          f"{len(instructions)} new instructions, false alarms {results['false']:.3f}, "
          f"AUROC {results['auroc']:.3f}")  # fmt: skip
    high, low = scores(sets.clips(every, 6), 7)
    results |= {"short_recall": float((high >= threshold).mean()), "short_false": float((low >= threshold).mean())}
    print(f"  in one to three sentences: recall {results['short_recall']:.3f}, false {results['short_false']:.3f} "
          f"of {len(low)}")  # fmt: skip
    return results


def _scored(b: Bench, cases: Sequence[tuple[str, list[str]]]) -> np.ndarray:
    """The least support of the statements of each answer; small talk alone has little."""
    b.on_disk.embed([s for t, e in cases for s in (*statements(t), *(w for x in e for w in sentences(x)))])
    supports = []
    for text, passages in cases:
        evidence = Evidence(passages, b.embedder)
        supports.append(min((b.groundedness.support(s, evidence) for s in statements(text)), default=0.1))
    return np.array(supports)


def _marked(rows: Iterable[tuple[str, list[str], bool]]) -> list[tuple[str, list[str], str]]:
    return [(text, evidence, "" if supported else "wrong") for text, evidence, supported in rows]


def groundedness(b: Bench) -> dict:
    results: dict = {}
    everything: tuple[list, list] = ([], [])
    for name, every in sets.begin(b.data)[1].items():
        cases = b.some(every)
        p = _scored(b, [(t, e) for t, e, _ in cases])
        truth = np.array([c for _, _, c in cases])
        everything[0].append(p[truth])
        everything[1].append(p[~truth])
        results[f"begin_{name}"] = {"n": len(cases), "auroc": auroc(p[truth], p[~truth])}
        print(f"groundedness: BEGIN {name}: AUROC {results[f'begin_{name}']['auroc']:.3f} of {len(cases)}")
    results["begin"] = auroc(np.concatenate(everything[0]), np.concatenate(everything[1]))
    print(f"  BEGIN overall: AUROC {results['begin']:.3f} (aim .85)")
    threshold = 1 - alignment.shipped().threshold
    with_errors = {
        "bank documents": sets.bank_statements(b.data, testing=True),
        "bank answers": sets.example_bank(),
        "concierge": sets.concierge_replies(b.data, testing=True),
        "other words": _marked(stated(150, testing=True)),
        "by hand": _marked(written(seen=False)),
        "by hand, in view": _marked(written(seen=True)),
    }
    for name, every in with_errors.items():
        rows = b.some(every)
        p = _scored(b, [(t, e) for t, e, _ in rows])
        good = p[[not k for _, _, k in rows]]
        by_kind = {}
        for kind in sorted({k for _, _, k in rows if k}):
            bad = p[[k == kind for _, _, k in rows]]
            by_kind[kind] = {"n": len(bad), "auroc": auroc(good, bad), "caught": float((bad <= threshold).mean())}
        bad = p[[bool(k) for _, _, k in rows]]
        results[name] = {"n": len(rows), "auroc": auroc(good, bad), "caught": float((bad <= threshold).mean()),
                       "good_lost": float((good <= threshold).mean()), "by_kind": by_kind}  # fmt: skip
        print(f"  errors in {name}: AUROC {results[name]['auroc']:.3f} (aim .95 on the bank) of {len(rows)}, "
              f"caught {results[name]['caught']:.2f}, good lost {results[name]['good_lost']:.3f}")  # fmt: skip
        for kind, r in by_kind.items():
            print(f"    {kind:<10}{r['n']:>5}  AUROC {r['auroc']:.3f}  caught {r['caught']:.2f}")
        lost = [(t, s) for (t, _, k), s in zip(rows, p, strict=True) if not k and s <= threshold]
        for text, s in lost[:5]:
            print(f"      lost {s:.2f}: {text[:150]}")
    return results


def toxic_posts(b: Bench) -> dict:
    rail = Toxicity(b.embedder, toxicity.shipped())
    threshold = toxicity.shipped().threshold
    rows = b.some(sets.toxicity(b.data)[1])
    chat = b.some([t for texts in sets.business(b.data)[1].values() for t in texts])
    b.on_disk.embed([w for t in (*(t for t, _ in rows), *chat) for w in toxicity.pieces(t)])
    p = np.array([rail.score(t) for t, _ in rows])
    truth = np.array([y for _, y in rows])
    talk = np.array([rail.score(t) for t in chat])
    results = {"n": len(rows), "bad": int(truth.sum()), "auroc": auroc(p[truth], p[~truth]),
             "recall": float((p[truth] >= threshold).mean()),
             "precision": float(truth[p >= threshold].mean()), "false": float((p[~truth] >= threshold).mean()),
             "chat": len(chat), "chat_false": float((talk >= threshold).mean())}  # fmt: skip
    print(f"toxicity: recall {results['recall']:.3f}, precision {results['precision']:.3f}, "
          f"false {results['false']:.3f} of the clean, AUROC {results['auroc']:.3f}, n {len(rows)}; "
          f"chat {results['chat_false']:.4f} of {len(chat)}")  # fmt: skip
    for text, s in zip(chat, talk, strict=True):
        if s >= threshold:
            print(f"    false (chat): {text[:140]}")
    kinds = {**plain.quoted(b.data)[1], "short statements and negations": plain.made("test", 500)}
    results["plain"] = {}
    for name, texts in kinds.items():
        b.on_disk.embed([w for t in texts for w in toxicity.pieces(t)])
        false = [t for t in texts if rail.score(t) >= threshold]
        results["plain"][name] = {"n": len(texts), "false": len(false)}
        print(f"  plain sentences, {name}: {len(false)} of {len(texts)} reported")
        for text in false[:SHOWN]:
            print(f"    false: {text[:140]}")
    n, false = (sum(r[k] for r in results["plain"].values()) for k in ("n", "false"))
    print(f"  plain sentences: {false / n:.4f} of {n} (aim .005)")
    return results


def topics(b: Bench) -> dict:
    """The rail of a bank and of a concierge, each learned from its own questions and asked both's, and CLINC150's."""
    learned, tested = sets.business(b.data)
    domains = json.loads((b.data / "router" / "domains.json").read_text(encoding="utf-8"))
    near = {i for name in ("banking", "credit_cards") for i in domains.get(name, ())}
    far = [r["text"] for r in sets.lines(b.data / "router" / "val.jsonl") if r["intent"] not in near]
    random.Random(3).shuffle(far)
    results = {}
    for name, foreign in (("bank", far), ("concierge", tested["bank"])):
        domain = topic.learn(b.some(learned[name], 600), (), b.on_disk)
        rail = Topic(b.embedder, domain)
        own, out = b.some(tested[name], 300), b.some(foreign, 300)
        b.on_disk.embed([*own, *out])
        low, high = np.array([rail.similarity(t) for t in own]), np.array([rail.similarity(t) for t in out])
        results[name] = {"own": len(own), "foreign": len(out), "auroc": auroc(low, high),
                       "own_refused": float((low < domain.threshold).mean()),
                       "foreign_refused": float((high < domain.threshold).mean())}  # fmt: skip
        print(f"topic, {name}: AUROC {results[name]['auroc']:.3f}; "
              f"refused {results[name]['own_refused']:.3f} of its own, "
              f"{results[name]['foreign_refused']:.3f} of others'")  # fmt: skip
        for text, s in zip(own, low, strict=True):
            if s < domain.threshold:
                print(f"    refused: {text[:120]}")
    return results


def shipped_quality(results: dict) -> list[dict]:
    """The figures that the verdict report shows, of each section that was measured."""
    rows = []

    def row(rail: str, side: str, on: str, bad: int, good: int, recall: float, false: float | None,
            chat: float | None = None, precision: float | None = None) -> None:  # fmt: skip
        exact = recall * bad / max(recall * bad + false * good, 1e-9) if precision is None else precision
        figures = {"recall": recall, "precision": exact, "false": false, "chat": chat}
        rows.append({"rail": rail, "side": side, "on": on, "bad": bad, "good": good}
                    | {k: None if v is None else round(v, 4) for k, v in figures.items()})  # fmt: skip

    if p := results.get("pii"):
        n = p["n"]
        for on, kinds in (("numbers, email and IP addresses", STRUCTURED),
                          ("names and places", ("PERSON", "GPE", "STREET_ADDRESS"))):  # fmt: skip
            own = [k for k in kinds if n.get(k)]
            count = sum(n[k] for k in own)
            recall = sum(p["recall"][k] * n[k] for k in own) / count
            row("pii", "input", on, count, p["sentences"], recall, None, precision=p["precision"])
    if i := results.get("injection"):
        row("injection", "input", "jailbreaks found in the wild", i["jailbreaks"], i["lookalikes"], i["recall"],
            i["lookalike_blocks"], i["chat_blocks"])  # fmt: skip
    if o := results.get("indirect"):
        row("injection", "passages", "instructions injected into documents", o["passages"], o["passages"], o["recall"],
            o["false"])  # fmt: skip
    if t := results.get("toxicity"):
        row("toxicity", "input", "social media posts", t["bad"], t["n"] - t["bad"], t["recall"], t["false"],
            t["chat_false"], t["precision"])  # fmt: skip
    if f := results.get("groundedness"):
        for name, on in (("bank documents", "errors inserted into a bank's documents"),
                         ("concierge", "errors inserted into replies that summarize reviews")):  # fmt: skip
            bad = sum(k["n"] for k in f[name]["by_kind"].values())
            row("groundedness", "output", on, bad, f[name]["n"] - bad, f[name]["caught"], f[name]["good_lost"])
    if t := results.get("topic"):
        b = t["bank"]
        row("topic", "input", "a bank's questions and others", b["foreign"], b["own"], b["foreign_refused"],
            b["own_refused"])  # fmt: skip
    return rows


SECTIONS = (
    "pii", "injection", "indirect", "groundedness", "siblings", "ratings", "unsupported", "confidence", "toxicity",
    "topic", "disguises", "languages", "latency",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=sets.DATA)
    parser.add_argument("--answers", type=Path, nargs="*", default=[], help="folders with answers.jsonl")
    parser.add_argument("--sections", nargs="*", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--ship", action="store_true", help="write the figures that the verdict report shows")
    given = parser.parse_args()
    b = Bench(given.data, given.quick)
    run = {"pii": pii, "injection": injection, "indirect": indirect_injection, "groundedness": groundedness,
           "siblings": siblings, "ratings": ratings, "toxicity": toxic_posts,
           "topic": topics, "disguises": disguises, "languages": languages,
           "latency": lambda b: latency(b.data, 12 if b.quick else 120),
           "confidence": lambda b: confidence(b, given.answers),
           "unsupported": lambda b: unsupported(b, given.answers)}  # fmt: skip
    out = HERE / "results" / "guardrails.json"
    out.parent.mkdir(exist_ok=True)
    results = json.loads(out.read_text()) if out.exists() else {}
    for name in given.sections:
        results[name] = run[name](b)
        out.write_text(json.dumps(results, indent=1) + "\n")
    if given.ship:
        file = FOLDER / "quality.json"
        file.write_text(
            "[\n " + ",\n ".join(json.dumps(r) for r in shipped_quality(results)) + "\n]\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
