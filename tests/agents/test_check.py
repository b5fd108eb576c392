"""What `check` finds in procedures: each kind of fault, planted one at a time into a procedure without any."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.agents.check import problems
from inhouse.agents.draw import svg
from inhouse.agents.flow import edges, endless, links, reached
from inhouse.agents.page import page
from inhouse.agents.procedure import Procedure, to_procedure
from inhouse.tools import Tool

SCHEMA = {
    "type": "object",
    "properties": {
        "day": {"type": "string"}, "time": {"type": "string"}, "guests": {"type": "integer"}, "note": {"type": "string"},
        "size": {"type": "string", "enum": ["small", "large"]},
    },
    "required": ["day"],
}  # fmt: skip
TOOLS = {
    "free": Tool(name="free", parameters=SCHEMA, effect="read"),
    "book": Tool(name="book", parameters=SCHEMA | {"required": ["day", "time"]}, effect="write"),
    "refund": Tool(name="refund", parameters={"type": "object", "properties": {"amount_usd": {"type": "number"}}}),
    "staff": Tool(name="staff", parameters=SCHEMA, effect="read", groups=frozenset({"staff", "boss"})),
}
GOOD = {
    "name": "table", "title": "Book a table", "examples": ["a table for two"],
    "slots": {
        "day": {"type": "date", "ask": "Which day?"},
        "time": {"type": "choice", "ask": "Which of {times}?", "choices_from": "times"},
        "guests": {"type": "integer", "ask": "How many are you?"},
        "note": {"optional": True},
    },
    "states": [
        {"name": "start", "collect": ["day", "guests"], "next": "look"},
        {"name": "look", "call": {"tool": "free", "with": {"day": "{day}", "guests": "{guests}"}, "as": "times",
                                  "on_error": "person"},
         "next": [{"when": "len(times) == 0", "go": "full"}, {"go": "choose"}]},
        {"name": "full", "say": "{day} is full.", "next": "other"},
        {"name": "other", "forget": ["day"], "next": "start"},
        {"name": "choose", "collect": ["time", "note"], "next": "book"},
        {"name": "book", "confirm": "{day} at {time}?", "otherwise": "other",
         "call": {"tool": "book", "with": {"day": "{day}", "time": "{time}", "note": "{note}"}, "as": "booking"},
         "next": "done"},
        {"name": "person", "hand_off": "the calendar is down"},
        {"name": "done", "say": "Booked as {booking.id}.", "end": True},
    ],
}  # fmt: skip


def changed(**paths):
    """GOOD with values at paths such as states__2__say; None removes a key."""
    data = copy.deepcopy(GOOD)
    for path, value in paths.items():
        *inner, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        place = data
        for part in inner:
            place = place[part]
        if value is None:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return to_procedure(data, "test")


def kinds(procedure, tools=TOOLS):
    return {(p.severity, p.kind, p.state) for p in problems(procedure, tools)}


def test_a_good_procedure_has_no_problems():
    assert problems(to_procedure(GOOD, "test"), TOOLS) == []
    assert problems(to_procedure(GOOD, "test")) == []


PLANTED = {
    "unreachable": ({"states__8": {"name": "lost", "end": True}}, ("error", "unreachable", "lost")),
    "dead end": ({"states__7__end": None}, ("error", "dead end", "done")),
    "trap": (
        {"states__6": {"name": "person", "say": "wait", "next": "waiting"},
         "states__8": {"name": "waiting", "confirm": "Go on?", "next": "person"}},
        ("error", "trap", "person"),
    ),
    "endless loop": ({"states__3__forget": None}, ("error", "endless loop", "start")),
    "unknown go": ({"states__4__next": "boook"}, ("error", "unknown state", "choose")),
    "unknown go of an end": ({"states__7__next": "boook"}, ("error", "unknown state", "done")),
    "unknown on_error": ({"states__1__call__on_error": "nobody"}, ("error", "unknown state", "look")),
    "unknown otherwise": ({"states__5__otherwise": "nobody"}, ("error", "unknown state", "book")),
    "duplicate": ({"states__8": {"name": "full", "say": "Full.", "next": "other"}}, ("error", "duplicate", "full")),
    "empty": ({"states": []}, ("error", "empty", "")),
    "text too early": ({"states__0__say": "At {time}."}, ("error", "too early", "start")),
    "forgotten": ({"states__2__forget": ["day"], "states__2__confirm": "Another day than {day}?"},
                  ("error", "too early", "full")),
    "result too early": ({"states__0__say": "{times} are free."}, ("error", "too early", "start")),
    "question too early": ({"states__0__collect": ["day", "guests", "time"]}, ("error", "too early", "start")),
    "result of a failed call": (
        {"states__6": {"name": "person", "hand_off": "none of {times}"}}, ("error", "too early", "person")),
    "argument never known": ({"states__1__call__with__note": "{booking.id}"}, ("error", "too early", "look")),
    "condition never known": (
        {"states__0__next": [{"when": "booking.id", "go": "look"}, {"go": "look"}]}, ("error", "too early", "start")),
    "condition at times": (
        {"states__0__next": [{"when": "len(times) > 1", "go": "look"}, {"go": "look"}]}, ("warning", "too early", "start")),
    "optional in a text": ({"states__7__say": "Noted: {note}."}, ("warning", "too early", "done")),
    "unknown name": ({"states__2__say": "{daay} is full."}, ("error", "unknown name", "full")),
    "unknown name in a condition": ({"states__1__next__0__when": "times_ == 0"}, ("error", "unknown name", "look")),
    "unknown name forgotten": ({"states__3__forget": ["day", "daay"]}, ("error", "unknown name", "other")),
    "unknown choices_from": ({"slots__time__choices_from": "slots"}, ("error", "unknown name", "choose")),
    "unknown slot": ({"states__4__collect": ["time", "noote"]}, ("error", "unknown slot", "choose")),
    "no expression": ({"states__2__say": "{day:s} is full."}, ("error", "no expression", "full")),
    "no condition": ({"states__1__next__0__when": "times is empty"}, ("error", "no expression", "look")),
    "brace": ({"states__2__say": "{day} is full. {"}, ("warning", "brace", "full")),
    "never used": ({"slots__mood": {"optional": True}}, ("warning", "never used", "")),
    "never asked": (
        {"slots__mood": {"ask": "?"}, "states__1__call__with__note": "{mood}"}, ("warning", "never asked", "")),
    "no question": ({"slots__day": {"type": "date"}}, ("error", "no question", "")),
    "no choices": ({"slots__time__choices_from": None}, ("error", "no choices", "")),
    "choices of a text": ({"slots__note__choices": ["a"]}, ("warning", "no choice", "")),
    "names of no choice": ({"slots__time__also": {"noon": ["midday"]}, "slots__time__choices_from": None,
                            "slots__time__choices": ["12:00"]}, ("error", "other names", "")),
    "choice alone": ({"slots__note__choice": "start"}, ("warning", "no choices_from", "")),
    "bad pattern": ({"slots__note__pattern": r"(a)\1"}, ("error", "bad pattern", "")),
    "pattern without effect": ({"slots__day__pattern": "a"}, ("warning", "pattern without effect", "")),
    "same name": ({"states__5__call__as": "day"}, ("warning", "same name", "")),
    "unknown tool": ({"states__1__call__tool": "frei"}, ("error", "unknown tool", "look")),
    "argument missing": ({"states__1__call__with__day": None}, ("error", "argument missing", "look")),
    "unknown argument": ({"states__1__call__with__days": "{day}"}, ("error", "unknown argument", "look")),
    "type of a slot": ({"states__1__call__with__guests": "{day}"}, ("error", "argument type", "look")),
    "type of a text": ({"states__1__call__with__guests": "{guests} people"}, ("error", "argument type", "look")),
    "type of a value": ({"states__1__call__with__guests": "two"}, ("error", "argument type", "look")),
    "value outside": ({"states__1__call__with__size": "huge"}, ("error", "argument type", "look")),
    "choice outside": (
        {"slots__size": {"type": "choice", "choices": ["small", "huge"], "optional": True},
         "states__1__call__with__size": "{size}"}, ("error", "argument type", "look")),
    "optional for a required argument": (
        {"states__1__call__with__day": "{note}"}, ("error", "optional argument", "look")),
    "not confirmed": ({"states__5__confirm": None, "states__5__otherwise": None}, ("warning", "not confirmed", "book")),
    "money": ({"states__1__call": {"tool": "refund", "as": "times"}}, ("error", "money", "look")),
    "money confirmed": ({"states__5__call": {"tool": "refund", "as": "booking"}}, ("warning", "money", "book")),
    "groups": ({"states__1__call__tool": "staff"}, ("warning", "groups", "look")),
    "some groups": (
        {"states__1__call__tool": "staff", "groups": ["staff", "public"]}, ("warning", "groups", "look")),
    "other groups": ({"states__1__call__tool": "staff", "groups": ["public"]}, ("error", "groups", "look")),
    "sensitive": ({"slots__day__sensitive": True}, ("warning", "sensitive", "full")),
    "uncovered": ({"states__1__next__1": {"when": "len(times) > 0", "go": "choose"}}, ("warning", "uncovered", "look")),
    "never followed": (
        {"states__1__next": [{"go": "choose"}, {"when": "len(times) == 0", "go": "full"}]},
        ("warning", "never followed", "look")),
    "next after end": ({"states__7__next": "start"}, ("warning", "next after end", "done")),
    "otherwise alone": ({"states__2__otherwise": "start"}, ("warning", "no confirm", "full")),
    "no examples": ({"examples": []}, ("warning", "no examples", "")),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name):
    paths, expected = PLANTED[name]
    found = problems(changed(**paths), TOOLS)
    assert expected in {(p.severity, p.kind, p.state) for p in found}
    assert all(p.text.endswith(".") for p in found)


def test_the_path_on_which_a_slot_is_unknown_is_told():
    procedure = changed(states__6={"name": "person", "hand_off": "none of {times}"})
    (found,) = [p for p in problems(procedure, TOOLS) if p.kind == "too early"]
    assert "start -> look -> person" in found.text


def test_one_fault_is_told_once_with_its_consequences_left_out():
    """States that lead only to a dead end, or to a state that does not exist, are no traps as well."""
    assert kinds(changed(states__7__end=None)) == {("error", "dead end", "done")}
    assert ("error", "trap", "start") not in kinds(changed(states__7={"name": "done", "next": "gone"}))


def test_conditions_may_ask_whether_something_is_known():
    asks = [{"when": "times == None", "go": "look"}, {"go": "look"}]
    assert kinds(changed(states__0__next=asks)) == set()
    assert kinds(changed(states__0__next=[{"when": "note == 'x'", "go": "look"}, {"go": "look"}])) == set()


def test_names_that_are_given_are_known():
    assert problems(changed(states__0__say="Hello {user}, today is {today}."), TOOLS) == []
    procedure = changed(states__0__say="Hello {visitor}.")
    assert problems(procedure, TOOLS, frozenset({"visitor"})) == []
    assert [p.kind for p in problems(procedure, TOOLS)] == ["unknown name"]


def test_a_confirmation_does_not_cover_what_is_asked_later():
    states = {
        "states__5__call": None, "states__5__next": "more", "states__7__say": "Booked.",
        "states__8": {"name": "more", "collect": ["guests"], "forget": ["guests"], "next": "write"},
        "states__9": {"name": "write", "call": {"tool": "book", "with": {"day": "{day}", "time": "{time}"}}, "next": "done"},
    }  # fmt: skip
    assert ("warning", "not confirmed", "write") in kinds(changed(**states))
    states["states__8"] = {"name": "more", "say": "One moment.", "next": "write"}
    assert ("warning", "not confirmed", "write") not in kinds(changed(**states))


def test_a_transfer_of_a_call_moves_no_money():
    def errors(**tool):
        procedure = changed(states__1__call__tool="t", states__1__call__with=None)
        return [p.kind for p in problems(procedure, TOOLS | {"t": Tool(name="t", **tool)}) if p.severity == "error"]

    assert errors(description="Transfer the call to a colleague") == []
    assert errors(description="Transfer to another account") == ["money"]
    assert errors(description="Transfer to another account", approval="always") == []
    assert errors(description="Transfer to another account", approval="amount > 5") == []
    assert errors(description="Looks up a price", effect="read") == []


def test_loops_that_wait_for_the_user_are_allowed():
    def loops(*states):
        slots = {"a": {"ask": "A?"}, "b": {"ask": "B?"}}
        return endless(to_procedure({"name": "p", "slots": slots, "states": list(states)}, "test"))

    a, b = {"name": "a", "collect": ["a"], "next": "b"}, {"name": "b", "next": "a"}
    assert loops(a, b) == [["a", "b"]]
    assert loops(a, {**b, "forget": ["a"]}) == []
    assert loops(a, {**b, "forget": ["b"]}) == [["a", "b"]]
    assert loops(a, {**b, "confirm": "Again?"}) == []
    # two ways around, each of which forgets one of the two slots that are asked for
    both = {"name": "a", "collect": ["a", "b"], "next": [{"when": "a", "go": "b"}, {"go": "c"}]}
    assert loops(both, {**b, "forget": ["a"]}, {"name": "c", "forget": ["b"], "next": "a"}) == []
    assert loops(both, {**b, "forget": ["a"]}, {"name": "c", "next": "a"}) == [["a", "c"]]
    assert loops({"name": "a", "next": "a"}) == [["a"]]


# --- random procedures ---

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "nowhere", "ü <&\"'>", ""])
SLOTS = st.sampled_from(["day", "time", "x", "y", "result"])
TEXTS = st.one_of(
    st.sampled_from(["", "{day}", "Hi {x.y}", "{", "}{", "{1 +}", "{len(result) > 2}", "{x:s}", "]]>&<b>\x00"]),
    st.text(max_size=60),
)
CONDITIONS = st.sampled_from(["", "x == 1", "day", "not (", "result.ok", "y == None", "a" * 500])
STATES = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "say": TEXTS, "forget": st.lists(SLOTS, max_size=2), "collect": st.lists(SLOTS, max_size=2), "confirm": TEXTS,
        "otherwise": NAMES, "hand_off": TEXTS, "end": st.booleans(),
        "next": st.lists(st.fixed_dictionaries({"go": NAMES, "when": CONDITIONS}), max_size=3),
        "call": st.fixed_dictionaries({"tool": st.sampled_from(["free", "book", "refund", "none"])}, optional={
            "with": st.dictionaries(st.sampled_from(["day", "guests", "size", "odd"]),
                                    st.one_of(TEXTS, st.integers(), st.lists(TEXTS, max_size=2)), max_size=3),
            "as": SLOTS, "on_error": NAMES}),
    },
)  # fmt: skip
PROCEDURES = st.fixed_dictionaries({
    "name": st.just("p"), "title": TEXTS, "states": st.lists(STATES, max_size=9),
    "slots": st.dictionaries(SLOTS, st.fixed_dictionaries({}, optional={
        "type": st.sampled_from(["text", "choice", "integer", "id"]), "ask": TEXTS, "optional": st.booleans(),
        "choices_from": CONDITIONS, "pattern": st.sampled_from(["", "(", r"\d+"]), "sensitive": st.booleans()})),
}).map(lambda data: to_procedure(data, "random"))  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(PROCEDURES)
def test_no_procedure_is_too_odd_to_check(procedure):
    for tools in (TOOLS, None):
        found = problems(procedure, tools)
        assert len(set(found)) == len(found)
        assert {p.state for p in found} <= {"", *procedure.by_name}
    bad = {e.target for e in edges(procedure)} - procedure.by_name.keys()
    assert bool(bad) <= any(p.kind == "unknown state" for p in found)
    if procedure.states:
        lost = procedure.by_name.keys() - reached([procedure.states[0].name], links(edges(procedure)))
        assert {p.state for p in found if p.kind == "unreachable"} == lost


@settings(max_examples=60, deadline=None)
@given(PROCEDURES)
def test_a_page_reads_as_the_same_procedure(procedure):
    import tomllib

    assert to_procedure(tomllib.loads(page(procedure, ["a note\nin two lines"])), "page").digest == procedure.digest


@settings(max_examples=60, deadline=None)
@given(PROCEDURES, NAMES)
def test_every_procedure_can_be_drawn(procedure, at):
    from xml.etree import ElementTree

    root = ElementTree.fromstring(svg(procedure, at))
    boxes = root.findall(".//{*}rect[@rx]/..")
    assert len(boxes) >= len(procedure.by_name)


MENDED = ("empty", "unreachable", "duplicate", "trap", "never used", "never asked")  # by what other states do


@settings(max_examples=80, deadline=None)
@given(PROCEDURES, st.sampled_from([name for name, (_, fault) in PLANTED.items() if fault[1] not in MENDED]))
def test_a_fault_beside_others_is_found(procedure, name):
    """The states of a random procedure, led to from the planted one, do not hide its fault."""
    planted = changed(**PLANTED[name][0])
    known = {state.name for state in planted.states}
    more = [s.model_copy(update={"next": (), "otherwise": "", "call": None, "end": True}) for s in procedure.states]
    more = [s for s in more if s.name not in known]
    both = Procedure.model_validate({**dict(planted), "states": (*planted.states, *more)})
    assert PLANTED[name][1] in kinds(both)
