"""Settings in sections as plain names, and the known name that somebody may have meant."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from rerankd.errors import ConfigError
from rerankd.fields import Field

__all__ = ["flat", "hint", "nearest"]


def flat(tree: Mapping[str, Any], known: Mapping[str, Field], where: str = "") -> Iterator[tuple[str, Any]]:
    """Name and value of every entry, those of a section's table or policy under `section.key`."""
    sections = {each.section for each in known.values()} - {""}
    for key, value in tree.items():
        if is_dataclass(value) and not isinstance(value, type):
            yield from ((f"{key}.{each.name}", getattr(value, each.name)) for each in fields(value))
        elif isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", entry) for inner, entry in value.items())
        elif key in sections:
            if value is None:
                continue
            raise ConfigError(f"{where}{key}: must be a table of settings, got {type(value).__name__}")
        else:
            yield key, value


def nearest(name: str, known: list[str]) -> str | None:
    """The known name that is most like it, if any is."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, n=1, cutoff=0.6)), None)


def hint(name: str, known: Mapping[str, Any]) -> str:
    """The end of an error about a name that is not known."""
    found = nearest(name, list(known))
    return f"; did you mean {found}?" if found else ""
