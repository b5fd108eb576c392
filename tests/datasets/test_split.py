import pytest

from inhouse.config.sections import Curation
from inhouse.datasets.decontaminate import leaks
from inhouse.datasets.split import split
from inhouse.errors import InputError


def rows(chat, count, **more):
    return [chat(f"q{n}", "A reply.", id=f"e{n}", group=f"g{n // 2}", **more) for n in range(count)]


def places(sets):
    return {e.id: name for name, examples in sets.items() for e in examples}


def test_groups_stay_together_and_shares_hold(chat):
    sets = split(rows(chat, 400), [], Curation(), 7)
    groups = {name: {e.group for e in examples} for name, examples in sets.items()}
    assert not groups["train"] & groups["test"]
    assert not groups["train"] & groups["validation"]
    assert not groups["test"] & groups["validation"]
    assert 0.13 < len(sets["test"]) / 400 < 0.27
    assert 0.09 < len(sets["validation"]) / 400 < 0.21


def test_more_rows_do_not_move_the_others(chat):
    before, after = (places(split(rows(chat, n), [], Curation(), 7)) for n in (200, 300))
    assert {k: after[k] for k in before} == before
    assert places(split(rows(chat, 200), [], Curation(), 8)) != before


def test_own_tests_are_the_only_test(chat):
    own = [chat("t", "r", id="t1")]
    sets = split(rows(chat, 40), own, Curation(), 7)
    assert sets["test"] == own
    assert len(sets["train"]) + len(sets["validation"]) == 40
    assert sets["validation"]


def test_documents_are_for_training(chat):
    made = [chat(f"d{n}", "r", id=f"d{n}", group=f"{n}.md", origin="synthetic") for n in range(50)]
    sets = split([*rows(chat, 40), *made], [], Curation(), 7)
    assert {e.origin for name in ("test", "validation") for e in sets[name]} == {"human"}
    alone = split(made, [], Curation(), 7)
    assert all(alone.values())


def test_by_time_the_latest_are_held_out(chat):
    timed = [e.model_copy(update={"time": f"2026-01-{n + 1:02}"}) for n, e in enumerate(rows(chat, 20))]
    sets = split(timed, [], Curation(split_by="time"), 7)
    last = {name: max(e.time for e in examples) for name, examples in sets.items()}
    first = {name: min(e.time for e in examples) for name, examples in sets.items()}
    assert last["train"] < first["validation"] <= last["validation"] < first["test"]
    with pytest.raises(InputError, match="split by"):
        split(rows(chat, 20), [], Curation(split_by="time"), 7)


def test_very_little_data(chat):
    with pytest.raises(InputError, match="no test set can be held out"):
        split(rows(chat, 2), [], Curation(), 7)
    two = split(rows(chat, 4), [], Curation(), 7)
    assert [len(two[name]) for name in ("train", "validation", "test")] == [2, 0, 2]
    assert all(split(rows(chat, 6), [], Curation(), 7).values())
    assert len(split(rows(chat, 1), [chat("t", "r")], Curation(), 7)["train"]) == 1


def test_leaks_are_found_by_words_meaning_and_ngrams(chat, embedder):
    tests = [
        chat("How much is a domestic wire transfer?", "$18.", id="wire"),
        chat("Is the Acorn cheap?", "Yes.", "Do they have wifi?", "Yes.", id="acorn"),
        chat("I was charged nine dollars on my statement last Tuesday for paper mail, why is that?", "x", id="mail"),
    ]
    others = [
        chat("how much is a domestic wire transfer", "It is $18.", id="same"),
        chat("How much does a domestic wire transfer cost?", "$18.", id="near"),
        chat("Where is the Belfry?", "West.", "Do they have wifi?", "No.", id="another hotel"),
        chat(
            "Hey! I was charged nine dollars on my statement last Tuesday for paper mail. Cancel it.", "x", id="ngrams"
        ),
        chat("When do you open?", "At 8:30.", id="other"),
    ]
    found = leaks(tests, others, "train", embedder, 0.9)
    assert {others[n].id: leak.test for n, leak in found.items()} == {"same": "wire", "near": "wire", "ngrams": "mail"}
    assert leaks([], others, "train", embedder, 0.9) == {}
