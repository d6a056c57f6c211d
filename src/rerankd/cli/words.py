"""Outcomes and reasons in words."""

from rerankd.core.types import Outcome, Reason

__all__ = ["COLOURS", "explain", "limit"]

COLOURS = {Outcome.RERANKED: "green", Outcome.PARTIAL: "yellow", Outcome.SKIPPED: "red"}

_WHY = {
    Reason.DISABLED: "the flag is off",
    Reason.SHADOW: "the flag is on shadow: the new order is only recorded",
    Reason.MODEL_UNAVAILABLE: "the model cannot be loaded",
    Reason.MODEL_LOADING: "the model is still loading",
    Reason.CIRCUIT_OPEN: "the model failed or was too slow lately, so it is not asked for the moment",
    Reason.RATE_LIMITED: "the caller is over its rate",
    Reason.BUDGET_TOO_SMALL: "not even one candidate fits into the budget",
    Reason.OVERLOADED: "others were first, and nothing would have been ready in time",
    Reason.MODEL_ERROR: "the model failed",
    Reason.NONFINITE_SCORE: "the model gave a score that is no number",
    Reason.DEADLINE: "the budget was used up",
}


def explain(reason: Reason | None) -> str:
    """Why it was not all reranked, in words; nothing when it was."""
    return "" if reason is None else _WHY[reason]


def limit(budget_ms: float | None) -> str:
    """A budget in words; None and infinity are no limit."""
    return "no limit" if budget_ms is None or budget_ms == float("inf") else f"{budget_ms:g} ms"
