"""When a run counts as overrun, and when as hung."""

from dataclasses import dataclass

from rerankd.core.policy import check_range

__all__ = ["WatchPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchPolicy:
    """When a run counts as overrun, and when as hung."""

    overrun_factor: float = 4.0
    """A run is overrun when it is older than this many times its prediction and than `overrun_min_ms`."""
    overrun_min_ms: float = 50.0
    """A run younger than this is never overrun, whatever was predicted."""
    hang_ms: float = 1_000.0
    """A run that is this long past its overrun limit and its caller's deadline is abandoned."""
    replacements: float = 2.0
    """Most hung threads alive, as a multiple of the workers; beyond it the model is unavailable."""

    def __post_init__(self) -> None:
        check_range(self, "overrun_factor", 1)
        check_range(self, "overrun_min_ms", 0)
        check_range(self, "hang_ms", 0)
        check_range(self, "replacements", 0)

    def patience(self, seconds: float) -> float:
        """After how many seconds work is overrun that usually takes `seconds`."""
        return max(self.overrun_factor * seconds, self.overrun_min_ms / 1000)

    def hung(self, overrun_at: float, now: float) -> bool:
        """Whether a run that was overrun from `overrun_at` on will not come back."""
        return now > overrun_at + self.hang_ms / 1000
