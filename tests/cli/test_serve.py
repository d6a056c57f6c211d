"""`rerankd serve`, as far as it is not the server's own doing."""

import gc
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from tests.cli.conftest import Run


def test_what_is_there_when_it_listens_is_never_looked_through_for_garbage(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = []

    class Listens:
        async def run(self, listening: Callable[[object], None]) -> None:
            frozen.append(gc.get_freeze_count())
            listening(SimpleNamespace(port=1))
            frozen.append(gc.get_freeze_count())

    monkeypatch.setattr("rerankd.wiring.build_service", lambda settings: Listens())
    try:
        done = run("serve")
    finally:
        gc.unfreeze()
    assert done.status == 0, done.err
    assert frozen[1] > frozen[0] + 10_000
