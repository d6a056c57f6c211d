"""What the proofs say of an answer that was not what was promised."""

import httpx
import pytest

from tests.prove_service.load import Seen, seen_of, whose_delay
from tests.prove_service.recovery import _judged


def answered(status: int, body: object, **headers: str) -> Seen:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return seen_of("id", 10.0, 10.1, 0.0, httpx.Response(status, json=body, headers=named))


COMPLETE = {"results": [{"index": place, "relevance_score": 0.5} for place in range(24)]}


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (answered(503, {"error": {"type": "shutting_down", "code": None}}), "503 shutting_down"),
        (answered(422, {"error": {"type": "validation", "code": "limit"}}), "422 limit"),
        (
            answered(503, {"id": "x", "message": "the server is shutting down"}),
            "503 the server is shutting down",
        ),
        (answered(502, ["not", "ours"]), "502 without an error of ours"),
        (answered(200, {"results": []}, x_rerank_outcome="skipped"), "200 skipped, not every candidate once"),
        (Seen("id", 0.0, 1.0, 0.0, None, error="ReadError"), "no answer, ReadError"),
    ],
)
def test_an_answer_that_is_not_complete_is_told_by_status_and_error(seen: Seen, said: str) -> None:
    assert seen.said == said


def test_a_report_says_what_each_bad_answer_was() -> None:
    bad = [answered(503, {"message": "going"}), answered(503, {"message": "going"})]
    lost = Seen("id", 10.0, 10.2, 0.0, None, error="ConnectError")
    good = answered(200, COMPLETE, x_rerank_outcome="reranked", x_rerank_depth="24/24")
    first, *_ = _judged("killed", [*bad, lost, good], 9.0, 1.0)
    assert first.measured == "3 of 4; 2 × 503 going; 1 × no answer, ConnectError"
    assert not first.passed


def test_that_reranking_never_came_back_is_told_with_how_it_was_before() -> None:
    before = answered(200, COMPLETE, x_rerank_outcome="reranked", x_rerank_depth="24/24")
    unscored = answered(200, COMPLETE, x_rerank_outcome="skipped", x_rerank_reason="overloaded")
    after = seen_of(
        "id",
        12.0,
        12.1,
        0.0,
        httpx.Response(200, json=COMPLETE, headers={"x-rerank-reason": "model_loading"}),
    )
    *_, back = _judged("killed", [before, unscored, after], 11.0, 1.0)
    assert back.measured == ("not at all; 1 of the 2 answers before were scored; after: 1 × model_loading")


def test_whose_a_delay_was_is_told_by_the_service_where_it_told() -> None:
    late = seen_of("late", 10.0, 10.3, 0.004, httpx.Response(200, json=COMPLETE))
    log = [{"request_id": "other", "ms": 1.5}, {"request_id": "late", "ms": 248.5}]
    assert whose_delay(late, log) == (
        "of its 300 ms the service had it for 248.5 ms, and it was sent 4 ms later than meant"
    )
    assert "for no time that it told," in whose_delay(late, log[:1])
