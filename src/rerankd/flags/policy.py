"""Which flag source is asked, and how often."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rerankd.core.flag import Flag, Mode
from rerankd.core.policy import check_one_of, check_range
from rerankd.errors import ConfigError

__all__ = ["FlagPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagPolicy:
    """Where the flag comes from. The first that is set: OpenFeature, the file, the process itself."""

    mode: Literal["on", "off", "shadow"] = "on"
    """The switch until a source has been read, and until code or the admin route changes it."""
    percent: float = 100.0
    """The share of requests that `mode` holds for until then, from 0 to 100; the others see `off`."""
    file: Path | None = None
    """A JSON file `{"mode": "on", "percent": 100}` that holds the switch."""
    poll_ms: float = 500.0
    """How often the source is read. A request never waits for it."""
    openfeature_key: str = ""
    """The flag's key in OpenFeature; empty: OpenFeature is not asked."""
    openfeature_provider: str = ""
    """`module:name` of what makes the OpenFeature provider, called without arguments (for flagd,
    `openfeature.contrib.provider.flagd:FlagdProvider`); empty: the provider that the host has set."""

    def __post_init__(self) -> None:
        check_one_of(self, "mode", ("on", "off", "shadow"))
        check_range(self, "percent", 0, 100)
        check_range(self, "poll_ms", 10, 60_000)
        if self.openfeature_provider and not self.openfeature_key:
            raise ConfigError("FlagPolicy.openfeature_key: must be set where openfeature_provider is, got ''")
        module, colon, name = self.openfeature_provider.partition(":")
        if self.openfeature_provider and not (module and colon and name):
            raise ConfigError(
                "FlagPolicy.openfeature_provider: must have the form module:name, "
                f"got {self.openfeature_provider!r}"
            )

    @property
    def initial(self) -> Flag:
        """The flag that is in force until a source gives another."""
        return Flag(Mode(self.mode), self.percent)
