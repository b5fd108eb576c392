"""Exports of Zendesk in the shapes that its API, its account export, and other tools write."""

import csv
import io
import json
import zipfile

import pytest

from inhouse.datasets.importers.run import import_files
from inhouse.errors import InputError

ANN, TOM, EVE = 501, 901, 902
USERS = [
    {"id": ANN, "name": "Ann Lee", "email": "ann@bakery.example", "role": "end-user"},
    {"id": TOM, "name": "Tom Okafor", "email": "tom@shop.example", "role": "agent"},
    {"id": EVE, "name": "Eve Ode", "email": "eve@shop.example", "role": "admin"},
]
SAID = [  # author, public, text
    (ANN, True, "Does the belt fit?\nIt is an SM-40."),
    (EVE, False, "Check with Dirk first."),
    (-1, True, "We got your request."),
    (TOM, True, "Yes, it fits."),
    (ANN, True, "Thank you!"),
]
MESSAGES = [
    {"role": "user", "content": "Does the belt fit?\nIt is an SM-40."},
    {"role": "assistant", "content": "Yes, it fits."},
    {"role": "user", "content": "Thank you!"},
]


def when(n):
    return f"2024-03-04T08:{30 + n}:00Z"


def ticket(**more):
    return {
        "id": 41, "url": "https://shop.zendesk.com/api/v2/tickets/41.json", "subject": "Belt", "raw_subject": "Belt",
        "description": SAID[0][2], "status": "solved", "requester_id": ANN, "submitter_id": ANN, "assignee_id": TOM,
        "created_at": when(0), "updated_at": when(9), "tags": ["belt"], "satisfaction_rating": {"score": "good"},
        "via": {"channel": "email"}, **more,
    }  # fmt: skip


def comment(n, **more):
    author, public, text = SAID[n]
    return {
        "id": 8000 + n, "type": "Comment", "author_id": author, "public": public, "body": text, "plain_body": text,
        "html_body": f"<div class='zd-comment'><p>{text}</p></div>".replace("\n", "<br>"), "created_at": when(n),
        "attachments": [], "via": {"channel": "rule" if author == -1 else "web"}, **more,
    }  # fmt: skip


def comments(without=(), **more):
    return [{k: v for k, v in comment(n, **more).items() if k not in without} for n in range(len(SAID))]


def events():
    return [
        {"ticket_id": 41, "id": n, "timestamp": 1709541000 + 60 * n, "created_at": when(n), "updater_id": c["author_id"],
         "child_events": [{"event_type": "Change", "status": "open"},
                          {k: v for k, v in c.items() if k not in ("created_at", "type")} | {"event_type": "Comment"}]}
        for n, c in enumerate(comments())
    ]  # fmt: skip


def audits():
    return [
        {"ticket_id": 41, "id": n, "created_at": when(n), "author_id": c["author_id"], "via": c["via"],
         "events": [{"id": n, "type": "Create", "field_name": "status", "value": "open"},
                    {k: v for k, v in c.items() if k not in ("created_at", "via", "author_id")}]}
        for n, c in enumerate(comments())
    ]  # fmt: skip


def lines(rows):
    return "\n".join(json.dumps(r) for r in rows) + "\n"


def table(delimiter=",", **names):
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    heads = ("ticket_id", "status", "tags", "comment_id", "author", "author_role", "public", "created_at", "body")
    writer.writerow([names.get(k, k) for k in heads])
    for n, (author, public, text) in enumerate(SAID):
        role = {ANN: "end-user", -1: "system"}.get(author, "agent")
        if author != -1:
            writer.writerow([41, "solved", "belt sm-40", n, author, role, str(public).lower(), when(n), text])
    return out.getvalue()


VARIANTS = {
    "pages": {
        "tickets.json": {"tickets": [ticket()], "count": 1, "next_page": None},
        "comments/41.json": {"comments": comments(), "count": 5},
        "users.json": {"users": USERS},
    },
    "incremental cursor": {
        "tickets_1.json": {"tickets": [ticket()], "after_url": "x", "after_cursor": "y", "end_of_stream": True},
        "ticket_41_comments.json": {"comments": comments(), "meta": {"has_more": False}, "links": {}},
        "users_1.json": {"users": USERS, "end_of_stream": True},
    },
    "users beside the tickets": {"tickets.json": {"tickets": [ticket(comments=comments())], "users": USERS, "count": 1}},
    "users beside the comments": {
        "tickets.json": {"tickets": [ticket()]},
        "41/comments.json": {"comments": comments(), "users": USERS, "count": 5},
    },
    "lines with comments": {
        "export.ndjson": lines([ticket(comments=comments(), requester=USERS[0], assignee=USERS[1], submitter=USERS[0])]),
        "users.ndjson": lines(USERS),
    },
    "lines in sorted keys": {
        "a.jsonl": json.dumps(ticket(comments=comments()), sort_keys=True) + "\n",
        "users.json": lines(USERS),
    },
    "array": {"tickets.json": [ticket(comments=comments())], "users.json": USERS},
    "one ticket": {"ticket.json": {"ticket": ticket()}, "41.json": comments(), "users.json": USERS},
    "one ticket, alone": {
        "t.json": {"ticket": ticket()}, "41.json": {"comments": comments()}, "u1.json": {"user": USERS[0]},
        "u2.json": {"user": USERS[1]},
    },
    "one ticket, whole": {"41.json": ticket(comments=comments()), "users.json": USERS},
    "comments with their ticket": {
        "tickets.json": [ticket()], "comments.json": [c | {"ticket_id": 41} for c in comments()], "users.json": USERS,
    },
    "authors in the comments": {
        "t.json": [ticket(comments=[
            {k: v for k, v in c.items() if k != "author_id"}
            | {"author": next((u for u in USERS if u["id"] == c["author_id"]), {"id": -1})} for c in comments()
        ])],
    },
    "text as HTML": {"t.json": {"tickets": [ticket(comments=comments(("plain_body", "body")))]}, "u.json": {"users": USERS}},
    "text as body": {"t.json": {"tickets": [ticket(comments=comments(("plain_body", "html_body")))]}, "u.json": USERS},
    "ticket events": {"events.json": {"ticket_events": events()}, "t.json": {"tickets": [ticket()]}, "u.json": USERS},
    "audits": {"audits.json": {"audits": audits(), "count": 5}, "t.json": {"tickets": [ticket()]}, "u.json": {"users": USERS}},
    "twice, the newer counts": {
        "1.json": {"tickets": [ticket(updated_at=when(1), tags=["old"], satisfaction_rating=None)]},
        "2.json": {"tickets": [ticket()]}, "comments/41.json": {"comments": comments()}, "u.json": {"users": USERS},
    },
    "newest comment first": {"t.json": [ticket(comments=comments()[::-1])], "u.json": USERS},
    "no users": {
        "t.json": {"tickets": [ticket(comments=comments(), assignee_id=None)]},
    },
    "byte order mark": {"t.json": "\ufeff" + json.dumps([ticket(comments=comments())]), "u.json": USERS},
    "ticket and comments in one object": {"t.json": {"ticket": ticket(), "comments": comments()}, "u.json": USERS},
    "results of a search": {"t.json": {"results": [ticket(comments=comments())], "count": 1}, "u.json": {"users": USERS}},
}  # fmt: skip


def write(folder, files):
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return folder


def imported(path, tmp_path, *staff, kind=""):
    summary = import_files(kind, [path], tmp_path / "out.jsonl", staff)
    return summary, [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", VARIANTS)
def test_shapes_of_exports(name, tmp_path):
    summary, [row] = imported(write(tmp_path / "export", VARIANTS[name]), tmp_path)
    assert summary.kind == "zendesk"
    assert row.pop("metadata")["times"] == [when(0), when(3), when(4)]
    assert row == {"id": "41", "messages": MESSAGES, "tags": ["belt"], "rating": "good", "time": when(0)}
    assert summary.messages_left_out.get("automatic message") == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_comments(delimiter, tmp_path):
    names = {"ticket_id": "Ticket ID", "author_role": "Author Role", "body": "Comment"}
    (tmp_path / "comments.csv").write_text(table(delimiter, **names), encoding="utf-8-sig")
    summary, [row] = imported(tmp_path / "comments.csv", tmp_path)
    assert row["messages"] == MESSAGES
    assert (row["id"], row["tags"], row["time"]) == ("41", ["belt", "sm-40"], when(0))
    assert summary.messages_left_out == {"internal note": 1}


Q, A = "What does a wire cost?", "A wire costs $28."


@pytest.mark.parametrize(
    "value",
    [
        {"id": 1, "subject": "Wire", "comments": [{"author_id": 10, "body": Q}, {"author_id": 99, "body": A}]},
        {"tickets": [{"id": 1, "description": Q, "requester_id": 10, "comments": [
            {"id": 1, "author_id": 10, "plain_body": Q, "public": True}, {"id": 2, "author_id": 99, "plain_body": A, "public": True},
            {"id": 3, "author_id": 99, "plain_body": "VIP", "public": False}]}]},
        {"ticket": {"id": 1, "subject": "Wire"}, "comments": [
            {"author_id": 10, "author": "customer", "body": Q}, {"author_id": 9, "html_body": f"<p>{A}</p>"}]},
        {"id": 1, "subject": "Wire", "requester_id": 10, "comments": [
            {"author_id": 10, "body": Q}, {"author_id": 98, "body": A}]},
    ],
    ids=range(4),
)  # fmt: skip
def test_exports_with_little_in_them(value, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(value))
    summary, [row] = imported(tmp_path / "t.json", tmp_path)
    assert summary.kind == "zendesk"
    assert [(m["role"], m["content"]) for m in row["messages"]] == [("user", Q), ("assistant", A)]
    assert any("no role in the export" in n for n in summary.notes)


def test_an_archive(tmp_path):
    folder = write(tmp_path / "export", VARIANTS["pages"])
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        for file in folder.rglob("*.json"):
            archive.write(file, file.relative_to(folder))
    _, [row] = imported(tmp_path / "export.zip", tmp_path)
    assert row["messages"] == MESSAGES


@pytest.mark.parametrize(
    ("changed", "said", "reason"),
    [
        ({"status": "deleted"}, SAID, "deleted"),
        ({"tags": ["closed_by_merge"]}, [SAID[0], (TOM, False, 'This request was closed and merged into request #12 "B".')],
         "merged into 12"),
        ({"tags": ["closed_by_merge"]}, [SAID[0]], "merged into another ticket"),
        ({}, [SAID[0]], "no reply"),
        ({}, [SAID[0], SAID[1], SAID[2]], "no reply"),
        ({"submitter_id": TOM, "description": "Yes, it fits."}, [SAID[3]], "no question"),
        ({"submitter_id": TOM, "description": "Check with Dirk first."}, [SAID[1]], "no question"),
    ],
)  # fmt: skip
def test_tickets_that_are_left_out(changed, said, reason, tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SAID", said)
    bad = ticket(comments=comments(), **changed)
    monkeypatch.undo()
    good = ticket(comments=comments()) | {"id": 42}
    summary, [row] = imported(write(tmp_path / "e", {"t.json": [bad, good], "u.json": USERS}), tmp_path)
    assert row["id"] == "42"
    assert [(s.id, s.reason) for s in summary.left_out] == [("41", reason)]


@pytest.mark.parametrize(
    ("score", "rating"), [("good", "good"), ("bad", "bad"), ("offered", None), ("unoffered", None)]
)
def test_ratings(score, rating, tmp_path):
    files = {"t.json": [ticket(comments=comments(), satisfaction_rating={"score": score, "id": 1})], "u.json": USERS}
    _, [row] = imported(write(tmp_path / "e", files), tmp_path)
    assert row.get("rating") == rating


def test_attachments_are_named_and_quoted_mails_go(tmp_path):
    pictured = comment(
        4,
        plain_body="",
        body="",
        html_body='<div class="zd-comment"><p></p></div>',
        attachments=[{"file_name": "belt.jpg", "size": 1}],
    )
    quoted = comment(3)
    quoted["plain_body"] = (
        "Yes, it fits.\n\n-- \nTom\n\nOn Mon, 4 Mar 2024 at 08:30, Ann <ann@bakery.example> wrote:\n> Does"
    )
    files = {"t.json": [ticket(comments=[comment(0), quoted, pictured])], "u.json": USERS}
    summary, [row] = imported(write(tmp_path / "e", files), tmp_path)
    assert row["messages"] == MESSAGES[:2]
    assert row["metadata"]["attachments"] == ["belt.jpg"]
    assert row["metadata"]["agents"] == ["Tom Okafor"]
    assert summary.messages_left_out == {"attachment without text": 1}


def test_staff_of_another_role_can_be_named(tmp_path):
    users = [USERS[0], USERS[1] | {"role": "end-user"}, USERS[2]]
    files = {"t.json": [ticket(comments=comments())], "u.json": users}
    _, [row] = imported(write(tmp_path / "e", files), tmp_path, "shop.example")
    assert row["messages"] == MESSAGES


def test_transcripts_of_chats(tmp_path):
    text = (
        "Chat started: 2024-03-04 08:30 AM UTC\n\n(08:30:12 AM) Ann Lee: Does the belt fit?\nIt is an SM-40.\n"
        "(08:30:13 AM) Answer Bot: Here are some articles\n(08:31:00 AM) *** Tom Okafor joined the chat ***\n"
        "(08:31:05 AM) Tom Okafor: Yes, it fits.\n(08:31:30 AM) Ann Lee: Thank you!"
    )
    files = {
        "t.json": [ticket(description=text, comments=[comment(0, plain_body=text, html_body="")])],
        "u.json": USERS,
    }
    summary, [row] = imported(write(tmp_path / "e", files), tmp_path)
    assert row["messages"] == MESSAGES
    assert summary.messages_left_out == {"automatic message": 2}


def test_replies_alone_begin_with_the_description(tmp_path):
    files = {"t.json": [ticket(comments=comments()[3:])], "u.json": USERS}
    _, [row] = imported(write(tmp_path / "e", files), tmp_path)
    assert row["messages"] == MESSAGES


def test_tickets_without_comments_are_an_error_that_helps(tmp_path):
    with pytest.raises(InputError, match="tickets without their comments") as error:
        imported(write(tmp_path / "e", {"t.json": {"tickets": [ticket()]}}), tmp_path)
    assert "comments/ID.json" in error.value.hint
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_table_of_tickets_is_an_error_that_helps(tmp_path):
    (tmp_path / "t.csv").write_text("Ticket ID,Subject,Status,Requester\n41,Belt,solved,Ann\n")
    with pytest.raises(InputError, match="comments"):
        imported(tmp_path / "t.csv", tmp_path, kind="zendesk")


def said(id, author, text, **more):
    return {"id": id, "author_id": author, "public": True, "created_at": when(id), "plain_body": text, **more}


def told(tmp_path, *names):
    out = tmp_path / "out.jsonl"
    summary = import_files("zendesk", [tmp_path / name for name in names], out)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return summary, {r["id"]: [(m["role"], m["content"]) for m in r["messages"]] for r in rows}


PAIR = [("user", "Fits?"), ("assistant", "Yes.")]


def test_events_without_users_are_told_by_who_asks(tmp_path):
    events = [
        {"id": n, "ticket_id": 4, "updater_id": author, "created_at": when(n), "event_type": "Audit",
         "child_events": [{"id": n, "event_type": "Comment", "author_id": author, "body": text, "public": True}]}
        for n, (author, text) in enumerate([(ANN, "Fits?"), (TOM, "Yes.")])
    ]  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({"ticket_events": events}))
    assert told(tmp_path, "a.json")[1] == {"4": PAIR}


def test_comments_of_tickets_that_are_not_exported_are_kept_and_named(tmp_path):
    comments = [{**said(1, ANN, "Fits?"), "ticket_id": 7}, {**said(2, TOM, "Yes."), "ticket_id": 7}]
    (tmp_path / "a.json").write_text(json.dumps({"tickets": [ticket()], "users": USERS}))
    (tmp_path / "b.json").write_text(json.dumps({"comments": comments}))
    summary, found = told(tmp_path, "a.json", "b.json")
    assert found == {"7": PAIR}
    assert any("comments alone" in note and note.endswith(": 7") for note in summary.notes)


@pytest.mark.parametrize("yes", ["true", "ja", "1"])
def test_tables_with_roles_alone(tmp_path, yes):
    no = {"true": "false", "ja": "nein", "1": "0"}[yes]
    rows = f"ticket_id;author_role;public;body\n4;end-user;{yes};Fits?\n4;agent;{yes};Yes.\n4;agent;{no};Margin 40\n"
    (tmp_path / "a.csv").write_text(rows)
    assert told(tmp_path, "a.csv")[1] == {"4": PAIR}


def test_authors_with_roles_and_without_ids_are_recognized(tmp_path):
    comments = [
        {"author": {"name": "A", "role": "end-user"}, "body": "Fits?", "public": True, "created_at": when(0)},
        {"author": {"name": "B", "role": "agent"}, "body": "Yes.", "public": True, "created_at": when(1)},
    ]
    (tmp_path / "a.json").write_text(json.dumps([{"id": 4, "subject": "Belt", "comments": comments}]))
    summary = import_files("", [tmp_path / "a.json"], tmp_path / "out.jsonl")
    assert (summary.kind, summary.conversations) == ("zendesk", 1)


def test_a_transcript_by_the_system_is_read(tmp_path):
    text = "Conversation with Web User 1\n\n(09:00:01) Web User 1: Fits?\n(09:00:02) Bot: Hi!\n(09:00:40) Tom: Yes."
    row = {**ticket(), "comments": [said(1, -1, text)]}
    (tmp_path / "a.json").write_text(json.dumps({"tickets": [row], "users": USERS}))
    assert told(tmp_path, "a.json")[1] == {"41": PAIR}


def test_merging_is_no_reply_and_what_was_asked_in_the_other_ticket_is_the_customers(tmp_path):
    merging = 'Request #12 "Saw" was closed and merged into this request. Last comment in request #12:\n\nAnd the saw?'
    closed = 'This request was closed and merged into request #41 "Belt".'
    rows = [
        {**ticket(), "comments": [said(1, ANN, "Fits?"), said(2, TOM, merging), said(3, TOM, "Yes, both.")]},
        {**ticket(id=12, tags=["closed_by_merge"]), "comments": [said(1, ANN, "?"), said(2, TOM, closed)]},
        {**ticket(id=13), "comments": [said(1, ANN, "Fits?"), said(2, TOM, merging.partition(" Last")[0])]},
    ]
    (tmp_path / "a.json").write_text(json.dumps({"tickets": rows, "users": USERS}))
    summary, found = told(tmp_path, "a.json")
    assert found == {"41": [("user", "Fits?\nAnd the saw?"), ("assistant", "Yes, both.")]}
    assert [s.reason for s in summary.left_out] == ["merged into 41", "no reply"]
