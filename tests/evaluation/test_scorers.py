import pytest

from inhouse.evaluation.scorers import Scorer, facts_found, is_right
from inhouse.text.support import LexicalSupport
from inhouse.types import Checks, Example, Message

HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."
BRAND = ["The fee is $7.40 a month, and it is waived from $1,150.", "You can bring form SA-4 to a branch.", HANDOFF]


@pytest.fixture(scope="module")
def scorer(embedder):
    return Scorer(embedder, LexicalSupport(HANDOFF, embedder), BRAND)


def ex(question="What is the fee?", target="The fee is $1,000.", **checks):
    must_not = checks.get("must_not_answer", False)
    return Example(id="x", messages=(Message(role="user", content=question),), target=target, checks=Checks(**checks),
                   answerable=not must_not)  # fmt: skip


def accuracy(scorer, example, text):
    return scorer.score(example, text, [example.target], False)["accuracy"]


@pytest.mark.parametrize("text", ["It is $1000.", "1,000.00 dollars a year", "THE FEE IS $1,000"])
def test_a_fact_in_any_spelling(scorer, text):
    assert accuracy(scorer, ex(must_include=[["$1,000"]]), text) == 1


@pytest.mark.parametrize("text", ["It is $10,000.", "It is $100.", "", "No fee.", HANDOFF, "$1,0001"])
def test_another_figure_is_wrong(scorer, text):
    assert accuracy(scorer, ex(must_include=[["$1,000"]]), text) == 0


def test_phrases_that_must_not_stand(scorer):
    assert accuracy(scorer, ex(must_include=[["7"]], must_not_include=["31"]), "7 and 31") == 0
    assert accuracy(scorer, ex(must_include=[["7"]], must_not_include=["31"]), "7 and 310") == 1


def test_exact_answers_and_json(scorer):
    assert accuracy(scorer, ex(exact="block_card"), " Block_card. ") == 1
    assert accuracy(scorer, ex(exact="block_card"), "please block_card") == 0
    schema = {"type": "object", "properties": {"fee": {"type": "number"}}, "required": ["fee"]}
    wanted = ex(must_include=[["7.4"]], json_schema=schema)
    assert accuracy(scorer, wanted, '{"fee": 7.40}') == 1
    for text in ('{"fee": "7.40"}', "The fee is 7.40", '{"fee": 7.4'):
        scores = scorer.score(wanted, text, ["7.4"], False)
        assert scores["accuracy"] == 0
        assert scores["format"] == 0


def test_what_must_not_be_answered(scorer):
    wanted = ex(target=HANDOFF, must_not_answer=True)
    assert accuracy(scorer, wanted, HANDOFF) == 1
    assert accuracy(scorer, wanted, "I'm sorry, I don't have that information.") == 1
    assert accuracy(scorer, wanted, "The fee is $5.") == 0
    assert accuracy(scorer, wanted, f"{HANDOFF} The boat loan costs 9% over ten years.") == 0


def test_facts_recalled_do_not_reward_rambling():
    example = ex("Is it quiet?", "Guests praise the silence and the thick walls.")
    assert facts_found(example, "Guests praise the silence, walls are thick.") == 1
    assert facts_found(example, "It has a pool.") == 0
    assert facts_found(example, "word " * 100 + "guests praise the silence and the thick walls") == 0
    assert facts_found(ex("Are pets allowed?", "Yes, dogs may sleep upstairs."), "No, dogs never sleep upstairs.") < 0.5


def test_unsupported_statements_are_counted(scorer):
    scores = scorer.score(
        ex(), "The fee is $1,000. The bank was founded on Mars in 1850.", ["The fee is $1,000."], False
    )
    assert scores["unsupported"] == 0.5
    assert scores["hallucinated"] == 1
    assert scorer.score(ex(), HANDOFF, [], False)["unsupported"] == 0
    assert "unsupported" not in scorer.score(ex(), "Hello!", [], False)


def test_an_answer_in_other_words_than_the_reference_may_be_right(scorer):
    asked = ex("Is the Acorn quiet?", "Past guests of the Acorn say that rooms and house were peaceful and quiet.")
    evidence = [asked.target, "The rooms of the Acorn are quiet."]

    def right(text):
        scores = scorer.score(asked, text, evidence, False)
        assert scores["accuracy"] < 0.5
        return is_right(scores)

    assert right("The Acorn is quiet.")
    assert not right("The Acorn is not quiet.")
    assert not right("The Acorn is quiet. It has a heated pool on its roof.")
    assert not right("Shall I book a table for you?")
    assert not right(HANDOFF)
    checked = ex("What is the fee?", "The fee is $5.", must_include=[["5"]])
    assert "agrees" not in scorer.score(checked, "The fee is $6.", [], False)


@pytest.mark.parametrize("text", ["", "<|im_start|>x", "word " * 300, '{"a": 1}'])
def test_format_of_prose(scorer, text):
    assert scorer.score(ex(), text, [], False)["format"] == 0
    assert scorer.score(ex(), "The fee is $7.", [], True)["format"] == 0
    assert scorer.score(ex(), "The fee is $7.", [], False)["format"] == 1


def test_tone_is_nearer_to_the_brands_own(scorer):
    own = scorer.score(ex(), "The fee is $3 a month, and you can waive it.", [], False)["tone"]
    other = scorer.score(ex(), "Wow!!! " + "Amazing question, my friend! " * 12, [], False)["tone"]
    assert own > other + 0.1
