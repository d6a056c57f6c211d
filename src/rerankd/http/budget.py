"""The caller's budget, from the body or a header, and the headers that say how an answer came about."""

import math

from starlette.datastructures import Headers

from rerankd.core.answer import Ranking
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal

__all__ = ["DEGRADATION_HEADERS", "budget_ms", "degradation"]

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
        raise Refusal("validation", f"{name}: must be a number of at least 0", param=name)
    return None


def degradation(ranking: Ranking) -> dict[str, str]:
    timings = ranking.timings
    stages = ("queue", "tokenize", "inference", "order")
    headers = {
        "x-rerank-outcome": ranking.outcome.value,
        "x-rerank-depth": f"{ranking.depth}/{ranking.candidates_total}",
        "x-rerank-elapsed-ms": f"{ranking.elapsed_ms:.1f}",
        "x-rerank-model": ranking.model or "",
        "server-timing": ", ".join(f"{stage};dur={getattr(timings, stage):.1f}" for stage in stages),
    }
    if ranking.reason is not None:
        headers["x-rerank-reason"] = ranking.reason.value
    return headers
