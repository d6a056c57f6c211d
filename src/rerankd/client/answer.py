"""Reads what the server says. Nothing of it is believed: a bad answer is an error, and then a fall-back."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from rerankd.core.answer import RankedCandidate, Ranking, ranked
from rerankd.core.events import STAGES, Timings
from rerankd.core.request import Request
from rerankd.core.types import Outcome, Reason
from rerankd.errors import BackendError

__all__ = ["asked", "fallen_open", "read"]


def asked(request: Request, budget_ms: float | None, model: str | None) -> bytes:
    """The body of a request. Candidates go by their position: ids and metadata stay here."""
    body: dict[str, Any] = {
        "query": str(request.query),
        "candidates": [str(candidate.text) for candidate in request.candidates],
        "on_deadline": request.on_deadline,
        "long_text": request.long_text,
        "budget_ms": budget_ms,
        "top_k": request.top_k,
        "min_score": request.min_score,
        "model": model,
    }
    told = {name: value for name, value in body.items() if value is not None}
    # a lone surrogate is no character: the server could not read it
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


def read(body: bytes, request: Request, elapsed_ms: float) -> Ranking:
    """The server's order over the caller's own candidates. Raises `BackendError` for what cannot be one."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise BackendError("the server's answer is not JSON") from None
    if not isinstance(said, Mapping):
        raise BackendError("the server's answer is no object")
    outcome = _word(Outcome, said.get("outcome"))
    if outcome is None:
        raise BackendError("the server's answer has no outcome")
    results = said.get("results")
    if not isinstance(results, list):
        raise BackendError("the server's answer has no list of results")
    depth, refined, total = said.get("depth"), said.get("refined_depth"), len(request.candidates)
    if not _whole(depth) or not 0 <= depth <= total or said.get("candidates_total") != total:
        raise BackendError("the server counted other candidates than it was given")
    if request.min_score is None and len(results) != min(total, request.top_k or total):
        raise BackendError(f"the server gave {len(results)} results for {total} candidates")
    return Ranking(
        candidates=_candidates(results, request),
        outcome=outcome,
        # a newer server may know more reasons
        reason=None if outcome is Outcome.RERANKED else _word(Reason, said.get("reason")) or Reason.DEADLINE,
        depth=depth,
        candidates_total=total,
        elapsed_ms=elapsed_ms,
        timings=_timings(said.get("timings_ms")),
        model=said["model"] if isinstance(said.get("model"), str) else None,
        refined_depth=refined if _whole(refined) and 0 <= refined <= depth else 0,
    )


def fallen_open(request: Request, reason: Reason, elapsed_ms: float) -> Ranking:
    """The retrieval order, cut as the request asks."""
    nothing = (None,) * len(request.candidates)
    return Ranking(
        candidates=ranked(request, nothing, "sigmoid"),
        outcome=Outcome.SKIPPED,
        reason=reason,
        depth=0,
        candidates_total=len(request.candidates),
        elapsed_ms=elapsed_ms,
        timings=Timings(),
        model=None,
    )


def _candidates(results: Sequence[Any], request: Request) -> tuple[RankedCandidate, ...]:
    seen: set[int] = set()
    order = []
    for rank, each in enumerate(results, 1):
        if not isinstance(each, Mapping):
            raise BackendError("the server gave something else than a result")
        position, score, by = each.get("id"), each.get("score"), each.get("scored_by")
        if not _whole(position) or not 0 <= position < len(request.candidates) or position in seen:
            raise BackendError("the server gave a candidate twice, or one that it was not given")
        if score is not None and not _finite(score):
            raise BackendError("the server gave something else than a number as a score")
        seen.add(position)
        candidate = request.candidates[position]
        order.append(
            RankedCandidate(
                id=candidate.id,
                rank=rank,
                retrieval_rank=position + 1,
                score=score,
                logit=None,
                scored=score is not None,
                text=str(candidate.text),
                retrieval_score=candidate.score,
                metadata=candidate.metadata,
                item=candidate.item,
                scored_by=by if isinstance(by, str) else None,
            )
        )
    return tuple(order)


def _timings(said: Any) -> Timings:
    if not isinstance(said, Mapping):
        return Timings()
    return Timings(**{name: float(said[name]) for name in STAGES if _finite(said.get(name))})


def _word(words: Any, said: Any) -> Any:
    try:
        return words(said)
    except ValueError:
        return None


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
