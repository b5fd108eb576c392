"""How good the rails are and how long they take, on the quarter of the public sets that no classifier was trained on.

    python benchmarks/guardrails.py [--data ../shared/data] [--sections pii ...] [--answers FOLDER ...] [--quick]

Sections: pii, injection, indirect, groundedness, unsupported, confidence, toxicity, topic, latency.
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
from guard_latency import latency

from guardrail_training import data as sets
from guardrail_training.statements import stated
from guardrail_training.train_classifiers import auroc
from guardrail_training.written import written
from inhouse.chat import ChatRequest
from inhouse.evaluation.scorers import is_right
from inhouse.guardrails import topic, toxicity
from inhouse.guardrails.classifier import FOLDER, TAGGER, windows
from inhouse.guardrails.confidence.calibration import FEWEST, calibration_error, fit
from inhouse.guardrails.confidence.features import FeatureExtractor
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.rail import Groundedness, evidence_of, statements, with_title
from inhouse.guardrails.injection import indirect, jailbreak
from inhouse.guardrails.injection.indirect import IndirectInjection
from inhouse.guardrails.injection.jailbreak import Jailbreak
from inhouse.guardrails.pii import ORDER, Pii
from inhouse.guardrails.rail import Turn
from inhouse.guardrails.topic import Topic
from inhouse.guardrails.toxicity import Toxicity
from inhouse.models.catalog import Catalog
from inhouse.privacy.anonymize import Anonymizer
from inhouse.privacy.tagger import read_tagger
from inhouse.text import claims
from inhouse.text.cache import CachedEmbedder
from inhouse.text.support import SUPPORTED, LexicalSupport
from inhouse.types import Message, Passage

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
    rail = Pii(Anonymizer(Catalog().find("en-core-web-sm", HERE)), read_tagger(TAGGER), ORDER)
    rows = b.some(sets.pii(b.data)[1])
    wanted, hit, typed = Counter(), Counter(), Counter()
    given, right, missed, wrong = Counter(), Counter(), [], []
    for row in rows:
        (found,) = rail.spans([Message(role="user", content=row["text"])])
        for start, end, kind in row["spans"]:
            if kind not in KINDS:
                continue
            over = [f for f in found if f.start < end and start < f.end]
            wanted[kind] += 1
            hit[kind] += bool(over)
            typed[kind] += any(f.kind in KINDS[kind] for f in over)
            if not over and kind in STRUCTURED:
                missed.append((kind, row["text"][start:end]))
        for f in found:
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
    found = {"jailbreaks": len(jail), "recall": float((high >= threshold).mean()),
             "lookalikes": len(alike), "lookalike_blocks": float((near >= threshold).mean()), "chat": {}}  # fmt: skip
    false = []
    low = []
    for name, texts in chat.items():
        p = scores(texts)
        low.append(p)
        found["chat"][name] = {"n": len(texts), "blocks": float((p >= threshold).mean())}
        false += [(name, t) for t, s in zip(texts, p, strict=True) if s >= threshold]
    every = np.concatenate(low)
    found["chat_blocks"], found["auroc"] = float((every >= threshold).mean()), auroc(high, every)
    short, harmless = sets.one_line_jailbreaks("test"), sets.HARMLESS["test"]
    caught, blocked = scores(short) >= threshold, scores(harmless) >= threshold
    found |= {"short": len(short), "short_recall": float(caught.mean()), "harmless_blocks": float(blocked.mean())}
    print(
        f"  one-line jailbreaks, worded unlike training: recall {found['short_recall']:.3f} of {len(short)}; "
        f"customers using the same words: {found['harmless_blocks']:.3f} of {len(harmless)} blocked"
    )
    for text in [t for t, c in zip(short, caught, strict=True) if not c][:SHOWN]:
        print(f"    missed: {text}")
    for text in [t for t, b_ in zip(harmless, blocked, strict=True) if b_]:
        print(f"    blocked (harmless): {text}")
    print(f"jailbreaks: recall {found['recall']:.3f} on {len(jail)} held-out (aim .90), AUROC {found['auroc']:.3f}")
    print(f"  false blocks: chat {found['chat_blocks']:.4f} of {len(every)} (aim .01), look-alikes "
          f"{found['lookalike_blocks']:.3f} of {len(alike)} (aim .10)")  # fmt: skip
    for name, text in false[:SHOWN]:
        print(f"    blocked ({name}): {text[:140]}")
    for text, p in zip(alike, near, strict=True):
        if p >= threshold:
            print(f"    blocked (look-alike): {text[:140]}")
    for text, p in zip(jail, high, strict=True):
        if p < threshold:
            print(f"    missed {p:.2f}: {' '.join(text.split())[:140]}")
    return found


def indirect_injection(b: Bench) -> dict:
    rail = IndirectInjection(b.embedder, indirect.shipped())
    threshold = indirect.shipped().threshold
    instructions = sets.attacks(b.data)[1]
    kinds = {kind: b.some(texts) for kind, texts in sets.passages(b.data)[1].items()}
    every = [t for texts in kinds.values() for t in texts]
    found: dict = {"passages": len(every), "instructions": len(instructions)}

    def scores(clean: list[str], seed: int) -> tuple[np.ndarray, np.ndarray]:
        poisoned = sets.injected(clean, instructions, seed)
        b.on_disk.embed([s for t in (*clean, *poisoned) for s in indirect.sentences(t)])
        return np.array([rail.score(t) for t in poisoned]), np.array([rail.score(t) for t in clean])

    by_kind = {kind: scores(texts, 5) for kind, texts in kinds.items()}
    for kind, (high, low) in by_kind.items():
        found[kind] = {"recall": float((high >= threshold).mean()), "false": float((low >= threshold).mean())}
        print(f"  indirect injections, {kind}: recall {found[kind]['recall']:.3f} of {len(high)}, "
              f"false alarms {found[kind]['false']:.3f}")  # fmt: skip
        for text in [t for t, p in zip(kinds[kind], low, strict=True) if p >= threshold][:4]:
            print(f"    false: {' '.join(text.split())[:140]}")
    high, low = (np.concatenate(side) for side in zip(*by_kind.values(), strict=True))
    found |= {"recall": float((high >= threshold).mean()), "false": float((low >= threshold).mean()),
              "auroc": auroc(high, low)}  # fmt: skip
    print(f"indirect injections: recall {found['recall']:.3f} of {len(high)}, {len(instructions)} new ones (aim .80), "
          f"false alarms {found['false']:.3f}, AUROC {found['auroc']:.3f}")  # fmt: skip
    high, low = scores(sets.clips(every, 6), 7)
    found |= {"short_recall": float((high >= threshold).mean()), "short_false": float((low >= threshold).mean())}
    print(f"  in one to three sentences: recall {found['short_recall']:.3f}, false {found['short_false']:.3f} "
          f"of {len(low)}")  # fmt: skip
    return found


def _scored(b: Bench, cases: Sequence[tuple[str, list[str]]]) -> np.ndarray:
    """The least support of the statements of each answer; small talk alone has little."""
    b.on_disk.embed([s for t, e in cases for s in (*statements(t), *(w for x in e for w in claims.sentences(x)))])
    supports = []
    for text, passages in cases:
        evidence = Evidence(passages, b.embedder)
        supports.append(min((b.groundedness.support(s, evidence) for s in statements(text)), default=0.1))
    return np.array(supports)


def _marked(rows: Iterable[tuple[str, list[str], bool]]) -> list[tuple[str, list[str], str]]:
    return [(text, evidence, "" if supported else "wrong") for text, evidence, supported in rows]


def groundedness(b: Bench) -> dict:
    found: dict = {}
    everything: tuple[list, list] = ([], [])
    for name, every in sets.begin(b.data)[1].items():
        cases = b.some(every)
        p = _scored(b, [(t, e) for t, e, _ in cases])
        truth = np.array([c for _, _, c in cases])
        everything[0].append(p[truth])
        everything[1].append(p[~truth])
        found[f"begin_{name}"] = {"n": len(cases), "auroc": auroc(p[truth], p[~truth])}
        print(f"groundedness: BEGIN {name}: AUROC {found[f'begin_{name}']['auroc']:.3f} of {len(cases)}")
    found["begin"] = auroc(np.concatenate(everything[0]), np.concatenate(everything[1]))
    print(f"  BEGIN overall: AUROC {found['begin']:.3f} (aim .85)")
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
        found[name] = {"n": len(rows), "auroc": auroc(good, bad), "caught": float((bad <= threshold).mean()),
                       "good_lost": float((good <= threshold).mean()), "by_kind": by_kind}  # fmt: skip
        print(f"  errors in {name}: AUROC {found[name]['auroc']:.3f} (aim .95 on the bank) of {len(rows)}, "
              f"caught {found[name]['caught']:.2f}, good lost {found[name]['good_lost']:.3f}")  # fmt: skip
        for kind, r in by_kind.items():
            print(f"    {kind:<10}{r['n']:>5}  AUROC {r['auroc']:.3f}  caught {r['caught']:.2f}")
        lost = [(t, s) for (t, _, k), s in zip(rows, p, strict=True) if not k and s <= threshold]
        for text, s in lost[:5]:
            print(f"      lost {s:.2f}: {text[:150]}")
    return found


def toxic_posts(b: Bench) -> dict:
    rail = Toxicity(b.embedder, toxicity.shipped())
    threshold = toxicity.shipped().threshold
    rows = b.some(sets.toxicity(b.data)[1])
    chat = b.some([t for texts in sets.business(b.data)[1].values() for t in texts])
    b.on_disk.embed([w for t in (*(t for t, _ in rows), *chat) for w in toxicity.pieces(t)])
    p = np.array([rail.score(t) for t, _ in rows])
    truth = np.array([y for _, y in rows])
    talk = np.array([rail.score(t) for t in chat])
    found = {"n": len(rows), "bad": int(truth.sum()), "auroc": auroc(p[truth], p[~truth]),
             "recall": float((p[truth] >= threshold).mean()),
             "precision": float(truth[p >= threshold].mean()), "false": float((p[~truth] >= threshold).mean()),
             "chat": len(chat), "chat_false": float((talk >= threshold).mean())}  # fmt: skip
    print(f"toxicity: recall {found['recall']:.3f}, precision {found['precision']:.3f}, "
          f"false {found['false']:.3f} of the clean, AUROC {found['auroc']:.3f}, n {len(rows)}; "
          f"chat {found['chat_false']:.4f} of {len(chat)}")  # fmt: skip
    for text, s in zip(chat, talk, strict=True):
        if s >= threshold:
            print(f"    false (chat): {text[:140]}")
    return found


def topics(b: Bench) -> dict:
    """The rail of a bank and of a concierge, each learned from its own questions and asked both's, and CLINC150's."""
    learned, asked = sets.business(b.data)
    domains = json.loads((b.data / "router" / "domains.json").read_text(encoding="utf-8"))
    near = {i for name in ("banking", "credit_cards") for i in domains.get(name, ())}
    far = [r["text"] for r in sets.lines(b.data / "router" / "val.jsonl") if r["intent"] not in near]
    random.Random(3).shuffle(far)
    found = {}
    for name, foreign in (("bank", far), ("concierge", asked["bank"])):
        domain = topic.learn(b.some(learned[name], 600), (), b.on_disk)
        rail = Topic(b.embedder, domain)
        own, out = b.some(asked[name], 300), b.some(foreign, 300)
        b.on_disk.embed([*own, *out])
        low, high = np.array([rail.similarity(t) for t in own]), np.array([rail.similarity(t) for t in out])
        found[name] = {"own": len(own), "foreign": len(out), "auroc": auroc(low, high),
                       "own_refused": float((low < domain.threshold).mean()),
                       "foreign_refused": float((high < domain.threshold).mean())}  # fmt: skip
        print(f"topic, {name}: AUROC {found[name]['auroc']:.3f}; refused {found[name]['own_refused']:.3f} of its own, "
              f"{found[name]['foreign_refused']:.3f} of others'")  # fmt: skip
        for text, s in zip(own, low, strict=True):
            if s < domain.threshold:
                print(f"    refused: {text[:120]}")
    return found


def _answers(folder: Path) -> list[dict]:
    file = folder / "answers.jsonl"
    return sets.lines(file) if file.is_file() else []


def confident(b: Bench, folders: Sequence[Path]) -> dict:
    """Fits the confidence to half of a model's answers and verifies the error target on the other half."""
    found = {}
    for folder in folders:
        asked = _answers(folder)
        rows = [r for r in asked if not r["declined"]]  # a reply that declines is no answer
        if len(rows) < 2 * FEWEST:
            print(f"confidence: {len(rows)} answers in {folder}: too few")
            continue
        b.on_disk.embed([w for r in rows for p in r["passages"] for w in claims.sentences(with_title(Passage(**p)))])
        extract = FeatureExtractor(b.groundedness, b.embedder)
        x = np.array([extract(r["text"], _turn(r)) for r in rows])
        y = np.array([is_right(r["scores"]) for r in rows])
        alone = np.array([r["confidence"] or 0.0 for r in rows])
        repeats = [_half(x, y, alone, seed) for seed in range(20)]
        row = {k: float(np.mean([r[k] for r in repeats])) for k in repeats[0]} | _calibrated(x, y)
        missed = float(np.mean([r["wrong"] > r["target"] and r["answered"] > 0 for r in repeats]))
        found[folder.name] = {"answers": len(rows), "right": float(y.mean()), **row, "target_missed": missed}
        print(f"confidence, {folder.name}: {len(rows)} answers to {len(asked)} questions, {y.mean():.2f} right, "
              f"ECE {row['ece']:.3f} (aim .05; by chance alone {row['ece_chance']:.3f}), AUROC {row['auroc']:.3f}, "
              f"that of token probability {row['auroc_alone']:.3f}")  # fmt: skip
        print(f"  error target {row['target']:.2f}: answered {row['answered']:.3f}, wrong {row['wrong']:.3f}, "
              f"missed in {missed:.2f}; at 5 % wrong {row['at5']:.3f} answered, by tokens {row['at5_alone']:.3f}; "
              f"at 20 % {row['at20']:.3f} and {row['at20_alone']:.3f}")  # fmt: skip
    return found


def _turn(row: dict) -> Turn:
    messages = tuple(Message(**m) for m in row["example"]["messages"])
    return Turn(ChatRequest(messages=messages), tuple(Passage(**p) for p in row["passages"]),
                certainty=row["confidence"], second=row["second"])  # fmt: skip


def _calibrated(x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The calibration error of all answers, each scored by a fit to the other four fifths, over five ways to split; and
    that of simulated answers that are right exactly as often as predicted."""
    errors, by_chance = [], []
    for seed in range(5):
        fold, p = np.random.default_rng(seed).permutation(len(y)) % 5, np.zeros(len(y))
        for f in range(5):
            p[fold == f] = fit(x[fold != f], y[fold != f], 0.05).probability(x[fold == f])
        errors.append(calibration_error(p, y.astype(float)))
        drawn = np.random.default_rng(seed).random((100, len(p))) < p
        by_chance += [calibration_error(p, d * 1.0) for d in drawn]
    return {"ece": float(np.mean(errors)), "ece_chance": float(np.mean(by_chance))}


def _half(x: np.ndarray, y: np.ndarray, alone: np.ndarray, seed: int) -> dict[str, float]:
    half = np.random.default_rng(seed).permutation(len(y)) % 2 == 0
    fitted = fit(x[half], y[half], 0.05)
    p, truth = fitted.probability(x[~half]), y[~half].astype(float)
    kept = p >= fitted.threshold
    return {
        "target": 0.05, "auroc": auroc(p[truth > 0], p[truth == 0]),
        "auroc_alone": auroc(alone[~half][truth > 0], alone[~half][truth == 0]), "answered": float(kept.mean()),
        "wrong": float(1 - truth[kept].mean()) if kept.any() else 0.0,
        "at5": _coverage(p, truth, 0.05), "at5_alone": _coverage(alone[~half], truth, 0.05),
        "at20": _coverage(p, truth, 0.2), "at20_alone": _coverage(alone[~half], truth, 0.2),
    }  # fmt: skip


def _coverage(p: np.ndarray, right: np.ndarray, wrong: float) -> float:
    """The largest share answered, most confident first, of which at most `wrong` are wrong."""
    order = np.argsort(-p, kind="stable")
    risk = np.cumsum(1 - right[order]) / np.arange(1, len(p) + 1)
    ok = np.flatnonzero(risk <= wrong)
    return float((ok[-1] + 1) / len(p)) if len(ok) else 0.0


def unsupported(b: Bench, folders: Sequence[Path]) -> dict:
    """The unsupported statements of a model's answers, before and after the rail.

    The judge is the lexical support score of the verdict against reference and passages, which the rail does not use;
    and a person, where the folder has a read.json: by id of the example and by statement, whether it is supported.
    Statements that the person left out do not count.
    """
    found = {}
    for folder in folders:
        file = folder / "read.json"
        judges = {"lexical": None} | ({"person": json.loads(file.read_text(encoding="utf-8"))} if file.exists() else {})
        for judge, labels in judges.items():
            rows = [_claimed(b, row, labels) for row in _answers(folder) if labels is None or row["id"] in labels]
            for name, cut, asked in _cuts(rows):
                bad = [support for r in asked for support, bad in r["claims"] if bad]
                good = [r for r in asked if r["good"]]
                lost = sum(any(support <= cut for support, _ in r["claims"]) for r in good)
                left = sum(support > cut for support in bad)
                found[f"{folder.name}, {judge}, {name}"] = {
                    "answers": len(asked), "cut": cut, "before": len(bad), "after": left, "good": len(good),
                    "lost": lost,
                }  # fmt: skip
                print(f"unsupported, {folder.name}, {judge}, {name} ({cut:.2f}): {len(bad)} statements of {len(asked)} "
                      f"answers before, {left} after (cut by {1 - left / max(len(bad), 1):.2f}, aim .63); good answers "
                      f"{len(good)}, touched {lost} ({lost / max(len(good), 1):.3f}, aim .05)")  # fmt: skip
    return found


def _cuts(rows: list[dict]) -> list[tuple[str, float, list[dict]]]:
    """The shipped threshold on all answers and on those of the test; and the one that `inhouse calibrate` suggests from
    the validation, on the test."""
    shipped = 1 - alignment.shipped().threshold
    test = [r for r in rows if r["split"] == "test"]
    cuts = [("as shipped", shipped, rows), ("as shipped, test only", shipped, test)]
    least = sorted(
        min(support for support, _ in r["claims"])
        for r in rows if r["split"] == "validation" and r["good"] and r["claims"]
    )  # fmt: skip
    if spare := int(0.05 * len(least)):
        cuts.append(("fitted on the validation", max(least[spare] - 1e-6, shipped), test))
    return cuts


def _claimed(b: Bench, row: dict, labels: dict | None) -> dict:
    """An answer's claims, each with its support and whether the judge calls it unsupported; and whether the answer is
    good: right, with every claim supported."""
    turn = _turn(row)
    evidence = evidence_of(turn, b.embedder)
    texts = [*([row["example"]["target"]] if row["example"]["target"] else []), *map(with_title, turn.passages)]
    judged = []
    for statement, support in b.groundedness.claims(row["text"], evidence):
        if labels is None:
            judged.append((support, b.support.support(statement, texts) < SUPPORTED))
        elif statement in labels[row["id"]]:
            judged.append((support, not labels[row["id"]][statement]))
    good = is_right(row["scores"]) and not any(bad for _, bad in judged)
    return {"split": row["split"], "claims": judged, "good": good}


def shipped_quality(found: dict) -> list[dict]:
    """The figures that the verdict report shows, of each section that was measured."""
    rows = []

    def row(rail: str, side: str, on: str, bad: int, good: int, recall: float, false: float | None,
            chat: float | None = None, precision: float | None = None) -> None:  # fmt: skip
        exact = recall * bad / max(recall * bad + false * good, 1e-9) if precision is None else precision
        figures = {"recall": recall, "precision": exact, "false": false, "chat": chat}
        rows.append({"rail": rail, "side": side, "on": on, "bad": bad, "good": good}
                    | {k: None if v is None else round(v, 4) for k, v in figures.items()})  # fmt: skip

    if p := found.get("pii"):
        n = p["n"]
        for on, kinds in (("numbers, email and IP addresses", STRUCTURED),
                          ("names and places", ("PERSON", "GPE", "STREET_ADDRESS"))):  # fmt: skip
            own = [k for k in kinds if n.get(k)]
            count = sum(n[k] for k in own)
            recall = sum(p["recall"][k] * n[k] for k in own) / count
            row("pii", "input", on, count, p["sentences"], recall, None, precision=p["precision"])
    if i := found.get("injection"):
        row("injection", "input", "jailbreaks found in the wild", i["jailbreaks"], i["lookalikes"], i["recall"],
            i["lookalike_blocks"], i["chat_blocks"])  # fmt: skip
    if o := found.get("indirect"):
        row("injection", "passages", "instructions injected into documents", o["passages"], o["passages"], o["recall"],
            o["false"])  # fmt: skip
    if t := found.get("toxicity"):
        row("toxicity", "input", "social media posts", t["bad"], t["n"] - t["bad"], t["recall"], t["false"],
            t["chat_false"], t["precision"])  # fmt: skip
    if f := found.get("groundedness"):
        for name, on in (("bank documents", "errors inserted into a bank's documents"),
                         ("concierge", "errors inserted into replies that summarize reviews")):  # fmt: skip
            bad = sum(k["n"] for k in f[name]["by_kind"].values())
            row("groundedness", "output", on, bad, f[name]["n"] - bad, f[name]["caught"], f[name]["good_lost"])
    if t := found.get("topic"):
        b = t["bank"]
        row("topic", "input", "a bank's questions and others", b["foreign"], b["own"], b["foreign_refused"],
            b["own_refused"])  # fmt: skip
    return rows


SECTIONS = ("pii", "injection", "indirect", "groundedness", "unsupported", "confidence", "toxicity", "topic", "latency")


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
           "toxicity": toxic_posts,
           "topic": topics, "latency": lambda b: latency(b.data, 12 if b.quick else 120),
           "confidence": lambda b: confident(b, given.answers),
           "unsupported": lambda b: unsupported(b, given.answers)}  # fmt: skip
    out = HERE / "results" / "guardrails.json"
    out.parent.mkdir(exist_ok=True)
    found = json.loads(out.read_text()) if out.exists() else {}
    for name in given.sections:
        found[name] = run[name](b)
        out.write_text(json.dumps(found, indent=1) + "\n")
    if given.ship:
        file = FOLDER / "quality.json"
        file.write_text("[\n " + ",\n ".join(json.dumps(r) for r in shipped_quality(found)) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
