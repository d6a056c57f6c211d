"""Each server is asked in its own words, and nothing that it answers is believed unseen."""

import json
import math
from typing import Any

import pytest

from rerankd.backends.remote_dialects import Answer, TooMany, ask, read
from rerankd.backends.remote_policy import RemotePolicy
from rerankd.core.cascade import CascadePolicy
from rerankd.core.secret import Secret
from rerankd.core.types import Reason, Scores
from rerankd.errors import BackendError, ConfigError
from tests.http.service import service
from tests.test_refining import MIXED, MIXED_ORDER, a_cascade

DIALECTS = ["rerankd", "tei", "cohere", "jina", "voyage"]


def answer(body: Any, status: int = 200, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def good(dialect: str, scores: list[Any], indexes: list[Any] | None = None) -> Any:
    """What such a server says, best first or in whatever order."""
    indexes = list(range(len(scores))) if indexes is None else indexes
    if dialect == "rerankd":
        rows = [
            {"id": str(at), "score": score, "scored": True, "rank": 1}
            for at, score in zip(indexes, scores, strict=True)
        ]
        return {"outcome": "reranked", "reason": None, "results": rows}
    name = "score" if dialect == "tei" else "relevance_score"
    items = [{"index": at, name: score} for at, score in zip(indexes, scores, strict=True)]
    return {"tei": items, "voyage": {"data": items}}.get(dialect, {"results": items})


@pytest.mark.parametrize(
    ("dialect", "path", "body"),
    [
        (
            "rerankd",
            "/api/v1/rerank",
            {
                "query": "q",
                "candidates": [{"id": "0", "text": "a"}, {"id": "1", "text": "b"}],
                "model": "m",
                "budget_ms": 90,
            },
        ),
        ("tei", "/rerank", {"query": "q", "texts": ["a", "b"], "truncate": True, "raw_scores": False}),
        ("cohere", "/v2/rerank", {"query": "q", "documents": ["a", "b"], "top_n": 2, "model": "m"}),
        (
            "jina",
            "/v1/rerank",
            {"query": "q", "documents": ["a", "b"], "top_n": 2, "return_documents": False, "model": "m"},
        ),
        (
            "voyage",
            "/v1/rerank",
            {
                "query": "q",
                "documents": ["a", "b"],
                "return_documents": False,
                "truncation": True,
                "model": "m",
            },
        ),
    ],
)
def test_each_server_is_asked_in_its_own_words(dialect: Any, path: str, body: Any) -> None:
    asked = ask(dialect, "q", ["a", "b"], model="m", budget_ms=90)
    assert (asked.path, json.loads(asked.body)) == (path, body)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_scores_come_back_to_their_texts_in_whatever_order_the_server_gives_them(dialect: Any) -> None:
    body = good(dialect, [0.9, 0.5, 0.1], [2, 0, 1])
    assert read(dialect, answer(body), 3) == [0.5, 0.1, 0.9]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("scores", "indexes", "problem"),
    [
        ([0.9, 0.5], [0, 1], "2 scores for 3"),
        ([0.9, 0.5, 0.1, 0.2], [0, 1, 2, 3], "not given"),
        ([0.9, 0.5, 0.1], [0, 1, 1], "twice"),
        ([0.9, 0.5, 0.1], [0, 1, -1], "not given"),
        ([0.9, 0.5, "0.1"], [0, 1, 2], "than a number"),
        ([0.9, 0.5, None], [0, 1, 2], "than a number"),
        ([0.9, 0.5, True], [0, 1, 2], "than a number"),
        ([], [], "0 scores for 3"),
    ],
)
def test_lies_are_errors(dialect: Any, scores: list[Any], indexes: list[int], problem: str) -> None:
    with pytest.raises(BackendError, match=problem):
        read(dialect, answer(good(dialect, scores, indexes)), 3)


@pytest.mark.parametrize("dialect", DIALECTS[1:])
@pytest.mark.parametrize("index", [None, "1", 1.0, True, 10**30])
def test_an_index_that_is_no_whole_number_in_range_is_an_error(dialect: Any, index: Any) -> None:
    with pytest.raises(BackendError, match="not given"):
        read(dialect, answer(good(dialect, [0.5, 0.5], [0, index])), 2)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"null", b"[]", b"{}", b'"x"', b"7", b"[[]]", b"[" * 100_000, b'{"results": 3}']
)
def test_nonsense_is_an_error(dialect: Any, body: bytes) -> None:
    with pytest.raises(BackendError):
        read(dialect, answer(body), 1)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("status", [201, 301, 400, 401, 404, 413, 422, 500, 503])
def test_a_status_other_than_200_is_an_error_that_quotes_nothing(dialect: Any, status: int) -> None:
    with pytest.raises(BackendError) as raised:
        read(dialect, answer({"message": "canary"}, status), 1)
    assert str(raised.value) == f"the server answered {status}"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("given", "seconds"), [("7", 7.0), ("", None), ("Wed, 21 Oct", None), ("٣", None)])
def test_being_asked_too_often_is_told_with_how_long_to_wait(
    dialect: Any, given: str, seconds: float | None
) -> None:
    with pytest.raises(TooMany) as raised:
        read(dialect, answer({}, 429, retry_after=given), 1)
    assert raised.value.seconds == seconds


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("odd", ["NaN", "Infinity", "1e999", "1" + "0" * 400])
def test_numbers_that_are_no_scores_are_passed_on_as_such(dialect: Any, odd: str) -> None:
    body = json.dumps(good(dialect, [0.5, 12345678.0])).replace("12345678.0", odd).encode()
    first, second = read(dialect, answer(body), 2)
    assert first == 0.5
    assert not math.isfinite(second)


def own(outcome: str, reason: str | None, *scores: float | None) -> Answer:
    rows = [{"id": str(at), "score": score, "scored": score is not None} for at, score in enumerate(scores)]
    return answer({"outcome": outcome, "reason": reason, "results": rows})


def test_what_a_rerankd_did_not_score_stays_unscored_for_its_reason() -> None:
    scores = read("rerankd", own("partial", "deadline", 0.5, None, 0.7), 3)
    assert isinstance(scores, Scores)
    assert scores.reason is Reason.DEADLINE
    assert [None if math.isnan(score) else score for score in scores] == [0.5, None, 0.7]


async def test_a_rerankd_s_cascade_is_taken_at_its_order_and_not_at_its_two_models_scores() -> None:
    async with service(reranker=a_cascade(cascade=CascadePolicy(depth=2))) as http:
        asked = ask("rerankd", "q", MIXED, model=None, budget_ms=9_000)
        said = await http.post(asked.path, json=json.loads(asked.body))
    scores = read("rerankd", answer(said.content), len(MIXED))
    best_first = sorted(range(len(MIXED)), key=lambda place: -scores[place])
    assert [MIXED[place] for place in best_first] == MIXED_ORDER
    assert len(set(scores)) == len(scores), "equals would stand in retrieval order"
    assert scores[MIXED.index("3 7")] == 7, "what falls by itself stays as it is"


def cascaded(outcome: str, reason: str | None, *scores: float | None) -> Answer:
    """A cascade's answer in its own order, of which at least one was rescored."""
    said = json.loads(own(outcome, reason, *scores).body)
    return answer(said | {"refined_depth": 1})


def test_a_cascade_s_unscored_stay_so_and_around_them_the_scores_fall() -> None:
    scores = read("rerankd", cascaded("partial", "deadline", 0.5, None, 0.7, 0.7, 0.1), 5)
    known = [score for score in scores if not math.isnan(score)]
    assert math.isnan(scores[1])
    assert known[0] == 0.5 > known[1] > known[2] > known[3] == 0.1
    assert known[2] == pytest.approx(0.5)


def test_what_is_no_number_in_a_cascade_s_answer_lets_nothing_after_it_rise() -> None:
    scores = read("rerankd", cascaded("reranked", None, 0.5, math.inf, 0.7), 3)
    assert math.isnan(scores[1])
    assert scores[2] < scores[0] == 0.5


@pytest.mark.parametrize("odd", [True, "0.1"])
def test_lies_in_a_cascade_s_answer_are_errors_too(odd: Any) -> None:
    with pytest.raises(BackendError, match="than a number"):
        read("rerankd", cascaded("reranked", None, 0.9, odd), 2)


@pytest.mark.parametrize("reason", ["overloaded", "disabled", "rate_limited", "budget_too_small", "new one"])
def test_a_rerankd_that_skipped_for_no_fault_of_its_own_is_passed_on(reason: str) -> None:
    scores = read("rerankd", own("skipped", reason, None, None), 2)
    assert isinstance(scores, Scores)
    assert all(map(math.isnan, scores))
    assert scores.reason == (reason if reason != "new one" else Reason.DEADLINE)


@pytest.mark.parametrize("reason", ["model_error", "model_unavailable", "model_loading", "circuit_open"])
def test_a_rerankd_whose_model_is_not_well_is_an_error_so_that_the_circuit_here_hears_of_it(
    reason: str,
) -> None:
    with pytest.raises(BackendError, match=reason):
        read("rerankd", own("skipped", reason, None), 1)


def test_a_rerankd_that_says_all_was_scored_must_have_scored_all() -> None:
    with pytest.raises(BackendError, match="1 scores for 2"):
        read("rerankd", own("reranked", None, 0.5, None), 2)
    with pytest.raises(BackendError, match="unknown way"):
        read("rerankd", own("splendid", None, 0.5), 1)


@pytest.mark.parametrize("dialect", DIALECTS[1:])
@pytest.mark.parametrize("outcome", ["partial", "skipped"])
def test_scores_that_a_rerankd_made_up_for_another_dialect_are_not_taken(dialect: Any, outcome: str) -> None:
    body = good(dialect, [1.0, 0.5])
    got = read(dialect, answer(body, x_rerank_outcome=outcome, x_rerank_reason="overloaded"), 2)
    assert isinstance(got, Scores)
    assert got.reason is Reason.OVERLOADED
    assert all(map(math.isnan, got))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"url": "ftp://host"}, "http or https"),
        ({"url": "host:80"}, "http or https"),
        ({"url": "http://h:port"}, "http or https"),
        ({"url": "https://canary:canary@host"}, "RERANKD_REMOTE_KEY"),
        ({"url": "https://host?key=canary"}, "RERANKD_REMOTE_KEY"),
        ({"url": "https://host", "dialect": "cohere"}, "wants one"),
        ({"dialect": "klingon"}, "one of"),
        ({"takeover": 1.0}, "takeover"),
        ({"connections": 0}, "connections"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused_without_repeating_a_secret(wrong: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        RemotePolicy(**wrong)
    assert "canary" not in str(raised.value)


def test_a_policy_shows_no_key_and_names_its_scorer() -> None:
    policy = RemotePolicy(url="https://gpu.example:8443/x", key=Secret("canary"))
    assert "canary" not in repr(policy)
    assert policy.name == "rerankd@gpu.example"
    assert RemotePolicy(url="https://h", dialect="jina", model="m").name == "m"
