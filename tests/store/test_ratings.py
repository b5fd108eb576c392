import pytest

from inhouse.errors import InputError
from inhouse.store.ratings import Drawn, Ratings, second


def drawn(exchange, place=1.0, period="2026-01-05T00:00:00Z", probability=0.5):
    return Drawn(exchange_id=exchange, period=period, place=place, probability=probability, why="uncertain")


@pytest.fixture
def ratings(ledger):
    return Ratings(ledger)


async def test_a_rating_is_replaced_audited_and_keeps_the_probability_of_its_draw(audit, exchange, ratings):
    one, other = exchange(), exchange()
    for e in (one, other):
        await audit.append(e)
    assert ratings.draw([drawn(one.id)]) == 1
    assert ratings.draw([drawn(one.id, probability=0.9)]) == 0
    ratings.add(one.id, "rae", "right")
    ratings.add(one.id, "rae", "wrong", "it costs 30 dollars")
    ratings.add(other.id, "rae", "right")
    kept, more = ratings.about([one.id, other.id])
    assert (kept.label, kept.comment, kept.probability) == ("wrong", "it costs 30 dollars", 0.5)
    assert more.probability is None
    assert [a.what for a in audit.actions(about=one.id)] == ["answer rated"] * 2
    assert ratings.all() == [kept, more]
    assert ratings.all("2100-01-01") == []
    assert audit.verify().ok


async def test_a_rating_changed_behind_the_log_is_found(audit, exchange, ratings, tamper):
    one = exchange()
    await audit.append(one)
    ratings.add(one.id, "rae", "wrong")
    tamper("UPDATE rating SET label = 'right'")
    assert "rating" in audit.verify().reason


async def test_what_is_erased_is_neither_rated_nor_waits_and_loses_its_comments(audit, exchange, ratings):
    one = exchange()
    await audit.append(one)
    ratings.draw([drawn(one.id)])
    ratings.add(one.id, "rae", "wrong", "Ann Weber was told nonsense")
    audit.redact(one.id, "ann", "asked to")
    assert ratings.about([one.id])[0].comment == ""
    assert ratings.waiting("sue", twice=1.0) == []
    with pytest.raises(InputError, match="no such answer"):
        ratings.add(one.id, "sue", "right")
    with pytest.raises(InputError):
        ratings.add("nothing", "sue", "right")
    assert audit.verify().ok


async def test_the_queue_is_in_order_newest_period_first_and_gives_a_share_to_two_raters(audit, exchange, ratings):
    made = [exchange() for _ in range(60)]
    for e in made:
        await audit.append(e)
    ratings.draw([drawn(e.id, place=n) for n, e in enumerate(made[1:])])
    ratings.draw([drawn(made[0].id, period="2026-01-12T00:00:00Z")])
    assert ratings.drawn("2026-01-12T00:00:00Z")
    assert not ratings.drawn("2026-01-19T00:00:00Z")
    assert [d.exchange_id for d in ratings.waiting("rae")] == [e.id for e in made]
    assert len(ratings.waiting("rae", limit=3)) == 3
    for e in made:
        ratings.add(e.id, "rae", "right")
    assert ratings.waiting("rae", twice=1.0) == []
    assert ratings.waiting("sue") == []
    twice = [e.id for e in made if second(e.id, 0.3)]
    assert 5 < len(twice) < 35
    waiting = ratings.waiting("sue", twice=0.3)
    assert [d.exchange_id for d in waiting] == twice
    assert {d.raters for d in waiting} == {1}
    ratings.add(twice[0], "sue", "right")
    assert twice[0] not in [d.exchange_id for d in ratings.waiting("tom", twice=1.0)]
