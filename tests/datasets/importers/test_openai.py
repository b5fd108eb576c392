"""OpenAI's files: every shape is complete or refused by line, and comes out again as the same bytes."""

import json
from pathlib import Path

import pytest

from inhouse.datasets.conversations import read_conversations, read_tests
from inhouse.datasets.importers.run import import_files
from inhouse.datasets.openai import export_rows
from inhouse.errors import InputError

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "What is the fee?"}
SAID = {"role": "assistant", "content": "It is $5."}
CALL = {"id": "c1", "type": "function", "function": {"name": "fee", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "fee", "parameters": {"type": "object"}}}
CHOICE = {"index": 0, "message": {**SAID, "refusal": None}, "finish_reason": "stop"}
STORED = {"object": "chat.completion", "id": "chatcmpl-1", "model": "ft:mini:acme", "created": 1738960610,
          "request_id": "req_1", "choices": [CHOICE], "usage": {"prompt_tokens": 9, "completion_tokens": 4},
          "metadata": {}, "tools": None}  # fmt: skip
PAGE = {"object": "list", "data": [{"id": "chatcmpl-1-1", **ASKED, "name": None, "content_parts": None},
                                   {"id": "chatcmpl-1-0", **SYSTEM}], "first_id": "a", "has_more": False}  # fmt: skip


def write(path: Path, rows, mark=""):
    path.write_text(mark + "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), "utf-8")
    return path


def lines(path):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def imported(tmp_path, *rows, kind="openai"):
    return import_files(kind, [write(tmp_path / "in.jsonl", rows)], tmp_path / "out.jsonl")


def refused(tmp_path, row):
    summary = imported(tmp_path, row, {"messages": [ASKED, SAID]})
    return [s.reason for s in summary.left_out]


# --- round trip -------------------------------------------------------------------------------------------------

ROWS = [
    '{"messages":[{"role":"user","content":"Gr\\u00fc\\u00dfe?  "},{"role":"assistant","content":"Grüße 1.0"}]}',
    '{ "messages" : [ {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0},'
    ' {"role": "user", "content": "c"}, {"role": "assistant", "content": "d", "weight": 1} ] }',
    json.dumps({"messages": [SYSTEM, ASKED, {"role": "assistant", "tool_calls": [CALL]},
                             {"role": "tool", "tool_call_id": "c1", "content": "5"}, SAID],
                "tools": [TOOL], "parallel_tool_calls": False}),
    json.dumps({"messages": [ASKED, {"role": "assistant", "content": None,
                                     "function_call": {"name": "fee", "arguments": "{}"}},
                             {"role": "function", "name": "fee", "content": "5"}, SAID],
                "functions": [{"name": "fee", "parameters": {}}]}),
    json.dumps({"messages": [{"role": "developer", "content": "x"}, {**ASKED, "content": [{"type": "text", "text": "a"}]},
                             SAID], "temperature": 1.50, "user": None}),
    '{"prompt": "Company: x\\n\\n###\\n\\n", "completion": " It is so. END"}',
    json.dumps({"messages": [ASKED, {"role": "assistant", "content": None, "refusal": "I cannot."}]}),
]  # fmt: skip
PAIRS = [
    json.dumps({"input": {"messages": [SYSTEM, ASKED], "tools": [], "parallel_tool_calls": True},
                "preferred_output": [SAID], "non_preferred_output": [{"role": "assistant", "content": "No."}]}),
    '{"input":{"messages":[{"role":"user","content":"q"}]},"preferred_output":[{"role":"assistant","content":"a"}],'
    '"non_preferred_output":[{"role":"assistant","content":"b"}]}',
]  # fmt: skip


GRADED = [
    json.dumps({"messages": [SYSTEM, ASKED], "tools": [TOOL], "reference_answer": {"fee": 5}, "item": {"level": 2}}),
    '{"reference_answer":"5","messages":[{"role":"user","content":"q"}]}',
]


@pytest.mark.parametrize("rows", [ROWS, PAIRS, GRADED], ids=["training rows", "pairs", "graded questions"])
@pytest.mark.parametrize(("kind", "mark"), [("openai", ""), ("azure", "\ufeff")])
def test_rows_come_out_as_the_same_bytes(rows, kind, mark, tmp_path):
    file = write(tmp_path / "in.jsonl", rows, mark)
    summary = import_files(kind, [file], tmp_path / "out.jsonl")
    assert summary.left_out == ()
    file_of = Path(summary.out or summary.preference_out or summary.tests_out)
    counts = export_rows([file_of], tmp_path / "back.jsonl", bool(mark))
    assert (tmp_path / "back.jsonl").read_bytes() == file.read_bytes()
    assert dict(counts) == {"unchanged": len(rows)}


def test_an_edited_row_is_put_together_anew(tmp_path):
    out = Path(imported(tmp_path, *ROWS).out)
    rows = lines(out)
    rows[0]["messages"][1]["content"] = "Hello."
    del rows[1]
    write(out, rows)
    counts = export_rows([out], tmp_path / "back.jsonl")
    first, *others = (tmp_path / "back.jsonl").read_text().splitlines()
    assert json.loads(first) == {"messages": rows[0]["messages"]}
    assert others == ROWS[2:]
    assert counts == {"composed": 1, "unchanged": len(ROWS) - 2}


def test_pairs_are_put_together_anew_in_their_shape(tmp_path):
    out = Path(imported(tmp_path, *PAIRS).preference_out)
    rows = [{**row, "metadata": {}, "chosen": [{"role": "assistant", "content": "New."}]} for row in lines(out)]
    export_rows([write(out, rows)], tmp_path / "back.jsonl")
    assert lines(tmp_path / "back.jsonl")[1] == {
        "input": {"messages": [{"role": "user", "content": "q"}]},
        "preferred_output": [{"role": "assistant", "content": "New."}],
        "non_preferred_output": [{"role": "assistant", "content": "b"}],
    }


def test_a_file_of_two_kinds_is_not_exported(tmp_path):
    summary = imported(tmp_path, ROWS[0], PAIRS[0])
    files = [Path(summary.out), Path(summary.preference_out)]
    with pytest.raises(InputError, match=r"out.preference.jsonl:1 is a preference row, and .*out.jsonl:1 a conv"):
        export_rows(files, tmp_path / "back.jsonl")
    assert not (tmp_path / "back.jsonl").exists()
    with pytest.raises(InputError, match="is one of the files to export"):
        export_rows(files, files[0])


def test_an_element_of_a_list_becomes_a_line(tmp_path):
    (tmp_path / "in.json").write_text(json.dumps([json.loads(ROWS[2])], indent=2))
    summary = import_files("openai", [tmp_path / "in.json"], tmp_path / "out.jsonl")
    assert export_rows([Path(summary.out)], tmp_path / "back.jsonl") == {"unchanged": 1}
    assert lines(tmp_path / "back.jsonl") == [json.loads(ROWS[2])]


@pytest.mark.data
@pytest.mark.parametrize("kind", ["openai", "azure"])
def test_the_samples_come_out_as_the_same_bytes(kind, data_dir, tmp_path):
    folder = data_dir / "exports" / {"azure": "azure_openai"}.get(kind, kind)
    for file in [f for f in folder.glob("*.jsonl") if f.name != "expected.jsonl"]:
        summary = import_files(kind, [file], tmp_path / "out.jsonl")
        mark = file.read_bytes().startswith(b"\xef\xbb\xbf")
        export_rows([Path(summary.out or summary.preference_out)], tmp_path / "back.jsonl", mark)
        wanted = file.read_text("utf-8").splitlines()
        left_out = {int(s.id.rpartition(":")[2]) for s in summary.left_out}
        kept = [line for n, line in enumerate(wanted, 1) if n not in left_out]
        assert (tmp_path / "back.jsonl").read_text("utf-8").splitlines() == kept
        assert len(left_out) == (file.name == "sft.jsonl")  # a row with a picture


# --- what a row becomes -----------------------------------------------------------------------------------------


def test_marks_of_older_files_are_left_out(tmp_path):
    summary = imported(tmp_path, ROWS[5], {"prompt": "Q?", "completion": "A END of it"})
    assert [[m["content"] for m in row["messages"]] for row in lines(summary.out)] == [
        ["Company: x", "It is so."],
        ["Q?", "A END of it"],
    ]
    assert [note for note in summary.notes if "separators" in note] == [
        "separators after prompts and end marks of completions, as in older fine-tuning files, are left out"
    ]


def test_a_refusal_is_a_reply(tmp_path):
    (row,) = lines(imported(tmp_path, ROWS[6]).out)
    assert row["messages"][-1] == {"role": "assistant", "content": "I cannot."}


def test_a_weight_of_0_is_context_alone(tmp_path):
    (example,), _ = read_conversations([Path(imported(tmp_path, ROWS[1]).out)], {})
    assert [m.content for m in example.messages] == ["a", "b", "c"]
    assert example.context_only == (1,)


@pytest.mark.parametrize(
    ("reference", "answer"), [("$5", "$5"), ({"fee": 5}, '{"fee": 5}'), (["a"], '["a"]'), (7, "7")]
)
def test_a_question_with_a_reference_is_a_test(reference, answer, tmp_path):
    row = {"messages": [{"role": "developer", "content": "x"}, ASKED], "reference_answer": reference, "grade": "b"}
    summary = imported(tmp_path, row)
    assert (summary.conversations, summary.tests_rows, summary.left_out) == (0, 1, ())
    (example,), bad = read_tests([Path(summary.tests_out)], {})
    assert (example.question, example.target, bad) == ("What is the fee?", answer, [])
    assert lines(summary.tests_out)[0]["metadata"]["grade"] == "b"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [ASKED], "compliant": "yes", "why": "x"}, "no reply, and no reference for a grader under "
         "reference_answer, reference, expected_answer, ...; it has compliant, why"),
        ({"messages": [ASKED]}, "no reply"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, SAID]}, "image"),
        ({"input_ids": [1], "labels": [1]}, "no conversation found: it has the keys input_ids, labels"),
        ({"text": "Prose to go on with."}, "no conversation found: it has the keys text"),
        ("{broken", "not JSON"),
        ("[1]", "not an object"),
        ({**STORED, "id": "chatcmpl-9"}, "its question is in no file: add the pages of"),
        ({"custom_id": "9", "response": None, "error": {"code": "x"}}, "the request failed: the result has no"),
    ],
)  # fmt: skip
def test_what_is_nothing_is_refused_by_line(row, reason, tmp_path):
    summary = imported(tmp_path, {"messages": [ASKED, SAID]}, row)
    assert summary.conversations == 1
    (left,) = summary.left_out
    assert left.id == "in.jsonl:2"
    assert left.reason.startswith(reason)


def call(**more):
    return {"messages": [ASKED, {"role": "assistant", **more}, SAID]}


def pair(preferred, other):
    return {"input": {"messages": [ASKED]}, "preferred_output": preferred, "non_preferred_output": other}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (pair([SAID], []), "`non_preferred_output` has no answer"),
        (pair([], [SAID]), "`preferred_output` has no answer"),
        (pair([SAID], [SAID]), "`preferred_output` and `non_preferred_output` are the same answer"),
        (call(tool_calls="x"), "`tool_calls` is not a list of calls"),
        (call(tool_calls=[5]), "a tool call has no function with a name"),
        (call(tool_calls=[{**CALL, "function": {"name": "fee", "arguments": '{"a": '}}]),
         "the arguments of a tool call are not a JSON object"),
        ({"messages": [ASKED, {"role": "assistant", "tool_calls": [CALL]},
                       {"role": "tool", "tool_call_id": "c9", "content": "5"}, SAID]},
         "a `tool_call_id` is of no tool call before it"),
        ({"messages": [ASKED, SAID], "tools": "nope"}, "`tools` is not a list of tools"),
        ({"messages": [ASKED, SAID], "tools": [{"x": 1}]}, "`tools` has a tool without a name"),
        ({"messages": [ASKED, {**SAID, "weight": 2}]}, "a `weight` is neither 0 nor 1"),
        ({"messages": [ASKED, {**SAID, "weight": 0.5}]}, "a `weight` is neither 0 nor 1"),
        ({"messages": [ASKED, {**SAID, "weight": "0"}]}, "a `weight` is neither 0 nor 1"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, SAID]}, "audio"),
    ],
)  # fmt: skip
def test_what_would_be_dropped_in_silence_is_refused_by_line(row, reason, tmp_path):
    summary = imported(tmp_path, {"messages": [ASKED, SAID]}, {"id": "mine", **row})
    assert [(s.id, s.reason) for s in summary.left_out] == [("in.jsonl:2", reason)]
    assert (summary.conversations, summary.preference_rows) == (1, 0)


# --- completions ------------------------------------------------------------------------------------------------

ANSWERED = {"answer": "It is $5.", "model": "ft:mini:acme", "time": "2025-02-07T20:36:50Z",
            "usage": {"prompt_tokens": 9, "completion_tokens": 4}}  # fmt: skip


def stored(tmp_path, *files):
    paths = [write(tmp_path / f"{n}.jsonl", rows) for n, rows in enumerate(files)]
    summary = import_files("openai", paths, tmp_path / "out.jsonl")
    assert (summary.conversations, summary.left_out) == (0, ())
    return lines(summary.stored_out)


@pytest.mark.parametrize("wrapped", [False, True], ids=["one a line", "a page"])
def test_a_stored_completion_finds_its_messages(wrapped, tmp_path):
    given = {"object": "list", "data": [STORED], "first_id": "a", "last_id": "b", "has_more": False}
    (row,) = stored(tmp_path, [given if wrapped else STORED], [PAGE])
    assert row == {"id": "chatcmpl-1", "messages": [SYSTEM, ASKED], **ANSWERED}


def test_results_of_a_batch_find_their_requests(tmp_path):
    requests = [{"custom_id": f"q{n}", "method": "POST", "url": "/v1/chat/completions",
                 "body": {"model": "m", "messages": [{**ASKED, "content": f"Q{n}"}]}} for n in range(3)]  # fmt: skip
    results = [{"id": f"b{n}", "custom_id": f"q{n}", "response": {"status_code": 200, "body": STORED}, "error": None}
               for n in (2, 0, 1)]  # fmt: skip
    rows = stored(tmp_path, requests, results)
    assert [(r["id"], r["messages"][0]["content"], r["answer"]) for r in rows] == [
        ("q2", "Q2", "It is $5."), ("q0", "Q0", "It is $5."), ("q1", "Q1", "It is $5."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [{**STORED, "messages": [SYSTEM, ASKED]}, {"request": {"messages": [SYSTEM, ASKED]}, "response": STORED},
     {"request": {"body": {"messages": [SYSTEM, ASKED]}}, "response": {"body": STORED}}],
    ids=["beside", "logged", "logged with bodies"],
)  # fmt: skip
def test_a_completion_with_its_messages_needs_no_other_file(row, tmp_path):
    (made,) = stored(tmp_path, [row])
    assert {k: made[k] for k in ANSWERED} == ANSWERED
    assert made["messages"] == [SYSTEM, ASKED]


def test_a_completion_that_calls_a_tool_is_refused(tmp_path):
    call = {**STORED, "messages": [ASKED], "choices": [{"message": {"role": "assistant", "tool_calls": [CALL]}}]}
    assert refused(tmp_path, call) == ["the comparison is of answers in words, and this one calls a tool"]


def test_stored_completions_are_not_exported_as_rows(tmp_path):
    stored(tmp_path, [{**STORED, "messages": [ASKED]}])
    with pytest.raises(InputError, match="a stored completion, which is no row for training"):
        export_rows([tmp_path / "out.stored.jsonl"], tmp_path / "back.jsonl")


def test_the_kind_is_guessed(tmp_path):
    summary = import_files("", [write(tmp_path / "in.jsonl", [{**STORED, "messages": [ASKED]}])], tmp_path / "o.jsonl")
    assert (summary.kind, summary.stored_rows) == ("openai", 1)
