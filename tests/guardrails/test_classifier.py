"""The arithmetic of classifiers, the shipped files, and the shipped figures."""

import numpy as np
import pytest

from inhouse.config.sections import Guardrails
from inhouse.errors import InputError
from inhouse.guardrails import toxicity
from inhouse.guardrails.classifier import Classifier, quality, read_weights, shipped
from inhouse.guardrails.groundedness import alignment
from inhouse.guardrails.injection import indirect, jailbreak
from inhouse.text.sentences import windows


def logistic(weight):
    n = len(weight)
    return Classifier({"mean": np.zeros(n), "scale": np.ones(n), "weight": np.array(weight), "bias": np.zeros(1)}, 0.5)


def test_probabilities_of_a_logistic_regression():
    rows = np.array([[0.0, 5.0], [100.0, 0.0], [-100.0, 0.0]])
    assert logistic([1.0, 0.0]).probability(rows).round(3).tolist() == [0.5, 1.0, 0.0]


def test_probabilities_of_a_network_with_a_hidden_layer():
    tensors = {
        "mean": [1, 0], "scale": [2, 1], "hidden": [[1, 0], [0, 1], [-1, 0]], "hidden_bias": [0, 1, 0],
        "weight": [1, 2, 4], "bias": [-3],
    }  # fmt: skip
    network = Classifier({k: np.array(v, np.float32) for k, v in tensors.items()}, 0.5)
    p = network.probability(np.array([[3, 1], [-1, -4]]))
    assert p == pytest.approx([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1))])  # z of (1, 1) and (-1, -4)


def test_windows_keep_every_word_and_their_size():
    text = " ".join(f"w{n}" for n in range(100)) + ". End of it."
    assert " ".join(windows(text)).split() == text.split()
    assert max(len(w.split()) for w in windows(text)) <= 40


def test_a_missing_classifier_is_refused():
    with pytest.raises(InputError, match="not a classifier"):
        shipped("no-such-classifier", ())


@pytest.mark.parametrize("module", [jailbreak, indirect, toxicity, alignment])
def test_the_shipped_files_were_trained_on_the_features_that_the_code_computes(module):
    assert 0 < module.shipped().threshold < 1


def test_weights_for_other_features_are_refused():
    with pytest.raises(InputError, match="other features than this version computes: length, size"):
        read_weights("toxicity", (*toxicity.FEATURES[:-1], "size"))
    with pytest.raises(InputError, match="their order"):
        read_weights("toxicity", toxicity.FEATURES[::-1])


def test_the_shipped_figures_cover_every_classifier_that_is_on_by_default():
    rows = quality()
    fitted_or_set = {"format", "relevance", "confidence", "links"}  # a schema; fitted per project; a list
    assert {r["rail"] for r in rows} >= set(Guardrails().rails) - fitted_or_set
    assert all(0 <= r[k] <= 1 for r in rows for k in ("recall", "precision"))
    assert all(r["bad"] > 50 for r in rows)
