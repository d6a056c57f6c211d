"""Checks that every policy makes of itself when it is made, so that a wrong one never starts to work."""

import math
from typing import Any

from rerankd.errors import ConfigError

__all__ = ["check_at_least", "check_one_of", "check_range"]


def check_range(policy: Any, name: str, low: float, high: float = math.inf) -> None:
    """Raise `ConfigError` unless the field is a number from `low` to `high`, both included.

    A field declared as `int` takes whole numbers only.
    """
    value = getattr(policy, name)
    whole = type(policy).__dataclass_fields__[name].type in (int, "int")
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        span = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        kind = "a whole number" if whole else "a number"
        raise ConfigError(f"{type(policy).__name__}.{name}: must be {kind} {span}, got {value!r}")


def check_at_least(policy: Any, name: str, other: str) -> None:
    """Raise `ConfigError` unless one field is at least as large as another."""
    low, value = getattr(policy, other), getattr(policy, name)
    if value < low:
        raise ConfigError(
            f"{type(policy).__name__}.{name}: must be at least {other} ({low!r}), got {value!r}"
        )


def check_one_of(policy: Any, name: str, allowed: tuple[str, ...]) -> None:
    """Raise `ConfigError` unless the field is one of the allowed words."""
    value = getattr(policy, name)
    if value not in allowed:
        raise ConfigError(
            f"{type(policy).__name__}.{name}: must be one of {', '.join(allowed)}, got {value!r}"
        )
