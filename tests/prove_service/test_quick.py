"""The service's figures in their quick form: what is counted has to hold, what is timed is only shown."""

import pytest

from tests.prove_service.__main__ import ROWS

pytestmark = [pytest.mark.threads, pytest.mark.model]


# made-up requests: tests/fuzz has a short run of its own
@pytest.mark.parametrize("row", [row for row in ROWS if row != 15])
def test_the_figure_holds_in_small(row: int):
    """`make prove-service` measures the same with large numbers, and judges the timings as well."""
    lines = list(ROWS[row](True))
    for line in lines:
        print(line.text(quick=True))
    assert lines
    assert not [line.text(quick=True) for line in lines if line.fails(quick=True)]
