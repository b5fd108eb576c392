import json

import pytest

from inhouse.datasets.conversations import read_conversations, read_tests
from inhouse.errors import InputError

PAIR = [{"role": "user", "content": "Fee?"}, {"role": "assistant", "content": "It is $18."}]


def written(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lines(*rows):
    return "\n".join(json.dumps(r) if not isinstance(r, str) else r for r in rows)


def test_three_shapes_give_the_same_pair(tmp_path):
    files = [
        written(tmp_path, "a.jsonl", lines({"messages": PAIR})),
        written(
            tmp_path,
            "b.json",
            json.dumps(
                [{"conversations": [{"from": "human", "value": "Fee?"}, {"from": "gpt", "value": "It is $18."}]}]
            ),
        ),
        written(tmp_path, "c.csv", b"\xef\xbb\xbfQuestion,Answer\r\nFee?,It is $18.\r\n"),
        written(
            tmp_path,
            "d.jsonl",
            lines(
                {
                    "turns": [
                        *PAIR,
                        {"role": "assistant", "tool": "f", "arguments": {}},
                        {"role": "tool", "content": "{}"},
                    ]
                }
            ),
        ),
    ]
    for file in files:
        (example,), rejected = read_conversations([file], {})
        assert (example.question, example.target, rejected) == ("Fee?", "It is $18.", [])


def test_bad_lines_are_named_and_never_quoted(tmp_path):
    rows = [
        {"messages": PAIR},
        '{"messages": [{"role": "user", "content": "my PIN is 9503"',
        {"messages": [{"role": "wizard", "content": "9503"}]},
        {"messages": [{"role": "user", "content": 9503}]},
        {"messages": PAIR[:1]},
        {"text": "9503"},
        "[9503]",
        {"messages": [{"role": "user", "content": "\ud800 9503"}, PAIR[1]]},
    ]
    examples, rejected = read_conversations([written(tmp_path, "a.jsonl", lines(*rows))], {})
    assert len(examples) == 1
    assert [r.line for r in rejected] == [2, 3, 4, 5, 6, 7, 8]
    assert all("9503" not in r.reason and r.reason for r in rejected)


def test_turns_are_tidied(tmp_path):
    row = {"id": 7, "topic": "fees", "created_at": "2026-01-02", "messages": [
        {"role": "system", "content": "S"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]}, *PAIR[1:],
        {"role": "user", "content": "thanks"}]}  # fmt: skip
    (example,), _ = read_conversations([written(tmp_path, "a.jsonl", lines(row))], {})
    assert [(m.role, m.content) for m in example.messages] == [("user", "a\nb")]
    assert (example.id, example.group, example.tags, example.time) == ("7", "7", ("fees",), "2026-01-02")


def test_odd_files(tmp_path):
    text = "\ufeff" + lines({"messages": [{"role": "user", "content": "שלום 😀"}, PAIR[1]]}) + "\r\n\r\n"
    (example,), rejected = read_conversations(
        [written(tmp_path, "a.jsonl", text), written(tmp_path, "0.jsonl", "")], {}
    )
    assert example.question == "שלום 😀"
    assert not rejected
    with pytest.raises(InputError, match="no usable conversation"):
        read_conversations([tmp_path / "0.jsonl"], {})
    with pytest.raises(InputError, match="no usable conversation"):
        read_conversations([written(tmp_path, "b.jsonl", b"\xff\xfe\x00")], {})
    with pytest.raises(InputError, match=r"gone\.jsonl"):
        read_conversations([tmp_path / "gone.jsonl"], {})


def test_where_takes_matching_rows_only(tmp_path):
    rows = [{"messages": PAIR, "ok": True, "id": "x"}, {"messages": PAIR, "ok": False}, {"messages": PAIR}]
    file = written(tmp_path, "a.jsonl", lines(*rows))
    examples, rejected = read_conversations([file], {"ok": True})
    assert [e.id for e in examples] == ["x"]
    assert not rejected
    with pytest.raises(InputError) as error:
        read_conversations([file], {"ok": "maybe"})
    assert "curation.where" in error.value.hint


def test_own_tests_with_checks(tmp_path):
    ask = PAIR[:1]
    rows = [
        {"id": "f", "messages": ask, "answer": "$18.", "checks": {"must_include": ["$18", ["18 dollars", "eighteen"]]}},
        {"id": "n", "messages": ask, "answer": "No.", "checks": {"must_not_answer": True}},
        {"id": "j", "messages": ask, "checks": {"json_schema": {"type": "object"}}},
        {"id": "r", "messages": PAIR},
        {"id": "bad schema", "messages": ask, "checks": {"json_schema": {"type": "thing"}}},
        {"id": "bad key", "messages": ask, "checks": {"must_includes": ["x"]}},
        {"id": "nothing", "messages": ask},
    ]
    examples, rejected = read_tests([written(tmp_path, "t.jsonl", lines(*rows))], {})
    by_id = {e.id: e for e in examples}
    assert list(by_id) == ["f", "n", "j", "r"]
    assert by_id["f"].checks.must_include == (("$18",), ("18 dollars", "eighteen"))
    assert not by_id["n"].answerable
    assert by_id["r"].target == "It is $18."
    assert [r.line for r in rejected] == [5, 6, 7]


def test_mail_in_conversations_is_cleaned_but_tests_stay_as_written(tmp_path):
    ask = "Fee?\n\nSent from my iPhone"
    reply = "It is $18.\n-- \nAnn\n\nOn 4 March at 08:30, Bob <bob@x.example> wrote:\n> Fee?"
    row = {"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": reply}]}
    file = written(tmp_path, "a.jsonl", lines(row))
    (example,), _ = read_conversations([file], {})
    assert (example.question, example.target) == ("Fee?", "It is $18.")
    (test,), _ = read_tests([file], {})
    assert (test.question, test.target) == (ask, reply)


# --- test conversations -----------------------------------------------------------------------------------------

TURNS = {
    "id": "k1",
    "turns": [
        {"user": "Fee?", "answer": "It is $18.", "checks": {"must_include": ["$18"]}},
        {"user": "and abroad?", "answer": "It is $30.", "kind": "follow_up"},
        {"user": "A person, please", "checks": {"must_hand_off": True}},
    ],
}


def test_a_row_with_turns_is_one_test_for_each_turn(tmp_path):
    tests, rejected = read_tests([written(tmp_path, "t.jsonl", lines(TURNS))], {})
    assert rejected == []
    assert [(e.id, e.group, e.turn, e.kind) for e in tests] == [
        ("k1.1", "k1", 1, "question"), ("k1.2", "k1", 2, "follow_up"), ("k1.3", "k1", 3, "later turn"),
    ]  # fmt: skip
    assert [m.content for m in tests[1].messages] == ["Fee?", "It is $18.", "and abroad?"]
    assert [e.answerable for e in tests] == [True, True, False]


def test_rows_with_the_same_id_stay_apart(tmp_path):
    tests, _ = read_tests([written(tmp_path, "t.jsonl", lines(TURNS, TURNS))], {})
    assert len({e.id for e in tests}) == 6
    assert len({e.group for e in tests}) == 2


@pytest.mark.parametrize(
    ("turn", "said"),
    [
        ({"user": "x"}, "turn 2 has neither an answer nor checks"),
        ({"answer": "x"}, "turn 2 has no text under `user`"),
        ("x", "turn 2 has no text under `user`"),
        ({"user": "x", "answer": 3}, "the answer is not text"),
        ({"user": "x", "checks": {"must_includ": []}}, "checks or sources"),
    ],
)
def test_a_bad_turn_is_named(tmp_path, turn, said):
    row = {"id": "k1", "turns": [{"user": "Fee?", "answer": "$18"}, turn]}
    _, rejected = read_tests([written(tmp_path, "t.jsonl", lines(TURNS, {**row, "id": "k2"}))], {})
    assert [r.line for r in rejected] == [2]
    assert said in rejected[0].reason


# --- what messages contain --------------------------------------------------------------------------------------


def reply_of(folder, text):
    row = {"messages": [PAIR[0], {"role": "assistant", "content": text}]}
    (example,), _ = read_conversations([written(folder, "a.jsonl", lines(row))], {})
    return example.target


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("<p>It is $18.</p><p>Abroad $30.</p>", "It is $18.\n\nAbroad $30."),
        ("<div>It is <b>$18</b>.</div>", "It is $18."),
        ("It is $18.<br>Abroad<br/>$30.", "It is $18.\nAbroad\n$30."),
        (
            'See <a href="https://x.example/fees">the fees</a> &amp; limits.',
            "See the fees (https://x.example/fees) & limits.",
        ),
        ("It&#39;s $18&nbsp;a&nbsp;month\nor $30.", "It's $18 a month\nor $30."),
        ("Write <br> for a new line.", "Write <br> for a new line."),
        ("If a < b and b > c, it is $18.", "If a < b and b > c, it is $18."),
        ("```html\n<p>x</p>\n```", "```html\n<p>x</p>\n```"),
        ("It is $18.\n\nW dniu 4 marca 2026 08:30 Jan <jan@x.example> napisał:\n> Ile?\n> Jan", "It is $18."),
        ("It is $18.\n\nAm 4. März 2026 um 08:30 schrieb Jan <jan@x.example>:\n> Was kostet das?", "It is $18."),
        ("It is $18.\n\nSent from my iPhone", "It is $18."),
        ("> Fee?\nIt is $18.", "> Fee?\nIt is $18."),
        ("The sign says:\n> Closed", "The sign says:\n> Closed"),
        ("<think>They ask for the fee.</think>\n<p>It is $18.</p>", "It is $18."),
    ],
)
def test_what_is_no_content_goes(tmp_path, given, kept):
    assert reply_of(tmp_path, given) == kept


@pytest.mark.data
@pytest.mark.parametrize("kind", ["zendesk", "intercom", "freshdesk", "slack", "teams", "whatsapp", "mbox"])
def test_an_export_is_named_with_the_command_that_reads_it(data_dir, kind):
    files = [
        f for f in (data_dir / "exports" / kind).rglob("*") if f.suffix in (".json", ".jsonl", ".csv", ".txt", ".mbox")
    ]
    files = [f for f in files if f.name not in ("expected.jsonl", "users.json", "channels.json", "dms.json")]
    with pytest.raises(InputError) as error:
        read_conversations(files[:1], {})
    assert f"inhouse import {kind} " in (error.value.hint or ""), (files[0], error.value, error.value.hint)


@pytest.mark.parametrize(
    "row",
    [
        {"question": "Fee?", "checks": {"must_include": ["$18"]}},
        {"prompt": "Fee?", "answer": "It is $18."},
        {"question": "Fee?", "answer": "It is $18."},
        {"instruction": "Fee?", "output": "It is $18."},
        {"contents": [{"role": "user", "parts": [{"text": "Fee?"}]}], "answer": "It is $18."},
        {"messages": [{"role": "Human", "content": "Fee?"}], "checks": {"must_not_answer": True}},
    ],
)
def test_tests_may_have_any_shape(tmp_path, row):
    (test,), rejected = read_tests([written(tmp_path, "t.jsonl", lines(row))], {})
    assert (test.question, rejected) == ("Fee?", [])
    assert test.target in ("It is $18.", "")
