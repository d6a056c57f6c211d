"""Row 8: the fault is gone, and reranking is back."""

import threading
import time
from collections.abc import Iterator
from itertools import product

from rerankd.core.events import WorkerReplaced
from rerankd.core.types import Outcome
from rerankd.testing import RecordingObserver, fake_reranker
from tests.prove.faulty import KINDS, Faults, FaultyScorer, FaultyTokenizer
from tests.prove.line import Line, seconds
from tests.prove.simulated import in_two_processes
from tests.sim.bounds import RECOVERING, Recovery, recovery

__all__ = ["measure"]

_BUDGET = 0.1


def measure(quick: bool) -> Iterator[Line]:
    yield _simulated(quick)
    if not quick:
        yield _remote()
    yield from _threads(quick)


def _simulated(quick: bool) -> Line:
    lasting = (4.0,) if quick else (0.3, 1.0, 4.0, 15.0)
    rates = (4.0,) if quick else (4.0, 10.0)
    cases = list(product(RECOVERING, lasting, rates, range(1 if quick else 8)))
    seen = [_local(case) for case in cases] if quick else list(in_two_processes(_local, iter(cases)))
    worst = max(each.seconds for each in seen)
    broken = [case for case, each in zip(cases, seen, strict=True) if each.broken]
    return Line(
        8,
        "from the end of a fault to a whole head, local scorer, in virtual time",
        "≤ 3 s",
        f"at most {worst:.2f} s in {len(seen)} failures of every kind"
        + (f", broken: {broken}" if broken else ""),
        worst <= 3.0 and not broken,
    )


def _local(case: tuple[str, float, float, int]) -> Recovery:
    kind, lasts, rate, seed = case
    return recovery(kind, lasts=lasts, rate=rate, seed=seed)


def _remote() -> Line:
    cases = list(product(RECOVERING, (5.0, 60.0), range(6)))
    seen = list(in_two_processes(_far, iter(cases)))
    held = all(each.seconds <= 30.0 or each.requests <= 3 for each in seen)
    return Line(
        8,
        "the same, remote scorer",
        "≤ 30 s plus three requests",
        f"at most {max(each.seconds for each in seen):.2f} s in {len(seen)} failures",
        held and not any(each.broken for each in seen),
    )


def _far(case: tuple[str, float, int]) -> Recovery:
    kind, lasts, seed = case
    return recovery(kind, lasts=lasts, rate=4.0, seed=seed, local=False)


def _threads(quick: bool) -> Iterator[Line]:
    back, late, replaced = {}, 0.0, 0
    for kind, lasts in product(
        ("raise", "kill", "hang") if quick else KINDS, (1.0,) if quick else (0.5, 2.0, 6.0)
    ):
        took, overshoot, workers = _thread_recovery(kind, lasts)
        back[kind] = max(back.get(kind, 0.0), took)
        late, replaced = max(late, overshoot), replaced + workers
    slowest = max(back, key=lambda kind: back[kind])
    yield Line(
        8,
        "the same with real threads",
        "≤ 3 s",
        f"at most {back[slowest]:.2f} s ({slowest}); " + ", ".join(f"{k} {s:.2f} s" for k, s in back.items()),
        back[slowest] <= 3.0,
        timed=True,
    )
    yield Line(
        8,
        "longest wait of a caller beyond its deadline while workers died or hung",
        "nobody waits: ≤ 25 ms",
        f"{seconds(late)}, {replaced} workers replaced",
        late <= 0.025 and replaced > 0,
        timed=True,
    )


def _thread_recovery(kind: str, lasts: float) -> tuple[float, float, int]:
    """Seconds until a request is wholly reranked again, the latest answer, and workers replaced."""
    faults, events = Faults(), RecordingObserver()
    late, over = [0.0], threading.Event()
    texts = [f"candidate {number} " * 10 for number in range(24)]
    with fake_reranker(
        FaultyScorer(faults),
        tokenizer=FaultyTokenizer(faults),
        observers=[events],
    ) as reranker:

        def call() -> Outcome:
            began = time.monotonic()
            answer = reranker.rerank("query", texts, budget_ms=_BUDGET * 1000)
            late[0] = max(late[0], time.monotonic() - began - _BUDGET)
            return answer.outcome

        def calls() -> None:
            while not over.is_set():
                call()
                time.sleep(0.01)

        threads = [threading.Thread(target=calls) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        faults.begin(kind)
        time.sleep(lasts)
        faults.end()
        ended = time.monotonic()
        while call() is not Outcome.RERANKED and time.monotonic() - ended < 10:
            time.sleep(0.005)
        took = time.monotonic() - ended
        over.set()
        for thread in threads:
            thread.join()
    return took, late[0], len(events.of(WorkerReplaced))
