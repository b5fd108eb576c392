"""One key cannot stop the others: lines in turn, slots of a key, rates, and clients that do not read."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import pytest

from inhouse.chat import Delta
from inhouse.gateway import chat, limits, middleware
from inhouse.gateway.errors import HttpError
from inhouse.gateway.limits import Queue
from inhouse.models.scripted import Scripted

CHAT = "/v1/chat/completions"


class Torrent:
    """A ChatModel that says more than any socket holds, and counts how many talk."""

    name = "torrent"

    def __init__(self):
        self.talking = 0

    async def stream(self, request):
        self.talking += 1
        try:
            while True:
                yield Delta(text="x" * 10_000)
                await asyncio.sleep(0)
        finally:
            self.talking -= 1


def wait_for(condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def unread(there, body):
    """A connection that sends a request and never reads."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = there.url.removeprefix("http://").split(":")
    wire.connect((host, int(port)))
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {there.secret}\r\nContent-Type: application/json\r\n"
    )
    wire.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return wire


def test_a_key_with_many_requests_delays_another_by_about_one_turn(gateway, ask):
    there = gateway({"custom": Scripted(lambda r: "x", seconds=0.4)}, parallel=1, waiting=64)
    other = {"Authorization": f"Bearer {there.keys.create('other', 'user')[1]}"}
    with ThreadPoolExecutor(30) as pool, httpx.Client(base_url=there.url, timeout=30) as client:
        many = [pool.submit(there.http.post, CHAT, json=ask()) for _ in range(25)]
        wait_for(lambda: there.state.queue.open > 10)
        for _ in range(3):
            started = time.monotonic()
            assert client.post(CHAT, json=ask(), headers=other).status_code == 200
            assert time.monotonic() - started < 2  # its own turn, that of the other key, and one in progress
        assert [m.result().status_code for m in many] == [200] * 25


def test_a_full_queue_refuses_the_key_with_the_most_requests(gateway, ask):
    there = gateway({"custom": Scripted(lambda r: "x", seconds=0.5)}, parallel=1, waiting=4)
    other = {"Authorization": f"Bearer {there.keys.create('other', 'user')[1]}"}
    with ThreadPoolExecutor(8) as pool, httpx.Client(base_url=there.url, timeout=30) as client:
        many = [pool.submit(there.http.post, CHAT, json=ask(stream=True)) for _ in range(5)]
        wait_for(lambda: there.state.queue.open == 5)
        assert client.post(CHAT, json=ask(), headers=other).status_code == 200
        codes = sorted(m.result().status_code for m in many)
        assert codes == [200, 200, 200, 200, 429]
        refused = next(m.result() for m in many if m.result().status_code == 429)
        assert int(refused.headers["retry-after"]) >= 1
        assert "try again in about" in refused.json()["error"]["message"]


async def test_lines_have_their_turns():
    queue, order, start = Queue(1, 20, 1), [], asyncio.Event()

    async def one(key):
        with queue.admitted(key) as place:
            async with queue.slot(place):
                order.append(key)
                await start.wait()

    tasks = [asyncio.create_task(one(key)) for key in "aaaaabbc"]
    await asyncio.sleep(0.01)
    start.set()
    await asyncio.gather(*tasks)
    assert "".join(order) == "aabcabaa"
    assert (queue.open, queue.running, queue._lines) == (0, 0, {})
    assert not queue._places
    assert not queue._active


@pytest.fixture
def clock(monkeypatch):
    """The time of queues, to set."""
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(limits, "time", SimpleNamespace(perf_counter=lambda: now.s, monotonic=lambda: now.s))
    return now


class Holding:
    """A queue whose requests keep their slots until they are told to end."""

    def __init__(self, slots, per_key=0):
        self.queue, self.order, self.ends, self.tasks = Queue(slots, 40, per_key), [], asyncio.Event(), []

    async def ask(self, keys):
        self.tasks += [asyncio.create_task(self._one(key, self.ends)) for key in keys]
        await asyncio.sleep(0.01)

    async def _one(self, key, ends):
        with self.queue.admitted(key) as place:
            async with self.queue.slot(place):
                self.order.append(key)
                await ends.wait()

    async def end(self):
        """Ends those that have slots or wait now, one after another; those who come later hold their slots."""
        self.ends.set()
        self.ends = asyncio.Event()
        await asyncio.sleep(0.01)


async def test_a_key_that_had_a_slot_for_long_waits_for_others(clock):
    there = Holding(1)
    await there.ask("a")
    clock.s += 100
    await there.ask("aaabbc")
    await there.end()
    assert "".join(there.order) == "a" + "bcb" + "aaa"  # in turn it would be abcaba
    clock.s += 600  # all is forgotten
    await there.ask("bacab")
    await there.end()
    assert "".join(there.order[7:]) == "bacba"
    assert (there.queue.open, there.queue.running, there.queue._lines) == (0, 0, {})


async def test_keys_over_their_share_leave_half_of_the_slots_to_others(clock):
    there = Holding(4)
    await there.ask("xxyy")
    clock.s += 200
    first, there.ends = there.ends, asyncio.Event()
    await there.ask("xyxyl")
    first.set()
    await asyncio.sleep(0.01)
    assert sorted(there.order[4:]) == ["l", "x", "y"]
    assert there.order[4] == "l"
    await there.ask("l")
    assert there.order[7:] == ["l"]
    await there.end()
    await asyncio.gather(*there.tasks)
    assert (there.queue.open, there.queue.running) == (0, 0)


async def test_a_key_may_have_all_slots_where_the_settings_say_so(clock):
    there = Holding(4, 4)
    await there.ask("ax")
    clock.s += 200
    await there.ask("aaxl")
    assert (there.queue.running, there.order) == (4, [*"axaa"])
    await there.end()
    await asyncio.gather(*there.tasks)


async def test_a_key_alone_has_three_quarters_however_long(clock):
    there = Holding(4)
    await there.ask("aaaaaa")
    clock.s += 1000
    await there.ask("a")
    assert there.queue.running == 3
    await there.end()
    await asyncio.gather(*there.tasks)


async def test_a_request_knows_its_turn_and_one_that_leaves_gives_it_up():
    queue, places = Queue(1, 20), {}
    hold = asyncio.Event()

    async def one(name):
        with queue.admitted(name[0]) as place:
            places[name] = place
            async with queue.slot(place):
                await hold.wait()

    tasks = {}
    for name in ("a0", "a1", "a2", "a3", "b1", "c1"):
        tasks[name] = asyncio.create_task(one(name))
        await asyncio.sleep(0)
    turns = {name: queue.position(place) for name, place in places.items()}
    assert turns == {"a0": 0, "a1": 1, "b1": 2, "c1": 3, "a2": 4, "a3": 5}
    tasks["a1"].cancel()
    await asyncio.sleep(0)
    assert queue.position(places["b1"]) <= 2
    assert queue.open == 5
    hold.set()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert (queue.open, queue.running) == (0, 0)


async def test_a_key_has_a_share_of_the_slots():
    queue, most = Queue(4, 20), 0

    async def one(key):
        nonlocal most
        with queue.admitted(key) as place:
            async with queue.slot(place):
                most = max(most, queue.running)
                await asyncio.sleep(0.001)

    await asyncio.gather(*(one("a") for _ in range(10)))
    assert most == 3
    await asyncio.gather(*(one(key) for key in "aaaabbbb"))
    assert most == 4
    with ExitStack() as held:
        for _ in range(3 + 20):
            held.enter_context(queue.admitted("a"))
        with pytest.raises(HttpError) as full:
            held.enter_context(queue.admitted("a"))
        assert full.value.status_code == 429
        held.enter_context(queue.admitted("b"))


def test_clients_that_do_not_read_are_disconnected(gateway, ask, monkeypatch):
    monkeypatch.setattr(middleware, "WRITE_S", 0.6)
    monkeypatch.setattr(chat, "PIECE_S", 0)
    torrent = Torrent()
    there = gateway({"custom": torrent, "base": Scripted(lambda r: "fine")}, parallel=4, key_parallel=4)
    body = '{"model": "custom", "stream": true, "messages": [{"role": "user", "content": "go"}]}'
    with ExitStack() as wires:
        for _ in range(6):
            wires.enter_context(unread(there, body))
        wait_for(lambda: torrent.talking)
        started = time.monotonic()
        assert there.http.post(CHAT, json=ask() | {"model": "base"}).status_code == 200
        wait_for(lambda: there.state.queue.open == 0, 20)
        assert time.monotonic() - started < 15
    assert torrent.talking == 0


def test_a_client_that_does_not_read_does_not_keep_a_slot(gateway, ask):
    long = "word " * 10_000
    there = gateway({"custom": Scripted(lambda r: long), "base": Scripted(lambda r: "fine")}, parallel=1)
    body = '{"stream": true, "messages": [{"role": "user", "content": "go"}]}'
    with ExitStack() as wires:
        for _ in range(4):
            wires.enter_context(unread(there, body))
        wait_for(lambda: len(there.state.audit.find()) == 4)
        wait_for(lambda: there.state.queue.running == 0)
        assert there.http.post(CHAT, json=ask() | {"model": "base"}).status_code == 200


def test_a_request_whose_client_left_gives_up_its_turn(gateway, ask):
    there = gateway({"custom": Scripted(lambda r: "x", seconds=1.5)}, parallel=1)
    running = threading.Thread(target=lambda: there.http.post(CHAT, json=ask()))
    running.start()
    wait_for(lambda: there.state.queue.running == 1)
    body = '{"stream": true, "messages": [{"role": "user", "content": "go"}]}'
    wires = [unread(there, body) for _ in range(5)]
    wait_for(lambda: there.state.queue.open == 6)
    for wire in wires:
        wire.close()
    wait_for(lambda: there.state.queue.open == 1, 1)
    running.join()


def test_headers_tell_how_a_key_stands(gateway, ask):
    there = gateway(per_minute=3)
    heads = [there.http.get("/v1/models").headers for _ in range(4)]
    assert [h["x-ratelimit-remaining-requests"] for h in heads] == ["2", "1", "0", "0"]
    assert {h["x-ratelimit-limit-requests"] for h in heads} == {"3"}
    assert heads[0]["x-ratelimit-reset-requests"] in ("20s", "19.999s")
    usual = gateway(key_per_minute=2)
    assert [usual.http.get("/v1/models").status_code for _ in range(3)] == [200, 200, 429]
    free = gateway(key_per_minute=0)
    assert "x-ratelimit-limit-requests" not in free.http.get("/v1/models").headers
