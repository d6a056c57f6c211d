"""Row 14: a word that is in every text is found in nothing that is logged, told, counted or raised."""

import dataclasses
import io
import json
import logging
import os
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rerankd.core.breaker import BreakerPolicy
from rerankd.errors import BackendError, InvalidRequest
from rerankd.logs import JsonFormatter, LogObserver, TextFormatter
from rerankd.metrics import PrometheusObserver
from rerankd.reranker import Reranker
from rerankd.summary import Summary
from rerankd.testing import FakeClock, RecordingObserver
from tests.prove.line import Line
from tests.prove.real import real_reranker
from tests.prove.storm import Storm

__all__ = ["measure"]

CANARY = "canary7f3a"


def measure(quick: bool) -> Iterator[Line]:
    heard: dict[str, str] = {}
    requests = 0
    with _everything_heard() as (logs, console):
        for seed in range(2 if quick else 6):
            ears = _Ears()
            storm = Storm(
                400 if quick else 4_000,
                seed=seed,
                breaker=BreakerPolicy(open_ms=50, open_max_ms=100),
                word=CANARY,
                observers=ears.observers,
            )
            storm.listens = True
            ears.prometheus.bind(storm.reranker.status)
            storm.run()
            requests += storm.requests
            heard[f"events {seed}"] = ears.heard()
            heard[f"answers {seed}"] = "\n".join([*storm.said, repr(storm.reranker.status())])
        heard["real model"], asked = _real_model()
        requests += asked
    heard["logs"], heard["console"] = logs.getvalue(), console.getvalue()
    hits = {where: told.count(CANARY) for where, told in heard.items() if CANARY in told}
    size = sum(map(len, heard.values()))
    yield Line(
        14,
        "canary hits in logs, console, events, metrics, summaries, answers and exceptions",
        "0",
        f"{sum(hits.values())} {hits or ''} in {size / 1e6:.1f} MB that {requests:,} requests gave rise to",
        not hits and len(heard["logs"]) > 100,
    )


class _Ears:
    """Every observer that we have, and one that fails with the event in its message."""

    def __init__(self) -> None:
        self.recorder = RecordingObserver()
        self.prometheus = PrometheusObserver()
        self.summary = Summary(batch_size=32)
        self.observers: list[Any] = [
            self.recorder,
            LogObserver(FakeClock()),
            self.prometheus,
            self.summary,
            _Loud(),
        ]

    def heard(self) -> str:
        told = [json.dumps(dataclasses.asdict(event), default=str) for event in self.recorder.events]
        return "\n".join(
            [
                *told,
                *map(repr, self.recorder.events),
                self.prometheus.render().decode(),
                repr(self.summary.as_dict()),
            ]
        )


class _Loud:
    def on(self, event: object) -> None:
        raise RuntimeError(f"{CANARY} {event}")


@contextmanager
def _everything_heard() -> Iterator[tuple[io.StringIO, io.StringIO]]:
    """Everything that any logger says, at any level, with tracebacks; and the console below Python."""
    logs, console = io.StringIO(), io.StringIO()
    handlers = []
    formatters = (TextFormatter(), JsonFormatter(), logging.Formatter("%(message)s %(args)s %(exc_text)s"))
    for formatter in formatters:
        handler = logging.StreamHandler(logs)
        handler.setFormatter(formatter)
        handlers.append(handler)
    root = logging.getLogger()
    level, disabled = root.level, logging.root.manager.disable
    root.setLevel(logging.DEBUG)
    logging.disable(logging.NOTSET)
    logging.captureWarnings(True)
    for handler in handlers:
        root.addHandler(handler)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("always")
        file = Path(folder) / "console"
        with _descriptors_to(file):
            yield logs, console
            for handler in handlers:
                root.removeHandler(handler)
            logging.captureWarnings(False)
            logging.disable(disabled)
            root.setLevel(level)
        console.write(file.read_text(encoding="utf-8", errors="replace"))


@contextmanager
def _descriptors_to(path: Path) -> Iterator[None]:
    """Standard output and error, also of what is not Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    with path.open("wb") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, before in zip((1, 2), kept, strict=True):
                os.dup2(before, descriptor)
                os.close(before)


def _real_model() -> tuple[str, int]:
    """Hostile texts and wrong arguments with the real model; what it says of them."""
    ears, said, asked = _Ears(), [], 0
    texts = [
        CANARY,
        f"{CANARY} \ud800 \x00 {CANARY}",
        CANARY * 50_000,
        " ".join([CANARY] * 3_000),
        f"\N{PILE OF POO}{CANARY}",
        "",
    ]
    try:
        with real_reranker(observers=ears.observers) as reranker:
            for query in texts[:4]:
                for long_text in ("truncate", "chunk", "fit"):
                    for budget in (1.0, 30.0, 400.0, None):
                        asked += 1
                        answer = reranker.rerank(query, texts, budget_ms=budget, long_text=long_text)  # type: ignore[arg-type]
                        said.append(repr(answer))
            said += _wrong_arguments(reranker)
            said.append(repr(reranker.status()))
    except BackendError:
        pass
    said.append(ears.heard())
    return "\n".join(said), asked


def _wrong_arguments(reranker: Reranker) -> list[str]:
    said = []
    wrong: list[tuple[Any, Any, dict[str, Any]]] = [
        ([CANARY], [CANARY], {}),
        (CANARY, CANARY, {}),
        (CANARY, [{"id": CANARY, "text": CANARY}] * 2, {}),
        (CANARY, [{"body": CANARY}], {}),
        (CANARY, [CANARY], {"budget_ms": -1}),
        (CANARY, [CANARY], {"top_k": 0}),
    ]
    for query, candidates, options in wrong:
        try:
            reranker.rerank(query, candidates, **options)
        except InvalidRequest as error:
            # as a host's logger would print it, without the lines of its own source, which quote no value
            said += [repr(error), str(error), *traceback.format_exception_only(error)]
    said.append(repr(threading.enumerate()))
    return said
