from itertools import islice

import pytest

from rerankd.sample.questions import questions
from rerankd.sample.workload import requests


def test_questions_come_in_turn_with_their_own_candidates_first() -> None:
    seen = list(islice(requests(30), 20))
    for (query, candidates), question in zip(seen, questions(), strict=False):
        assert query == question.text
        assert tuple(candidates[:24]) == question.candidates
    assert seen[len(questions())][0] == questions()[0].text


def test_it_is_the_same_every_time() -> None:
    assert list(islice(requests(60), 40)) == list(islice(requests(60), 40))


@pytest.mark.parametrize("size", [0, 1, 24, 90, 500])
def test_each_request_has_the_wanted_number_of_candidates_with_ids_of_their_own(size: int) -> None:
    for _, candidates in islice(requests(size), 5):
        assert len(candidates) == len({candidate.id for candidate in candidates}) == size
