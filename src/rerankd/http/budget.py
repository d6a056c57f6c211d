"""The caller's budget, from the body or a header, and the headers that say how an answer came about."""

import math
from collections.abc import Mapping

from starlette.datastructures import Headers

from rerankd.core.answer import Ranking
from rerankd.core.events import STAGES
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal
from rerankd.memory.types import Recall

__all__ = ["DEGRADATION_HEADERS", "budget_ms", "degradation", "degradation_of_recall", "header_text"]

DEGRADATION_HEADERS = {
    "x-rerank-outcome": "`reranked`, `partial` or `skipped`.",
    "x-rerank-reason": "Why the outcome is not `reranked`; absent when it is.",
    "x-rerank-depth": "How many of the candidates were scored, such as `17/24`.",
    "x-rerank-elapsed-ms": "Milliseconds from the request's arrival to its answer.",
    "x-rerank-model": "The model that scored, or would have.",
    "server-timing": "Milliseconds by stage, as browsers show them.",
}


def budget_ms(asked: float | None, headers: Headers, policy: HttpPolicy, default: float) -> float:
    """Milliseconds: the first of body, `x-request-timeout-ms`, Envoy's header and the default; never more
    than the server's maximum."""
    if asked is None:
        asked = _header(headers, "x-request-timeout-ms", strict=True)
    if asked is None:
        asked = _header(headers, "x-envoy-expected-rq-timeout-ms", strict=False)
    return min(default if asked is None else asked, policy.max_budget_ms)


def _header(headers: Headers, name: str, *, strict: bool) -> float | None:
    """`strict`: a caller wrote it, and wants to hear of a slip; a proxy's is left out of account."""
    given = headers.get(name)
    if given is None:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if value >= 0:
        return value
    if strict:
        seen = f"{value:g}" if math.isfinite(value) else f"a text of {len(given)} characters"
        raise Refusal("validation", f"{name}: must be a number of at least 0, got {seen}", param=name)
    return None


def header_text(value: str) -> str:
    """A model may be a folder with any name; what a header cannot hold is shown as `?`."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in value)


def degradation(ranking: Ranking) -> dict[str, str]:
    """The headers of a ranking."""
    stages = {stage: getattr(ranking.timings, stage) for stage in STAGES}
    return _headers(ranking, ranking.candidates_total, ranking.elapsed_ms, stages)


def degradation_of_recall(recall: Recall) -> dict[str, str]:
    """The headers of what a memory recalled."""
    stages = {stage: getattr(recall.timings, stage) for stage in ("embed", "store", "rank", "open", "rerank")}
    return _headers(recall, recall.candidates, recall.timings.total, stages)


def _headers(
    answer: Ranking | Recall, candidates: int, elapsed_ms: float, stages: Mapping[str, float]
) -> dict[str, str]:
    headers = {
        "x-rerank-outcome": answer.outcome.value,
        "x-rerank-depth": f"{answer.depth}/{candidates}",
        "x-rerank-elapsed-ms": f"{elapsed_ms:.1f}",
        "x-rerank-model": header_text(answer.model or ""),
        "server-timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in stages.items()),
    }
    if answer.reason is not None:
        headers["x-rerank-reason"] = answer.reason.value
    return headers
