"""The run-time switch: on, off or shadow, for a percentage of requests."""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from rerankd.errors import ConfigError

__all__ = ["Flag", "Mode", "draw_of"]


class Mode(StrEnum):
    """What the switch does to a request."""

    ON = "on"
    OFF = "off"
    SHADOW = "shadow"
    """Rerank, answer in retrieval order, and record what would have changed."""


@dataclass(frozen=True, slots=True)
class Flag:
    """The switch's position. Requests outside the percentage are treated as `off`."""

    mode: Mode = Mode.ON
    percent: float = 100.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mode", _mode(self.mode))
        if isinstance(self.percent, bool) or not isinstance(self.percent, int | float):
            raise ConfigError(f"flag percent: a number from 0 to 100 is needed, got {self.percent!r}")
        if not 0 <= self.percent <= 100:
            raise ConfigError(f"flag percent: must be from 0 to 100, got {self.percent!r}")

    def applies(self, draw: float) -> Mode:
        """The mode for a request that drew `draw` from [0, 100). The same draw always gives the same mode."""
        return self.mode if draw < self.percent else Mode.OFF


def draw_of(key: str) -> float:
    """What a request with this key draws from [0, 100): the same on every replica and after every restart."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64 * 100


def _mode(value: object) -> Mode:
    try:
        return Mode(str(value))
    except ValueError:
        raise ConfigError(f"flag mode: must be one of on, off, shadow, got {value!r}") from None
