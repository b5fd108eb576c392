import numpy as np
import pytest

from inhouse.errors import InputError
from inhouse.retrieval.ranking import FEATURES, RANKER, Features, Hit, Judged, Ranker, features_of, fit_ranker
from inhouse.types import Chunk, Message


def hit(text, title="Fees", heading="", score=0.5, dense=0.5, bm25=0.5):
    chunk = Chunk(document="d", source=f"{title}.md", title=title, start=len(text), end=0, text=text, heading=heading)
    return Hit(chunk=chunk, score=score, dense=dense, text=bm25)


def asked(*questions):
    return [Message(role="user", content=q) for q in questions]


def row(messages, one, *others):
    return Features(*features_of(messages, [one, *others])[0][: len(Features._fields)])


def test_words_of_the_question_and_of_the_conversation():
    wire, other = hit("An international wire costs $38.75.", "Wire Transfers"), hit("Coins are free.", "Coins")
    now = row(asked("What does an international wire cost?"), wire, other)
    later = row(asked("What does a wire cost?", "and an international one?"), wire, other)
    assert now.words > row(asked("What does an international wire cost?"), other, wire).words
    assert later.earlier_words > 0
    assert (now.later_turn, later.later_turn) == (0.0, 1.0)
    assert later.title_mentioned > 0


def test_typos_and_kinds_of_figures():
    fee, hours = hit("The monthly fee is $7."), hit("We open at 9:00 am.")
    assert row(asked("what is the montlhy fee"), fee, hours).words_with_typos == 1.0
    assert row(asked("what is the montlhy fee"), fee, hours).words < 1.0
    assert (row(asked("how much is it"), fee).has_kind, row(asked("how much is it"), hours).lacks_kind) == (1.0, 1.0)


def test_words_of_the_last_reply():
    debit, wire = hit("A replacement card costs $6.75.", "Debit Card"), hit("A wire costs $20.", "Wire Transfers")
    reply = Message(role="assistant", content="The replacement card costs $6.75.")
    conversation = [*asked("my card is lost"), reply, *asked("when does it arrive")]
    one, other = row(conversation, debit, wire), row(conversation, wire, debit)
    assert one.replied > other.replied
    assert (one.replied_most, one.repeats, other.repeats) == (1.0, 1.0, 0.0)
    assert row(asked("my card is lost"), debit, wire).replied == 0.0


def test_later_turns_have_columns_of_their_own():
    first, later = asked("a wire?"), asked("a card?", "a wire?")
    n = len(Features._fields)
    assert not features_of(first, [hit("A wire.")])[0][n:].any()
    columns = features_of(later, [hit("A wire.")])[0]
    assert (columns[:n] == columns[n:]).all()


def judged(n, good=0.8):
    rng = np.random.default_rng(n)
    rows = rng.normal(0.3, 0.05, (4, len(FEATURES)))
    holding = [False] * 4
    if n % 5:
        rows[n % 4] += good - 0.3
        holding[n % 4] = True
    return Judged(rows, holding)


def test_a_ranker_finds_the_passage_and_knows_when_there_is_none():
    ranker, facts = fit_ranker([judged(n) for n in range(100)])
    assert facts["first_holds_answer"] == 1.0
    assert facts["unanswerable_passed"] == 0.0
    assert 0 < ranker.threshold < 1
    assert fit_ranker([judged(n) for n in range(30)]) == (None, {})


def test_ranked_hits_have_their_probability_as_score():
    ranker, _ = fit_ranker([judged(n) for n in range(100)])
    hits = [hit(f"Text {n}.", score=n / 10, dense=n / 10, bm25=n / 10) for n in range(6)]
    ranked = ranker.ranked(asked("Text?"), hits)
    assert sorted((h.score for h in ranked), reverse=True) == [h.score for h in ranked]
    assert {h.chunk.text for h in ranked} == {h.chunk.text for h in hits}
    assert ranker.ranked(asked("Text?"), []) == []


def test_a_ranker_in_its_folder(tmp_path):
    assert Ranker.read(tmp_path) is None
    ranker, _ = fit_ranker([judged(n) for n in range(100)])
    (tmp_path / RANKER).write_text(ranker.model_dump_json())
    assert Ranker.read(tmp_path) == ranker
    (tmp_path / RANKER).write_text("{}")
    with pytest.raises(InputError, match="not a ranker"):
        Ranker.read(tmp_path)
    (tmp_path / RANKER).write_text(ranker.model_copy(update={"features": ("x",)}).model_dump_json())
    with pytest.raises(InputError, match="another version"):
        Ranker.read(tmp_path)
