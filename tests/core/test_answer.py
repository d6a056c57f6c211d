"""The answer: candidates in their new order, nothing of the caller's touched, and what shadow mode would change."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.answer import Ranking, Rescored, compare, ranked
from rerankd.core.breaker import Verdict
from rerankd.core.conclusion import Conclusion
from rerankd.core.events import Timings
from rerankd.core.request import Request, RerankPolicy, read_request
from rerankd.core.types import Outcome, Reason, Text


def request(*candidates: Any, **options: Any) -> Request:
    return read_request(RerankPolicy(), "q", list(candidates), **{"budget_ms": None, **options})


def conclusion(*logits: float | None) -> Conclusion:
    depth = sum(logit is not None for logit in logits)
    return Conclusion(logits, Outcome.PARTIAL, Reason.DEADLINE, depth, Verdict.GOOD)


# -- candidates -----------------------------------------------------------------------------------------------


def test_candidates_come_best_first_with_both_their_ranks() -> None:
    answer = ranked(request("a", "b", "c"), [0.0, 2.0, 1.0], "sigmoid")
    assert [(c.id, c.rank, c.retrieval_rank) for c in answer] == [(1, 1, 2), (2, 2, 3), (0, 3, 1)]


def test_the_score_is_the_sigmoid_of_a_logit_and_the_logit_is_kept() -> None:
    (candidate,) = ranked(request("a"), [math.log(3)], "sigmoid")
    assert candidate.score == pytest.approx(0.75)
    assert candidate.logit == math.log(3)


def test_a_probability_is_not_squashed_again() -> None:
    (candidate,) = ranked(request("a"), [0.75], "identity")
    assert (candidate.score, candidate.logit) == (0.75, 0.75)


def test_a_candidate_without_a_score_says_so() -> None:
    (candidate,) = ranked(request("a"), [None], "sigmoid")
    assert (candidate.scored, candidate.score, candidate.logit) == (False, None, None)


def test_what_the_caller_gave_comes_back_untouched() -> None:
    metadata, row = {"page": 3}, {}
    row.update(id="x", text="body", score=0.3, metadata=metadata)
    (candidate,) = ranked(request(row), [1.0], "sigmoid")
    assert candidate.item is row
    assert candidate.metadata is metadata
    assert (candidate.id, candidate.text, candidate.retrieval_score) == ("x", "body", 0.3)
    assert row == {"id": "x", "text": "body", "score": 0.3, "metadata": {"page": 3}}


def test_the_caller_gets_a_plain_string_back() -> None:
    (candidate,) = ranked(request("body"), [1.0], "sigmoid")
    assert type(candidate.text) is str
    assert repr(candidate.text) == "'body'"


def test_no_repr_of_an_answer_shows_a_text() -> None:
    answer = ranked(request({"text": "swordfish", "metadata": "swordfish"}), [1.0], "sigmoid")
    assert "swordfish" not in repr(answer)


def test_min_score_and_top_k_cut_at_the_very_end() -> None:
    asked = request("a", "b", "c", "d", min_score=0.4, top_k=2)
    answer = ranked(asked, [-5.0, None, 5.0, 1.0], "sigmoid")
    # in order: c (best, in the first scored slot), b in its own slot, d, and a below the limit
    assert [(c.id, c.rank) for c in answer] == [(2, 1), (1, 2)]


# -- the sequence ---------------------------------------------------------------------------------------------


def test_a_ranking_is_a_sequence_of_its_candidates() -> None:
    candidates = ranked(request("a", "b"), [0.0, 1.0], "sigmoid")
    answer = Ranking(
        candidates=candidates,
        outcome=Outcome.RERANKED,
        reason=None,
        depth=2,
        candidates_total=2,
        elapsed_ms=1.0,
        timings=Timings(),
        model="m",
    )
    assert len(answer) == 2
    assert answer[0] is candidates[0]
    assert answer[1:] == candidates[1:]
    assert answer.as_dict() == {
        "outcome": "reranked",
        "reason": None,
        "depth": 2,
        "refined_depth": 0,
        "candidates_total": 2,
        "elapsed_ms": 1.0,
        "model": "m",
        "results": [candidate.as_dict() for candidate in candidates],
    }
    assert list(answer) == list(candidates)
    assert candidates[1] in answer


# -- shadow ---------------------------------------------------------------------------------------------------


def test_shadow_tells_how_many_would_have_moved_and_how_many_of_the_top_remained() -> None:
    shadow = compare(conclusion(0.0, 1.0, 2.0, None), top_k=2, elapsed_ms=7.0)
    assert (shadow.moved, shadow.overlap) == (2, 0.5)
    assert (shadow.outcome, shadow.reason, shadow.depth) == (Outcome.PARTIAL, Reason.DEADLINE, 3)
    assert shadow.elapsed_ms == 7.0


def test_where_all_were_asked_for_the_usual_top_is_compared() -> None:
    logits = [float(i) for i in range(16)]
    assert compare(conclusion(*logits), top_k=None, elapsed_ms=0.0).overlap == 0.0
    assert compare(conclusion(*logits[:8]), top_k=None, elapsed_ms=0.0).overlap == 1.0


@given(st.lists(st.none() | st.floats(-9, 9), max_size=20), st.none() | st.integers(1, 30))
def test_overlap_is_a_share_and_nothing_scored_changes_nothing(
    logits: list[float | None], top_k: int | None
) -> None:
    shadow = compare(conclusion(*logits), top_k, 0.0)
    assert 0.0 <= shadow.overlap <= 1.0
    assert 0 <= shadow.moved <= len(logits)
    unscored = compare(conclusion(*[None] * len(logits)), top_k, 0.0)
    assert unscored.moved == 0
    assert unscored.overlap == (1.0 if logits else 0.0)


def test_texts_stay_hidden_inside_the_engine() -> None:
    assert type(request("a").candidates[0].text) is Text


# -- a cascade ------------------------------------------------------------------------------------------------


def test_what_the_larger_model_scored_shows_its_score_and_keeps_the_first_one() -> None:
    rescored = Rescored(logits=[None, -1.0, 1.0], model="large", activation="sigmoid")
    assert rescored.depth == 2
    answer = ranked(request("a", "b", "c"), [0.0, 2.0, 1.0], "sigmoid", model="small", rescored=rescored)
    assert [(c.id, c.logit, c.first_logit, c.scored_by) for c in answer] == [
        (2, 1.0, 1.0, "large"),
        (1, -1.0, 2.0, "large"),
        (0, 0.0, 0.0, "small"),
    ]
    assert answer[0].score == pytest.approx(1 / (1 + math.exp(-1.0)))


def test_as_plain_data_a_candidate_says_who_scored_it() -> None:
    (candidate,) = ranked(request("a"), [0.0], "sigmoid", model="small")
    assert candidate.as_dict() == {
        "id": 0,
        "rank": 1,
        "retrieval_rank": 1,
        "score": 0.5,
        "scored": True,
        "scored_by": "small",
        "text": "a",
        "metadata": candidate.metadata,
    }
