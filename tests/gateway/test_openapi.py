"""Requests made from the OpenAPI description itself."""

import json

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from inhouse.gateway.app import create_app


def test_every_answer_is_as_the_description_says(gateway):
    there = gateway(key_per_minute=0, key_mb_per_minute=0)
    description = create_app(there.state).openapi()
    routes = {"/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings", "/v1/feedback"}
    assert routes <= set(description["paths"])
    failures = [set(op["responses"]) for path in description["paths"].values() for op in path.values()]
    assert all({"4XX", "5XX"} <= found and "422" not in found for found in failures)
    schema = schemathesis.openapi.from_dict(description)
    strategies = []
    for result in schema.get_all_operations():
        operation = result.ok()
        strategies.append(
            operation.as_strategy() | operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
        )

    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        derandomize=True,
    )
    @given(case=st.one_of(*strategies))
    def attempt(case):
        answer = case.call(base_url=there.url, headers={"Authorization": f"Bearer {there.secret}"}, timeout=20)
        said = (case.method, case.path, answer.status_code, answer.text)
        assert answer.status_code < 500 or case.path == "/readyz", said
        documented = description["paths"].get(case.path, {}).get(case.method.lower(), {}).get("responses", {})
        if answer.status_code != 405:  # made from a method that the description does not have
            assert {str(answer.status_code), f"{answer.status_code // 100}XX"} & set(documented), said
        if answer.status_code >= 400:
            assert set(json.loads(answer.text)["error"]) == {"message", "type", "param", "code"}, said

    attempt()
