"""Conversations with tool calls become commands."""

import json
from datetime import date
from pathlib import Path

import pytest

from inhouse.agents.commands import Command, Situation, allowed
from inhouse.agents.procedure import to_procedure
from inhouse.assembly.acting_rows import acting_rows, specialist_of
from inhouse.datasets.acting import read_star, understood
from inhouse.errors import InputError
from inhouse.types import Message

STAR = Path("/work/shared/data/star")
TODAY = date(2027, 3, 8)
BOOK = to_procedure(
    {
        "name": "book",
        "title": "Book a haircut",
        "slots": {
            "day": {"type": "date", "ask": "Which day?"},
            "time": {"type": "time", "ask": "At what time?"},
            "stylist": {"type": "choice", "choices": ["Rosa", "Milo"]},
        },
        "states": [
            {
                "name": "start",
                "collect": ["day", "time", "stylist"],
                "confirm": "Book it?",
                "call": {"tool": "book", "with": {"day": "{day}", "time": "{time}", "who": "{stylist}", "x": "{day}!"}},
                "end": True,
            }
        ],
    },
    "test",
)


def call(name, **arguments):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return Message(role="assistant", content="", tool_calls=({"id": "c1", "type": "function", "function": function},))


def talk(*turns):
    return [
        t if isinstance(t, Message) else Message(role="assistant" if n % 2 else "user", content=t)
        for n, t in enumerate(turns)
    ]


CONVERSATION = [
    *talk(
        "I need a haircut", "Which day?", "on march 12", "At what time?", "2 pm with Rosa please", "Shall I book it?",
        "yes please",
    ),
    call("book", day="2027-03-12", time="14:00", who="Rosa"),
    Message(role="tool", content="{}", tool_call_id="c1"),
    Message(role="assistant", content="Booked."),
    Message(role="user", content="Where can I park?"),
    Message(role="assistant", content="Behind the library."),
]  # fmt: skip


def test_commands_are_read_off_what_was_done():
    rows = understood(CONVERSATION, specialist_of({"book": BOOK}, TODAY), "c")
    assert [list(r.commands) for r in rows] == [
        [{"kind": "start", "name": "book"}],
        [{"kind": "set", "name": "day", "value": "2027-03-12"}],
        [{"kind": "set", "name": "time", "value": "14:00"}, {"kind": "set", "name": "stylist", "value": "Rosa"}],
        [{"kind": "yes"}],
        [{"kind": "answer"}],
    ]
    assert [r.situation["active"] for r in rows] == ["", "book", "book", "book", ""]
    assert rows[1].situation["asked"] == "day"
    assert rows[3].situation["confirming"]
    assert rows[3].situation["known"] == {"day": "2027-03-12", "time": "14:00", "stylist": "Rosa"}
    assert {r.group for r in rows} == {"c"}


def test_every_command_is_one_that_the_grammar_allows():
    for row in understood(CONVERSATION, specialist_of({"book": BOOK}, TODAY), "c"):
        situation = Situation.model_validate(row.situation)
        assert all(allowed(Command.model_validate(c), situation) for c in row.commands)


def test_rows_have_the_prompt_of_serving():
    rows = acting_rows([("c", CONVERSATION)], {"book": BOOK}, TODAY)
    assert rows[1].messages[0].content.splitlines()[1] == "Now: book, step start."  # nothing else may begin
    rows = acting_rows([("c", CONVERSATION)], {"book": BOOK}, TODAY, lambda text: {"book": 1.0})
    assert len(rows) == 5
    assert rows[1].messages[0].content.splitlines()[1:3] == ["Tasks: book (Book a haircut)", "Now: book, step start."]
    assert rows[1].messages[1].content.endswith("Customer: on march 12")
    assert json.loads(rows[1].target) == [{"kind": "set", "name": "day", "value": "2027-03-12"}]


def test_a_second_booking_begins_again():
    second = [
        *talk("and another one on march 13 at 3 pm with Milo", "Shall I book it?", "ok"),
        call("book", day="2027-03-13", time="15:00", who="Milo"),
    ]
    rows = understood([*CONVERSATION[:10], *second], specialist_of({"book": BOOK}, TODAY), "c")
    assert [list(r.commands) for r in rows[4:]] == [[{"kind": "start", "name": "book"}], [{"kind": "yes"}]]


def test_a_changed_value_stays_in_the_same_procedure():
    again = [*talk("make it 3 pm"), call("book", day="2027-03-12", time="15:00", who="Rosa")]
    rows = understood([*CONVERSATION[:10], *again], specialist_of({"book": BOOK}, TODAY), "c")
    assert {"kind": "set", "name": "time", "value": "14:00"} in rows[2].commands
    assert list(rows[-1].commands) == [{"kind": "set", "name": "time", "value": "15:00"}]
    assert rows[-1].situation["active"] == "book"


def test_star_becomes_openai_messages(tmp_path):
    turns = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool": "weather", "arguments": {"Day": 'api.is_equal_to("Sunday")', "City": " Rome "}},
        {"role": "tool", "content": "{}"},
        {"role": "assistant", "content": "Sunny.", "action": "weather_inform"},
    ]
    file = tmp_path / "star.jsonl"
    file.write_text(json.dumps({"id": 7, "tasks": ["weather"], "turns": turns}) + "\n")
    ((id_, messages),) = read_star(file)
    assert id_ == "7"
    assert [m.role for m in messages] == ["user", "assistant", "tool", "assistant"]
    assert json.loads(messages[1].tool_calls[0]["function"]["arguments"]) == {"Day": "Sunday", "City": "Rome"}
    file.write_text("{}\n")
    with pytest.raises(InputError, match=r"star\.jsonl:1: not a dialogue"):
        list(read_star(file))


@pytest.mark.skipif(not STAR.is_dir(), reason=f"{STAR} is missing")
def test_all_of_star_is_read():
    read = [m for file in sorted(STAR.glob("*.jsonl")) for m in read_star(file)]
    assert len(read) == 2578
