import io

import pytest
from rich.console import Console

from rerankd.cli.order import show_order
from rerankd.core.answer import RankedCandidate, Ranking
from rerankd.core.events import Timings
from rerankd.core.types import Outcome, Reason


def candidate(rank: int, was: int, score: float | None, text: str = "text") -> RankedCandidate:
    return RankedCandidate(
        id=f"c{was}",
        rank=rank,
        retrieval_rank=was,
        score=score,
        logit=score,
        scored=score is not None,
        text=text,
    )


def answer(*candidates: RankedCandidate, outcome: Outcome, reason: Reason | None, depth: int) -> Ranking:
    return Ranking(
        candidates=candidates,
        outcome=outcome,
        reason=reason,
        depth=depth,
        candidates_total=len(candidates),
        elapsed_ms=12.34,
        timings=Timings(queue=1.0, tokenize=2.0, inference=9.0, order=0.5),
        model="a/model",
    )


PARTIAL = answer(
    candidate(1, 3, 0.9876),
    candidate(2, 2, None),
    candidate(3, 1, 0.00001),
    outcome=Outcome.PARTIAL,
    reason=Reason.DEADLINE,
    depth=2,
)


def shown(ranking: Ranking, *, encoding: str = "utf-8", terminal: bool = False, **options: object) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace")  # as `main` sets it
    console = Console(file=file, width=100, force_terminal=terminal, highlight=False, _environ={})
    show_order(console, ranking, query="a query", budget_ms=250, **options)  # type: ignore[arg-type]
    file.flush()
    return raw.getvalue().decode(encoding)


def test_moves_are_arrows_and_a_candidate_without_score_keeps_its_place() -> None:
    lines = [line.split() for line in shown(PARTIAL).splitlines()]
    assert ["1", "3", "▲", "2", "0.988", "c3", "text"] in lines
    assert ["2", "2", "=", "–", "c2", "text"] in lines
    assert ["3", "1", "▼", "2", "<0.001", "c1", "text"] in lines


def test_the_outcome_says_why_and_how_deep() -> None:
    seen = shown(PARTIAL)
    assert "partial/deadline · 2 of 3 scored · 12.3 ms, budget 250 ms · a/model" in seen
    assert "the budget was used up" in seen
    assert "queue 1.0 ms · tokenize 2.0 ms · inference 9.0 ms · order 0.5 ms" in seen


def test_known_answers_are_marked_with_both_places() -> None:
    seen = shown(PARTIAL, answers={"c3"})
    assert "✓ answers the query: place 3 before, 1 now" in seen


def test_only_so_many_rows_are_shown_and_the_rest_is_counted() -> None:
    seen = shown(PARTIAL, rows=1)
    assert "c3" in seen
    assert "c1" not in seen
    assert "and 2 more" in seen


def test_an_output_without_arrows_gets_ascii() -> None:
    seen = shown(PARTIAL, encoding="ascii")
    assert "^ 2" in seen
    assert "v 2" in seen


def test_there_are_colours_on_a_terminal_only() -> None:
    assert "\x1b[" in shown(PARTIAL, terminal=True)
    assert "\x1b[" not in shown(PARTIAL)


@pytest.mark.parametrize("length", [10, 1_000_000])
def test_a_text_takes_one_line_however_long_it_is(length: int) -> None:
    long = answer(candidate(1, 1, 0.5, "x\ny " * length), outcome=Outcome.RERANKED, reason=None, depth=1)
    rows = [line for line in shown(long).splitlines() if "c1" in line or "y" in line.split()[-1:]]
    assert len(rows) <= 2  # the candidate's, and the query's
