"""Which pairs run next."""

from dataclasses import dataclass

from rerankd.core.policy import check_range


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPolicy:
    """How much work is taken in, and how much of it one run may hold."""

    max_pairs: int = 32
    """Most pairs in one run."""
    max_tokens: int = 16_384
    """Most padded tokens in one run, where pairs are grouped at all; the scorer may ask for less."""
    queue_pairs: int = 20_000
    """Most pairs that may wait; a request beyond that is answered `overloaded`."""
    workers: int = 0
    """Worker threads; 0: as many as the scorer can use at once."""
    encode_slice: int = 32
    """Most candidates that are encoded in one go, so that a long request delays the others by little."""

    def __post_init__(self) -> None:
        check_range(self, "max_pairs", 1)
        check_range(self, "max_tokens", 1)
        check_range(self, "queue_pairs", 1)
        check_range(self, "workers", 0)
        check_range(self, "encode_slice", 1)
