"""What it saves to keep scores, what it would save to keep token ids, and what asking in vain costs.

One process, in turns: a query scored to the end, its encoding alone, the same query whose scores are all known, and
one of which none is. The first two are CPU time of a thread: a token cache could save no more than the encoding;
the others are what a caller waits.
"""

import argparse
import json
import math
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from statistics import median

from benchmarks.workloads import WORKLOADS, Request, requests
from rerankd.core.cache import CachePolicy
from rerankd.core.ports import Model
from rerankd.core.types import Text
from rerankd.engine.stop import StopSignal
from rerankd.reranker import Reranker
from rerankd.settings import Settings
from rerankd.wiring import load_model

__all__: list[str] = []


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.caches", description=__doc__)
    parser.add_argument("--queries", type=int, default=24)
    parser.add_argument("--model", help="instead of the default")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # else other threads' time is not in this one's
    settings = Settings.load(**{"model.model": arguments.model})
    model = load_model(settings.model, settings.data_dir)
    with (
        Reranker(lambda: model, name="kept", cache=CachePolicy(scores=100_000), require_model=True) as kept,
        Reranker(lambda: model, name="plain", require_model=True) as plain,
    ):
        found = measure(model, kept, plain, arguments.queries)
    if arguments.json:
        print(json.dumps({"model": model.name, **found}, indent=1))
        return
    print(f"{model.name}, a query of 24 candidates, median of {arguments.queries}")
    for name, value in found.items():
        print(f"{name:46} {value:9.3f}")


def measure(model: Model, kept: Reranker, plain: Reranker, queries: int) -> dict[str, float]:
    turns = [turn(model, kept, plain, request) for request in islice(requests(WORKLOADS[0]), queries)]
    middle = {name: median(each[name] for each in turns) * 1e3 for name in turns[0]}
    return {
        "encoding, ms of CPU": middle["encode"],
        "scoring, ms of CPU": middle["score"],
        "share of the encoding, %": 100 * middle["encode"] / (middle["encode"] + middle["score"]),
        "answer where it is off, ms": middle["off"],
        "answer where no score is known, ms": middle["unknown"],
        "... times that where it is off": median(each["unknown"] / each["off"] for each in turns),
        "answer where every score is known, ms": middle["known"],
    }


def turn(model: Model, kept: Reranker, plain: Reranker, request: Request) -> dict[str, float]:
    """Seconds of each, for one query that comes for the first time."""
    assert model.tokenizer is not None
    query, texts = Text(request.query), [Text(text) for text in request.texts]
    tenant = secrets.token_hex(8)
    taken: dict[str, float] = {}
    with timed(taken, "encode", time.thread_time):
        encoded = model.tokenizer.encode(query, texts, max_tokens=model.max_tokens)
    with timed(taken, "score", time.thread_time):
        for pairs in encoded:
            model.scorer.score(pairs, StopSignal(math.inf))
    asked: list[tuple[str, Reranker, str | None]] = [("unknown", kept, tenant), ("off", plain, None)]
    random.shuffle(asked)  # the one after finds the CPU's caches warm
    for name, reranker, whose in [*asked, ("known", kept, tenant)]:
        with timed(taken, name, time.perf_counter):
            answer = reranker.rerank(query, texts, budget_ms=None, tenant=whose)
        if answer.depth != len(texts):
            raise SystemExit(f"not everything was scored: {answer.outcome}, {answer.reason}")
    return taken


@contextmanager
def timed(taken: dict[str, float], name: str, clock: Callable[[], float]) -> Iterator[None]:
    begun = clock()
    yield
    taken[name] = clock() - begun


if __name__ == "__main__":
    main()
