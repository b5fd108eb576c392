"""Trains the classifier of groundedness into src/inhouse/guardrails/weights/groundedness.safetensors.

    python -m guardrail_training.train_groundedness [--data ../shared/data] [--epochs 4] [--members 3]

It is trained on statements with the sentences nearest to them, supported or not. Some were labeled by people (BEGIN,
FaithDial's audit). Others are a concierge's replies and sentences of its documents, right or with an error inserted: a
number, name, quantity or word replaced, a negation added or removed, a condition invented, the reply to another
question, a place called by another's name. The rest are facts of made-up businesses in other words (`statements`).
The networks of `alignment` are trained with AdamW and evaluated on folds. The held-out quarter of the labeled sets
(`data.held_out`), the concierge's test dialogues, the held-out facts and all of the bank are never used.
"""

import argparse
import hashlib
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from guardrail_training import data as sets
from guardrail_training import statements
from guardrail_training.train_classifiers import auroc
from inhouse.guardrails.classifier import FOLDER
from inhouse.guardrails.groundedness.alignment import MOST_TOKENS
from inhouse.guardrails.groundedness.evidence import Evidence
from inhouse.guardrails.groundedness.features import Features, features_of
from inhouse.guardrails.groundedness.rail import statements as checked_statements
from inhouse.text.cache import CachedEmbedder

COMPARED, HIDDEN, LAST = 96, 64, 48  # sizes of a network
DROPPED = 0.2
RATE, DECAY, BATCH = 1.5e-3, 0.02, 64
FOLDS = 3
THRESHOLD = 0.6  # chosen on models' answers that a person labeled (docs/LOG.md)
WEIGHTS = {"begin": 1.5, "audit": 0.7, "concierge": 0.6, "stated": 0.6}
STATED = 2200  # groups of facts in other words
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_QUANTITY = re.compile(
    r"\b(?:a (?:wide |great |good )?(?:variety|selection|number|lot|range) of|lots of|many|several|plenty of)\b", re.I
)
_PAIRS = """clean/dirty quiet/noisy friendly/rude large/tiny spacious/cramped cheap/expensive affordable/overpriced
great/terrible good/bad fast/slow comfortable/uncomfortable helpful/unhelpful delicious/bland beautiful/ugly
excellent/awful nice/unpleasant many/few huge/small big/small amazing/disappointing attentive/inattentive fresh/stale
reliable/unreliable positive/negative satisfied/dissatisfied always/never free/charged more/less increase/decrease
monthly/annual required/optional before/after minimum/maximum credit/debit open/closed personal/business
online/in-person higher/lower above/below first/last variable/fixed domestic/international included/excluded
approved/declined checking/savings weekly/daily early/late long/short easy/difficult
available/unavailable""".split()  # noqa: SIM905
OPENINGS = (
    "Yes, ",
    "According to the documents, ",
    "Please note that ",
    "I can tell you that ",
    "In short, ",
    "Sure, ",
)
ANSWERS = ("The answer is ", "The answer is: ", "It is ", "That is ", "The answer to this question is: ")
SYNONYMS = (
    ("must", "have to"), ("may", "can"), ("requires", "needs"), ("obtain", "get"), ("within", "in"),
    ("at least", "no less than"), ("up to", "at most"), ("receive", "get"), ("purchase", "buy"), ("assist", "help"),
    ("offers", "has"), ("provides", "gives"), ("available", "there"), ("customers", "clients"),
    ("monthly", "each month"), ("additional", "further"), ("approximately", "about"), ("is free", "costs nothing"),
    ("is free", "is not charged for"),
    ("contact", "call"), ("prior to", "before"), ("in order to", "to"), ("cannot", "can not"), ("We", "The bank"),
    ("your", "a customer's"),
)  # fmt: skip
_PART = re.compile(r"; |, (?:and|but|which|so|while) ")
TURNED = {a: b for pair in _PAIRS for a, b in (pair.split("/"), pair.split("/")[::-1])}


class Case(NamedTuple):
    kind: str  # the data set
    text: str
    evidence: list[str]
    supported: bool
    group: str  # what folds keep together


# --- cases ------------------------------------------------------------------------------------------------------


def turned(answer: str, rng: random.Random) -> list[str]:
    """The answer with a word replaced by its opposite, and with a vague quantity by a number, where it has one."""
    found = []
    if words := [m for m in re.finditer(r"[A-Za-z-]+", answer) if m[0].lower() in TURNED]:
        m = rng.choice(words)
        new = TURNED[m[0].lower()]
        found.append(answer[: m.start()] + (new.capitalize() if m[0][0].isupper() else new) + answer[m.end() :])
    if m := _QUANTITY.search(answer):
        found.append(
            answer[: m.start()] + rng.choice(["two", "three", "2", "5", "seven different"]) + answer[m.end() :]
        )
    return found


def wrong(answer: str, names: Sequence[str], rng: random.Random) -> list[str]:
    """The answer with one error each."""
    return [t for _, t in sets.with_errors(answer, names, rng, False)] + turned(answer, rng)


def prose(text: str) -> list[str]:
    """The complete sentences of a document's text, without headings and tables."""
    found = (s.strip(" -*") for s in _SENTENCE.split(text))
    return [s for s in found if 6 <= len(s.split()) <= 32 and s.endswith(".") and not re.search(r"[|#]|\*\*", s)]


def labeled(data: Path) -> Iterator[Case]:
    known = set()
    for rows in sets.begin(data)[0].values():
        yield from (Case("begin", t, e, c, e[0][:200]) for t, e, c in rows)
    for rows in sets.begin(data)[1].values():
        known |= {e[0][:200] for _, e, _ in rows}
    yield from (
        Case("audit", t, e, c, key)
        for key, (t, e, c) in sets.audited(data)
        if key not in known and not sets.held_out(key)
    )


def reworded(sentence: str, title: str, rng: random.Random) -> str:
    """The sentence in other words, or a part of it, as models rephrase it; unchanged where nothing applies."""
    body = sentence.rstrip(". ")
    ways = [
        f"{rng.choice(OPENINGS)}{_low(body)}.",
        f"{title}{rng.choice((': ', ' > Help: ', ' - '))}{sentence}",
        re.sub(r"^(?:It|They|This|These)\b", title, sentence),
        re.sub(r" \([^)]*\)", "", sentence),
        re.sub(
            r"(?<=\w{4}),? (?:for|in|at|on|by|from|through|under|after|within|with) [^,;.$%\d]{4,40}\.$", ".", sentence
        ),
    ]
    if found := re.search(r"(?<![\w.])(?:[$£€] ?)?\d[\d,.]*\d?(?: ?%| [a-z]+)?(?![\w_])", body):
        ways += [f"{rng.choice(ANSWERS)}{found[0].rstrip('.,')}{rng.choice(('', '.'))}"] * 2
    if len(parts := [p for p in _PART.split(body) if len(p.split()) > 3]) > 1:
        ways += [f"{p[0].upper()}{p[1:]}." for p in parts]
    if m := re.match(r"((?:If|When|Once|After|Before|For|To) [^,]{5,80}), (.{10,})$", body):
        ways.append(f"{m[2][0].upper()}{m[2][1:]} {_low(m[1])}.")
    swapped = sentence
    for old, new in SYNONYMS:
        if rng.random() < 0.8:
            swapped = re.sub(rf"\b{old}\b", new, swapped)
    ways += [swapped, re.sub(r"^(?:The|A|An) ", lambda m: {"The ": "A ", "A ": "The ", "An ": "The "}[m[0]], swapped)]
    return rng.choice([w for w in ways if w != sentence and len(w.split()) > 1] or [sentence])


def _low(text: str) -> str:
    """The text beginning in lower case, unless it begins with a name."""
    first, _, rest = text.partition(" ")
    return text if rest[:1].isupper() or first.isupper() else text[:1].lower() + text[1:]


def variants(sentence: str, title: str, names: Sequence[str], rng: random.Random) -> Iterator[tuple[str, bool]]:
    """A sentence of the sources copied and reworded, and both with errors, so that neither copying nor rewording gives
    away which is right."""
    other = [reworded(sentence, title, rng) for _ in range(2)]
    yield sentence, True
    yield from ((t, True) for t in other if t != sentence)
    for text in (sentence, *other):
        if bad := wrong(text, names, rng):
            yield rng.choice(bad), False


def concierge(data: Path, rng: random.Random) -> Iterator[Case]:
    """Human replies with their sources among other passages, some about another place; and copied sentences."""
    docs = sets.documents(data / "concierge" / "documents")
    rows = [r for r in sets.lines(data / "concierge" / "conversations.jsonl") if r["needs_knowledge"] and r["sources"]]
    rng.shuffle(rows)
    titles = {name: pieces[0].partition(".")[0] for name, pieces in docs.items()}
    names = sorted(set(titles.values()))
    for n, row in enumerate(rows):
        here, answer = row["sources"][0]["document"], row["messages"][-1]["content"]
        copied = rng.sample(docs[here], min(3, len(docs[here])))
        evidence = list(copied)
        for name in dict.fromkeys(s["document"] for s in row["sources"]):
            rests_on = " ".join(s["text"] for s in row["sources"] if s["document"] == name)
            evidence.append(f"{titles[name]}. {rests_on}")
        first, *_ = _SENTENCE.split(answer)
        rest = answer[len(first) :]
        bad = [rows[(n + 7) % len(rows)]["messages"][-1]["content"]]
        errors = dict(sets.with_errors(first, names, rng, False))
        kinds = ["negation", rng.choice(sorted(errors.keys() - {"negation"}))]
        bad += [errors[kind] + rest for kind in kinds if kind in errors]
        bad += [t + rest for t in turned(first, rng)]
        if rng.random() < 0.5:
            other = rng.choice([d for d in docs if d != here and d[:5] == here[:5]])
            evidence += rng.sample(docs[other], min(2, len(docs[other])))
            called = titles[other].title() if titles[other].isupper() else titles[other]
            if (mixed := re.sub(re.escape(titles[here]), lambda _, c=called: c, answer, flags=re.I)) != answer:
                bad.append(mixed)
        yield Case("concierge", answer, evidence, True, row["group"])
        yield from (Case("concierge", t, evidence, False, row["group"]) for t in bad)
        if own := prose(rng.choice(copied).partition(". ")[2]):
            made = list(variants(rng.choice(own), titles[here], names, rng))
            for supported in (True, False):
                if texts := [t for t, c in made if c == supported]:
                    yield Case("concierge", rng.choice(texts), evidence, supported, row["group"])


def stated() -> Iterator[Case]:
    for text, evidence, supported in statements.stated(STATED):
        yield Case("stated", text, evidence, supported, " ".join(evidence))


# --- their features ------------------------------------------------------------------------------


@dataclass
class Row:
    case: int
    kind: str
    supported: bool
    group: str
    statement: np.ndarray  # (tokens, dimensions)
    premises: np.ndarray
    features: Features
    weight: float = 1.0


def rows_of(cases: Sequence[Case], disk: sets.DiskCachedEmbedder) -> list[Row]:
    """One row per statement, with the label of its answer, since it is not known which of its statements is wrong."""
    embedder = CachedEmbedder(disk, 10**6, 10**6)
    found, started = [], time.monotonic()
    for n, case in enumerate(cases):
        evidence = Evidence(case.evidence, embedder)
        for statement in checked_statements(case.text) if evidence.windows else ():
            premises = [tokens[1:-1] for _, tokens in embedder.read(evidence.premises(statement))]
            ((_, own),) = embedder.read([statement])
            tokens, features = np.concatenate(premises)[:MOST_TOKENS], features_of(statement, evidence)
            found.append(Row(n, case.kind, case.supported, case.group, own[1:-1], tokens, features))
        if n % 2000 == 1999:
            print(f"  {n + 1} of {len(cases)} cases read, {time.monotonic() - started:.0f} s", flush=True)
    weigh(found)
    return found


def weigh(rows: Sequence[Row]) -> None:
    """A case weighs what its set says, which its statements share; in each set both labels weigh the same."""
    per_case, total = Counter(r.case for r in rows), Counter()
    for r in rows:
        r.weight = WEIGHTS[r.kind] / per_case[r.case]
        total[r.kind, r.supported] += r.weight
    for r in rows:
        r.weight *= 1.0 if r.supported else total[r.kind, True] / total[r.kind, False]
    mean = sum(r.weight for r in rows) / len(rows)
    for r in rows:
        r.weight /= mean


class Network(nn.Module):
    """The network that `alignment` computes at run time, with tensors of the same names."""

    def __init__(self, wide: int, features: np.ndarray) -> None:
        super().__init__()
        self.q, self.v = nn.Linear(wide, COMPARED), nn.Linear(wide, COMPARED)
        self.temp = nn.Parameter(torch.tensor(8.0))
        self.token = nn.Sequential(nn.Linear(4 * COMPARED + 2, HIDDEN), nn.ReLU(), nn.Dropout(DROPPED),
                                   nn.Linear(HIDDEN, HIDDEN), nn.ReLU())  # fmt: skip
        self.out = nn.Sequential(nn.Dropout(DROPPED), nn.Linear(2 * HIDDEN + features.shape[1], LAST), nn.ReLU(),
                                 nn.Dropout(DROPPED), nn.Linear(LAST, 1))  # fmt: skip
        self.register_buffer("mean", torch.from_numpy(features.mean(0)))
        self.register_buffer("scale", torch.from_numpy(np.maximum(features.std(0), 1e-2)))

    def forward(self, own: Tensor, own_is: Tensor, there: Tensor, there_is: Tensor, features: Tensor) -> Tensor:
        likeness = nn.functional.normalize(self.q(own), dim=-1) @ nn.functional.normalize(self.q(there), dim=-1).mT
        likeness = likeness.masked_fill(~there_is[:, None], -1e4)
        shares = (self.temp * likeness).softmax(-1)
        mine = self.v(own)
        other = shares @ self.v(there)
        nearest = [likeness.amax(-1, keepdim=True), shares.amax(-1, keepdim=True)]
        tokens = self.token(torch.cat([mine, other, mine * other, (mine - other).abs(), *nearest], -1))
        tokens = tokens.masked_fill(~own_is[..., None], 0)
        mean = tokens.sum(1) / own_is.sum(1, keepdim=True)
        return self.out(torch.cat([mean, tokens.amax(1), (features - self.mean) / self.scale], -1))[:, 0]


def batch(rows: Sequence[Row]) -> tuple[Tensor, ...]:
    def padded(mats: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        long = max(len(m) for m in mats)
        values = np.zeros((len(mats), long, mats[0].shape[1]), np.float32)
        there = np.zeros((len(mats), long), bool)
        for n, m in enumerate(mats):
            values[n, : len(m)], there[n, : len(m)] = m, True
        return torch.from_numpy(values), torch.from_numpy(there)

    features = torch.tensor(np.array([r.features for r in rows], np.float32))
    return *padded([r.statement for r in rows]), *padded([r.premises for r in rows]), features


def train(rows: Sequence[Row], epochs: int, seed: int) -> Network:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    net = Network(rows[0].statement.shape[1], np.array([r.features for r in rows], np.float32))
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    per_epoch = -(-len(rows) // BATCH)
    pace = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * (per_epoch + 20), pct_start=0.1)
    started = time.monotonic()
    for epoch in range(epochs):
        total = 0.0
        for some in batches(rows, rng):
            label = torch.tensor([float(not r.supported) for r in some])
            weight = torch.tensor([r.weight for r in some])
            loss = nn.functional.binary_cross_entropy_with_logits(net(*batch(some)), label, weight=weight)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            pace.step()
            total += loss.item() * len(some) / len(rows)
        print(f"  epoch {epoch + 1} of {epochs}: loss {total:.3f}, {time.monotonic() - started:.0f} s", flush=True)
    return net.eval()


def batches(rows: Sequence[Row], rng: random.Random) -> list[list[Row]]:
    """Shuffled, with rows of similar length together."""
    order = list(rows)
    rng.shuffle(order)
    found = []
    for at in range(0, len(order), 20 * BATCH):
        near = sorted(order[at : at + 20 * BATCH], key=lambda r: len(r.premises) + 4 * len(r.statement))
        found += [near[k : k + BATCH] for k in range(0, len(near), BATCH)]
    rng.shuffle(found)
    return found


@torch.no_grad()
def worst(nets: Sequence[Network], rows: Sequence[Row]) -> dict[int, float]:
    """The probability of the least supported statement of each case."""
    found: dict[int, float] = {}
    order = sorted(rows, key=lambda r: len(r.statement))
    for at in range(0, len(order), 2 * BATCH):
        some = order[at : at + 2 * BATCH]
        logits = torch.stack([net(*batch(some)) for net in nets]).mean(0)
        for row, p in zip(some, logits.sigmoid().tolist(), strict=True):
            found[row.case] = max(found.get(row.case, 0.0), p)
    return found


def save(nets: Sequence[Network]) -> None:
    from safetensors.torch import save_file

    tensors = {
        f"{n}.{key}": value.half().contiguous() for n, net in enumerate(nets) for key, value in net.state_dict().items()
    }
    file = FOLDER / "groundedness.safetensors"
    save_file(tensors, file, metadata={"threshold": f"{THRESHOLD:.4f}", "features": " ".join(Features._fields)})
    file.chmod(0o644)
    print(f"groundedness: {sum(t.numel() for t in tensors.values()):,} weights, threshold {THRESHOLD}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=sets.DATA)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--members", type=int, default=3, help="networks to average")
    given = parser.parse_args()
    rng = random.Random(17)
    cases = [*labeled(given.data), *concierge(given.data, rng), *stated()]
    print(f"{len(cases)} cases: " + ", ".join(f"{k} {n}" for k, n in Counter(c.kind for c in cases).items()))
    rows = rows_of(cases, sets.DiskCachedEmbedder())
    fold = {
        g: n % FOLDS
        for n, g in enumerate(sorted({r.group for r in rows}, key=lambda g: hashlib.sha256(g.encode()).digest()))
    }
    scores: dict[int, float] = {}
    for f in range(FOLDS):
        net = train([r for r in rows if fold[r.group] != f], given.epochs, f)
        scores |= worst([net], [r for r in rows if fold[r.group] == f])
    for kind in WEIGHTS:
        good = np.array([p for n, p in scores.items() if cases[n].supported and cases[n].kind == kind])
        bad = np.array([p for n, p in scores.items() if not cases[n].supported and cases[n].kind == kind])
        caught = (bad > np.quantile(good, 0.95)).mean()
        print(f"  folds, {kind}: AUROC {auroc(bad, good):.3f}, caught where 5% of the right ones are lost {caught:.2f}")
    save([train(rows, given.epochs, seed) for seed in range(given.members)])


if __name__ == "__main__":
    main()
