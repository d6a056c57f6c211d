"""Which pairs share a run."""

from collections.abc import Sequence

__all__ = ["token_batches"]


def token_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Positions of the pairs, longest first, in batches of at most `max_tokens` tokens, padding included.

    A pair that is longer than that has a batch to itself, as has every pair where `max_tokens` is 0. The longest
    come first because then, when the work is nearly done, only short runs are left to wait for. Depends on the
    lengths alone: not on time, nor on how many workers there are.
    """
    longest_first = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    batches: list[list[int]] = []
    for position in longest_first:
        batch = batches[-1] if batches else None
        if batch is not None and (len(batch) + 1) * lengths[batch[0]] <= max_tokens:
            batch.append(position)
        else:
            batches.append([position])
    return batches
