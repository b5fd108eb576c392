"""What surrogates cost in answers: the same questions, with personal data, in clear and behind surrogates.

Every test question of a project begins with a customer who introduces themselves (name, e-mail address, phone number,
address, date of birth, drawn for each question). The arm `rag` answers it twice, with the same passages and the same
model: as it is, and through `Private`, as if the model were elsewhere. The recognizers are those of the product, so a
value that they miss goes as it is and is counted. Answers are scored as in the verdict, paired by question. With more
people, each asks all questions, and the differences between people in clear say what another name alone changes.

    python benchmarks/private_quality.py PROJECT [--questions 120] [--people 1] [--model NAME]

PROJECT has been built. `--model` answers with another model of the catalog. Writes
`benchmarks/results/private_quality.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from itertools import chain, pairwise
from pathlib import Path
from statistics import fmean

from faker import Faker

from inhouse.assembly.arms import Arms, Built
from inhouse.assembly.cascade import model_of
from inhouse.assembly.guard import Parts
from inhouse.assembly.private import EXAMPLE
from inhouse.assembly.workspace import Workspace
from inhouse.chat import ChatRequest, Egress
from inhouse.config.load import load_project
from inhouse.evaluation.compare import Sample
from inhouse.evaluation.evaluate import Answer, Exam, evaluate_arm
from inhouse.evaluation.scorers import Scorer
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.pii import DEFAULT_KINDS, Pii
from inhouse.models.catalog import Catalog
from inhouse.pipeline import stages
from inhouse.privacy.tagger import read_tagger
from inhouse.routing.private import Private, Rules
from inhouse.types import Estimate, Example, Message

SEED = 7
OUT = Path(__file__).parent / "results" / "private_quality.json"


def introduced(example: Example, faker: Faker) -> tuple[Example, list[str]]:
    """The question after an introduction, and the personal values in it."""
    name, mail, phone = faker.name(), faker.email(), faker.numerify("(###) 555-01##")
    street = f"{faker.building_number()} {faker.street_name()}"
    text = f"Hello, I am {name} of {street}. My e-mail is {mail}, my phone number {phone}. {example.question}"
    last = Message(role="user", content=text)
    return example.model_copy(update={"messages": (*example.messages[:-1], last)}), [name, mail, phone, street]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("project", type=Path)
    parser.add_argument("--questions", type=int, default=120)
    parser.add_argument("--people", type=int, default=1)
    parser.add_argument("--model", default="")
    asked = parser.parse_args()
    workspace = Workspace(load_project(asked.project), Catalog())
    project, parts = workspace.project, Parts(workspace, workspace.project)
    built = Built(project, workspace.embedder, workspace.support, stages.weights(workspace),
                  index=stages.index(workspace), fusion=stages.fusion(workspace))  # fmt: skip
    arms = own = Arms(built)
    if asked.model:
        settings = model_of(project, asked.model)
        other = Workspace(project.model_copy(update={"model": settings}).at(project.root), workspace.catalog)
        arms = own.over(settings, stages.weights(other))
    faker = Faker("en_US")
    faker.seed_instance(SEED)
    examples = [e for e in workspace.examples("test") if e.answerable and len(e.messages) == 1]
    random.Random(SEED).shuffle(examples)
    examples = examples[: asked.questions]
    people = [[introduced(e, faker) for e in examples] for _ in range(asked.people)]
    pii = Pii(parts.finder(), read_tagger(TAGGER), DEFAULT_KINDS)
    pii.spans([Message(role="user", content=EXAMPLE)])
    left: list[Egress] = []

    async def record(egress: Egress) -> None:
        left.append(egress)

    private = Private("cloud", arms.base(), None, pii.spans, Rules("surrogates"), b"benchmark" * 4, record)
    missed = 0
    for example, values in chain(*people):
        sent = str(private.leaving(ChatRequest(messages=example.messages), "surrogates").request)
        missed += sum(value in sent for value in values)
    scorer = Scorer(workspace.embedder, workspace.support, [e.target for e in examples])
    answers: dict[str, list[list[Answer]]] = {"clear": [], "surrogates": []}
    with tempfile.TemporaryDirectory() as scratch:
        for n, person in enumerate(people):
            exam = Exam([e for e, _ in person], {e.id: [e.target] for e in examples}, scorer,
                        project.assistant.max_tokens, project.evaluation.timeout_s, project.model.parallel)  # fmt: skip
            for name, model in (("clear", arms.bare("rag")), ("surrogates", arms.bare("rag", private))):
                out = Path(scratch) / f"{name}-{n}.jsonl"
                answers[name].append(asyncio.run(evaluate_arm(model, exam, out, workspace.progress)).answers)
    own.close()
    right = {name: [[a.scores["accuracy"] for a in run] for run in runs] for name, runs in answers.items()}
    by_question = {name: [fmean(row) for row in zip(*runs, strict=True)] for name, runs in right.items()}
    means = {name: fmean(row) for name, row in by_question.items()}
    gain = Sample(SEED).gain(by_question["surrogates"], by_question["clear"])
    chance = [Sample(SEED).gain(b, a) for a, b in pairwise(right["clear"])]
    pairs = [(a, b) for x, y in zip(answers["clear"], answers["surrogates"], strict=True)
             for a, b in zip(x, y, strict=True)]  # fmt: skip
    same = sum(a.text == b.text for a, b in pairs)
    total = 4 * len(pairs)
    result = {
        "questions": len(examples), "people": asked.people, "model": asked.model or project.model.base,
        "accuracy": means, "ratio": means["surrogates"] / means["clear"] if means["clear"] else None, "same_text": same,
        "difference": gain.model_dump() if gain else None, "values": total, "missed": missed,
        "between_people": [c.model_dump() for c in chance if c],
        "pairs": [{"question": e.messages[-1].content, "clear": a.text, "surrogates": b.text,
                   "right": [a.scores["accuracy"], b.scores["accuracy"]]}
                  for (e, _), (a, b) in zip(chain(*people), pairs, strict=True)],
        "replaced": sum(sum(e.replaced.values()) for e in left), "sent": len(left),
    }  # fmt: skip
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(result, indent=1))
    print(f"{len(examples)} questions of {asked.people} people, model {result['model']}")
    for name, value in means.items():
        print(f"  {name:<11} accuracy {100 * value:5.1f}%")
    if gain and result["ratio"]:
        print(f"  surrogates keep {100 * result['ratio']:.1f}%; difference {interval(gain)} points; "
              f"{same} of {len(pairs)} answers word for word the same")  # fmt: skip
    for difference in chance:
        if difference:
            print(f"  the next person in clear, less the one before: {interval(difference)} points")
    print(f"  {missed} of {total} personal values left as they are")


def interval(gain: Estimate) -> str:
    return f"{100 * gain.mean:+.1f} [{100 * gain.low:+.1f}, {100 * gain.high:+.1f}]"


if __name__ == "__main__":
    main()
