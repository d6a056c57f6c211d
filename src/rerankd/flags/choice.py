"""Which of the sources holds the switch."""

from rerankd.core.flag import Flag, Mode
from rerankd.core.ports import FlagSource
from rerankd.flags.file import FileFlag
from rerankd.flags.memory import FixedFlag, MemoryFlag
from rerankd.flags.policy import FlagPolicy

__all__ = ["choose"]


def choose(policy: FlagPolicy, *, enabled: bool = True) -> FlagSource:
    """The one source that is asked: OpenFeature where a key is set, else the file, else the process itself.

    `enabled=False` (`RERANK_ENABLED=false`) is off for good, whatever the other sources say, and none of them
    is touched. Raises `ConfigError` when OpenFeature is asked for and its SDK or provider is not there.
    """
    if not enabled:
        return FixedFlag(Flag(Mode.OFF), name="RERANK_ENABLED")
    if policy.openfeature_key:
        from rerankd.flags.openfeature import OpenFeatureFlag

        return OpenFeatureFlag(policy.openfeature_key, provider=policy.openfeature_provider)
    if policy.file is not None:
        return FileFlag(policy.file)
    return MemoryFlag(policy.initial)
