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
