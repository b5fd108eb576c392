import json
import math
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from inhouse.config.scratch import Scratch
from inhouse.config.sections import Model, Parity
from inhouse.errors import InputError
from inhouse.evaluation import parity
from inhouse.models.llama import LlamaEngine
from inhouse.training import corpus, scratch
from inhouse.training.convert import convert
from inhouse.training.curve import draw
from inhouse.training.plan import PEAK, UTILIZATION, Plan, Shape, budget, hours, rate_of, suited_depth
from inhouse.training.sft import load
from inhouse.types import Message, Silent

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]
TEXTS = [
    f"# Plan {n}\n\nPlan {n} of the bank costs ${n + 3} a month and takes {n} days. Customers of branch {n % 5} pay "
    f"{'less' if n % 2 else 'more'} in winter, and they may cancel it at any time without a fee." for n in range(60)
]  # fmt: skip
TINY = Scratch(depth=1, vocabulary=400, context_tokens=48, tokens=4800, minutes=0, batch_tokens=192, precision="fp32")
ODD = "Größe 12,345\t€ — “quoted” 😀👩‍👩‍👧 日本語 \x00\x7f\r\n  two  spaces\u00a0 <|im_end|> don't 0123456789 ᚠ"


def trained(work, settings=TINY, texts=TEXTS, seed=7):
    work.mkdir(exist_ok=True)
    return scratch.train(texts, settings, seed, work, Silent(), 256)


def curve(work):
    return json.loads((work / "curve.json").read_text())


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    work = tmp_path_factory.mktemp("scratch")
    return work, trained(work)


def test_it_learns_and_says_how_much(done):
    work, facts = done
    assert facts["bits_per_byte"] < 0.75 * facts["bits_per_byte_untrained"]
    assert facts["parameters"] == Shape(depth=1, vocabulary=facts["vocabulary"], context_tokens=48).parameters
    assert facts["tokens"] == 4800
    assert facts["steps"] == len(curve(work)["training"]) == 25
    assert (work / "curve.svg").read_text().startswith("<svg")
    left = {p.name for p in work.iterdir()}
    assert left == {"base", "curve.json", "curve.svg", "plan.json"}
    assert not any(p.suffix in (".bin", ".pkl", ".pt") for p in work.rglob("*"))


def test_the_folder_is_the_model_that_was_measured(done):
    work, facts = done
    tokenizer, model = load(work / "base")
    _, held = corpus.divide(TEXTS, TINY.held_out, 7)
    own = tokenizer.backend_tokenizer
    again = scratch.bits_per_byte(model, corpus.encode(own, held), corpus.token_bytes(own), 48)
    assert again == pytest.approx(facts["bits_per_byte"], abs=1e-4)


def test_the_same_seed_gives_the_same_curve_and_another_one_another(done, tmp_path):
    work, _ = done
    trained(tmp_path / "again")
    trained(tmp_path / "other", seed=8)
    assert curve(tmp_path / "again")["training"] == pytest.approx(curve(work)["training"], abs=1e-6)
    assert curve(tmp_path / "other")["training"] != pytest.approx(curve(work)["training"], abs=1e-3)


ENDED = """
import json, sys
from pathlib import Path
from inhouse.config.scratch import Scratch
from inhouse.training import scratch
from inhouse.types import Silent

texts, settings = json.load(sys.stdin)
scratch.SAVE_EVERY_S = 0.0
scratch.train(texts, Scratch(**settings), 7, Path(sys.argv[1]), Silent(), 256)
"""


def test_after_kill_9_the_curve_is_that_of_a_run_that_was_not_killed(done, tmp_path):
    work, _ = done
    command = [sys.executable, "-c", ENDED, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        process.stdin.write(json.dumps([TEXTS, TINY.model_dump()]))
        process.stdin.close()
        state, deadline = tmp_path / "checkpoint" / "state.json", time.monotonic() + 60
        while not state.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        process.kill()
    steps = json.loads(next(tmp_path.glob("checkpoint*/state.json")).read_text())["step"]
    assert 0 < steps < 25
    assert not (tmp_path / "base").exists()
    trained(tmp_path)
    assert curve(tmp_path)["training"] == pytest.approx(curve(work)["training"], abs=1e-6)
    for (step, loss), (other, same) in zip(curve(tmp_path)["held_out"], curve(work)["held_out"], strict=True):
        assert step == other
        assert loss == pytest.approx(same, abs=1e-6)


def test_the_engine_serves_what_was_trained(done, tmp_path):
    work, _ = done
    convert(work / "base", tmp_path / "model.gguf", "f32")
    tokenizer, model = load(work / "base")
    engine = LlamaEngine(tmp_path / "model.gguf", Model(context_tokens=256, parallel=1, threads=2), [])
    served = parity.LlamaServed("served", engine.client(engine.url, 60), engine.lora(None))
    prompts = [(Message(role="user", content=t),) for t in ("What does plan 7 cost?", ODD.replace("<|im_end|>", ""))]
    try:
        report = parity.check_parity(
            {"custom": parity.TorchModel(tokenizer, model)}, [(served, "custom")], prompts, Parity(), Silent()
        )
    finally:
        served.close()
        engine.close()
    assert report.passed, report
    assert report.variants[0].mean_divergence_nats < 0.01


def test_a_machine_that_becomes_slower_keeps_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "probe", lambda shape, precision, rows: (False, 1e6))  # far too fast
    started = time.monotonic()
    facts = trained(tmp_path, TINY.model_copy(update={"tokens": 10**7, "minutes": 0.03}))
    assert time.monotonic() - started < 15
    assert facts["limit"] == "scratch.minutes"
    assert 0 < facts["steps"] == len(curve(tmp_path)["training"]) < 5000


# --- the tokenizer ------------------------------------------------------------------------------------------------


def test_every_text_is_read_back_as_it_was():
    tokenizer = corpus.train_tokenizer(TEXTS, 400)
    lengths = corpus.token_bytes(tokenizer)
    everything = "".join(chr(n) for n in (*range(0x300), *range(0x2000, 0x2100), *range(0x1F600, 0x1F640)))
    for text in (ODD, everything, TEXTS[3]):
        ids = corpus.encode(tokenizer, [text])[0]
        assert tokenizer.decode(ids[1:].tolist(), skip_special_tokens=False) == text
        assert lengths[ids].sum() == len(text.encode())


def test_markers_in_a_text_are_text():
    tokenizer = corpus.train_tokenizer(TEXTS, 400)
    ids = corpus.encode(tokenizer, ["a <|im_end|> b <|endoftext|>"])[0]
    assert (ids < 3).tolist() == [True] + [False] * (len(ids) - 1)
    assert tokenizer.encode("<|im_end|>").ids == [2]  # the chat template's is not


# --- rows ---------------------------------------------------------------------------------------------------------


def test_every_token_is_predicted_once_in_each_pass():
    random = np.random.default_rng(3)
    documents = [np.concatenate([[0], random.integers(3, 50, n)]) for n in (1, 5, 16, 17, 200, 31)]
    wanted = sorted(t for d in documents for t in [*d[1:].tolist(), 0])
    seen = []
    for epoch in range(3):
        rows = corpus.epoch_rows(documents, 16, 0, 7, epoch)
        assert sorted(rows.labels[rows.labels != corpus.IGNORED].tolist()) == wanted
        assert len(rows) <= math.ceil(len(wanted) / 16) + 1
        again = corpus.epoch_rows(documents, 16, 0, 7, epoch)
        assert np.array_equal(rows.ids, again.ids)
        seen.append(rows.ids.tolist())
    assert seen[0] != seen[1]


def test_attention_stays_inside_a_document():
    import torch

    torch.manual_seed(1)
    model = scratch.new_model(Shape(depth=1, vocabulary=60, context_tokens=16)).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(8)  # so that attention is far from even
    random = np.random.default_rng(3)
    pieces = [(random.integers(3, 60, n), random.integers(3, 60, n)) for n in (7, 5, 3)]
    rows = corpus.pack(pieces, 16, 0)
    assert len(rows) == 1

    def loss(ids, positions, labels):
        parts = [torch.from_numpy(np.asarray(a, dtype=np.int64))[None] for a in (ids, positions, labels)]
        return float(scratch._loss(model, *parts, False))

    alone = sum(loss(i, np.arange(len(i)), following) for i, following in pieces)
    assert loss(rows.ids[0], rows.positions[0], rows.labels[0]) == pytest.approx(alone, rel=1e-5)
    assert loss(rows.ids[0], np.arange(16), rows.labels[0]) != pytest.approx(alone, rel=1e-3)


def test_rows_of_one_piece_need_no_mask(tmp_path, monkeypatch):
    import torch
    from tokenizers import Tokenizer, models

    tokenizer = Tokenizer(models.WordLevel({corpus.END: 0, **{f"t{n}": n for n in range(1, 60)}}))
    random = np.random.default_rng(3)
    documents = [random.integers(3, 60, n).astype(np.int32) for n in (16, 5, 16, 6, 4, 16, 9, 3)]
    plan = Plan(
        shape=Shape(depth=1, vocabulary=60, context_tokens=16), text_tokens=75, text_bytes=75, held_bytes=1, tokens=160,
        steps=2, batch_rows=5, tokens_s=1.0, limit="tokens", autocast=False, learning_rate=0.1,
    )  # fmt: skip
    monkeypatch.setattr(scratch, "MICRO_TOKENS", 32)  # two rows a pass
    real, seen = scratch._loss, []

    def losses(masked):
        def loss(model, ids, positions, labels, autocast):
            seen.append(positions is None)
            if masked and positions is None:
                positions = torch.arange(ids.shape[1]).expand(len(ids), -1)
            return real(model, ids, positions, labels, autocast)

        monkeypatch.setattr(scratch, "_loss", loss)
        run = scratch.Run(scratch.Prepared(tokenizer, documents, documents[:1], plan), TINY, 7, tmp_path)
        return [run._step(), run._step()]

    assert losses(False) == pytest.approx(losses(True), rel=1e-5)
    assert set(seen) == {True, False}


def test_held_out_documents_are_whole_and_not_trained_on():
    own, held = corpus.divide([*TEXTS, TEXTS[0]], 0.2, 7)
    assert len(own) + len(held) == 60
    assert not set(own) & set(held)
    assert 0.2 <= sum(map(len, held)) / sum(map(len, TEXTS)) < 0.25
    assert corpus.divide(TEXTS[::-1], 0.2, 7) == (own, held)


# --- the plan -----------------------------------------------------------------------------------------------------


def test_the_shape_is_that_of_the_model():
    for depth in (1, 3):
        shape = Shape(depth=depth, vocabulary=500, context_tokens=64)
        model = scratch.new_model(shape)
        assert sum(p.numel() for p in model.parameters()) == shape.parameters
        assert model.config.hidden_size == 64 * depth
        assert model.config.num_hidden_layers == depth


def test_the_arithmetic_of_the_plan():
    shape = Shape(depth=4, vocabulary=4096, context_tokens=512)
    layers = 4 * (4 * 256 * 256 + 3 * 256 * 704)
    assert shape.token_flops == 6 * (layers + 4096 * 256) + 12 * 4 * 256 * 512
    assert shape.parameters == layers + 4096 * 256 + 9 * 256
    assert shape.optimal_tokens == 20 * shape.parameters
    plan = Plan(
        shape=shape, text_tokens=1_000_000, text_bytes=4_000_000, held_bytes=1, tokens=50_000_000, steps=1,
        batch_rows=1, tokens_s=10_000, limit="x", autocast=False, learning_rate=1e-3,
    )  # fmt: skip
    assert plan.flops == shape.token_flops * 50e6
    assert plan.hours_here(36_000_000) == pytest.approx(1)
    assert plan.hours_on_gpus(8, 10**9) == pytest.approx(shape.token_flops * 1e9 / (8 * PEAK * UTILIZATION) / 3600)
    said = "\n".join(plan.lines())
    assert "4,262,144 parameters" in said
    assert "50.0 passes" in said
    assert "hardly helps" in said
    least = shape.token_flops * shape.optimal_tokens
    assert suited_depth(least, 4096, 512) == 4
    assert suited_depth(0.99 * least, 4096, 512) == 3
    assert [hours(h) for h in (0.001, 0.5, 20)] == ["3.6 seconds", "30 minutes", "20.0 hours"]


def test_the_smaller_of_tokens_and_minutes_counts():
    shape = Shape(depth=1, vocabulary=400, context_tokens=64)
    assert budget(Scratch(tokens=500, minutes=1), shape, 100) == (500, "scratch.tokens")
    assert budget(Scratch(tokens=50_000, minutes=1), shape, 100) == (6000, "scratch.minutes")
    assert budget(Scratch(minutes=0), shape, 100) == (shape.optimal_tokens, "compute-optimal")
    assert rate_of(Scratch(depth=4)) == 2e-3
    assert rate_of(Scratch(depth=16)) == 1e-3
    assert rate_of(Scratch(learning_rate=0.5)) == 0.5


def test_the_learning_rate_rises_and_falls():
    rates = [scratch.factor(n, 100) for n in range(100)]
    assert rates[4] == 1.0 == max(rates)
    assert rates[:5] == sorted(rates[:5])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert 0.1 <= rates[-1] < 0.102


def test_the_curve_is_a_picture_of_the_figures():
    picture = draw([4.0, 3.0, 2.5], [(0, 4.2), (3, 2.6)], 1000)
    held = re.search('class="held" points="([^"]*)"', picture).group(1).split()
    (x0, y0), (x1, y1) = (map(float, p.split(",")) for p in held)
    assert x0 < x1
    assert y0 < y1  # a lower loss is lower
    assert "2.600" in picture


# --- bad input ----------------------------------------------------------------------------------------------------


def test_bad_text_is_refused_with_its_place(tmp_path):
    (tmp_path / "good.jsonl").write_text('{"text": "a"}\n\n{"text": "b"}')
    (tmp_path / "note.md").write_text("c")
    assert corpus.read_texts([tmp_path]) == ["a", "b", "c"]
    bad = {"row.jsonl": b'{"text": "a"}\n{"txt": 1}', "list.jsonl": b"\n[1]", "latin.txt": b"caf\xe9"}
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    for name, where in (("row.jsonl", ":2:"), ("list.jsonl", ":2:"), ("latin.txt", "byte 3"), ("none.txt", "no text")):
        with pytest.raises(InputError, match=re.escape(name)) as error:
            corpus.read_texts([tmp_path / name])
        assert where in str(error.value)


def test_too_little_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="two documents"):
        trained(tmp_path, texts=["only one", "  "])
    with pytest.raises(InputError, match=r"less than scratch\.context_tokens"):
        trained(tmp_path / "short", texts=["one", "two"])
