"""OpenTelemetry: a span for each answered request, in the caller's trace, with numbers and no text."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context, propagate, trace
from opentelemetry.trace import SpanKind, TracerProvider

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider

from rerankd.core.events import Event, Settled
from rerankd.engine.clock import wall_nanoseconds

__all__ = ["TracingObserver", "end_export", "export_spans", "joined"]

_END_S = 2.0


class TracingObserver:
    """Makes a span `rerank` of each answer, as a child of the span that is current where it was asked for.

    It hears of a request when it is answered, on the thread or task that asked, so the span is made after the
    fact: its start is the request's arrival.
    """

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """`provider`: left out, the process's own."""
        self._tracer = trace.get_tracer("rerankd", tracer_provider=provider)

    def on(self, event: Event) -> None:
        if not isinstance(event, Settled):
            return
        ended = wall_nanoseconds()
        span = self._tracer.start_span(
            "rerank",
            kind=SpanKind.INTERNAL,
            start_time=ended - round(event.elapsed_ms * 1e6),
            attributes=_attributes(event),
        )
        span.end(ended)


def _attributes(event: Settled) -> dict[str, str | int | float]:
    attributes: dict[str, str | int | float | None] = {
        "rerank.outcome": event.outcome.value,
        "rerank.reason": None if event.reason is None else event.reason.value,
        "rerank.depth": event.depth,
        "rerank.refined_depth": event.refined_depth,
        "rerank.candidates": event.candidates,
        "rerank.budget_ms": event.budget_ms,
        "rerank.elapsed_ms": event.elapsed_ms,
        "rerank.model": event.model,
        "rerank.queue_ms": event.timings.queue,
        "rerank.tokenize_ms": event.timings.tokenize,
        "rerank.inference_ms": event.timings.inference,
        "rerank.refine_ms": event.timings.refine,
        "rerank.order_ms": event.timings.order,
    }
    return {name: value for name, value in attributes.items() if value is not None}


@contextmanager
def joined(headers: Mapping[str, str]) -> Iterator[None]:
    """Within it, spans belong to the trace that the headers name (`traceparent`), if they name one."""
    token = context.attach(propagate.extract(headers))
    try:
        yield
    finally:
        context.detach(token)


def export_spans() -> "SdkTracerProvider":
    """A provider that sends spans where `OTEL_EXPORTER_OTLP_ENDPOINT` says, in the background.

    The exporter reads the usual `OTEL_*` variables itself. Whoever calls this calls `end_export`.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider as SdkTracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create({"service.name": "rerankd"})
    # not at the interpreter's exit as well: that would wait for a collector without a limit of ours
    provider = SdkTracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def end_export(provider: "SdkTracerProvider", seconds: float = _END_S) -> None:
    """Send what is left, as far as `seconds` suffice: the SDK waits much longer for a collector that is gone."""
    ending = threading.Thread(target=provider.shutdown, name="rerankd-spans", daemon=True)
    ending.start()
    ending.join(seconds)
