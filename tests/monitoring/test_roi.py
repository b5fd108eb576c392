"""What customization returns: the mission's example, intervals, what it depends on, and break-even volumes."""

import math

import pytest

from inhouse.errors import InputError
from inhouse.monitoring.roi import Input, Option, compared, net_of, overtakes, roi, typed_in

EXAMPLE = {
    "conversations_per_month": "100,000", "base_escalation": "33%", "custom_escalation": "14.5%", "usd_per_escalation": "$12",
    "custom_usd_per_month": "8000", "customization_usd": "48,000",
}  # fmt: skip


def inputs(texts):
    return {name: Input(value=value, source="typed in") for name, value in typed_in(texts).items()}


def test_the_numbers_of_the_missions_example_come_out():
    found = roi(inputs(EXAMPLE))
    assert found.base.escalations_usd == pytest.approx(396_000)
    assert found.custom.escalations_usd == pytest.approx(174_000)
    assert found.net_usd.mean == pytest.approx(214_000)
    assert found.payback_months == pytest.approx(48 / 214)


def test_what_is_missing_is_said_and_nothing_is_made_up():
    found = roi(inputs({"base_escalation": "0.3"}))
    assert found.missing == ("conversations_per_month", "custom_escalation", "usd_per_escalation")
    assert (found.base, found.net_usd, found.payback_months) == (None, None, None)


def test_a_custom_model_that_costs_more_is_never_paid_back():
    found = roi(inputs({**EXAMPLE, "custom_escalation": "40%"}))
    assert found.net_usd.mean < 0
    assert found.payback_months is None


def test_the_interval_of_the_saving_adds_the_squares_of_what_inputs_move():
    given = inputs(EXAMPLE) | {
        "base_escalation": Input(value=0.33, low=0.30, high=0.36, source="measured"),
        "custom_escalation": Input(value=0.145, low=0.105, high=0.185, source="measured"),
    }
    found = roi(given)
    half = math.hypot(0.03, 0.04) * 100_000 * 12
    assert found.net_usd.low == pytest.approx(214_000 - half)
    assert found.net_usd.high == pytest.approx(214_000 + half)
    assert found.payback_low == pytest.approx(48_000 / (214_000 + half))
    assert found.payback_high == pytest.approx(48_000 / (214_000 - half))


def test_a_saving_that_may_be_none_may_never_pay_back():
    custom = Input(value=0.32, low=0.30, high=0.34, source="measured")
    found = roi(inputs(EXAMPLE) | {"custom_escalation": custom})
    assert (found.net_usd.mean > 0, found.payback_months is not None, found.payback_high) == (True, True, None)


def test_inputs_are_ordered_by_what_they_move():
    found = roi(inputs(EXAMPLE))
    assert [s.name for s in found.swings][:2] == ["base_escalation", "conversations_per_month"]
    assert "customization_usd" not in {s.name for s in found.swings}
    first = found.swings[0]
    assert (first.at_low, first.low, first.interval) == (pytest.approx(0.264), pytest.approx(214_000 - 79_200), False)
    sizes = [s.size for s in found.swings]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [({"base_escalatoin": "3"}, "base_escalation"), ({"base_escalation": "33"}, "share"), ({"usd_per_escalation": "-1"}, "number"),
     ({"usd_per_escalation": "nan"}, "number"), ({"custom_escalation": "a third"}, "share"), ({"usd_per_escalation": "1e99"}, "number")],
)  # fmt: skip
def test_what_is_typed_wrongly_is_refused_with_what_to_write(text, words):
    with pytest.raises(InputError) as error:
        typed_in(text)
    assert words in error.value.hint


def test_empty_fields_are_left_out():
    assert typed_in({"usd_per_escalation": "1,234,567.5"}) == {"usd_per_escalation": 1234567.5}
    for text in ("12,50", "1.234,56", "1,23", ",500", "1,2345", "1,234,56"):
        with pytest.raises(InputError, match="is not a value for it"):
            typed_in({"usd_per_escalation": text})
    assert typed_in({"base_escalation": " ", "usd_per_escalation": "$1,200.50"}) == {"usd_per_escalation": 1200.5}


API = Option(name="api", usd_per_conversation=0.02, escalation=0.2)
OWN = Option(name="own", usd_per_conversation=0.0, escalation=0.1, usd_per_month=100, machine_usd_per_month=900,
             machine_conversations=50_000)  # fmt: skip


def test_options_are_compared_at_ones_own_volume_with_break_even():
    found = compared([API, OWN], 10_000, 1.0)
    assert [o.name for o in found.options] == ["own", "api"]
    assert found.monthly == (pytest.approx(2000), pytest.approx(2200))
    (row,) = found.break_even
    assert (row.cheaper, row.than, row.volume) == ("own", "api", pytest.approx(1000 / 0.12, rel=1e-6))
    assert OWN.monthly(120_000, 0.0) == pytest.approx(100 + 3 * 900)


def test_an_option_that_never_or_always_costs_less():
    dear = OWN.model_copy(update={"usd_per_conversation": 1.0})
    assert compared([API, dear], 10_000, 1.0).break_even[0].volume is None
    assert overtakes(lambda v: -1.0) == 0.0
    assert overtakes(lambda v: 50_000 - v) == pytest.approx(50_000, rel=1e-6)


def test_net_is_linear_in_volume():
    values = {name: i.value for name, i in roi(inputs(EXAMPLE)).inputs.items()}
    values = {name: value or 0.0 for name, value in values.items()}
    twice = net_of({**values, "conversations_per_month": 200_000.0})
    assert twice == pytest.approx(2 * 222_000 - 8000)
