"""The classifier: few examples, one class, candidates, out of scope, its files; its machine against LIBLINEAR's."""

import json

import numpy as np
import pytest

from inhouse.errors import InputError
from inhouse.routing import machine
from inhouse.routing.classifier import ARRAYS, REST, TextClassifier, share, threshold, train
from inhouse.routing.grams import MOST_CHARS, hashes, learned, weighted

EXAMPLES = {
    "booking": ["I would like a haircut on Friday", "Can I get an appointment tomorrow at ten?", "book me in with Anna",
                "Do you have a free slot this week?", "I want to come in on Saturday for a color"],
    "billing": ["I was charged twice", "Please refund my last payment", "Where is my invoice?",
                "The receipt has the wrong amount", "I do not agree with this bill"],
    "hours": ["When do you open?", "Are you open on Sundays?", "What are your hours on holidays?",
              "How late are you open tonight?", "When do you close on Friday?"],
}  # fmt: skip
ASKED = {
    "could you book an appointment for me on Monday": "booking",
    "is there anything free with Anna on Thursday": "booking",
    "you took the money two times from my card": "billing",
    "I need an invoice for my last visit": "billing",
    "what time do you close today": "hours",
    "are you open next Sunday": "hours",
}
NOT_ASKED = ["who won the world cup in 1998", "write a poem about the ocean", "how do I install a printer driver"]


def rows(examples=EXAMPLES):
    texts = [text for own in examples.values() for text in own]
    return texts, [name for name, own in examples.items() for _ in own]


@pytest.fixture(scope="module")
def fitted(embedder):
    return train(*rows(), embedder)


def test_a_few_examples_are_enough_to_choose_and_to_refuse(fitted):
    classifier, report = fitted
    for text, name in ASKED.items():
        found = classifier.predict(text)
        assert (found.name, found.in_scope) == (name, True), text
        assert found.probability == max(found.probabilities.values())
        assert sum(found.probabilities.values()) == pytest.approx(1)
    lowest = min(classifier.predict(text).score for text in ASKED)
    for text in NOT_ASKED:
        assert classifier.predict(text).score < lowest, text
    assert report.examples == {"billing": 5, "booking": 5, "hours": 5}
    assert report.accuracy is not None
    assert report.accuracy.n == 15
    assert report.accuracy.mean >= 0.8
    assert report.false_rejects <= 0.05
    assert sum(n for _, _, n in report.confusion) == round(15 * (1 - report.accuracy.mean))


def test_a_prediction_says_why(fitted):
    found = fitted[0].predict("please book a haircut on Friday")
    assert found.example == "I would like a haircut on Friday"
    assert 0.5 < found.nearest <= 1.0001
    assert found.margin > 0


def test_only_candidates_are_found(fitted):
    classifier, _ = fitted
    text = "are you open next Sunday"
    assert classifier.predict(text).name == "hours"
    without = classifier.predict(text, {"booking", "billing"})
    assert without.name in ("booking", "billing")
    assert without.probabilities.keys() == {"booking", "billing"}
    assert without.score < classifier.predict(text).score
    assert without.example not in EXAMPLES["hours"]
    assert not classifier.predict(text, {"billing"}).in_scope
    nobody = classifier.predict(text, ())
    assert (nobody.name, nobody.in_scope, nobody.probabilities) == ("", False, {})


def test_three_examples_a_class_and_one_class_work(embedder):
    few, report = train(*rows({name: own[:3] for name, own in EXAMPLES.items()}), embedder)
    assert sum(few.predict(text).name == name for text, name in ASKED.items()) >= 5
    assert report.accuracy.n == 9
    one, report = train(*rows({"booking": EXAMPLES["booking"]}), embedder)
    found = one.predict("could you book me in on Friday")
    assert (found.name, found.probability, found.in_scope) == ("booking", 1.0, True)
    assert max(one.predict(text).score for text in NOT_ASKED) < found.score
    assert report.accuracy.mean == 1


def test_one_example_a_class_is_a_classifier_without_a_measure(embedder):
    classifier, report = train(["book a haircut", "refund my payment"], ["a", "b"], embedder)
    assert report.accuracy is None
    assert classifier.predict("I want to book a haircut").name == "a"
    assert classifier.predict("I want to book a haircut").in_scope
    assert not classifier.predict("who won the world cup in 1998").in_scope


def test_there_must_be_examples(embedder):
    with pytest.raises(InputError, match="no examples"):
        train(["  "], ["a"], embedder)


def test_any_text_is_classified(fitted):
    for text in ("", " ", "?", "床屋を予約したい", "\ud800", "a" * 100_000, "I " * 5000):
        assert fitted[0].predict(text).name in EXAMPLES


def test_it_is_the_same_after_saving_and_after_training_again(fitted, embedder, tmp_path):
    classifier, report = fitted
    classifier.save(tmp_path)
    loaded = TextClassifier.load(tmp_path, embedder)
    again, same = train(*rows(), embedder)
    assert report == same
    for text in (*ASKED, *NOT_ASKED):
        found = classifier.predict(text)
        assert again.predict(text) == found
        stored = loaded.predict(text)
        assert (stored.name, stored.in_scope) == (found.name, found.in_scope)
        assert stored.score == pytest.approx(found.score, abs=0.02)


def test_what_may_not_be_shown_is_not_stored(embedder, tmp_path):
    texts, labels = rows()
    classifier, _ = train(texts, labels, embedder, shown=EXAMPLES["hours"])
    classifier.save(tmp_path)
    assert "haircut" not in (tmp_path / REST).read_text()
    assert classifier.predict("I would like a haircut on Friday").example == ""
    assert classifier.predict("When do you open?").example == "When do you open?"


@pytest.mark.parametrize("damage", ["missing", "cut", "other", "pickled", "embedder"])
def test_damaged_files_are_refused(fitted, embedder, tmp_path, damage):
    fitted[0].save(tmp_path)
    match damage:
        case "missing":
            (tmp_path / ARRAYS).unlink()
        case "cut":
            (tmp_path / ARRAYS).write_bytes((tmp_path / ARRAYS).read_bytes()[:500])
        case "other":
            (tmp_path / REST).write_text("[]")
        case "pickled":
            np.savez(tmp_path / ARRAYS, hashes=np.array([{}], dtype=object))
        case "embedder":
            rest = json.loads((tmp_path / REST).read_text())
            (tmp_path / REST).write_text(json.dumps(rest | {"embedder": "another"}))
    with pytest.raises(InputError, match="classifier|embedder"):
        TextClassifier.load(tmp_path, embedder)


# --- the threshold ----------------------------------------------------------------------------------------------


def test_the_threshold_keeps_false_rejects_of_new_texts_to_the_share():
    drawn = np.random.default_rng(1)
    for n, most in ((400, 0.05), (60, 0.1), (10, 0.05), (3, 0.05)):
        shares = []
        for _ in range(300):
            below = threshold(np.sort(drawn.normal(size=n)), most)
            shares.append((drawn.normal(size=500) < below).mean())
        assert np.mean(shares) <= most + 0.01, (n, most)
        assert np.mean(shares) > most / 20, (n, most)


def test_a_share_has_wilsons_interval():
    found = share(8, 10)
    assert (found.mean, found.n) == (0.8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share(5, 5).high == pytest.approx(1)
    assert share(0, 5).low == 0


# --- n-grams ----------------------------------------------------------------------------------------------------


def pieces_by_hand(text):
    padded = f" {' '.join(text.casefold().split())} "
    found = [padded[at : at + n] for n in (2, 3, 4, 5) for at in range(len(padded) - n + 1)]
    return [piece for piece in found if " " not in piece[1:-1]]


@pytest.mark.parametrize("text", ["Book a table, please!", "aaaa aaaa", "a", "Füße  und\tStraße", "東京 まで"])
def test_pieces_do_not_reach_across_words(text):
    words, pieces = hashes(text)
    by_hand = pieces_by_hand(text)
    assert len(pieces) == len(by_hand)
    assert len(set(pieces.tolist())) == len(set(by_hand))
    assert len(words) == 2 * len(words[: (len(words) + 1) // 2]) - 1
    assert not set(words.tolist()) & set(pieces.tolist())


def test_case_and_width_do_not_count_and_what_is_unknown_has_no_weight():
    assert all((a == b).all() for a, b in zip(hashes("ＢＯＯＫ  It"), hashes("book it"), strict=True))
    vocabulary, grams = learned(["book a table", "pay the bill"])
    assert grams.shape == (2, len(vocabulary.hashes))
    places, weights = weighted("book a table", vocabulary)
    assert (grams[0].toarray()[0][places] == weights).all()
    assert np.linalg.norm(weights) == pytest.approx(2**0.5, abs=1e-5)
    assert len(weighted("xyz", vocabulary)[0]) == 0


def test_a_long_text_takes_linear_time_and_only_its_beginning_counts(takes_linear_time):
    assert takes_linear_time(hashes, lambda n: "ab " * n)
    assert all((a == b).all() for a, b in zip(hashes("ab " * 10**6), hashes("ab " * MOST_CHARS), strict=True))


# --- the machine ------------------------------------------------------------------------------------------------


def test_the_machine_finds_the_optimum_of_liblinear():
    from scipy.sparse import csr_matrix

    linear = pytest.importorskip("sklearn.svm").LinearSVC

    drawn = np.random.default_rng(3)
    dense = np.hstack([drawn.normal(size=(300, 8)), np.ones((300, 1))]).astype(np.float32)
    grams = csr_matrix((drawn.random((300, 20)) < 0.2).astype(np.float32))
    labels = (dense[:, :3] + drawn.normal(size=(300, 3)) * 0.5).argmax(1)
    weights = machine.fit(grams, dense, labels, 3)
    both = np.hstack([grams.toarray(), dense])
    theirs = linear(C=1.0, fit_intercept=False, tol=1e-6, max_iter=100_000).fit(both, labels).coef_.T

    def objective(w, k):
        signs = np.where(labels == k, 1, -1)
        return w @ w / 2 + (np.maximum(1 - signs * (both @ w), 0) ** 2).sum()

    for k in range(3):
        assert objective(weights[:, k], k) <= objective(theirs[:, k], k) * 1.001
