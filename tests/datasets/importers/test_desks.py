"""Exports of Intercom, Freshdesk, Slack, and Teams in the shapes that they have."""

import json
import zipfile

import pytest

from inhouse.datasets.importers.run import import_files
from inhouse.errors import InputError

MESSAGES = [
    {"role": "user", "content": "Does it fit?"},
    {"role": "assistant", "content": "Yes, it fits."},
    {"role": "user", "content": "Thank you!"},
]


def write(folder, files):
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return folder


def imported(tmp_path, files, *staff, kind=""):
    summary = import_files(kind, [write(tmp_path / "export", files)], tmp_path / "out.jsonl", staff)
    return summary, [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def lines(rows):
    return "\n".join(map(json.dumps, rows))


# --- Intercom -----------------------------------------------------------------------------------------------------


def part(n, author, body, kind="comment", **more):
    return {"type": "conversation_part", "id": str(n), "part_type": kind, "body": body, "created_at": 1709541000 + 60 * n,
            "author": {"type": author, "id": author, "name": author.title()}, "attachments": [], **more}  # fmt: skip


def intercom(*parts, **more):
    source = {
        "type": "conversation",
        "id": "1",
        "body": "<p>Does it fit?</p>",
        "author": {"type": "user"},
        "attachments": [],
    }
    parts = parts or (part(1, "admin", "<p>Yes, it fits.</p>"), part(2, "user", "<p>Thank you!</p>"))
    return {
        "type": "conversation", "id": "7", "created_at": 1709541000, "source": source, "tags": {"type": "tag.list", "tags": []},
        "conversation_rating": None,
        "conversation_parts": {"type": "conversation_part.list", "conversation_parts": list(parts), "total_count": len(parts)},
        **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    "files",
    [
        {"7.json": intercom()}, {"a.jsonl": lines([intercom(), intercom(id="8")])}, {"a.json": [intercom()]},
        {"a.json": {"type": "conversation.list", "conversations": [intercom()], "total_count": 1, "pages": {}}},
        {"7.json": {"conversation": intercom()}},
    ],
)  # fmt: skip
def test_intercom_in_files_lists_and_lines(files, tmp_path):
    summary, rows = imported(tmp_path, files)
    assert summary.kind == "intercom"
    assert rows[0]["messages"] == MESSAGES
    assert rows[0]["time"] == "2024-03-04T08:30:00Z"


@pytest.mark.parametrize(
    ("extra", "dropped"),
    [
        (part(3, "admin", "<p>Ask Dirk.</p>", "note"), "internal note"),
        (part(3, "bot", "<p>Rate us!</p>"), "automatic message"),
        (part(3, "admin", "<p>x</p>", redacted=True), "deleted message"),
        (part(3, "admin", None, "close"), None),
        (part(3, "admin", "<p>assigned</p>", "participant_added"), "system message"),
        (part(3, "user", None, attachments=[{"name": "a.jpg"}]), "attachment without text"),
    ],
)
def test_intercom_leaves_out_what_no_person_said(extra, dropped, tmp_path):
    value = intercom(part(1, "admin", "<p>Yes, it fits.</p>"), part(2, "lead", "<p>Thank you!</p>"), extra)
    summary, [row] = imported(tmp_path, {"7.json": value})
    assert row["messages"] == MESSAGES
    assert summary.messages_left_out == ({dropped: 1} if dropped else {})


def test_an_intercom_list_without_replies_is_an_error_that_helps(tmp_path):
    value = {k: v for k, v in intercom().items() if k != "conversation_parts"} | {"admin_assignee_id": 1}
    with pytest.raises(InputError, match="without their replies"):
        imported(tmp_path, {"a.json": {"type": "conversation.list", "conversations": [value]}}, kind="intercom")


# --- Freshdesk ----------------------------------------------------------------------------------------------------


def reply(n, incoming, text, **more):
    return {"id": n, "body": f"<div>{text}</div>", "body_text": text, "incoming": incoming, "private": False, "user_id": n,
            "source": 0, "ticket_id": 7, "created_at": f"2024-03-04T08:{30 + n}:00Z", "attachments": [], **more}  # fmt: skip


def desk(**more):
    return {"id": 7, "subject": "Belt", "description": "<div>Does it fit?</div>", "description_text": "Does it fit?",
            "requester_id": 1, "responder_id": 2, "fr_escalated": False, "spam": False, "source": 1, "status": 5, "tags": ["b"],
            "created_at": "2024-03-04T08:30:00Z", "updated_at": "2024-03-04T09:30:00Z", **more}  # fmt: skip


REPLIES = [reply(1, False, "Yes, it fits."), reply(2, True, "Thank you!")]
ACCOUNT = {k: v for k, v in desk(display_id=7, id=99000007).items() if k not in ("description_text", "fr_escalated")} | {
    "description": "Does it fit?", "description_html": "<div>Does it fit?</div>",
    "notes": [{"note": {"id": r["id"], "body": r["body_text"], "body_html": r["body"], "incoming": r["incoming"],
                        "private": False, "created_at": r["created_at"]}} for r in REPLIES],
}  # fmt: skip


@pytest.mark.parametrize(
    "files",
    [
        {"tickets.json": [desk()], "conversations/7.json": REPLIES},
        {"tickets.json": {"tickets": [desk()]}, "conversations.json": REPLIES},
        {"tickets.json": {"results": [desk()], "total": 1}, "7_conversations.json": REPLIES[::-1]},
        {"tickets.json": [desk(conversations=REPLIES)]},
        {"7.json": desk(conversations=REPLIES)},
        {"tickets.jsonl": lines([desk(conversations=REPLIES)])},
        {"Tickets0.json": [{"helpdesk_ticket": ACCOUNT}]},
        {"Tickets0.json": [{"helpdesk_ticket": ACCOUNT | {"notes": [n["note"] for n in ACCOUNT["notes"]]}}]},
    ],
    ids=range(8),
)
def test_freshdesk_in_files_pages_and_account_exports(files, tmp_path):
    summary, [row] = imported(tmp_path, files)
    assert summary.kind == "freshdesk"
    assert row.pop("metadata")
    assert row == {"id": "7", "messages": MESSAGES, "tags": ["b"], "time": "2024-03-04T08:30:00Z"}


@pytest.mark.parametrize(
    ("changed", "replies", "reason"),
    [({"spam": True}, REPLIES, "spam"), ({"deleted": True}, REPLIES, "deleted"), ({}, REPLIES[1:], "no reply"),
     ({"source": 10}, [], "no question"), ({}, [reply(1, False, "Internal", private=True)], "no reply")],
)  # fmt: skip
def test_freshdesk_tickets_that_are_left_out(changed, replies, reason, tmp_path):
    good = desk(id=8, conversations=[r | {"ticket_id": 8} for r in REPLIES])
    summary, _ = imported(tmp_path, {"t.json": [desk(conversations=replies, **changed), good]})
    assert [(s.id, s.reason) for s in summary.left_out] == [("7", reason)]


def test_freshdesk_tickets_without_conversations_are_an_error_that_helps(tmp_path):
    with pytest.raises(InputError, match="without their conversations"):
        imported(tmp_path, {"tickets.json": [desk()]})
    with pytest.raises(InputError, match="without their tickets"):
        imported(tmp_path / "other", {"7.json": REPLIES})


@pytest.mark.parametrize(
    ("value", "staff"),
    [
        ([{"id": 1, "subject": "Belt", "description_text": "Does it fit?",
           "conversations": [{"body_text": "Yes, it fits.", "incoming": False, "user_id": 5}]}], ()),
        ([{"id": 1, "requester_id": 4, "description_text": "Does it fit?",
           "conversations": [{"body_text": "Yes, it fits.", "user_id": 5, "private": False}]}], ()),
        ({"type": "conversation.list", "conversations": [
            {"id": "1", "source": {"body": "<p>Does it fit?</p>", "author": {"type": "user"}}, "conversation_parts": {
                "conversation_parts": [{"part_type": "comment", "body": "<p>Yes, it fits.</p>", "author": {"type": "admin"}}]}}]}, ()),
        ([{"id": "1", "source": {"body": "Does it fit?", "author": {"type": "contact"}},
           "conversation_parts": [{"part_type": "comment", "body": "Yes, it fits.", "author": {"type": "admin"}}]}], ()),
        ([{"type": "message", "user": "U1", "text": "Does it fit?", "ts": "1.0", "thread_ts": "1.0"},
          {"type": "message", "user": "U2", "text": "Yes, it fits.", "ts": "2.0", "thread_ts": "1.0"}], ("U2",)),
        ({"ok": True, "has_more": False, "messages": [
            {"user": "U1", "text": "Does it fit?", "ts": "1.0", "thread_ts": "1.0", "reply_count": 1},
            {"user": "U2", "text": "Yes, it fits.", "ts": "2.0", "thread_ts": "1.0"}]}, ("U2",)),
        ({"value": [{"id": "1", "from": {"user": {"displayName": "C"}}, "body": {"contentType": "html", "content": "<p>Does it fit?</p>"}},
                    {"id": "2", "from": {"user": {"displayName": "A"}}, "body": {"content": "Yes, it fits."}}]}, ("A",)),
    ],
    ids=["freshdesk", "freshdesk, no direction", "intercom", "intercom, a list of parts", "slack", "slack API", "teams"],
)  # fmt: skip
def test_exports_with_little_in_them(value, staff, tmp_path):
    _, [row] = imported(tmp_path, {"export.json": value}, *staff)
    assert row["messages"] == MESSAGES[:2]


# --- Slack --------------------------------------------------------------------------------------------------------


def member(id, email, **more):
    return {"id": id, "team_id": "T1", "name": id.lower(), "real_name": f"Name {id}", "is_bot": False,
            "profile": {"email": email, "real_name": f"Name {id}"}, **more}  # fmt: skip


USERS = [member("UANN", "ann@bakery.example", is_restricted=True), member("UTOM", "tom@shop.example"),
         member("UBOT", "", is_bot=True)]  # fmt: skip


def said(n, user, text, thread=0, **more):
    return {"type": "message", "user": user, "text": text, "ts": f"{1709541000 + n}.000100",
            **({"thread_ts": f"{1709541000 + thread}.000100"} if thread is not None else {}), **more}  # fmt: skip


DAY = [said(0, "UANN", "Does it fit?"), said(60, "UTOM", "Yes, it fits."), said(120, "UANN", "Thank you!")]


def slack(messages=DAY, channel="support", users=USERS):
    return {"users.json": users, "channels.json": [{"id": "C1", "name": "support", "members": [], "creator": "U", "topic": {}, "purpose": {}}],
            "dms.json": [{"id": "D1", "created": 1, "members": ["UANN", "UTOM"]}], f"{channel}/2024-03-04.json": messages}  # fmt: skip


@pytest.mark.parametrize("staff", [(), ("shop.example",), ("Name UTOM",), ("tom@shop.example",), ("UTOM",)])
def test_staff_of_slack(staff, tmp_path):
    summary, [row] = imported(tmp_path, slack(), *staff)
    assert row["messages"] == MESSAGES
    assert row["id"] == "support/1709541000.000100"
    assert bool(staff) != any("full members of the workspace" in n for n in summary.notes)


def test_staff_of_a_workspace_without_guests_is_asked(tmp_path):
    users = [member("UANN", "ann@shop.example"), member("UTOM", "tom@shop.example")]
    with pytest.raises(InputError, match="does not say who is staff") as error:
        imported(tmp_path, slack(users=users))
    assert "Name UANN <ann@shop.example> 2" in error.value.hint
    _, [row] = imported(tmp_path, slack(users=users), "tom@shop.example")
    assert row["messages"] == MESSAGES


def test_a_slack_archive_with_a_thread_over_days_and_a_direct_message(tmp_path):
    files = slack(DAY[:1]) | {
        "support/2024-03-05.json": DAY[1:], "D1/2024-03-04.json": [said(9, "UANN", "Hi?", None), said(10, "UTOM", "Hello.", None)],
        "mpdm-ann--tom-1/2024-03-04.json": [said(9, "UANN", "A?", None), said(10, "UTOM", "B.", 9)],
    }  # fmt: skip
    folder = write(tmp_path / "e", files)
    with zipfile.ZipFile(tmp_path / "Shop Slack export.zip", "w") as archive:
        for file in folder.rglob("*.json"):
            archive.write(file, file.relative_to(folder))
    import_files("", [tmp_path / "Shop Slack export.zip"], tmp_path / "out.jsonl", ["shop.example"])
    rows = {r["id"]: r for r in map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())}
    assert rows["support/1709541000.000100"]["messages"] == MESSAGES
    assert set(rows) == {"support/1709541000.000100", "D1", "mpdm-ann--tom-1"}


@pytest.mark.parametrize(
    ("message", "dropped"),
    [
        (said(5, "UTOM", "joined", subtype="channel_join"), "system message"),
        (said(5, "UTOM", "topic", subtype="channel_topic"), "system message"),
        (said(5, "USLACKBOT", "This message was deleted.", subtype="tombstone"), "deleted message"),
        (said(5, "UBOT", "Ticket made."), "automatic message"),
        (said(5, "", "Ticket made.", subtype="bot_message", bot_id="B1"), "automatic message"),
        (said(60, "UTOM", "Yes, it fits.", subtype="thread_broadcast"), None),
        (said(5, "UANN", "", files=[{"name": "a.jpg"}], subtype="file_share"), "attachment without text"),
    ],
)
def test_slack_leaves_out_what_no_person_said(message, dropped, tmp_path):
    summary, [row] = imported(tmp_path, slack([*DAY, message]), "shop.example")
    assert row["messages"] == MESSAGES
    assert summary.messages_left_out == ({dropped: 1} if dropped else {})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<@UTOM> please", "@Name UTOM please"), ("<@UTOM|tom> please", "@Name UTOM please"), ("<@U9|eve>", "@eve"),
        ("see <#C1|general>", "see #general"), ("<!here> hi", "@here hi"), ("<!subteam^S1|@desk>", "@desk"),
        ("<!date^1709541000^{date}|4 March>", "4 March"), ("<https://a.example/x>", "https://a.example/x"),
        ("<https://a.example/x|the page>", "the page (https://a.example/x)"), ("<http://a.example|a.example>", "http://a.example"),
        ("<mailto:a@b.example|a@b.example>", "a@b.example"), ("1 &lt; 2 &amp;&amp; 3 &gt; 2", "1 < 2 && 3 > 2"),
    ],
)  # fmt: skip
def test_marks_of_slack_become_text(text, shown, tmp_path):
    _, [row] = imported(tmp_path, slack([said(0, "UANN", text), *DAY[1:]]), "shop.example")
    assert row["messages"][0]["content"] == shown


def test_someone_of_another_organization_is_a_customer(tmp_path):
    stranger = said(0, "USTRANGE", "Does it fit?", user_profile={"real_name": "Bob"}, user_team="T9")
    _, [row] = imported(tmp_path, slack([stranger, DAY[1], said(120, "USTRANGE", "Thank you!")], users=USERS[1:]))
    assert row["messages"] == MESSAGES


# --- Teams --------------------------------------------------------------------------------------------------------


def graph(n, user, text, reply_to=None, **more):
    kinds = {"ann": ("federatedUser", "t2"), "tom": ("aadUser", "t1"), "guest": ("aadUser", "t2")}
    kind, tenant = kinds[user]
    return {
        "id": str(n), "replyToId": reply_to, "messageType": "message", "createdDateTime": f"2024-03-04T08:{30 + n}:00.{n}Z",
        "deletedDateTime": None, "subject": "Belt", "chatId": None, "attachments": [], "body": {"contentType": "html", "content": text},
        "from": {"application": None, "user": {"id": user, "displayName": user.title(), "userIdentityType": kind, "tenantId": tenant}},
        **more,
    }  # fmt: skip


SENT = [
    graph(0, "ann", "<p>Does it fit?</p>"),
    graph(1, "tom", "<p>Yes, it fits.</p>", "0"),
    graph(2, "ann", "Thank&nbsp;you!", "0"),
]


@pytest.mark.parametrize(
    "files",
    [
        {"a.json": {"@odata.context": "x", "value": [SENT[0] | {"replies": SENT[:0:-1]}]}},
        {"a.json": {"value": [SENT[0]]}, "b.json": {"value": SENT[1:], "@odata.nextLink": "x"}},
        {"a.json": SENT[::-1]}, {"a.jsonl": lines(SENT)},
        {"a.json": {"value": [m | {"chatId": "0", "replyToId": None, "id": f"9{m['id']}"} for m in SENT]}},
    ],
    ids=range(5),
)  # fmt: skip
@pytest.mark.parametrize("staff", [(), ("Tom",)])
def test_teams_in_pages_and_lines(files, staff, tmp_path):
    summary, [row] = imported(tmp_path, files, *staff)
    assert summary.kind == "teams"
    assert row["messages"] == MESSAGES
    assert row["id"] == "0"
    assert row["time"] == "2024-03-04T08:30:00Z"


@pytest.mark.parametrize(
    ("message", "dropped"),
    [
        (graph(3, "tom", "x", "0", deletedDateTime="2024-03-04T09:00:00Z"), "deleted message"),
        (graph(3, "tom", "x", "0", messageType="systemEventMessage"), "system message"),
        (
            graph(3, "tom", "x", "0") | {"from": {"application": {"displayName": "Bot"}, "user": None}},
            "automatic message",
        ),
        (graph(3, "tom", "x", "0") | {"from": None}, "system message"),
        (
            graph(3, "ann", '<attachment id="1"></attachment>', "0", attachments=[{"name": "a.jpg"}]),
            "attachment without text",
        ),
    ],
)
def test_teams_leaves_out_what_no_person_said(message, dropped, tmp_path):
    summary, [row] = imported(tmp_path, {"a.json": [*SENT, message]})
    assert row["messages"] == MESSAGES
    assert summary.messages_left_out == {dropped: 1}


def test_accounts_of_another_tenant_are_customers(tmp_path):
    more = [graph(5, "guest", "Mine?"), graph(6, "tom", "No.", "5")]
    _, rows = imported(tmp_path, {"a.json": [*SENT, *more]})
    assert [m["role"] for m in rows[1]["messages"]] == ["user", "assistant"]


def test_staff_of_a_team_without_guests_is_asked(tmp_path):
    inside = [graph(0, "tom", "Does it fit?"), graph(1, "tom", "Yes.", "0")]
    with pytest.raises(InputError, match="does not say who is staff"):
        imported(tmp_path, {"a.json": inside})
