"""Budgets at the gateway: 429 with what is left, and nothing charged that was not used."""

import threading
import time

import httpx
import openai
import pytest

from inhouse.chat import Delta, Finish, Usage
from inhouse.config.sections import Project
from inhouse.errors import BackendError, ConfigError
from inhouse.gateway.budgets import Prices, limits_of
from inhouse.models.scripted import Scripted
from inhouse.pipeline.check import _prices
from inhouse.store.budgets import Amount, Budgets
from inhouse.store.keys import Key


def with_budget(*tables, **more):
    return Project.model_validate({"budget": list(tables), **more})


def used(gateway_):
    (use,) = Budgets(gateway_.ledger).used()
    return use


class Slow:
    """Says a word, and then nothing until it is stopped."""

    name = "slow"

    async def stream(self, request):
        import asyncio

        yield Delta(text="Well")
        await asyncio.sleep(30)
        yield Finish(reason="stop", usage=Usage(prompt_tokens=1, completion_tokens=1))


class Broken:
    name = "broken"

    async def stream(self, request):
        raise BackendError("the server is down")
        yield


def test_a_used_up_budget_is_429_with_what_is_left_and_when_it_resets(gateway, ask):
    g = gateway(project=with_budget({"requests": 2}))
    for _ in range(2):
        assert g.http.post("/v1/chat/completions", json=ask()).status_code == 200
    refused = g.http.post("/v1/chat/completions", json=ask())
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert "budget of the project for this month has 0 of 2 requests left" in error["message"]
    assert refused.headers["x-inhouse-budget-remaining"] == "0 requests"
    assert refused.headers["x-inhouse-budget-reset"].endswith("T00:00:00.000+00:00")
    assert refused.headers["x-should-retry"] == "false"
    with pytest.raises(openai.RateLimitError):
        g.client.chat.completions.create(**ask())
    assert len(g.state.audit.find()) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_what_an_answer_used_is_charged_as_the_audit_log_has_it(gateway, ask, stream):
    g = gateway(project=with_budget({"tokens": 100_000, "usd": 5}))
    for path, body in (
        ("/v1/chat/completions", ask("one two three", stream=stream)),
        ("/v1/responses", {"model": "custom", "input": "four five", "stream": stream}),
        ("/v1/completions", {"model": "custom", "prompt": "six", "stream": stream}),
    ):
        with g.http.stream("POST", path, json=body) as response:
            assert response.status_code == 200, response.read()
            response.read()
    exchanges = [e for _, e in g.state.audit.find()]
    tokens = sum(e.usage.prompt_tokens + e.usage.completion_tokens for e in exchanges)
    use = used(g)
    assert len(exchanges) == use.spent.requests == 3
    assert use.spent.tokens == tokens > 0
    assert use.spent.usd == pytest.approx(sum(e.cost_usd for e in exchanges))
    assert use.held == Amount()


def test_requests_at_the_same_time_cannot_overspend(gateway, ask):
    slow = Scripted(lambda r: (time.sleep(0.05), "ok")[1])
    g = gateway({"custom": slow}, project=with_budget({"requests": 5}), parallel=8)
    codes = []

    def one():
        codes.append(httpx.post(f"{g.url}/v1/chat/completions", json=ask(), headers=dict(g.http.headers)).status_code)

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] * 5 + [429] * 7
    assert (used(g).spent.requests, used(g).held.requests) == (5, 0)


def test_a_request_that_has_to_wait_for_others_may_be_sent_again(gateway, ask):
    g = gateway({"custom": Slow()}, project=with_budget({"requests": 1}), deadline_s=5)
    with g.http.stream("POST", "/v1/chat/completions", json=ask(stream=True)) as first:
        lines = first.iter_lines()
        next(lines)
        refused = g.http.post("/v1/chat/completions", json=ask())
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "x-should-retry" not in refused.headers
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"


def test_an_answer_that_is_cut_off_is_charged_at_the_most_that_it_may_have_used(gateway, ask):
    g = gateway({"custom": Slow()}, project=with_budget({"tokens": 100_000}))
    with g.http.stream("POST", "/v1/chat/completions", json=ask(stream=True)) as first:
        lines = first.iter_lines()
        next(lines)
    until = time.monotonic() + 5
    while used(g).held.requests and time.monotonic() < until:
        time.sleep(0.02)
    assert used(g).spent.tokens == Project().model.context_tokens
    assert used(g).held == Amount()


def test_a_model_that_is_down_uses_no_tokens(gateway, ask):
    g = gateway({"custom": Broken()}, project=with_budget({"tokens": 100_000}))
    assert g.http.post("/v1/chat/completions", json=ask()).status_code == 502
    assert (used(g).spent.tokens, used(g).spent.requests, used(g).held) == (0, 1, Amount())


def test_a_request_that_is_refused_before_a_model_is_asked_gives_its_reservation_back(gateway, ask):
    g = gateway({"custom": Slow()}, project=with_budget({"tokens": 100_000}), parallel=1)
    assert g.http.post("/v1/chat/completions", json=ask(model="nothing")).status_code == 404
    assert Budgets(g.ledger).used() == []
    with g.http.stream("POST", "/v1/chat/completions", json=ask(stream=True)) as first:
        lines = first.iter_lines()
        next(lines)
        with pytest.raises(httpx.ReadTimeout):  # it leaves while it waits in line
            g.http.post("/v1/chat/completions", json=ask(), timeout=0.3)
        until = time.monotonic() + 5
        while used(g).held.requests > 1 and time.monotonic() < until:
            time.sleep(0.02)
        assert (used(g).spent, used(g).held.requests) == (Amount(), 1)
        assert [e.reason for _, e in g.state.audit.find() if e.reason == "cancelled"] == ["cancelled"]


def test_embeddings_count_too(gateway):
    class Words:
        name, dimensions = "words", 2

        def parts(self, text):
            return [text]

        def count_tokens(self, text):
            return len(text.split())

        def embed(self, texts, query=False):
            import numpy as np

            return np.ones((len(texts), 2), dtype=np.float32)

    g = gateway(embedder=Words(), project=with_budget({"tokens": 100}))
    body = {"model": "words", "input": ["one two three", "four"]}
    assert g.http.post("/v1/embeddings", json=body).status_code == 200
    assert (used(g).spent.tokens, used(g).spent.requests, used(g).held) == (4, 1, Amount())
    assert g.http.post("/v1/embeddings", json={**body, "input": "x" * 200}).status_code == 429


def test_a_database_that_fails_lets_nothing_through(gateway, ask):
    g = gateway(project=with_budget({"requests": 5}))

    async def fail(*_):
        raise BackendError("no disk")

    g.state.reservations.reserve = fail
    assert g.http.post("/v1/chat/completions", json=ask()).status_code == 503


def key(**more):
    return Key(id="k1", name="shop", role="user", created_at="", **more)


def test_a_table_with_a_name_takes_the_place_of_the_one_for_all():
    project = with_budget(
        {"per": "key", "usd": 1}, {"per": "key", "of": "shop", "usd": 9}, {"per": "key", "of": "k2", "usd": 7},
        {"per": "team", "tokens": 50}, {"per": "user", "of": "ann", "requests": 3}, {"requests": 10, "period": "day"},
    )  # fmt: skip
    found = {(x.per, x.subject): x.most for x in limits_of(project, key(groups=("a", "b")), "ann")}
    assert found == {
        ("key", "k1"): Amount.of(9), ("team", "a"): Amount(0, 50), ("team", "b"): Amount(0, 50),
        ("user", "ann"): Amount(0, 0, 3), ("project", ""): Amount(0, 0, 10),
    }  # fmt: skip
    other = key(groups=()).model_copy(update={"id": "k9", "name": "else"})
    assert {x.per: x.most for x in limits_of(project, other, "bob")} == {
        "key": Amount.of(1),
        "project": Amount(0, 0, 10),
    }


def test_the_worst_case_has_every_rung_and_every_model_that_may_answer(ask):
    from inhouse.gateway.wire import ChatBody

    project = Project.model_validate({
        "upstream": [
            {"name": "big", "url": "http://x/v1", "fallback": ["small"]}, {"name": "small", "url": "http://y/v1"},
        ],
        "costs": {"price": [
            {"upstream": "big", "usd_per_million_prompt": 10, "usd_per_million_answer": 100},
            {"upstream": "small", "usd_per_million_answer": 1},
        ]},
        "cascade": {"rung": [{"arm": "tuned", "usd": 0.001}, {"upstream": "big", "usd": 0.02}]},
        "model": {"usd_per_hour": 0, "context_tokens": 1000},
    })  # fmt: skip
    request = ChatBody.model_validate(ask("hello")).to_request(frozenset(), "u", 100, 4096)
    prices = Prices(project)
    local, elsewhere = prices.worst("custom", request), prices.worst("big", request)
    assert local.usd == pytest.approx(0.021)
    assert local.tokens >= 2000
    assert elsewhere.usd == pytest.approx(100 * (100 + 1) / 1e6, rel=0.2)
    assert elsewhere.tokens > 200
    usage = Usage(prompt_tokens=1000, completion_tokens=10)
    assert prices.cost("big", request, {}, usage, 5) == pytest.approx(0.011)
    assert prices.cost("big", request, {("fallback", "served"): {"model": "small"}}, usage, 5) == pytest.approx(1e-5)
    assert prices.cost("custom", request, {("cascade", "rung"): {"rung": "big", "usd": 0.021}}, usage, 5) == 0.021
    assert prices.cost("big", request, {}, None, 5) == elsewhere.usd


def test_a_price_for_an_upstream_that_does_not_exist_is_refused():
    tables = {
        "upstream": [{"name": "large", "url": "http://x", "model": "m"}],
        "budget": [{"per": "project", "usd": 1}],
    }
    price = {"usd_per_million_prompt": 1, "usd_per_million_answer": 1}
    wrong = Project.model_validate({**tables, "costs": {"price": [{"upstream": "Large", **price}]}})
    with pytest.raises(ConfigError, match="price.* Large"):
        Prices(wrong)
    assert [item.ok for item in _prices(wrong)] == [False]
    assert [item.warning for item in _prices(Project.model_validate(tables))] == [True]
    right = Project.model_validate({**tables, "costs": {"price": [{"upstream": "large", **price}]}})
    assert not _prices(right)
