import shutil

import numpy as np
import pytest

from inhouse.errors import InputError
from inhouse.models.catalog import Catalog
from inhouse.models.embed import INT8, PIECE_CHARS, WINDOW_TOKENS, OnnxEmbedder, _pieces

TEXTS = [
    "a wire",
    "",
    "An outgoing wire costs $21.50. " * 9,
    "fee " * 400,
    "Is it fast?",
    *(f"card {n}" for n in range(90)),
]


def test_a_text_has_the_same_vector_alone_and_among_others(embedder):
    together = embedder.embed(TEXTS)
    assert together.shape == (len(TEXTS), embedder.dimensions)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
    for n in range(8):
        assert embedder.embed([TEXTS[n]])[0] == pytest.approx(together[n], abs=1e-6), TEXTS[n]
    assert np.array_equal(embedder.embed(TEXTS), together)


def test_vectors_do_not_depend_on_the_number_of_threads(embedder, models_dir):
    one = OnnxEmbedder(models_dir / "minilm-l6-v2", threads=1)
    assert np.array_equal(one.embed(TEXTS), embedder.embed(TEXTS))


def test_long_texts_are_cut_at_the_window(embedder):
    words = "fee " * (WINDOW_TOKENS - 2)
    assert embedder.embed([words + "and much that is not read"])[0] == pytest.approx(
        embedder.embed([words])[0], abs=1e-5
    )
    assert embedder.count_tokens(words) == WINDOW_TOKENS - 2


def test_no_texts_no_vectors(embedder):
    assert embedder.embed([]).shape == (0, embedder.dimensions)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"model\.onnx: file not found"):
        OnnxEmbedder(tmp_path)


def test_int8_vectors_are_close_to_float_vectors(models_dir, embedder, tmp_path):
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).symlink_to(models_dir / "minilm-l6-v2" / name)
    whole = OnnxEmbedder(tmp_path)
    texts = ["How much is a wire transfer?", "A wire within the country costs 25 dollars.", "Pets are welcome."]
    rounded = embedder.embed(texts)
    assert ((whole.embed(texts) * rounded).sum(axis=1) > 0.97).all()
    assert rounded[0] @ rounded[1] > rounded[0] @ rounded[2] + 0.2


def test_a_changed_int8_model_is_refused_and_made_again(models_dir, tmp_path):
    catalog = Catalog(tmp_path)
    copied = tmp_path / "models" / "minilm-l6-v2"
    shutil.copytree(models_dir / "minilm-l6-v2", copied)
    with (copied / INT8).open("r+b") as file:
        file.seek(1000)
        file.write(b"changed")
    with pytest.raises(InputError, match="missing or changed"):
        catalog.find("minilm-l6-v2", tmp_path)
    assert catalog.pull("minilm-l6-v2") == catalog.find("minilm-l6-v2", tmp_path)


@pytest.mark.parametrize("text", ["", "a", " " * 25_000, "a" * 25_001, "word " * 9_000, "a " + "b" * 30_000])
def test_a_long_text_is_read_in_pieces(text):
    """The tokenizer keeps every other thread waiting while it reads a text."""
    pieces = list(_pieces(text))
    assert "".join(pieces) == text
    assert all(len(piece) <= PIECE_CHARS for piece in pieces)
