"""Rows of every known shape; the files of providers are in ../shared/data/exports with the rows that they should give."""

import copy
import json
import random

import pytest

from inhouse.datasets.conversations import read_conversations, read_tests
from inhouse.datasets.shapes import conversation_of
from inhouse.datasets.turns import ShapeError

Q, A = "What does a wire cost?", "A wire costs 28 dollars."
USER, REPLY = {"role": "user", "content": Q}, {"role": "assistant", "content": A}
CALL = {"id": "call_0", "type": "function", "function": {"name": "track", "arguments": '{"id": 7}'}}
TOOL = [
    USER,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_0", "content": "Graz"},
    REPLY,
]
SHAREGPT = [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]


def rows_of(file):
    text = file.read_text(encoding="utf-8-sig")
    return json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]


def exported(row):
    """A row as `expected.jsonl` has it, without its id."""
    try:
        found = conversation_of(row)
    except ShapeError as error:
        return {"skipped": error.kind}
    if found.missing:
        return {"skipped": found.missing}
    made = {"messages": found.messages}
    made |= {"tools": found.tools} if found.tools else {}
    if found.chosen:
        return made | {"chosen": found.chosen, "rejected": found.rejected}
    kept = {k: v for k, v in found.rest.items() if k == "parallel_tool_calls"}
    return made | kept


@pytest.mark.data
@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("openai", ("sft.jsonl", "dpo.jsonl")),
        ("azure_openai", ("training_set.jsonl", "preference_set.jsonl")),
        ("sharegpt", ("sharegpt.json",)),
        ("alpaca", ("alpaca.json",)),
        ("vertex_gemini", ("tuning.jsonl",)),
        (
            "anthropic_bedrock",
            ("bedrock_claude.jsonl", "bedrock_converse.jsonl", "bedrock_text.jsonl", "messages_api.jsonl"),
        ),
    ],
)
def test_every_row_of_a_provider_is_as_expected(kind, files, data_dir):
    folder = data_dir / "exports" / kind
    wanted = [{k: v for k, v in row.items() if k != "id"} for row in rows_of(folder / "expected.jsonl")]
    assert [exported(row) for file in files for row in rows_of(folder / file)] == wanted


PAIRS = [
        {"messages": [USER, REPLY]},
        {"Messages": [{"Role": "USER ", "Content": Q}, {"ROLE": "Assistant", "content": A}]},
        {"conversation": {"messages": [USER, REPLY]}},
        {"data": {"conversation": [USER, REPLY]}},
        {"data": [USER, REPLY]},
        {"dialog": [{"speaker": "customer", "text": Q}, {"speaker": "agent", "text": A}]},
        {"dialogue": [{"author": "Client", "utterance": Q}, {"author": "Bot", "utterance": A}]},
        {"turns": [{"sender": "end-user", "body": Q}, {"sender": "Support Agent", "body": A}]},
        {"conversations": SHAREGPT},
        {"conversations": [{"from": "human", "value": Q}, {"from": "ai", "value": A}]},
        {"conversation": [{"human": Q, "assistant": A}]},
        {"history": [], "instruction": Q, "output": A},
        {"instruction": "", "input": Q, "output": A},
        {"prompt": Q, "completion": A},
        {"Prompt": Q, "Response": A},
        {"query": Q, "response": A},
        {"question": Q, "answer": A},
        {"question": Q, "answers": {"text": [A], "answer_start": [0]}},
        {"user": Q, "assistant": A},
        {"prompt": [USER], "completion": [REPLY]},
        {"contents": [{"parts": [{"text": Q}]}, {"role": "model", "parts": [{"text": A}]}]},
        {"messages": [USER], "response": {"choices": [{"message": REPLY}]}},
        {"request": {"body": {"messages": [USER]}}, "response": {"body": {"choices": [{"message": REPLY}]}}},
        {"messages": [USER], "choices": [{"index": 0, "message": REPLY}]},
        {"input": {"messages": [USER]}, "output": REPLY},
        {"messages": [{"type": "human", "data": {"content": Q}}, {"type": "ai", "data": {"content": A}}]},
        {"messages": [{"type": "human", "content": Q}, {"type": "ai", "content": A, "tool_calls": []}]},
        {"input": [USER, {"type": "reasoning", "summary": []},
                   {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": A}]}]},
        {"messages": json.dumps([USER, REPLY])},
        {"chat_messages": [{"sender": "human", "text": Q}, {"sender": "assistant", "text": A}]},
        {"text": f"<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n{A}<|im_end|>\n"},
        {"transcript": f"[10:02] Customer: {Q}\n[10:03] Agent: {A}"},
        {"text": f"### Human: {Q}\n### Assistant: {A}"},
        {"messages": [{"role": "用户", "content": Q}, {"role": "客服", "content": A}]},
        {"messages": [{"role": "Kunde", "content": Q}, {"role": "Berater", "content": A}]},
        {"messages": [USER, {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": A}]}]},
        {"title": "x", "current_node": "c", "mapping": {
            "a": {"message": None, "parent": None},
            "b": {"message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": [Q]}},
                  "parent": "a"},
            "old": {"message": {"author": {"role": "assistant"}, "content": {"parts": ["No."]}}, "parent": "b"},
            "c": {"message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": [A]}},
                  "parent": "b"}}},
]  # fmt: skip


@pytest.mark.parametrize("row", PAIRS)
def test_shapes_of_a_pair(row):
    found = conversation_of(row)
    assert ([(m["role"], m["content"]) for m in found.messages], found.missing) == ([("user", Q), ("assistant", A)], "")


CALLS = [
        {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [
            {"function": {"name": "track", "arguments": {"id": 7}}}]},
            {"role": "tool", "content": [{"type": "text", "text": "Graz"}]}, REPLY]},
        {"messages": [USER, {"role": "assistant", "content": None, "function_call": {
            "name": "track", "arguments": '{"id": 7}'}}, {"role": "function", "name": "track", "content": "Graz"},
            REPLY]},
        {"conversations": [SHAREGPT[0], {"from": "function_call", "value": '{"name": "track", "arguments": {"id": 7}}'},
                           {"from": "observation", "value": "Graz"}, SHAREGPT[1]]},
        {"conversations": [SHAREGPT[0], {"from": "gpt", "value": '<tool_call>\n{"name": "track", "arguments": '
                           '{"id": 7}}\n</tool_call>'},
                           {"from": "tool", "value": "<tool_response>\nGraz\n</tool_response>"}, SHAREGPT[1]]},
        {"contents": [{"role": "user", "parts": [{"text": Q}]},
                      {"role": "model", "parts": [{"functionCall": {"name": "track", "args": {"id": 7}}}]},
                      {"role": "function", "parts": [{"functionResponse": {"name": "track", "response": "Graz"}}]},
                      {"role": "model", "parts": [{"text": A}]}]},
        {"messages": [USER, {"role": "assistant", "content": [{"toolUse": {
            "toolUseId": "call_0", "name": "track", "input": {"id": 7}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "call_0", "content": [{"text": "Graz"}]}}]},
            REPLY]},
        {"messages": [USER, {"role": "assistant", "content": [{
            "type": "tool_use", "id": "call_0", "name": "track", "input": {"id": 7}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_0", "content": "Graz"}]},
            REPLY]},
        {"input": [USER, {"type": "function_call", "call_id": "call_0", "name": "track", "arguments": '{"id": 7}'},
                   {"type": "function_call_output", "call_id": "call_0", "output": "Graz"}, REPLY]},
]  # fmt: skip


@pytest.mark.parametrize("row", CALLS)
def test_tool_calls_and_results_are_kept(row):
    assert conversation_of(row).messages == TOOL


def test_history_system_tools_and_weights():
    found = conversation_of({"system": "S", "instruction": Q, "output": A, "history": [["a", "b"]], "id": 3})
    assert [m["content"] for m in found.messages] == ["S", "a", "b", Q, A]
    assert found.rest == {"id": 3}
    found = conversation_of({"messages": [{**USER}, {**REPLY, "weight": 0}, USER, {**REPLY, "train": False}]})
    assert [m.get("weight") for m in found.messages] == [None, 0, None, 0]
    spec = {"name": "track", "inputSchema": {"json": {"type": "object"}}}
    found = conversation_of({"messages": [USER, REPLY], "toolConfig": {"tools": [{"toolSpec": spec}]}})
    function = {"name": "track", "parameters": {"type": "object"}}
    assert found.tools == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": Q, "chosen": A, "rejected": "No."},
        {"chosen": [USER, REPLY], "rejected": [USER, {"role": "assistant", "content": "No."}]},
        {"chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}", "rejected": f"\n\nHuman: {Q}\n\nAssistant: No."},
        {"prompt": [USER], "chosen": [REPLY], "rejected": [{"role": "assistant", "content": "No."}]},
        {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": {"from": "gpt", "value": "No."}},
        {"input": {"messages": [USER]}, "preferred_output": [REPLY],
         "non_preferred_output": [{"role": "assistant", "content": "No."}]},
    ],
)  # fmt: skip
def test_preference_rows(row):
    found = conversation_of(row)
    assert (found.messages, found.chosen) == ([USER], [REPLY])
    assert found.rejected == [{"role": "assistant", "content": "No."}]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": [{"role": "narrator", "content": "9503"}]}, 'unknown role "narrator"'),
        ({"messages": [{"role": "asistant", "content": "9503"}]}, 'did you mean "assistant"?'),
        ({"messages": [{"role": "Maria", "content": "9503"}]}, "unknown role (known are"),
        ({"messages": [{"content": "9503"}]}, "a message has no role"),
        ({"messages": [{"role": "user", "content": 9503}]}, "not text"),
        ({"messages": []}, "`messages` has no messages"),
        ({"dialog": ["9503", "9503"]}, "texts without roles"),
        ({"qestion": "9503", "anwser": "9503"}, "the keys qestion, anwser; the nearest shape is question and answer"),
        ({"mesages": [USER, REPLY]}, "the nearest shape is OpenAI, with `messages`"),
        ({"text": "9503"}, "the keys text"),
        ({"9503": 1}, "no readable keys"),
    ],
)
def test_a_reason_names_what_was_found_and_the_nearest_shape(row, said):
    with pytest.raises(ShapeError) as error:
        conversation_of(row)
    assert said in str(error.value)
    assert "9503" not in str(error.value)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        {"type": "input_audio", "input_audio": {}},
        {"type": "file", "file": {"file_id": "f"}},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
        {"fileData": {"fileUri": "gs://x"}},
        {"image": {"format": "png"}},
        {"type": "document", "source": {}},
    ],
)
def test_a_row_with_a_picture_is_refused_with_that_reason(part):
    for key in ("content", "parts"):
        with pytest.raises(ShapeError, match="picture") as error:
            conversation_of({"messages": [{"role": "user", key: [part, {"type": "text", "text": Q}]}, REPLY]})
        assert error.value.kind == "image"


JUNK = [None, 0, 1.5, True, "", "x", [], {}, [None], [[]], [{}], {"a": None}, '{"a": 1}', "[1]", "\ud800", [USER]]
KEYS = ["tool_calls", "role", "content", "tools", "functions", "choices", "metadata", "history", "weight", "data", "parts", "system", "mapping", "checks", "sources", "tags", "id", "output", "response", "messages"]  # fmt: skip


def spoiled(row, rng):
    """The row with one to three values somewhere in it replaced, left out, or added."""
    row = copy.deepcopy(row)
    for _ in range(rng.choice([1, 1, 2, 3])):
        inside = [row]
        for value in inside:
            children = value.values() if isinstance(value, dict) else value
            inside += [child for child in children if isinstance(child, dict | list) and child]
        place, junk = rng.choice(inside), copy.deepcopy(rng.choice(JUNK))
        if isinstance(place, dict) and rng.random() < 0.2:
            place[rng.choice(KEYS)] = junk
        elif place:
            place[rng.choice(list(place) if isinstance(place, dict) else range(len(place)))] = junk
    return row


def test_a_spoiled_row_is_refused_and_never_breaks(tmp_path):
    rng = random.Random(3)
    rows = [spoiled(rng.choice([*PAIRS, *CALLS]), rng) for _ in range(3000)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    for read in (read_conversations, read_tests):
        examples, rejected = read([path], {})
        assert min(len(examples), len(rejected)) > 300


def test_a_label_of_kto_weights_and_one_of_another_kind_does_not():
    asked, poor = {"role": "user", "content": "Q?"}, {"role": "assistant", "content": "Poor."}
    for row in ({"prompt": "Q?", "completion": "Poor."}, {"prompt": [asked], "completion": [poor]}):
        for label, weight in ((False, 0), ("False", 0), (True, None), ("refund", None), (None, None)):
            assert conversation_of(row | {"label": label}).messages[-1].get("weight") == weight, (row, label)
    for row in ({"messages": [asked, poor]}, {"question": "Q?", "answer": "Poor."}):
        for label in (0, False, "refund"):  # an index of a class, for example
            assert "weight" not in conversation_of(row | {"label": label}).messages[-1]
