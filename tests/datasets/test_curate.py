import json

import pytest

from inhouse.config.sections import Curation
from inhouse.datasets.card import _lengths
from inhouse.datasets.curate import Curator, Sources, read_examples
from inhouse.errors import InputError
from inhouse.types import Document, Silent

THINGS = ["wire", "check", "card", "loan", "safe", "coin", "bond", "fund", "desk", "bill"]
HANDOFF = "I do not have that information, so I am passing you to a colleague who can help."


def row(key, question, reply):
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
    return {"id": key, "messages": messages}


@pytest.fixture
def logs(tmp_path):
    template = "my name is Sarah Brown, account number 8431893{0:03}. {2} {1} that {1} came with?"
    asks = ("How much do you take for the", "Where can I hand in a blue", "Why did nobody on Sunday cancel my second")
    reply = "Sarah, for the {1} the number to know is {0}."
    rows = [row(f"c{n}", template.format(n, t, asks[n // 10]), reply.format(n, t)) for n, t in enumerate(THINGS * 3)]
    rows += [row("bad", "And 4111 1111 1111 1111?", "ok"), rows[0] | {"id": "again"}]
    rows += [row(f"h{n}", f"Do you sell {t} insurance?", HANDOFF) for n, t in enumerate(THINGS[:6])]
    path = tmp_path / "logs.jsonl"
    path.write_text("\n".join([*map(json.dumps, rows), '{"messages": "Sarah Brown"}', "Sarah Brown 8431893555"]))
    return path


def run(logs, out, embedder, anonymizer, tests=(), duplicate=0.99, **more):
    documents = [
        Document(source="a.md", title="Wires", text="# Wires\n\n## Can I cancel?\n\nYes, until 15:40 on the same day.")
    ]
    curator = Curator(Curation(duplicate=duplicate, **more), HANDOFF, 7, embedder, anonymizer)
    return curator.curate(Sources(documents, [logs], tests), out, Silent())


def test_curate(logs, tmp_path, embedder, anonymizer):
    out = tmp_path / "out"
    facts = run(logs, out, embedder, anonymizer)
    sets = {name: read_examples(out / f"{name}.jsonl") for name in ("train", "validation", "test")}
    assert {name: len(rows) for name, rows in sets.items()} == {name: facts[name] for name in sets}
    assert all(sets.values())
    everything = "".join(f.read_text() for f in out.iterdir())
    for raw in ("Sarah", "Brown", "8431893", "4111"):
        assert raw not in everything
    assert "<PERSON_1>" in everything
    card = json.loads((out / "card.json").read_text())
    assert {(r["step"], r["reason"]) for r in card["removed"]} >= {
        ("quality", "the reply has no content"),
        ("duplicate", "exact duplicate"),
    }
    assert [r["line"] for r in card["lines_left_out"]] == [39, 40]
    assert card["personal_data"]["PERSON"] == 31
    declined = [e for rows in sets.values() for e in rows if e.target == HANDOFF]
    assert declined
    assert not any(e.answerable for e in declined)
    assert all(e.checks.must_not_answer for e in sets["test"] if e.target == HANDOFF)
    made = [e for e in sets["train"] if e.origin == "synthetic"]
    assert [e.target for e in made if e.answerable] == ["Yes, until 15:40 on the same day."]
    files = {f.name for f in out.iterdir()}
    assert files == {"train.jsonl", "validation.jsonl", "test.jsonl", "removed.jsonl", "card.json", "card.md"}


def test_twice_the_same_and_after_an_interruption(logs, tmp_path, embedder, anonymizer):
    one, two = tmp_path / "one", tmp_path / "two"
    run(logs, one, embedder, anonymizer)
    with pytest.raises(KeyboardInterrupt):
        Curator(Curation(), "", 7, _Stopping(), anonymizer).curate(Sources(conversations=[logs]), two, Silent())
    half = (two / "anonymized.jsonl").read_text()
    assert "Sarah" not in half
    (two / "anonymized.jsonl").write_text(half[:-40])
    run(logs, two, embedder, anonymizer)
    assert all((one / f.name).read_bytes() == f.read_bytes() for f in two.iterdir())


class _Stopping:
    name, dimensions, sides, parts = "stopping", 4, False, None

    def embed(self, texts, query=False):
        raise KeyboardInterrupt

    def count_tokens(self, text):
        return 1


def test_own_tests_leave_training(logs, tmp_path, embedder, anonymizer):
    tests = tmp_path / "tests.jsonl"
    ask = {
        "id": "t",
        "messages": [{"role": "user", "content": "Can I cancel?"}],
        "answer": "Until 15:40.",
        "checks": {"must_include": ["15:40"]},
    }
    tests.write_text(json.dumps(ask))
    out = tmp_path / "out"
    facts = run(logs, out, embedder, anonymizer, [tests], duplicate=0.6)
    assert facts["test"] == 1
    assert facts["leaks"] == 1
    (test,) = read_examples(out / "test.jsonl")
    assert test.checks.must_include == (("15:40",),)
    assert not any(e.origin == "synthetic" for e in read_examples(out / "train.jsonl"))
    assert "is test question t" in (out / "card.md").read_text()


def test_nothing_left_says_why(tmp_path, embedder):
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps({"messages": [{"role": "user", "content": "Fee?"}, {"role": "assistant", "content": "ok"}]})
    )
    with pytest.raises(InputError):
        Curator(Curation(), "", 7, embedder).curate(Sources(conversations=[path]), tmp_path / "out", Silent())


def test_the_card_counts_words_where_none_are_separated():
    assert _lengths(["圆锯的保修期为三年，从购买之日算起。"])["p50"] == 12
