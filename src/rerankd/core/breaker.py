"""The circuit: it stops asking a scorer that fails, and asks again carefully."""

from dataclasses import dataclass

from rerankd.core.policy import check_at_least, check_range


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When the circuit opens and how it heals. Modelled on Resilience4j, tuned to a local model."""

    window_calls: int = 20
    """How many of the last calls are judged."""
    window_ms: float = 10_000.0
    """Calls older than this are forgotten."""
    min_calls: int = 10
    """Fewer calls than this never open the circuit."""
    bad_share: float = 0.5
    """The share of bad calls, from 0 to 1, at which it opens."""
    open_ms: float = 1_000.0
    """How long it stays open the first time; doubles with each failed recovery."""
    open_max_ms: float = 2_000.0
    """The longest it stays open for a local scorer."""
    open_max_remote_ms: float = 30_000.0
    """The longest it stays open for a remote scorer."""
    jitter: float = 0.1
    """The open time varies by up to this share, so that replicas do not probe in step."""
    probes_to_close: int = 3
    """Good probes in a row that close it."""
    probe_lease_ms: float = 1_000.0
    """A probe that has not ended by then counts as bad, so that half-open can never stick."""

    def __post_init__(self) -> None:
        check_range(self, "window_calls", 1)
        check_range(self, "window_ms", 1)
        check_range(self, "min_calls", 1, self.window_calls)
        check_range(self, "bad_share", 0.01, 1)
        check_range(self, "open_ms", 1)
        check_at_least(self, "open_max_ms", "open_ms")
        check_at_least(self, "open_max_remote_ms", "open_ms")
        check_range(self, "jitter", 0, 1)
        check_range(self, "probes_to_close", 1)
        check_range(self, "probe_lease_ms", 1)
