"""The choice of a specialist: sticky in a procedure, one hand-off a turn, no circles, groups, fallback, memory."""

import pytest

from inhouse.chat import ChatRequest, Delta, Finish, Note, collect
from inhouse.models.scripted import Scripted
from inhouse.routing.classifier import Prediction
from inhouse.routing.router import CIRCLES, Memory, Routed, circles
from inhouse.types import Message

WORDS = {"book": "booking", "price": "inquiry", "refund": "billing"}


def choose(text, among):
    """A classifier of one word a class: sure where a text has it, out of scope where it has none."""
    found = [agent for word, agent in WORDS.items() if word in text and agent in among]
    rest = 0.02 / max(len(among) - 1, 1)
    if not found:
        return Prediction(name=sorted(among)[0], probabilities=dict.fromkeys(among, 1 / len(among)), score=-9)
    if len(found) > 1:  # unsure between them
        likely = {a: (0.5 if a in found else 0.0) for a in among}
        return Prediction(name=found[0], probability=0.5, probabilities=likely, in_scope=True, score=1)
    likely = {a: 0.98 if a == found[0] else rest for a in among}
    return Prediction(name=found[0], probability=0.98, probabilities=likely, in_scope=True, score=3, margin=1)


class Agent:
    """An agent that says its name; `events` come before that, `state` is what it remembers."""

    def __init__(self, name, *events, state=None):
        self.name, self.events, self.state, self.asked = name, events, state, []

    async def stream(self, request):
        self.asked.append(request)
        for event in self.events:
            yield event
        if not any(isinstance(e, Note) and e.kind == "transfer" for e in self.events):
            yield Delta(text=f"{self.name} here")
        if self.state is not None:
            yield Note(layer="agent", kind="state", data={self.name: self.state})
        yield Finish(reason="stop")


def transfer(to="", why="not mine"):
    return Note(layer="agent", kind="transfer", data={"to": to, "why": why})


def request(*texts, state=None, groups=()):
    messages = tuple(Message(role=("user", "assistant")[n % 2], content=t) for n, t in enumerate(texts))
    return ChatRequest(messages=messages, state=state or {}, groups=frozenset(groups))


@pytest.fixture
def agents():
    return {name: Agent(name) for name in ("booking", "inquiry", "billing")}


@pytest.fixture
def documents():
    return Scripted(lambda r: "from documents", "documents")


def routed(agents, fallback=None, **more):
    return Routed("router", choose, agents, fallback, **more)


async def test_a_message_goes_to_the_agent_that_it_belongs_to(agents, documents):
    reply = await collect(routed(agents, documents), request("what is the price?"))
    assert reply.text == "inquiry here"
    note = reply.note("router", "routed")
    assert (note["agent"], note["model"], note["sticky"]) == ("inquiry", "inquiry", False)
    assert note["score"] == 3
    assert not agents["booking"].asked


async def test_the_state_of_all_is_merged_and_given_once(agents, documents):
    agents["inquiry"].state = {"active": "ask", "asked": "size"}
    before = {"booking": {"active": "book"}, "router": {"agent": "inquiry", "history": []}}
    reply = await collect(routed(agents, documents), request("the price please", state=before))
    states = [n for n in reply.notes if (n.layer, n.kind) == ("agent", "state")]
    assert len(states) == 1
    assert reply.notes[-1] is states[0]
    assert states[0].data == {
        "booking": {"active": "book"}, "inquiry": {"active": "ask", "asked": "size"},
        "router": {"agent": "inquiry", "history": [{"agent": "inquiry", "moved": True}]},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "goes_to"),
    [
        ("Friday at nine", "booking"),  # belongs to nobody: it is the answer
        ("price list", "booking"),  # so short that it may be the answer
        ("before that, what is the price of a haircut", "inquiry"),
        ("before that, what is the price of a haircut?", "booking"),  # any agent answers questions
        ("the price if I book two?", "booking"),  # not clear
        ("book it for two people please", "booking"),
    ],
)
async def test_a_procedure_keeps_the_conversation_unless_another_agent_is_clearly_meant(
    agents, documents, text, goes_to
):
    state = {"router": {"agent": "booking", "history": []}, "booking": {"active": "book", "asked": "day"}}
    reply = await collect(routed(agents, documents), request("book a cut", "Which day?", text, state=state))
    assert reply.text == f"{goes_to} here"
    assert reply.note("router", "routed")["sticky"] == (goes_to == "booking")


async def test_a_short_message_answers_a_question_for_a_yes(agents, documents):
    state = {"router": {"agent": "booking"}, "booking": {"active": "book", "asked": "", "confirming": True}}
    assert (await collect(routed(agents, documents), request("price list", state=state))).text == "booking here"


async def test_a_short_message_may_interrupt_where_no_slot_was_asked_for(agents, documents):
    state = {"router": {"agent": "booking"}, "booking": {"active": "book", "asked": ""}}
    assert (await collect(routed(agents, documents), request("price list", state=state))).text == "inquiry here"


async def test_who_was_interrupted_gets_the_conversation_back(agents, documents):
    state = {
        "router": {"agent": "inquiry", "history": [{"agent": "booking", "moved": True}]},
        "booking": {"active": "book", "asked": "day"}, "inquiry": {"active": ""},
    }  # fmt: skip
    assert (await collect(routed(agents, documents), request("Friday then", state=state))).text == "booking here"


async def test_what_belongs_to_nobody_goes_to_the_fallback(agents, documents):
    reply = await collect(routed(agents, documents), request("who won the match yesterday evening in Turin?"))
    assert reply.text == "from documents"
    note = reply.note("router", "routed")
    assert (note["agent"], note["model"], note["reason"]) == ("", "documents", "belongs to no agent")
    assert reply.note("agent", "state")["router"]["agent"] == ""


async def test_without_a_fallback_a_person_takes_over(agents):
    reply = await collect(routed(agents, handoff="A colleague calls you."), request("who won?"))
    assert reply.text == "A colleague calls you."
    assert reply.note("agent", "handoff") == {"reason": "belongs to no agent"}
    assert reply.note("router", "routed")["model"] == "person"
    assert reply.finish.reason == "stop"


async def test_the_fallback_may_be_an_agent(agents):
    reply = await collect(routed(agents, agents["billing"]), request("who won the match?"))
    assert reply.text == "billing here"
    assert reply.note("router", "routed")["agent"] == "billing"
    assert reply.note("agent", "state")["router"]["agent"] == "billing"


async def test_a_short_message_follows_the_one_before_it(agents, documents):
    model = routed(agents, documents)
    texts = ("what is the price of a cut?", "It is $30.", "and for kids?")
    state = {"router": {"agent": "inquiry", "history": []}}
    assert (await collect(model, request(*texts, state=state))).text == "inquiry here"
    assert (await collect(model, request(*texts))).text == "inquiry here"  # also where nothing is remembered
    other = {"router": {"agent": "booking", "history": []}}
    assert (await collect(model, request(*texts, state=other))).text == "from documents"


async def test_a_topic_that_ended_binds_nobody_but_where_two_agents_fit(agents, documents):
    state = {"router": {"agent": "inquiry", "history": []}, "inquiry": {"active": ""}}
    model = routed(agents, documents)
    assert (await collect(model, request("book a cut", state=state))).text == "booking here"
    assert (await collect(model, request("book at that price", state=state))).text == "inquiry here"


async def test_agents_of_other_groups_are_no_candidates_not_even_as_fallback_or_by_transfer(agents):
    agents["inquiry"].events = (transfer("billing"),)
    model = routed(agents, agents["billing"], groups={"billing": frozenset(["staff"])})
    assert (await collect(model, request("I want a refund", groups=["staff"]))).text == "billing here"
    for text in ("I want a refund", "what is the price?"):
        reply = await collect(model, request(text, state={"router": {"agent": "billing"}, "billing": {"active": "x"}}))
        assert reply.note("agent", "handoff")
    assert len(agents["billing"].asked) == 1


async def test_an_agent_hands_over_once_in_a_turn_and_its_state_is_kept(agents, documents):
    agents["inquiry"].events, agents["inquiry"].state = (transfer("booking"), Delta(text="lost")), {"active": ""}
    reply = await collect(routed(agents, documents), request("what is the price?"))
    assert reply.text == "booking here"
    assert [n.data["agent"] for n in reply.notes if n.layer == "router"] == ["inquiry", "booking"]
    state = reply.note("agent", "state")
    assert state["inquiry"] == {"active": ""}
    assert state["router"] == {"agent": "booking", "history": [{"agent": "booking", "moved": False}]}
    assert not [n for n in reply.notes if n.kind == "transfer"]

    agents["booking"].events = (transfer("billing"),)
    reply = await collect(routed(agents, documents), request("what is the price?"))
    assert reply.text == "from documents"
    assert not agents["billing"].asked


@pytest.mark.parametrize("to", ["", "nobody", "inquiry"])
async def test_without_a_name_that_can_be_asked_the_router_chooses_among_the_others(agents, documents, to):
    agents["inquiry"].events = (transfer(to),)
    model = routed(agents, documents)
    assert (await collect(model, request("the price is wrong, refund me and refund my wife"))).text == "billing here"
    assert (await collect(model, request("what is the price?"))).text == "from documents"


async def test_a_fallback_that_passes_on_ends_at_a_person(agents):
    agents["billing"].events = (transfer("inquiry"),)
    agents["inquiry"].events = (transfer("billing"),)
    reply = await collect(routed(agents, agents["billing"]), request("who won the match?"))
    assert reply.note("agent", "handoff")["reason"].startswith("inquiry passed it on")
    assert (len(agents["billing"].asked), len(agents["inquiry"].asked)) == (1, 1)
    stubborn = Agent("documents", transfer("inquiry"))
    reply = await collect(routed({}, stubborn), request("who won?"))
    assert reply.note("agent", "handoff")
    assert len(stubborn.asked) == 1


@pytest.mark.parametrize(
    ("history", "agent", "circle"),
    [
        ([("a", False), ("b", False), ("a", False)], "b", True),
        ([("a", False), ("b", True), ("a", False)], "b", False),
        ([("a", False), ("b", False), ("a", False)], "c", False),
        ([("a", False), ("a", False), ("a", False)], "a", False),
        ([("b", False), ("a", False)], "b", False),
        ([("", False), ("b", False), ("", False)], "b", True),
        ([("a", False), ("", False), ("a", False)], "", False),
    ],
)
def test_a_circle_is_four_turns_of_two_agents_that_get_nowhere(history, agent, circle):
    assert circles(history, agent) == circle


async def test_a_conversation_that_is_passed_to_and_fro_ends_at_the_fallback(agents, documents):
    """Each of two agents gives the message to the other one, whichever it is."""
    model, state, replies = routed(agents, documents), {}, []
    wishes = ["what is the price?", "no, I want to book a chair for Friday", "so what is the price then, please",
              "no, I want to book a chair for Friday"]  # fmt: skip
    for wish in wishes:
        agents["inquiry"].events = (transfer("booking"),) if "price" in wish else ()
        agents["booking"].events = () if "price" in wish else (transfer("inquiry"),)
        reply = await collect(model, request(wish, state=state))
        state = reply.note("agent", "state")
        replies.append(reply)
    assert [r.text for r in replies] == ["booking here", "inquiry here", "booking here", "from documents"]
    assert replies[-1].note("router", "routed")["reason"] == CIRCLES


async def test_questions_to_two_agents_in_turn_are_no_circle(agents, documents):
    model, state = routed(agents, documents), {}
    for text in ["the price?", "book a cut", "the price?", "book a cut", "the price?"]:
        reply = await collect(model, request(text, state=state))
        state = reply.note("agent", "state")
        assert reply.text in ("inquiry here", "booking here")


async def test_nothing_said_and_no_agents_go_to_the_fallback(agents, documents):
    assert (await collect(routed(agents, documents), request("   "))).text == "from documents"
    assert (await collect(routed(agents, documents), ChatRequest(messages=()))).text == "from documents"
    assert (await collect(routed({}, documents), request("book a cut"))).text == "from documents"


async def test_other_notes_and_the_end_of_an_agent_pass(agents, documents):
    step = Note(layer="agent", kind="step", data={"tool": "free_times"})
    agents["booking"].events = (step,)
    reply = await collect(routed(agents, documents), request("book a cut"))
    assert step in reply.notes
    assert (reply.text, reply.finish.reason) == ("booking here", "stop")


@pytest.mark.parametrize(
    "state", [None, [], "x", {"history": [3, {"agent": 1}]}, {"history": None}, {"history": "ab"}, {"agent": None}]
)
def test_what_is_remembered_may_be_damaged(state):
    memory = Memory.of(state)
    assert memory.agent == ""
    assert memory.after("a", True)["history"][-1] == {"agent": "a", "moved": True}


def test_the_history_stays_short():
    state = {}
    for n in range(50):
        state = Memory.of(state).after(str(n), True)
    assert len(state["history"]) == 8


async def test_after_a_decision_who_waits_goes_on(agents, documents):
    model = routed(agents, documents)
    had = {"router": {"agent": "inquiry", "history": [{"agent": "inquiry", "moved": True}]}}
    for state, expected in (({"billing": {"active": "refund"}, **had}, "billing"), (had, "inquiry")):
        reply = await collect(model, ChatRequest(messages=(), state=state))
        assert reply.note("router", "routed")["agent"] == expected
