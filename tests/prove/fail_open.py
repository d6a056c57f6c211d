"""Row 2: whatever the model does, nobody gets an error; and an open circuit costs nothing."""

import time
from collections import Counter
from collections.abc import Iterator

from rerankd.core.breaker import BreakerPolicy
from rerankd.testing import fake_reranker
from tests.prove.faulty import Faults, FaultyScorer
from tests.prove.line import Line, percentile, seconds
from tests.prove.storm import Storm

__all__ = ["measure"]

_QUICKLY = BreakerPolicy(open_ms=50, open_max_ms=100)
_NEVER = BreakerPolicy(window_calls=1_000_000, min_calls=1_000_000)


def measure(quick: bool) -> Iterator[Line]:
    count = 600 if quick else 25_000
    storms = [
        Storm(count, seed=1),
        Storm(count, seed=2, breaker=_QUICKLY, interruptible=True),
        Storm(count, seed=3, breaker=_NEVER, queue_pairs=60),
        Storm(count, seed=4, breaker=_QUICKLY, unit="query"),
    ]
    errors: Counter[str] = Counter()
    violations: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for storm in storms:
        storm.run()
        errors += storm.errors
        violations += storm.violations
        outcomes += storm.outcomes
    requests = sum(storm.requests for storm in storms)
    common = ", ".join(f"{name} {share / requests:.0%}" for name, share in outcomes.most_common(6))
    yield Line(
        2,
        "errors and broken answers under the fault mix, with real threads and a faulty model",
        "0 in 100,000 requests",
        f"{sum(errors.values())} errors {dict(errors) or ''}, {sum(violations.values())} broken answers"
        f" in {requests:,} ({common})",
        not errors and not violations,
    )
    yield _open_circuit(quick)


def _open_circuit(quick: bool) -> Line:
    faults = Faults()
    scorer = FaultyScorer(faults)
    texts = [f"candidate {number} " * 20 for number in range(24)]
    with fake_reranker(scorer) as reranker:
        faults.begin("raise")
        while reranker.status().circuit == "closed":
            reranker.rerank("query", texts)
        took = []
        for _ in range(500 if quick else 20_000):
            began = time.perf_counter()
            reranker.rerank("query", texts)
            took.append(time.perf_counter() - began)
        still = reranker.status().circuit
        faults.end()
    worst = percentile(took, 0.99)
    return Line(
        2,
        "added by an open circuit to a request with 24 candidates",
        "p99 ≤ 2 ms",
        f"p50 {seconds(percentile(took, 0.5))}, p99 {seconds(worst)}, max {seconds(max(took))}"
        f" of {len(took):,} (circuit {still})",
        worst <= 0.002 and still != "closed",
        timed=True,
    )
