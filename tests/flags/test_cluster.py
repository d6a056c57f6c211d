"""A flag that is set by one process holds for all of them, also after the place that kept it was lost."""

from typing import Any

import pytest

from rerankd.core.flag import Flag, Mode
from rerankd.core.ports import FlagStore
from rerankd.errors import ConfigError
from rerankd.flags.cluster import ClusterFlag

OFF = Flag(Mode.OFF)


class Cell:
    def __init__(self) -> None:
        self.value: Any = None
        self.gone = False

    def read(self) -> Any:
        self._check()
        return self.value

    def write(self, value: Any) -> None:
        self._check()
        self.value = value

    def _check(self) -> None:
        if self.gone:
            raise OSError("the cluster does not answer")


def test_what_one_sets_the_others_read() -> None:
    cell = Cell()
    one, other = ClusterFlag(cell), ClusterFlag(cell)
    assert isinstance(one, FlagStore)
    assert other.read({}) is None
    one.set(OFF)
    assert other.read({}) == one.read({}) == OFF


def test_while_the_cluster_is_silent_nothing_is_known_and_nothing_can_be_set() -> None:
    cell = Cell()
    flag = ClusterFlag(cell)
    flag.set(OFF)
    cell.gone = True
    assert flag.read({}) is None
    with pytest.raises(ConfigError, match="the flag cannot be changed: the cluster does not answer"):
        flag.set(Flag())


def test_a_place_that_was_lost_is_told_again() -> None:
    cell = Cell()
    one, newcomer = ClusterFlag(cell), ClusterFlag(cell)
    one.set(OFF)
    cell.value = None
    assert newcomer.read({}) is None
    assert one.read({}) == OFF
    assert newcomer.read({}) == OFF
