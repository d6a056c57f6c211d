"""What a run will cost, learned from the runs before it."""

from dataclasses import dataclass

from rerankd.core.policy import check_range


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatePolicy:
    """How fast the cost estimate learns and forgets."""

    weight: float = 0.2
    """The share of a new observation in the running mean, from 0 to 1."""
    clip: float = 4.0
    """One observation counts at most this many times the current estimate: a hiccup is not a trend."""
    half_life_ms: float = 2_000.0
    """Without news, half of a slow spell is forgotten in this time, so that nothing is refused for ever."""

    def __post_init__(self) -> None:
        check_range(self, "weight", 0.001, 1)
        check_range(self, "clip", 1)
        check_range(self, "half_life_ms", 1)
