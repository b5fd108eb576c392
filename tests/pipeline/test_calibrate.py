from pathlib import Path

import pytest

from inhouse.assembly.guard import Parts
from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.config.sections import Project
from inhouse.evaluation.evaluate import Answer
from inhouse.guardrails.confidence.features import Features
from inhouse.guardrails.confidence.rail import conversation_digest
from inhouse.models.catalog import Catalog
from inhouse.pipeline.calibrate import held_questions, labeled
from inhouse.pipeline.stages import calibrate
from inhouse.types import Document, Example, Message


def features(certainty):
    return Features(**{**dict.fromkeys(Features._fields, 0.0), "certainty": certainty})


def example(name, *said, **more):
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(said))
    return Example(id=name, messages=messages, **{"target": "", **more})


def test_replies_that_decline_or_were_never_given_are_no_answers():
    examples = [example(f"e{n}", f"Question {n}?") for n in range(5)]
    answers = [
        Answer(id="e0", arm="rag", outcome="right"),
        Answer(id="e1", arm="rag", outcome="wrong", declined=True),
        Answer(id="e2", arm="rag", outcome="wrong"),
        Answer(id="e3", arm="rag", outcome="right"),
        Answer(id="e4", arm="rag", outcome="partly"),
    ]
    recorded = [examples[n] for n in (0, 1, 2, 4)]
    rows = {conversation_digest(e.messages): features(int(e.id[1])) for e in recorded}
    assert labeled(examples, answers, rows) == ([features(0), features(2), features(4)], [True, False, True])


def test_a_later_turn_is_found_by_what_the_arm_itself_had_said():
    first = example("a", "What is the fee?", turn=1, group="g")
    second = example("b", "What is the fee?", "It is $5.", "And abroad?", turn=2, group="g")
    answers = [Answer(id="a", arm="rag", text="It is $9."), Answer(id="b", arm="rag", outcome="right")]
    as_asked = example("", "What is the fee?", "It is $9.", "And abroad?").messages
    assert labeled([first, second], answers, {conversation_digest(as_asked): features(1)}) == ([features(1)], [True])


def test_no_held_question_is_asked_in_the_verdict(tmp_path, models_dir):
    parts = Parts(place := Workspace(Project().at(tmp_path)), place.project)
    table = "# Fees\n\n| service | fee |\n|---|---|\n| Wire transfer | $25 |\n| Stop payment | $31 |\n"
    document = Document(source="fees.md", title="Fees", text=table)
    validation = [example("v", "What does a replacement card cost?", target="A replacement card costs $5.")]
    everything = held_questions(parts, validation, [document], ())
    questions = {e.question for e in everything}
    assert {"What does a replacement card cost?", "What is the fee for wire transfer?"} <= questions
    asked = next(e for e in everything if e.question == "What is the fee for wire transfer?")
    left = held_questions(parts, validation, [document], [asked])
    assert {e.question for e in left} == questions - {asked.question}


@pytest.mark.slow
def test_an_arm_with_too_few_answers_says_so_and_holds_nothing_back(built, models_dir):
    workspace = Workspace(load_project(built), Catalog(models_dir.parent))
    artifact = calibrate(workspace)
    assert list(artifact.facts["arms"]) == ["rag", "tuned", "tuned+rag"]
    for arm, facts in artifact.facts["arms"].items():
        assert "too few to calibrate" in facts["reason"]
        assert Parts(workspace, workspace.project, artifact, arm).calibration() is None
        assert (Path(artifact.path) / f"answers-{arm}.jsonl").exists()
