"""Files of conversations in every container: each gives the same pair, or says what it is and what to do."""

import gzip
import json
import zipfile

import pytest

from inhouse.datasets.containers import BadRow, rows_of
from inhouse.datasets.conversations import matches, read_conversations, without_thoughts
from inhouse.errors import InputError

Q, A = "Was kostet die Überweisung?", "Fünf Euro pro Stück."
PAIR = [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]
ROW = {"id": 1, "messages": PAIR}
LINE = json.dumps(ROW, ensure_ascii=False)


def written(folder, name, text):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", LINE),
        ("bom.jsonl", "\ufeff" + LINE + "\r\n"),
        ("blank_lines.jsonl", f"\n\n{LINE}\n\n"),
        ("utf16.jsonl", (LINE + "\n").encode("utf-16")),
        ("cp1252.jsonl", LINE.encode("cp1252")),
        ("a.jsonl.gz", gzip.compress(LINE.encode(), mtime=0)),
        ("a.csv.gz", gzip.compress(f"question,answer\n{Q},{A}\n".encode(), mtime=0)),
        ("array.json", json.dumps([ROW])),
        ("pretty_array.json", "\ufeff\n" + json.dumps([ROW], indent=2)),
        ("pretty.json", json.dumps(ROW, indent=1)),
        ("several_pretty.json", json.dumps(ROW, indent=1) + "\n"),
        ("data.json", json.dumps({"data": [ROW]})),
        ("conversations.json", json.dumps({"version": 1, "conversations": [ROW]}, indent=1)),
        ("sharegpt.json", json.dumps({"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]})),
        ("nested.json", json.dumps({"meta": {"n": 1}, "result": {"rows": [ROW]}})),
        ("pairs.json", json.dumps({"faq": [{"question": Q, "answer": A}]})),
        ("by_id.json", json.dumps({"c1": {"messages": PAIR}}, indent=1)),
        ("comma.csv", f"question,answer\n{Q},{A}\n"),
        ("bom.csv", f"\ufeffQuestion,Answer\r\n{Q},{A}\r\n"),
        ("semicolon.csv", f"question;answer\n{Q};{A}\n"),
        ("tab.csv", f"prompt\tcompletion\n{Q}\t{A}\n"),
        ("tab.tsv", f"Frage\tAntwort\n{Q}\t{A}\n"),
        ("pipe.csv", f"user|assistant\n{Q}|{A}\n"),
        ("sep.csv", f'sep=;\r\n"Prompt";"Response"\r\n"{Q}";"{A}"\r\n'),
        ("quoted.csv", f'"question; or not";question;answer\nx;"{Q}";"{A}"\n'),
        ("index.csv", f",question,answer\n0,{Q},{A}\n"),
        ("mac.csv", f"question,answer\r{Q},{A}\r"),
        ("cp1252.csv", f"question,answer\n{Q},{A}\n".encode("cp1252")),
        ("excel_unicode.txt", f"question\tanswer\r\n{Q}\t{A}\r\n".encode("utf-16")),
        ("messages.csv", f"conversation_id,role,content,time\n1,user,{Q},2026-01-01\n1,assistant,{A},2026-01-01\n"),
        ("turned.csv", f"Chat ID;Sender;Message;Created At\n7;Agent;{A};2026-01-01 10:05\n7;Customer;{Q};2026-01-01 10:01"),
        ("numbered.csv", f"ticket_id,author,body,turn\n7,bot,{A},10\n7,end-user,{Q},9\n"),
        ("direction.csv", f"thread_id,direction,text\na,inbound,{Q}\na,outbound,{A}\n"),
        ("mixed.csv", f"session id,from,text\na,human,{Q}\nb,human,Hm?\na,ai,{A}\n"),
        ("one_array.json", json.dumps(PAIR, indent=1)),
        ("arrays.json", json.dumps([PAIR])),
        ("arrays.jsonl", json.dumps(PAIR) + "\n\n"),
        ("commas.jsonl", f"{LINE},\n"),
        ("json_column.csv", 'id,messages\n1,"' + json.dumps(PAIR).replace('"', '""') + '"\n'),
        ("messages.jsonl", "\n".join(json.dumps({"conversation_id": 3, **m}) for m in PAIR)),
    ],
)  # fmt: skip
def test_containers_of_a_pair(tmp_path, name, text):
    (example, *others), _ = read_conversations([written(tmp_path, name, text)], {})
    assert ([m.content for m in example.messages], example.target, others) == ([Q], A, [])


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.parquet", b"PAR1\x15\x04", "a Parquet file"),
        ("a.db", b"SQLite format 3\0\x10", "a SQLite database"),
        ("a.csv", b"PK\x03\x04\x14\0", "a ZIP archive"),
        ("a.xls", b"\xd0\xcf\x11\xe0\xa1", "an old Excel or Word file"),
        ("a.pdf", b"%PDF-1.7\n", "a PDF file"),
        ("a.zst", b"\x28\xb5\x2f\xfd\x24", "a Zstandard file"),
        ("a.jsonl.gz", b"not gzip", "cannot be read"),
        ("a.jsonl", bytes(range(256)) * 20, "a.jsonl"),
    ],
)
def test_files_that_are_no_text_are_named_as_what_they_are(tmp_path, name, data, said):
    with pytest.raises(InputError, match=said) as error:
        read_conversations([written(tmp_path, name, data)], {})
    assert error.value.hint


def test_a_spreadsheet_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    with pytest.raises(InputError, match="ZIP archive or an Excel"):
        read_conversations([tmp_path / "a.xlsx"], {})


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("a.csv", "id,subject\n1,x\n", 1, "the keys id, subject"),
        ("a.csv", f"{Q},{A}\n", 1, "a table names its columns in the first line"),
        ("a.csv", "question,answer\na,b,c\n", 2, "different number of columns"),
        ("a.csv", "role,content\nuser,x\n", 2, "needs a column such as conversation_id; it has role, content"),
        ("a.csv", "chat_id,role,content\n1,narrator,x\n", 2, 'unknown role "narrator"'),
        ("a.csv", "chat_id,role,content\n,user,x\n", 2, "has nothing under chat_id"),
        ("a.json", '[{"messages": []}, 3, {', 1, "`messages` has no messages"),
        ("a.json", '[\n3,\n{"messages"', 3, "not JSON from here on"),
        ("a.json", "[\n3,\n4", 2, "not a JSON object"),
        ("a.jsonl", '{"a": 1}\n' + "[" * 100_000, 2, "nested too deeply"),
        ("a.jsonl", '{"a": 1}\n{"n": ' + "9" * 5000 + "}", 2, "a number is too long"),
        ("a.json", '{"messages": [\n{"role": "user"', 1, "not JSON"),
        ("a.txt", "Maria, how are you?", 1, "no readable keys"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named_with_its_line(tmp_path, name, text, line, said):
    good = written(tmp_path, "good.jsonl", LINE)
    _, rejected = read_conversations([good, written(tmp_path, name, text)], {})
    assert any(r.line == line and said in r.reason for r in rejected), rejected


@pytest.mark.parametrize("text", [f"[\n{LINE}\n]", f"[\n{LINE},\n{LINE}\n]", f'{{"data": [\n{LINE},\n{LINE}\n]}}'])
def test_an_array_with_one_row_a_line_is_no_json_lines(tmp_path, text):
    assert read_conversations([written(tmp_path, "a.json", text)], {})[1] == []


@pytest.mark.parametrize(
    ("head", "rows"),
    [
        ("chat_id,is_agent,body,date", (f"1,true,{A},2.1.2024 9:05", f"1,false,{Q},2.1.2024 9:00")),
        ("chat_id,from_customer,body,date", (f"1,0,{A},1/14/2024 1:05 PM", f"1,1,{Q},1/14/2024 11:00 AM")),
        ("chat_id,role,text,time", (f"1,agent,{A},14/01/24 09:05:10", f"1,user,{Q},13/02/23 10:00:00")),
        ("chat_id,role,text,time", (f"1,user,{Q},03/04/2024 09:05", f"1,agent,{A},05/02/2024 10:00")),
        ("FAQ of 2024\n\nQ,A", (f"{Q},{A}",)),
        ("FAQ;;\nquestion;answer;id", (f"{Q};{A};1",)),
    ],
)  # fmt: skip
def test_tables_as_programs_write_them(tmp_path, head, rows):
    (example,), rejected = read_conversations([written(tmp_path, "a.csv", "\n".join([head, *rows]))], {})
    assert ([m.content for m in example.messages], example.target, rejected) == ([Q], A, [])


def test_a_row_is_no_title_of_a_table(tmp_path):
    good = written(tmp_path, "good.jsonl", LINE)
    _, rejected = read_conversations([good, written(tmp_path, "a.csv", "id,channel\n1,chat\n2,text\n")], {})
    assert [(r.line, "the keys id, channel" in r.reason) for r in rejected] == [(1, True)]


def test_results_of_tools_have_letters_instead_of_escapes(tmp_path):
    result = r'{"city": "K\u00f6ln", "eur": 1.10, "said": "\u0022ja\u0022", "smile": "\ud83d\ude00"}'
    row = {"messages": [PAIR[0], {"role": "tool", "content": result}, PAIR[1]]}
    (example,), _ = read_conversations([written(tmp_path, "a.jsonl", json.dumps(row))], {})
    assert example.messages[1].content == r'{"city": "Köln", "eur": 1.10, "said": "\u0022ja\u0022", "smile": "😀"}'


def test_thoughts_in_a_channel_of_their_own_are_left_out(tmp_path):
    thought = {"role": "assistant", "channel": "analysis", "content": "Hm."}
    row = {"messages": [PAIR[0], thought, {**PAIR[1], "channel": "final"}]}
    (example,), _ = read_conversations([written(tmp_path, "a.jsonl", json.dumps(row))], {})
    assert example.target == A


def test_a_cell_keeps_its_blank_lines(tmp_path):
    text = 'question,answer\r\nFee?,"It is $5.\r\n\r\nAbroad $9."\r\n\r\nx\r\n'
    (example,), (bad,) = read_conversations([written(tmp_path, "a.csv", text)], {})
    assert (example.target, bad.line) == ("It is $5.\r\n\r\nAbroad $9.", 6)


def test_rows_of_one_object_are_not_taken_for_messages(tmp_path):
    text = json.dumps({"conversations": [ROW, {"id": 2, "messages": []}, 7, ROW | {"id": 3}]}, indent=1)
    rows = list(rows_of(written(tmp_path, "a.json", text)))
    assert [type(row) is BadRow for _, row in rows] == [False, False, True, False]
    assert len({line for line, _ in rows}) == 4


def test_what_was_assumed_is_noted(tmp_path):
    from collections import Counter

    notes = Counter()
    row = {
        "messages": [{"role": "developer", "content": "S"}, PAIR[0], {"role": "ai", "content": f"<think>x</think>{A}"}]
    }
    read_conversations([written(tmp_path, "a.csv", f"question,answer\n{Q},{A}\n".encode("cp1252")),
                        written(tmp_path, "b.jsonl", json.dumps(row))], {}, notes)  # fmt: skip
    assert {n for n in notes if notes[n]} == {
        "a.csv: read as Windows-1252 (assumed)", "system messages left out", "replies without the thoughts of a model",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<think>Look it up.</think>It costs five.", "It costs five."),
        ("<think>\nLook <b>it</b> up.\n</think>\n\nIt costs five.", "It costs five."),
        ("Look it up.</think>It costs five.", "It costs five."),
        ("<think>Look it up.", ""),
        ("<think></think>It costs five.", "It costs five."),
        ("<thinking>a</thinking>It <think>b</think>costs five.", "It costs five."),
        ("<reasoning>a</reasoning> It costs five.", "It costs five."),
        ("I think it costs five.", "I think it costs five."),
    ],
)
def test_thoughts_go(text, kept):
    assert without_thoughts(text) == kept


@pytest.mark.parametrize(
    ("given", "wanted", "same"),
    [
        (True, True, True), ("true", True, True), ("TRUE", True, True), ("yes", True, True), ("1", True, True),
        ("wahr", True, True), ("false", True, False), ("0", False, True), (None, False, False), ("", True, False),
        (True, "true", True), ("5", 5, True), ("5.0", 5, True), (5, "5", True), ("05", 5, True), ("x", 5, False),
        ("Billing", "billing", True), (["a", "b"], "b", True), (["a"], ["a"], True), (1, True, True), ("", None, False),
    ],
)  # fmt: skip
def test_where_compares_values(given, wanted, same):
    assert matches({"Key": given}, {"key": wanted}) == same


def test_where_on_a_table(tmp_path):
    file = written(
        tmp_path, "a.csv", f"question,answer,Resolved,rating\n{Q},{A},TRUE,5\n{Q},No.,FALSE,5\n{Q},No.,TRUE,4\n"
    )
    (example,), _ = read_conversations([file], {"Resolved": True, "rating": 5})
    assert example.target == A


def test_time_is_linear(tmp_path, takes_linear_time):
    def read(text):
        with pytest.raises(InputError):
            read_conversations([written(tmp_path, "a.jsonl", text)], {})

    for part in ('{"a": [', "[[", "<think>", '"', "a:b\n", '{"messages": [{"role": "user", "content": "<think>"}]}\n'):
        assert takes_linear_time(read, lambda n, part=part: part * n, size=500)
