import pytest

from inhouse.guardrails.relevance import Relevance
from inhouse.types import Passage


def passage(score, text="Coins are free.", source="a.md"):
    return Passage(source=source, title="A", heading="", text=text, score=score)


@pytest.fixture
def asked(turn):
    def make(question, *passages):
        made = turn(question)
        made.passages = passages
        return made

    return make


@pytest.mark.parametrize(("scores", "handed_off"), [((0.2, 0.1), True), ((0.1, 0.6), False), ((), False)])
def test_the_best_passage_decides(asked, scores, handed_off):
    made = asked("What is free?", *(passage(s) for s in scores))
    assert bool(Relevance(0.4).check("passages", "", made)) is handed_off


def test_tool_results_are_no_passages(asked):
    assert Relevance(0.4).check("passages", "", asked("What is free?", passage(0.0, source="tool"))) is None


def test_a_calculation_that_is_not_known_goes_to_a_person(asked):
    coins = passage(0.9, "Free up to $150 a day; above that it costs 4%.")
    found = Relevance(0.4).check("passages", "", asked("I have 400 dollars, what do I pay?", coins))
    assert "calculation" in found.reason
    per_page = passage(0.9, "A copy costs $5.40 a page.")
    assert Relevance(0.4).check("passages", "", asked("what do 3 pages cost?", per_page)) is None


def test_results_of_tools_may_hold_the_answer(asked):
    made = asked("How is the weather?", passage(1.0, "It is sunny.", "tool"), passage(0.01))
    assert Relevance(0.4).check("passages", "", made) is None


@pytest.mark.parametrize(
    "question",
    [
        "What do I pay to close an account that I opened two months ago?", "what does closing cost, it's 3 months old",
        "How much does my 12-year-old pay for an account?",
    ],
)  # fmt: skip
def test_an_age_is_no_figure_to_calculate_with(asked, question):
    closing = passage(0.9, "Closing costs nothing, except $22 when the account is less than 120 days old.")
    assert Relevance(0.4).check("passages", "", asked(question, closing)) is None
