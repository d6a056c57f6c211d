"""What can still be done in time: decided before work is taken in, and before a head is begun."""

from collections.abc import Callable, Iterable, Sequence

from rerankd.core.types import Reason

__all__ = ["Head", "beginnable", "fitting_tokens", "queue_delay", "refusal"]

Head = tuple[float, float]
"""A head that waits: its caller's deadline, and the seconds of all workers that it still needs."""


def beginnable(head: Head, begun: Sequence[Head], now: float) -> bool:
    """Whether a head would be complete in time without costing a begun one its own completion.

    Both are served earliest deadline first; a begun head that is lost already does not count.
    """
    ahead = sum(seconds for deadline, seconds in begun if deadline <= head[0] and now + seconds <= deadline)
    with_it = now + ahead + head[1]
    if with_it > head[0]:
        return False
    without = now + ahead
    for deadline, seconds in sorted(other for other in begun if other[0] > head[0]):
        with_it += seconds
        without += seconds
        if without <= deadline < with_it:
            return False
    return True


def queue_delay(
    deadline: float, now: float, *, busy: float, begun: Iterable[Head], waiting: Iterable[Head]
) -> float:
    """Seconds until a new request with that deadline would get its first worker.

    `busy`: what the runs under way still need, in seconds of all workers. Ahead of it are the begun heads and
    the waiting ones with an earlier deadline that will be complete in time; the rests of other requests give
    way, so depth shrinks for everyone before anyone is refused.
    """
    at = now + busy + sum(seconds for _, seconds in begun)
    for other, seconds in sorted(waiting):
        if other > deadline:
            break
        if at + seconds <= other:
            at += seconds
    return at - now


def refusal(deadline: float, now: float, *, needed: float, delay: float, full: bool) -> Reason | None:
    """Why a request is not taken in, or None. `needed`: seconds for its smallest pair, encoding included."""
    if now + needed > deadline:
        return Reason.BUDGET_TOO_SMALL
    if full or now + delay + needed > deadline:
        return Reason.OVERLOADED
    return None


def fitting_tokens(
    lengths: Sequence[int], *, floor: int, ceiling: int, cost: Callable[[int], float], seconds: float
) -> int:
    """The longest cut, in tokens, at which all candidates can be scored in so many seconds of one worker.

    At least `floor`: a shorter cut loses more than it gains. `cost` gives one pair's seconds.
    """
    if floor >= ceiling or sum(cost(min(n, ceiling)) for n in lengths) <= seconds:
        return ceiling
    low, high = floor, ceiling
    while low < high:
        middle = (low + high + 1) // 2
        if sum(cost(min(n, middle)) for n in lengths) <= seconds:
            low = middle
        else:
            high = middle - 1
    return low
