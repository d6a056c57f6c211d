"""The memory's figures in their quick form: what is counted has to hold, what is timed is only shown."""

import pytest

from tests.prove_memory.__main__ import ROWS

pytestmark = pytest.mark.threads


@pytest.mark.parametrize("row", ROWS)
def test_the_figure_holds_in_small(row: int) -> None:
    """`make prove-memory` measures the same with large numbers, and judges the timings as well."""
    lines = list(ROWS[row](True))
    for line in lines:
        print(line.text(quick=True))
    assert lines
    assert not [line.text(quick=True) for line in lines if line.fails(quick=True)]
