"""The retail tasks of tau-bench by a procedure, and by one big prompt with the same weights.

Three sets: the practice tasks of tau-bench, whose customers want changes of orders; the tasks of tau2 with customers
who know what the gold actions change; and the tasks of tau2 with customers who say why they call in the task's words,
with its conditions and changes of mind. The users of the first two are scripted for the procedure: they say each thing
when it is asked for. A user that a model plays would speak more freely, and be harder, so that these figures do not
compare with those of tau-bench.
"""

import ast
import asyncio
import json
import random
import re
from contextlib import nullcontext
from pathlib import Path

import tau_retail
from small_models import kept, opened

from inhouse.agents.agent import Agent
from inhouse.agents.call_grammar import call_schema
from inhouse.agents.procedure import read_procedure
from inhouse.agents.understand import Understanding
from inhouse.chat import ChatRequest, Delta, Finish, Note, collect
from inhouse.evaluation.acting import Opened, Task, pass_hat, tried
from inhouse.evaluation.compare import Sample
from inhouse.evaluation.users import ScriptedUser, UserTurn
from inhouse.tools import Call, ToolError
from inhouse.types import Message

PROCEDURE = Path(__file__).parent / "tau_retail.toml"
WISHES = {"cancel": "cancel an order", "return": "return", "exchange": "exchange", "modify": "change items",
          "address": "change address", "payment": "change payment"}  # fmt: skip
_EMAIL = re.compile(r"[\w.]+@[\w.]+\w")
_ZIP = re.compile(r"\b\d{5}\b")
_REQUESTS = re.compile(
    r"Return (?P<r>#W\d{7}) via (?P<rp>\w+): (?P<ri>[^.]*?);? *(?=Return|Cancel|For|$)"
    r"|Cancel order (?P<c>#W\d{7}) because (?P<why>no longer needed|ordered by mistake)\."
    r"|For (?P<o>#W\d{7}), (?:change address to (?P<address>\{.*?\})(?: \(same as #W\d{7}\))?\."
    r"|change payment to (?P<payment>\w+)\.|(?P<kind>exchange|modify) (?P<items>.*?); ?(?:via (?P<p>\w+)\.)?"
    r" *(?=Return|Cancel|For|$))"
)
_SWAP = re.compile(r"(?P<name>[^{};]+?) (?P<old>\{[^{}]*\}) to (?P<new>\{[^{}]*\})")
_ADDRESS = ("address1", "address2", "city", "state", "country", "zip")


class Front:
    """The shop, with the tools that read what a customer writes: all of them only read."""

    def __init__(self, database):
        self.shop = tau_retail.Shop(database)

    def snapshot(self):
        return self.shop.snapshot()

    async def run(self, tool, arguments):
        own = getattr(self, f"own_{tool}", None)
        return own(**arguments) if own else self.shop.call(tool, arguments)

    def own_identify(self, text):
        if found := _EMAIL.search(text):
            id_ = self.shop.call("find_user_id_by_email", {"email": found[0]})
        elif zip_ := _ZIP.search(text):
            names = re.findall(r"[A-Z][a-z]+", text)[-2:] if zip_ else []
            if len(names) < 2:
                raise ToolError("the full name is missing")
            id_ = self.shop.call("find_user_id_by_name_zip",
                                 {"first_name": names[0], "last_name": names[1], "zip": zip_[0]})  # fmt: skip
        else:
            raise ToolError("no email address, and no zip code")
        user = self.shop.call("get_user_details", {"user_id": id_})
        return {"user_id": id_, "payments": list(user["payment_methods"])}

    def own_find_variant(self, item_id, text):
        """The available variant that differs from an item in what the text names."""
        product, now = self.shop._variant(item_id)
        said = _bare(text)
        values = {}
        for variant in product["variants"].values():
            for option, value in variant["options"].items():
                values.setdefault(option, set()).add(value)
        wanted = dict(now["options"])
        for option, known in values.items():
            named = [v for v in known if _bare(v) in said]
            if named:
                wanted[option] = max(named, key=len)
        for variant in product["variants"].values():
            if variant["available"] and variant["options"] == wanted:
                return variant
        raise ToolError("there is no such item in stock")

    def own_note_item(self, name, item_id, new_item_id="", options=None, so_far=None):
        name = f"{name} (to {', '.join(options.values())})" if options else name
        so_far = so_far or {"names": [], "old": [], "new": []}
        return {"names": [*so_far["names"], name], "old": [*so_far["old"], item_id],
                "new": [*so_far["new"], new_item_id] if new_item_id else so_far["new"]}  # fmt: skip

    def own_read_address(self, text):
        parts = [p.strip() for p in text.split(",")]
        if len(parts) != len(_ADDRESS):
            raise ToolError("the address needs two lines, city, state, country, and zip code")
        return dict(zip(_ADDRESS, parts, strict=True))


def _bare(text):
    return f" {' '.join(re.findall('[a-z0-9.]+', text.lower()))} "


class Runner:
    """Runs the tools of the state that the agent is in."""

    def __init__(self, front):
        self._front = front

    async def run(self, proposal, caller, allowed):
        if proposal.tool not in allowed:
            return Call(proposal=proposal, status="declined", why="not allowed here")
        try:
            result = await self._front.run(proposal.tool, proposal.arguments)
        except ToolError as error:
            return Call(proposal=proposal, status="failed", why=str(error))
        return Call(proposal=proposal, status="done", result=result)

    async def resume(self, key, caller):
        raise NotImplementedError


def by_procedure(database, model):
    """A fresh agent and shop; `model` understands what code cannot read, None for code alone."""
    procedure = read_procedure(PROCEDURE)

    async def one():
        front = Front(database)
        understanding = Understanding(lambda text: {procedure.name: 1.0}, model)
        return Opened(Agent("retail", {procedure.name: procedure}, understanding, Runner(front)), front)

    return one


class OnePrompt:
    """A ChatModel: the policy and the tools in one prompt, and a grammar of one call or one reply at a time."""

    MOST_CALLS = 6  # in one turn

    def __init__(self, model, front, tools, policy):
        self.name, self._model, self._front = "one-prompt", model, front
        shown = "\n".join(f"{t.name}({', '.join(t.parameters['properties'])}): {t.description[:160]}"
                          for t in tools.values())  # fmt: skip
        answer = 'Answer with JSON: {"say": TEXT} or {"tool": NAME, "arguments": {...}}.'
        self._system = f"{policy}\n\nTools:\n{shown}\n\n{answer}"
        calls = call_schema({t.name: t.parameters for t in tools.values()})["anyOf"][:-1]  # it says "none" in words
        say = {"type": "object", "properties": {"say": {"type": "string", "maxLength": 300}}, "required": ["say"],
               "additionalProperties": False}  # fmt: skip
        self._schema = {"anyOf": [say, *calls]}

    async def stream(self, request):
        log = list(request.state.get(self.name) or [])
        log.append(f"Customer: {request.messages[-1].content}")
        text = ""
        for _ in range(self.MOST_CALLS):
            messages = (Message(role="system", content=self._system), Message(role="user", content="\n".join(log)))
            reply = await collect(self._model, ChatRequest(messages=messages, max_tokens=160, json_schema=self._schema))
            yield Note(layer="agent", kind="step", data={"kind": "understood", "model_calls": 1})
            try:
                value = json.loads(reply.text)
            except ValueError:
                break
            if "say" in value:
                text = value["say"]
                break
            try:
                result, status = await self._front.run(value["tool"], value["arguments"]), "done"
            except ToolError as error:
                result, status = str(error), "failed"
            data = {"kind": "call", "tool": value["tool"], "arguments": value["arguments"], "status": status}
            yield Note(layer="agent", kind="step", data=data)
            log += [f"You called {reply.text}", f"Result: {json.dumps(result)[:600]}"]
        log.append(f"You: {text}")
        yield Delta(text=text)
        yield Note(layer="agent", kind="state", data={self.name: log})
        yield Finish(reason="stop")


def by_one_prompt(database, model):
    tools = tau_retail.tools()
    policy = (tau_retail.DATA / "policy.md").read_text()

    async def one():
        front = Front(database)
        return Opened(OnePrompt(model, front, tools, policy), front)

    return one


# --- scripted users -----------------------------------------------------------------------------------------------


def practice_user(task):
    """The turns of a practice task's customer; None where its instruction has another form."""
    text = task["instruction"]
    name = re.search(r"name is ([A-Z]\w+ [A-Z]\w+)", text)
    email, code = _EMAIL.search(text), re.search(r"zip code is (\d{5})", text)
    lists = {k: [] for k in ("wish", "order", "reason", "item", "new", "another", "pay", "address")}
    for m in _REQUESTS.finditer(text):
        lists["order"].append(m["r"] or m["c"] or m["o"])
        if m["c"]:
            lists["wish"].append(WISHES["cancel"])
            lists["reason"].append(m["why"])
        elif m["address"]:
            lists["wish"].append(WISHES["address"])
            address = ast.literal_eval(m["address"])
            lists["address"].append(", ".join(address[k] for k in _ADDRESS))
        elif m["payment"]:
            lists["wish"].append(WISHES["payment"])
            lists["pay"].append(m["payment"])
        else:
            swaps = list(_SWAP.finditer(m["items"])) if m["items"] else []
            names = [s["name"].strip("; ") for s in swaps] or [i.strip() for i in (m["ri"] or "").split(";")]
            names = [n for n in names if n]
            lists["wish"].append(WISHES[m["kind"] or "return"])
            lists["item"] += names
            lists["new"] += [" ".join(ast.literal_eval(s["new"]).values()) or "the same" for s in swaps]
            lists["another"] += ["yes"] * (len(names) - 1) + ["no"]
            lists["pay"].append(m["rp"] or m["p"] or "")
    if len(lists["wish"]) != len(task["actions"]) or not name or not all(lists["pay"]):
        return None
    who = email[0] if email else f"My name is {name[1]}, zip code {code[1] if code else ''}"
    return _asked_for(lists, who)


def tau2_user(task):
    """The turns of a tau2 task's customer: says why it calls, in the first person, whenever nothing else is asked."""
    scenario = task["scenario"]
    why = _first_person(scenario["reason_for_call"])
    known = scenario.get("known_info") or ""
    email, code = _EMAIL.search(known), _ZIP.search(known)
    name = re.search(r"[Yy]ou(?:r name is| are) ([A-Z]\w+ [A-Z]\w+)", known)
    who = email[0] if email else f"My name is {name[1] if name else '?'}, zip code {code[0] if code else '?'}"
    orders = tuple(dict.fromkeys(re.findall(r"#W\d{7}", scenario["reason_for_call"])))
    answers = {
        "email address|full name": who, "order number": orders, "confirm": "yes", "anything else": "no",
        "default": why,
    }  # fmt: skip
    return (UserTurn(say=why), UserTurn(answers={k: v for k, v in answers.items() if v}))


def guided_user(task, database):
    """The turns of a tau2 task's customer who knows what the gold actions change, and says it when asked."""
    lists = {k: [] for k in ("wish", "order", "reason", "item", "new", "another", "pay", "address")}
    shop = tau_retail.Shop(database)
    for action in task["actions"]:
        name, given = action["name"], action["arguments"]
        if not name.startswith(tau_retail.WRITES) or name == "modify_user_address":
            continue
        order = shop.call("get_order_details", {"order_id": given["order_id"]})
        kind = {"c": "cancel", "r": "return", "e": "exchange"}.get(name[0]) or name.rsplit("_", 1)[1]
        lists["wish"].append(WISHES.get(kind, WISHES["modify"]))
        lists["order"].append(given["order_id"])
        if kind == "cancel":
            lists["reason"].append(given["reason"])
        elif kind == "address":
            lists["address"].append(", ".join(given[k] for k in _ADDRESS))
        else:
            lists["pay"].append(given["payment_method_id"])
        old = given.get("item_ids", [])
        names = {i["item_id"]: i["name"] for i in order["items"]}
        lists["item"] += [names.get(i, "?") for i in old]
        lists["new"] += [" ".join(shop._variant(i)[1]["options"].values()) for i in given.get("new_item_ids", [])]
        lists["another"] += ["yes"] * (len(old) - 1) + ["no"] * bool(old)
    user = shop.call("get_user_details", {"user_id": _user_of(task, shop)})
    name = user["name"]
    return _asked_for(lists, f"My name is {name['first_name']} {name['last_name']}, zip code {user['address']['zip']}")


def _user_of(task, shop):
    """The user whose orders or address the gold actions change."""
    for action in task["actions"]:
        given = action["arguments"]
        if action["name"].startswith(tau_retail.WRITES):
            return given.get("user_id") or shop.call("get_order_details", {"order_id": given["order_id"]})["user_id"]
    raise ValueError(task["id"])


def _asked_for(lists, who):
    """A customer who says each thing when it is asked for."""
    keys = {"wish": "would you like", "order": "order number|order id", "reason": "reason", "new": "new one",
            "item": "which item|which items", "another": "another item", "pay": "payment method",
            "address": "address"}  # fmt: skip
    answers = {keys[k]: tuple(v) for k, v in lists.items() if v}
    more = tuple(["yes"] * (len(lists["wish"]) - 1) + ["no"])
    answers |= {"email address|full name": who, "anything else": more, "confirm": "yes"}
    return UserTurn(say="Hello, I need help with my orders."), UserTurn(answers=answers)


def _first_person(text):
    for a, b in ((r"\bYou are\b", "I am"), (r"\byou are\b", "I am"), (r"\bYour\b", "My"), (r"\byour\b", "my"),
                 (r"\bYou\b", "I"), (r"\byou\b", "I")):  # fmt: skip
        text = re.sub(a, b, text)
    return text


# --- runs ---------------------------------------------------------------------------------------------------------


async def rewarded(database, task, turns, one):
    """A conversation, and its reward."""
    found = []

    async def watched():
        found.append(await one())
        return found[-1]

    trial = await tried(Task(id=str(task["id"]), user=turns), watched, ScriptedUser(turns), most_turns=30)
    said = [m.content for m in trial.talk if m.role == "assistant"]
    return tau_retail.reward(database, task, found[0].world.snapshot(), said), trial


def measured(name, database, chosen, one, trials):
    rows = []
    for n, (task, turns) in enumerate(chosen, 1):
        own = [asyncio.run(rewarded(database, task, turns, one)) for _ in range(trials)]
        rows.append({"id": task["id"], "passed": [r == 1.0 for r, _ in own], "turns": own[0][1].turns,
                     "model_calls": own[0][1].model_calls, "seconds": own[0][1].seconds, "failed": own[0][1].failed,
                     "talk": [[m.role, m.content] for m in own[0][1].talk]})  # fmt: skip
        if n % 10 == 0 or own[0][1].seconds > 30:
            print(f"  {name} {n} of {len(chosen)}: {sum(r['passed'][0] for r in rows)} passed", flush=True)
    passed = [r["passed"] for r in rows]
    share = Sample(7).estimate([float(sum(p)) / len(p) for p in passed])
    hats = {k: pass_hat(passed, k) for k in range(1, trials + 1)}
    calls, turns = (sum(r[k] for r in rows) / len(rows) for k in ("model_calls", "turns"))
    print(f"{name}: n {len(rows)}, pass^1 {100 * share.mean:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f}), "
          f"pass^k {[round(100 * v, 1) for v in hats.values()]}, {calls:.1f} model calls and {turns:.1f} turns",
          flush=True)  # fmt: skip
    return {"n": len(rows), "pass_hat": hats, "interval": share.model_dump(), "model_calls": calls, "rows": rows}


def run(sizes, most, trials, names):
    if not (tau_retail.DATA / "db.json.gz").is_file():
        print(f"{tau_retail.DATA} is missing: skipped")
        return
    database = tau_retail.database()
    practice = [(t, turns) for t in tau_retail.practice_tasks() if (turns := practice_user(t))]
    tau2 = [(t, tau2_user(t)) for t in tau_retail.tasks()]
    guided = [(t, guided_user(t, database)) for t in tau_retail.tasks() if tau_retail.writes(t)]
    print(f"{len(practice)} of the practice tasks have an instruction of the usual form")
    random.Random(7).shuffle(practice)
    for size in sizes:
        results = {}
        with opened(size, 8192) if size != "none" else nullcontext() as chooser:
            model = chooser.model if chooser else None
            for kind, chosen in (("practice", practice), ("tau2 guided", guided), ("tau2", tau2)):
                for arm, make in (("procedure", by_procedure), ("one-prompt", by_one_prompt)):
                    if arm in names and (model or arm == "procedure"):
                        label = f"{size} {kind} {arm}"
                        results[f"{kind} {arm}"] = measured(
                            label, database, chosen[:most], make(database, model), trials
                        )
        kept(f"agents_tau_{size}.json", results)
