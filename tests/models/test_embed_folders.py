"""Embedders from a folder: which file, pooling, prefixes and window; and multilingual-e5-small from its package."""

import json
import shutil
from fnmatch import fnmatch

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from inhouse.assembly.workspace import Workspace
from inhouse.config.load import load_project
from inhouse.config.sections import Retrieval
from inhouse.errors import InputError
from inhouse.models.catalog import Catalog
from inhouse.models.embed import OnnxEmbedder, Recipe, model_file
from inhouse.text.cache import CachedVectors

WORDS = ["[UNK]", "[CLS]", "[SEP]", "query", "passage", ":", "fee", "card"]
POOLINGS = {"mean": [1, 1, 1], "cls": [3, 0, 0], "last": [0, 0, 3]}


def folder(path, where="model.onnx", inputs=("input_ids", "attention_mask"), pooled=False, **files):
    """A model whose token states are the rows of the unit matrix."""
    table = numpy_helper.from_array(np.eye(len(WORDS), dtype=np.float32), "table")
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["states"])]
    if pooled:
        axes = numpy_helper.from_array(np.array([1]), "axes")
        nodes.append(helper.make_node("ReduceMax", ["states", "axes"], ["sentence_embedding"], keepdims=0))
    name, shape = ("sentence_embedding", [1, len(WORDS)]) if pooled else ("states", [1, "n", len(WORDS)])
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info(i, TensorProto.INT64, [1, "n"]) for i in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)], [table, axes] if pooled else [table],
    )  # fmt: skip
    (path / where).parent.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path / where)
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(path / "tokenizer.json"))
    for file, value in files.items():
        target = path / (file.replace("__", "/") + ".json")
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("where", ["model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/model_O4.onnx"])
def test_the_pooling_is_read_from_the_folder_wherever_its_model_lies(tmp_path, where, pooling):
    key = {"mean": "mean_tokens", "cls": "cls_token", "last": "lasttoken"}[pooling]
    config = {f"pooling_mode_{k}": k == key for k in ("mean_tokens", "cls_token", "lasttoken", "max_tokens")}
    made = OnnxEmbedder(folder(tmp_path, where, **{"1_Pooling__config": config | {"word_embedding_dimension": 8}}))
    wanted = np.zeros(8)
    wanted[[1, 6, 2]] = POOLINGS[pooling]
    assert made.embed(["fee"])[0] == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-6)


def test_a_model_that_pools_by_itself_or_needs_no_mask(tmp_path):
    made = OnnxEmbedder(folder(tmp_path / "a", inputs=("input_ids",), pooled=True))
    assert (made.embed(["fee"])[0] > 0).nonzero()[0].tolist() == [1, 2, 6]
    assert made.read(["fee"])[0][1].shape == (1, 8)
    made = OnnxEmbedder(
        folder(tmp_path / "b", inputs=("input_ids", "attention_mask", "token_type_ids", "position_ids"))
    )
    assert made.embed(["fee", "card"]).shape == (2, 8)


@pytest.mark.parametrize(
    ("name", "prompts", "given", "query", "passage"),
    [
        ("model", None, {}, "", ""),
        ("model", {"query": "query: ", "document": "passage: "}, {}, "query: ", "passage: "),
        ("model", {"query": "query: ", "passage": "passage: "}, {"query_prefix": ""}, "", "passage: "),
        ("model", None, {"query_prefix": "fee ", "passage_prefix": "card "}, "fee ", "card "),
        ("multilingual-e5-small", None, {}, "query: ", "passage: "),
        ("intfloat--e5-base-v2", {}, {}, "query: ", "passage: "),
        ("multilingual-e5-large-instruct", None, {}, "", ""),
        ("bge-small-zh-v1.5", None, {}, "为这个句子生成表示以用于检索相关文章：", ""),
        ("BAAI--bge-base-en-v1.5", None, {}, "Represent this sentence for searching relevant passages: ", ""),
        ("bge-m3", None, {}, "", ""),
        ("nomic-embed-text-v1.5", None, {}, "search_query: ", "search_document: "),
        ("code5-small", None, {}, "", ""),
    ],
)
def test_prefixes_come_from_settings_then_the_folder_then_the_name(tmp_path, name, prompts, given, query, passage):
    files = {} if prompts is None else {"config_sentence_transformers": {"prompts": prompts}}
    recipe = Recipe.read(folder(tmp_path / name, **files), **given)
    assert (recipe.query_prefix, recipe.passage_prefix) == (query, passage)


def test_a_query_and_a_passage_have_their_own_vectors_in_the_cache_too(tmp_path):
    files = {"config_sentence_transformers": {"prompts": {"query": "query: ", "passage": "passage: "}}}
    made = OnnxEmbedder(folder(tmp_path, **files))
    cached = CachedVectors(made)
    for one in (made, cached, cached):
        assert one.embed(["fee"])[0, 4] > 0 == one.embed(["fee"])[0, 3]
        assert one.embed(["fee"], query=True)[0, 3] > 0 == one.embed(["fee"], query=True)[0, 4]
    assert made.count_tokens("fee") == 1


@pytest.mark.parametrize(
    ("files", "tokens"),
    [
        ({}, 256),
        ({"sentence_bert_config": {"max_seq_length": 4}}, 4),
        ({"config": {"max_position_embeddings": 8192}}, 512),
        ({"tokenizer_config": {"model_max_length": 1e30}}, 512),
        ({"sentence_bert_config": {"max_seq_length": None}, "tokenizer_config": {"model_max_length": 5}}, 5),
    ],
)
def test_the_window_is_read_from_the_folder(tmp_path, files, tokens):
    made = OnnxEmbedder(folder(tmp_path, **files))
    assert made.recipe.max_tokens == tokens
    assert len(made.read(["fee " * 600])[0][1]) == tokens


@pytest.mark.parametrize(
    ("files", "inputs", "message"),
    [
        ({"1_Pooling__config": {"pooling_mode_max_tokens": True}}, (), "pooling_mode_max_tokens is not supported"),
        ({"modules": [{"type": "sentence_transformers.models.Dense"}]}, (), "Dense is not supported"),
        ({}, ("past_key_values",), "needs the input past_key_values"),
    ],
)
def test_what_a_folder_needs_beyond_a_text_is_refused(tmp_path, files, inputs, message):
    with pytest.raises(InputError, match=message) as error:
        OnnxEmbedder(folder(tmp_path, inputs=("input_ids", *inputs), **files))
    assert error.value.hint


def test_damaged_files_are_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "modules.json").write_text("{")
    with pytest.raises(InputError, match=r"modules\.json: not valid JSON"):
        OnnxEmbedder(tmp_path)
    (tmp_path / "modules.json").unlink()
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match="cannot be opened"):
        OnnxEmbedder(tmp_path)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(InputError, match=r"model\.onnx: file not found"):
        model_file(tmp_path)


def test_an_index_remembers_how_the_vectors_of_a_folder_were_made(tmp_path):
    folder(tmp_path / "mine")
    (tmp_path / "inhouse.toml").write_text('name = "x"\n[retrieval]\nembedder = "mine"\n')
    workspace = Workspace(load_project(tmp_path))
    names = {
        workspace.embedder_name(Retrieval(embedder="mine", **more))
        for more in ({}, {"pooling": "cls"}, {"query_prefix": "query: "}, {"passage_prefix": "fee "})
    }
    assert len(names) == 4
    assert workspace.embedder.name in names
    assert workspace.embedder_name(Retrieval()) == "minilm-l6-v2"
    (tmp_path / "mine" / "config_sentence_transformers.json").write_text('{"prompts": {"query": "card "}}')
    assert workspace.embedder_name(Retrieval(embedder="mine")) not in names


@pytest.mark.parametrize("where", ["model.onnx", "onnx/model.onnx"])
def test_an_embedder_is_pulled_from_the_hub_with_what_says_how_it_is_used(tmp_path, monkeypatch, where):
    import huggingface_hub

    hub = folder(tmp_path / "hub", where, modules=[{"type": "sentence_transformers.models.Transformer"}],
                 config_sentence_transformers={"prompts": {"query": "query: "}})  # fmt: skip
    (hub / "pytorch_model.bin").write_bytes(b"pickled")
    files = [str(f.relative_to(hub)) for f in hub.rglob("*") if f.is_file()]

    def download(name, local_dir, allow_patterns):
        for file in files:
            if any(fnmatch(file, pattern) for pattern in allow_patterns):
                (local_dir / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(hub / file, local_dir / file)

    monkeypatch.setattr(huggingface_hub, "list_repo_files", lambda name: files)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    pulled = Catalog(tmp_path / "cache").pull("some/embedder")
    assert OnnxEmbedder(pulled).recipe.query_prefix == "query: "
    assert not (pulled / "pytorch_model.bin").exists()


# --- multilingual-e5-small ----------------------------------------------------------------------------------------

PASSAGES = {
    "fee": {
        "en": "International transfers cost $12.50.", "de": "Eine Auslandsüberweisung kostet 12,50 Euro.",
        "es": "Una transferencia internacional cuesta 12,50 euros.", "fr": "Un virement international coûte 12,50 €.",
        "ja": "海外送金手数料は1,250円です。", "zh": "国际转账手续费为12.50元。",
    },
    "return": {
        "en": "You can send goods back within 30 days.", "de": "Sie können Ware innerhalb von 30 Tagen zurückgeben.",
        "es": "Puede devolver los artículos en un plazo de 30 días.", "fr": "Vous pouvez retourner un article sous 30 jours.",
        "ja": "商品は30日以内に返品できます。", "zh": "商品可在30天内退货。",
    },
    "hours": {
        "en": "The branch is open from 9 a.m. to 6 p.m.", "de": "Die Filiale ist von 9 bis 18 Uhr geöffnet.",
        "es": "La oficina abre de 9 a 18 horas.", "fr": "L'agence est ouverte de 9 h à 18 h.",
        "ja": "店舗の営業時間は9時から18時です。", "zh": "门店营业时间为9点至18点。",
    },
    "password": {
        "en": "To reset your password, choose Forgot password.", "de": "Ihr Kennwort setzen Sie unter Kennwort vergessen zurück.",
        "es": "Para restablecer la contraseña, elija Olvidé mi contraseña.",
        "fr": "Pour réinitialiser le mot de passe, cliquez sur Mot de passe oublié.",
        "ja": "パスワードを忘れた場合は「再設定」を押してください。", "zh": "如需重置密码，请点击“忘记密码”。",
    },
}  # fmt: skip
QUESTIONS = {
    "fee": ("Was kostet es, Geld ins Ausland zu schicken?", "¿Cuánto cobran por enviar dinero al extranjero?",
            "Combien faut-il payer pour envoyer de l'argent à l'étranger ?", "外国にお金を送るといくらかかりますか", "往国外汇款要多少钱"),
    "return": ("Kann ich das Paket zurückschicken?", "¿Puedo devolver lo que compré?", "Puis-je renvoyer ma commande ?",
               "買ったものを返せますか", "买了不喜欢可以退吗"),
    "hours": ("Wann haben Sie offen?", "¿A qué hora cierran?", "À quelle heure fermez-vous ?", "何時まで開いていますか", "你们几点下班"),
    "password": ("Ich komme nicht mehr in mein Konto, Passwort weg", "He olvidado mi clave", "J'ai perdu mon mot de passe",
                 "ログインのパスワードがわからなくなりました", "密码忘了怎么办"),
}  # fmt: skip


def found_first(model):
    """How many of 40 questions find their passage among four in their own language, and among four in English."""
    kinds, found = list(PASSAGES), 0
    for at, language in enumerate(("de", "es", "fr", "ja", "zh")):
        asked = model.embed([QUESTIONS[k][at] for k in kinds], query=True)
        for other in (language, "en"):
            cosines = asked @ model.embed([PASSAGES[k][other] for k in kinds]).T
            found += int((cosines.argmax(axis=1) == np.arange(len(kinds))).sum())
    return found


def test_questions_find_the_passage_in_their_language_and_in_english(e5, embedder):
    assert found_first(e5) >= 35  # 36 when this was written
    assert found_first(embedder) < 30  # knows English alone: 22


def test_cosines_have_the_range_that_thresholds_are_made_for(e5, embedder):
    unrelated = ["What does a transfer cost?", "When do you open?", "I lost my password.", "Can I send it back?"]
    for one in (e5, embedder):
        cosines = one.embed(unrelated) @ one.embed(unrelated).T
        assert np.abs(cosines[np.triu_indices(4, 1)]).mean() < 0.35, one.name
    same = e5.embed(["国际转账要多少钱？", "国际转账要多少钱"])
    assert same[0] @ same[1] > 0.9
    assert e5.unknown("Straße 送料 کتاب") == (0, e5.count_tokens("Straße 送料 کتاب"))


def test_its_tokens_are_those_of_xlm_roberta(e5):
    def tokens(text):
        return e5._tokenizer.encode(text).ids

    assert tokens("Hello world") == [0, 35378, 8999, 2]
    assert tokens("  ｆｕｌｌ\u00a0width\t１２ \n") == tokens("full width 12")
    assert tokens("Cafe\u0301") == tokens("Café")
    assert tokens("a\u200bb\x07c") == tokens("a bc")
    assert tokens("") == [0, 2]
