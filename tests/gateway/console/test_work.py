"""What people do in the console: review data, answer the inbox, run an experiment, check the audit."""

import re

from inhouse.store.ratings import Ratings
from inhouse.types import Passage


def post(client, path, **form):
    return client.post(f"/console/{path}", data={"csrf": client.token, **form}, follow_redirects=True)


def test_an_example_is_edited_approved_and_rejected(house):
    client = house.client("reviewer")
    page = post(
        client,
        "data/example",
        id="ex-000",
        part="train",
        status="approved",
        question=" What does a wire transfer cost?\r\n",
        target="It costs $25.\r\nIncoming wires are free.",
    )
    assert "Saved." in page.text
    review = house.bank.said["ex-000"]
    assert (review.status, review.question, review.target, review.by) == (
        "approved",
        None,
        "It costs $25.\nIncoming wires are free.",
        "Ines Okafor",
    )
    listed = client.get("/console/data?part=train&state=edited").text
    assert "Incoming wires are free." in listed
    assert listed.count("data/example?id=") == 1
    assert ">1 example<" in listed
    post(client, "data/example", id="ex-001", part="train", status="rejected", question="x", target="")
    assert house.bank.said["ex-001"].status == "rejected"
    assert house.bank.said["ex-001"].target is None
    assert client.get("/console/data?part=train&q=no+such+words").text.count("data/example?id=") == 0
    assert post(client, "data/example", id="ex-001", part="train", status="maybe").status_code == 422
    assert post(client, "data/example", id="ex-001", part="test", status="approved").status_code == 404


def test_a_conversation_is_answered_corrected_approved_and_rejected(house):
    house.record(
        house.exchange("inbox-1", "Do you take coins?", "I do not know."),
        house.exchange("inbox-2", "And notes?", "No idea."),
    )
    ids = [house.inbox.add(house.audit.get(f"inbox-{n}"), "declined") for n in (1, 2)]
    client = house.client("reviewer")
    assert ">2<" in client.get("/console/inbox").text, "the menu counts who waits"
    assert (
        "write what the assistant should have said"
        in post(client, "inbox/conversation", id=ids[0], act="answer", reply=" ").text.lower()
    )
    assert post(client, "inbox/conversation", id=ids[0], act="approve").status_code == 422
    assert "Sent." in post(client, "inbox/conversation", id=ids[0], act="answer", reply="On Mondays.").text
    assert house.inbox.get(ids[0]).reply == "On Mondays."
    assert (
        "Approved."
        in post(client, "inbox/conversation", id=ids[0], act="approve", reply="On Mondays, at counter two.").text
    )
    found = house.inbox.get(ids[0])
    assert (found.status, found.reply, found.by) == ("approved", "On Mondays, at counter two.", "Ines Okafor")
    assert [h.reply for h in house.inbox.approved()] == ["On Mondays, at counter two."]
    assert "Rejected." in post(client, "inbox/conversation", id=ids[1], act="reject").text
    assert house.inbox.get(ids[1]).status == "rejected"


def test_a_reviewer_says_whether_the_answer_was_right_whose_reader_asked_for_a_person(house):
    made = [house.exchange("flagged-1", "What is a wire?", "It costs $99."), house.exchange("flagged-2")]
    house.record(*made)
    flagged, declined = house.inbox.add(made[0], "asked for a person"), house.inbox.add(made[1], "declined")
    client, ratings = house.client("reviewer"), Ratings(house.ledger)
    assert "Was the answer of the assistant right?" in client.get(f"/console/inbox/conversation?id={flagged}").text
    assert "Was the answer" not in client.get(f"/console/inbox/conversation?id={declined}").text
    assert post(client, "inbox/conversation", id=flagged, act="answer", reply=" ", verdict="wrong").status_code == 422
    assert ratings.about(["flagged-1"]) == [], "nothing is half done"
    post(client, "inbox/conversation", id=flagged, act="approve", reply="It costs $25.", verdict="wrong")
    post(client, "inbox/conversation", id=declined, act="reject", verdict="wrong")
    assert post(client, "inbox/conversation", id=flagged, act="reject", verdict="maybe").status_code == 422
    assert [(r.exchange_id, r.label, r.probability) for r in ratings.about(["flagged-1", "flagged-2"])] == [
        ("flagged-1", "wrong", None)
    ]
    assert 'value="wrong" selected' in client.get(f"/console/inbox/conversation?id={flagged}").text


def test_an_experiment_is_started_weighed_and_stopped(house):
    client = house.client("admin")
    for wrong in ({"first": "base", "second": "base", "share": "50"}, {"first": "base", "second": "nobody/1", "share": "50"},
                  {"first": "base", "second": "first-national-bank/3", "share": "nan"}, {"first": "base", "second": "first-national-bank/3", "share": "100"}):  # fmt: skip
        assert post(client, "experiments/start", name="a", **wrong).status_code == 422
    assert house.bank.arms == {}
    page = post(client, "experiments/start", name="autumn", first="base", second="first-national-bank/3", share="20")
    assert house.bank.arms == {"base": 80, "first-national-bank/3": 20}
    assert "is better than base" in page.text
    for wrong in ({}, {"weight-base": "1"}, {"weight-base": "x", "weight-first-national-bank/3": "1"}, {"weight-base": "0", "weight-first-national-bank/3": "0"},
                  {"weight-base": "-1", "weight-first-national-bank/3": "1"}, {"weight-base": "inf", "weight-first-national-bank/3": "1"}, {"weight-base": "1", "weight-x": "1"}):  # fmt: skip
        assert post(client, "experiments/weights", **wrong).status_code == 422, wrong
    assert (
        post(client, "experiments/weights", **{"weight-base": "1", "weight-first-national-bank/3": "3"}).status_code
        == 200
    )
    assert house.bank.arms == {"base": 1, "first-national-bank/3": 3}
    assert "No experiment is live" in post(client, "experiments/stop").text


def test_the_audit_shows_an_exchange_with_its_hash_and_verifies(house):
    house.record(house.exchange("audit-1", "A question about mortgages"), house.exchange("audit-2", "Another one"))
    client = house.client("reviewer")
    listed = client.get("/console/audit?q=mortgages").text
    assert re.findall(r"audit/exchange\?id=([\w-]+)", listed) == ["audit-1"]
    place = house.audit.place("audit-2")
    shown = client.get("/console/audit/exchange?id=audit-2").text
    assert place.hash in shown
    assert house.audit.place("audit-1").hash == place.before
    assert place.before in shown
    held = post(client, "audit/verify").text
    assert f"Verified: all {house.audit.verify().rows} entries are unchanged" in held
    with house.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE audit SET cost_usd = 5 WHERE id = 'audit-1'")
    assert f"The log was changed at entry {house.audit.place('audit-1').seq}" in post(client, "audit/verify").text
    with house.ledger.write() as connection:
        connection.exec_driver_sql("UPDATE audit SET cost_usd = 0.000041 WHERE id = 'audit-1'")


def test_external_documents_are_marked_wherever_they_are_shown(house):
    said = "Wires are cheap, says the web."
    of = {"source": "web/wires.md", "title": "Wires elsewhere", "heading": "", "text": said, "trust": "external"}
    house.bank.all.append(house.chunk(of["source"], of["title"], "", said).model_copy(update={"trust": "external"}))
    cited = [{"sentence": said, "passage": 1, "source": of["source"], "trust": "external"}]
    asked = house.exchange("x1", answer=said, passages=(Passage(**of),), citations=cited)
    plain = house.exchange("x2", passages=(Passage(**{**of, "trust": "trusted"}),), citations=[])
    house.record(asked, plain)
    client, mark = house.client("admin"), ">external</span>"
    shown = {
        path: client.get(f"/console/{path}").text.count(mark)
        for path in ("knowledge", "knowledge?q=wires", "knowledge/document?source=web/wires.md",
                     "knowledge/document?source=payments/wire-transfers.md", "audit/exchange?id=x1", "audit/exchange?id=x2")
    }  # fmt: skip
    assert list(shown.values()) == [1, 1, 1, 0, 2, 0], shown


def test_a_page_of_the_audit_is_filled_past_what_others_were_told(house):
    house.record(
        *(house.exchange(f"own-{n}", f"plain {n}") for n in range(60)),
        *(house.exchange(f"staff-{n}", f"hidden {n}", groups=frozenset({"staff"})) for n in range(70)),
    )
    client = house.client("reviewer")
    first = client.get("/console/audit").text
    seen = re.findall(r"audit/exchange\?id=([\w-]+)", first)
    assert seen == [f"own-{n}" for n in range(59, 9, -1)]
    older = re.search(r'href="(/console/audit\?[^"]*before=\d+)">Older', first)[1].replace("&amp;", "&")
    assert re.findall(r"audit/exchange\?id=(own-\d+)", client.get(older).text) == [f"own-{n}" for n in range(9, -1, -1)]


def test_the_inbox_counts_and_lists_past_what_others_asked(house):
    for n in range(130):
        house.inbox.add(house.exchange(f"staff-{n}", f"hidden {n}", groups=frozenset({"staff"})), "declined")
    for n in range(3):
        house.inbox.add(house.exchange(f"own-{n}", f"plain {n}"), "declined")
    page = house.client("reviewer").get("/console/inbox").text
    assert len(set(re.findall(r"plain \d", page))) == 3
    assert not re.search(r"hidden \d", page)
    assert re.search(r'Waiting<span class="n">3</span>', page)


def test_a_store_that_fails_is_told(house, monkeypatch):
    from inhouse.errors import BackendError

    client = house.client("admin")

    def broken(*_, **__):
        raise BackendError("the database does not answer", "see that it runs")

    monkeypatch.setattr(house.inbox, "first", broken)
    answer = client.get("/console/settings")
    assert answer.status_code == 503
    assert "the database does not answer" in answer.text
    monkeypatch.setattr(house.keys, "all", broken)
    assert client.get("/console/settings").status_code == 503
