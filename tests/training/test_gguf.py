import json
import shutil

import numpy as np
import pytest
from gguf import GGUFReader

from inhouse.config.sections import Model, Parity
from inhouse.errors import InputError
from inhouse.evaluation import parity
from inhouse.models.catalog import Catalog
from inhouse.models.llama import LlamaEngine
from inhouse.training import gguf
from inhouse.training.convert import convert
from inhouse.training.sft import load
from inhouse.types import Message, Silent

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]
SMALL = Model(context_tokens=512, parallel=1, threads=2)
PROMPTS = [(Message(role="user", content=t),) for t in ("What does a wire cost?", "Where is the bank? 😀")]


@pytest.fixture(scope="module")
def base(tiny, tmp_path_factory):
    file = tmp_path_factory.mktemp("gguf") / "model.gguf"
    convert(tiny, file, "f32")
    return file


@pytest.fixture(scope="module")
def adapter(tiny, tmp_path_factory):
    """A LoRA with weights large enough to change every answer."""
    import torch
    from peft import LoraConfig, get_peft_model

    _, model = load(tiny)
    torch.manual_seed(3)
    wrapped = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear"))
    with torch.no_grad():
        for name, tensor in wrapped.named_parameters():
            if "lora_B" in name:
                tensor.normal_(0, 0.15)
    folder = tmp_path_factory.mktemp("adapter")
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    return folder


def compared(tiny, adapter, file, adapters=(), settings=Parity()):  # noqa: B008
    tokenizer, model = load(tiny)
    trained = parity.TorchModel(tokenizer, parity.with_adapter(model, adapter) if adapter else model)
    engine = LlamaEngine(file, SMALL, adapters)
    served = parity.LlamaServed("served", engine.client(engine.url, 60), engine.lora(0 if adapters else None))
    try:
        return parity.check_parity({"custom": trained}, [(served, "custom")], PROMPTS, settings, Silent())
    finally:
        served.close()
        engine.close()


def test_a_converted_folder_is_served_as_it_was(tiny, base):
    report = compared(tiny, None, base)
    assert report.passed, report
    assert report.variants[0].mean_divergence_nats < 0.01
    assert report.variants[0].greedy_agreement > 0.95


def test_a_qwen_with_biases_is_merged_as_it_was_trained(tiny, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    torch.manual_seed(5)
    model = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True, initializer_range=0.2,
    ))  # fmt: skip
    wrapped = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules="all-linear"))
    with torch.no_grad():
        for name, tensor in wrapped.named_parameters():
            if name.endswith(("bias", "lora_B.default.weight")):
                tensor.normal_(0, 0.15)
    wrapped.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    wrapped.unload().save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    convert(tmp_path / "base", tmp_path / "base.gguf", "f32")
    gguf.merge(tmp_path / "adapter", tmp_path / "base.gguf", tmp_path / "merged.gguf", "f32")
    report = compared(tmp_path / "base", tmp_path / "adapter", tmp_path / "merged.gguf")
    assert report.passed, report
    assert report.variants[0].mean_divergence_nats < 0.01


@pytest.mark.slow
def test_qwen_in_k_quants_is_trained_on_as_it_is_served():
    """Q4_K, Q5_0, Q6_K, biases, and its tokenizer; only where the model was pulled."""
    folder = Catalog().folder / "qwen2.5-coder-0.5b-instruct"
    if not folder.is_dir():
        pytest.skip("`inhouse models pull qwen2.5-coder-0.5b-instruct` fetches it")
    report = compared(folder, None, folder / "model.gguf")
    assert report.passed, report
    assert report.variants[0].mean_divergence_nats < 0.01


def test_an_adapter_is_served_as_it_was_trained_and_merged_alike(tiny, base, adapter, tmp_path):
    gguf.adapter_to_gguf(adapter, base, tmp_path / "adapter.gguf")
    gguf.merge(adapter, base, tmp_path / "merged.gguf", "f32")
    beside = compared(tiny, adapter, base, [tmp_path / "adapter.gguf"])
    merged = compared(tiny, adapter, tmp_path / "merged.gguf")
    for report in (beside, merged):
        assert report.passed, report
        assert report.variants[0].mean_divergence_nats < 0.01
    untouched = compared(tiny, adapter, base)
    assert not untouched.passed
    assert untouched.variants[0].mean_divergence_nats > 0.05


def test_a_wrong_export_is_refused_and_the_step_named(tiny, base, adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(gguf, "permuted", lambda name, rows, heads: rows)
    gguf.adapter_to_gguf(adapter, base, tmp_path / "adapter.gguf")
    report = compared(tiny, adapter, base, [tmp_path / "adapter.gguf"], Parity(max_divergence_nats=0.01))
    assert not report.passed
    assert "export of the adapter" in report.moved


def test_another_chat_template_is_refused(tiny, base, tmp_path):
    reader = gguf.read(base)
    with gguf.writing(tmp_path / "other.gguf", "llama") as writer:
        writer.copy_metadata(reader, {"tokenizer.chat_template"})
        writer.gguf.add_chat_template("{% for m in messages %}{{ m['content'] }}\n{% endfor %}")
        for name, array in gguf.tensors(reader):
            writer.add(name, array, "f32")
    report = compared(tiny, None, tmp_path / "other.gguf")
    assert not report.passed
    assert "chat template" in report.moved


@pytest.mark.parametrize("kind", ["q8_0", "f16"])
def test_quantized_weights_stay_close(tiny, base, tmp_path, kind):
    facts = gguf.quantize(base, tmp_path / "small.gguf", kind)
    assert (tmp_path / "small.gguf").stat().st_size < 0.6 * base.stat().st_size
    assert facts["kind"] == kind
    assert compared(tiny, None, tmp_path / "small.gguf").variants[0].mean_divergence_nats < 0.05


def test_all_weights_replaced_after_full_tuning(tiny, base, tmp_path):
    import torch

    tokenizer, model = load(tiny)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.mul_(1.1)
    model.save_pretrained(tmp_path / "weights")
    tokenizer.save_pretrained(tmp_path / "weights")
    gguf.replace_weights(tmp_path / "weights", base, tmp_path / "model.gguf", "f32")
    assert compared(tmp_path / "weights", None, tmp_path / "model.gguf").passed


def test_a_soft_prompt_is_served_as_tokens_that_are_never_said(tiny, base, tmp_path):
    from peft import PromptTuningConfig, get_peft_model

    tokenizer, model = load(tiny)
    wrapped = get_peft_model(
        model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, prompt_tuning_init="SAMPLE_VOCAB")
    )
    wrapped.save_pretrained(tmp_path / "soft", save_embedding_layers=False)
    facts = gguf.prompt_to_gguf(tmp_path / "soft", base, tmp_path / "model.gguf", "f32")
    size = len(tokenizer)
    assert facts["banned_tokens"] == [size, size + 1, size + 2, size + 3]
    trained = parity.TorchModel(tokenizer, wrapped, 4)
    engine = LlamaEngine(tmp_path / "model.gguf", SMALL, (), facts["banned_tokens"])
    served = parity.LlamaServed("soft", engine.client(engine.url, 60), (), engine.banned_tokens)
    try:
        report = parity.check_parity({"custom": trained}, [(served, "custom")], PROMPTS, Parity(), Silent())
    finally:
        served.close()
        engine.close()
    assert report.variants[0].template_equal
    assert report.passed, report


def test_the_quick_reader_reads_what_the_package_reads(base):
    ours, theirs = gguf.read(base), GGUFReader(base)
    assert {k: f.contents() for k, f in ours.fields.items()} == {k: f.contents() for k, f in theirs.fields.items()}
    for our, their in zip(ours.tensors, theirs.tensors, strict=True):
        assert (our.name, our.data_offset) == (their.name, their.data_offset)
        assert np.array_equal(our.data, their.data)


def test_damaged_files_are_named(base, tmp_path, tiny):
    for name, content in (
        ("empty.gguf", b""),
        ("random.gguf", b"GGUF" + bytes(range(200))),
        ("cut.gguf", base.read_bytes()[:-5000]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            gguf.quantize(tmp_path / name, tmp_path / "out.gguf", "q8_0")
    assert not (tmp_path / "out.gguf").exists()
    folder = tmp_path / "folder"
    shutil.copytree(tiny, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["MambaForCausalLM"]}))
    with pytest.raises(InputError, match="Mamba"):
        convert(folder, tmp_path / "out.gguf", "f16")


def test_divergence_of_equal_and_of_other_distributions():
    logits = np.log(np.asarray([0.7, 0.2, 0.1]))
    assert parity.divergence(logits, {0: np.log(0.7), 1: np.log(0.2)}) == pytest.approx(0, abs=1e-6)
    assert parity.divergence(logits, {0: np.log(0.2), 1: np.log(0.7)}) == pytest.approx(
        0.7 * np.log(3.5) + 0.2 * np.log(2 / 7), abs=1e-6
    )
