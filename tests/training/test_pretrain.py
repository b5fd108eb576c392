import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest

from inhouse.config.pretraining import Pretraining
from inhouse.errors import InputError
from inhouse.training.packing import (
    Pack,
    TextLoss,
    _padded,
    bits_per_byte,
    joined,
    pack,
    pieces,
    separator_of,
)
from inhouse.training.pretrain import Held, PretrainJob, _filled, mixed, train
from inhouse.training.sft import load
from inhouse.types import Message, Silent

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]
TEXTS = [f"The fee of plan {n} is {n * 3} dollars, and it takes {n} days. " * (1 + n % 4) for n in range(24)]
GENERAL = [f"Rivers of kind {n} flow from the mountains to the sea, as they always did." for n in range(8)]
CHAT = tuple((Message(role="user", content=f"Say {n}."), Message(role="assistant", content=f"{n}")) for n in range(3))
RECIPE = Pretraining(rank=4, alpha=8, pack_tokens=96, batch_tokens=288, learning_rate=5e-3, epochs=2)


def job(tiny, **more):
    held = Held(domain=tuple(TEXTS[:3]), general=tuple(GENERAL[:2]))
    given = {"domain": tuple(TEXTS), "held": held, "base": tiny, "name": "tiny", "recipe": RECIPE, "seed": 7,
             "general": tuple(GENERAL[2:]), "chat": CHAT, "precision": "fp32"}  # fmt: skip
    return PretrainJob(**(given | more))


def run(tiny, work, **more):
    work.mkdir(exist_ok=True)
    return train(job(tiny, **more), work, Silent())


@pytest.fixture(scope="module")
def loaded(tiny):
    return load(tiny)


def packs_of(loaded, texts, most=96):
    tokenizer, _ = loaded
    return [p for t in texts for p in pieces(t, tokenizer, separator_of(tokenizer), most)]


# --- packing


def test_logits_of_a_packed_text_are_those_of_the_text_alone(loaded):
    import torch

    loss, texts = TextLoss(loaded[1]), packs_of(loaded, TEXTS[:3])
    loss.model.eval()
    with torch.no_grad():
        alone = [loss._logits([t], False)[0] for t in texts]
        together, labels, _ = loss._logits([joined(texts), texts[1]], False)
    assert labels.tolist() == [n for t in (*texts, texts[1]) for n in t.ids[1:]]
    assert torch.allclose(together, torch.cat([*alone, alone[1]]), atol=1e-4)


def test_without_the_mask_they_would_differ(loaded):
    """The test above can fail: causal attention over the whole pack gives other logits."""
    import torch

    texts = packs_of(loaded, TEXTS[:3])
    one = joined(texts)
    blind = Pack(one.ids, one.answer, (len(one.ids),), one.bytes)  # as if it were one text
    loss = TextLoss(loaded[1])
    with torch.no_grad():
        packed, seen = loss._logits([one], False)[0], loss._logits([blind], False)[0]
    last = len(texts[-1].ids) - 1
    assert not torch.allclose(packed[-last:], seen[-last:], atol=1e-2)


def test_the_mask_is_block_diagonal_and_positions_begin_again(loaded):
    texts = [Pack([9] * n, n - 1, (n,), n) for n in (3, 2)]
    ids, positions, mask, places, labels = _padded([joined(texts)], "cpu")
    assert mask[0, 0, :6, :6].int().tolist() == [
        [1, 0, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 1],
    ]  # fmt: skip
    assert positions[0, :5].tolist() == [0, 1, 2, 0, 1]
    assert places.T.tolist() == [[0, 0], [0, 1], [0, 3]]
    assert len(labels) == sum(t.answer for t in texts)


def test_best_fit_leaves_little_room_and_loses_nothing():
    sizes = [60, 50, 40, 30, 30, 20, 10, 96, 96, 46]
    made = pack([Pack([n] * size, size - 1, (size,), size) for n, size in enumerate(sizes)], 100)
    assert sorted(length for p in made for length in p.lengths) == sorted(sizes)
    assert all(len(p.ids) == sum(p.lengths) <= 100 for p in made)
    assert sorted(sum(p.lengths) for p in made) == [90, 96, 96, 96, 100]
    assert sum(p.bytes for p in made) == sum(sizes)


@pytest.mark.parametrize("text", ["Plan 3 costs €5. " * 40, "日本語のテキスト、" * 30, "é😀 ü" * 40, "short", ""])
def test_a_long_text_is_cut_and_its_bytes_add_up(loaded, text):
    made = packs_of(loaded, [text], 32)
    tokenizer = loaded[0]
    assert [n for p in made for n in p.ids[1:]] == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert sum(p.bytes for p in made) == len(text.encode())
    assert all(len(p.ids) <= 32 and p.ids[0] == separator_of(tokenizer) for p in made)


def test_bits_per_byte_by_hand(loaded):
    import torch

    tokenizer, model = loaded
    texts = ["Plan 3 costs 9 dollars.", "Das kostet 5 €, für alle."]
    bits = 0.0
    for text in texts:
        ids = [separator_of(tokenizer), *tokenizer(text, add_special_tokens=False)["input_ids"]]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        for at, token in enumerate(ids[1:]):
            bits -= float(torch.log2(torch.softmax(logits[at], -1)[token]))
    expected = bits / sum(len(t.encode()) for t in texts)
    packed = pack(packs_of(loaded, texts), 96)
    assert len(packed) == 1
    assert bits_per_byte(TextLoss(model), packed) == pytest.approx(expected, rel=1e-5)
    assert math.isnan(bits_per_byte(TextLoss(model), []))


# --- the run


def test_the_mix_has_its_shares(tiny, loaded):
    recipe = RECIPE.model_copy(update={"general_share": 0.3, "chat_share": 0.1})
    made, counts = mixed(job(tiny, recipe=recipe), loaded[0])
    whole = sum(counts.values())
    assert sum(p.answer for p in made) == whole
    assert counts["general_tokens"] / whole == pytest.approx(0.3, abs=0.04)
    assert counts["chat_tokens"] / whole == pytest.approx(0.1, abs=0.04)
    _, counts = mixed(job(tiny, recipe=recipe, tokens=3000), loaded[0])
    assert counts["domain_tokens"] == pytest.approx(3000, abs=96)
    _, counts = mixed(job(tiny, general=(), chat=()), loaded[0])
    assert (counts["general_tokens"], counts["chat_tokens"]) == (0, 0)
    greedy = RECIPE.model_copy(update={"general_share": 0.6, "chat_share": 0.5})
    with pytest.raises(InputError, match="no room for documents"):
        mixed(job(tiny, recipe=greedy), loaded[0])


def test_all_texts_come_once_before_one_comes_again():
    import random

    texts = [Pack([n], 1, (1,), 1) for n in range(5)]
    taken = [p.ids[0] for p in _filled(texts, 12, random.Random(1))]
    assert sorted(taken[:5]) == sorted(taken[5:10]) == list(range(5))
    assert len(taken) == 12


def test_it_learns_the_domain_and_writes_an_adapter(tiny, tmp_path):
    facts = run(tiny, tmp_path / "a")
    before, after = facts["bits_per_byte_before"], facts["bits_per_byte_after"]
    assert after["domain"] < 0.9 * before["domain"]
    assert set(before) == set(after) == {"domain", "general"}
    assert facts["fill"] > 0.85
    assert (facts["stopped"], facts["method"]) == ("epochs", "lora")
    assert (tmp_path / "a" / "adapter" / "adapter_model.safetensors").is_file()
    assert not list(tmp_path.rglob("checkpoint*"))


def test_all_weights_learn_too(tiny, tmp_path):
    full = RECIPE.model_copy(update={"method": "full", "learning_rate": 1e-3, "epochs": 1})
    facts = run(tiny, tmp_path / "a", recipe=full)
    assert facts["bits_per_byte_after"]["domain"] < facts["bits_per_byte_before"]["domain"]
    assert (tmp_path / "a" / "weights" / "model.safetensors").is_file()


def test_no_text_is_an_error(tiny, tmp_path):
    with pytest.raises(InputError, match="no text"):
        run(tiny, tmp_path / "a", domain=())


TRAIN = """
import sys
from pathlib import Path
from inhouse.training import pretrain, sft
from inhouse.types import Silent
sft.SAVE_EVERY_S = 0.0
job = pretrain.PretrainJob.model_validate_json(Path(sys.argv[1]).read_text())
pretrain.train(job, Path(sys.argv[2]), Silent())
"""


def test_a_killed_run_ends_with_the_same_curve(tiny, tmp_path):
    whole = run(tiny, tmp_path / "whole")
    work = tmp_path / "killed"
    work.mkdir()
    (tmp_path / "job.json").write_text(job(tiny).model_dump_json())
    child = subprocess.Popen([sys.executable, "-c", TRAIN, str(tmp_path / "job.json"), str(work)])
    state = work / "checkpoint" / "state.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and child.poll() is None:
        if state.is_file():
            try:
                if json.loads(state.read_text())["step"] >= 3:
                    break
            except (ValueError, OSError):
                pass
        time.sleep(0.002)
    assert child.poll() is None, "it ended before it was killed"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    again = run(tiny, work)
    assert again["steps"] == whole["steps"]
    assert again["bits_per_byte_before"] == whole["bits_per_byte_before"]
    assert again["bits_per_byte_after"] == pytest.approx(whole["bits_per_byte_after"], abs=1e-6)

    def curve(folder):  # a step after the last checkpoint may be there twice: with the same loss
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        return {line["step"]: (line["tokens"], line["validation_loss"]) for line in lines}

    assert curve(work) == curve(tmp_path / "whole")
