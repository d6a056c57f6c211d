"""One measured figure beside what was promised."""

from dataclasses import dataclass

__all__ = ["Line", "percentile", "seconds"]


@dataclass(frozen=True, slots=True)
class Line:
    row: int
    """As the promises are numbered."""
    what: str
    promised: str
    measured: str
    passed: bool | None
    """None: for information, or it could not be measured here."""
    timed: bool = False
    """Whether a busy machine can spoil it. The quick form shows such a figure and does not judge it."""

    def verdict(self, *, quick: bool) -> str:
        if self.passed is None:
            return "info"
        if quick and self.timed:
            return "seen"
        return "pass" if self.passed else "FAIL"

    def fails(self, *, quick: bool) -> bool:
        return self.verdict(quick=quick) == "FAIL"

    def text(self, *, quick: bool) -> str:
        return (
            f"{self.row:>3}  {self.verdict(quick=quick):<4}  {self.what}: {self.measured}  [{self.promised}]"
        )


def percentile(values: list[float], share: float) -> float:
    """The smallest value that is at least as large as this share of all of them; 0 without any."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))] if ordered else 0.0


def seconds(value: float) -> str:
    """As milliseconds where that reads better."""
    return f"{value * 1000:.2f} ms" if abs(value) < 1 else f"{value:.2f} s"
