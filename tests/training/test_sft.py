import json
import multiprocessing
import os
import signal
import time
from contextlib import contextmanager

import pytest

from inhouse.config.sections import Assistant, Training
from inhouse.errors import BackendError, InputError
from inhouse.training import local
from inhouse.training.data import batches, encode
from inhouse.training.job import TrainingJob
from inhouse.training.rows import Mixer, Row, _json_values
from inhouse.training.sft import load, train
from inhouse.types import Example, Message, Passage, Silent

pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")]
SETTINGS = Training(rank=4, alpha=8, epochs=2, batch_size=4, learning_rate=5e-3)


def row(question, target, kind="grounded"):
    return Row(messages=(Message(role="user", content=question),), target=target, kind=kind)


ROWS = [row(f"What is the fee of plan {n}?", f"The fee of plan {n} is {n * 3} dollars.") for n in range(16)]


def job(tiny, settings=SETTINGS, rows=ROWS, validation=None):
    return TrainingJob(rows=rows, validation=validation or rows[:4], base=tiny, name="tiny", settings=settings, seed=7)


def run(tiny, work, settings=SETTINGS, rows=ROWS):
    work.mkdir(exist_ok=True)
    return train(job(tiny, settings, rows), work, Silent())


def weights_of(work):
    from safetensors.numpy import load_file

    file = next(work.rglob("*.safetensors"))
    return {n: t.tobytes() for n, t in load_file(file).items()}


def test_labels_are_the_answer_and_its_end(tiny):
    tokenizer, _ = load(tiny)
    (made,), too_long = encode(ROWS[3:4], tokenizer, 200)
    assert too_long == 0
    assert tokenizer.decode(made.ids[-made.answer :]) == "The fee of plan 3 is 9 dollars.<|im_end|>"
    assert tokenizer.decode(made.ids[: -made.answer]).endswith(
        "What is the fee of plan 3?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_long_prompt_loses_passages_then_history(tiny):
    tokenizer, _ = load(tiny)
    passages = "\n".join(f"[{n}] {'word ' * 20}" for n in range(1, 6))
    turns = (Message(role="system", content="Be brief."), Message(role="user", content="old " * 20),
             Message(role="assistant", content="yes"), Message(role="user", content=f"{passages}\n\nQuestion: why?"))  # fmt: skip
    made, too_long = encode([Row(messages=turns, target="Because.", kind="grounded")], tokenizer, 110)
    text = tokenizer.decode(made[0].ids)
    assert "[2]" in text
    assert "[5]" not in text
    assert "Question: why?" in text
    assert len(made[0].ids) - made[0].answer <= 110
    assert encode([Row(messages=turns, target="x", kind="grounded")], tokenizer, 10)[1] == 1


def test_batches_hold_every_row_once_in_a_repeatable_order(tiny):
    tokenizer, _ = load(tiny)
    rows, _ = encode(ROWS, tokenizer, 200)
    first = batches(rows, 3, 7, 0)
    assert sorted(n for b in first for n in b) == list(range(16))
    assert first == batches(rows, 3, 7, 0)
    assert first != batches(rows, 3, 7, 1)


def test_the_loss_falls_and_a_seed_repeats_it(tiny, tmp_path):
    facts = run(tiny, tmp_path / "a")
    again = run(tiny, tmp_path / "b")
    assert facts["validation_loss"] < facts["validation_loss_first"] or facts["loss"] < facts["validation_loss_first"]
    assert facts["steps"] == 8
    assert facts["stopped"] == "epochs"
    if facts["precision"] == again["precision"]:
        assert weights_of(tmp_path / "a") == weights_of(tmp_path / "b")
    config = json.loads((tmp_path / "a" / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny"
    assert not list(tmp_path.rglob("checkpoint*"))


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


def test_an_interrupted_run_ends_as_an_uninterrupted_one(tiny, tmp_path, monkeypatch):
    from inhouse.training import sft

    monkeypatch.setattr(sft, "SAVE_EVERY_S", 0.0)
    settings = SETTINGS.model_copy(update={"precision": "fp32"})
    run(tiny, tmp_path / "whole", settings)
    (tmp_path / "cut").mkdir()
    with pytest.raises(KeyboardInterrupt):
        train(job(tiny, settings), tmp_path / "cut", Interrupting(5))
    assert (tmp_path / "cut" / "checkpoint" / "state.json").exists()
    facts = run(tiny, tmp_path / "cut", settings)
    assert facts["steps"] == 8
    assert weights_of(tmp_path / "whole") == weights_of(tmp_path / "cut")


def endless(tiny, work):
    from inhouse.training import sft

    sft.SAVE_EVERY_S = 0.0
    train(job(tiny, SETTINGS.model_copy(update={"epochs": 10_000, "patience": 10_000})), work, Silent())


def test_kill_9_leaves_a_checkpoint_that_goes_on(tiny, tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=endless, args=(tiny, tmp_path))
    process.start()
    state, deadline = tmp_path / "checkpoint" / "state.json", time.monotonic() + 90
    while not state.exists() and process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (tmp_path / "adapter").exists()
    before = json.loads(next(tmp_path.glob("checkpoint*/state.json")).read_text())
    state_file = next(tmp_path.glob("checkpoint*/state.json"))
    state_file.write_text(json.dumps({**before, "planned": before["step"] + 2}))
    facts = run(tiny, tmp_path)
    assert facts["steps"] == before["step"] + 2


def test_the_time_budget_is_kept(tiny, tmp_path):
    started = time.monotonic()
    facts = run(tiny, tmp_path, SETTINGS.model_copy(update={"epochs": 5000, "max_minutes": 0.1, "patience": 5000}))
    assert facts["stopped"] in ("time", "epochs")
    assert facts["planned_steps"] < 20_000
    assert time.monotonic() - started < 40


def unstarted(tiny, work, settings=SETTINGS, rows=ROWS):
    from inhouse.training import sft

    tokenizer, model = load(tiny)
    encoded, _ = encode(rows, tokenizer, 600)
    return sft.Run(
        job(tiny, settings), sft.adapted(model, settings), encoded, encoded[:1], work, sft.accelerator_here()
    )


def test_the_plan_follows_the_speed_of_the_last_steps(tiny, tmp_path):
    training = unstarted(tiny, tmp_path, SETTINGS.model_copy(update={"epochs": 1000, "max_minutes": 10}))
    state, batch = training.state, sum(len(t.ids) for t in training.rows) // 4

    def planned(step, seconds, *step_seconds):
        state.step, state.seconds, state.recent = step, seconds, [(s, batch) for s in step_seconds]
        state.planned = training.most_steps
        training._plan()
        return state.planned

    assert planned(1, 2, 2.0) == pytest.approx(291, abs=3)  # after the first step; 10 min are 600 s, 3 % kept
    assert planned(4, 300, 2.0, 2.0) == pytest.approx(145, abs=3)
    assert planned(4, 300, 100.0, 100.0) == 6
    assert planned(4, 550, 100.0) == 4  # no room for one more
    assert planned(4, 8, 0.0001) == training.most_steps == 4000


def test_a_model_with_too_few_steps_is_called_hardly_trained(tiny, tmp_path):
    training = unstarted(tiny, tmp_path)
    state = training.state
    state.first, state.best, state.step, state.stopped = 2.0, 1.0, 3, "time"
    assert training._hardly_trained().startswith("training.max_minutes stopped it after 3 of the 4 steps of one pass")
    state.stopped = "epochs"
    assert training._hardly_trained() == ""
    state.step, state.stopped = 4, "time"
    assert training._hardly_trained() == ""
    state.best = 2.0
    assert training._hardly_trained().startswith("its validation loss never fell below the 2.00 of the base model")


def test_training_stops_when_validation_loss_rises(tiny, tmp_path):
    other = [row(r.messages[0].content, "Purple zebras sing in the rain.") for r in ROWS[:4]]
    long = SETTINGS.model_copy(update={"epochs": 60, "patience": 1, "learning_rate": 3e-2})
    facts = train(job(tiny, long, validation=other), tmp_path, Silent())
    assert facts["stopped"] == "early"
    assert facts["steps"] < facts["planned_steps"]


def test_a_processor_without_bf16_is_not_asked_for_a_whole_batch(tiny, tmp_path, monkeypatch):
    from inhouse.training import sft

    training = unstarted(tiny, tmp_path, rows=[row("word " * 100, "Yes.")])
    asked = []

    def timed(some):
        asked.append((training.state.autocast, len(some.ids)))
        return 30.0 if training.state.autocast else 1.0

    monkeypatch.setattr(training, "_timed", timed)
    assert not training._prefers_bf16(training.rows[0])
    assert asked == [(False, sft.PROBE_TOKENS), (True, sft.PROBE_TOKENS)] * 2


def test_two_processes_learn_what_one_does(tiny, tmp_path):
    from safetensors.torch import load_file

    rows = [*ROWS[:12], row("word " * 80 + "Which plan is free?", "None is.")]  # a batch of one row: a share is empty
    settings = SETTINGS.model_copy(update={"batch_size": 3, "precision": "fp32", "learning_rate": 5e-4})
    progress = SumOfShares()
    (tmp_path / "two").mkdir()
    alone = run(tiny, tmp_path / "one", settings, rows)
    both = local.train(job(tiny, settings.model_copy(update={"processes": 2}), rows), tmp_path / "two", progress)
    assert (alone["processes"], both["processes"]) == (1, 2)
    assert both["steps"] == alone["steps"] == 10
    for loss in ("loss", "validation_loss", "validation_loss_first"):
        assert both[loss] == pytest.approx(alone[loss], rel=1e-4)
    one, two = (load_file(tmp_path / n / "adapter" / "adapter_model.safetensors") for n in ("one", "two"))
    for name, weights in one.items():
        assert (
            weights - two[name]
        ).norm() < 0.05 * weights.norm()  # Adam makes much of the rounding of small gradients
    assert progress.share == pytest.approx(1)
    assert sorted(f.name for f in (tmp_path / "two").iterdir()) == ["adapter", "log.jsonl"]
    lines = [len((tmp_path / n / "log.jsonl").read_text().splitlines()) for n in ("one", "two")]
    assert lines[0] == lines[1]


class SumOfShares(Silent):
    """Adds up the shares that a run reports."""

    share = 0.0

    def advance(self, amount=1, note=""):
        self.share += amount

    @contextmanager
    def step(self, label, total):
        yield self


def test_an_error_in_a_process_is_reported(tiny, tmp_path):
    def together(name, settings, rows):
        (tmp_path / name).mkdir(exist_ok=True)
        return local.train(job(tiny, settings, rows), tmp_path / name, Silent())

    two = SETTINGS.model_copy(update={"processes": 2})
    with pytest.raises(InputError, match="no training row fits"):
        together("a", two.model_copy(update={"max_prompt_tokens": 64}), [row("word " * 90, "Yes.")])
    (tmp_path / "b" / "checkpoint").mkdir(parents=True)
    (tmp_path / "b" / "checkpoint" / "state.json").write_text("{")
    with pytest.raises(BackendError, match="a training process died.*No such file"):
        together("b", two, ROWS)


@pytest.mark.parametrize("method", ["full", "prompt_tuning"])
def test_other_methods(tiny, tmp_path, method):
    facts = run(
        tiny, tmp_path, SETTINGS.model_copy(update={"method": method, "prompt_tokens": 4, "learning_rate": 1e-3})
    )
    assert facts["method"] == method
    assert (tmp_path / ("weights" if method == "full" else "adapter")).is_dir()


# --- the mix


class Finds:
    """A Grounder over a fixed list."""

    def __init__(self, *texts):
        self.found = [Passage(source=f"{n}.md", title=f"T{n}", heading="", text=t) for n, t in enumerate(texts)]

    def passages(self, messages, groups):
        return self.found

    def ground(self, messages, passages):
        return (
            *messages[:-1],
            Message(role="user", content=" | ".join(p.text for p in passages) + " ? " + messages[-1].content),
        )


def mixed(examples, settings, finder, gold=()):
    from inhouse.text.support import LexicalSupport

    handoff = Assistant().handoff
    mixer = Mixer(
        grounder=finder, gold=lambda e: gold, ungrounded=tuple, support=LexicalSupport(handoff), settings=settings,
        handoff=handoff, seed=7,
    )  # fmt: skip
    return mixer.rows(examples, Silent())


def ex(n, target="The wire fee is $20.", answerable=True):
    return Example(
        id=str(n), messages=(Message(role="user", content="wire fee?"),), target=target, answerable=answerable
    )


def test_rows_are_grounded_closed_book_or_without_their_answer():
    finder = Finds("The wire fee is $20 today.", "Cards are green.")
    rows, counts = mixed([ex(n) for n in range(300)], Training(closed_book=0.2, without_answer=0.2), finder)
    assert counts["closed_book"] / 300 == pytest.approx(0.2, abs=0.07)
    assert counts["without_answer"] / 300 == pytest.approx(0.2, abs=0.07)
    for r in rows:
        if r.kind == "without_answer":
            assert r.target == Assistant().handoff
            assert "$20" not in r.messages[-1].content
        if r.kind == "grounded":
            assert "$20" in r.messages[-1].content
    assert mixed([ex(n) for n in range(300)], Training(closed_book=0.2, without_answer=0.2), finder)[0] == rows


def test_a_figure_that_no_document_supports_is_not_learned():
    finder = Finds("Cards are green.")
    assert mixed([ex(1)], Training(closed_book=0), finder) == ([], {"unsupported": 1})
    gold = [Passage(source="g.md", title="G", heading="", text="The wire fee is $20.")]
    rows, _ = mixed([ex(1)], Training(closed_book=0, without_answer=0), finder, gold)
    assert "$20" in rows[0].messages[-1].content
    unanswerable = mixed([ex(1, Assistant().handoff, answerable=False)], Training(), finder)[0]
    assert unanswerable[0].kind == "handoff"
    assert "Cards are green." in unanswerable[0].messages[-1].content


def test_a_figure_that_a_tool_returned_is_learned_and_never_lost():
    after = (
        Message(role="assistant", content="", tool_calls=({"id": "1", "function": {"name": "fee"}},)),
        Message(role="tool", content='{"usd": 20}', tool_call_id="1"),
    )
    examples = [e.model_copy(update={"messages": (*e.messages, *after)}) for e in map(ex, range(50))]
    settings = Training(closed_book=0, without_answer=0.9)
    for found in ("Cards are green.", "The wire fee is $20 today."):
        assert mixed(examples, settings, Finds(found))[1] == {"grounded": 50}


def test_an_answer_in_other_words_never_loses_its_passages():
    """Else the model would learn to hand over what the remaining passages still hold."""
    finder = Finds("Guests loved how spotless it was.", "The bathroom shone.")
    gold = [Passage(source="g.md", title="G", heading="", text="Guests loved how spotless it was.")]
    settings = Training(closed_book=0, without_answer=0.9)
    _, counts = mixed([ex(n, "Yes, they keep rooms very clean!") for n in range(50)], settings, finder, gold)
    assert counts == {"grounded": 50}


def test_all_passages_with_the_answer_are_shown_and_room_is_made_for_them():
    finder = Finds("The wire fee is $20.", "Cards are green.", "Cards are blue.")
    gold = [
        Passage(source="g.md", title="G", heading="", text=t) for t in ("The wire fee is $20.", "Wires take a day.")
    ]
    rows, _ = mixed([ex(n) for n in range(20)], Training(closed_book=0, without_answer=0), finder, gold)
    for row in rows:
        shown = row.messages[-1].content.partition(" ? ")[0].split(" | ")
        assert sorted(shown) == ["Cards are green.", "The wire fee is $20.", "Wires take a day."]
    assert len({r.messages[-1].content for r in rows}) > 1  # in random places


def test_the_values_of_a_json_answer_are_its_numbers_and_texts():
    assert sorted(_json_values('{"a": 18.5, "b": ["x", 2], "c": true}')) == ["18.5", "2", "x"]
    assert _json_values("It costs $3.") == _json_values("{broken") == []
