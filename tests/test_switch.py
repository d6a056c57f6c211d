"""The last known flag stays in force, whatever becomes of its source."""

import math
import threading
from collections.abc import Mapping

import pytest

from rerankd.core.events import Event
from rerankd.core.flag import Flag, Mode
from rerankd.engine.ticket import wait
from rerankd.errors import ConfigError
from rerankd.flags.memory import MemoryFlag
from rerankd.switch import Switch

pytestmark = pytest.mark.threads


class Source:
    name, immediate = "provider", False

    def __init__(self, *answers: Flag | Exception | None) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.enough = threading.Event()

    def read(self, context: Mapping[str, str]) -> Flag | None:
        self.asked += 1
        if not self.answers:
            self.enough.set()
            return None
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def a_switch(source: Source | MemoryFlag, events: list[Event], initial: Flag | None = None) -> Switch:
    return Switch(source, initial=initial or Flag(), poll_seconds=0.001, emit=events.append)


@pytest.mark.parametrize("trouble", [None, ValueError("a text")])
def test_a_source_that_fails_leaves_the_last_known_flag_in_force(trouble: Exception | None) -> None:
    events: list[Event] = []
    source = Source(Flag(Mode.OFF), trouble, trouble)
    switch = a_switch(source, events)
    switch.start()
    assert source.enough.wait(10)
    assert switch.now() == Flag(Mode.OFF)
    assert len(events) == 1
    switch.close()


def test_the_initial_flag_holds_until_the_source_has_spoken() -> None:
    """And a source that cannot be read at all never overrules it."""
    switch = a_switch(Source(None), [], Flag(Mode.SHADOW))
    assert switch.now() == Flag(Mode.SHADOW)
    poller = switch.start()
    assert poller is not None
    wait(poller.asked, math.inf)
    assert switch.now() == Flag(Mode.SHADOW)
    switch.close()


def test_a_flag_in_the_process_counts_at_once_and_a_foreign_one_cannot_be_set() -> None:
    events: list[Event] = []
    switch = a_switch(MemoryFlag(Flag()), events)
    assert switch.start() is None
    switch.set(Flag(Mode.OFF))
    assert switch.now() == Flag(Mode.OFF)
    assert len(events) == 1
    foreign = a_switch(Source(), [])
    with pytest.raises(ConfigError, match="provider"):
        foreign.set(Flag())
    foreign.close()


def test_after_a_fork_the_next_use_asks_again() -> None:
    source = Source()
    switch = a_switch(source, [])
    switch.now()
    assert source.enough.wait(10)
    switch.close()
    switch._closed = False
    source.enough.clear()
    switch.reset()
    switch.now()
    assert source.enough.wait(10)
    switch.close()
