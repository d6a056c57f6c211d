"""With OpenTelemetry: an answer becomes a span in the caller's trace."""

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import rerankd
from rerankd.tracing import TracingObserver, export_spans, joined

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
with rerankd.open(observers=[TracingObserver(provider)]) as reranker, joined({}):
    reranker.rerank("a question", ["a text"])
(span,) = spans.get_finished_spans()
assert span.attributes["rerank.candidates"] == 1, span.to_json()
export_spans().shutdown()
