from inhouse.evaluation.evaluate import Answer, ArmRun
from inhouse.evaluation.untouched import feedback_effects, lost, touched
from inhouse.types import Example, Message


def example(text):
    return Example(id=text, messages=(Message(role="user", content=text),), target="x")


def run(*accuracy):
    return ArmRun([Answer(id=str(n), arm="a", scores={"accuracy": a}) for n, a in enumerate(accuracy)], 1.0)


def test_a_question_like_one_with_feedback_is_touched(embedder):
    examples = [example("How much does a wire transfer cost?"), example("Do you sell boats?")]
    assert touched(examples, ["What does a wire transfer cost?"], embedder, 0.75) == [True, False]
    assert touched(examples, [], embedder, 0.75) == [False, False]


def test_changes_are_apart_for_questions_with_and_without_feedback():
    runs = {"tuned+rag": run(0, 0, 1, 1, 1), "tuned+feedback+rag": run(1, 1, 1, 0, 1), "tuned": run(0, 0, 0, 0, 0)}
    (effect,) = feedback_effects(runs, [True, True, False, False, False], 7)
    assert (effect.arm, effect.over, effect.touched, effect.untouched) == ("tuned+feedback+rag", "tuned+rag", 2, 3)
    assert effect.touched_change.mean == 1
    assert round(effect.untouched_change.mean, 3) == -0.333
    assert effect.sentence == (
        "tuned+feedback+rag over tuned+rag: +100.0 [+100.0, +100.0] points on 2 questions like those with feedback, "
        "-33.3 [-100.0, +0.0] points on 3 questions without feedback."
    )
    (all_touched,) = feedback_effects(runs, [True] * 5, 7)
    assert all_touched.untouched_change is None
    arm = effect.arm
    assert lost(arm, [effect], 0.4) == ""
    assert lost(arm, [effect], 0.3).startswith("accuracy on 3 questions without feedback: -33.3")
    assert "nothing shows what others lost" in lost(arm, [all_touched], 1)
    assert lost(arm, [], 1).endswith("was not measured: add tuned+rag to evaluation.arms")
