"""When work counts as overrun, and when as hung."""

import pytest

from rerankd.core.watch import WatchPolicy
from rerankd.errors import ConfigError


def test_work_is_overrun_after_four_times_its_prediction_but_not_within_the_first_moments() -> None:
    watch = WatchPolicy()
    assert watch.patience(0.1) == pytest.approx(0.4)
    assert watch.patience(0.001) == pytest.approx(0.05)


def test_work_is_hung_a_second_after_that() -> None:
    watch = WatchPolicy()
    assert not watch.hung(overrun_at=5.0, now=6.0)
    assert watch.hung(overrun_at=5.0, now=6.001)


@pytest.mark.parametrize("wrong", ["overrun_factor", "overrun_min_ms", "hang_ms", "replacements"])
def test_a_negative_figure_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match=rf"WatchPolicy\.{wrong}"):
        WatchPolicy(**{wrong: -1.0})
