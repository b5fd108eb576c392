from collections import Counter

import pytest

from inhouse.chat import ChatRequest, collect
from inhouse.models.scripted import Scripted
from inhouse.routing.split import Split, chosen, unit_of
from inhouse.types import Message


def request(user="", *texts):
    roles = ["system", "user", "assistant", "user"]
    messages = [Message(role=r, content=t) for r, t in zip(roles, texts, strict=False)]
    return ChatRequest(messages=tuple(messages or [Message(role="user", content="hello")]), user=user)


@pytest.mark.parametrize("weights", [{"a": 1, "b": 1}, {"a": 9, "b": 1}, {"a": 3, "b": 2, "c": 5}])
def test_arms_get_users_in_proportion_to_their_weights(weights):
    seen = Counter(chosen("x", f"user {n}", weights) for n in range(20_000))
    for arm, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(seen[arm] / 20_000 - share) < 4 * (share * (1 - share) / 20_000) ** 0.5


def test_an_arm_of_weight_0_gets_no_users():
    assert {chosen("x", str(n), {"a": 0, "b": 1}) for n in range(500)} == {"b"}


def test_another_experiment_reassigns_users():
    both = [(chosen("x", str(n), {"a": 1, "b": 1}), chosen("y", str(n), {"a": 1, "b": 1})) for n in range(4000)]
    assert abs(sum(x == y for x, y in both) / 4000 - 0.5) < 0.04


def test_a_growing_arm_keeps_its_users():
    for n in range(3000):
        if chosen("x", str(n), {"old": 90, "new": 10}) == "new":
            assert chosen("x", str(n), {"old": 50, "new": 50}) == "new"


def test_without_a_user_the_conversation_decides():
    first = request("", "be brief", "what is a loan?")
    later = request("", "be brief", "what is a loan?", "It is...", "and a mortgage?")
    assert unit_of(first) == unit_of(later) != unit_of(request("", "be brief", "what is a card?"))
    assert unit_of(request("eve", "be brief", "x")) == unit_of(request("eve", "be long", "y"))
    assert unit_of(request("what is a loan?")) != unit_of(request("", "be brief", "what is a loan?"))


async def test_a_note_names_the_arm_and_a_user_keeps_it():
    arms = {name: (Scripted(lambda r, name=name: f"I am {name}", name), 1.0) for name in ("a", "b")}
    split = Split("custom", "x", arms)
    seen = set()
    for n in range(40):
        replies = [await collect(split, request(f"u{n}")) for _ in range(2)]
        noted = {r.note("split", "arm")["arm"] for r in replies}
        assert {r.text for r in replies} == {f"I am {arm}" for arm in noted}
        assert replies[0].note("split", "arm")["experiment"] == "x"
        seen |= noted
    assert seen == {"a", "b"}
