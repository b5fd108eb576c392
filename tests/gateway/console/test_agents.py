"""Approvals, agents and their runs in the console: who decides on what, what is shown of it, and what is erased."""

import re

import pytest
from salon import Acts, Talk, cancelled, gift, open_salon

from inhouse.gateway.console.seams import AgentLine, Team, ToolLine
from inhouse.store.tables import now_ms
from inhouse.tools import Call, Caller, Proposal, Tool
from inhouse.types import Json

LATER = now_ms() + 3_600_000


@pytest.fixture(scope="module")
def salon(house):
    open_salon(house)
    return house


def post(client, path, **form):
    return client.post(f"/console/{path}", data={"csrf": client.token, **form}, follow_redirects=True)


def waiting(house, tool="sell_gift_card", groups=(), status="proposed", why="it needs an approval", **arguments: Json):
    """A call that waits for a person."""
    at = Proposal(conversation=f"c{now_ms()}", turn=1, ordinal=len(arguments), tool=tool, arguments=arguments)
    described = house.salon[tool].tool.digest if tool in house.salon else ""
    caller = Caller(user="ann", key=house.keys.create("ann", "user", groups)[0].id, groups=frozenset(groups))
    call = house.calls.propose(Call(proposal=at, tool_digest=described, caller=caller, why=why))
    if status == "unknown":
        house.calls.start(call.key, now_ms(), False)
        call = house.calls.end(call.key, "unknown", why="the line was cut")
    return call


def test_a_reviewer_approves_and_sees_what_came_of_it(salon):
    asked = gift(salon)
    client, key = salon.client("reviewer"), asked.approval
    listed = client.get("/console/inbox/approvals").text
    assert f"inbox/call?key={key}" in listed
    assert "anna@example.com" in listed
    page = client.get(f"/console/inbox/call?key={key}").text
    assert "sell_gift_card needs an approval if amount_usd &gt; 100" in page
    assert "Sells a gift card and sends it by e-mail" in page
    before = len(salon.salon["sell_gift_card"].ran)
    done = post(client, "inbox/call", key=key, decision="approve")
    assert "Approved. The call succeeded." in done.text
    assert "GC-1042" in done.text
    assert len(salon.salon["sell_gift_card"].ran) == before + 1
    call = salon.calls.get(key)
    assert (call.status, call.by) == ("done", "Ines Okafor")
    approved = salon.audit.actions(about=key, what=["call approved"])[0]
    assert (approved.by.name, approved.by.id) == ("Ines Okafor", salon.made["reviewer"][0].id)
    actions = salon.client("admin").get("/console/actions?kind=Calls of tools").text
    assert f"/console/inbox/call?key={key}" in actions
    again = post(client, "inbox/call", key=key, decision="decline", why="too late")
    assert again.status_code == 409
    assert "It does not wait for that any more: it is done by Ines Okafor." in again.text
    assert len(salon.salon["sell_gift_card"].ran) == before + 1


def test_a_decline_needs_a_reason_and_the_user_is_told(salon):
    talk = Talk(salon, user="mia")
    for text in ("I want to buy a gift card", "$250", "mia@example.com", "yes"):
        talk.say(text)
    client, key = salon.client("admin"), talk.approval
    refused = post(client, "inbox/call", key=key, decision="decline", why="  ")
    assert (refused.status_code, salon.calls.get(key).status) == (422, "proposed")
    assert "Write why it is declined" in refused.text
    assert "Declined." in post(client, "inbox/call", key=key, decision="decline", why="The account is new.").text
    call = salon.calls.get(key)
    assert (call.status, call.why, call.by) == ("declined", "The account is new.", "Dana Whitfield")
    told = talk.go_on()
    talk.close()
    assert "A gift card can be from $20 to $300." in told, "the procedure goes on where it says for a call that fails"
    run = client.get(f"/console/run?id={talk.id}").text
    assert "Declined by Dana Whitfield" in run


@pytest.mark.parametrize(("decision", "status"), [("happened", "done"), ("did_not_happen", "failed")])
def test_what_became_of_an_unknown_call_is_recorded(salon, decision, status):
    client, call = salon.client("reviewer"), waiting(salon, "cancel", status="unknown", code="CL-1")
    page = client.get(f"/console/inbox/call?key={call.key}").text
    assert "Did this happen?" in page
    assert call.key in page
    assert "the line was cut" in page
    assert post(client, "inbox/call", key=call.key, decision="approve").status_code == 409
    said = post(client, "inbox/call", key=call.key, decision=decision, why="I called them.").text
    assert "Recorded: it" in said
    ended = salon.calls.get(call.key)
    assert (ended.status, ended.why) == (status, "I called them.")
    assert f"{status} by Ines Okafor" in said
    assert not any(c.key == call.key for c in salon.calls.waiting())


def test_a_running_call_is_not_ended_by_a_person(salon):
    call = waiting(salon, "cancel", code="CL-2")
    salon.calls.start(call.key, LATER, False)
    for decision in ("happened", "did_not_happen", "approve"):
        assert post(salon.client("admin"), "inbox/call", key=call.key, decision=decision).status_code == 409
    assert salon.calls.get(call.key).status == "started"
    salon.calls.end(call.key, "done")


def test_an_approved_call_that_fails_or_may_not_run_any_more_says_why(salon):
    client = salon.client("reviewer")
    failing = waiting(salon, amount_usd=150, email="x@nowhere.example")
    said = post(client, "inbox/call", key=failing.key, decision="approve").text
    assert "Approved, but it failed. The mail server refused the address." in said
    wrong = waiting(salon, amount_usd="much", email="a@b.example", other=1)
    said = post(client, "inbox/call", key=wrong.key, decision="approve").text
    assert re.search(r"Approved, but it was not run\. Arguments: .*(other|much)", said)
    assert salon.calls.get(wrong.key).status == "declined"
    gone = waiting(salon, "no_such_tool")
    assert "It could not be run yet" in post(client, "inbox/call", key=gone.key, decision="approve").text
    salon.calls.decline(gone.key, "Dana", "a test")


def test_others_groups_calls_do_not_exist_for_a_reviewer(salon):
    call = waiting(salon, groups=["staff"], amount_usd=500, email="secret@example.com")
    reviewer, admin = salon.client("reviewer"), salon.client("admin")
    assert "secret@example.com" not in reviewer.get("/console/inbox/approvals").text
    assert reviewer.get(f"/console/inbox/call?key={call.key}").status_code == 404
    for decision in ("approve", "decline", "happened"):
        assert post(reviewer, "inbox/call", key=call.key, decision=decision, why="x").status_code == 404
    assert salon.calls.get(call.key).status == "proposed"
    assert salon.client("user").get(f"/console/inbox/call?key={call.key}").status_code == 403
    assert "secret@example.com" in admin.get("/console/inbox/approvals").text
    token = admin.token
    assert admin.post("/console/inbox/call", data={"key": call.key, "decision": "approve"}).status_code == 403
    assert salon.calls.get(call.key).status == "proposed"
    admin.token = token
    assert "Approved" in post(admin, "inbox/call", key=call.key, decision="approve").text


def test_the_menu_counts_what_may_be_decided(salon):
    def count(client):
        found = re.search(r'count">(\d+)<', client.get("/console/playground").text)
        return int(found[1]) if found else 0

    reviewer, admin = salon.client("reviewer"), salon.client("admin")
    before = count(reviewer), count(admin)
    theirs, own = waiting(salon, groups=["staff"], amount_usd=1.5), waiting(salon, amount_usd=2.5, email="a@b.example")
    assert (count(reviewer), count(admin)) == (before[0] + 1, before[1] + 2)
    for call in (theirs, own):
        salon.calls.decline(call.key, "Dana", "a test")
    assert (count(reviewer), count(admin)) == before


def test_a_run_is_shown_turn_by_turn(salon):
    asked = cancelled(salon)
    client = salon.client("reviewer")
    exchange = asked.last["inhouse"]["id"]
    assert (
        f'/console/run?id={asked.id}#turn-3">Show the run' in client.get(f"/console/audit/exchange?id={exchange}").text
    )
    page = client.get(f"/console/run?id={asked.id}").text
    for text in ("I want to cancel my appointment", "begin cancel", "phone = ...", "find_bookings", "outcome unknown",
                 "start → ", "To a person: a tool may or may not have run", "CL-1005", "read by code"):  # fmt: skip
        assert text in page, text
    told = re.sub(r"<[^>]+>", "", page)
    assert told.count("555-014-2299") == 1, "what the user wrote; in steps the slot is sensitive"
    assert f"audit/exchange?id={exchange}" in page


def test_a_run_is_for_those_who_may_read_its_conversation(salon):
    asked = gift(salon, 40, who="staff", user="tom")
    assert salon.client("admin").get(f"/console/run?id={asked.id}").status_code == 200
    assert salon.client("reviewer").get(f"/console/run?id={asked.id}").status_code == 404
    assert salon.client("user").get(f"/console/run?id={asked.id}").status_code == 403
    assert salon.client("admin").get("/console/run?id=nothing").status_code == 404
    lost = waiting(salon, groups=["staff"], amount_usd=7, email="hidden@example.com")
    run = f"/console/run?id={lost.proposal.conversation}"
    assert salon.client("reviewer").get(run).status_code == 404, "a call without a turn still says whose it is"
    salon.calls.decline(lost.key, "Dana", "a test")


def test_what_was_redacted_is_shown_as_erased(salon):
    asked = gift(salon, 150, "eve@example.com", user="eve")
    third = next(t for t in salon.turns.of(asked.id) if t.number == 3)
    before = salon.client("admin").get(f"/console/run?id={asked.id}").text
    assert "eve@example.com" in before
    salon.audit.redact(third.exchange, "Dana", "the user asked for it")
    assert [t.number for t in salon.turns.of(asked.id)] == [1, 2]
    assert salon.turns.erased(asked.id) == [3, 4]
    page = salon.client("admin").get(f"/console/run?id={asked.id}").text
    assert "eve@example.com" not in page
    assert page.count("was erased on request") == 2
    assert 'class="badge">erased' in page
    assert salon.audit.verify().ok


def test_agents_are_shown_with_procedures_tools_and_runs(salon):
    asked = gift(salon, 30, user="zoe")
    client = salon.client("admin")
    team = client.get("/console/agents").text
    assert "Finds, moves, and cancels appointments" in team
    assert f"/console/run?id={asked.id}" in team
    agent = client.get("/console/agents/agent?name=inquiry").text
    assert agent.count("<svg xmlns") == 2
    assert "Procedure: Buy a gift card" in agent
    assert "amount_usd &gt; 100" in agent
    assert f"/console/run?id={asked.id}" in agent
    other = client.get("/console/agents/agent?name=reschedule").text
    assert f"/console/run?id={asked.id}" not in other
    assert client.get("/console/agents/agent?name=nobody").status_code == 404
    assert salon.client("reviewer").get("/console/agents").status_code == 403


def test_without_agents_the_pages_say_so(house_of, tmp_path):
    house = house_of(tmp_path)
    try:
        client = house.client("admin")
        assert "No agents" in client.get("/console/agents").text
        assert "Nothing waits for a decision" in client.get("/console/inbox/approvals").text
        house.state.calls = house.state.turns = None
        assert "Approvals<" not in client.get("/console/inbox").text
        assert "No runs yet" in client.get("/console/agents").text
        assert client.get("/console/run?id=x").status_code == 404
    finally:
        house.close()


ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"


def test_hostile_names_and_arguments_are_text(salon, visit):
    anything = Tool(name=ATTACK, approval="always", parameters={"properties": {ATTACK: {}, "deep": {}}})
    salon.salon[ATTACK] = Acts(anything, lambda arguments: {ATTACK: ATTACK})
    call = waiting(salon, ATTACK, why=ATTACK, **{ATTACK: ATTACK, "deep": {"a": [ATTACK]}})
    unknown = waiting(salon, ATTACK, status="unknown", **{ATTACK: ATTACK})
    talk = Talk(salon, user=ATTACK)
    talk.say(f"gift {ATTACK}")
    talk.close()
    team = salon.bank.agents
    hostile = AgentLine(name=ATTACK, description=ATTACK, groups=frozenset({ATTACK}), documents=(ATTACK,), procedures=(
        team.agents[0].procedures[0].model_copy(update={"name": ATTACK, "title": ATTACK, "examples": (ATTACK,)}),
    ), tools=(ToolLine(name=ATTACK, description=ATTACK, approval=ATTACK, check=ATTACK, origin=ATTACK),))  # fmt: skip
    salon.bank.agents = Team(agents=(*team.agents, hostile), fallback="documents")
    pages = ["inbox/approvals", f"inbox/call?key={call.key}", f"inbox/call?key={unknown.key}", f"run?id={talk.id}",
             f"run?id={call.proposal.conversation}", "agents", "agents/agent?name=inquiry"]  # fmt: skip
    try:
        with visit(salon, "admin") as tab:
            for page in pages:
                tab.page.goto(f"/console/{page}")
                _nothing_runs(tab, page)
            tab.page.goto("/console/agents")
            tab.page.get_by_role("link", name=ATTACK).click()
            _nothing_runs(tab, "agent")
            assert ATTACK in tab.page.locator("h1").inner_text()
            tab.page.goto(f"/console/inbox/call?key={call.key}")
            assert tab.page.locator("h1").inner_text() == ATTACK
            tab.page.get_by_role("button", name="Approve").click()
            tab.page.get_by_text("Approved. The call succeeded.").wait_for()
            _nothing_runs(tab, "what came of it")
    finally:
        salon.bank.agents = team
        salon.calls.end(unknown.key, "failed", why="a test")


def _nothing_runs(tab, page):
    alien = "[...document.querySelectorAll('script:not([src]), img, style, iframe, [onerror], [style]')].map((e) => e.outerHTML)"
    assert tab.page.evaluate(alien) == [], page
    assert not tab.trouble, (page, tab.trouble)


def test_someone_approves_from_the_list_in_a_browser(salon, visit):
    asked = gift(salon, 120, "lou@example.com", user="lou")
    with visit(salon, "reviewer", viewport={"width": 400, "height": 800}) as tab:
        tab.page.goto("/console/inbox")
        tab.page.get_by_role("link", name=re.compile("Approvals")).click()
        tab.page.locator("tr", has_text="lou@example.com").get_by_role("link", name="sell_gift_card").click()
        tab.page.get_by_role("button", name="Approve").click()
        tab.page.get_by_text("Approved. The call succeeded.").wait_for()
        tab.page.get_by_role("link", name="Show the run").click()
        tab.page.get_by_text("Approved by Ines Okafor").first.wait_for()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 400
        assert not tab.trouble
    assert salon.calls.get(asked.approval).status == "done"
