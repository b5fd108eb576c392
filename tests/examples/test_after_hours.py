"""The example of an after-hours desk: its tools act once, and its procedures reach what the tasks expect."""

import pytest

from inhouse.tools import ToolError

NEW = {"phone": "(555) 0218", "trade": "plumbing", "description": "Tap drips"}
PAGE = {"code": "AH-301", "company": "Brightwater Plumbing", "phone": "555-0231", "cost_usd": 180}
WRITES = [
    ("open_ticket", {**NEW, "severity": "routine"}, "tickets"),
    ("set_severity", {"code": "ah-302", "severity": "urgent"}, "tickets"),
    ("page_contractor", PAGE, "pages"),
    ("place_call", {"phone": "5550216", "about": "Light"}, "outbox"),
    ("send_email", {"to": "billing@example.com", "subject": "Rent", "body": "Why?"}, "outbox"),
    ("file_email", {"sender": "a@example.com", "category": "lease", "summary": "Renewal"}, "filed"),
    ("add_note", {"code": "AH-301", "note": "Ring twice"}, "notes"),
    ("close_ticket", {"code": "AH-301"}, "tickets"),
    ("reopen_ticket", {"code": "AH-306"}, "tickets"),
]
REFUSED = [
    ("open_ticket", {**NEW, "severity": "awful"}, "is none of"),
    ("open_ticket", {**NEW, "phone": "555-0299", "severity": "routine"}, "no tenant"),
    ("open_ticket", {**NEW, "trade": "gardening", "severity": "routine"}, "nobody is on call"),
    ("set_severity", {"code": "AH-306", "severity": "urgent"}, "no open ticket"),
    ("page_contractor", {**PAGE, "cost_usd": 18}, "not on the rota"),
    ("page_contractor", {**PAGE, "phone": "555-0299"}, "not on the rota"),
    ("place_call", {"phone": "12", "about": "Light"}, "7 digits"),
    ("file_email", {"sender": "a@example.com", "category": "spam", "summary": "Watches"}, "is none of"),
    ("add_note", {"code": "AH-999", "note": "Hi"}, "no open ticket"),
    ("close_ticket", {"code": "AH-306"}, "no open ticket"),
    ("reopen_ticket", {"code": "AH-301"}, "no closed ticket"),
]


@pytest.fixture(scope="module")
def copied(project_of):
    return project_of("after_hours")


@pytest.fixture
def project(copied):
    copied.reset()
    return copied


@pytest.mark.parametrize(("tool", "arguments", "table"), WRITES, ids=[w[0] for w in WRITES])
def test_a_repeated_key_changes_nothing(project, tool, arguments, table):
    before = project.state()
    first = project.call(tool, arguments, "one")
    after = project.state()
    assert before[table] != after[table]
    assert project.call(tool, arguments, "one") == first
    assert project.state() == after
    with pytest.raises(ToolError):
        project.call(tool, arguments, "")


@pytest.mark.parametrize(("tool", "arguments", "why"), REFUSED, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_refused_changes_nothing(project, tool, arguments, why):
    before = project.state()
    with pytest.raises(ToolError, match=why):
        project.call(tool, arguments)
    assert project.state() == before


def test_the_tools_read(project):
    assert project.call("look_up_tenant", {"phone": "555 0214"})["unit"] == "4B"
    assert project.call("look_up_tenant", {"phone": "555-0299"}) == {"found": False}
    assert project.call("find_tickets", {"phone": "555-0213"})["count"] == 2
    assert project.call("find_tickets", {"phone": "555-0213", "code": "AH-305"})["count"] == 0
    with pytest.raises(ToolError, match="is needed"):
        project.call("find_tickets", {})
    assert project.call("on_call_contact", {"trade": "plumbing"})["person"] == "Nadia Cole"
    assert project.call("on_call_contact", {"trade": "plumbing", "day": "2027-02-10"})["person"] == "Jon Park"
    assert [row["ticket"] for row in project.call("building_status", {"building": "Elm House"})] == [
        "AH-304, urgent, 1A: Elevator stops between floors",
        "AH-305, routine, 3B: Hall light flickers",
    ]


def test_the_check_finds_the_ticket(project):
    assert project.call("check_ticket", NEW) == {"happened": False, "result": None}
    opened = project.call("open_ticket", {**NEW, "severity": "urgent"})
    assert project.call("check_ticket", NEW) == {"happened": True, "result": opened}


def test_the_procedures_reach_what_the_tasks_expect(project):
    procedures = {"open_ticket": "report", "add_note": "note", "place_call": "call_back", "file_email": "file_email",
                  "set_severity": "severity"}  # fmt: skip
    reached = 0
    for task in project.rows("tests/tasks.jsonl"):
        expected = [(call["tool"], call["arguments"]) for call in task["expect"]["calls"]]
        if not expected or expected[0][0] not in procedures:
            continue
        tool, known = expected[0]
        level = known.get("severity")
        known = known | {"danger": level == "emergency", "essential": level == "urgent"}
        if tool == "add_note":
            known["phone"] = next(t["phone"] for t in project.call("find_tickets", {"code": known["code"]})["tickets"])
        project.reset()
        _, calls, end = project.walk(procedures[tool], known, lambda question: "$420" not in question)
        assert project.writes(calls) == expected, task["id"]
        assert end == ("hand_off" if task["expect"]["handoff"] else "end"), task["id"]
        reached += 1
    assert reached > 30


def test_a_contractor_is_paged_or_not(project):
    texts, calls, _ = project.walk("page", {"code": ["AH-999", "AH-304"]})
    assert "no open ticket" in texts[0]
    assert "Tora Lind of Ascent Elevators" in texts[1]
    assert "$420" in texts[1]
    assert calls[-1][1]["cost_usd"] == 420
    assert project.walk("page", {"code": ["AH-999", "AH-998"]})[2] == "hand_off"
    assert project.walk("page", {"code": "AH-301"}, lambda question: False)[0][-1] == "I have paged nobody."


def test_strangers_reach_a_person(project):
    for procedure in ("report", "billing_question"):
        texts, calls, end = project.walk(procedure, {"phone": ["555-0299", "555-0298"]})
        assert (project.writes(calls), end) == ([], "hand_off")
    assert project.walk("close", {"phone": "555-0211", "code": "AH-305"})[2] == "hand_off"
    assert project.walk("on_call", {"trade": "locks", "day": "2027-03-20"})[2] == "hand_off"


def test_what_is_read_is_told(project):
    assert "AH-302" in project.walk("my_tickets", {"phone": "555-0213"})[0][0]
    assert "Lise Roth" in project.walk("on_call", {"trade": "heating", "day": "2027-02-09"})[0][0]
    assert "Mill Court has 2 open: AH-302" in project.walk("status", {"building": "Mill Court"})[0][0]
    texts, calls, _ = project.walk("billing_question", {"phone": "555-0211", "question": "Why?"})
    assert calls[-1] == ("send_email", {"to": "billing@example.com", "subject": "Question of Alma Reyes, Harbor Row 3C",
                                        "body": "Why?"})  # fmt: skip
    assert "alma.reyes@example.com" in texts[0]
