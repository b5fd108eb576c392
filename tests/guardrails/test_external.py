"""Sequence classifiers in a folder: a tiny BERT with random weights, as safetensors and as ONNX."""

import warnings

import numpy as np
import pytest

from inhouse.assembly.guard import Parts, guards_of
from inhouse.assembly.workspace import Workspace
from inhouse.config.sections import Project
from inhouse.errors import InputError
from inhouse.guardrails.external import BAD, SUPPORTED, ModelToxicity, SequenceClassifier, label_of
from inhouse.guardrails.measure import LabeledLine, fitted_thresholds
from inhouse.guardrails.rail import Guard

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "you",
    "are",
    "a",
    "fool",
    "the",
    "fee",
    "is",
    "free",
    ".",
    "room",
    "no",
    "not",
]
TEXTS = ["You are a fool.", "The fee is free.", "no", "the room is not free . " * 300]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same classifier as safetensors and as ONNX, with two labels, the first of which is INJECTION."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import BertProcessing
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(3)
    root = tmp_path_factory.mktemp("classifiers")
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=128, id2label={0: "INJECTION", 1: "SAFE"}, label2id={"INJECTION": 0, "SAFE": 1},
        initializer_range=0.5,
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    tokenizer = Tokenizer(WordPiece({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    for name in ("safetensors", "onnx"):
        (root / name).mkdir()
        config.save_pretrained(root / name)
        tokenizer.save(str(root / name / "tokenizer.json"))
    model.save_pretrained(root / "safetensors")
    inputs = tuple(torch.ones((2, 9), dtype=torch.int64) for _ in range(3))
    names = ["input_ids", "attention_mask", "token_type_ids"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, inputs, str(root / "onnx" / "model.onnx"), input_names=names, output_names=["logits"],
            dynamic_axes=dict.fromkeys([*names, "logits"], {0: "n", 1: "tokens"}) | {"logits": {0: "n"}}, dynamo=False,
        )  # fmt: skip
    return root


@pytest.mark.parametrize("pairs", [False, True])
def test_onnx_and_safetensors_give_the_same_probabilities(folders, pairs):
    texts = [(t, "the room is free") for t in TEXTS[:3]] if pairs else TEXTS
    onnx, torch = (SequenceClassifier(folders / n, BAD).probability(texts) for n in ("onnx", "safetensors"))
    assert np.abs(onnx - torch).max() < 1e-4
    assert len(set(onnx.round(4))) > 1


def test_a_batch_gives_what_each_text_gives_alone(folders):
    model = SequenceClassifier(folders / "onnx", BAD)
    alone = np.concatenate([model.probability([t]) for t in TEXTS * 6])
    assert np.abs(model.probability(TEXTS * 6) - alone).max() < 1e-4


def test_the_label_can_be_overridden(folders):
    bad, safe = (SequenceClassifier(folders / "onnx", BAD, label) for label in ("", "SAFE"))
    assert np.allclose(bad.probability(TEXTS) + safe.probability(TEXTS), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "names", "index"),
    [
        ({0: "non-toxic", 1: "toxic"}, BAD, 1), ({0: "SAFE", 1: "INJECTION"}, BAD, 1), ({0: "jailbreak", 1: "benign"}, BAD, 0),
        ({0: "LABEL_0", 1: "LABEL_1"}, BAD, 1), ({0: "contradiction", 1: "neutral", 2: "entailment"}, SUPPORTED, 2),
        ({0: "unsafe"}, BAD, 0), ({0: "score"}, BAD, 0), ({0: "Supported", 1: "Refuted"}, SUPPORTED, 0),
    ],
)  # fmt: skip
def test_the_label_is_found_by_its_name(tmp_path, labels, names, index):
    assert label_of(labels, names, "", tmp_path) == index


def test_labels_that_say_nothing_are_refused(tmp_path):
    with pytest.raises(InputError, match="which label to use"):
        label_of({0: "A", 1: "B", 2: "C"}, BAD, "", tmp_path)
    with pytest.raises(InputError, match="which label to use"):
        label_of({0: "A", 1: "B"}, BAD, "D", tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"config\.json"):
        SequenceClassifier(tmp_path, BAD)


def test_the_settings_put_the_model_into_each_rail(folders, tmp_path, models_dir, turn):
    settings = {
        "rails": ["injection", "toxicity", "groundedness"],
        "injection_model": str(folders / "onnx"), "toxicity_model": str(folders / "safetensors"),
        "groundedness_model": str(folders / "onnx"), "groundedness_label": "SAFE",
    }  # fmt: skip
    workspace = Workspace(Project(guardrails=settings).at(tmp_path))
    guards = guards_of(Parts(workspace, workspace.project))
    assert [type(g.rail).__name__ for g in guards] == [
        "ModelJailbreak", "IndirectInjection", "ModelToxicity", "ModelGroundedness",
    ]  # fmt: skip
    answered = turn("is it free", passages=["The fee is free. The room is free."])
    guards[-1].rail.check("output", "A room costs nothing.", answered)
    assert 0 < guards[-1].rail.claims("A room costs nothing.", answered.state["evidence"])[0][1] < 1


def test_rails_use_the_model(folders, turn, cached):
    model = SequenceClassifier(folders / "onnx", BAD)
    p = float(model.probability(["You are a fool."])[0])
    for threshold, reports in ((p - 0.01, True), (p + 0.01, False)):
        model.threshold = threshold
        assert bool(ModelToxicity(model).check("input", "You are a fool.", turn("x"))) is reports


def test_a_threshold_is_fitted_on_labeled_lines(folders):
    model = SequenceClassifier(folders / "onnx", BAD)
    rail = ModelToxicity(model)
    scores = {t: rail.probability_of(t) for t in TEXTS[:3]}
    worst = max(scores, key=scores.get)
    lines = [LabeledLine(text=t, bad=t == worst, rail="toxicity", where="1") for t in scores]
    threshold, f1 = fitted_thresholds([Guard(rail, {"input": "flag"})], lines)["toxicity"]
    assert f1 == 1
    assert sorted(scores.values())[1] < threshold < scores[worst]
