"""Learning from preferences: the losses are the published ones, and runs end, resume, and keep the length."""

import json
import math
import multiprocessing
import os
import signal
import time

import pytest

from inhouse.config.feedback import Feedback
from inhouse.config.sections import Training
from inhouse.errors import InputError
from inhouse.training import preference, sft
from inhouse.training.data import Tokens
from inhouse.training.job import TrainingJob
from inhouse.training.preference import Preference, PreferenceJob, PreferenceLoss, items_of, train
from inhouse.training.rows import Row
from inhouse.types import Message, Silent

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]
SETTINGS = Training(rank=4, alpha=8, batch_size=4, precision="fp32")
RECIPE = Feedback(epochs=2, learning_rate=5e-3)


def pair(n):
    return Preference(
        messages=(Message(role="user", content=f"What is the fee of plan {n}?"),), chosen=f"It is {n} dollars.",
        rejected=f"Plan {n} has no fee, as far as I know.",
    )  # fmt: skip


PAIRS = tuple(pair(n) for n in range(12))


@pytest.fixture(scope="module")
def start(tiny, tmp_path_factory):
    """An adapter that was trained a little."""
    work = tmp_path_factory.mktemp("start")
    rows = tuple(Row(messages=p.messages, target=p.chosen, kind="grounded") for p in PAIRS)
    settings = SETTINGS.model_copy(update={"epochs": 1, "learning_rate": 1e-2})
    job = TrainingJob(rows=rows, validation=rows[:4], base=tiny, name="tiny", settings=settings, seed=7)
    sft.train(job, work, Silent())
    return work / "adapter"


def job(tiny, start, method="dpo", rows=PAIRS, recipe=RECIPE):
    return PreferenceJob(
        rows=rows, validation=rows[:4], base=tiny, name="tiny", settings=SETTINGS, recipe=recipe, method=method, seed=7,
        start=start,
    )  # fmt: skip


def opened(tiny, start, method, recipe=RECIPE, rows=PAIRS):
    """The loss with a model, and the items with their log-probabilities under the reference."""
    tokenizer, model = sft.load(tiny)
    model = sft.adapted(model, SETTINGS, start)
    items, _ = items_of(rows, method, tokenizer, 400)
    loss = PreferenceLoss(model, job(tiny, start, method, rows, recipe), items)
    return tokenizer, model, loss, items


def known(loss, items, tmp_path):
    return preference._with_reference(loss, (items, items[:1]), tmp_path, True)[0]


def weights_of(work):
    from safetensors.numpy import load_file

    return {n: t.tobytes() for n, t in load_file(work / "adapter" / "adapter_model.safetensors").items()}


def logp(model, tokens: Tokens):
    """The log-probability of an answer from whole logits, one row at a time: slow and plain."""
    import torch

    logits = model(input_ids=torch.tensor([tokens.ids])).logits[0].float().log_softmax(-1)
    places = range(len(tokens.ids) - tokens.answer, len(tokens.ids))
    return sum(logits[at - 1, tokens.ids[at]] for at in places)


# --- losses and gradients ---------------------------------------------------------------------------------------


def moved(model):
    """Changes the adapter, so that it is no longer the reference."""
    import torch

    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))


def gradients(model, loss):
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.autograd.grad(loss, trained)


@pytest.mark.parametrize("controlled", [True, False], ids=["mean length", "own length"])
@pytest.mark.parametrize("anchor", [0.0, 0.3])
def test_dpo_is_the_formula_with_its_gradients(controlled, anchor, tiny, start, tmp_path):
    import torch

    recipe = RECIPE.model_copy(update={"length_control": controlled, "anchor": anchor, "beta": 0.7})
    _, model, loss, items = opened(tiny, start, "dpo", recipe, PAIRS[:3])
    items = known(loss, items, tmp_path)
    with torch.no_grad():
        reference = [[float(logp(model, side)) for side in item.sides] for item in items]
    moved(model)
    wanted = torch.zeros(())
    mean = sum(s.answer for i in items for s in i.sides) / 6
    for item, (good, bad) in zip(items, reference, strict=True):
        logs = [logp(model, side) for side in item.sides]
        scale = [mean / s.answer if controlled else 1.0 for s in item.sides]
        margin = (logs[0] - good) * scale[0] - (logs[1] - bad) * scale[1]
        wanted = wanted - torch.log(1 / (1 + torch.exp(-0.7 * margin))) - anchor * logs[0] / item.sides[0].answer
    found = loss(items, False)
    assert float(found) == pytest.approx(float(wanted), rel=1e-4)
    for ours, theirs in zip(gradients(model, found), gradients(model, wanted), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_dpo_starts_at_log_2(tiny, start, tmp_path):
    _, _, loss, items = opened(tiny, start, "dpo", RECIPE.model_copy(update={"anchor": 0.0}))
    items = known(loss, items, tmp_path)
    assert float(loss(items, False)) / len(items) == pytest.approx(math.log(2), abs=1e-4)


def test_kto_is_the_formula_with_its_gradients(tiny, start, tmp_path):
    import torch

    recipe = RECIPE.model_copy(update={"length_control": False, "anchor": 0.0, "beta": 0.5})
    rows = (*PAIRS[:2], Preference(messages=PAIRS[2].messages, rejected="No."))  # 2 wanted answers, 3 unwanted ones
    _, model, loss, items = opened(tiny, start, "kto", recipe, rows)
    items = known(loss, items, tmp_path)
    with torch.no_grad():
        reference = [float(logp(model, item.sides[0])) for item in items]
        others = [float(logp(model, item.other)) for item in items]
    moved(model)
    total, count = loss.reference_point(items, False)
    with torch.no_grad():
        point = sum(float(logp(model, item.other)) - other for item, other in zip(items, others, strict=True))
    assert (count, total) == (5, pytest.approx(point, rel=1e-3))
    loss.z = 0.4
    wanted = torch.zeros(())
    for item, before in zip(items, reference, strict=True):
        ratio, good = logp(model, item.sides[0]) - before, item.wanted[0]
        value = torch.sigmoid(0.5 * (ratio - 0.4 if good else 0.4 - ratio))
        wanted = wanted + (5 / 4 if good else 5 / 6) * (1 - value)
    found = loss(items, False)
    assert float(found) == pytest.approx(float(wanted), rel=1e-4)
    for ours, theirs in zip(gradients(model, found), gradients(model, wanted), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_dpo_is_that_of_trl(tiny, start, tmp_path):
    trl = pytest.importorskip("trl")
    import torch
    from datasets import Dataset

    recipe = RECIPE.model_copy(update={"length_control": False, "anchor": 0.0, "beta": 0.3})
    tokenizer, model, loss, items = opened(tiny, start, "dpo", recipe, PAIRS[:4])
    items = known(loss, items, tmp_path)

    def text(messages):
        turns = [m.to_openai() for m in messages]
        return tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)

    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = [{"prompt": text(p.messages), "chosen": p.chosen, "rejected": p.rejected} for p in PAIRS[:4]]
    options = trl.DPOConfig(
        output_dir=str(tmp_path), beta=0.3, per_device_train_batch_size=4, report_to=[], use_cpu=True, bf16=False,
        gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.DPOTrainer(
        model=model, args=options, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
    )
    moved(model)
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, batch)
    ours = loss(items, False) / len(items)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-4)
    for a, b in zip(gradients(model, ours), gradients(model, theirs), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-5)


# --- what is learned --------------------------------------------------------------------------------------------


def margins(tiny, adapter, rows=PAIRS):
    """By how much the model prefers the chosen answer of each pair."""
    import torch

    tokenizer, model = sft.load(tiny)
    model = sft.adapted(model, SETTINGS, adapter)
    items, _ = items_of(rows, "dpo", tokenizer, 400)
    with torch.no_grad():
        return [float(logp(model, i.sides[0]) - logp(model, i.sides[1])) for i in items]


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_chosen_answers_become_likelier(method, tiny, start, tmp_path):
    facts = train(job(tiny, start, method), tmp_path, Silent())
    before, after = margins(tiny, start), margins(tiny, tmp_path / "adapter")
    assert sum(a > b for a, b in zip(after, before, strict=True)) >= 10
    assert facts["validation_loss"] < facts["validation_loss_first"]
    assert facts["method"] == method
    assert facts["examples"] == (12 if method == "dpo" else 24)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "log.jsonl"]


def test_kto_learns_from_thumbs_alone(tiny, start, tmp_path):
    thumbs = tuple(p.model_copy(update={"rejected" if n % 2 else "chosen": ""}) for n, p in enumerate(PAIRS))
    facts = train(job(tiny, start, "kto", thumbs), tmp_path, Silent())
    assert facts["examples"] == 12
    after = margins(tiny, tmp_path / "adapter")
    assert sum(after) > sum(margins(tiny, start))
    with pytest.raises(InputError, match="no row for dpo"):
        train(job(tiny, start, "dpo", thumbs), tmp_path / "none", Silent())


def test_length_control_does_not_prefer_an_answer_for_its_length(tiny, start, tmp_path):
    """Where the log-probability of every token rises alike, r grows with the length; with control it does not."""
    import torch

    long = Preference(
        messages=PAIRS[0].messages, chosen="It is 3 dollars for each of the four quarters.", rejected="No."
    )
    for controlled in (True, False):
        recipe = RECIPE.model_copy(update={"length_control": controlled})
        _, _, loss, (item,) = opened(tiny, start, "dpo", recipe, (long,))
        a, b = item.sides
        assert a.answer > 2 * b.answer
        logs = torch.tensor([0.1 * a.answer, 0.1 * b.answer])  # each token is likelier by .1
        ratios = loss.ratios(logs, (0.0, 0.0), item.sides)
        assert (abs(float(ratios[0] - ratios[1])) < 1e-5) == controlled


# --- runs -------------------------------------------------------------------------------------------------------


class Interrupting(Silent):
    """Stops the run after some steps, as Ctrl-C would."""

    def __init__(self, after):
        self.after = after

    def step(self, label, total):
        outer = self

        class Step:
            def __enter__(self):
                return self

            def __exit__(self, *rest):
                return None

            def advance(self, amount=1, note=""):
                outer.after -= 1
                if label == "fine-tuning" and outer.after == 0:
                    raise KeyboardInterrupt

        return Step()


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(method, tiny, start, tmp_path, monkeypatch):
    monkeypatch.setattr(sft, "SAVE_EVERY_S", 0.0)
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    train(job(tiny, start, method), tmp_path / "whole", Silent())
    with pytest.raises(KeyboardInterrupt):
        train(job(tiny, start, method), tmp_path / "cut", Interrupting(4))
    assert (tmp_path / "cut" / preference.REFERENCE).is_file()
    train(job(tiny, start, method), tmp_path / "cut", Silent())
    assert weights_of(tmp_path / "whole") == weights_of(tmp_path / "cut")
    assert not (tmp_path / "cut" / preference.REFERENCE).exists()


def endless(job, work):
    sft.SAVE_EVERY_S = 0.0
    train(job, work, Silent())


def test_kill_9_leaves_a_checkpoint_that_goes_on(tiny, start, tmp_path):
    recipe = RECIPE.model_copy(update={"epochs": 10_000})
    endless_job = job(tiny, start, recipe=recipe)
    patient = endless_job.model_copy(update={"settings": SETTINGS.model_copy(update={"patience": 10_000})})
    process = multiprocessing.get_context("spawn").Process(target=endless, args=(patient, tmp_path))
    process.start()
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.is_alive():
        states = list(tmp_path.glob("checkpoint/state.json"))
        if states and json.loads(states[0].read_text() or "{}").get("step", 0) > 2:
            break
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    state_file = next(tmp_path.glob("checkpoint*/state.json"))
    before = json.loads(state_file.read_text())
    assert before["step"] > 2
    state_file.write_text(json.dumps({**before, "planned": before["step"] + 2}))
    assert train(patient, tmp_path, Silent())["steps"] == before["step"] + 2


def test_rows_that_do_not_fit_are_counted(tiny):
    tokenizer, _ = sft.load(tiny)
    long = Preference(messages=(Message(role="user", content="why " * 500),), chosen="a", rejected="b")
    items, left_out = items_of((long, PAIRS[0]), "dpo", tokenizer, 100)
    assert (len(items), left_out) == (1, 1)
