"""The logit of a score that a library gives as a probability, to compare it."""

import math

__all__ = ["logit"]

_LEAST = 1e-12


def logit(probability: float) -> float:
    """ln(p / (1 - p)), finite also where the probability was rounded to 0 or 1."""
    held = min(1 - _LEAST, max(_LEAST, probability))
    return math.log(held / (1 - held))
