"""Whether a request may ask the scorer: flag, model, circuit, rate. Microseconds, and nothing is touched."""

from dataclasses import dataclass

from rerankd.core.breaker import Breaker, Permit
from rerankd.core.events import ModelState
from rerankd.core.flag import Flag, Mode
from rerankd.core.types import Reason

__all__ = ["Go", "Skip", "decide"]


@dataclass(frozen=True, slots=True)
class Skip:
    """Answer in retrieval order at once."""

    reason: Reason
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class Go:
    """Ask the scorer; the permit must be ended exactly once."""

    permit: Permit
    shadow: bool = False


def decide(
    *,
    flag: Flag,
    draw: float,
    model: ModelState,
    breaker: Breaker,
    rate_limited: bool,
    now: float,
    deadline: float,
) -> Skip | Go:
    """The first reason that applies, in the order of `Reason`, or leave to go on.

    `draw`: the request's number from [0, 100), held against the flag's percentage. What the deadline and the
    queue allow is predicted by the scheduler, under its own lock.
    """
    mode = flag.applies(draw)
    if mode is Mode.OFF:
        return Skip(Reason.DISABLED)
    shadow = mode is Mode.SHADOW
    if model != "ready":
        return Skip(Reason.MODEL_LOADING if model == "loading" else Reason.MODEL_UNAVAILABLE, shadow)
    if rate_limited:
        # no permit is asked for: it could be a probe's, and would be lost
        return Skip(Reason.RATE_LIMITED if breaker.state == "closed" else Reason.CIRCUIT_OPEN, shadow)
    permit = breaker.permit(now, deadline)
    return Skip(Reason.CIRCUIT_OPEN, shadow) if permit is None else Go(permit, shadow)
