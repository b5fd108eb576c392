"""What people said of answers: complete, without what was redacted, restricted, or not to be used."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from inhouse.assembly.workspace import Workspace
from inhouse.chat import Exchange
from inhouse.config.load import load_project
from inhouse.errors import ConfigError, InputError
from inhouse.models.catalog import Catalog
from inhouse.pipeline import preference
from inhouse.pipeline.opinions import Opinion, anonymized, opinions
from inhouse.pipeline.preference import BEFORE, CORRECTED, Before, Lessons, Scores, _Learning, choose
from inhouse.store.audit import Audit
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.ledger import open_ledger
from inhouse.training.preference import Preference
from inhouse.training.rows import Row
from inhouse.types import Message

HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."


def exchange(id, answer="The fee is $5.", **more):
    values = {
        "id": id, "at": "2026-11-01T10:00:00Z", "user": f"user {id}", "key": "k", "model": "m", "release": "x/1",
        "arm": "tuned+rag", "answer": answer, "reason": "stop",
        "messages": (Message(role="system", content="S"), Message(role="user", content=f"What is fee {id}?")),
    }  # fmt: skip
    return Exchange(**values | more)


class Desk:
    """A project whose people gave feedback."""

    def __init__(self, folder, catalog):
        self.folder = folder
        (folder / "inhouse.toml").write_text('name = "x"\n[feedback]\npreferences = []\n')
        self.ledger = open_ledger(folder / ".inhouse", "", "")
        self.audit, self.inbox, self.feedback = Audit(self.ledger), Inbox(self.ledger), Feedback(self.ledger)
        self.catalog = catalog

    def answered(self, id, *args, **more):
        self.audit_ = asyncio.run(self.audit.append(exchange(id, *args, **more)))

    def corrected(self, id, reply, *args, **more):
        self.answered(id, *args, **more)
        handoff = self.inbox.add(exchange(id, *args, **more), "wrong")
        self.inbox.answer(handoff, reply, "bea")
        self.inbox.approve(handoff, "bea")

    def workspace(self, **settings):
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        (self.folder / "inhouse.toml").write_text(f'name = "x"\n[feedback]\n{text}')
        return Workspace(load_project(self.folder), self.catalog)

    def said(self, **settings):
        found, left_out = opinions(self.workspace(**settings))
        return [(o.source, o.chosen, o.rejected) for o in found], dict(left_out)


@pytest.fixture
def desk(tmp_path, models_dir):
    desk = Desk(tmp_path, Catalog(models_dir.parent))
    yield desk
    desk.audit.close()
    desk.ledger.close()


def test_corrections_and_thumbs(desk):
    desk.corrected("1", "The fee is $7.")
    desk.corrected("2", "We store bicycles.", HANDOFF)  # what declined is no answer that was wrong
    for id, thumb in (("3", 1), ("4", -1), ("5", 0)):
        desk.answered(id)
        desk.feedback.add(id, "ann", thumb)
    desk.feedback.add("1", "ann", -1)  # the correction says it better
    found, left_out = desk.said()
    assert found == [
        ("corrections", "The fee is $7.", "The fee is $5."), ("corrections", "We store bicycles.", ""),
        ("thumbs", "The fee is $5.", ""), ("thumbs", "", "The fee is $5."),
    ]  # fmt: skip
    assert left_out == {}
    asked = opinions(desk.workspace())[0][0]
    assert [m.role for m in asked.messages] == ["user"]
    assert {source for source, *_ in desk.said(use=["thumbs"])[0]} == {"thumbs"}


def test_a_redacted_exchange_never_appears(desk):
    desk.corrected("1", "The secret fee is $7.")
    desk.answered("2", "A secret.")
    desk.feedback.add("2", "ann", 1, "my secret comment")
    assert len(desk.said()[0]) == 2
    before = {o.digest for o in opinions(desk.workspace())[0]}
    for id in ("1", "2"):
        desk.audit.redact(id, "bea", "asked for it")
    found, left_out = opinions(desk.workspace())
    assert found == []
    assert before  # the inputs of the stage changed: an artifact that was made from them is not found again
    assert "secret" not in str(left_out)


def test_what_is_not_to_be_learned_is_counted(desk):
    desk.answered("1", groups=frozenset(["staff"]))
    desk.answered("2", parameters={"store": False})
    desk.answered("3", reason="content_filter")
    desk.answered("4", reused={"handoff": "h"})
    desk.answered("5", HANDOFF)
    for id in "12345":
        desk.feedback.add(id, "ann", 1)
    desk.corrected("6", "For tellers.", groups=frozenset(["staff"]))
    desk.corrected("7", "Not stored.", parameters={"store": False})
    found, left_out = desk.said()
    assert found == []
    assert left_out == {
        "of members of a group": 2,
        "of requests that asked not to be stored": 2,
        "of answers that were cut off, blocked, or failed": 1,
        "of approved replies that answered again, and of agents": 1,
        "of hand-offs": 1,
    }


def test_files_of_preferences(desk):
    rows = [
        {"id": "a", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q?"}],
         "chosen": [{"role": "assistant", "content": "Good."}], "rejected": [{"role": "assistant", "content": "Bad."}]},
        {"prompt": "Q?", "completion": "Fine.", "label": True},
        {"prompt": "Q?", "completion": "Poor.", "label": False},
        {"prompt": "Q?", "completion": "Who knows."},
        {"messages": [{"role": "user", "content": "Q?"}], "rejected": [{"role": "assistant", "content": "B"}],
         "chosen": [{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}]},
    ]  # fmt: skip
    (desk.folder / "p.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n{broken")
    found, left_out = desk.said(preferences=["p.jsonl"])
    assert found == [("preferences", "Good.", "Bad."), ("preferences", "Fine.", ""), ("preferences", "", "Poor.")]
    assert left_out["p.jsonl: has neither a rejected answer nor a label"] == 1
    assert left_out["p.jsonl: calls tools"] == 1
    assert sum(left_out.values()) == 3
    with pytest.raises(InputError, match=r"gone.jsonl: no such file"):
        desk.said(preferences=["gone.jsonl"])


ASKED, POOR = {"role": "user", "content": "Q?"}, {"role": "assistant", "content": "Poor."}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Q?", "completion": "Poor."}, {"prompt": [ASKED], "completion": [POOR]},
        {"messages": [ASKED, POOR]}, {"question": "Q?", "answer": "Poor."}, {"prompt": "Q?", "response": "Poor."},
        {"instruction": "Q?", "output": "Poor."}, {"data": {"messages": [ASKED, POOR]}},
    ],
)  # fmt: skip
def test_a_label_counts_in_every_shape(desk, row):
    for label, side in ((False, 1), (0, 1), ("false", 1), ("0", 1), (True, 0), (1, 0), ("True", 0)):
        (desk.folder / "p.jsonl").write_text(json.dumps(row | {"label": label}))
        (found,) = desk.said(preferences=["p.jsonl"])[0]
        assert found[1 + side] == "Poor.", label
        assert not found[2 - side], label
    for label in (-1, None, "refund", "", [0], 2):
        (desk.folder / "p.jsonl").write_text("\n" + json.dumps(row | {"label": label}))
        with pytest.raises(InputError, match=r"p\.jsonl:2: `label` does not say"):
            desk.said(preferences=["p.jsonl"])


def test_both_answers_get_the_same_placeholders(desk):
    asked = (Message(role="user", content="I am Jane Miller, jane.miller@example.com. What is my fee?"),)
    given = Opinion(
        id="1", source="thumbs", messages=asked, chosen="Jane Miller pays $5.", rejected="jane.miller@example.com"
    )
    (safe,) = anonymized(desk.workspace(), [given])
    text = f"{safe.messages[0].content} {safe.chosen} {safe.rejected}"
    assert "Miller" not in text
    assert "@" not in text
    assert safe.rejected in safe.messages[0].content
    assert safe.chosen.endswith("pays $5.")
    only = given.model_copy(update={"chosen": ""})
    assert anonymized(desk.workspace(), [only])[0].chosen == ""


def test_too_little_feedback_is_an_error(desk):
    desk.corrected("1", "The fee is $7.")
    desk.corrected("2", "For tellers.", groups=frozenset(["staff"]))
    with pytest.raises(ConfigError, match=r"at least 8 pieces of feedback, and there are 1; 1 of members of a group"):
        preference.make_feedback(desk.workspace(), None)
    (desk.folder / "inhouse.toml").write_text('[training]\nmethod = "prompt_tuning"\n')
    workspace = Workspace(load_project(desk.folder), desk.catalog)
    with pytest.raises(ConfigError, match='"prompt_tuning" cannot learn from feedback'):
        preference.make_feedback(workspace, None)


# --- the choice -------------------------------------------------------------------------------------------------


def scores(held, others):
    return Scores([float(n < held) for n in range(20)], [float(n < others) for n in range(20)], 9.0)


@pytest.mark.parametrize(
    ("tried", "kept"),
    [
        ({CORRECTED: (14, 10), "dpo": (14, 10)}, CORRECTED),  # the simplest of equals
        ({CORRECTED: (14, 10), "dpo": (15, 10), "kto": (12, 10)}, "dpo"),
        ({CORRECTED: (10, 10), "kto": (9, 10)}, BEFORE),
        ({CORRECTED: (13, 10), "kto": (20, 2)}, CORRECTED),  # pays with other questions
        ({CORRECTED: (12, 7)}, BEFORE),
        ({CORRECTED: (8, 10), "kto": (16, 12)}, "kto"),
    ],
)
def test_the_simplest_of_the_best_is_kept(tried, kept):
    assert choose({BEFORE: scores(10, 10)} | {name: scores(*own) for name, own in tried.items()}, 7) == kept


def test_a_summary_has_paired_changes():
    summary = scores(14, 9).summary(scores(10, 10), 7)
    assert summary["feedback"]["change"]["mean"] == pytest.approx(0.2)
    assert summary["others"]["accuracy"] == pytest.approx(0.45)
    assert Scores([], [], 0.0).summary(Scores([], [], 0.0), 7)["feedback"]["change"] is None


# --- against forgetting when to hand over ------------------------------------------------------------------------


def test_handoffs_are_learned_again_beside_feedback(desk, monkeypatch):
    def row(n, kind):
        return Row(messages=(Message(role="user", content=f"{kind} {n}"),), target=HANDOFF, kind=kind)

    kinds = ("grounded",) * 8 + ("without_answer", "handoff")
    learned = [row(n, kinds[n % 10]) for n in range(200)]
    monkeypatch.setattr(preference, "training_rows", lambda *_: (learned, learned[:9], {}))
    jobs = []
    monkeypatch.setattr("inhouse.training.local.train", lambda job, *_: jobs.append(job) or {})
    monkeypatch.setattr("inhouse.training.preference.train", lambda job, *_: jobs.append(job) or {})
    corrections, wanted = [row(n, "corrected") for n in range(20)], Preference(messages=(), chosen="x", rejected="y")
    lessons = Lessons((corrections, []), ([wanted] * 60, []), [], [], [], {})
    custom = SimpleNamespace(path=str(desk.folder), facts={})
    workspace = desk.workspace()
    monkeypatch.setattr(type(workspace), "base", property(lambda _: desk.folder))
    learning = _Learning(workspace, Before(None, custom, None, None, None), lessons, desk.folder)
    learning._corrections(desk.folder)
    for method in ("dpo", "kto"):
        learning._preferences(method, desk.folder, desk.folder)
    corrected, dpo, kto = (job.rows for job in jobs)
    assert set(corrections) < set(corrected)
    assert len(set(corrected)) == len(corrected)
    assert sum(r.kind in ("handoff", "without_answer") for r in corrected) == 15  # a quarter of 20 and twice as many
    assert len(dpo) == 60
    assert [p.chosen for p in kto[60:]] == [HANDOFF] * 15
