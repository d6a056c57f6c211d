"""How a flag is written outside the process: `{"mode": "on" | "off" | "shadow", "percent": 100}`.

The flag file, the admin route and an OpenFeature flag of type object all hold this. An unknown key is refused
rather than skipped: `{"mode": "on", "percnt": 5}` would otherwise switch on everybody.
"""

import json
from collections.abc import Mapping

from rerankd.core.flag import Flag, Mode
from rerankd.errors import ConfigError

__all__ = ["flag_from_json", "flag_from_object", "flag_to_json", "flag_to_object"]

MODES = tuple(mode.value for mode in Mode)


def flag_to_object(flag: Flag) -> dict[str, str | float]:
    """The flag as plain data."""
    whole = int(flag.percent)
    return {"mode": flag.mode.value, "percent": whole if whole == flag.percent else flag.percent}


def flag_to_json(flag: Flag) -> str:
    """The flag as one line of JSON."""
    return json.dumps(flag_to_object(flag))


def flag_from_object(value: object) -> Flag:
    """The flag in plain data; `percent` may be left out and is 100 then.

    Raises `ConfigError` naming the key, what was seen and what is allowed.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(
            f'flag: must be an object like {{"mode": "on", "percent": 100}}, got {_kind(value)}'
        )
    for key in value:
        if key not in ("mode", "percent"):
            raise ConfigError(f"flag: may have the keys mode and percent only, got {_seen(key)}")
    if "mode" not in value:
        raise ConfigError("flag mode: must be one of on, off, shadow, but is missing")
    mode, percent = value["mode"], value.get("percent", 100)
    if not isinstance(mode, str) or mode not in MODES:
        raise ConfigError(f"flag mode: must be one of on, off, shadow, got {_seen(mode)}")
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
        raise ConfigError(f"flag percent: must be a number from 0 to 100, got {_seen(percent)}")
    return Flag(Mode(mode), float(percent))


def flag_from_json(text: str | bytes) -> Flag:
    """The flag in a JSON document. Raises `ConfigError`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        # The parser's own message is left out, as it may quote what it stumbled over.
        raise ConfigError("flag: is not valid JSON") from None
    return flag_from_object(value)


def _seen(value: object) -> str:
    """What to show of a wrong value. A long one is only measured: it may be somebody's text."""
    if isinstance(value, str) and len(value) > 20:
        return f"{len(value)} characters"
    return repr(value) if isinstance(value, str | int | float | None) else _kind(value)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(value), f"a value of type {type(value).__name__}")
