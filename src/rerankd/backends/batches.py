"""Which pairs share a run where padding costs: those of similar length, as long as another run costs more."""

from collections.abc import Sequence

__all__ = ["MOST_PAIRS", "batches"]

MOST_PAIRS = 256
"""Of one batch. Bounds the work of choosing, too."""


def batches(lengths: Sequence[int], *, most_tokens: int, overhead_tokens: int) -> list[list[int]]:
    """Positions of the pairs of each batch, shortest pairs first, so that padded tokens and overhead are fewest.

    `most_tokens`: padded tokens of one batch; a pair that is longer has a batch of its own. `overhead_tokens`: what
    a batch costs besides, as so many tokens would. The optimum, by dynamic programming over the sorted lengths.
    """
    order = sorted(range(len(lengths)), key=lambda position: lengths[position])
    costs = [0]
    """The least that the first n pairs can cost."""
    begins = [0]
    """Where the last batch of those begins."""
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        best, first = costs[end - 1] + longest + overhead_tokens, end - 1
        for begin in range(end - 2, max(-1, end - 1 - MOST_PAIRS), -1):
            padded = (end - begin) * longest
            if padded > most_tokens:
                break
            if costs[begin] + padded + overhead_tokens <= best:
                best, first = costs[begin] + padded + overhead_tokens, begin
        costs.append(best)
        begins.append(first)
    found: list[list[int]] = []
    end = len(order)
    while end:
        found.append(order[begins[end] : end])
        end = begins[end]
    return found[::-1]
