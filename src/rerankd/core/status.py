"""What a reranker can say of itself at any moment."""

from dataclasses import dataclass

from rerankd.core.cache import CacheStatus
from rerankd.core.events import CircuitState, ModelState
from rerankd.core.flag import Flag

__all__ = ["Status"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A snapshot, cheap enough to be taken for every scrape."""

    model: str | None
    """The model's id; those of a cascade are joined by a plus."""
    device: str | None
    """Where it runs; None until it is loaded."""
    model_state: ModelState
    error: str | None
    """Why the model is not available: names a file or a step."""
    load_seconds: float | None
    """How long loading took, the calibration included."""
    circuit: CircuitState
    queue_pairs: int
    """Pairs that nobody has begun to score."""
    workers: int
    """Threads that can take work."""
    busy: int
    hung: int
    """Threads that were written off and have not ended."""
    flag: Flag
    flag_source: str
    enabled: bool
    """Whether requests are reranked now: the flag is not off, and the model is there."""
    max_tokens: int | None = None
    """The model's window, special tokens included; None until it is loaded."""
    scorer: str | None = None
    """Whose circuit and state these are: the model's id, or that of a cascade's small one."""
    refiner: str | None = None
    """The id of a cascade's larger model."""
    refiner_device: str | None = None
    refiner_state: ModelState | None = None
    refiner_circuit: CircuitState | None = None
    cache: CacheStatus | None = None
    """Of the scores that are kept; None where that is off."""
