"""Rows are scored as any request: checked, cut to the window, ordered by the ranking rule; alone or in batches."""

import math
import threading
from typing import Any

import pytest

from rerankd.bulk.row import Row, Scored
from rerankd.bulk.scoring import BulkScorer
from rerankd.core.ranking import sigmoid
from rerankd.core.types import Pair
from rerankd.errors import OutOfMemory
from rerankd.testing import word_overlap
from tests.bulk.files import job, model


def row(query: object = "a b", candidates: object = ("c", "a b", "a"), position: int = 0) -> Row:
    return Row(position, query, list(candidates) if isinstance(candidates, tuple) else candidates, None)


def scored(*rows: Row, asked: Any = None, threads: int = 2, **given: Any) -> list[Scored | str]:
    scorer = BulkScorer(model(**given), asked or job("in", "out"), threads=threads)
    try:
        return scorer.score(rows)
    finally:
        scorer.close()


def test_a_row_has_its_scores_as_its_candidates_came_and_their_order() -> None:
    (result,) = scored(row())
    assert result == Scored((0.5, sigmoid(2.0), sigmoid(1.0)), (0.0, 2.0, 1.0), (1, 2, 0))


def test_a_row_without_candidates_is_a_good_one() -> None:
    assert scored(row(candidates=[])) == [Scored((), (), ())]


def test_probabilities_stay_what_they_are() -> None:
    (result,) = scored(row(), score=lambda pair: 0.25, activation="identity")
    assert isinstance(result, Scored)
    assert result.scores == (0.25, 0.25, 0.25)


def test_top_k_cuts_the_order_and_no_score() -> None:
    (result,) = scored(row(), asked=job("in", "out", top_k=1))
    assert isinstance(result, Scored)
    assert (result.order, len(result.scores)) == ((1,), 3)


@pytest.mark.parametrize(
    ("query", "candidates", "reason"),
    [
        (None, ["a"], "query: must be a string, got NoneType"),
        ("  ", ["a"], "query: must not be empty or only white space"),
        ("a", None, "candidates: must be a list of candidates, got NoneType"),
        ("a", "text", "candidates: must be a list of candidates, got str"),
        ("a", ["b", 3], "candidates[1].text: must be a string, got int without one"),
        ("a", [{"text": None}], "candidates[0].text: must be a string, got dict without one"),
    ],
)
def test_a_bad_row_is_told_with_its_reason_and_costs_no_other(
    query: Any, candidates: Any, reason: str
) -> None:
    before, result, after = scored(row(), Row(1, query, candidates, None), row())
    assert result == reason
    assert before == after
    assert isinstance(before, Scored)


def test_a_candidate_without_a_finite_score_makes_its_row_a_bad_one() -> None:
    results = scored(row(), row("q", ["nan"]), score=lambda pair: math.nan if pair.text == "nan" else 1.0)
    assert isinstance(results[0], Scored)
    assert results[1] == "nonfinite_score"


def test_what_the_scorer_raises_costs_its_row_and_is_named_without_its_message() -> None:
    def score(pair: Pair) -> float:
        if "secret" in pair.text:
            raise ValueError("a secret text")
        return word_overlap(pair)

    results = scored(
        row(), row(candidates=["a secret"]), score=score, batch_invariant=True, max_batch_tokens=64
    )
    assert isinstance(results[0], Scored)
    assert results[1] == "model_error: ValueError"


def test_what_does_not_fit_into_memory_is_tried_in_halves() -> None:
    asked = model(batch_invariant=True, max_batch_tokens=1_000)
    whole = asked.scorer.score
    sizes: list[int] = []

    def score(pairs: Any, stop: Any) -> Any:
        sizes.append(len(pairs))
        if len(pairs) > 4:
            raise OutOfMemory("too many")
        return whole(pairs, stop)

    asked.scorer.score = score  # type: ignore[method-assign]
    scorer = BulkScorer(asked, job("in", "out"))
    texts = [f"a {'x ' * place}" for place in range(10)]
    (result,) = scorer.score([row("a b", texts)])
    scorer.close()
    assert isinstance(result, Scored)
    assert result.logits == (1.0,) * 10
    assert max(size for size in sizes if size <= 4) > 1


def test_pairs_share_runs_only_where_that_changes_no_score() -> None:
    for invariant, shared in ((False, False), (True, True)):
        asked = model(batch_invariant=invariant, max_batch_tokens=1_000)
        scorer = BulkScorer(asked, job("in", "out"))
        scorer.score([row(), row()])
        scorer.close()
        assert any(len(run) > 1 for run in asked.scorer.runs) is shared  # type: ignore[attr-defined]


def test_the_best_chunk_of_a_long_candidate_counts() -> None:
    long = "x " * 16 + "a b"
    cut, chunked = (
        scored(row("a b", [long]), asked=job("in", "out", long_text=how), max_tokens=8)[0]
        for how in ("truncate", "chunk")
    )
    assert isinstance(cut, Scored)
    assert isinstance(chunked, Scored)
    assert (cut.logits, chunked.logits) == ((0.0,), (2.0,))


def test_a_scorer_of_whole_requests_is_given_one_at_a_time() -> None:
    asked = model(unit="query")
    scorer = BulkScorer(asked, job("in", "out"))
    results = scorer.score([row(), row(candidates=[]), row("c", ["c"])])
    scorer.close()
    assert all(isinstance(result, Scored) for result in results)
    assert sorted(len(run) for run in asked.scorer.runs) == [1, 3]  # type: ignore[attr-defined]


def test_closing_it_ends_what_is_under_way_after_the_pairs_that_are_being_scored() -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def score(pair: Pair) -> float:
        seen.append(pair.text)
        begun.set()
        assert go_on.wait(10)
        return 1.0

    scorer = BulkScorer(model(score=score), job("in", "out"), threads=1)
    caller = threading.Thread(target=scorer.score, args=([row()],))
    caller.start()
    assert begun.wait(10)
    closing = threading.Thread(target=scorer.close)
    closing.start()
    while not scorer._stop.stopped:
        begun.wait(0.001)
    go_on.set()
    closing.join(10)
    caller.join(10)
    assert len(seen) == 1
