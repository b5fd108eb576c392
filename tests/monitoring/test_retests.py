"""What two releases on the same questions say about the second one."""

import json

import pytest

from inhouse.errors import InputError
from inhouse.monitoring.retests import FILE, Retest, Row, Told


def row(id, before="right", after="right", part="affected", outdated=False, unsupported=(False, False)):
    return Row(
        id=id, part=part, question=f"{id}?", outdated=outdated,
        before=Told(text="a", outcome=before, unsupported=unsupported[0]),
        after=Told(text="b", outcome=after, unsupported=unsupported[1]),
    )  # fmt: skip


def retest(*rows):
    return Retest(before="bank/1", after="the new index", rows=rows, tests=60)


def broken(found):
    return [rule.text for rule in found.rules() if not rule.passed]


def test_as_good_as_before_may_take_its_place():
    found = retest(row("a"), row("b", "wrong", "right"), row("c", "right", "wrong"), row("d", part="others"))
    assert not broken(found)
    assert [r.id for r in found.better] == ["b"]
    assert [r.id for r in found.worse] == ["c"]
    assert found.text == "the new index against bank/1: 1 better and 1 worse of 4 questions"


@pytest.mark.parametrize("part", ["affected", "others", "old", "new"])
def test_one_question_more_that_is_worse_needs_a_person(part):
    found = retest(row("a"), row("b", "right", "needless_handoff", part))
    assert broken(found) == [f"{part}: 0 better and 1 worse of {1 + (part == 'affected')} questions"]


def test_gains_in_one_part_do_not_pay_for_losses_in_the_other():
    found = retest(row("a", "wrong"), row("b", "wrong"), row("c", "right", "wrong", "others"))
    assert broken(found) == ["others: 0 better and 1 worse of 1 questions"]


def test_an_outdated_question_is_better_once_its_answer_is_from_the_new_passages():
    found = retest(row("a", "right", "wrong", outdated=True))
    assert not broken(found)
    assert [r.id for r in found.better] == ["a"]
    assert found.text.endswith("; 1 are outdated and need a new reference")


@pytest.mark.parametrize("after", [("right", False), ("wrong", True), ("needless_handoff", False)])
def test_an_outdated_question_with_the_old_answer_or_none_is_no_gain(after):
    outcome, unsupported = after
    found = retest(row("a", "right", outcome, outdated=True, unsupported=(False, unsupported)))
    assert not found.better
    assert not found.worse
    assert bool(broken(found)) == unsupported


def test_a_tolerance_is_a_share_of_the_questions():
    rows = [row("worse", "right", "wrong"), *(row(str(n)) for n in range(24))]
    assert [r.passed for r in retest(*rows).rules(0.04)] == [True, True, True]
    assert [r.passed for r in retest(*rows[:10]).rules(0.04)] == [True, True, True]  # rounded up
    assert [r.passed for r in retest(*rows[:9]).rules(0.04)] == [False, True, True]  # none of few
    two = [r if r.id != "0" else row("0", "right", "wrong") for r in rows]
    assert [r.passed for r in retest(*two).rules(0.04)] == [False, True, True]
    assert [r.passed for r in retest(*rows).rules()] == [False, True, True]


def test_an_answer_that_fails_now_needs_a_person():
    assert "answers that failed and did not before: 1" in broken(retest(row("a", "wrong", "failed")))
    assert not broken(retest(row("a", "failed", "failed")))


def test_a_file_that_is_gone_or_damaged_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Retest.read(tmp_path)
    (tmp_path / FILE).write_text(retest(row("a")).model_dump_json())
    assert Retest.read(tmp_path) == retest(row("a"))
    (tmp_path / FILE).write_text(json.dumps({"version": "2.0"}))
    with pytest.raises(InputError, match="too new"):
        Retest.read(tmp_path)
