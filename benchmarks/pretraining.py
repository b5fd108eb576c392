"""What continued pre-training gains: facts without retrieval, on top of retrieval, and what is forgotten, by dose.

    python benchmarks/pretraining.py [--project bank] [--dose base raw-1 raw-5 rewritten-1 rewritten-5 rewritten-20]
                                     [--base MODEL] [--documents N] [--questions N] [--rank N] [--batch TOKENS]
                                     [--closed] [--data FOLDER] [--out FOLDER]

A dose is a wording and an amount: raw-5 reads the documents five times, rewritten-5 reads as many tokens of their text
and its rewrites, so doses of the same number are equal in tokens. rewritten-1 reads rewrites alone. General text and
chats come on top, in the shares of the settings. Every dose answers the same questions without passages (closed book)
and with them (rag), which come from all documents, also those that were not learned:

- `facts` are made from the documents that were learned: the share of the figures of the document's answer that is in
  the model's;
- `people` are questions of people about these documents, scored as in the verdict.

Projects: `bank` and `concierge` of the public data (698 and 143 documents; the bank has no questions of people), and
`example`, examples/first_national_bank. `--documents N` learns a random sample; `--batch` is the optimizer's step,
which a small sample needs small. `--closed` asks nothing with passages, whose prompts take most of the time. Each dose
runs alone: its figures are kept in benchmarks/results/pretraining.json, and the table has all that were measured with
the same settings. A dose that is interrupted goes on in --out. On two quiet cores the 135M base reads about 290 tokens
a second.
"""

import argparse
import asyncio
import json
import math
import random
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from inhouse.assembly.arms import Arms
from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.config.pretraining import Pretraining
from inhouse.datasets.conversations import read_tests
from inhouse.datasets.synthesize import from_documents
from inhouse.evaluation import forgetting
from inhouse.evaluation.compare import Sample
from inhouse.evaluation.evaluate import Answer, Exam, evaluate_arm
from inhouse.evaluation.scorers import Scorer
from inhouse.files import write_text
from inhouse.models.catalog import WEIGHTS
from inhouse.models.llama import LlamaEngine
from inhouse.pipeline import stages
from inhouse.pipeline.evaluate import _general
from inhouse.pipeline.opened import built_of
from inhouse.pipeline.pretrain import CHATS, chats, general_texts, job_of, parts_of, rewritten
from inhouse.text.numbers import figures
from inhouse.training import gguf, pretrain
from inhouse.types import Document, Example
from inhouse.verdict import points

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "pretraining.json"
EXAMPLE = HERE.parent / "examples" / "first_national_bank"
DATA = HERE.parent.parent / "shared" / "data"
DOSES = ("base", "raw-1", "raw-5", "rewritten-1", "rewritten-5", "rewritten-20")
PATIENT_S = 3600.0  # for an answer: on a busy machine it is late, not wrong
SETTINGS = """
name = "{name}"
[documents]
path = "{folder}/documents"
{access}
[curation]
conversations = []
[assistant]
instructions = "You answer customers' questions about {name}. Answer in one or two sentences."
max_tokens = 64
[model]
base = "{base}"
[training]
max_minutes = 0
[pretraining]
rank = {rank}
alpha = {rank}
batch_tokens = {batch}
[evaluation]
arms = ["base", "rag"]
probes = 0
[guardrails]
rails = []
"""
STAFF = '[[documents.access]]\nfolder = "staff"\ngroups = ["staff"]'


def opened(given: argparse.Namespace, out: Path) -> Workspace:
    example = given.project == "example"
    folder = (EXAMPLE if example else given.data / given.project).resolve()
    if not folder.is_dir():
        raise SystemExit(f"{folder}: no such folder; name the public data by --data")
    text = SETTINGS.format(
        name=given.project, folder=folder, access=STAFF if example else "", base=given.base, rank=given.rank,
        batch=given.batch,
    )  # fmt: skip
    write_text(out / "inhouse.toml", text)
    return Workspace(load_project(out))


def asked(given: argparse.Namespace, learned: list[Document]) -> tuple[list[Example], list[Example]]:
    """Questions of people about the documents, and questions made from them whose answers have figures."""
    files = {"example": EXAMPLE / "tests.jsonl", "concierge": given.data / "concierge" / "dev.jsonl"}
    said = read_tests([files[given.project]], {})[0] if given.project in files else []
    said = [e for e in said if e.answerable and e.target]
    known = {d.source for d in learned}
    people = [e for e in said if e.sources and {s.document for s in e.sources} <= known] or said
    made = [e for e in from_documents(learned).pairs if figures(e.target)]
    rng = random.Random(7)
    one, other = (rng.sample(some, min(given.questions, len(some))) for some in (people, made))
    return one, other


def trained(workspace: Workspace, documents: list, dose: str, out: Path) -> tuple[Path, dict]:
    """The weights after a dose, and what the training says."""
    wording, _, times = dose.partition("-")
    served = Path(stages.weights(workspace).path) / WEIGHTS
    if dose == "base":
        return served, {}
    work = out / dose
    work.mkdir(parents=True, exist_ok=True)
    if (work / "facts.json").is_file():
        return work / WEIGHTS, json.loads((work / "facts.json").read_text())
    parts = parts_of(documents)
    count = max(int(times), 2) if wording == "rewritten" else 0
    more = workspace.project.pretraining.model_copy(update={"rewrites": 20})
    own = replace(workspace, project=workspace.project.model_copy(update={"pretraining": more}).at(out))
    every, _ = rewritten(own, parts)  # the same twenty for all doses, so that what is held out is the same
    with closing(LlamaEngine(served, workspace.project.model)) as engine:
        chat = asyncio.run(chats(engine.model("base"), CHATS, workspace.project.model.parallel, workspace.progress))
    whole = job_of(workspace, parts, every, general_texts([]), chat)
    raw = [p.raw for p in parts]
    held = set(whole.held.domain)
    texts = [t for texts in every for t in texts[:count] if t not in held]
    domain = raw if wording == "raw" else texts if times == "1" else raw + texts
    tokenizer, _ = pretrain.sft.load(workspace.base)
    size = sum(len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in raw)
    job = whole.model_copy(update={"domain": tuple(domain), "tokens": int(times) * size})
    facts = pretrain.train(job, work, workspace.progress)
    base = workspace.base_gguf or served
    gguf.merge(work / "adapter", base, work / WEIGHTS, "q8_0")
    write_text(work / "facts.json", json.dumps(facts))
    return work / WEIGHTS, facts


def measured(workspace: Workspace, given: argparse.Namespace, learned: list[Document], dose: str, out: Path) -> dict:
    weights, facts = trained(workspace, learned, dose, out)
    people, made = asked(given, learned)
    project, started = workspace.project, time.monotonic()
    arms = Arms(built_of(workspace, stages.weights(workspace), None, None, stages.index(workspace), None))
    answers = out / "answers" / dose
    answers.mkdir(parents=True, exist_ok=True)

    def run(arm: str, examples: list[Example], name: str) -> list[Answer]:
        if not examples:
            return []
        scorer = Scorer(workspace.embedder, workspace.support, [e.target for e in examples])
        evidence = {e.id: [e.target] for e in examples}
        exam = Exam(examples, evidence, scorer, project.assistant.max_tokens, PATIENT_S, project.model.parallel)
        file = answers / f"{name}.jsonl"
        return list(asyncio.run(evaluate_arm(arms.bare(arm, model), exam, file, workspace.progress)).answers)

    def right(arm: str, name: str) -> list[float]:
        answered = run(arm, made, name)
        wanted = [figures(e.target) for e in made]
        return [len(own & figures(a.text)) / len(own) for own, a in zip(wanted, answered, strict=True)]

    with closing(LlamaEngine(weights, project.model)) as engine:
        model = engine.model(dose)
        said = {"people": run("tuned", people, "people")}
        rows = {"facts": right("tuned", "facts")}
        if not given.closed:
            said["people_rag"] = run("rag", people, "people-rag")
            rows["facts_rag"] = right("rag", "facts-rag")
        rows["general"] = asyncio.run(_general(model, project.model.parallel, workspace.progress))
    arms.close()
    rows |= {name: [a.scores.get("accuracy", math.nan) for a in own] for name, own in said.items()}
    wanted = ("domain_tokens", "general_tokens", "chat_tokens", "training_seconds", "bits_per_byte_before",
              "bits_per_byte_after", "steps", "fill", "stopped")  # fmt: skip
    return {
        "rows": rows,
        "answer_seconds": round(time.monotonic() - started),
        **{k: facts[k] for k in wanted if k in facts},
    }


def show(doses: dict[str, dict]) -> None:
    base = doses.get("base")
    widths = {"facts": 28, "facts, rag": 28, "people": 28, "people, rag": 28, "general": 28, "bpb domain": 18,
              "bpb general": 18}  # fmt: skip
    print(f"{'dose':<14}{'tokens':>9}" + "".join(f"{name:>{width}}" for name, width in widths.items()))
    for dose in sorted(doses, key=lambda d: DOSES.index(d) if d in DOSES else 99):
        own = doses[dose]
        cells = []
        for name in ("facts", "facts_rag", "people", "people_rag", "general"):
            values = [v for v in own["rows"].get(name, ()) if not math.isnan(v)]
            if not values:
                cells.append("-")
                continue
            cell = f"{100 * sum(values) / len(values):.1f}"
            if base and dose != "base" and base["rows"].get(name):
                gain = Sample(7).gain(own["rows"][name], base["rows"][name])
                cell += f" ({points(gain)})" if gain else ""
            cells.append(cell)
        for name in ("domain", "general"):
            before, after = own.get("bits_per_byte_before", {}), own.get("bits_per_byte_after", {})
            cells.append(f"{before[name]:.3f} > {after[name]:.3f}" if name in after else "")
        row = "".join(f"{c:>{w}}" for c, w in zip(cells, widths.values(), strict=True))
        print(f"{dose:<14}{own.get('domain_tokens', 0):>9}{row}")
        if dose != "base" and base and "general" in own.get("bits_per_byte_after", {}):
            effect = forgetting.effect(own, (base["rows"]["general"], own["rows"]["general"]), Pretraining(), 7)
            print(f"{'':<14}{effect.forgets or 'may be promoted'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", choices=("bank", "concierge", "example"), default="bank")
    parser.add_argument("--dose", nargs="+", default=list(DOSES), help="such as raw-5 or rewritten-20")
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--documents", type=int, default=0, help="how many are learned, drawn at random; 0 for all")
    parser.add_argument("--questions", type=int, default=100, help="of each sort, at most")
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4096, help="tokens per optimizer step")
    parser.add_argument("--closed", action="store_true", help="nothing is asked with passages")
    parser.add_argument("--data", type=Path, default=DATA, help="the public data")
    parser.add_argument("--out", type=Path, default=HERE.parent / ".scratch" / "pretraining")
    given = parser.parse_args()
    size = f"documents={given.documents} questions={given.questions} rank={given.rank} batch={given.batch}"
    name = f"{given.project} {given.base} {size}"
    out = given.out.resolve() / name.replace(" ", "-").replace("/", "-")
    out.mkdir(parents=True, exist_ok=True)
    workspace = opened(given, out)
    learned = [d for d in workspace.documents(stages.ingest(workspace)) if not d.access]
    learned = random.Random(7).sample(learned, min(given.documents or len(learned), len(learned)))
    for dose in given.dose:
        found = measured(workspace, given, learned, dose, out)
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
        kept.setdefault(name, {})[dose] = found
        RESULTS.parent.mkdir(exist_ok=True)
        write_text(RESULTS, json.dumps(kept, indent=1))
        show(kept[name])


if __name__ == "__main__":
    main()
