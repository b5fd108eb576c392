"""Shadow traffic: a copy is answered when slots are free, unseen and uncounted, with the rights of its request."""

import asyncio
import itertools

import pytest

from inhouse.chat import ChatRequest, Exchange, Finish, Note, Usage
from inhouse.errors import BackendError, ConfigError, InputError
from inhouse.gateway.limits import Queue
from inhouse.gateway.metrics import Metrics
from inhouse.models.scripted import Scripted
from inhouse.monitoring.shadows import Shown, compare, overlap
from inhouse.serving.releases import Releases
from inhouse.serving.shadowing import Shadows, set_shadow
from inhouse.serving.state import Serving, Shadowing
from inhouse.store.audit import Audit
from inhouse.store.ledger import Ledger, ledger_url
from inhouse.store.shadows import paid, pairs
from inhouse.store.tables import now_ms, to_iso
from inhouse.store.traffic import Traffic
from inhouse.types import Message

NOW = Serving(production="bank/1", shadow=Shadowing(release="bank/2", percent=100, since=to_iso(now_ms())))
HANDOFF = "A colleague will help you."
NUMBERS = itertools.count()


class Place:
    """A gateway without HTTP: a queue, an audit log, and a shadow."""

    def __init__(self, ledger, model, slots=1, serving=NOW):
        self.ledger, self.audit, self.queue, self.metrics = ledger, Audit(ledger), Queue(slots, 10), Metrics()
        self.serving = serving
        self.shadows = Shadows(
            lambda: self.serving, {"bank/2": model}.__getitem__, self.audit, lambda: self.queue.spare, HANDOFF, self.metrics
        )  # fmt: skip

    async def __aenter__(self):
        self.task = asyncio.create_task(self.shadows.run())
        await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *error):
        self.task.cancel()
        await asyncio.to_thread(self.audit.close)

    async def asked(self, text="What does it cost?", groups=(), **values):
        told = {"reason": "stop", "release": "bank/1", "model": "custom", "id": f"e{next(NUMBERS)}", **values}
        request = ChatRequest(messages=(Message(role="user", content=text),), groups=frozenset(groups), user="ann")
        exchange = Exchange(
            at=to_iso(now_ms()), user="ann", key="k", arm="rag", messages=request.messages, answer="It costs $25.",
            usage=Usage(completion_tokens=3), confidence=0.8, latency_s=0.2, groups=request.groups, **told,
        )  # fmt: skip
        await self.audit.append(exchange)
        self.shadows.observe(exchange, request)
        return exchange

    async def kept(self, count, seconds=5.0):
        for _ in range(round(seconds / 0.02)):
            if len(found := pairs(self.ledger, "bank/2")) >= count:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"{len(found)} of {count}")

    def counted(self, result):
        return self.metrics.shadows.labels(result)._value.get()


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(ledger_url(tmp_path))
    yield ledger
    ledger.close()


async def test_a_copy_is_answered_with_the_rights_of_its_request_and_nobody_counts_it(ledger):
    seen = []

    def answer(request):
        seen.append(request)
        return "It costs $26."

    async with Place(ledger, Scripted(answer)) as place:
        one = await place.asked(groups=["staff"])
        before = Traffic(ledger).buckets("2026-01-01", minutes=60 * 24 * 30)
        (pair,) = await place.kept(1)
    assert (pair.shadow.answer, pair.shown.answer, pair.shadow.exchange) == ("It costs $26.", "It costs $25.", one.id)
    assert seen[0].groups == frozenset({"staff"})
    assert (pair.shadow.completion_tokens, pair.shadow.confidence) == (3, 1.0)
    assert Traffic(ledger).buckets("2026-01-01", minutes=60 * 24 * 30) == before
    assert place.counted("stop") == 1


async def test_what_a_shadow_is_paid_elsewhere_is_counted(ledger):
    tried = [{"rung": "a", "usd": 0.001, "ms": 1.0}, {"rung": "b", "usd": 0.02, "ms": 1.0, "paid": "elsewhere"}]

    class Paid(Scripted):
        async def stream(self, request):
            async for event in super().stream(request):
                if isinstance(event, Finish):
                    yield Note(layer="cascade", kind="rung", data={"rung": "b", "usd": 0.021, "tried": tried})
                yield event

    began = to_iso(now_ms())
    async with Place(ledger, Paid(lambda request: "It costs $25.")) as place:
        for _ in range(2):
            await place.asked()
        await place.kept(2)
    assert paid(ledger, began) == pytest.approx(0.04)
    assert paid(ledger, "2999-01-01") == 0


async def test_only_answers_of_production_are_copied(ledger):
    async with Place(ledger, Scripted(lambda r: "x")) as place:
        await place.asked(release="bank/2")
        await place.asked(model="base")
        await place.asked(reason="error")
        await place.asked(reused={"id": "1"})
        assert not place.shadows._copies
        place.serving = Serving(production="bank/1")
        await asyncio.sleep(1.3)
        await place.asked()
        assert not place.shadows._copies


async def test_users_come_first(ledger):
    """The shadow waits for a free slot, and gives it back at once."""
    started, ended = [], []

    class Slow:
        name = "slow"

        async def stream(self, request):
            started.append(1)
            try:
                await asyncio.sleep(0.5)
            finally:
                ended.append(1)
            yield Finish(reason="stop")

    async with Place(ledger, Slow()) as place:
        with place.queue.admitted("k") as place_in_line:
            async with place.queue.slot(place_in_line):
                await place.asked()
                await asyncio.sleep(0.5)
                assert not started
        for _ in range(100):
            await asyncio.sleep(0.02)
            if started:
                break
        with place.queue.admitted("k") as place_in_line:
            async with place.queue.slot(place_in_line):
                await asyncio.sleep(0.15)
                assert len(started) == len(ended) == 1
        (pair,) = await place.kept(1)
        assert pair.shadow.reason == "stop"
    assert place.counted("interrupted") == 1


async def test_what_fails_is_kept_as_a_failure_and_what_hands_over_too(ledger):
    def answer(request):
        if "fail" in request.messages[-1].content:
            raise BackendError("no")
        return f"Sorry. {HANDOFF}"

    async with Place(ledger, Scripted(answer)) as place:
        await place.asked("fail")
        await place.asked("else")
        found = await place.kept(2)
    assert {(p.question, p.shadow.reason, p.shadow.handed_off) for p in found} == {
        ("fail", "error", False), ("else", "stop", True)
    }  # fmt: skip


async def test_an_exchange_that_was_redacted_meanwhile_gets_no_copy(ledger):
    async with Place(ledger, Scripted(lambda r: "x", seconds=0.3)) as place:
        one = await place.asked()
        await asyncio.sleep(0.25)
        await asyncio.to_thread(place.audit.redact, one.id, "ann", "asked to")
        await asyncio.sleep(0.6)
        assert pairs(ledger, "bank/2") == []
        assert place.audit.verify().ok


# --- what is compared -------------------------------------------------------------------------------------------


def test_answers_are_compared_pair_by_pair():
    rows = [
        (Shown(text="It costs $25.", confidence=0.8, latency_s=1.0), Shown(text="It costs  $25.", confidence=0.9, latency_s=2.0)),
        (Shown(text="Open 9 to 5 on Monday.", latency_s=1.0), Shown(text="Closed for the winter.", latency_s=2.0)),
        (Shown(text="Help comes.", handed_off=True, latency_s=1.0), Shown(text="A colleague will call.", handed_off=True, latency_s=2.0)),
        (Shown(text="It is free.", latency_s=1.0), Shown(text="It is free.", handed_off=True, latency_s=2.0)),
        (Shown(text="Yes."), Shown(text="", failed=True)),
    ]  # fmt: skip
    report = compare(rows)
    assert (report.requests, report.failed, report.same, report.handed_off) == (5, 1, 0.5, (1, 2))
    assert (report.agreement.mean, report.agreement.n) == (0.5, 4)
    assert report.confidence.mean == pytest.approx(0.1)
    assert report.latency == 2.0
    assert compare([]).agreement is None
    assert (overlap("", ""), overlap("a b", "c"), overlap("a b", "B A")) == (1.0, 0.0, 1.0)


@pytest.fixture
def releases(tmp_path):
    import sys
    from pathlib import Path

    sys.path.append(str(Path(__file__).parent))
    from guarded_server import make_releases, workspace_of

    workspace = workspace_of(tmp_path)
    make_releases(workspace)
    made = Releases(workspace)
    made.promote("1")
    return made


def test_a_shadow_starts_and_ends(releases):
    assert set_shadow(releases, 20, "2").shadow.release == "bank/2"
    assert releases.serving().history[-1].text == "Shadow started: bank/2"
    for percent, which, words in ((101, "2", "not from 0 to 100"), (10, "1", "in production already")):
        with pytest.raises(ConfigError, match=words):
            set_shadow(releases, percent, which)
    with pytest.raises(InputError, match="no such release"):
        set_shadow(releases, 10, "7")
    assert set_shadow(releases, 0).shadow is None
    assert set_shadow(releases, 0).revision == releases.serving().revision
    set_shadow(releases, 20, "2")
    assert releases.promote("2").shadow is None
    assert releases.altered() == ""


def test_a_release_with_agents_is_refused(releases, monkeypatch):
    agents = releases.get("2").model_copy(update={"team": "0" * 16})
    monkeypatch.setattr(releases, "get", lambda which: agents)
    with pytest.raises(InputError, match="tools would act twice"):
        set_shadow(releases, 10, "2")
