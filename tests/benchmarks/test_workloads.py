"""One format for all that is timed: what is made is the same every time, and what is read is what was written."""

import argparse
from itertools import islice

import pytest
from benchmarks.workloads import MIXED, WORKLOADS, add_arguments, chosen, read, requests, write

from rerankd.cli.inputs import read_requests
from rerankd.errors import InvalidRequest


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda each: each.name)
def test_every_request_has_passages_of_the_lengths_that_the_workload_says(workload):
    for request in islice(requests(workload), 10):
        assert sorted(len(text.split()) for text in request.texts) == sorted(workload.words)


def test_a_workload_is_the_same_for_the_same_seed_and_another_for_another(tmp_path):
    first, again, other = (
        write(MIXED, tmp_path / folder, 5, seed).read_bytes()
        for folder, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again
    assert first != other


def test_a_file_is_read_as_what_was_written_and_begins_again_at_its_end(tmp_path):
    workload = read(write(MIXED, tmp_path, 3))
    assert (workload.name, workload.candidates) == ("mixed", 24)
    given = list(islice(requests(workload), 6))
    assert given[:3] == list(islice(requests(MIXED), 3)) == given[3:]


def test_the_command_line_reads_the_same_file(tmp_path):
    path = write(MIXED, tmp_path, 3)
    assert [str(each.query) for each in read_requests(path)] == [each.query for each in read(path).given]


def test_a_wrong_line_is_named(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text('{"query": "q", "candidates": ["a"]}\n{"candidates": ["a"]}\n')
    with pytest.raises(InvalidRequest, match="line 2"):
        read(path)


def test_what_is_timed_is_what_was_asked_for_and_else_the_usual(tmp_path):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    path = write(MIXED, tmp_path, 2)
    asked = ["--workload", "equal-20", "--file", str(path)]
    found = chosen(parser.parse_args(asked))
    assert [each.name for each in found] == ["equal-20", "mixed"]
    assert len(found[1].given) == 2
    assert chosen(parser.parse_args([]), [MIXED]) == [MIXED]
