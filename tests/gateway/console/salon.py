"""Two agents of the example salon in a console's house: real agents, executor, and ledger; the tools are in memory."""

from pathlib import Path

import httpx

from inhouse.agents.agent import Agent
from inhouse.agents.conversing import Conversing
from inhouse.agents.executor import Executor
from inhouse.agents.procedure import read_procedure
from inhouse.agents.understand import Understanding
from inhouse.assembly.team import Team
from inhouse.config.acting import Agent as AgentTable
from inhouse.errors import BackendError
from inhouse.routing.classifier import Prediction
from inhouse.routing.router import Routed
from inhouse.serving.insight import shown_team
from inhouse.tools import Tool, ToolError

PROCEDURES = Path(__file__).parents[3] / "examples" / "salon" / "procedures"
BEGINS = {"gift": ("inquiry", "gift_card"), "voucher": ("inquiry", "gift_card"), "cancel": ("reschedule", "cancel")}
FOUND = {"count": 1, "words": "one appointment", "bookings": [
    {"code": "CL-1005", "service": "haircut", "when": "Friday, March 12 at 10:00", "late": False},
]}  # fmt: skip
TEXT, MONEY = {"type": "string"}, {"type": "number"}


def _tool(name, description, parameters, **rules):
    shape = {"type": "object", "properties": parameters}
    return Tool(name=name, description=description, parameters=shape, origin="python", **rules)


class Acts:
    """A tool that keeps what it was asked; `act` returns its result or raises."""

    def __init__(self, tool, act):
        self.tool, self.act, self.ran = tool, act, []

    async def run(self, arguments, key, caller):
        self.ran.append(dict(arguments))
        return self.act(arguments)


def _lost(arguments):
    raise BackendError("the connection to the booking system was lost")


def _sold(arguments):
    if arguments["email"].endswith("@nowhere.example"):
        raise ToolError("the mail server refused the address")
    return {"number": "GC-1042", "valid_until": "2029-03-09", **arguments}


def tools():
    made = [
        Acts(_tool("sell_gift_card", "Sells a gift card and sends it by e-mail", {"amount_usd": MONEY, "email": TEXT},
                   approval="amount_usd > 100", undo="void_gift_card"), _sold),
        Acts(_tool("find_bookings", "Coming appointments under a phone number", {"phone": TEXT, "code": TEXT},
                   effect="read"), lambda arguments: FOUND),
        Acts(_tool("cancel", "Cancels an appointment", {"phone": TEXT, "code": TEXT}, groups=frozenset()), _lost),
    ]  # fmt: skip
    return {t.tool.name: t for t in made}


def open_salon(house):
    """Puts the salon's agents behind the model "agents" of a house; returns its tools."""
    own = {
        agent: {p.name: p for p in (read_procedure(PROCEDURES / f"{name}.toml") for name in names)}
        for agent, names in {"inquiry": ["gift_card", "price"], "reschedule": ["cancel"]}.items()
    }
    acting = tools()
    house.fleet.executor = Executor(acting, house.calls)
    house.salon = acting

    def begun(text):
        return next((to for word, to in BEGINS.items() if word in text.lower()), ("", ""))

    def choose(text, among):
        name = begun(text)[0]
        sure = name in among
        return Prediction(
            name=name if sure else next(iter(among), ""), probability=0.94 if sure else 0.2, in_scope=sure
        )

    def agent(name):
        def starts(text):
            return {p: 0.95 if begun(text) == (name, p) else 0.02 for p in own[name]}

        return Agent(name, own[name], Understanding(starts), house.fleet.executor, house.custom, list(acting))

    routed = Routed("agents", choose, {name: agent(name) for name in own}, house.custom)
    house.fleet["agents"] = Conversing(routed, house.turns)
    tables = [
        AgentTable(name="inquiry", description="Answers questions about services and prices, and sells gift cards",
                   documents=("services-and-prices.md",)),
        AgentTable(name="reschedule", description="Finds, moves, and cancels appointments", groups=("staff",)),
    ]  # fmt: skip
    described = {name: runs.tool for name, runs in acting.items()}
    house.bank.agents = shown_team(Team(tables, own, described))
    return acting


class Talk:
    """A conversation of a user over the API."""

    def __init__(self, house, who="user", user="anna"):
        self.house, self.user, self.messages, self.last = house, user, [], None
        self.http = httpx.Client(
            base_url=house.url, headers={"Authorization": f"Bearer {house.secrets[who]}"}, timeout=20
        )

    def say(self, text):
        """Says something; returns the answer's text."""
        self.messages.append({"role": "user", "content": text})
        body = {"model": "agents", "messages": self.messages, "user": self.user}
        answer = self.http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return self._heard(answer.json())

    def go_on(self):
        answer = self.http.post(f"/v1/conversations/{self.id}", json={"model": "agents", "user": self.user})
        assert answer.status_code == 200, answer.text
        return self._heard(answer.json())

    def _heard(self, body):
        self.last = body
        text = body["choices"][0]["message"]["content"]
        self.messages.append({"role": "assistant", "content": text})
        return text

    @property
    def id(self):
        return self.last["inhouse"]["conversation"]

    @property
    def approval(self):
        return self.last["inhouse"]["approval"]

    def close(self):
        self.http.close()


def gift(house, amount=150, email="anna@example.com", **talk):
    """A conversation that asks for a gift card and confirms it."""
    said = Talk(house, **talk)
    said.say("I want to buy a gift card")
    said.say(f"${amount}")
    said.say(email)
    said.say("yes please")
    said.close()
    return said


def cancelled(house, **talk):
    """A conversation that cancels an appointment, of which nobody knows whether it happened."""
    said = Talk(house, **talk)
    said.say("I want to cancel my appointment")
    said.say("555-014-2299")
    said.say("yes")
    said.close()
    return said
