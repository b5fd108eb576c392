"""STAR's next action, given the conversation as it was: one big prompt against the state machine, same weights.

Arms: `one-prompt`, the procedure's graph and replies in the prompt, the model picks any of its actions; `code`, the
usual next action of the machine, without a model; `procedure`, the model chooses among what may follow; `head`, the
same choice by a linear classifier over embeddings, learned from other dialogues; `tuned`, the same choice by the model
with an adapter learned from other dialogues. Dialogues whose ID has an even checksum are for learning, the others for
tests.
"""

import json
import random
import shutil
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
from small_models import RESULTS, kept, opened
from star_flow import DATA, decisions, flows

from inhouse.evaluation.compare import Sample
from inhouse.types import Message

ALL = """You are an assistant that follows a procedure. You say one of its replies, or call its tool.

Actions and what they say:
{replies}

Which action usually follows which:
{graph}

Answer with the name of the action that comes next."""
CHOICE = """You choose what an assistant does next. Answer with the name of an action.
Do not ask for what the user has said already."""
LAST_TURNS = 4  # of the conversation that the procedure's understanding reads
MOST_CHOICES = 5  # of the actions that may follow
MOST_TURNS = 60  # of the conversation in the big prompt
WHO = {"user": "User", "assistant": "Assistant", "tool": "Tool"}


def is_learned(decision):
    return zlib.crc32(decision.dialogue.encode()) % 2 == 0


def spoken(history, most, chars=200):
    lines = []
    for who, text, action in history[-most:]:
        named = f"{WHO[who]} ({action})" if action else WHO[who]
        lines.append(f"{named}: {text[:chars]}")
    return "\n".join(lines) or "(the conversation begins)"


def answer_schema(labels):
    return {"enum": list(labels)}


def one_prompt(chooser, flow, decision):
    replies = "\n".join(f"{name}: {text}" for name, text in flow.labels.items())
    graph = "\n".join(f"{a} -> {b}" for a, b in flow.graph.items())
    said = spoken(decision.history, MOST_TURNS, 160)
    value, _ = chooser.json(ALL.format(replies=replies, graph=graph), said, answer_schema(flow.labels), 40)
    return value


def choice_prompt(flow, history, choices):
    """What the model sees where the machine lets it choose."""
    options = "\n".join(f"{name}: {flow.labels[name][:70]}" for name in choices)
    return f"{spoken(history, LAST_TURNS, 120)}\n\nActions:\n{options}"


def procedure(chooser, flow, decision):
    if known := flow.decided(decision.history):
        return known
    choices = flow.choices(decision.history)[:MOST_CHOICES]
    value, _ = chooser.json(CHOICE, choice_prompt(flow, decision.history, choices), answer_schema(choices), 40)
    return value


def code(_, flow, decision):
    return flow.decided(decision.history) or flow.choices(decision.history)[0]


class Head:
    """A linear classifier of the actions over the embedding of the user's last message and the machine's position."""

    def __init__(self, procedures, learned):
        from sklearn.linear_model import LogisticRegression

        from inhouse.models.catalog import Catalog
        from inhouse.models.embed import OnnxEmbedder

        self._embedder = OnnxEmbedder(Catalog().find("minilm-l6-v2", Path()))
        self._procedures, self._models, self._positions = procedures, {}, {}
        by = defaultdict(list)
        for decision in learned:
            if not procedures[decision.task].decided(decision.history):
                by[decision.task].append(decision)
        for task, ones in by.items():
            names = sorted({n for d in ones for n in self._names(d)})
            self._positions[task] = {name: n for n, name in enumerate(names)}
            model = LogisticRegression(C=1.0, tol=1e-3, max_iter=400)
            labels = [d.label for d in ones]
            self._models[task] = model.fit(self._features(task, ones), labels)

    def _names(self, decision):
        flow = self._procedures[decision.task]
        done = [a for _, _, a in decision.history if a]
        return [f"last {done[-1] if done else ''}", f"usual {flow.choices(decision.history)[0]}",
                *(f"done {a}" for a in dict.fromkeys(done))]  # fmt: skip

    def _features(self, task, ones):
        positions = self._positions[task]
        places = np.zeros((len(ones), len(positions)), np.float32)
        for row, decision in zip(places, ones, strict=True):
            row[[positions[n] for n in self._names(decision) if n in positions]] = 1
        said = [next((t for w, t, _ in reversed(d.history) if w == "user"), "") or "-" for d in ones]
        return np.hstack([3 * self._embedder.embed(said), places])

    def __call__(self, _, flow, decision):
        if known := flow.decided(decision.history):
            return known
        choices = flow.choices(decision.history)
        model = self._models[decision.task]
        scores = dict(
            zip(model.classes_, model.predict_proba(self._features(decision.task, [decision]))[0], strict=True)
        )
        return max(choices, key=lambda name: scores.get(name, 0.0))


def training_rows(procedures, learned, most):
    """Decisions that the model takes, as rows for the trainer: the prompt of `procedure`, and the action as JSON."""
    from inhouse.training.rows import Row

    rows = []
    for decision in learned:
        flow = procedures[decision.task]
        choices = flow.choices(decision.history)[:MOST_CHOICES]
        if decision.label in choices and not flow.decided(decision.history):
            shown = choice_prompt(flow, decision.history, choices)
            messages = (Message(role="system", content=CHOICE), Message(role="user", content=shown))
            rows.append(Row(messages=messages, target=json.dumps(decision.label), kind="acting"))
    random.Random(7).shuffle(rows)
    return rows[:most]


def tuned(procedures, learned, most, work, minutes):
    """Trains an adapter of the default model; its GGUF file."""
    from small_models import MODELS

    from inhouse.config.sections import Training
    from inhouse.models.catalog import Catalog
    from inhouse.training.gguf import adapter_to_gguf
    from inhouse.training.job import TrainingJob
    from inhouse.training.local import train
    from inhouse.types import Silent

    rows = training_rows(procedures, learned, most + 24)
    settings = Training(epochs=1, batch_size=8, patience=1000, max_minutes=minutes)
    base = Catalog().find(MODELS["135M"], Path())
    job = TrainingJob(rows=tuple(rows[24:]), validation=tuple(rows[:24]), base=base, name=MODELS["135M"],
                      settings=settings, seed=7)  # fmt: skip
    facts = train(job, work, Silent())
    print(f"trained: {facts}", flush=True)
    file = work / "adapter.gguf"
    adapter_to_gguf(work / "adapter", base / "model.gguf", file)
    return file


def sample(all_decisions, most):
    """All decisions of some test dialogues, at least so many, always the same ones first; those of one task stand
    together, so that the engine processes the beginning of a prompt once."""
    by = defaultdict(list)
    for decision in all_decisions:
        if not is_learned(decision):
            by[decision.dialogue, decision.task].append(decision)
    names, tests = sorted(by), []
    random.Random(7).shuffle(names)
    for name in names:
        if len(tests) >= most:
            break
        tests += by[name]
    return sorted(tests, key=lambda d: d.task)


def answered(arms, chooser, procedures, tests, size):
    """By arm, what was answered right, and calls and seconds of the model. Answers are kept as they come: a run that
    was stopped goes on, and delete the file to ask again."""
    right, calls = {name: [] for name in arms}, {}
    RESULTS.mkdir(exist_ok=True)
    for name, arm in arms.items():
        file = RESULTS / f"agents_star_{size}_{name}.jsonl"
        rows = map(json.loads, file.read_text().splitlines()) if chooser and file.is_file() else ()
        known = {row["id"]: row for row in rows}
        for n, decision in enumerate(tests, 1):
            if decision.id not in known:
                before = (chooser.calls, chooser.seconds) if chooser else (0, 0)
                given = arm(chooser, procedures[decision.task], decision)
                spent = (chooser.calls - before[0], chooser.seconds - before[1]) if chooser else (0, 0)
                row = {"id": decision.id, "given": given, "calls": spent[0], "seconds": spent[1]}
                known[decision.id] = row
                if chooser:
                    with file.open("a") as out:
                        out.write(json.dumps(row) + "\n")
            right[name].append(float(known[decision.id]["given"] == decision.label))
            if n % 20 == 0 and chooser:
                print(f"  {name} {n} of {len(tests)}: {sum(right[name]) / n:.3f}", flush=True)
        calls[name] = sum(known[d.id]["calls"] for d in tests)
        calls[f"{name} s"] = round(sum(known[d.id]["seconds"] for d in tests), 1)
    return right, calls


def told(size, tests, right, calls):
    """Prints a table and returns it."""
    compare, table = Sample(7, [d.dialogue for d in tests]), {}
    for name, scores in right.items():
        found = compare.estimate(scores)
        table[name] = found.model_dump()
        asked = f"{calls.get(name, 0)} calls, {calls.get(f'{name} s', 0)} s"
        print(f"{size:6}{name:12} n {found.n:4}  {percent(found)} %  {asked}")
    for name in right:
        if name != "one-prompt" and "one-prompt" in right:
            gain = compare.gain(right[name], right["one-prompt"])
            table[f"{name} - one-prompt"] = gain.model_dump()
            print(f"{size:6}{name} - one-prompt: {percent(gain)} points", flush=True)
    return table


def percent(found):
    return f"{100 * found.mean:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def train(most, minutes, work=RESULTS / "star_adapter"):
    procedures = flows()
    every, _ = decisions(procedures)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    print(tuned(procedures, [d for d in every if is_learned(d)], most, work, minutes))


def run(sizes, most, names):
    if not DATA.is_dir():
        print(f"{DATA} is missing: skipped")
        return
    procedures = flows()
    every, unknown = decisions(procedures)
    learned, tests = [d for d in every if is_learned(d)], sample(every, most)
    dialogues = len({d.dialogue for d in tests})
    print(
        f"{len(every)} decisions with a label of their procedure, {unknown} without; {len(tests)} of {dialogues} tests"
    )
    free = {"code": code} if "code" in names else {}
    if "head" in names:
        free["head"] = Head(procedures, learned)
    for size in sizes:
        right, calls = answered(free, None, procedures, tests, size)
        asking = {name: arm for name, arm in (("one-prompt", one_prompt), ("procedure", procedure)) if name in names}
        if size != "none" and asking:
            with opened(size, 3072) as chooser:
                more, counted = answered(asking, chooser, procedures, tests, size)
            right, calls = right | more, calls | counted
        if "tuned" in names:
            with opened(size, 3072, RESULTS / "star_adapter" / "adapter.gguf") as chooser:
                more, counted = answered({"tuned": procedure}, chooser, procedures, tests, size)
            right, calls = right | more, calls | counted
        kept(f"agents_star_{size}.json", {"table": told(size, tests, right, calls), "calls": calls, "right": right,
                                          "ids": [d.id for d in tests]})  # fmt: skip
