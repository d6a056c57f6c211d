"""The switch inside the process is what was set last; a fixed one never changes."""

from rerankd.core.flag import Flag, Mode
from rerankd.core.ports import FlagSource
from rerankd.flags.memory import FixedFlag, MemoryFlag


def test_the_flag_that_was_set_last_is_read():
    source = MemoryFlag(Flag(Mode.ON))
    assert source.read({}) == Flag(Mode.ON)
    source.set(Flag(Mode.SHADOW, 5))
    assert source.read({"flag_key": "x"}) == Flag(Mode.SHADOW, 5)
    assert source.name == "memory"


def test_a_fixed_flag_names_what_fixed_it_and_cannot_be_set():
    source: FlagSource = FixedFlag(Flag(Mode.OFF), name="RERANK_ENABLED")
    assert source.read({}) == Flag(Mode.OFF)
    assert source.name == "RERANK_ENABLED"
    assert not hasattr(source, "set")
