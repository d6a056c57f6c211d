"""The settings: the only place that reads the environment."""

from rerankd.core.secret import Secret
from rerankd.settings.data_dir import default_data_dir
from rerankd.settings.description import Setting, describe
from rerankd.settings.settings import (
    SPECIAL_NAMES,
    Settings,
    ray_address,
    refuse_unknown,
    setting_fields,
    unknown_keys,
    warn_unknown,
)
from rerankd.settings.unknown import ConfigWarning, UnknownKey

__all__ = [
    "SPECIAL_NAMES",
    "ConfigWarning",
    "Secret",
    "Setting",
    "Settings",
    "UnknownKey",
    "default_data_dir",
    "describe",
    "ray_address",
    "refuse_unknown",
    "setting_fields",
    "unknown_keys",
    "warn_unknown",
]
