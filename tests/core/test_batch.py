"""How much one run may hold: as the scorer and the policy say, halved when memory runs out, slowly grown back."""

from typing import Any

import pytest

from rerankd.core.batch import BatchLimit, BatchPolicy
from rerankd.core.ports import ScorerTraits
from rerankd.errors import ConfigError


def limit(policy: BatchPolicy | None = None, **traits: Any) -> BatchLimit:
    traits = {"batch_invariant": True, "max_batch_tokens": 4_096, **traits}
    return BatchLimit(policy or BatchPolicy(regrow_runs=2), ScorerTraits(model="m", device="d", **traits))


def test_pairs_are_grouped_up_to_the_smaller_of_what_policy_and_scorer_allow() -> None:
    assert (limit().pairs, limit().tokens) == (32, 4_096)
    assert limit(BatchPolicy(max_tokens=100, max_pairs=3)).tokens == 100


@pytest.mark.parametrize("traits", [{"batch_invariant": False}, {"max_batch_tokens": 0}])
def test_pairs_go_one_by_one_where_grouping_changes_scores_or_gains_nothing(traits: dict[str, Any]) -> None:
    assert (limit(**traits).pairs, limit(**traits).tokens) == (1, 0)


def test_out_of_memory_halves_down_to_one_pair() -> None:
    made, seen = limit(), []
    while made.halve(made.pairs):
        seen.append(made.pairs)
    assert seen == [16, 8, 4, 2, 1]


def test_a_larger_run_that_ran_out_of_memory_later_does_not_raise_the_limit() -> None:
    made = limit()
    assert made.halve(4)
    assert made.halve(32)
    assert made.pairs == 2


def test_after_so_many_good_runs_the_limit_doubles_up_to_where_it_was() -> None:
    made = limit()
    made.halve(8)
    assert [made.good() for _ in range(9)] == [False, True, False, True, False, True, False, False, False]
    assert made.pairs == 32


def test_the_good_runs_before_it_do_not_count_after_an_out_of_memory() -> None:
    made = limit()
    made.good()
    made.halve(8)
    assert not made.good()


def test_a_whole_request_cannot_be_made_smaller() -> None:
    made = limit(unit="query")
    assert made.whole
    assert not made.halve(8)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_pairs": 0},
        {"max_tokens": 0},
        {"queue_pairs": 0},
        {"workers": -1},
        {"encode_slice": 0},
        {"regrow_runs": 0},
        {"max_pairs": 1.5},
    ],
)
def test_a_policy_that_could_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"BatchPolicy\."):
        BatchPolicy(**wrong)
