"""Conversations written as text: transcripts of chats in files, and texts with the marks of chat templates."""

import json
from collections import Counter

import pytest

from inhouse.datasets.conversations import read_conversations
from inhouse.datasets.transcripts import AT_BLANKS, conversations_in, messages_in
from inhouse.errors import InputError

Q, A = "How much is the drill?", "It costs $89.\nModel: DX-3\nSupport: 555"
PAIR = [("user", Q), ("assistant", A)]


def sides(messages):
    return [(m["role"], m["content"]) for m in messages]


@pytest.mark.parametrize(
    "text",
    [
        f"User: {Q}\nAgent: {A}\n",
        f"Customer:{Q}\r\nAgent Ben: {A}",
        f"Ann (Customer): {Q}\nBen (Agent): {A}",
        f"Chat of 2024\nDate: today\n\nVisitor: {Q}\nOperator: {A}",
        f"**Customer:** {Q}\n\n**Assistant:** {A}",
        f"- Human: {Q}\n- AI: {A}",
        f"### Customer: {Q}\n### Agent: {A}",
        f"[09:00] Customer: {Q}\n[09:01:10] Agent: {A}",
        f"2024-03-01 09:00:01 - Visitor: {Q}\n2024-03-01 09:00:40 - Agent Ben: {A}",
        f"(3/1/24, 9:00 AM) Client: {Q}\n(3/1/24, 9:01 AM) Agent: {A}",
        f"Customer (09:00): {Q}\nAgent (09:01): {A}",
        f"Kunde: {Q}\nMitarbeiterin: {A}",
        f"Cliente: {Q}\nAgente: {A}",
        f"用户：{Q}\n客服：{A}",
        f"お客様：{Q}\n担当者：{A}",
        f"العميل: {Q}\nالموظف: {A}".replace("ال", ""),
        f"> User: {Q}\n> Bot: {A}",
    ],
)
def test_a_transcript_is_one_conversation(tmp_path, text):
    (tmp_path / "chat.txt").write_text(text, encoding="utf-8")
    (example,), rejected = read_conversations([tmp_path / "chat.txt"], {})
    assert ([(m.role, m.content) for m in example.messages], example.target, rejected) == ([("user", Q)], A, [])


@pytest.mark.parametrize(
    ("text", "begin", "noted"),
    [
        ("User: a\nBot: b\n---\nUser: c\nBot: d\n", [1, 4], False),
        ("Chats\n=====\nUser: a\nBot: b\n\n***\nBot: Hello!\nUser: c\nBot: d\n", [3, 7], False),
        ("## Chat 7\nUser: a\nBot: b\n## Chat 8\nUser: c\nBot: d\n", [2, 5], False),
        ("User: a\nBot: b\n\nUser: c\nBot: d\n", [1, 4], True),
        ("Bot: Hello!\nUser: a\nBot: b\n\nBot: Hello!\nUser: c\nBot: d\n", [1, 5], True),
        ("User: a\n\nBot: b\n\nUser: c\n\nBot: d\n", [1], False),
        ("User: a\nBot: b\n---\nBot: and more\n---\nUser: c\nBot: d\n", [1, 6], False),
        ("Case closed\nUser: a\nBot: b\nCase closed\nBot: d\n", [1], False),
    ],
)
def test_borders_between_conversations(text, begin, noted):
    said = []
    found = list(conversations_in(text, said.append))
    assert [line for line, _ in found] == begin
    assert said == [AT_BLANKS] * noted
    told = json.dumps([m for _, m in found])
    assert all(f'"{c}' in told for c in ("a", "b", "d"))


@pytest.mark.parametrize(
    "text",
    [
        f"<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\n{Q} [/INST] {A} </s>",
        f"<s>[INST] {Q} [/INST] {A}</s>",
        f"<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n{Q}<|im_end|>\n<|im_start|>assistant\n{A}<|im_end|>",
        f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{Q}<|eot_id|>"
        f"<|start_header_id|>assistant<|end_header_id|>\n\n{A}<|eot_id|>",
        f"<bos><start_of_turn>user\n{Q}<end_of_turn>\n<start_of_turn>model\n{A}<end_of_turn>",
        f"<|user|>\n{Q}<|end|>\n<|assistant|>\n{A}<|end|>",
        f"<|user|>\n{Q}</s>\n<|assistant|>\n{A}</s>",
        f"Below is an instruction.\n\n### Instruction:\n{Q}\n\n### Response:\n{A}",
        f"### Human: {Q}### Assistant: {A}",
        f"\n\nHuman: {Q}\n\nAssistant: {A}",
    ],
)
def test_chat_templates(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    (example,), _ = read_conversations([tmp_path / "a.jsonl"], {})
    assert ([(m.role, m.content) for m in example.messages], example.target) == ([("user", Q)], A)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "Mr. X: Hello\nMrs. Y: Hello\n", "a transcript has `User:` or `Agent:` before each message"),
        ("a.txt", "User: Hello\nUser: Hello?\n", "a transcript has"),
        ("a.jsonl", json.dumps({"text": "Some text"}), "`text` has no turns such as"),
    ],
)
def test_what_is_no_transcript_is_refused_with_advice(tmp_path, name, text, said):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_conversations([tmp_path / name], {})


def test_long_texts_take_linear_time():
    for text in ("User" * 200_000, "[1" * 200_000, "### " * 200_000, "User: a\n" * 50_000, "- " * 200_000 + "\n"):
        messages_in(text)
        assert len(list(conversations_in(text, Counter().update))) == 0
