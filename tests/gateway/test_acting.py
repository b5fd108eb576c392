"""Conversations with agents over HTTP: IDs, steps, approvals, going on after a restart."""

import httpx
import pytest

from inhouse.agents.agent import Agent
from inhouse.agents.conversing import Conversing
from inhouse.agents.executor import Executor
from inhouse.agents.procedure import to_procedure
from inhouse.agents.understand import Understanding
from inhouse.store.calls import StoredCalls
from inhouse.store.turns import StoredTurns
from inhouse.tools import Tool

GIFT = {
    "name": "gift", "title": "Buy a gift card",
    "slots": {"amount": {"type": "money", "ask": "For how much?"}, "name": {"type": "name", "ask": "For whom?"}},
    "states": [
        {"name": "start", "collect": ["amount", "name"], "confirm": "A card of {amount} for {name}?",
         "call": {"tool": "sell", "with": {"amount": "{amount}"}, "as": "card"}, "next": "done"},
        {"name": "done", "say": "The card is {card}.", "end": True},
    ],
}  # fmt: skip


class Sell:
    tool = Tool(
        name="sell", approval="amount > 100",
        parameters={"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]},
    )  # fmt: skip

    def __init__(self):
        self.runs = []

    async def run(self, arguments, key, caller):
        self.runs.append((dict(arguments), caller.user, caller.role))
        return f"G{arguments['amount']}"


def desk(state, ledger, sell):
    """An agent in the gateway's state, as a server that has just started opens it."""
    state.calls, state.turns = StoredCalls(ledger), StoredTurns(ledger)
    executor = Executor({"sell": sell}, state.calls)
    gift = {"gift": to_procedure(GIFT, "test")}
    agent = Agent("shop", gift, Understanding(lambda text: {"gift": 0.9 if "gift" in text else 0.0}), executor)
    state.fleet.models["custom"] = Conversing(agent, state.turns)
    state.fleet.settle = executor.settle


@pytest.fixture
def shop(gateway):
    served = gateway()
    served.sell = Sell()
    desk(served.state, served.ledger, served.sell)
    return served


def talk(shop, *texts, **more):
    """What is answered last, to a client that sends the whole conversation each time."""
    messages = []
    for text in texts:
        messages.append({"role": "user", "content": text})
        body = {"model": "custom", "messages": messages, **more}
        said = shop.http.post("/v1/chat/completions", json=body).json()
        messages.append({"role": "assistant", "content": said["choices"][0]["message"]["content"]})
    return said


def test_an_answer_tells_its_conversation_and_what_was_done(shop):
    said = talk(shop, "a gift card", "$50", "my name is Bo Li", "yes")
    assert said["choices"][0]["message"]["content"] == "The card is G50."
    call = next(s for s in said["inhouse"]["steps"] if s["kind"] == "call")
    assert (call["tool"], call["arguments"], call["status"]) == ("sell", {"amount": 50}, "done")
    assert shop.sell.runs == [({"amount": 50}, shop.key.id, "admin")]
    exchange = shop.http.get(f"/v1/conversations/{said['inhouse']['conversation']}").json()
    assert (exchange["status"], exchange["answer"], exchange["calls"][0]["status"]) == (
        "open",
        "The card is G50.",
        "done",
    )


def test_steps_are_tool_calls_only_where_asked_for(shop):
    plain = talk(shop, "a gift card", "$50", "my name is Bo Li", "yes")
    assert "tool_calls" not in plain["choices"][0]["message"]
    shown = talk(shop, "one more gift card", "$60", "my name is Bo Li", "yes", include_steps=True)
    (call,) = shown["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "sell", "arguments": '{"amount": 60}'}
    assert shown["choices"][0]["finish_reason"] == "stop"


def test_an_approved_call_runs_once_and_the_conversation_goes_on_after_a_restart(shop):
    said = talk(shop, "a gift card", "$150", "my name is Bo Li", "yes")
    id, key = said["inhouse"]["conversation"], said["inhouse"]["approval"]
    assert shop.http.get(f"/v1/conversations/{id}").json()["approval"] == key
    (listed,) = shop.http.get("/v1/approvals").json()["data"]
    assert (listed["id"], listed["arguments"]) == (key, {"amount": 150})
    desk(shop.state, shop.ledger, shop.sell)  # the server was started again
    assert shop.http.post(f"/v1/approvals/{key}", json={"decision": "approve"}).json()["status"] == "done"
    assert shop.http.post(f"/v1/approvals/{key}", json={"decision": "approve"}).status_code == 409
    went_on = shop.http.post(f"/v1/conversations/{id}", json={}).json()
    assert went_on["choices"][0]["message"]["content"] == "The card is G150."
    assert len(shop.sell.runs) == 1


def test_there_is_nothing_to_go_on_with_before_a_decision(shop):
    id = talk(shop, "a gift card")["inhouse"]["conversation"]
    assert shop.http.post(f"/v1/conversations/{id}", json={}).status_code == 409


def test_a_declined_call_does_not_run(shop):
    key = talk(shop, "a gift card", "$150", "my name is Bo Li", "yes")["inhouse"]["approval"]
    shop.http.post(f"/v1/approvals/{key}", json={"decision": "decline", "why": "too much"})
    assert shop.sell.runs == []
    assert shop.http.get("/v1/approvals").json()["data"] == []


def test_a_call_of_a_revoked_key_is_not_approved(shop):
    other, secret = shop.keys.create("other", "user", ())
    with httpx.Client(base_url=shop.url, headers={"Authorization": f"Bearer {secret}"}) as client:
        shop.http, admin = client, shop.http
        key = talk(shop, "a gift card", "$150", "my name is Bo Li", "yes")["inhouse"]["approval"]
        shop.http = admin
    shop.keys.revoke(other.id)
    assert shop.http.post(f"/v1/approvals/{key}", json={"decision": "approve"}).status_code == 409
    assert shop.sell.runs == []
    assert shop.http.post(f"/v1/approvals/{key}", json={"decision": "decline"}).json()["status"] == "declined"


def test_only_reviewers_of_the_groups_and_admins_decide(shop):
    key = talk(shop, "a gift card", "$150", "my name is Bo Li", "yes")["inhouse"]["approval"]
    for role, groups in (("user", ()), ("auditor", ())):
        _, secret = shop.keys.create(role, role, groups)
        with httpx.Client(base_url=shop.url, headers={"Authorization": f"Bearer {secret}"}) as other:
            assert other.get("/v1/approvals").json()["data"] == []
            assert other.post(f"/v1/approvals/{key}", json={"decision": "approve"}).status_code == 404
    assert shop.sell.runs == []


def test_a_conversation_is_its_owners(shop):
    id = talk(shop, "a gift card", "$150")["inhouse"]["conversation"]
    _, secret = shop.keys.create("other", "user", ())
    with httpx.Client(base_url=shop.url, headers={"Authorization": f"Bearer {secret}"}) as other:
        assert other.get(f"/v1/conversations/{id}").status_code == 404
        body = {"model": "custom", "messages": [{"role": "user", "content": "yes"}], "conversation": id}
        assert other.post("/v1/chat/completions", json=body).json()["inhouse"]["conversation"] != id


def test_a_stream_has_the_steps_at_its_end(shop):
    with shop.client.chat.completions.create(
        model="custom", stream=True, messages=[{"role": "user", "content": "a gift card"}]
    ) as stream:
        chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "For how much?"
    assert chunks[-1].inhouse["steps"][0]["kind"] == "understood"


def respond(shop, text, id, **more):
    body = {"model": "custom", "input": text, "conversation": id, **more}
    answer = shop.http.post("/v1/responses", json=body)
    return answer.json() if answer.status_code == 200 else answer.json()["error"] | {"status": answer.status_code}


def answered(response):
    return response["output"][0]["content"][0]["text"]


def test_the_responses_api_continues_a_conversation_by_its_id(shop):
    first = shop.http.post("/v1/responses", json={"model": "custom", "input": "a gift card"}).json()
    id = first["inhouse"]["conversation"]
    assert first["conversation"] is None
    assert answered(respond(shop, "$150", id)) == "For whom?"
    assert answered(respond(shop, "my name is Bo Li", {"id": id})) == "A card of 150 for Bo Li?"
    waits = respond(shop, "yes", id)
    assert (waits["conversation"], waits["inhouse"]["conversation"]) == ({"id": id}, id)
    shop.http.post(f"/v1/approvals/{waits['inhouse']['approval']}", json={"decision": "approve"})
    went_on = shop.http.post(f"/v1/conversations/{id}", json={}).json()
    assert went_on["choices"][0]["message"]["content"] == "The card is G150."
    for text in ("another gift card", "$60", "my name is Bo Li"):
        said = respond(shop, text, id, instructions="Be brief.")
    assert said["inhouse"]["conversation"] == id
    assert answered(respond(shop, "yes", id, instructions="Be brief.")) == "The card is G60."  # yes once more
    assert [run[0]["amount"] for run in shop.sell.runs] == [150, 60]


def test_the_responses_api_gives_a_conversation_to_nobody_else(shop):
    id = talk(shop, "a gift card", "$150")["inhouse"]["conversation"]
    assert respond(shop, "hi", id, user="someone")["status"] == 404
    assert respond(shop, "hi", id, previous_response_id="resp_1")["param"] == "conversation"
    assert respond(shop, "hi", {"name": id})["status"] == 400


def test_a_server_without_agents_has_no_conversations(gateway):
    served = gateway()
    assert served.http.get("/v1/approvals").status_code == 404
    assert served.http.get("/v1/conversations/x").status_code == 404
