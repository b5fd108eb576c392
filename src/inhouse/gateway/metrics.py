"""Prometheus metrics and OpenTelemetry traces.

Neither contains a prompt, an answer, or a secret.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from inhouse import __version__
from inhouse.chat import ChatRequest, Exchange

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # variable of prometheus_client: the folder where workers share their numbers
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The metrics of one process; if `PROMETHEUS_MULTIPROC_DIR` is set, `text` has those of all workers."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter("inhouse_requests", "HTTP requests.", ["route", "status"], registry=own)
        self.answers = Counter("inhouse_answers", "Answers by finish reason.", ["model", "reason"], registry=own)
        self.tokens = Counter("inhouse_tokens", "Prompt and completion tokens.", ["model", "kind"], registry=own)
        self.handoffs = Counter("inhouse_handoffs", "Conversations handed to a person.", ["model"], registry=own)
        self.audit_failures = Counter("inhouse_audit_failures", "Answers that could not be recorded.", registry=own)
        self.answer_s = Histogram("inhouse_answer_seconds", "Time to answer.", ["model"], buckets=SECONDS,
                                  registry=own)  # fmt: skip
        self.first_s = Histogram("inhouse_first_token_seconds", "Time to the first token.", ["model"], buckets=SECONDS,
                                 registry=own)  # fmt: skip
        self.audit_s = Histogram("inhouse_audit_seconds", "Time to record an answer.", buckets=SECONDS, registry=own)
        self.incidents = Counter("inhouse_incidents", "Canaries that were rolled back automatically.", registry=own)
        self.alert_failures = Counter("inhouse_alert_failures", "Alerts that could not be delivered.", registry=own)
        self.shadows = Counter("inhouse_shadow_answers", "Answers of the shadow release.", ["result"],
                               registry=own)  # fmt: skip
        self.canary_share = Gauge("inhouse_canary_share", "Share of users that the canary answers.", registry=own,
                                  multiprocess_mode="livemax")  # fmt: skip
        self.guard = Gauge("inhouse_guard_metric", "Guard metrics of the canary and of production.", ["metric", "arm"],
                           registry=own, multiprocess_mode="livemax")  # fmt: skip
        self.accuracy = Gauge("inhouse_estimated_accuracy", "Estimated share of right answers.", ["release"],
                              registry=own, multiprocess_mode="livemax")  # fmt: skip
        self.open = Gauge("inhouse_open_requests", "Requests being answered.", registry=own,
                          multiprocess_mode="livesum")  # fmt: skip

    def answered(self, exchange: Exchange) -> None:
        model = exchange.model
        self.answers.labels(model, exchange.reason).inc()
        self.tokens.labels(model, "prompt").inc(exchange.usage.prompt_tokens)
        self.tokens.labels(model, "completion").inc(exchange.usage.completion_tokens)
        self.answer_s.labels(model).observe(exchange.latency_s)
        self.first_s.labels(model).observe(exchange.first_token_s)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


class Traces:
    """OpenTelemetry spans by the GenAI semantic conventions, sent to the endpoint in OpenTelemetry's own variables.

    Without an endpoint it sends and imports nothing.
    """

    def __init__(self) -> None:
        self._tracer: Tracer | None = None
        self._provider: Any = None
        if not any(os.environ.get(variable) for variable in ENDPOINTS):
            return
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = {"service.name": "inhouse", "service.version": __version__}
        self._provider = TracerProvider(resource=Resource.create(named))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("inhouse", __version__)

    def answered(self, exchange: Exchange, request: ChatRequest, parent: str) -> None:
        """Sends the span of an answer; `parent` is the `traceparent` header of the request."""
        if self._tracer is None:
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        ended = time.time_ns()
        span = self._tracer.start_span(
            f"chat {exchange.model}",
            context=TraceContextTextMapPropagator().extract({"traceparent": parent}),
            kind=SpanKind.SERVER,
            start_time=ended - int(exchange.latency_s * 1e9),
            attributes={
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "inhouse",
                "gen_ai.request.model": exchange.model,
                "gen_ai.request.max_tokens": request.max_tokens,
                "gen_ai.request.temperature": request.temperature,
                "gen_ai.response.id": exchange.id,
                "gen_ai.response.model": exchange.release or exchange.model,
                "gen_ai.response.finish_reasons": [exchange.reason],
                "gen_ai.usage.input_tokens": exchange.usage.prompt_tokens,
                "gen_ai.usage.output_tokens": exchange.usage.completion_tokens,
                "inhouse.arm": exchange.arm,
            },
        )
        if exchange.reason in ("error", "cancelled"):
            span.set_attribute("error.type", exchange.reason)
            span.set_status(Status(StatusCode.ERROR))
        span.end(ended)

    def close(self) -> None:
        """Sends the remaining spans."""
        if self._provider is not None:
            self._provider.shutdown()
