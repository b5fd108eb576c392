"""The example of a hair salon: its tools act once, and its procedures reach what the tasks expect."""

import pytest

from inhouse.tools import ToolError

NAME = "salon"
NEW = {"day": "2027-03-16", "name": "carla voss", "phone": "(555) 0131"}
WRITES = [
    ("book", {"service": "haircut", "stylist": "Rosa", "time": "10:00", **NEW}, "bookings"),
    ("reschedule", {"code": "CL-1001", "phone": "555-0101", "day": "2027-03-16", "time": "11:00"}, "bookings"),
    ("cancel", {"code": "cl-1004", "phone": "5550103"}, "bookings"),
    ("sell_gift_card", {"amount_usd": 50, "email": "a@example.com"}, "gift_cards"),
    ("void_gift_card", {"number": "GC-501"}, "gift_cards"),
    ("leave_message", {"name": "Abby Cruz", "phone": "555-0160", "message": "Call me"}, "messages"),
]
REFUSED = [
    ("book", {"service": "haircut", "stylist": "Rosa", "time": "10:15", **NEW}, "not free"),
    ("book", {"service": "manicure", "stylist": "Rosa", "time": "10:00", **NEW}, "Ines can"),
    ("book", {"service": "haircut", "stylist": "Rosa", "time": "10:00", **NEW, "day": "2027-03-01"}, "in the past"),
    ("book", {"service": "haircut", "stylist": "Rosa", "time": "10:00", **NEW, "phone": "12"}, "7 digits"),
    ("book", {"service": "perm", "stylist": "Rosa", "time": "10:00", **NEW}, "no service"),
    ("reschedule", {"code": "CL-1004", "phone": "555-0103", "day": "2027-03-16", "time": "11:00"}, "front desk"),
    ("reschedule", {"code": "CL-1001", "phone": "555-0102", "day": "2027-03-16", "time": "11:00"}, "no appointment"),
    ("cancel", {"code": "CL-1008", "phone": "555-0101"}, "no appointment"),
    ("sell_gift_card", {"amount_usd": 301, "email": "a@example.com"}, "from $20 to $300"),
    ("void_gift_card", {"number": "GC-777"}, "no valid gift card"),
]


@pytest.fixture(scope="module")
def copied(project_of):
    return project_of(NAME)


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
    with pytest.raises(ToolError, match=why.replace("$", r"\$")):
        project.call(tool, arguments)
    assert project.state() == before


def test_the_tools_read(project):
    assert "09:00" in project.call("free_times", {"service": "haircut", "day": "2027-03-12"})["starts"]
    assert project.call("free_times", {"service": "haircut", "day": "2027-03-14"})["closed"]
    off = project.call("free_times", {"service": "manicure", "day": "2027-03-19"})
    assert (off["starts"], off["next_day"]) == ([], "2027-03-20")
    assert project.call("find_services", {"most_usd": 26})[1] == {"service": "kids' haircut (30 minutes, $26)"}
    student = project.call("quote", {"service": "haircut", "day": "2027-03-10", "student": True})
    assert (student["price_usd"], student["when"]) == (46.8, "Wednesday, March 10")
    assert [b["late_fee_usd"] for b in project.call("find_bookings", {"phone": "555-0103"})["bookings"]] == [26]
    assert project.call("find_bookings", {"phone": "555-0102", "code": "cl-1003"})["count"] == 1


def test_the_check_finds_what_was_booked(project):
    asked = {"service": "haircut", "day": "2027-03-16", "time": "10:00", "phone": "555-0131"}
    assert project.call("check_booking", asked) == {"happened": False, "result": None}
    booked = project.call("book", {**asked, "stylist": "Rosa", "name": "Carla Voss"})
    assert project.call("check_booking", asked) == {"happened": True, "result": booked}


def test_a_time_is_booked_once(project):
    project.call("book", {"service": "haircut", "stylist": "Rosa", "time": "10:00", **NEW}, "one")
    with pytest.raises(ToolError, match="not free"):
        project.call("book", {"service": "haircut", "stylist": "Rosa", "time": "10:30", **NEW}, "two")


def test_the_procedures_reach_what_the_tasks_expect(project):
    procedures = {"book": "book", "reschedule": "reschedule", "cancel": "cancel", "sell_gift_card": "gift_card"}
    reached = 0
    for task in project.rows("tests/tasks.jsonl"):
        for call in task["expect"]["calls"]:
            if call["tool"] in procedures:
                project.reset()
                _, calls, end = project.walk(procedures[call["tool"]], call["arguments"])
                assert project.writes(calls) == [(call["tool"], call["arguments"])], (task["id"], end)
                assert end == "end"
                reached += 1
    assert reached > 40


def test_no_free_time_leads_to_another_day(project):
    known = {"service": "manicure", "day": ["2027-03-19", "2027-03-14", "2027-03-20"], "time": ["09:05", "10:00"],
             "name": "Mia Dorn", "phone": "555-0144"}  # fmt: skip
    texts, calls, _ = project.walk("book", known)
    assert [text.split(".")[0] for text in texts[:3]] == [
        "There is no free time for this on Friday, March 19",
        "We are closed on Sunday, March 14",
        "That time is not free on Saturday, March 20",
    ]
    assert "9:00 am, 9:30 am, 10:00 am" in texts[3]
    assert calls[-1][1]["time"] == "10:00"


def test_late_changes_go_to_a_person_or_cost_a_fee(project):
    assert project.walk("reschedule", {"phone": "555-0103"})[2] == "hand_off"
    assert project.walk("reschedule", {"phone": ["555-0199", "555-0198"]})[2] == "hand_off"
    label = "CL-1003: manicure with Ines on Saturday, March 13 at 9:30 am"
    texts, calls, _ = project.walk("cancel", {"phone": "555-0102", "which": [None, label]})
    assert label in texts[0]
    assert project.writes(calls) == [("cancel", {"code": "CL-1003", "phone": "555-0102"})]
    texts, calls, _ = project.walk("cancel", {"phone": "555-0103"}, agrees=lambda question: "$26" not in question)
    assert project.writes(calls) == []
    assert "cancelled nothing" in texts[-1]
    assert project.walk("running_late", {"minutes": 20})[2] == "hand_off"
    texts, calls, _ = project.walk("running_late", {"minutes": 10, "phone": "555-0103"})
    assert calls[-1][1]["message"] == "10 minutes late for CL-1004"


def test_prices_are_told(project):
    texts, *_ = project.walk("price", {"service": "full color", "student": True, "day": ["2027-03-01", "2027-03-17"]})
    assert "in the past" in texts[0]
    assert "$106.20 on Wednesday, March 17" in texts[1]
    assert project.walk("budget", {"most_usd": 20})[0] == ["For up to $20 we have beard trim (30 minutes, $19)."]
    assert project.walk("my_bookings", {"phone": "555-0102"})[0][0].count("CL-") == 2
    assert "from $20 to $300" in project.walk("gift_card", {"amount_usd": [500, 90], "email": "a@example.com"})[0][0]
    assert (
        project.walk("message", {"message": "Hi", "name": "Bo Lind", "phone": "555-0161"}, agrees=lambda q: False)[2]
        == "end"
    )
