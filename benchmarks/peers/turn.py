"""What one contender did with one request."""

from dataclasses import dataclass

__all__ = ["Turn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request to one contender."""

    ms: float
    cpu_ms: float
    """All its threads together."""
    others: float
    """The share of the machine that other programs took meanwhile."""
    rss_mb: float
    """What its process held afterwards."""
    logits: list[float]
