"""What the groundedness rail cuts of sibling swaps, and of replies that people rated.

`guardrails.py --sections siblings ratings` runs both.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from guardrail_training import siblings as made
from guardrail_training.train_classifiers import auroc
from inhouse.chat import ChatRequest
from inhouse.guardrails.rail import Turn
from inhouse.text.sentences import sentences
from inhouse.types import Message, Passage

if TYPE_CHECKING:
    from guardrails import Bench

SHOWN = 8
MOST = 600  # replies of a set
NO_MARK = "cites a passage"  # a finding that removes a mark alone


def siblings(b: Bench) -> dict:
    """Sibling swaps that the rail cuts, by corpus and kind, and right statements that it cuts."""
    results = {}
    corpora = {
        "example bank, documents": made.example_bank(),
        "example bank, dialogues": made.dialogues(b.on_disk),
        "large bank": made.bank(b.data, testing=True),
        "health pages": made.health(b.data, testing=True),
        "financial reports": made.reports(b.data, testing=True),
    }
    for name, every in corpora.items():
        swaps = b.some(every)
        _embed(b, [(s.statement, s.evidence) for s in swaps])
        wrong, cut, lost, missed = Counter(), Counter(), [], []
        for s in swaps:
            found = is_cut(b, s.statement, _turn(s.evidence, s.asked))
            wrong[s.kind] += 1
            cut[s.kind] += found
            if found == (not s.kind):
                (missed if s.kind else lost).append(s)
        bad, right = sum(n for kind, n in wrong.items() if kind), max(wrong[""], 1)
        caught = sum(n for kind, n in cut.items() if kind) / max(bad, 1)
        by_kind = {k: {"n": wrong[k], "cut": cut[k] / wrong[k]} for k in sorted(wrong) if k}
        results[name] = {"swaps": bad, "cut": caught, "right": right, "lost": cut[""] / right, "by_kind": by_kind}
        print(f"siblings, {name}: {caught:.2f} of {bad} swaps cut, {cut['']} of {right} right ones "
              f"({cut[''] / right:.3f}); " + ", ".join(f"{k} {v['cut']:.2f} of {v['n']}" for k, v in by_kind.items()),
              flush=True)  # fmt: skip
        for what, some in (("lost", lost), ("missed", missed)):
            for s in some[:SHOWN]:
                print(f"    {what}: {' / '.join(s.asked[-1:])} {s.statement[:150]}")
    return results


def ratings(b: Bench) -> dict:
    """Replies that people rated for faithfulness: how many of each rating have a sentence cut."""
    results = {}
    for name, file, score, good, bad in (
        ("mtrag", "mtrag_replies", "faithfulness", 4, 2),
        ("dstc11", "dstc11_replies", "accuracy", 3.7, 2),
    ):
        with gzip.open(b.data / "preference" / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        rows = [r for r in rows if r["passages"] and (r["scores"][score] >= good or r["scores"][score] <= bad)][:MOST]
        rows = b.some(rows)
        texts = [[_passage(p) for p in r["passages"]] for r in rows]
        _embed(b, [(r["reply"], t) for r, t in zip(rows, texts, strict=True)])
        faithful, supports, touched, cut = [], [], [], Counter()
        for r, passages in zip(rows, texts, strict=True):
            turn = _turn(passages, tuple(m["content"] for m in r["messages"]) or ("",))
            marks = [is_cut(b, s, turn) for s in sentences(r["reply"])]
            faithful.append(r["scores"][score] >= good)
            touched.append(any(marks))
            cut[faithful[-1], "sentences"] += len(marks)
            cut[faithful[-1], "cut"] += sum(marks)
            least = [s for _, s in b.groundedness.claims(r["reply"], turn.state["evidence"])] if marks else []
            supports.append(min(least, default=1.0))
        y, t, p = np.array(faithful), np.array(touched), np.array(supports)
        results[name] = {
            "faithful": int(y.sum()), "faithful_touched": float(t[y].mean()), "others": int((~y).sum()),
            "others_touched": float(t[~y].mean()), "auroc": auroc(p[y], p[~y]),
            "faithful_sentences_cut": cut[True, "cut"] / max(cut[True, "sentences"], 1),
            "other_sentences_cut": cut[False, "cut"] / max(cut[False, "sentences"], 1),
        }  # fmt: skip
        r = results[name]
        print(f"ratings, {name}: a sentence is cut in {r['faithful_touched']:.3f} of {r['faithful']} faithful replies "
              f"and in {r['others_touched']:.3f} of {r['others']} unfaithful ones; of sentences "
              f"{r['faithful_sentences_cut']:.3f} and {r['other_sentences_cut']:.3f}; AUROC of the least support "
              f"{r['auroc']:.3f}", flush=True)  # fmt: skip
    return results


def is_cut(b: Bench, text: str, turn: Turn) -> bool:
    """Whether the rail takes the text out of an answer."""
    finding = b.groundedness.check("output", text, turn)
    return finding is not None and not finding.reason.startswith(NO_MARK)


def _turn(texts: Sequence[str], asked: Sequence[str]) -> Turn:
    roles = ["user" if (len(asked) - n) % 2 else "assistant" for n in range(len(asked))]
    messages = tuple(Message(role=role, content=text) for role, text in zip(roles, asked, strict=True))
    messages = messages or (Message(role="user", content="?"),)
    passages = tuple(Passage(source=f"{n}.md", title="", heading="", text=t) for n, t in enumerate(texts))
    return Turn(ChatRequest(messages=messages), passages)


def _passage(p: dict) -> str:
    return f"{p['entity']}. {p['text']}" if "entity" in p else p["text"]


def _embed(b: Bench, cases: Sequence[tuple[str, list[str]]]) -> None:
    b.on_disk.embed([s for t, e in cases for x in (t, *e) for s in sentences(x)])
