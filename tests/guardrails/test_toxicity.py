import pytest

from inhouse.guardrails import toxicity
from inhouse.guardrails.toxicity import Toxicity


@pytest.mark.parametrize(
    ("text", "toxic"),
    [
        ("You are a fucking idiot and everyone hates you", True),
        ("My card was declined twice, that is annoying", False),
        ("", False),
    ],
)
def test_toxicity(cached, turn, text, toxic):
    assert bool(Toxicity(cached, toxicity.shipped()).check("input", text, turn("x"))) is toxic


@pytest.mark.parametrize(
    "text",
    [
        "The answer is no.", "How many people?", "The bathrooms are clean.", "The bathrooms are not clean.", "It is false.",
        "Walk to the second traffic light.", "No, it does not.", "None of them are.", "The guests did not complain.",
        "There are no dogs.", "I don't know.", "That is not right.", "The kitchen is closed.", "Women pay nothing.",
        "The room was dirty.", "It costs nothing.", "You cannot bring pets.", "He was not there.",
        "Forward it to abuse@alderfalls.example and delete it.",
    ],
)  # fmt: skip
def test_plain_sentences_and_negations_pass(cached, turn, text):
    assert Toxicity(cached, toxicity.shipped()).check("output", text, turn("x")) is None


@pytest.mark.parametrize("text", ["You are a stupid loser, shut up.", "Go to hell, you piece of shit!"])
def test_insults_are_reported(cached, turn, text):
    assert Toxicity(cached, toxicity.shipped()).check("input", text, turn("x"))
