"""Row 1: candidates are conserved, whatever goes wrong."""

from collections.abc import Iterator

from tests.prove.line import Line
from tests.prove.real import real_load
from tests.prove.simulated import simulated

__all__ = ["measure"]


def measure(quick: bool) -> Iterator[Line]:
    seen = simulated(quick)
    kinds = ", ".join(f"{name} {count:,}" for name, count in sorted(seen.broken.items())) or "0 violations"
    yield Line(
        1,
        "candidates conserved, and every other promise to a caller, under the fault mix in virtual time",
        "0 violations in 2,000,000 requests",
        f"{kinds} in {seen.callers:,} requests, {seen.scenarios:,} scenarios,"
        f" {seen.virtual_seconds / 3600:,.0f} h; {_outcomes(seen.outcomes)}"
        + (f"; {seen.examples}" if seen.examples else ""),
        not seen.broken,
    )
    loaded = real_load(quick)
    if loaded is None:
        yield Line(1, "the same with the real model", "0 in 20,000", "the model is not installed", None)
        return
    violations = sum(sum(load.violations.values()) + sum(load.errors.values()) for load in loaded.loads)
    shares = "; ".join(f"at {load.share:.0%}: {_outcomes(load.outcomes)}" for load in loaded.loads)
    yield Line(
        1,
        "the same with the real model",
        "0 violations in 20,000 requests",
        f"{violations} in {loaded.requests:,} ({shares}; capacity {loaded.capacity:.1f} queries of 24 a second)",
        violations == 0,
    )


def _outcomes(counts: dict[str, int]) -> str:
    total = sum(counts.values()) or 1
    grouped: dict[str, int] = {}
    for name, count in counts.items():
        outcome = name.split("/", maxsplit=1)[0]
        grouped[outcome] = grouped.get(outcome, 0) + count
    return ", ".join(f"{name} {count / total:.0%}" for name, count in sorted(grouped.items()))
