"""The drop-in's constants: read from the environment at each look-up, and assignable for a while."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from rerankd.errors import ConfigError
from rerankd.models.registry import find
from rerankd.settings import Settings, setting_fields

__all__ = ["Constants", "full_name", "settings_now"]

_log = logging.getLogger(__name__)


def settings_now() -> Settings:
    """The settings as the environment is now. A variable that makes no sense is ignored, with one warning."""
    return _read(tuple((name, os.environ[name]) for name in _variables() if name in os.environ))


def full_name(model: str) -> str:
    """The hub id of an alias; anything else as it is."""
    try:
        return find(model).id
    except ConfigError:  # a folder, or a name that loading will complain of
        return model


@cache
def _variables() -> tuple[str, ...]:
    ours = [name for each in setting_fields().values() for name in (each.env, *each.aliases)]
    return (*ours, "HOME", "XDG_DATA_HOME", "LOCALAPPDATA")


@lru_cache(maxsize=16)
def _read(variables: tuple[tuple[str, str], ...]) -> Settings:
    environ = dict(variables)
    while True:
        try:
            return Settings.load(environ)
        except ConfigError as error:
            wrong = next((name for name in environ if str(error).startswith(name)), "RERANKD_CONFIG")
            _log.warning("%s is ignored: %s", wrong, error)
            if environ.pop(wrong, None) is None:
                return Settings()


@dataclass(frozen=True, slots=True)
class _Assigned:
    value: Any
    replaced: Any
    """What was there before: when that is assigned again, this ends."""


class Constants:
    """Names whose values come from readers, unless one was assigned.

    `monkeypatch.setattr` undoes by assigning the old value, which must not stay for ever: the environment may
    have changed meanwhile, and is to be heard again.
    """

    def __init__(self, readers: Mapping[str, Callable[[], Any]]) -> None:
        self._readers = readers
        self._assigned: dict[str, _Assigned] = {}

    def value(self, name: str) -> Any:
        """What was assigned, else what the reader says now."""
        held = self._assigned.get(name)
        return self._readers[name]() if held is None else held.value

    def assigned(self, name: str) -> bool:
        return name in self._assigned

    def assign(self, name: str, value: Any) -> None:
        """Hold this value until the one that it replaced, or the reader's own, is assigned."""
        held, own = self._assigned.get(name), self._readers[name]()
        replaced = own if held is None else held.replaced
        if value in (replaced, own):
            self.release(name)
        else:
            self._assigned[name] = _Assigned(value, replaced)

    def release(self, name: str) -> None:
        """Hear the reader again. (`mock.patch` deletes what it did not find in the module's `__dict__`.)"""
        self._assigned.pop(name, None)

    def properties(self) -> dict[str, property]:
        """For the class of a module that is to have the names."""
        return {name: self._property(name) for name in self._readers}

    def _property(self, name: str) -> property:
        return property(
            lambda module: self.value(name),
            lambda module, value: self.assign(name, value),
            lambda module: self.release(name),
        )
