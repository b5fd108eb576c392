"""The retail shop of tau-bench: its tools over the database, and the reward of a conversation.

The tools are written from their descriptions and the shop's policy. The reward compares the database with the one that
the gold actions leave, both through these tools.
"""

import copy
import gzip
import json
from pathlib import Path

from inhouse.agents.expression import Expression
from inhouse.errors import InputError
from inhouse.tools import Tool, ToolError
from inhouse.types import canonical_json

DATA = Path("/work/shared/data/tau/retail")
REASONS = ("no longer needed", "ordered by mistake")
WRITES = ("cancel", "exchange", "modify", "return")


class Shop:
    """A world: the database, changed by tools.

    A tool that refuses raises ToolError, and changes nothing.
    """

    def __init__(self, database):
        self._before = database
        self._own_copies = {"orders": {}, "users": {}}

    def snapshot(self):
        """What is different from the database at the beginning."""
        before = self._before
        changed = {t: {k: v for k, v in own.items() if v != before[t][k]} for t, own in self._own_copies.items()}
        return canonical_json(changed)

    def _of(self, table, key, what):
        """An order or a user, which may be changed."""
        own = self._own_copies[table]
        if key not in own:
            own[key] = copy.deepcopy(_of(self._before[table], key, what))
        return own[key]

    async def run(self, tool, arguments):
        return self.call(tool, arguments)

    def call(self, tool, arguments):
        method = getattr(self, f"tool_{tool}", None)
        if method is None:
            raise ToolError(f"no tool {tool}")
        try:
            return method(**arguments)
        except TypeError as error:
            raise ToolError(f"wrong arguments: {error}") from error

    # --- read

    def tool_find_user_id_by_email(self, email):
        return self._user_id(lambda u: u["email"].lower() == str(email).lower())

    def tool_find_user_id_by_name_zip(self, first_name, last_name, zip):
        wanted = (str(first_name).lower(), str(last_name).lower(), str(zip))
        return self._user_id(
            lambda u: (u["name"]["first_name"].lower(), u["name"]["last_name"].lower(), u["address"]["zip"]) == wanted
        )

    def _user_id(self, fits):
        for id_, user in self._before["users"].items():
            if fits(user):
                return id_
        raise ToolError("user not found")

    def tool_get_user_details(self, user_id):
        return self._of("users", user_id, "user")

    def tool_get_order_details(self, order_id):
        return self._of("orders", order_id, "order")

    def tool_get_product_details(self, product_id):
        return _of(self._before["products"], product_id, "product")

    def tool_get_item_details(self, item_id):
        return self._variant(item_id)[1]

    def tool_list_all_product_types(self):
        return dict(sorted((p["name"], id_) for id_, p in self._before["products"].items()))

    def tool_calculate(self, expression):
        value = Expression(str(expression)).value({})
        if not isinstance(value, int | float):
            raise ToolError("not an arithmetic expression")
        return f"{value:.2f}"

    def tool_transfer_to_human_agents(self, summary):
        return "transferred"

    # --- write

    def tool_cancel_pending_order(self, order_id, reason):
        order = self._order(order_id, "pending")
        if reason not in REASONS:
            raise ToolError(f"the reason must be one of: {', '.join(REASONS)}")
        refunds = []
        for payment in order["payment_history"]:
            refunds.append(_paid("refund", payment["amount"], payment["payment_method_id"]))
            self._give(order["user_id"], payment["payment_method_id"], payment["amount"])
        order.update(status="cancelled", cancel_reason=reason)
        order["payment_history"] += refunds
        return order

    def tool_modify_pending_order_address(self, order_id, address1, address2, city, state, country, zip):
        order = self._order(order_id, "pending", exactly=False)
        order["address"] = _address(address1, address2, city, state, country, zip)
        return order

    def tool_modify_user_address(self, user_id, address1, address2, city, state, country, zip):
        user = self._of("users", user_id, "user")
        user["address"] = _address(address1, address2, city, state, country, zip)
        return user

    def tool_modify_pending_order_payment(self, order_id, payment_method_id):
        order = self._order(order_id, "pending", exactly=False)
        method = self._method(order["user_id"], payment_method_id)
        history = order["payment_history"]
        if len(history) != 1 or history[0]["transaction_type"] != "payment":
            raise ToolError("there is not exactly one payment for the order")
        amount, before = history[0]["amount"], history[0]["payment_method_id"]
        if before == payment_method_id:
            raise ToolError("the new payment method must be different from the current one")
        self._affords(method, amount)
        self._take(method, amount)
        self._give(order["user_id"], before, amount)
        history += [_paid("payment", amount, payment_method_id), _paid("refund", amount, before)]
        return order

    def tool_modify_pending_order_items(self, order_id, item_ids, new_item_ids, payment_method_id):
        order = self._order(order_id, "pending")
        method, pairs, difference = self._swap(order, item_ids, new_item_ids, payment_method_id)
        self._take(method, difference)
        order["payment_history"].append(
            _paid("payment" if difference > 0 else "refund", abs(difference), payment_method_id)
        )
        for old, new in pairs:
            item = next(i for i in order["items"] if i["item_id"] == old)
            item.update(item_id=new["item_id"], price=new["price"], options=new["options"])
        order["status"] = "pending (items modified)"
        return order

    def tool_exchange_delivered_order_items(self, order_id, item_ids, new_item_ids, payment_method_id):
        order = self._order(order_id, "delivered")
        _, pairs, difference = self._swap(order, item_ids, new_item_ids, payment_method_id)
        order.update(
            status="exchange requested", exchange_items=sorted(old for old, _ in pairs),
            exchange_new_items=sorted(new["item_id"] for _, new in pairs),
            exchange_payment_method_id=payment_method_id, exchange_price_difference=difference,
        )  # fmt: skip
        return order

    def tool_return_delivered_order_items(self, order_id, item_ids, payment_method_id):
        order = self._order(order_id, "delivered")
        method = self._method(order["user_id"], payment_method_id)
        paid_with = {p["payment_method_id"] for p in order["payment_history"]}
        if payment_method_id not in paid_with and method["source"] != "gift_card":
            raise ToolError("the refund goes to the original payment method or to a gift card")
        self._own(order, item_ids)
        order.update(
            status="return requested", return_items=sorted(item_ids), return_payment_method_id=payment_method_id
        )
        return order

    # --- rules

    def _order(self, order_id, status, exactly=True):
        order = self._of("orders", order_id, "order")
        if order["status"] != status and (exactly or not order["status"].startswith(status)):
            raise ToolError(f"the order is {order['status']}, not {status}")
        return order

    def _method(self, user_id, payment_method_id):
        return _of(self._of("users", user_id, "user")["payment_methods"], payment_method_id, "payment method")

    def _variant(self, item_id):
        for product in self._before["products"].values():
            if item_id in product["variants"]:
                return product, product["variants"][item_id]
        raise ToolError(f"item {item_id} not found")

    def _own(self, order, item_ids):
        own = [i["item_id"] for i in order["items"]]
        for item_id in item_ids:
            if item_ids.count(item_id) > own.count(item_id):
                raise ToolError(f"item {item_id} is not in the order")
        if not item_ids:
            raise ToolError("no items")

    def _swap(self, order, item_ids, new_item_ids, payment_method_id):
        self._own(order, item_ids)
        if len(item_ids) != len(new_item_ids):
            raise ToolError("as many new items as old ones are needed")
        method, pairs, difference = self._method(order["user_id"], payment_method_id), [], 0.0
        for old, new in zip(item_ids, new_item_ids, strict=True):
            item = next(i for i in order["items"] if i["item_id"] == old)
            product, variant = self._variant(new)
            if product["product_id"] != item["product_id"]:
                raise ToolError(f"item {new} is another product")
            if not variant["available"]:
                raise ToolError(f"item {new} is not available")
            difference += variant["price"] - item["price"]
            pairs.append((old, variant))
        difference = round(difference, 2)
        self._affords(method, difference)
        return method, pairs, difference

    def _affords(self, method, amount):
        if method["source"] == "gift_card" and method["balance"] < amount:
            raise ToolError("the gift card has not enough balance")

    def _take(self, method, amount):
        if method["source"] == "gift_card":
            method["balance"] = round(method["balance"] - amount, 2)

    def _give(self, user_id, payment_method_id, amount):
        self._take(self._method(user_id, payment_method_id), -amount)


def _of(table, key, what):
    if key not in table:
        raise ToolError(f"{what} {key} not found")
    return table[key]


def _address(address1, address2, city, state, country, code):
    return {"address1": address1, "address2": address2, "city": city, "state": state, "country": country, "zip": code}


def _paid(kind, amount, method):
    return {"transaction_type": kind, "amount": amount, "payment_method_id": method}


def database(folder=DATA):
    with gzip.open(folder / "db.json.gz", "rt", encoding="utf-8") as file:
        return json.load(file)


def tools(folder=DATA):
    """What the tools are, by name."""
    found = {}
    for row in json.loads((folder / "tools.json").read_text()):
        f = row["function"]
        effect = "write" if row["effect"] == "write" else "read"
        found[f["name"]] = Tool(name=f["name"], description=f["description"], parameters=f["parameters"], effect=effect,
                                origin="tau-bench")  # fmt: skip
    return found


def tasks(folder=DATA):
    return [json.loads(line) for line in (folder / "tasks.jsonl").read_text().splitlines()]


def practice_tasks(folder=DATA):
    with gzip.open(folder / "practice_tasks.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def after(database, actions):
    """The state after gold actions; one that refuses changes nothing, as in a conversation. Also what was refused."""
    shop, refused = Shop(database), []
    for action in actions:
        try:
            shop.call(action["name"], action["arguments"])
        except ToolError as error:
            refused.append(f"{action['name']}: {error}")
    return shop.snapshot(), refused


def reward(database, task, snapshot, said):
    """1 or 0: the database is as the gold actions leave it, and what is to be communicated was said.

    Args:
        task: of tau2 or of practice.
        snapshot: of the shop after the conversation.
        said: the messages of the agent.
    """
    gold, _ = after(database, task["actions"])
    text = " ".join(said).lower().replace(",", "")
    wanted = task.get("communicate_info") or task.get("outputs") or []
    return float(snapshot == gold and all(str(w).lower().replace(",", "") in text for w in wanted))


def writes(task):
    return any(a["name"].startswith(WRITES) for a in task["actions"])


def check(folder=DATA):
    """What the reward gives for the gold actions, and for doing nothing.

    Raises:
        InputError: the data is missing.
    """
    if not (folder / "db.json.gz").is_file():
        raise InputError(f"{folder} is missing")
    data, rows = database(folder), {}
    for name, group in (("tasks", tasks(folder)), ("practice", practice_tasks(folder))):
        full = nothing = 0
        refused = []
        for task in group:
            state, no = after(data, task["actions"])
            refused += [f"{task['id']}: {n}" for n in no if n.startswith(WRITES)]
            said = [str(w) for w in task.get("communicate_info") or task.get("outputs") or []]
            full += reward(data, task, state, said)
            nothing += reward(data, task, Shop(data).snapshot(), said) if writes(task) else 0
        rows[name] = {"n": len(group), "gold": full, "writing": sum(map(writes, group)), "nothing": nothing,
                      "refused": refused}  # fmt: skip
    return rows


if __name__ == "__main__":
    print(json.dumps(check(), indent=1))
