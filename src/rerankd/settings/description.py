"""Every setting as a table shows it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rerankd.fields import Field, field_docs, plain
from rerankd.settings.settings import Settings, setting_fields

__all__ = ["Setting", "describe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting as a table shows it; the values are plain (text, number, true or false, None)."""

    name: str
    env: str
    aliases: tuple[str, ...]
    type: str
    allowed: str
    default: Any
    value: Any
    source: str
    """`default`, `environment VARIABLE`, `file PATH` or `call`."""
    unit: str
    doc: str


def describe(settings: Settings | None = None) -> Iterator[Setting]:
    """Every setting with its names, type, default, value, source and meaning; secrets are hidden.

    Without an argument the defaults are described, in words where they depend on the machine: for the docs.
    """
    docs: dict[type, dict[str, str]] = {}
    for name, each in setting_fields().items():
        if each.owner not in docs:
            docs[each.owner] = field_docs(each.owner)
        default = each.default if each.default_words is None else each.default_words
        value = default if settings is None else _value(settings, each)
        yield Setting(
            name=name,
            env=each.env,
            aliases=each.aliases,
            type=each.type_name,
            allowed=each.allowed,
            default=plain(default),
            value=plain(value),
            source="default" if settings is None else settings.sources.get(name, "default"),
            unit=each.unit,
            doc=docs[each.owner].get(each.key, ""),
        )


def _value(settings: Settings, each: Field) -> Any:
    return getattr(getattr(settings, each.section) if each.section else settings, each.key)
