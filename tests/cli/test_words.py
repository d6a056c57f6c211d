import math

from rerankd.cli.words import COLOURS, explain, limit
from rerankd.core.types import Outcome, Reason


def test_every_reason_is_explained_in_words_of_its_own() -> None:
    words = [explain(reason) for reason in Reason]
    assert all(words)
    assert len(set(words)) == len(words)
    assert explain(None) == ""


def test_every_outcome_has_a_colour() -> None:
    assert set(COLOURS) == set(Outcome)


def test_a_budget_without_end_is_no_limit() -> None:
    assert limit(250.0) == "250 ms"
    assert limit(None) == limit(math.inf) == "no limit"
