"""The benchmarks of agents: the retail shop and its reward, STAR's state machines, and schemas of calls."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from inhouse.agents.call_grammar import LARGEST, MOST_CHARS, bounded, call_schema
from inhouse.schema import problem
from inhouse.tools import ToolError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TAU, STAR = Path("/work/shared/data/tau/retail"), Path("/work/shared/data/star")


@pytest.fixture
def tau(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import tau_retail

    return tau_retail


@pytest.fixture
def star(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import star_flow

    return star_flow


# --- the retail shop ----------------------------------------------------------------------------------------------


def shop_data():
    address = {"address1": "1 Elm", "address2": "", "city": "Rye", "state": "NY", "country": "USA", "zip": "10580"}
    variants = {
        "11": {"item_id": "11", "options": {"color": "red"}, "available": True, "price": 20.0},
        "12": {"item_id": "12", "options": {"color": "blue"}, "available": True, "price": 25.5},
        "13": {"item_id": "13", "options": {"color": "black"}, "available": False, "price": 5.0},
    }
    item = {"name": "Mug", "product_id": "1", "item_id": "11", "price": 20.0, "options": {"color": "red"}}
    order = {
        "user_id": "ann", "address": address, "items": [item, dict(item)], "fulfillments": [],
        "payment_history": [{"transaction_type": "payment", "amount": 40.0, "payment_method_id": "card"}],
    }  # fmt: skip
    return {
        "products": {
            "1": {"name": "Mug", "product_id": "1", "variants": variants},
            "2": {"name": "Lamp", "product_id": "2", "variants": {"21": {**variants["11"], "item_id": "21"}}},
        },
        "users": {
            "ann": {
                "user_id": "ann", "name": {"first_name": "Ann", "last_name": "Lee"}, "address": address,
                "email": "ann@example.com", "orders": ["#W1", "#W2"],
                "payment_methods": {
                    "card": {"source": "credit_card", "id": "card"}, "other": {"source": "paypal", "id": "other"},
                    "gift": {"source": "gift_card", "id": "gift", "balance": 6.0},
                },
            }
        },
        "orders": {
            "#W1": {**order, "order_id": "#W1", "status": "pending"},
            "#W2": {**order, "order_id": "#W2", "status": "delivered"},
        },
    }  # fmt: skip


ITEMS = {"item_ids": ["11"], "new_item_ids": ["12"]}
REFUSED = [
    ("cancel_pending_order", {"order_id": "#W2", "reason": "no longer needed"}, "delivered, not pending"),
    ("cancel_pending_order", {"order_id": "#W1", "reason": "bored"}, "the reason must be"),
    ("cancel_pending_order", {"order_id": "#W9", "reason": "no longer needed"}, "order #W9 not found"),
    ("modify_pending_order_payment", {"order_id": "#W1", "payment_method_id": "card"}, "must be different"),
    ("modify_pending_order_payment", {"order_id": "#W1", "payment_method_id": "gift"}, "not enough balance"),
    ("modify_pending_order_items", {"order_id": "#W1", **ITEMS, "new_item_ids": ["13"], "payment_method_id": "card"},
     "not available"),
    ("modify_pending_order_items", {"order_id": "#W1", **ITEMS, "new_item_ids": ["21"], "payment_method_id": "card"},
     "another product"),
    ("modify_pending_order_items", {"order_id": "#W1", "item_ids": ["11"] * 3, "new_item_ids": ["12"] * 3,
                                    "payment_method_id": "card"}, "not in the order"),
    ("return_delivered_order_items", {"order_id": "#W2", "item_ids": ["11"], "payment_method_id": "other"},
     "original payment method"),
    ("return_delivered_order_items", {"order_id": "#W1", "item_ids": ["11"], "payment_method_id": "card"}, "pending"),
    ("cancel_pending_order", {"order_id": "#W1"}, "wrong arguments"),
    ("paint", {}, "no tool paint"),
]  # fmt: skip


@pytest.mark.parametrize(("tool", "arguments", "why"), REFUSED)
def test_the_shop_refuses_what_its_policy_forbids_and_changes_nothing(tau, tool, arguments, why):
    data = shop_data()
    shop = tau.Shop(data)
    with pytest.raises(ToolError, match=why):
        shop.call(tool, arguments)
    assert shop.snapshot() == tau.Shop(data).snapshot()


def test_items_are_modified_once(tau):
    shop = tau.Shop(shop_data())
    order = shop.call("modify_pending_order_items", {"order_id": "#W1", **ITEMS, "payment_method_id": "gift"})
    assert [i["item_id"] for i in order["items"]] == ["12", "11"]
    assert order["payment_history"][-1] == {
        "transaction_type": "payment", "amount": 5.5, "payment_method_id": "gift"}  # fmt: skip
    assert shop.call("get_user_details", {"user_id": "ann"})["payment_methods"]["gift"]["balance"] == 0.5
    with pytest.raises(ToolError, match="items modified"):
        shop.call("cancel_pending_order", {"order_id": "#W1", "reason": "no longer needed"})


def test_what_was_changed_is_the_shops_own(tau):
    data = shop_data()
    shop = tau.Shop(data)
    shop.call("cancel_pending_order", {"order_id": "#W1", "reason": "no longer needed"})
    assert data == shop_data()
    assert json.loads(shop.snapshot())["orders"]["#W1"]["status"] == "cancelled"


def test_the_reward_is_that_of_the_end_state_and_of_what_was_said(tau):
    data = shop_data()
    gold = {"name": "return_delivered_order_items",
            "arguments": {"order_id": "#W2", "item_ids": ["11"], "payment_method_id": "card"}}  # fmt: skip
    task = {"actions": [{"name": "get_order_details", "arguments": {"order_id": "#W2"}}, gold],
            "communicate_info": ["1,040.5"]}  # fmt: skip
    shop = tau.Shop(data)
    nothing = shop.snapshot()
    shop.call(gold["name"], gold["arguments"])
    assert tau.reward(data, task, shop.snapshot(), ["You get $1040.5 back."]) == 1.0
    assert tau.reward(data, task, shop.snapshot(), ["Done."]) == 0.0
    assert tau.reward(data, task, nothing, ["You get $1040.5 back."]) == 0.0
    shop.call("cancel_pending_order", {"order_id": "#W1", "reason": "no longer needed"})
    assert tau.reward(data, task, shop.snapshot(), ["You get $1040.5 back."]) == 0.0


@pytest.mark.skipif(not TAU.is_dir(), reason=f"{TAU} is missing")
def test_gold_actions_give_the_reward_on_every_task_and_nothing_gives_none(tau):
    found = tau.check()
    assert found["tasks"]["gold"] == found["tasks"]["n"] == 79
    assert found["practice"]["gold"] == found["practice"]["n"] == 516
    assert (found["tasks"]["writing"], found["tasks"]["nothing"]) == (74, 0)


# --- STAR ---------------------------------------------------------------------------------------------------------

GRAPH = {
    "hello": "ask_name", "ask_name": "ask_city", "ask_city": "query_check", "available": "ask_confirm",
    "unavailable": "inform_full", "yes": "query_book", "query_success": "inform_booked", "query_failure": "inform_full",
}  # fmt: skip
REPLIES = {
    "hello": "Hello, how can I help?", "ask_name": "Your name?", "ask_city": "Which city?",
    "ask_confirm": "Shall I book it?", "inform_full": "It is full.", "inform_booked": "Booked.", "anything_else": "?",
    "out_of_scope": "Sorry.", "my_bye": "Bye.", "query_check": "Check", "query_book": "Book", "yes": "Yes",
}  # fmt: skip


def said(*turns):
    return tuple(turns)


def test_a_machine_of_star_knows_what_may_follow(star):
    flow = star.Flow("book", REPLIES, GRAPH)
    assert flow.chain == ["hello", "ask_name", "ask_city", "query_check"]
    assert flow.choices(said(("user", "Hi there!", "")))[0] == "hello"
    assert flow.choices(said(("user", "I need a room in Rome", "")))[0] == "ask_name"
    asked = said(("user", "a room", ""), ("assistant", "Your name?", "ask_name"), ("user", "Ann", ""))
    assert flow.choices(asked)[:2] == ["ask_city", "query_check"]
    confirm = said(("assistant", "Shall I book it?", "ask_confirm"), ("user", "yes please", ""))
    assert flow.choices(confirm)[0] == "query_book"


@pytest.mark.parametrize(
    ("called", "result", "action"),
    [
        ("query_check", {"Message": "Available"}, "ask_confirm"),
        ("query_check", {"Message": "Unavailable"}, "inform_full"),
        ("query_book", {"Status": "x", "ReservationStatus": "Reservation Confirmed"}, "inform_booked"),
        ("query_book", {"ReservationStatus": "Reservation Failed"}, "inform_full"),
        ("query_check", None, "out_of_scope"),
    ],
)
def test_code_decides_after_a_result(star, called, result, action):
    flow = star.Flow("book", REPLIES, GRAPH)
    text = "" if result is None else json.dumps(result)
    assert flow.decided(said(("assistant", "", called), ("tool", text, ""))) == action


@pytest.mark.skipif(not STAR.is_dir(), reason=f"{STAR} is missing")
def test_every_label_of_star_is_one_of_its_procedure(star):
    procedures = star.flows()
    found, unknown = star.decisions(procedures)
    assert (len(procedures), len(found), unknown) == (19, 21542, 2879)
    assert all(d.label in procedures[d.task].labels for d in found)


# --- calls --------------------------------------------------------------------------------------------------------

PARAMETERS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "of whom", "default": "x"},
        "n": {"type": "integer", "minimum": 3},
        "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        "more": {"type": "object"},
    },
    "required": ["name"],
}


def test_a_schema_of_calls_compiles_and_allows_only_calls():
    schema = call_schema({"find": PARAMETERS, "now": {"type": "object", "properties": {}}})
    assert problem(schema) == ""
    valid = Draft202012Validator(schema).is_valid
    assert valid({"tool": "none"})
    assert valid({"tool": "find", "arguments": {"name": "x", "n": 3, "tags": ["a"], "more": {"k": 1}}})
    assert not valid({"tool": "find", "arguments": {}})
    assert not valid({"tool": "find", "arguments": {"name": "x", "other": 1}})
    assert not valid({"tool": "find", "arguments": {"name": "x", "n": 2}})
    assert not valid({"tool": "drop", "arguments": {}})


def test_what_has_no_bounds_gets_some():
    made = bounded(PARAMETERS)["properties"]
    assert made["name"] == {"type": "string", "maxLength": MOST_CHARS}
    assert made["n"] == {"type": "integer", "minimum": 3, "maximum": LARGEST}
    assert made["tags"]["maxItems"] == 10
    assert made["more"]["maxProperties"] == 5
    assert bounded({"type": "array"})["items"]["maxLength"] == MOST_CHARS
