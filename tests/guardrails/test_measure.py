import json

import pytest

from inhouse.errors import InputError
from inhouse.guardrails import toxicity
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.groundedness.rail import Groundedness
from inhouse.guardrails.injection import jailbreak
from inhouse.guardrails.injection.jailbreak import Jailbreak
from inhouse.guardrails.measure import explain, quality, read_lines
from inhouse.guardrails.rail import Guard
from inhouse.guardrails.toxicity import Toxicity
from inhouse.text.support import LexicalSupport

RUDE = "you are a stupid asshole, shut up"
FEE = {"text": "The fee is $9 a month.", "rail": "groundedness", "bad": True, "passages": ["The fee is $8 a month."]}


@pytest.fixture(scope="module")
def rude(cached):
    return Guard(Toxicity(cached, toxicity.shipped()), {"input": "flag"})


@pytest.fixture(scope="module")
def guards(cached):
    return [
        Guard(Jailbreak(cached, jailbreak.shipped()), {"input": "block"}),
        Guard(Groundedness(cached, alignment.shipped(), LexicalSupport("", cached)), {"output": "redact"}),
    ]


@pytest.fixture
def labeled(tmp_path):
    """Writes labeled lines and reads them back."""

    def write(*rows):
        file = tmp_path / "lines.jsonl"
        file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
        return read_lines(file)

    return write


async def test_an_explanation_has_the_action_and_the_reason(rude):
    (explanation,) = await explain([rude], "input", RUDE)
    assert (explanation.rail, explanation.action, explanation.replacement) == ("toxicity", "flag", None)
    assert explanation.reason == "insult, threat or obscenity"


async def test_an_explanation_without_a_finding_has_no_action(rude):
    (explanation,) = await explain([rude], "input", "What is the fee?")
    assert explanation.action is None


async def test_an_explanation_shows_what_a_change_leaves(guards):
    (explanation,) = await explain(guards, "output", FEE["text"], FEE["passages"])
    assert (explanation.action, explanation.replacement) == ("redact", "")


async def test_quality_counts_what_was_caught_and_what_was_not(rude, labeled):
    lines = labeled(
        {"text": RUDE, "bad": True}, {"text": "What is the fee?", "bad": False}, {"text": "Hm.", "bad": True}
    )
    (row,) = await quality([rude], lines)
    assert (row.bad, row.good, row.recall, row.precision, row.false) == (2, 1, 0.5, 1.0, 0.0)
    assert (row.missed, row.false_alarms) == (("Hm.",), ())


async def test_a_line_without_a_side_is_for_the_side_that_its_rail_checks(guards, labeled):
    (row,) = await quality(guards, labeled(FEE))
    assert (row.rail, row.bad, row.recall) == ("groundedness", 1, 1.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"text": "x"}, ":2: bad: field required"),
        ({"text": "x", "bad": "yes"}, ":2: bad: "),
        ({"text": "x", "bad": True, "side": "inputs"}, ":2: side: "),
        ("[]", ":2: not a JSON object"),
        ("{", ":2: not JSON"),
    ],
)
def test_an_invalid_line_is_named(labeled, line, message):
    with pytest.raises(InputError, match=message):
        labeled(FEE, line)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="missing.jsonl: cannot be read"):
        read_lines(tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rail": "toxicity"}, ":2: no rail 'toxicity' is on"),
        ({"side": "input"}, ":2: no rail checks the side 'input'"),
    ],
)
async def test_a_line_that_no_rail_checks_is_an_error(guards, labeled, change, message):
    with pytest.raises(InputError, match=message):
        await quality(guards, labeled(FEE, FEE | change))


async def test_without_rails_every_line_is_an_error(labeled):
    with pytest.raises(InputError, match=":1: no rail is on"):
        await quality([], labeled({"text": "x", "bad": True}))
