import pytest

from inhouse.chat import ChatRequest, collect
from inhouse.errors import ConfigError
from inhouse.guardrails.format import Format, fits, repair
from inhouse.guardrails.guarded import Guarded
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


def test_what_is_no_json_is_not():
    assert repair("Three dollars.") is None
    assert not fits('{"fee": "three"}', SCHEMA)


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('{"fee": 3}', '{"fee": 3}'),
        ('It is {"fee": 3}', '{"fee": 3}'),
        ("Three.", "A person."),
        ('{"fee": "x"}', "A person."),
    ],
)
async def test_the_rail_repairs_once_and_hands_off(said, text):
    model = Guarded(Scripted(lambda r: said), [Guard(Format(), {"output": "handoff"})], "A person.")
    asked = ChatRequest(messages=(Message(role="user", content="fee"),), json_schema=SCHEMA)
    assert (await collect(model, asked)).text == text


async def test_a_pattern_for_whole_answers():
    rail = Format(r"Ticket \d+\.")
    asked = ChatRequest(messages=(Message(role="user", content="ticket"),))
    for said, text in (("Ticket 12.", "Ticket 12."), ("No ticket.", "A person.")):
        model = Guarded(
            Scripted(lambda r, said=said: said), [Guard(rail, {"answer": "handoff", "output": "handoff"})], "A person."
        )
        assert (await collect(model, asked)).text == text


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="answer_pattern"):
        Format("(")
