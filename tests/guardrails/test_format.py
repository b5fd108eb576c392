import time

import pytest

from inhouse.chat import ChatRequest, collect
from inhouse.errors import ConfigError
from inhouse.guardrails.format import Format, fits, repair
from inhouse.guardrails.groundedness.fields import fields
from inhouse.guardrails.rail import Guard
from inhouse.models.scripted import Scripted
from inhouse.types import Message

SCHEMA = {"type": "object", "properties": {"fee": {"type": "number"}}, "required": ["fee"]}


@pytest.mark.parametrize(
    "text",
    [
        'Sure: {"fee": 3}',
        '```json\n{"fee": 3}\n```',
        '{"fee": 3,}',
        "{fee: 3}",
        "{'fee': 3}",
        '{"fee": 3',
        "{“fee”: 3} ok",
    ],
)
def test_near_json_is_repaired(text):
    assert fits(repair(text), SCHEMA)


def test_what_is_not_json_is_not_repaired():
    assert repair("Three dollars.") is None
    assert not fits('{"fee": "three"}', SCHEMA)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ('{"fee": 3}', '{"fee": 3}'),
        ('It is {"fee": 3}', '{"fee": 3}'),
        ("Three.", "A person."),
        ('{"fee": "x"}', "A person."),
    ],
)
async def test_the_rail_repairs_once_and_hands_off(guarded, answer, text):
    model = guarded(Scripted(lambda r: answer), Guard(Format(), {"output": "handoff"}), handoff="A person.")
    request = ChatRequest(messages=(Message(role="user", content="fee"),), json_schema=SCHEMA)
    assert (await collect(model, request)).text == text


async def test_a_pattern_for_whole_answers(guarded):
    rail = Format(r"Ticket \d+\.")
    request = ChatRequest(messages=(Message(role="user", content="ticket"),))
    for answer, text in (("Ticket 12.", "Ticket 12."), ("No ticket.", "A person.")):
        guard = Guard(rail, {"answer": "handoff", "output": "handoff"})
        model = guarded(Scripted(lambda r, answer=answer: answer), guard, handoff="A person.")
        assert (await collect(model, request)).text == text


@pytest.mark.parametrize("pattern", ["(", r"(?=a)b", r"(a)\1"])
def test_an_invalid_pattern_is_refused(pattern):
    with pytest.raises(ConfigError, match="guardrails.answer_pattern"):
        Format(pattern)


@pytest.mark.parametrize("text", ["`" * 50_000, "```" + " " * 50_000, "{" + "," * 50_000, "{" + "a" * 50_000])
def test_hostile_text_takes_linear_time(text):
    started = time.process_time()
    repair(text)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("depth", [500, 2000, 100_000])
def test_deeply_nested_json_is_handed_off_and_not_an_error(depth):
    text = '{"a": ' * depth + "1" + "}" * depth
    assert fits(text, {"type": "object"}) == (depth < 1000)
    assert (repair(text) is None) == (depth > 1000)
    assert (fields(text) is None) == (depth > 1000)
