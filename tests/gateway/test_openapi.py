"""Requests made from the OpenAPI description itself."""

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st


def test_no_request_of_the_description_makes_a_500(gateway):
    there = gateway()
    there.state.project.gateway  # the app below has its own door, over the same state
    from inhouse.gateway.app import create_app

    description = create_app(there.state).openapi()
    assert {"/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/feedback"} <= set(description["paths"])
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
        assert answer.status_code < 500, (case.method, case.path, answer.text)

    attempt()
