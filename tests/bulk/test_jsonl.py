"""Lines are cut at line breaks alone, wherever blocks end, and their places are bytes that can be sought."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.bulk import jsonl
from rerankd.bulk.jsonl import lines


@given(st.binary(max_size=200), st.integers(1, 7))
def test_lines_are_those_of_the_file_wherever_its_blocks_end(content: bytes, block: int) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jsonl, "_BLOCK", block)
        found = list(lines(io.BytesIO(content)))
    wanted = content.split(b"\n")
    assert [line for _, line in found] == (wanted[:-1] if wanted[-1] == b"" else wanted)
    for at, line in found:
        assert line is not None
        assert content[at : at + len(line)] == line


def test_a_line_that_is_too_long_is_told_and_the_next_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_BLOCK", 4)
    content = b"ab\n" + b"x" * 50 + b"\ncd"
    assert list(lines(io.BytesIO(content), most=10)) == [(0, b"ab"), (3, None), (54, b"cd")]


def test_the_last_line_may_be_too_long_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_BLOCK", 4)
    assert list(lines(io.BytesIO(b"ab\n" + b"x" * 50), most=10)) == [(0, b"ab"), (3, None)]
