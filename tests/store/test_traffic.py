import numpy as np
import pytest

from inhouse.errors import InputError
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.tables import to_iso, to_ms
from inhouse.store.traffic import Totals, Traffic

DAY = "2026-01-05T00:00:00Z"


@pytest.fixture
def traffic(ledger):
    return Traffic(ledger)


async def test_the_rungs_of_a_cascade_are_told_apart(audit, traffic, exchange):
    def note(rung, *tried):
        return {"rung": rung, "usd": 0.0, "tried": [dict(zip(("rung", "usd", "ms"), t, strict=True)) for t in tried]}

    small, left_out = ("small", 0.001, 9.0), {"rung": "small", "usd": 0.0, "ms": 0.0, "left_out": True}
    for n in range(8):
        await audit.append(exchange(cascade=note("small", ("small", 0.001, 10.0 + n))))
    await audit.append(exchange(cascade=note("large", small, ("large", 0.02, 300.0))))
    skipped = note("inbox", ("large", 0.02, 500.0), ("inbox", 3.0, 0.0))
    await audit.append(exchange(cascade={**skipped, "tried": [left_out, *skipped["tried"]]}))
    await audit.append(exchange())  # not of a cascade
    await audit.append(exchange(release="bank/2", cascade=note("small", small)))
    answers, rungs = traffic.rungs("bank/1", DAY)
    assert answers == 10
    found = {r.name: (r.asked, r.answered, round(r.usd, 6), r.p50_ms, r.p95_ms) for r in rungs}
    assert found == {
        "small": (9, 8, 0.009, 13.0, 17.0), "large": (2, 1, 0.04, 300.0, 500.0), "inbox": (1, 1, 3.0, None, None)
    }  # fmt: skip
    assert traffic.rungs("bank/1", DAY, most=2)[0] == 1
    assert traffic.rungs("none", DAY) == (0, [])


async def test_buckets_tell_what_happened_when(ledger, audit, traffic, exchange):
    times = np.random.default_rng(5).lognormal(-1, 1, 157)
    made = [exchange(at=to_iso(to_ms(DAY) + n * 1000), latency_s=float(s)) for n, s in enumerate(times)]
    made += [
        exchange(at="2026-01-05T02:59:59.999Z", reason="error", latency_s=99.0),
        exchange(at="2026-01-05T02:00:00Z", reason="refused", latency_s=2.0, cost_usd=0.5),
        exchange(at="2026-01-05T03:00:00Z"),
    ]
    for one in made:
        await audit.append(one)
    feedback = Feedback(ledger)
    for one, user, thumb in [(made[0], "ann", 1), (made[0], "bob", 1), (made[1], "ann", -1), (made[2], "ann", 0)]:
        feedback.add(one.id, user, thumb)
    Inbox(ledger).add(made[-2], "declined")
    audit.redact(made[3].id, "ann", "asked to")
    found = traffic.buckets(DAY, "2026-01-05T03:00:00Z", 60)
    assert [b.start[11:16] for b in found] == ["00:00", "01:00", "02:00"]
    first, empty, last = found
    for p, told in ((50, first.p50_s), (95, first.p95_s), (99, first.p99_s)):
        assert told == np.percentile(times, p, method="inverted_cdf")
    assert (first.requests, first.errors, first.thumbs_up, first.thumbs_down, first.handoffs) == (157, 0, 2, 1, 0)
    assert (first.prompt_tokens, first.completion_tokens) == (157 * 50, 157 * 7)
    assert first.cost_usd == pytest.approx(0.157)
    assert (empty.requests, empty.p50_s) == (0, 0)
    assert (last.requests, last.errors, last.refusals, last.handoffs, last.p99_s) == (2, 1, 1, 1, 2.0)
    assert sum(b.requests for b in traffic.buckets(DAY, "2026-01-05T03:00:00.001Z", 7)) == 160
    assert traffic.buckets(to_iso(to_ms(DAY) + 61_000), "2026-01-05T00:02:00Z", 1)[0].requests == 59


def test_times_that_make_no_sense_are_refused(traffic):
    assert traffic.buckets("2026-01-02", "2026-01-01", 60) == []
    for since, minutes in (("soon", 60), ("1990-01-01", 1), (DAY, 0)):
        with pytest.raises(InputError):
            traffic.buckets(since, "", minutes)


async def test_outcomes_tell_what_each_user_had_of_each_arm(ledger, audit, traffic, exchange):
    def asked(user, arm, day, **values):
        return exchange(user=user, experiment=arm, at=f"2026-01-{day:02}T00:00:00Z", **values)

    made = [
        asked("bob", "live:tuned", 1, latency_s=1.0),
        asked("bob", "live:tuned", 2, latency_s=3.0, cost_usd=0.003),
        asked("bob", "live:tuned", 2, latency_s=50.0, reason="error"),
        asked("ann", "live:base", 3),
        asked("bob", "live:base", 4),
        asked("ann", "other:base", 1), asked("ann", "LIVE:base", 1), asked("ann", "live2:base", 1), asked("ann", "", 1),
        asked("", "live:base", 1),
    ]  # fmt: skip
    for one in made:
        await audit.append(one)
    feedback = Feedback(ledger)
    feedback.add(made[0].id, "bob", 1, resolved=True)
    feedback.add(made[0].id, "ann", 1)
    feedback.add(made[1].id, "bob", -1, resolved=False)
    Inbox(ledger).add(made[1], "declined")
    tuned, ann, bob = traffic.outcomes("live")
    assert (tuned.user, tuned.arm, tuned.requests, tuned.errors) == ("bob", "tuned", 3, 1)
    assert (tuned.resolved, tuned.thumb, tuned.escalated) == (0.5, 2 / 3, 1 / 3)
    assert (tuned.latency_s, tuned.cost_usd) == (2.0, pytest.approx(0.005 / 3))
    assert tuned.first_at.startswith("2026-01-01")
    assert (ann.user, ann.arm, ann.requests, ann.resolved, ann.thumb, ann.escalated) == (
        "ann",
        "base",
        1,
        None,
        None,
        0,
    )
    assert (bob.user, bob.arm) == ("bob", "base")
    assert traffic.outcomes("none") == []


async def test_totals_count_everything_since_the_beginning(ledger, audit, traffic, exchange):
    assert traffic.totals() == Totals()
    made = [exchange(at=to_iso(to_ms(DAY) + n * 1000)) for n in range(5)]
    for one in made:
        await audit.append(one)
    feedback = Feedback(ledger)
    for one, user, thumb in [(made[0], "ann", 1), (made[0], "bob", -1), (made[1], "ann", 1), (made[2], "ann", 0)]:
        feedback.add(one.id, user, thumb)
    Inbox(ledger).add(made[3], "declined")
    audit.act("server started")
    assert traffic.totals() == Totals(requests=5, handoffs=1, ratings=3, thumbs_up=2)
