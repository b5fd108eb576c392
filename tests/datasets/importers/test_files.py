"""Containers of exports: JSON in every layout as a stream, archives, broken files; and what is written."""

import gzip
import io
import json
import random
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.datasets.conversations import read_conversations
from inhouse.datasets.importers import files
from inhouse.datasets.importers.files import Entry, entries_of, records
from inhouse.datasets.importers.registry import recognize
from inhouse.datasets.importers.run import import_files
from inhouse.errors import ConfigError, InhouseError, InputError


def entry(data, name="a.json"):
    data = data.encode() if isinstance(data, str) else data
    return Entry(name, name, len(data), lambda: io.BytesIO(data))


def read(data, name="a.json"):
    return [(r.key, r.value) for r in records(entry(data, name))]


A, B = {"id": 1, "text": "a"}, {"id": 2, "tags": [{"x": 1}]}
LAYOUTS = {
    "array": ([A, B], ["", ""]),
    "page": ({"tickets": [A, B], "count": 2}, ["tickets"] * 2),
    "page, count first": ({"count": 2, "next_page": None, "tickets": [A, B]}, ["tickets"] * 2),
    "value": ({"@odata.context": "x", "value": [A, B]}, ["value"] * 2),
    "wrapper": ({"data": [A, B]}, ["data"] * 2),
    "two lists": ({"users": [A], "tickets": [B]}, ["users", "tickets"]),
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("size", [7, 64, 1 << 20])
def test_layouts_of_json(name, indent, size, monkeypatch):
    monkeypatch.setattr(files, "READ_CHARS", size)
    value, keys = LAYOUTS[name]
    assert read(json.dumps(value, indent=indent)) == list(zip(keys, [A, B], strict=True))


@pytest.mark.parametrize(
    "text", ["{a}\n{b}\n", "{a}{b}", "{a}\n\n{b}", "\ufeff{a}\r\n{b}\r\n", "{a},\n{b},\n", "\n {a} \n {b}"]
)
def test_lines_of_json(text):
    assert read(text.replace("{a}", json.dumps(A)).replace("{b}", json.dumps(B))) == [("", A), ("", B)]


@pytest.mark.parametrize("value", [A, B, {"id": 1, "comments": [A]}, {"messages": [{"role": "user", "content": "a"}]},
                                   {"conversations": [{"from": "human", "value": "a"}]}, {"input": {}, "x": [A], "y": [B]}])  # fmt: skip
def test_an_object_that_is_no_envelope_is_whole(value):
    assert read(json.dumps(value)) == [("", value)]
    assert read(json.dumps(value, indent=1) + "\n" + json.dumps(value)) == [("", value)] * 2


objects = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.fixed_dictionaries({"id": st.integers(), "x": objects}), max_size=5), st.integers(1, 40), st.booleans()
)
def test_whatever_is_cut_in_pieces_is_read_whole(rows, size, lines):
    files.READ_CHARS, before = size, files.READ_CHARS
    try:
        text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
        assert [v for _, v in read(text)] == rows
    finally:
        files.READ_CHARS = before


def test_an_object_too_long_for_memory_is_walked(monkeypatch):
    monkeypatch.setattr(files, "READ_CHARS", 100)
    monkeypatch.setattr(files, "WHOLE_CHARS", 1000)
    rows = [{"id": n, "text": "x" * 50} for n in range(100)]
    assert read(json.dumps({"type": "list", "conversations": rows, "more": {"a": 1}})) == [
        ("conversations", r) for r in rows
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_of_json(encoding):
    rows = [{"id": 1, "text": "Größe 👍"}]
    assert read(json.dumps(rows, ensure_ascii=False).encode(encoding)) == [("", rows[0])]


@pytest.mark.parametrize(
    ("text", "message"),
    [('[{"id": 1}, {"id"', "a.json:1: cut off"), ("[1, 2", "cut off"), ("hello", "a.json:1: not JSON"),
     ('[\n{"a": 1},\n{"a": x}]', "a.json:3: Expecting value at column 7"), ('{"tickets": [{"a": 1}', "cut off"),
     (b'[{"a": "\xff\xfe"}]', "not utf-8"), ("[" * 100_000, "nested too deeply|cut off")],
)  # fmt: skip
def test_broken_json_names_the_line(text, message):
    with pytest.raises(InputError, match=message):
        read(text)


def test_a_broken_line_is_left_out_and_the_rest_is_read():
    found = list(records(entry(f'{json.dumps(A)}\n{{"a": x}}\n{json.dumps(B)}\n{{"cut": "off\n{json.dumps(A)}\n')))
    assert [r.value for r in found] == [A, None, B, None, A]
    assert [r.number for r in found] == [1, 2, 3, 4, 5]
    assert "not JSON" in found[1].error


# --- archives -----------------------------------------------------------------------------------------------------


def zipped(path, members, **more):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **more) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_members_are_read_in_place_and_junk_is_not(tmp_path):
    path = zipped(
        tmp_path / "e.zip", {"a/1.json": "{}", "__MACOSX/a/._1.json": "x", ".DS_Store": "x", "../../evil.json": "{}"}
    )
    assert [e.name for e in entries_of([path])] == ["e/../../evil.json", "e/a/1.json"]
    assert not (tmp_path.parent / "evil.json").exists()


def test_a_bomb_is_refused(tmp_path):
    path = zipped(tmp_path / "bomb.zip", {f"{n}.json": b"\0" * (40 << 20) for n in range(3)})
    with pytest.raises(InputError, match="would unpack to 3 files and 125,829,120 bytes"):
        entries_of([path])


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"PK" + b"\0" * 40])
def test_a_broken_archive(damage, tmp_path):
    path = zipped(tmp_path / "e.zip", {"1.json": json.dumps([A] * 999)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"e\.zip: not a readable zip"):
        entries_of([path])


def test_a_damaged_member(tmp_path):
    random.seed(1)
    rows = [{"id": n, "text": random.randbytes(20).hex()} for n in range(2000)]
    path = zipped(tmp_path / "e.zip", {"1.json": json.dumps(rows)})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="1.json"):
        list(records(entries_of([path])[0]))


def test_gzip(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps([A]).encode()))
    [found] = entries_of([tmp_path / "a.json.gz"])
    assert [r.value for r in records(found)] == [A]
    assert found.suffix == ".json"


def test_files_of_one_name_from_two_folders_keep_their_paths(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.json").write_text("[]")
    names = [e.name for e in entries_of([tmp_path / "a" / "x.json", tmp_path / "b" / "x.json"])]
    assert names == ["a/x.json", "b/x.json"]


# --- what is written ----------------------------------------------------------------------------------------------

ROWS = [
    {"messages": [{"role": "user", "content": f"Q{n}"}, {"role": "assistant", "content": f"A{n}"}], "id": "same"}
    for n in range(3)
]


@pytest.fixture
def rows_file(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, ROWS)))
    return file


def test_ids_are_made_unique(rows_file, tmp_path):
    import_files("openai", [rows_file], tmp_path / "out.jsonl")
    assert [json.loads(x)["id"] for x in (tmp_path / "out.jsonl").read_text().splitlines()] == [
        "same",
        "same-2",
        "same-3",
    ]


def test_half_a_surrogate_pair_becomes_a_replacement(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "\\ud83d?"}, {"role": "assistant", "content": "\\ud83d\\udc4d"}]}'
    )
    import_files("openai", [tmp_path / "a.jsonl"], tmp_path / "out.jsonl")
    contents = [m["content"] for m in json.loads((tmp_path / "out.jsonl").read_text())["messages"]]
    assert contents == ["\ufffd?", "👍"]


def test_an_input_is_never_replaced(rows_file):
    with pytest.raises(InputError, match="is one of the files to import"):
        import_files("openai", [rows_file], rows_file)
    with pytest.raises(InputError, match="is one of the files to import"):
        import_files("openai", [rows_file.parent], rows_file)
    assert len(rows_file.read_text().splitlines()) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError("broken", "")])
def test_what_fails_leaves_nothing(error, rows_file, tmp_path, monkeypatch):
    out = tmp_path / "out.jsonl"
    out.write_text("before")
    real = files.records

    def failing(*args, **more):
        yield next(real(*args, **more))
        raise error

    monkeypatch.setattr("inhouse.datasets.importers.openai.records", failing)
    with pytest.raises(error if isinstance(error, type) else InputError):
        import_files("openai", [rows_file], out)
    assert out.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.jsonl", "rows.jsonl"]


@pytest.mark.parametrize(
    ("kind", "name", "text", "message"),
    [
        ("", "a.json", "[]", "not an export that is known"),
        ("nonsense", "a.json", "[]", "nonsense: not a kind of export"),
        ("zendesk", "a.json", "[]", "tickets without their comments"),
        ("openai", "a.jsonl", "", "no conversation to import"),
        ("openai", "a.jsonl", '{"messages": []}', "no conversation to import"),
        ("slack", "a.json", "[]", "no conversation to import"),
        ("mbox", "a.mbox", "hello", "no conversation to import"),
        ("", "a.bin", "\0\1\2", "not an export that is known"),
        ("", "a.xlsx", "PK", "not an export that is known"),
        ("", "tickets.xml", "<tickets/>", "not an export that is known"),
        ("", "a.json", '{"comments": [{"author_id": 1, "public": true, "body": "x", "incoming": true, "private": false}]}',
         "Zendesk .zendesk. or Freshdesk .freshdesk."),
    ],
)  # fmt: skip
def test_errors_say_what_to_do(kind, name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises((InputError, ConfigError), match=message) as error:
        import_files(kind, [tmp_path / name], tmp_path / "out.jsonl")
    assert error.value.hint
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["zendsk", "Zendesk", "azure_openai", "vertex_gemini", "ms-teams"])
def test_other_names_of_kinds(name, rows_file, tmp_path):
    assert import_files(name, [rows_file], tmp_path / "out.jsonl").kind == ("azure" if "azure" in name else "openai")


def test_recognizing_is_quick_and_never_fails(tmp_path):
    for name, data in {
        "a.json": b"\xff\xfe\0",
        "b.zip": b"PK",
        "c.txt": b"",
        "d.json": b"{" * 9999,
        "e.gz": b"x",
    }.items():
        (tmp_path / name).write_bytes(data)
        assert recognize(tmp_path / name) is None
    assert recognize(tmp_path / "none.json") is None
    assert issubclass(InputError, InhouseError)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "t.json",
            '{"tickets": [{"id": 1, "requester_id": 1, "submitter_id": 1, "subject": "a"}]}',
            "a Zendesk export",
        ),
        ("c.json", '{"id": "1", "source": {}, "conversation_parts": {}}', "an Intercom export"),
        ("d.json", '[{"ts": "1.0", "user": "U", "text": "a", "type": "message"}]', "a Slack export"),
        ("w.txt", "12/03/2024, 09:38 - Ann: a\n12/03/2024, 09:39 - Shop: b\n", "a WhatsApp export"),
        ("m.mbox", "From a@b Mon Mar  4 08:30:00 2024\nSubject: a\n\nb\n", "a mailbox export"),
    ],
)
def test_curation_says_that_an_export_must_be_imported_first(name, text, said, tmp_path):
    path, good = tmp_path / name, tmp_path / "good.jsonl"
    path.write_text(text)
    good.write_text(json.dumps(ROWS[0]))
    for paths in ([path], [good, path]):
        with pytest.raises(InputError, match=f"this looks like {said}") as error:
            read_conversations(paths, {})
        assert f'inhouse import {recognize(path)} "{path}"' in error.value.hint
    with zipfile.ZipFile(tmp_path / "e.zip", "w") as archive:
        archive.write(path, name)
    with pytest.raises(InputError, match=f"this looks like {said}"):
        read_conversations([tmp_path / "e.zip"], {})


def test_what_is_imported_is_what_curation_reads(tmp_path):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    rows = [
        ROWS[0],
        {"messages": [*ROWS[1]["messages"], {"role": "assistant", "content": "B", "weight": 0}], "tools": tools},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    import_files("openai", [tmp_path / "a.jsonl"], tmp_path / "out.jsonl")
    examples, rejected = read_conversations([tmp_path / "out.jsonl"], {})
    assert [e.id for e in examples] == ["same", "a.jsonl:2"]
    assert not rejected


def test_what_else_a_row_says_is_metadata(tmp_path):
    row = {
        **ROWS[0],
        "id": 7,
        "lang": "de",
        "metadata": {"agents": 5, "shop": "b"},
        "tags": ["t"],
        "time": "2024-03-04",
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    import_files("openai", [tmp_path / "a.jsonl"], tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "id": "7", "messages": ROWS[0]["messages"], "tags": ["t"], "time": "2024-03-04",
        "metadata": {"lang": "de", "agents": 5, "shop": "b", "original": json.dumps(row)},
    }  # fmt: skip


def test_pairs_of_prompt_and_completion_may_be_of_two_programs(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"prompt": "Q?", "completion": "A."}))
    with pytest.raises(InputError, match=r"OpenAI fine-tuning \(openai\) or Bedrock \(bedrock\)"):
        import_files("", [tmp_path / "a.jsonl"], tmp_path / "out.jsonl")
    for kind in ("openai", "bedrock"):
        assert import_files(kind, [tmp_path / "a.jsonl"], tmp_path / "out.jsonl").conversations == 1


def test_a_damaged_mailbox_in_an_archive(tmp_path):
    random.seed(1)
    mails = "".join(
        f"From a@b Mon Mar  4 08:30:00 2024\nSubject: {random.random()}\n\n{random.randbytes(99).hex()}\n\n"
        for _ in range(99)
    )
    path = zipped(tmp_path / "e.zip", {"m.mbox": mails})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"m\.mbox: cannot be read"):
        import_files("mbox", [path], tmp_path / "out.jsonl", ["b"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "User: How much?\nAgent: It costs $89.\n", 'conversations = ["a.txt"]'),
        ("a.csv", "question,answer\nHow much?,It costs $89.\n", 'conversations = ["a.csv"]'),
        ("a.jsonl", '{"foo": 1}\n', "name its kind"),
    ],
)
def test_files_that_need_no_import_are_told(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="not an export that is known") as error:
        import_files("", [tmp_path / name], tmp_path / "out.jsonl")
    assert said in error.value.hint
    assert [f.name for f in tmp_path.iterdir()] == [name]
