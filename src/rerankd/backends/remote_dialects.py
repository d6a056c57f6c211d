"""What each kind of server wants to be asked, and how its answer is read: pure functions on JSON.

Nothing that a server says is believed: a wrong count, an index twice or out of range, a score that is no number
are errors (`BackendError`), as is a status other than 200. NaN is a number here; the engine sorts it out.
A server that is a rerankd itself says how far it came; what it left out is left out here, too.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rerankd.backends.remote_policy import Dialect
from rerankd.core.types import Reason, Scores
from rerankd.errors import BackendError

__all__ = ["Answer", "Asked", "TooMany", "ask", "read"]

_BROKEN = frozenset({"model_error", "model_unavailable", "model_loading", "circuit_open", "nonfinite_score"})
"""Reasons of a whole answer in retrieval order that say that the server's model is not well."""


class Asked(NamedTuple):
    """One HTTP request."""

    path: str
    body: bytes


class Answer(NamedTuple):
    """One HTTP answer. Header names are small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TooMany(Exception):  # noqa: N818 - an answer of the server, not a failure
    """The server wants fewer requests (429); `seconds`: for how long at least, if it said so."""

    def __init__(self, seconds: float | None) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def ask(dialect: Dialect, query: str, texts: Sequence[str], *, model: str, budget_ms: int | None) -> Asked:
    """The request; `budget_ms`: what the server may take, None for as long as it likes."""
    path, body = _ASK[dialect](query, list(texts))
    if model and dialect != "tei":
        body["model"] = model
    if dialect == "rerankd":
        # None: as long as it takes; left out it would be the server's default
        body["budget_ms"] = budget_ms
    return Asked(path, json.dumps(body).encode())


def read(dialect: Dialect, answer: Answer, count: int) -> Sequence[float]:
    """The scores of `count` texts. Raises `BackendError`, or `TooMany` where it was asked too often."""
    if answer.status == 429:
        raise TooMany(_retry_after(answer.headers.get("retry-after", "")))
    if answer.status != 200:
        raise BackendError(f"the server answered {answer.status}")
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        raise BackendError("the server's answer is not JSON") from None
    if dialect == "rerankd":
        return _own(body, count)
    outcome = answer.headers.get("x-rerank-outcome", "reranked")
    if outcome != "reranked":
        # its scores are made up for clients that sort by them: which are real cannot be seen
        return _left_out([None] * count, outcome, answer.headers.get("x-rerank-reason"))
    name, score = _RESULTS[dialect]
    results = body if name is None else _member(body, name)
    return _complete(_scores(results, "index", score, count), count)


# --- asking ------------------------------------------------------------------------------------------------


def _ask_own(query: str, texts: list[str]) -> tuple[str, dict[str, Any]]:
    candidates = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    return "/api/v1/rerank", {"query": query, "candidates": candidates}


def _ask_tei(query: str, texts: list[str]) -> tuple[str, dict[str, Any]]:
    return "/rerank", {"query": query, "texts": texts, "truncate": True, "raw_scores": False}


def _ask_cohere(query: str, texts: list[str]) -> tuple[str, dict[str, Any]]:
    return "/v2/rerank", {"query": query, "documents": texts, "top_n": len(texts)}


def _ask_jina(query: str, texts: list[str]) -> tuple[str, dict[str, Any]]:
    body = {"query": query, "documents": texts, "top_n": len(texts), "return_documents": False}
    return "/v1/rerank", body


def _ask_voyage(query: str, texts: list[str]) -> tuple[str, dict[str, Any]]:
    return "/v1/rerank", {"query": query, "documents": texts, "return_documents": False, "truncation": True}


_ASK: dict[Dialect, Callable[[str, list[str]], tuple[str, dict[str, Any]]]] = {
    "rerankd": _ask_own,
    "tei": _ask_tei,
    "cohere": _ask_cohere,
    "jina": _ask_jina,
    "voyage": _ask_voyage,
}
_RESULTS: dict[Dialect, tuple[str | None, str]] = {
    "tei": (None, "score"),
    "cohere": ("results", "relevance_score"),
    "jina": ("results", "relevance_score"),
    "voyage": ("data", "relevance_score"),
}
"""Where the list of results is, and what a result calls its score."""


# --- reading -----------------------------------------------------------------------------------------------


def _own(body: Any, count: int) -> Sequence[float]:
    outcome = _member(body, "outcome")
    results = [
        {**each, "index": _number(each.get("id")), "score": each.get("score")}
        for each in _rows(_member(body, "results"))
        if each.get("scored") is not False
    ]
    if _member(body, "refined_depth"):
        _on_one_scale(results)
    if outcome == "reranked":
        return _complete(_scores(results, "index", "score", count), count)
    return _left_out(_scores(results, "index", "score", count), outcome, _member(body, "reason"))


def _on_one_scale(results: list[dict[str, Any]]) -> None:
    """Make a cascade's scores, which are those of two models, fall along its answer: its order is what counts."""
    last = math.inf
    for each in results:
        score = each["score"]
        if isinstance(score, int | float) and not isinstance(score, bool):
            each["score"] = min(_finite_or_nan(score), math.nextafter(last, -math.inf))
            if not math.isnan(each["score"]):  # what is no number bounds nothing
                last = each["score"]


def _left_out(scores: Sequence[float | None], outcome: Any, reason: Any) -> Scores:
    if outcome not in ("partial", "skipped") or (outcome == "skipped" and reason in _BROKEN):
        known = str(reason) if reason in _BROKEN else "in an unknown way"
        raise BackendError(f"the server fell open: {known}")
    if outcome == "skipped":
        scores = [None] * len(scores)
    return Scores(scores, _reason(reason))


def _reason(given: Any) -> Reason:
    try:
        return Reason(given)
    except ValueError:  # a newer server knows more reasons
        return Reason.DEADLINE


def _scores(results: Any, index: str, score: str, count: int) -> list[float | None]:
    found: list[float | None] = [None] * count
    for each in _rows(results):
        at, value = each.get(index), each.get(score)
        if isinstance(at, bool) or not isinstance(at, int) or not 0 <= at < count:
            raise BackendError("the server scored a text that it was not given")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BackendError("the server gave something else than a number as a score")
        if found[at] is not None:
            raise BackendError("the server scored a text twice")
        found[at] = _finite_or_nan(value)
    return found


def _complete(scores: Sequence[float | None], count: int) -> list[float]:
    complete = [each for each in scores if each is not None]
    if len(complete) != count:
        raise BackendError(f"the server gave {len(complete)} scores for {count} texts")
    return complete


def _rows(results: Any) -> list[dict[str, Any]]:
    if not isinstance(results, list) or not all(isinstance(each, dict) for each in results):
        raise BackendError("the server's answer has no list of results")
    return results


def _member(body: Any, name: str) -> Any:
    if not isinstance(body, dict):
        raise BackendError("the server's answer is no object")
    return body.get(name)


def _number(text: Any) -> Any:
    return (
        int(text) if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 9 else None
    )


def _finite_or_nan(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:  # JSON's whole numbers have no end
        return math.nan
    return number if math.isfinite(number) else math.nan


def _retry_after(text: str) -> float | None:
    """Seconds; the other form, a date, is not worth a wall clock."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None
