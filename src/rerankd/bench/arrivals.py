"""When requests are meant to be sent."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Arrivals", "Closed", "Open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """So many callers, each of which sends its next request when it has the answer to the last."""

    concurrency: int = 1

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise ValueError(f"concurrency: must be at least 1, got {self.concurrency!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Independent callers: a Poisson process, which goes on sending however slow the answers are.

    This is what a service on the web meets, and what shows overload; closed callers slow down by themselves.
    """

    rate: float
    """Requests a second in the mean."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"rate: must be above 0, got {self.rate!r}")

    def times(self) -> Iterator[float]:
        """Seconds from the start, without end; the same for the same seed."""
        draw = random.Random(self.seed)
        at = 0.0
        while True:
            at += draw.expovariate(self.rate)
            yield at


Arrivals = Closed | Open
