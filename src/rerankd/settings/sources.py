"""What is set, and where: in the environment, in the file, in the call; and policies made of it.

`known`: every setting by its name. Errors name the variable or the key, the value seen and what is allowed.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerankd.errors import ConfigError
from rerankd.fields import Field
from rerankd.settings.flat import flat, hint

__all__ = ["Given", "expanded", "from_call", "from_environment", "from_file", "made", "read_toml"]


@dataclass(frozen=True, slots=True)
class Given:
    """A value that somebody has set."""

    value: Any
    label: str
    """What an error calls it."""
    source: str
    """What a table calls it."""


def from_environment(environ: Mapping[str, str], known: Mapping[str, Field]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for name, each in known.items():
        if name == "config":
            continue
        for variable in (each.env, *each.aliases):
            text = environ.get(variable, "")
            if not text.strip():
                continue
            try:
                value = each.parse(text)
            except ValueError:
                raise ConfigError(f"{variable}: must be {each.allowed}, got {each.seen(text)}") from None
            if name in given and given[name].value != value:
                raise ConfigError(
                    f"{given[name].label} and {variable} are the same setting and differ: unset one"
                )
            given.setdefault(name, Given(value, variable, f"environment {variable}"))
    return given


def from_file(table: Mapping[str, Any], path: Path | None, known: Mapping[str, Field]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    if path is None:
        return given
    for name, value in flat(table, known, f"{path}: "):
        each = known.get(name)
        if each is None or not each.in_file:
            continue  # listed by `unknown_in_file`
        try:
            taken = each.take(value, path.parent.absolute())
        except ValueError:
            raise ConfigError(f"{path}: {name}: must be {each.allowed}, got {each.seen(value)}") from None
        given[name] = Given(taken, f"{path}: {name}", f"file {path}")
    return given


def from_call(overrides: Mapping[str, Any], known: Mapping[str, Field]) -> dict[str, Given]:
    given: dict[str, Given] = {}
    for name, value in flat(overrides, known):
        each = known.get(name)
        if each is None or name == "config":
            raise ConfigError(f"{name}: is not a setting{hint(name, known)}")
        if value is None:
            continue
        try:
            taken = each.parse(value) if isinstance(value, str) else each.take(value)
        except ValueError:
            raise ConfigError(f"{name}: must be {each.allowed}, got {each.seen(value)}") from None
        given[name] = Given(taken, name, "call")
    return given


def expanded(file: Path | str | None) -> Path | None:
    return None if file is None else Path(os.path.expanduser(file))


def read_toml(path: Path, label: str = "settings file") -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{label}: {path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        place = re.search(r"\(at .*\)$", str(error))  # the rest of the message may quote what is in the file
        raise ConfigError(f"{label}: {path} is not valid TOML {place[0] if place else ''}".rstrip()) from None


def made(policy: Any, section: str, given: Mapping[str, Given], known: Mapping[str, Field]) -> Any:
    ours = {
        each.key: given[name] for name, each in known.items() if each.section == section and name in given
    }
    try:
        return policy(**{key: got.value for key, got in ours.items()})
    except ConfigError as error:
        raise ConfigError(_in_the_user_s_words(str(error), policy, section, ours)) from None


def _in_the_user_s_words(message: str, policy: Any, section: str, ours: Mapping[str, Given]) -> str:
    """A policy's complaint about its field, told of the variable that the user has set."""
    labels = ", ".join(got.label for got in ours.values())
    complaint = re.fullmatch(rf"{policy.__name__}\.(\w+)(: .*)", message, re.DOTALL)
    if complaint is None:
        return f"{labels}: {message}"
    key, rest = complaint.groups()
    if key in ours:
        return f"{ours[key].label}{rest}"
    return f"{section}.{key}{rest}, its default; set here: {labels}"
