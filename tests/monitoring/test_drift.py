"""Drift over simulated traffic: what is found, what it says, and that little traffic is silent."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from inhouse.errors import InputError
from inhouse.monitoring.alarms import FILE, Cost, DriftReport, kept_in, noted, standing, with_texts
from inhouse.monitoring.drift import decide, traffic
from inhouse.monitoring.monitors import MONITORS
from inhouse.monitoring.subjects import examine

UNTIL = datetime(2026, 11, 30, 20, 0, tzinfo=UTC)
TOPICS, DIMENSIONS = 12, 48
CENTERS = np.random.default_rng(7).standard_normal((TOPICS + 1, DIMENSIONS))
CENTERS /= np.linalg.norm(CENTERS, axis=1, keepdims=True)
THINGS = "wire card loan fee branch limit savings check rate mortgage app statement falcon".split()  # noqa: SIM905


@dataclass(frozen=True)
class Row:
    exchange: str
    at: str
    user: str
    question: str
    answer: str = "It costs twenty dollars a month, and there is no fee for students."
    retrieval: float | None = 0.7
    passages: int = 4
    handed_off: bool = False
    reason: str = "stop"
    latency_s: float = 1.0
    cost_usd: float = 0.001
    findings: tuple = ()


def question(topic, n):
    return f"What about the {THINGS[topic]} in case {n % 60}?"


def vector(text):
    """The center of the topic that a question names, and noise of its own."""
    own = np.random.default_rng(sum(map(ord, text)) + 1000 * len(text))
    known = next((n for n, thing in enumerate(THINGS) if f" {thing} " in text), 0)
    made = 2.2 * CENTERS[known] + 1.6 * own.standard_normal(DIMENSIONS) / np.sqrt(DIMENSIONS)
    return made / np.linalg.norm(made)


def embed(texts):
    return np.array([vector(t) for t in texts], dtype=np.float32)


def rows(days=29, per_day=250, seed=0, late=lambda row, rng: row, new=0.0):
    """Requests of `days` days before UNTIL; `late` changes those of the last day, `new` is the share of a new topic."""
    rng = np.random.default_rng(seed)
    made = []
    for day in range(-days, 0):
        for _ in range(per_day):
            fresh = day == -1 and rng.random() < new
            draws, noise = rng.random(5), rng.standard_normal(3)
            at = UNTIL + timedelta(days=day, seconds=int(86_400 * draws[0]))
            row = Row(
                exchange=f"{'new' if fresh else 'usual'}-{len(made)}", at=at.isoformat(), user=f"u{int(3000 * draws[1])}",
                question=question(TOPICS if fresh else int(TOPICS * draws[2]), int(10**6 * draws[3])),
                retrieval=float(np.clip(0.7 + 0.1 * noise[0], 0, 1)), handed_off=bool(draws[4] < 0.1),
                latency_s=float(np.exp(0.4 * noise[1])), cost_usd=float(np.exp(0.3 * noise[2] - 7)),
                findings=("pii",) if draws[4] > 0.98 else (),
            )  # fmt: skip
            made.append(late(row, rng) if day == -1 else row)
    return made


def seen(made, days=29, **more):
    return traffic(made, UNTIL.isoformat(), (UNTIL - timedelta(days=days)).isoformat(), **more)


def by_name(made, waiting=None, days=29):
    return {m.name: m for m in examine(seen(made, days), embed, waiting)}


@pytest.fixture(scope="module")
def calm():
    return by_name(rows())


# --- traffic ----------------------------------------------------------------------------------------------------


def test_days_are_whole_and_end_now_and_unnamed_users_are_each_their_own():
    made = rows(days=20, per_day=3)
    shared = [replace(r, user="key-1") for r in made]
    found = seen(shared, 20, unnamed={"key-1"})
    assert found.users == len(made)
    assert (found.day.min(), found.day.max()) == (-20, -1)
    assert seen(shared, 20).users == 1
    assert (list(found.usual)[0], list(found.usual)[-1], found.recent) == (-20, -2, 1)


def test_usual_days_are_the_first_four_weeks_and_need_two():
    assert list(seen(rows(days=40, per_day=1), 40).usual) == list(range(-40, -12))
    assert list(seen(rows(days=40, per_day=1), 20).usual) == list(range(-20, -1))
    assert list(seen(rows(days=14, per_day=1), 14).usual) == []
    first = traffic(rows(days=20, per_day=9), UNTIL.isoformat())
    assert first.usual[0] in (-20, -19)  # begins with the first whole day


# --- without a change -------------------------------------------------------------------------------------------


def test_without_a_change_nothing_is_an_alarm_and_there_is_nothing_to_do(calm):
    assert {m.state for m in calm.values()} <= {"no change", "not enough traffic"}
    assert list(calm) == list(MONITORS)
    assert not any(m.examples or m.groups or m.todo for m in calm.values())
    assert calm["latency"].low <= 0 <= calm["latency"].high


def test_little_traffic_is_silent_even_if_all_of_it_changes():
    found = by_name(rows(per_day=6, late=lambda r, _: replace(r, handed_off=True, latency_s=9.0, findings=("pii",))))
    assert {m.state for m in found.values()} == {"not enough traffic"}
    assert "too little" in found["no answer"].says
    assert "users and days to see a change of 50%" in found["cost"].says
    assert found["cost"].needed > 6
    assert not any(m.examples for m in found.values())


def test_before_there_are_enough_days_it_says_until_when():
    found = by_name(rows(days=10, per_day=20), days=10)
    assert {m.state for m in found.values()} == {"not enough traffic"}
    assert "it takes 14 days" in found["latency"].says


# --- with one ---------------------------------------------------------------------------------------------------


def test_a_new_product_is_found_on_its_first_day_and_named_by_its_questions(product):
    alarm = product["new questions"]
    assert alarm.state == "changed"
    group = alarm.groups[0]
    assert "falcon" in group.terms
    assert group.question.exchange.startswith("new-")
    assert all(e.exchange.startswith("new-") for e in group.examples)
    assert group.share > 0.06 > group.usual_share
    assert alarm.todo.endswith("run `inhouse evaluate`.")
    assert alarm.waiting_usd == pytest.approx(1000, rel=0.1)


def test_topics_as_a_whole_are_told_apart_and_examples_are_of_the_new_mix():
    def moved(row, rng):
        if rng.random() < 0.45:
            return replace(
                row, exchange=f"new-{row.exchange}", question=question(int(rng.integers(2)), int(rng.integers(10**6)))
            )
        return row

    found = by_name(rows(late=moved, per_day=900))
    assert found["topics"].state == "changed"
    assert found["topics"].effect > 0.09
    assert found["topics"].examples  # how many depends on which of them are nearly the same
    assert all(" wire " in e.text or " card " in e.text for e in found["topics"].examples)


def worse(row, rng):
    """Everything that can be worse at once; the monitors do not know of one another."""
    chance = rng.random(6)
    row = replace(
        row, handed_off=bool(chance[0] < 0.5), findings=("pii",) if chance[1] < 0.3 else (), latency_s=3 * row.latency_s,
        cost_usd=3 * row.cost_usd, retrieval=row.retrieval - 0.15, passages=0 if chance[2] < 0.5 else 4,
        answer=" ".join(["Sorry!", row.answer, row.answer, row.answer]),
    )  # fmt: skip
    if chance[3] < 0.3:
        row = replace(row, question="¿Cuánto cuesta una transferencia al extranjero, por favor?")
    if chance[4] < 0.3:
        row = replace(row, answer="Una transferencia al extranjero cuesta veinte dólares. " * 4)
    return replace(row, reason="error") if chance[5] < 0.2 else row


@pytest.fixture(scope="module")
def all_worse():
    return by_name(rows(late=worse, per_day=500))


@pytest.mark.parametrize("name", [m.name for m in MONITORS.values() if m.kind not in ("area", "group")])
def test_each_monitor_finds_its_shift_in_a_day(name, all_worse):
    alarm = all_worse[name]
    assert alarm.state == "changed"
    assert alarm.days == 1
    assert alarm.todo == MONITORS[name].todo
    assert alarm.examples
    assert alarm.low > 0 or alarm.high < 0
    assert alarm.waiting_usd is None


def test_improvements_are_no_alarm():
    found = by_name(
        rows(late=lambda r, _: replace(r, handed_off=False, latency_s=0.2 * r.latency_s, retrieval=0.99, cost_usd=1e-5))
    )
    assert not [m.name for m in found.values() if m.state == "changed"]
    assert found["latency"].high < 0


def test_examples_of_a_mean_are_the_group_that_it_comes_from():
    def failing(row, _):
        return (
            replace(row, handed_off=True, exchange=f"new-{row.exchange}")
            if (" loan " in row.question or " wire " in row.question or " fee " in row.question)
            else row
        )

    found = by_name(rows(late=failing, per_day=500))["no answer"]
    assert found.state == "changed"
    assert {"loan", "wire", "fee"} & {term for g in found.groups for term in g.terms}
    assert all(e.exchange.startswith("new-") for e in found.examples)


def test_days_on_which_many_ask_the_same_are_usual_if_there_were_such_days():
    made = rows()
    busy = {(UNTIL + timedelta(days=d)).date() for d in (-26, -21, -17, -12, -9, -4, -1)}
    rng = np.random.default_rng(1)
    again = [replace(r, question=question(3, int(rng.integers(10**6)))) if datetime.fromisoformat(r.at).date() in busy and rng.random() < 0.15
             else r for r in made]  # fmt: skip
    assert by_name(again)["new questions"].state != "changed"


# --- before there is usual traffic ------------------------------------------------------------------------------


def test_before_there_is_usual_traffic_questions_are_compared_with_the_tests():
    made = rows(days=5, per_day=80)
    fresh = [replace(r, question=question(TOPICS, n)) if n % 5 == 0 else r for n, r in enumerate(made)]
    tests = [question(n % TOPICS, n) for n in range(120)]
    alarm = {m.name: m for m in examine(seen(fresh, 5), embed, tests=tests)}["new questions"]
    assert alarm.state == "changed"
    assert "falcon" in alarm.groups[0].terms
    fine = {m.name: m for m in examine(seen(made, 5), embed, tests=tests)}["new questions"]
    assert fine.state == "no change"


# --- decided and kept -------------------------------------------------------------------------------------------


def test_many_monitors_share_the_level(calm):
    close = {name: m.model_copy(update={"p": 0.01, "effect": 1.0}) for name, m in calm.items()}
    assert not any(m.state == "changed" for m in decide(close, len(MONITORS), 100.0))
    sure = close | {"cost": close["cost"].model_copy(update={"p": 1e-6})}
    assert [m.name for m in decide(sure, len(MONITORS), 100.0) if m.state == "changed"] == ["cost"]


def report(alarms, made_at="2026-11-30T20:00:00+00:00", release="bank/1", **changes):
    monitors = tuple(m.model_copy(update=changes if m.name in alarms else {}) for m in MADE)
    return DriftReport(
        made_at=made_at,
        release=release,
        since="",
        until="",
        reference="traffic",
        usual_days=28,
        requests=9,
        monitors=monitors,
    )


MADE = examine(seen(rows(days=3, per_day=5)), embed)


@pytest.fixture(scope="module")
def product():
    """A new product on the last day."""
    return by_name(rows(new=0.12, per_day=500), waiting=lambda m, per_day: Cost(2.0 * per_day))


def test_alarms_are_kept_without_texts_since_they_began(product):
    found = product["new questions"]
    changed = {"state": "changed", "groups": found.groups, "examples": found.examples}
    first = noted(report(["new questions"], **changed), None)
    later = noted(report(["new questions"], made_at="2026-12-01T20:00:00+00:00", **changed), first)
    own = next(m for m in later.report.monitors if m.name == "new questions")
    assert own.since == "2026-11-30T20:00:00+00:00"
    assert [a.monitor for a in later.alarms] == ["new questions"]
    assert "falcon in case" not in later.model_dump_json()
    again = with_texts(own, lambda exchange: "" if exchange == own.examples[0].exchange else "What is a Falcon?")
    assert len(again.examples) == len(own.examples) - 1
    assert {e.text for g in again.groups for e in g.examples} == {"What is a Falcon?"}
    over = noted(report([], made_at="2026-12-02T20:00:00+00:00"), later)
    assert not over.report.alarms
    assert len(over.alarms) == 1


def test_the_last_alarm_about_questions_or_answers_stands_also_when_it_is_over(tmp_path):
    assert standing(tmp_path) == {}
    kept = noted(report(["latency"], state="changed"), None)
    (tmp_path / FILE).write_text(kept.model_dump_json())
    assert standing(tmp_path) == {}  # a slower engine says nothing of what is right
    kept = noted(report(["topics"], state="changed"), kept)
    (tmp_path / FILE).write_text(kept.model_dump_json())
    assert standing(tmp_path) == {"drift": "topics since 2026-11-30T20:00:00+00:00"}
    kept = noted(report([]), kept)
    (tmp_path / FILE).write_text(kept.model_dump_json())
    assert standing(tmp_path) == {"drift": "topics since 2026-11-30T20:00:00+00:00"}


def test_a_damaged_report_is_named(tmp_path):
    (tmp_path / FILE).write_text('{"report": 1}')
    with pytest.raises(InputError, match="not a report of drift"):
        kept_in(tmp_path)
