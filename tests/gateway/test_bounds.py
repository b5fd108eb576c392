"""What one key can leave behind: conversations in the inbox, and bytes in the audit log."""

import hashlib
import json

import pytest

from inhouse.config.sections import Project, Upstream
from inhouse.errors import too_long
from inhouse.gateway.limits import Rates
from inhouse.models.scripted import Scripted
from inhouse.types import Message, canonical_json

CHAT = "/v1/chat/completions"
HANDOFF = Project().assistant.handoff


def test_a_key_fills_the_inbox_at_a_bounded_rate(gateway, ask):
    there = gateway({"custom": Scripted(lambda r: HANDOFF)}, key_handoffs_per_hour=3)
    there.state.rates = Rates(clock=lambda: 0.0)
    answers = [there.http.post(CHAT, json=ask()) for _ in range(5)]
    assert [a.status_code for a in answers] == [200] * 3 + [429] * 2
    assert all(a.json()["inhouse"]["handoff"] for a in answers[:3])
    assert "3 conversations per hour" in answers[3].json()["error"]["message"]
    assert int(answers[3].headers["retry-after"]) > 1000
    streamed = there.http.post(CHAT, json=ask(stream=True))
    assert streamed.status_code == 429 or "rate_limit_exceeded" in streamed.text
    assert len(there.state.inbox.all()) == 3
    assert [e.reason for _, e in there.state.audit.find()] == ["refused"] * 3 + ["stop"] * 3
    other = {"Authorization": f"Bearer {there.keys.create('other', 'user')[1]}"}
    assert there.http.post(CHAT, json=ask(), headers=other).json()["inhouse"]["handoff"]
    assert there.state.audit.verify().ok


def test_other_answers_go_on_when_no_more_can_be_handed_over(gateway, ask):
    there = gateway(
        {"custom": Scripted(lambda r: HANDOFF), "base": Scripted(lambda r: "Yes.")}, key_handoffs_per_hour=1
    )
    codes = [there.http.post(CHAT, json=ask() | {"model": m}).status_code for m in ("custom", "custom", "base")]
    assert codes == [200, 429, 200]


def refusing(request):
    raise too_long(2048, "messages[0] has at least 100000")


@pytest.mark.parametrize("count", [1, 2000])
def test_a_conversation_that_is_too_long_leaves_its_beginning_and_a_digest(gateway, count):
    there = gateway({"custom": Scripted(refusing)})
    said = [{"role": "user", "content": "word " * (160_000 // count)}] * count
    answer = there.http.post(CHAT, json={"messages": said})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    ((_, kept),) = there.state.audit.find()
    assert len(canonical_json([m.to_openai() for m in kept.messages])) < 4000
    assert kept.messages[0].content.startswith("word word ")
    whole = canonical_json([Message(**m).to_openai() for m in said]).encode()
    assert f"{len(whole)} bytes, sha256 {hashlib.sha256(whole).hexdigest()}" in kept.messages[-1].content


def test_what_is_recorded_with_each_of_many_prompts_counts_for_each(gateway):
    project = Project().model_copy(update={"upstream": (Upstream(name="far", url="http://127.0.0.1:9"),)})
    there = gateway({"far": Scripted(lambda r: "Yes.")}, project=project, key_mb_per_minute=1)
    there.state.rates = Rates(clock=lambda: 0.0)
    body = {"model": "far", "prompt": ["Hello?"] * 32, "prediction": {"content": "x" * 100_000}}
    assert there.http.post("/v1/completions", json=body).status_code == 429
    assert there.http.post("/v1/completions", json=body | {"prompt": "Hello?"}).status_code == 200
    assert len(json.dumps(body)) < 1_000_000
