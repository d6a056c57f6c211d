"""Spans carry the numbers of an answer, join the caller's trace, and carry no text."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rerankd.testing import fake_reranker
from rerankd.tracing import TracingObserver, end_export, export_spans, joined

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def provider(spans):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    yield provider
    provider.shutdown()


def test_an_answer_is_a_span_with_its_numbers_and_no_text(spans, provider):
    with fake_reranker(observers=[TracingObserver(provider)]) as reranker:
        ranking = reranker.rerank("a canary", ["canary one", "two"], budget_ms=9_000)
    (span,) = spans.get_finished_spans()
    assert span.name == "rerank"
    assert span.attributes["rerank.outcome"] == "reranked"
    assert span.attributes["rerank.depth"] == 2
    assert span.attributes["rerank.budget_ms"] == 9_000
    assert "rerank.reason" not in span.attributes
    assert (span.end_time - span.start_time) / 1e6 == pytest.approx(ranking.elapsed_ms, abs=0.01)
    assert "canary" not in span.to_json()


async def test_it_joins_the_caller_s_trace_across_tasks(spans, provider):
    async with fake_reranker(observers=[TracingObserver(provider)]) as reranker:
        with joined(HEADERS):
            await reranker.arerank("q", ["a"])
        await reranker.arerank("q", ["a"])
    inside, outside = spans.get_finished_spans()
    assert f"{inside.context.trace_id:032x}" == TRACE
    assert f"{inside.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert f"{outside.context.trace_id:032x}" != TRACE


def test_headers_without_a_trace_begin_one(spans, provider):
    with (
        fake_reranker(observers=[TracingObserver(provider)]) as reranker,
        joined({"traceparent": "nonsense"}),
    ):
        reranker.rerank("q", ["a"], budget_ms=None)
    assert spans.get_finished_spans()[0].parent is None


@pytest.mark.threads
def test_spans_are_sent_to_the_endpoint_of_the_environment(monkeypatch):
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        provider = export_spans()
        with fake_reranker(observers=[TracingObserver(provider)]) as reranker:
            reranker.rerank("a canary", ["canary"], budget_ms=None)
        end_export(provider)
        server.shutdown()
        thread.join()
    ((path, body),) = received
    assert path == "/v1/traces"
    assert b"rerank.outcome" in body
    assert b"canary" not in body


@pytest.mark.threads
def test_a_collector_that_does_not_answer_keeps_no_service_from_ending(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        provider = export_spans()
        with fake_reranker(observers=[TracingObserver(provider)]) as reranker:
            reranker.rerank("a query", ["a text"], budget_ms=None)
        end_export(provider, seconds=0.3)
        asked, _ = silent.accept()
        with asked:
            assert asked.recv(4) == b"POST"
