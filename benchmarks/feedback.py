"""What learning from feedback gains: 100 corrections and 300 thumbs, simulated, on a bank and a concierge.

    python benchmarks/feedback.py [--projects bank concierge] [--base MODEL] [--learned N] [--live N] [--minutes N]
                                  [--questions N] [--data FOLDER] [--out FOLDER] [--toy]

A model is fine-tuned on half of the conversations and answers questions of the other half, with passages. A judge that
knows the right answers (the scorer of the verdict, against each question's reference) gives the feedback: the first
100 wrong answers are corrected, and 300 others get a thumb, of which 5% are the wrong way round. Thumbs go through the
audit log of a real ledger, corrections through a file of preferences: as replies in the inbox they would also teach the
model that is compared with. Then the stage `feedback` learns, and the verdict asks `tuned+rag` and
`tuned+feedback+rag` the same test questions, of which nothing that was learned from is one.

The bank is examples/first_national_bank; the concierge is read from the public data and left out where it is missing.
Takes about 25 minutes a project on two quiet cores; `--learned`, `--live`, `--minutes` (of each training; 0 for no
limit, where other programs run), and `--questions` make it smaller. `--toy` takes 5 minutes and shows nothing but that
it runs. Results go to benchmarks/results/feedback.json.
"""

import argparse
import asyncio
import json
import random
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from inhouse.assembly.arms import Arms
from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.config.load import load_project
from inhouse.datasets.conversations import read_conversations
from inhouse.datasets.synthesize import from_documents
from inhouse.evaluation.evaluate import Exam, evaluate_arm
from inhouse.evaluation.scorers import Scorer, is_right
from inhouse.files import write_text
from inhouse.pipeline import stages
from inhouse.pipeline.opened import built_of
from inhouse.types import Example, digest_of
from inhouse.verdict import Report, points

HERE = Path(__file__).parent
BANK = HERE.parent / "examples" / "first_national_bank"
DATA = HERE.parent.parent / "shared" / "data"
ARM, OVER = "tuned+feedback+rag", "tuned+rag"
WRONG_WAY = 0.05  # of thumbs
SETTINGS = """
name = "{name}"
[documents]
path = "{documents}"
{access}
[curation]
conversations = ["train.jsonl"]
tests = ["tests.jsonl"]
synthesize = false
[assistant]
instructions = "{instructions}"
max_tokens = {tokens}
[model]
base = "{base}"
[training]
max_minutes = {minutes}
[feedback]
preferences = ["corrections.jsonl"]
[evaluation]
arms = ["base", "{over}", "{arm}"]
timeout_s = 3600
max_questions = {questions}
probes = 0
[guardrails]
rails = []
"""
STAFF = '[[documents.access]]\nfolder = "staff"\ngroups = ["staff"]'


def rows(file: Path) -> list[dict]:
    """The lines that are rows; the example has some that are not, on purpose."""
    found = []
    for line in file.read_text(encoding="utf-8").split("\n"):
        with suppress(ValueError):
            row = json.loads(line)
            found += [row] if isinstance(row, dict) else []
    return found


def write(file: Path, lines: list[dict]) -> None:
    write_text(file, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))


def first_half(row: dict) -> bool:
    """Whether a conversation is learned from at first; the others come in as questions of users."""
    return int(digest_of([row.get("group") or row["id"]])[:4], 16) % 2 == 0


def prepared(name: str, folder: Path, size: dict, data: Path) -> tuple[Workspace, list[Example]]:
    """A project, and the questions of its users with the right answers."""
    if name == "bank":
        said, tests = (
            rows(BANK / "conversations.jsonl"),
            [*rows(BANK / "tests.jsonl"), *rows(BANK / "test_conversations.jsonl")],
        )
        documents, access, instructions = (
            BANK / "documents",
            STAFF,
            "You answer customers of First National Bank. Use only the facts given. Answer in one or two sentences.",
        )
    else:
        said = [r for r in rows(data / "conversations.jsonl") if r["needs_knowledge"]]
        tests = [r for r in rows(data / "dev.jsonl") if r["needs_knowledge"]]
        documents, access, instructions = (
            data / "documents",
            "",
            "You answer travelers' questions. Use only the facts given. Answer in one or two sentences.",
        )
    random.Random(7).shuffle(said)
    said = [{**row, "id": str(row.get("id") or digest_of(row)[:12])} for row in said]
    write(folder / "train.jsonl", [r for r in said if first_half(r)][: size["learned"]])
    write(folder / "tests.jsonl", tests)
    write(folder / "live.jsonl", [r for r in said if not first_half(r)])
    write(folder / "corrections.jsonl", [])
    text = SETTINGS.format(
        name=name,
        documents=documents.resolve(),
        access=access,
        instructions=instructions,
        arm=ARM,
        over=OVER,
        **size["settings"],
    )
    write_text(folder / "inhouse.toml", text)
    workspace = Workspace(load_project(folder))
    live, _ = read_conversations([folder / "live.jsonl"], {})
    read = [d for d in workspace.documents(stages.ingest(workspace)) if not d.access]
    live += from_documents(read).pairs if name == "bank" else []
    random.Random(8).shuffle(live)
    return workspace, [e for e in live if e.target and e.answerable][: size["live"]]


def answered(workspace: Workspace, live: list[Example], folder: Path) -> list[tuple[Example, str, bool]]:
    """What the fine-tuned model answers, and whether the judge takes it for right."""
    made = (stages.weights(workspace), stages.train(workspace), None, stages.index(workspace), stages.fusion(workspace))
    project, evidence = workspace.project, {e.id: [e.target] for e in live}
    scorer = Scorer(workspace.embedder, workspace.support, [e.target for e in live])
    exam = Exam(
        live, evidence, scorer, project.assistant.max_tokens, project.evaluation.timeout_s, project.model.parallel
    )
    arms = Arms(built_of(workspace, *made))
    try:
        run = asyncio.run(evaluate_arm(arms.bare(OVER), exam, folder / "answers-live.jsonl", workspace.progress))
    finally:
        arms.close()
    return [(e, a.text, is_right(a.scores)) for e, a in zip(live, run.answers, strict=True) if not a.failed and a.text]


def give_feedback(workspace: Workspace, given: list[tuple[Example, str, bool]], size: dict) -> dict[str, int]:
    """Writes corrections into the project's file, and thumbs into its ledger."""
    from inhouse.store.audit import Audit
    from inhouse.store.feedback import Feedback

    for file in workspace.store.root.glob("ledger.sqlite*"):
        file.unlink()  # of a run that was interrupted
    wrong = [(e, text) for e, text, right in given if not right][: size["corrections"]]
    corrected = {e.id for e, _ in wrong}
    write(
        workspace.project.path("corrections.jsonl"),
        [
            {
                "id": e.id,
                "messages": [m.to_openai() for m in e.messages],
                "chosen": [{"role": "assistant", "content": e.target}],
                "rejected": [{"role": "assistant", "content": text}],
            }
            for e, text in wrong
        ],
    )
    rated = [(e, text, right) for e, text, right in given if e.id not in corrected][: size["thumbs"]]
    rng, up = random.Random(9), 0
    with workspace.ledger() as ledger:
        audit, feedback = Audit(ledger), Feedback(ledger)
        for n, (e, text, right) in enumerate(rated):
            exchange = Exchange(
                id=f"x{n}",
                at="2026-11-01T10:00:00Z",
                user=f"u{n}",
                key="k",
                model="custom",
                release="r/1",
                arm=OVER,
                messages=e.messages,
                answer=text,
                reason="stop",
            )
            asyncio.run(audit.append(exchange))
            thumb = right != (rng.random() < WRONG_WAY)
            up += thumb
            feedback.add(exchange.id, exchange.user, 1 if thumb else -1)
        audit.close()
    return {
        "asked": len(given),
        "right": sum(right for *_, right in given),
        "corrections": len(wrong),
        "thumbs": len(rated),
        "up": up,
    }


def measured(name: str, folder: Path, size: dict, data: Path) -> dict:
    started = time.perf_counter()
    workspace, live = prepared(name, folder, size, data)
    said = give_feedback(workspace, answered(workspace, live, folder), size)
    print(f"{name}: {said}", flush=True)
    fresh = Workspace(load_project(folder))
    verdict = stages.evaluate(fresh)
    report = Report.read(Path(verdict.path))
    learned = stages.feedback(fresh).facts
    effect = next(e for e in report.feedback if e.arm == ARM)
    gain = report.gain(ARM, "accuracy", OVER)
    print(f"  {report.questions} test questions; kept: {learned['kept']}; left out: {learned['left_out']}")
    for tried, scores in learned["tried"].items():
        held, others = scores["feedback"], scores["others"]
        shown = [f"{s['accuracy']:.3f} of {s['questions']}" if s["questions"] else "none" for s in (held, others)]
        print(f"  {tried:<12} held-out feedback {shown[0]:<14} others {shown[1]:<14} words {scores['answer_words']}")
    for arm, row in report.arms.items():
        shares = [100 * row.metrics[m].mean for m in ("accuracy", "wrong")]
        print(f"  {arm:<20} accuracy {shares[0]:5.1f}  wrong {shares[1]:5.1f}")
    print(f"  {ARM} over {OVER}: {points(gain)} points")
    for what, count, change in (
        ("touched", effect.touched, effect.touched_change),
        ("untouched", effect.untouched, effect.untouched_change),
    ):
        print(f"    {what}: {count} questions, {points(change) if change else 'none'}")
    return {
        **said,
        "questions": report.questions,
        "kept": learned["kept"],
        "tried": learned["tried"],
        "left_out": learned["left_out"],
        "accuracy": {arm: row.metrics["accuracy"].model_dump() for arm, row in report.arms.items()},
        "gain": gain.model_dump(),
        "effect": effect.model_dump(),
        "seconds": round(time.perf_counter() - started),
    }


FULL = {
    "learned": 10_000,
    "live": 480,
    "corrections": 100,
    "thumbs": 300,
    "settings": {"minutes": 3, "questions": 300, "tokens": 80},
}
TOY = {
    "learned": 16,
    "live": 30,
    "corrections": 14,
    "thumbs": 14,
    "settings": {"minutes": 0.3, "questions": 6, "tokens": 8},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--projects", nargs="*", default=["bank", "concierge"], choices=["bank", "concierge"])
    parser.add_argument("--out", type=Path, help="folder to keep the projects in; a second run continues there")
    parser.add_argument("--base", default="smollm2-135m-instruct", help="the base model: a name, a folder, or a file")
    parser.add_argument("--toy", action="store_true", help="a few questions and seconds, to see that it runs")
    parser.add_argument("--learned", type=int, default=10_000, help="conversations that are learned at first, at most")
    parser.add_argument("--live", type=int, default=480, help="questions of users that are answered and judged")
    parser.add_argument("--minutes", type=float, default=3, help="of each training, at most")
    parser.add_argument("--questions", type=int, default=300, help="of the verdict, at most")
    parser.add_argument("--data", type=Path, default=DATA, help="the public data")
    options = parser.parse_args()
    results, size = {}, TOY if options.toy else FULL | {"live": options.live, "learned": options.learned}
    if not options.toy:
        size["settings"] |= {"minutes": options.minutes, "questions": options.questions}
    size["settings"]["base"] = options.base
    concierge = options.data / "concierge"
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.projects:
            if name == "concierge" and not concierge.is_dir():
                print(f"concierge: left out, as there is no {concierge}")
                continue
            folder = (options.out or Path(scratch)) / name
            folder.mkdir(parents=True, exist_ok=True)
            results[name] = measured(name, folder, size, concierge)
    if not options.toy:
        out = HERE / "results" / "feedback.json"
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
