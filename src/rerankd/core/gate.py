"""Whether a request may ask the scorer: flag, model, circuit, rate. Decided in microseconds, nothing touched."""

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
    *, flag: Flag, draw: float, model: ModelState, breaker: Breaker, rate_limited: bool, now: float
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
        # before asking for a permit, which could be a probe's; an open circuit still takes precedence
        return Skip(Reason.CIRCUIT_OPEN if breaker.state == "open" else Reason.RATE_LIMITED, shadow)
    permit = breaker.permit(now)
    return Skip(Reason.CIRCUIT_OPEN, shadow) if permit is None else Go(permit, shadow)
