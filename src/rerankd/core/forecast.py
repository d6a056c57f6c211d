"""What can still be done in time: decided before work is taken in, and before a head is begun."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

__all__ = ["Head", "beginnable", "fitting_tokens", "queue_delay"]

Head = tuple[float, float]
"""A head that waits: its caller's deadline, and the seconds of all workers that it still needs."""


def beginnable(head: Head, begun: Sequence[Head], now: float) -> bool:
    """Whether a head would be complete in time without costing a begun one its own completion.

    Both are served earliest deadline first; a begun head that is lost already does not count.
    """
    deadline, seconds = head
    without = now + sum(other[1] for other in begun if other[0] <= deadline and not _lost(other, now))
    with_it = without + seconds
    if with_it > deadline:
        return False
    for later, more in sorted(other for other in begun if other[0] > deadline and not _lost(other, now)):
        without += more
        with_it += more
        if without <= later < with_it:
            return False
    return True


def queue_delay(
    head: Head, now: float, *, busy: float, begun: Sequence[Head], waiting: Iterable[Head]
) -> float:
    """Seconds until a new request, with what it needs at the least, would get its first worker.

    `busy`: seconds until a worker is free. Ahead of it are the begun heads, unless it may go before them, and
    the waiting ones with an earlier deadline that will be complete in time. The rests of other requests give
    way, so depth shrinks for everyone before anyone is refused.
    """
    deadline = head[0]
    overtakes = beginnable(head, begun, now)
    at = now + busy
    for other, seconds in begun:
        if not _lost((other, seconds), now) and not (overtakes and other > deadline):
            at += seconds
    for other, seconds in sorted(waiting):
        if other > deadline:
            break
        if at + seconds <= other:
            at += seconds
    return at - now


def fitting_tokens(
    lengths: Sequence[int], *, floor: int, ceiling: int, cost: Callable[[int], float], seconds: float
) -> int:
    """The longest cut, in tokens, at which all candidates can be scored in so many seconds of one worker.

    At least `floor`: a shorter cut loses more than it gains. `cost` gives one pair's seconds.
    """
    counts = Counter(min(tokens, ceiling) for tokens in lengths)

    def fits(cut: int) -> bool:
        return sum(cost(min(tokens, cut)) * count for tokens, count in counts.items()) <= seconds

    if floor >= ceiling or fits(ceiling):
        return ceiling
    low, high = floor, ceiling
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def _lost(head: Head, now: float) -> bool:
    return now + head[1] > head[0]
