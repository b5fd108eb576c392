import time

import pytest

from inhouse.text.arithmetic import asks_to_calculate, calculate, is_calculation, needs_calculation, worked

PAYROLL = "Payroll costs $26 a month plus $3.15 for each employee."
WITHDRAWALS = "You can make 5 withdrawals a month without a fee; each additional one costs $3.25."


@pytest.mark.parametrize(
    ("question", "earlier", "passage", "said"),
    [
        ("what does payroll cost for 12 employees a month", "", PAYROLL, "$26 + 12 × $3.15 = $63.80"),
        ("so if I withdraw 7 times, what do I pay?", "", WITHDRAWALS, "(7 - 5) × $3.25 = $6.50"),
        ("what's the fee on a $50,000 loan", "", "There is an origination fee of 1.3%.", "1.3% × $50,000 = $650"),
        ("copy of 3 pages, what does it cost?", "", "A copy costs $5.40 a page.", "3 × $5.40 = $16.20"),
        ("How much is that for a whole year?", "", "It costs $7.40 a month.", "12 × $7.40 = $88.80"),
        ("how much is that on a 300000 dollar house", "it is my first, first-time",
         "The down payment is at least 8%; first-time buyers need 4.5%.", "4.5% × $300,000 = $13,500"),
        ("and for 3 hours?", "research fee", "Research: Fee $27 (per hour).", "3 × $27 = $81"),
        ("what's the yearly cost?", "", "The monthly fee is $7.40.", "12 × $7.40 = $88.80"),
        ("three employees, what do I pay", "", "It costs $2 for each employee.", "3 × $2 = $6"),
    ],
)  # fmt: skip
def test_calculations(question, earlier, passage, said):
    found = calculate(question, earlier, passage)
    assert found.said == said
    assert is_calculation(f"{said}.", ["", question, passage])


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("I have 400 dollars in coins, what do I pay", "Free up to $150 a day; above that it costs 4%."),
        ("total for 3 years?", "It costs $89 a year. The first year is free."),
        ("cost for 3 years?", "It costs $55 a year from the second year on."),
        ("what do I pay for 4 withdrawals", WITHDRAWALS),
        ("How much would that be for 400,000?", "Rates are 8% for one, 9% for another."),
        ("what do I pay for 3 boxes", "We have boxes."),
    ],
)
def test_conditions_and_unclear_cases_get_no_calculation(question, passage):
    assert calculate(question, "", passage) is None


def test_when_a_calculation_is_asked_for():
    assert asks_to_calculate("what does it cost for 12 employees?")
    assert not asks_to_calculate("Can I open an account for my 12 year old?")
    assert not asks_to_calculate("how much is a cashier's check")
    assert not asks_to_calculate("my company is 14 months old, is that enough")
    assert needs_calculation(["what does it cost for 12 employees?"], [PAYROLL])
    assert not needs_calculation(["what does a certificate of 12 months pay in interest?"], ["12 months: Rate 3.60%."])


def test_a_follow_up_with_another_quantity_and_a_yearly_price():
    assert needs_calculation(["What does research cost?", "and for 3 hours?"], ["Research: Fee $27 (per hour)."])
    assert needs_calculation(["what's the yearly cost"], ["The monthly fee is $7.40."])
    assert not needs_calculation(["what's the yearly cost"], ["It costs $89 a year."])


def test_the_best_passages_are_tried_in_order():
    found = worked(["what does payroll cost?", "and for 12 employees, how much?"], ["No figures here.", PAYROLL])
    assert found.text == f"$26 + 12 × $3.15 = $63.80. {PAYROLL}"
    assert worked(["and for 12 employees, how much?"], ["a", "b", PAYROLL]) is None


@pytest.mark.parametrize(
    "sentence",
    ["12 × $3.15 = $37.90.", "13 × $3.15 = $40.95.", "It costs $5.", "12 × $3.15", "$3.15 = $3.15, which is cheap."],
)
def test_a_wrong_calculation_is_none(sentence):
    assert not is_calculation(sentence, ["for 12 employees", PAYROLL])


@pytest.mark.parametrize("text", ["1,000" * 20_000, "$" * 50_000, "5 a " * 20_000, "12 × " * 20_000, "$3 a b " * 9000])
def test_linear_time(text):
    started = time.perf_counter()
    needs_calculation([f"how much {text}"], [text])
    calculate(f"how much {text}", text, text)
    is_calculation(text, [text])
    assert time.perf_counter() - started < 20
