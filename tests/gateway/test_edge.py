"""What devices send to the house: audit log, hand-offs, feedback; and what they may not do."""

import asyncio
import json

import httpx
import pytest
import sqlalchemy as sa

from inhouse.chat import Egress, Exchange
from inhouse.errors import BackendError, ConfigError, GateError
from inhouse.serving.upload import House, Sent, send
from inhouse.store.audit import Audit
from inhouse.store.chain import append, head_of
from inhouse.store.edges import Batch, Head
from inhouse.store.egress import egress_of, what_left
from inhouse.store.erasure import REDACTED
from inhouse.store.feedback import Feedback
from inhouse.store.inbox import Inbox
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.tables import AUDIT, HANDOFFS
from inhouse.types import Message


def exchange(id, text="What does a wire cost?", **more):
    return Exchange(id=id, at="2026-11-30T08:00:00+00:00", user="ann", key="local", model="custom", release="bank/1", arm="rag",
                    messages=(Message(role="user", content=text),), answer="$25.", reason="stop", **more)  # fmt: skip


@pytest.fixture
def device(tmp_path):
    """The database of a device, with its audit log, inbox, and feedback."""
    (tmp_path / "device").mkdir()
    ledger = Ledger(ledger_url(tmp_path / "device"))
    ledger.audit, ledger.inbox, ledger.feedback = Audit(ledger), Inbox(ledger), Feedback(ledger)

    def asked(*exchanges):
        async def add():
            for one in exchanges:
                await ledger.audit.begin(one)
                await ledger.audit.append(one)

        asyncio.run(add())

    ledger.asked = asked
    yield ledger
    ledger.audit.close()
    ledger.close()


@pytest.fixture
def house(gateway):
    served = gateway(role="admin")
    _, served.device_secret = served.keys.create("till 7", "device")
    served.at = House(served.url, served.device_secret)
    with served.at:
        yield served


def test_everything_arrives_once(device, house):
    device.asked(exchange("one"), exchange("two", groups=frozenset({"staff"})))
    id = device.inbox.add(exchange("two", groups=frozenset({"staff"})), "the user asked for a person")
    device.feedback.add("one", "ann", 1, "thanks")
    entries = int(device.audit.head().split(":")[0])
    assert send(device, house.at) == Sent(entries=entries, handoffs=1, feedback=1)
    assert send(device, house.at) == Sent()
    kept = house.state.audit.get("two")
    assert (kept.key, kept.messages, kept.groups) == ("edge:till 7", exchange("two").messages, {"staff"})
    assert house.state.inbox.get(id).status == "waiting"
    assert house.state.inbox.get(id).groups == ("staff",)
    assert [o.comment for o in house.state.feedback.for_exchange("one")] == ["thanks"]
    assert house.state.audit.verify().ok
    action = house.state.audit.actions(about="edge:till 7")[0]
    assert [line["what"] for line in action.facts["actions"]] == ["handed off", "feedback"]


def test_what_left_a_device_is_listed_in_the_house(device, house):
    device.asked(exchange("one"))
    left = Egress(
        exchange="one", upstream="cloud", policy="surrogates", sha256="ab" * 32, bytes=12, replaced={"NAME": 1}
    )
    with device.write() as connection:
        append(connection, head_of(connection), [egress_of(left) | {"at_ms": 1_700_000_000_000}])
    send(device, house.at)
    send(device, house.at)
    (kept,) = what_left(house.state.audit._ledger)
    assert (kept.egress, kept.key, kept.at[:10]) == (left, "edge:till 7", "2023-11-14")
    assert house.state.audit.verify().ok
    assert device.audit.verify().ok


def test_a_reply_of_the_house_comes_back(device, house):
    device.asked(exchange("one"))
    id = device.inbox.add(exchange("one"), "why")
    send(device, house.at)
    house.state.inbox.answer(id, "A wire costs $25.", "Maria")
    assert send(device, house.at).replies == 1
    answered = device.inbox.get(id)
    assert (answered.status, answered.reply, answered.by) == ("answered", "A wire costs $25.", "Maria")
    assert device.audit.verify().ok
    assert send(device, house.at).handoffs == 0  # what the reply recorded is sent, the hand-off stays one
    assert len(house.state.inbox.all()) == 1
    assert house.state.inbox.get(id).status == "answered"


def test_a_batch_whose_answer_was_lost_is_there_once(device, house):
    device.asked(exchange("one"))

    class Lossy(House):
        def records(self, batch):
            super().records(batch)
            super().records(batch)  # as a proxy repeats it
            raise BackendError("the connection broke")

    with Lossy(house.url, house.device_secret) as lossy, pytest.raises(BackendError):
        send(device, lossy)
    assert send(device, house.at) == Sent()
    assert len(house.state.audit.find()) == 1
    assert len(house.state.audit.actions(about="edge:till 7")) == 1


def test_a_log_that_was_rewritten_is_reported(device, house):
    device.asked(exchange("one"))
    send(device, house.at)
    with device.write() as connection:
        connection.execute(AUDIT.update().where(AUDIT.c.seq == 2).values(hash="0" * 64))
    with pytest.raises(GateError, match="entry 2 is not the one that is here"):
        send(device, house.at)
    [refused] = house.state.audit.actions(what=["edge log refused"])
    assert refused.facts["edge"] == "till 7"


def test_an_entry_that_was_changed_before_it_was_sent_is_refused(device, house):
    device.asked(exchange("one"))
    with device.write() as connection:
        text = connection.execute(sa.select(AUDIT.c.content).where(AUDIT.c.id == "one")).scalar()
        changed = AUDIT.update().where(AUDIT.c.id == "one").values(content=text.replace("$25", "$99"))
        connection.execute(changed)
    with pytest.raises(GateError, match="entry 2: its content was changed"):
        send(device, house.at)
    assert house.state.audit.find() == []


def test_an_entry_that_is_left_out_is_refused(device, house):
    device.asked(exchange("one"), exchange("two"))
    with device.read() as connection:
        rows = [dict(r) for r in connection.execute(sa.select(AUDIT).order_by(AUDIT.c.seq)).mappings()]
    blank = [{**r, "content": "", "salt": "", "user": ""} for r in rows]
    with pytest.raises(GateError, match="entry 2: it is missing"):
        house.at.records(Batch(after=Head(), entries=(blank[0], blank[2])))


def test_a_redaction_reaches_the_house(device, house):
    device.asked(exchange("one"), exchange("two"))
    send(device, house.at)
    device.audit.redact("one", "Ann", "asked to")
    send(device, house.at)
    assert house.state.audit.get("one").answer == REDACTED
    assert house.state.audit.get("two").answer == "$25."
    assert house.state.audit.verify().ok


def test_a_device_touches_nothing_but_its_own(device, house):
    asyncio.run(house.state.audit.append(exchange("one")))  # of the house
    device.asked(exchange("one", text="forged"))
    device.inbox.add(exchange("one", text="forged"), "why")
    device.feedback.add("one", "ann", -1)
    send(device, house.at)
    assert house.state.audit.get("one").messages == exchange("one").messages
    assert house.state.inbox.all() == []
    assert house.state.feedback.for_exchange("one") == []
    [action] = house.state.audit.actions(about="edge:till 7")
    assert action.facts["not_its_own"] == ["one"]


def test_large_logs_go_in_batches(device, house):
    device.asked(*(exchange(f"e{n}", text=f"{n} " + "x" * 150_000) for n in range(7)))
    assert send(device, house.at).entries == 14
    assert len(house.state.audit.find()) == 7
    assert len(house.state.audit.actions(about="edge:till 7")) > 1


def test_keys_of_devices_open_nothing_else(house, ask):
    http = httpx.Client(base_url=house.url, headers={"Authorization": f"Bearer {house.device_secret}"})
    assert http.post("/v1/chat/completions", json=ask()).status_code == 403
    assert http.get("/metrics").status_code == 403
    assert http.get("/v1/edge/head").json() == {"seq": 0, "hash": "0" * 64}
    assert house.http.get("/v1/edge/head").status_code == 403  # an admin's
    http.close()
    with House(house.url, "ih_wrong") as wrong, pytest.raises(ConfigError, match="Incorrect API key"):
        wrong.head()


def test_files_of_releases_are_for_devices(gateway, tmp_path):
    folder = tmp_path / "release"
    (folder / "models").mkdir(parents=True)
    (folder / "edge.json").write_text("{}")
    (folder / "inhouse.toml").write_text("secret")
    (folder / "models" / "m").write_bytes(b"0123456789")
    served = gateway(edge_folder=str(folder))
    _, secret = served.keys.create("till", "device")
    http = httpx.Client(base_url=served.url, headers={"Authorization": f"Bearer {secret}"})
    assert http.get("/v1/edge/files/edge.json").text == "{}"
    assert http.get("/v1/edge/files/models/m", headers={"Range": "bytes=4-"}).content == b"456789"
    for path in ("inhouse.toml", "models/..%2Finhouse.toml", "models/%2e%2e/inhouse.toml", "gone", "models"):
        assert http.get(f"/v1/edge/files/{path}").status_code == 404, path
    assert served.http.get("/v1/edge/files/edge.json").status_code == 403
    http.close()


def test_a_wrong_batch_is_refused(house):
    http = httpx.Client(base_url=house.url, headers={"Authorization": f"Bearer {house.device_secret}"})
    assert http.post("/v1/edge/records", json={"after": {"seq": 0}, "entries": [{"seq": 1}]}).status_code == 409
    assert http.post("/v1/edge/records", json={"entries": 3}).status_code in (400, 422)
    with house.ledger.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(HANDOFFS)).scalar() == 0
    assert json.loads(http.get("/v1/edge/head").text)["seq"] == 0
    http.close()
