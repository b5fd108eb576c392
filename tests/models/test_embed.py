import shutil

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from inhouse.errors import InputError
from inhouse.models.catalog import Catalog
from inhouse.models.embed import INT8, PIECE_CHARS, WINDOW_TOKENS, OnnxEmbedder, _pieces, _unpack_rows

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


def test_vectors_are_the_same_with_less_memory(embedder, models_dir):
    compact = OnnxEmbedder(models_dir / "minilm-l6-v2", compact=True)
    assert np.array_equal(compact.embed(TEXTS), embedder.embed(TEXTS))


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
    assert (copied / INT8).stat().st_size < 25e6  # the table of embeddings stays in 8 bits


def test_rows_of_a_packed_table_are_unpacked_as_the_table_is():
    table = np.arange(-12, 12, dtype=np.int8).reshape(8, 3)
    scales = np.linspace(0.1, 0.8, 8, dtype=np.float32).reshape(8, 1)
    nodes = [
        helper.make_node("Cast", ["table"], ["cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["cast", "scales"], ["scaled"]),
        helper.make_node("Gather", ["scaled", "ids"], ["out"], axis=0),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, None])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, None, 3])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(scales, "scales")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def run():
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return session.run(None, {"ids": np.array([[7, 0, 7, 3]])})[0]

    before = run()
    _unpack_rows(model.graph)
    assert [n.op_type for n in model.graph.node].count("Gather") == 2
    assert (run() == before).all()
    assert before[0, 0].tolist() == (table[7] * scales[7]).astype(np.float32).tolist()


@pytest.mark.parametrize("text", ["", "a", " " * 25_000, "a" * 25_001, "word " * 9_000, "a " + "b" * 30_000])
def test_a_long_text_is_read_in_pieces(text):
    """The tokenizer keeps every other thread waiting while it reads a text."""
    pieces = list(_pieces(text))
    assert "".join(pieces) == text
    assert all(len(piece) <= PIECE_CHARS for piece in pieces)
