"""The clinic example: its files fit together, its tools change what they say and nothing twice, and its tasks can be done."""

import importlib.util
import inspect
import json
import re
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest

from inhouse.agents.agent import Agent
from inhouse.agents.expression import Expression
from inhouse.agents.procedure import holes, read_procedure
from inhouse.agents.understand import Understanding
from inhouse.chat import ChatRequest, Delta, Note
from inhouse.config.load import load_project
from inhouse.tools import Call, Caller, ToolError
from inhouse.types import Message

CLINIC = Path(__file__).parents[2] / "examples" / "clinic"
PROJECT = load_project(CLINIC)
TABLES = {table.name: table for table in PROJECT.tool}
PROCEDURES = {p.name: p for p in map(read_procedure, sorted(CLINIC.glob("procedures/*.toml")))}
TASKS = [json.loads(line) for line in (CLINIC / "tests" / "tasks.jsonl").read_text().splitlines()]
TODAY = date(2027, 3, 1)
ANA = {"patient_number": "P1001"}
READS = {
    "find_patient": ({**ANA, "name": "ana  reyes"}, lambda r: r["found"] and r["medications"] == ["lisinopril"]),
    "find_doctors": ({"service": "child visit", "location": "Harbor"}, lambda r: r["names"] == ["Dr. Maya Lindqvist"]),
    "free_slots": (
        {"doctor": "Dr. Hana Suzuki", "day": "2027-03-09"},
        lambda r: "10:00" not in r["times"] and "10:30" in r["times"],
    ),
    "find_visits": ({"patient_number": "P1006"}, lambda r: [v["number"] for v in r["visits"]] == ["V1005", "V1006"]),
    "check_visit": (
        {**ANA, "doctor": "Dr. Hana Suzuki", "day": "2027-03-09", "time": "10:00"},
        lambda r: r["happened"] and r["result"]["number"] == "V1001",
    ),
    "check_insurance": ({"plan": "Unionwell"}, lambda r: r["accepted"] and r["where"] == "at Harbor only"),
    "estimate_cost": ({"service": "heart check", "plan": "Cedar Gold"}, lambda r: r["you_pay_usd"] == 24),
    "nearest_location": ({"zip_code": "00222"}, lambda r: r["name"] == "Harbor"),
}
WRITES = {
    "book_visit": {**ANA, "doctor": "Dr. Paul Berg", "service": "check-up", "day": "2027-03-03", "time": "13:00"},
    "reschedule_visit": {**ANA, "visit": "V1001", "day": "2027-03-11", "time": "09:00"},
    "cancel_visit": {**ANA, "visit": "V1001"},
    "update_contact": {**ANA, "field": "phone", "value": "555-0199"},
    "request_records": {**ANA, "records": "lab results", "delivery": "mail"},
    "refill_request": {**ANA, "medication": "lisinopril", "pharmacy": "home delivery"},
}
REFUSED = [
    ("book_visit", {**WRITES["book_visit"], "time": "13:10"}),
    ("book_visit", {**WRITES["book_visit"], "doctor": "Dr. Clara Berg"}),
    ("book_visit", {**WRITES["book_visit"], "day": "2027-03-01"}),
    ("book_visit", {**WRITES["book_visit"], "day": "2027-05-05"}),
    ("book_visit", {**WRITES["book_visit"], "patient_number": "P9999"}),
    ("reschedule_visit", {**WRITES["reschedule_visit"], "visit": "V1002"}),
    ("cancel_visit", {"patient_number": "P1010", "visit": "V1010"}),
    ("update_contact", {**ANA, "field": "email", "value": "no address"}),
    ("refill_request", {"patient_number": "P1002", "medication": "zolpidem", "pharmacy": "home delivery"}),
    ("refill_request", {"patient_number": "P1006", "medication": "levothyroxine", "pharmacy": "home delivery"}),
]


class Clinic:
    """The tools over a database in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        spec = importlib.util.spec_from_file_location("clinic_tools", CLINIC / "tools.py")
        self.tools = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.tools)
        self.file = folder / "clinic.sqlite"

    def call(self, tool, arguments, key="k", **more):
        function = getattr(self.tools, tool)
        return function(
            **arguments, **more, **({"key": key} if "key" in inspect.signature(function).parameters else {})
        )

    def rows(self, without=("calls",)):
        """Every row of every table but some."""
        self.call("nearest_location", {"zip_code": ""})  # makes the file if it is missing
        with closing(sqlite3.connect(self.file)) as db:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in {*names} - {*without}}


@pytest.fixture
def clinic(tmp_path, monkeypatch):
    monkeypatch.setenv("CLINIC_TODAY", TODAY.isoformat())
    monkeypatch.setenv("CLINIC_DATABASE", str(tmp_path / "clinic.sqlite"))
    return Clinic(tmp_path)


# --- the files fit together ---------------------------------------------------------------------------------------


def test_the_settings_name_what_there_is(clinic):
    assert len(TABLES) == 14
    assert {a.name for a in PROJECT.agent} == {"triage", "scheduling", "insurance", "records"}
    for table in TABLES.values():
        assert table.python == f"tools.py:{table.name}"
        function = getattr(clinic.tools, table.name)
        assert inspect.getdoc(function)
        assert (table.effect == "write") == ("key" in inspect.signature(function).parameters)
        assert {t for t in (table.check, table.undo) if t} <= TABLES.keys()
    files = [file for agent in PROJECT.agent for file in agent.procedures]
    assert sorted(files) == sorted(f"procedures/{name}.toml" for name in PROCEDURES)
    for agent in PROJECT.agent:
        assert all(list((CLINIC / "documents").glob(pattern)) for pattern in agent.documents)
        needed = {tool for file in agent.procedures for tool in PROCEDURES[Path(file).stem].tools}
        assert needed <= set(agent.tools) <= TABLES.keys()


@pytest.mark.parametrize("procedure", PROCEDURES.values(), ids=lambda p: p.name)
def test_a_procedure_is_whole(procedure, clinic):
    """States that exist and are reached, names that are known, arguments that the tool has, and no write unasked."""
    names = {*procedure.slots, *(s.call.result for s in procedure.states if s.call)}
    reached = {procedure.states[0].name}
    for state in procedure.states:
        reached |= {n.go for n in state.next} | ({state.otherwise} - {""})
        read = [e for text in (state.say, state.confirm) for e in holes(text)]
        read += [Expression(n.when) for n in state.next if n.when]
        if state.call:
            reached |= {state.call.on_error} - {""}
            read += [e for value in state.call.arguments.values() for e in holes(str(value))]
            assert (
                state.call.arguments.keys()
                <= inspect.signature(getattr(clinic.tools, state.call.tool)).parameters.keys()
            )
            assert TABLES[state.call.tool].effect == "read" or (state.confirm and "{" in state.confirm)
        assert set(state.collect) | set(state.forget) <= names
        assert all(e.names <= names for e in read), state.name
        assert state.next or state.end or state.hand_off, state.name
    assert reached == set(procedure.by_name)
    assert 6 <= len(procedure.examples) <= 10


def test_documents_and_database_agree(clinic):
    text = {file.stem: file.read_text() for file in (CLINIC / "documents").rglob("*.md")}
    assert 10 <= len(text) <= 14
    rows = clinic.rows()
    for name, specialty, location in rows["doctors"]:
        assert f"| {name} | {specialty} | {location} |" in text["doctors"]
    for name, _, price, specialist, _ in rows["services"]:
        assert f"| {name} | ${price} |" in text["prices"]
        assert not specialist or name in ("skin check", "heart check", "physical therapy")
    for name, accepted, location, copay, specialist, share, referral in rows["plans"]:
        terms = f"{share:.0%} of the price | {share:.0%} of the price" if share else f"${copay} | ${specialist}"
        only = f" ({location} only)" if location else ""
        row = f"| {name}{only} | {terms} | {'yes' if referral else 'no'} |"
        assert (row in text["insurance"]) == bool(accepted), row
    for name, address, phone, weekdays, saturday in rows["locations"]:
        assert f"{name}, {address.split(',')[0]}" in text["locations"]
        assert f"{name} at {phone}" in text["locations"]
        hours = f"Monday to Friday from {weekdays}" + (f" and Saturday from {saturday}" if saturday != "closed" else "")
        assert f"{hours}." in text["locations"]
    assert f"up to {clinic.tools.AHEAD} days ahead" in text["visits"]
    assert f"free up to {clinic.tools.FREE_UNTIL} days before" in text["visits"]
    assert f"costs ${clinic.tools.LATE_FEE_USD}" in text["visits"]


def test_conversations_and_questions_name_what_there_is(clinic):
    rows = [json.loads(line) for line in (CLINIC / "conversations.jsonl").read_text().splitlines()]
    assert 40 <= len(rows) <= 60
    for row in rows:
        calls = [c for m in row["messages"] for c in m.get("tool_calls", ())]
        assert [m["tool_call_id"] for m in row["messages"] if m["role"] == "tool"] == [c["id"] for c in calls]
        agent = next(a for a in PROJECT.agent if a.name == row["agent"])
        for call in (c["function"] for c in calls):
            assert call["name"] in agent.tools
            inspect.signature(getattr(clinic.tools, call["name"])).bind(**json.loads(call["arguments"]))
    questions = [json.loads(line) for line in (CLINIC / "tests.jsonl").read_text().splitlines()]
    assert len(questions) == 30
    for question in questions:
        for source in question.get("sources", ()):
            page = (CLINIC / "documents" / source["document"]).read_text()
            for group in question["checks"]["must_include"]:
                assert any(re.search(rf"\b{re.escape(word)}", page, re.IGNORECASE) for word in group), question["id"]


# --- the tools ----------------------------------------------------------------------------------------------------


def test_every_tool_is_tried():
    assert READS.keys() | WRITES.keys() == TABLES.keys()


@pytest.mark.parametrize("tool", READS)
def test_a_tool_reads(clinic, tool):
    before, (arguments, right) = clinic.rows(()), READS[tool]
    result = clinic.call(tool, arguments)
    assert right(result), result
    assert json.loads(json.dumps(result)) == result
    assert clinic.rows(()) == before


@pytest.mark.parametrize("tool", WRITES)
def test_a_repeated_key_changes_nothing(clinic, tool):
    before = clinic.rows()
    first = clinic.call(tool, WRITES[tool], "one")
    after = clinic.rows(())
    assert {n: r for n, r in after.items() if n != "calls"} != before
    assert clinic.call(tool, WRITES[tool], "one") == first
    assert clinic.rows(()) == after
    with pytest.raises(ToolError, match="the key"):
        clinic.call("update_contact" if tool != "update_contact" else "cancel_visit",
                    WRITES["update_contact" if tool != "update_contact" else "cancel_visit"], "one")  # fmt: skip
    assert clinic.rows(()) == after


@pytest.mark.parametrize(("tool", "arguments"), REFUSED)
def test_what_is_refused_changes_nothing(clinic, tool, arguments):
    before = clinic.rows(())
    with pytest.raises(ToolError):
        clinic.call(tool, arguments)
    assert clinic.rows(()) == before


def test_a_time_is_given_once(clinic):
    clinic.call("book_visit", WRITES["book_visit"], "one")
    with pytest.raises(ToolError, match="not free"):
        clinic.call("book_visit", {**WRITES["book_visit"], "patient_number": "P1002"}, "two")
    assert clinic.call("check_visit", {k: v for k, v in WRITES["book_visit"].items() if k != "service"})["happened"]


def test_signed_in_patients_act_for_themselves_and_their_children(clinic):
    mia = {"patient_number": "P1003"}
    parent, stranger = Caller(user="P1004"), Caller(user="p1001")
    assert clinic.call("find_visits", mia, caller=parent)["count"] == 1
    assert clinic.call("find_patient", {**mia, "name": "Mia Castellano"}, caller=stranger) == {"found": False}
    for tool, arguments in WRITES.items():
        before = clinic.rows(())
        with pytest.raises(ToolError, match="for this caller"):
            clinic.call(tool, {**arguments, **mia}, caller=stranger)
        assert clinic.rows(()) == before


def test_late_cancellations_cost_a_fee(clinic):
    assert clinic.call("cancel_visit", {"patient_number": "P1008", "visit": "V1007"}, "a")["fee_usd"] == 35
    assert clinic.call("cancel_visit", {"patient_number": "P1001", "visit": "V1001"}, "b")["fee_usd"] == 0


def test_the_same_day_gives_the_same_database(clinic, tmp_path, monkeypatch):
    first = clinic.rows()
    monkeypatch.setenv("CLINIC_DATABASE", str(tmp_path / "other.sqlite"))
    clinic.file = tmp_path / "other.sqlite"
    assert clinic.rows() == first
    monkeypatch.setenv("CLINIC_DATABASE", str(tmp_path / "later.sqlite"))
    monkeypatch.setenv("CLINIC_TODAY", "2027-03-04")
    clinic.file = tmp_path / "later.sqlite"
    assert clinic.rows()["visits"] != first["visits"]


# --- the tasks ----------------------------------------------------------------------------------------------------


def test_there_are_80_tasks_of_all_kinds():
    assert len({task["id"] for task in TASKS}) == len(TASKS) == 80
    kinds = {task["kind"] for task in TASKS}
    assert kinds >= {"book", "reschedule", "cancel", "question", "forbidden", "correction", "digression", "injection"}
    assert kinds >= {"ambiguous", "no_time", "out_of_scope", "abandon", "triage", "insurance", "cost", "refill"}


@pytest.mark.parametrize("task", TASKS, ids=[task["id"] for task in TASKS])
def test_the_calls_of_a_task_run(clinic, task):
    agent, expect = next(a for a in PROJECT.agent if a.name == task["agent"]), task["expect"]
    assert task["today"] == TODAY.isoformat()
    assert set(expect["never"]) <= TABLES.keys()
    assert all(turn.keys() in ({"say"}, {"answers"}) for turn in task["user"])
    assert "say" in task["user"][0]
    before = clinic.rows()
    for n, call in enumerate(expect["calls"]):
        assert call["tool"] in agent.tools
        assert call["tool"] not in expect["never"]
        assert TABLES[call["tool"]].approval == "never"
        clinic.call(call["tool"], call["arguments"], f"{task['id']}-{n}")
    writes = any(TABLES[call["tool"]].effect == "write" for call in expect["calls"])
    assert (clinic.rows() != before) == writes
    for call in expect.get("proposed", ()):
        assert TABLES[call["tool"]].approval == "always"
        clinic.call(call["tool"], call["arguments"], "proposed")


# --- conversations with an agent without a model ------------------------------------------------------------------


class Runs:
    """Runs tools; those that need an approval wait."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic, self.calls = clinic, []

    async def run(self, proposal, caller, allowed):
        assert proposal.tool in allowed
        if TABLES[proposal.tool].approval == "always":
            self.calls.append((proposal.tool, "proposed"))
            return Call(proposal=proposal, status="proposed")
        try:
            result = self.clinic.call(proposal.tool, proposal.arguments, proposal.key)
        except ToolError as error:
            return Call(proposal=proposal, status="failed", why=str(error))
        self.calls.append((proposal.tool, "done"))
        return Call(proposal=proposal, status="done", result=result)

    async def resume(self, key, caller):
        raise AssertionError("nobody approves here")


async def conversed(clinic, agent, procedure, texts):
    """The replies, the calls, and whether a person took over, where the first message begins the procedure."""
    runs, state, replies, messages, handed = Runs(clinic), {}, [], [], False
    names = [Path(f).stem for f in next(a for a in PROJECT.agent if a.name == agent).procedures]
    understanding = Understanding(lambda text: {procedure: 0.99} if text == texts[0] else {})
    model = Agent(agent, {n: PROCEDURES[n] for n in names}, understanding, runs, today=lambda: TODAY)
    for number, text in enumerate(texts, 1):
        messages.append(Message(role="user", content=text))
        reply = ""
        asked = ChatRequest(messages=tuple(messages), conversation="c", turn=number, state=state)
        async for event in model.stream(asked):
            match event:
                case Delta():
                    reply += event.text
                case Note(kind="state"):
                    state = {**state, **event.data}
                case Note(kind="handoff"):
                    handed = True
        replies.append(reply)
        messages.append(Message(role="assistant", content=reply))
    return replies, runs.calls, handed


async def test_a_visit_is_booked_after_a_day_without_free_times(clinic):
    texts = ["a skin check on thursday please", "P1010", "daniel osei", "march 9", "10 am", "10:30 am", "yes"]
    replies, calls, _ = await conversed(clinic, "scheduling", "book", texts)
    assert "no free time on Thursday, March 4" in replies[2]
    assert "not free" in replies[4]
    assert all(part in replies[5] for part in ("Daniel Osei", "Dr. Hana Suzuki", "March 9 at 10:30 am", "$160"))
    assert ("book_visit", "done") not in calls[:-1]
    assert calls[-1] == ("book_visit", "done")
    assert "V1012" in replies[6]


async def test_a_late_cancellation_is_read_back_and_kept_after_a_no(clinic):
    before = clinic.rows(())
    replies, calls, _ = await conversed(clinic, "scheduling", "cancel", ["cancel", "P1008", "Maria Lopez", "no"])
    assert "$35" in replies[2]
    assert "stays" in replies[3]
    assert clinic.rows(()) == before
    assert ("cancel_visit", "done") not in calls


async def test_records_of_others_are_refused_and_own_ones_wait_for_an_approval(clinic):
    before = clinic.rows(())
    replies, calls, _ = await conversed(clinic, "records", "request_records", ["my wife's chart", "someone else's"])
    assert "RL-2" in replies[1]
    assert calls == []
    texts = ["a copy of my lab results", "my own", "P1001", "Ana Reyes", "portal", "yes"]
    replies, calls, _ = await conversed(clinic, "records", "request_records", texts)
    assert calls[-1] == ("request_records", "proposed")
    assert clinic.rows(()) == before


async def test_an_emergency_goes_to_911_and_to_a_person(clinic):
    replies, _, handed = await conversed(clinic, "triage", "triage", ["I have chest pain"])
    assert "Call 911 now" in replies[0]
    assert handed
