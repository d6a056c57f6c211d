import os
from pathlib import Path

import pytest

from rerankd.cli.age import process_age


def test_the_age_is_the_time_since_the_process_began(tmp_path: Path) -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    (tmp_path / "self").mkdir()
    fields = " ".join(["S", *["0"] * 18, str(100 * ticks), "0"])
    (tmp_path / "self" / "stat").write_text(f"12 (a ) name) {fields}\n")
    (tmp_path / "uptime").write_text("102.50 300.00\n")
    assert process_age(tmp_path) == pytest.approx(2.5)


@pytest.mark.parametrize("stat", ["", "12 (name) S 1 2", "nonsense"])
def test_where_the_system_does_not_tell_there_is_none(tmp_path: Path, stat: str) -> None:
    assert process_age(tmp_path) is None
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "stat").write_text(stat)
    (tmp_path / "uptime").write_text("1.0 1.0\n")
    assert process_age(tmp_path) is None
