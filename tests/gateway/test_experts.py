"""Experts behind the gateway: the groups of the API key decide who may answer, and the audit log says who did."""

import httpx
import pytest

from inhouse.models.scripted import Scripted
from inhouse.routing.classifier import Prediction
from inhouse.routing.experts import Experts

SECRET = "The teller limit is $31."


def choose(text, among):
    found = "tellers" if "limit" in text and "tellers" in among else "plans" if "plan" in text else ""
    return Prediction(name=found or "plans", probability=0.9, in_scope=bool(found), score=1)


@pytest.fixture
def served(gateway):
    models = {
        "plans": Scripted(lambda r: "Plan 2 costs $5.", "plans"),
        "tellers": Scripted(lambda r: SECRET, "tellers"),
    }
    groups = {"plans": frozenset(), "tellers": frozenset({"staff"})}
    return gateway({"custom": Experts("experts", choose, models, groups, Scripted(lambda r: "I do not know.", "base"))})


@pytest.mark.parametrize(
    ("groups", "text", "expert"),
    [
        (("staff",), "What is the limit?", "tellers"),
        (("sales", "staff"), "What is the limit?", "tellers"),
        (("sales",), "What is the limit?", ""),
        ((), "What is the limit?", ""),
        ((), "The limit of plan 2?", "plans"),
    ],
)
def test_the_groups_of_the_key_decide(served, groups, text, expert):
    secret = served.keys.create("other", "user", groups)[1]
    body = {"model": "custom", "messages": [{"role": "user", "content": text}]}
    headers = {"Authorization": f"Bearer {secret}"}
    answer = httpx.post(f"{served.url}/v1/chat/completions", json=body, headers=headers, timeout=60).json()
    assert answer["inhouse"]["expert"] == expert
    assert (SECRET in str(answer)) == (expert == "tellers")
    kept = served.state.audit.get(answer["id"])
    assert (kept.expert, kept.groups) == (expert, frozenset(groups))
