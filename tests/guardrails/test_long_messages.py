"""Rails take linear time on the longest messages, whatever these hold: they run while others wait for their answers."""

import pytest
from worst_cases import repeated, slow

from inhouse.guardrails import toxicity
from inhouse.guardrails.classifier import TAGGER
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.rail import Groundedness
from inhouse.guardrails.injection import indirect, jailbreak
from inhouse.guardrails.injection.indirect import IndirectInjection
from inhouse.guardrails.injection.jailbreak import Jailbreak
from inhouse.guardrails.pii import Pii
from inhouse.guardrails.toxicity import Toxicity
from inhouse.privacy.tagger import read_tagger
from inhouse.text.support import LexicalSupport

TEXTS = {
    "secrets": repeated("api="),
    "digits": repeated("0"),
    "distinct words": lambda n: " ".join(f"w{i}" for i in range(n // 6)),
    "addresses": lambda n: " ".join(f"u{i}@mail.example" for i in range(n // 20)),
    "people": lambda n: " ".join(
        f"My name is Ann{chr(97 + i % 26)} Lee{chr(97 + i // 26 % 26)}." for i in range(n // 24)
    ),
    "cards": lambda n: " ".join(f"{4111111111111111 + i * 7}" for i in range(n // 17)),
    "amounts": lambda n: " ".join(f"The fee {i} is ${i}.50 for Lee." for i in range(n // 28)),
    "marks": repeated(". "),
}


@pytest.fixture(scope="module")
def checks(finder, cached, turn):
    """The check of each rail, of a text."""
    pii = Pii(finder, read_tagger(TAGGER))
    attempts, insults = Jailbreak(cached, jailbreak.shipped()), Toxicity(cached, toxicity.shipped())
    orders = IndirectInjection(cached, indirect.shipped())
    support = Groundedness(cached, alignment.shipped(), LexicalSupport("", cached))

    def supported(text):
        exchange = turn("How much is it?", passages=["The fee is $5 for each wire."])
        support.check("passages", "", exchange)
        support.check("output", text, exchange)

    return {
        "pii": lambda text: pii.check("input", text, turn(text)),
        "jailbreak": lambda text: attempts.check("input", text, turn(text)),
        "toxicity": lambda text: insults.check("input", text, turn(text)),
        "indirect": lambda text: orders.check("passages", "", turn("x", passages=[text])),
        "groundedness": supported,
    }


@pytest.mark.parametrize("name", ["pii", "jailbreak", "toxicity", "indirect", "groundedness"])
def test_a_rail_takes_linear_time(checks, name):
    times = iter(range(10**9))

    def once(text):
        checks[name](f"{next(times)} {text}")  # results are cached by text

    once("a word")
    why = slow(once, TEXTS.values(), probe=3000, floor=0.25, limit=20)
    assert not why, why
