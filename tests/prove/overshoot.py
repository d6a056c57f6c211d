"""Row 3: no answer after its deadline in virtual time, and hardly after it in real time."""

from collections.abc import Iterator

from tests.prove.line import Line, percentile, seconds
from tests.prove.real import BUDGET_MS, real_load
from tests.prove.simulated import simulated

__all__ = ["measure"]

_PROMISED = {0.7: 0.010, 4.0: 0.025}


def measure(quick: bool) -> Iterator[Line]:
    seen = simulated(quick)
    late = seen.broken["answered by its deadline"]
    yield Line(
        3,
        "answers after their deadline in virtual time",
        "exactly 0",
        f"{late} of {seen.callers:,}",
        late == 0,
    )
    loaded = real_load(quick)
    if loaded is None:
        yield Line(3, "overshoot with the real model", "p99.9 ≤ 10 ms", "the model is not installed", None)
        return
    for load in loaded.loads:
        promised = _PROMISED[load.share]
        late_by = [max(0.0, each) for each in load.overshoots]
        worst = percentile(late_by, 0.999)
        yield Line(
            3,
            f"overshoot of {BUDGET_MS:.0f} ms with the real model at {load.share:.0%} load",
            f"p99.9 ≤ {promised * 1000:.0f} ms",
            f"p50 {seconds(percentile(late_by, 0.5))}, p99 {seconds(percentile(late_by, 0.99))},"
            f" p99.9 {seconds(worst)}, max {seconds(max(late_by))} of {len(late_by):,} requests",
            worst <= promised,
            timed=True,
        )
