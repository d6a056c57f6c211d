"""A row on its way through a job."""

from dataclasses import dataclass
from typing import Any

__all__ = ["Row", "Scored"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of an input file."""

    position: int
    """Its number in its file, from 0."""
    query: object
    candidates: object
    carried: Any
    """The whole row as its format holds it."""
    problem: str | None = None
    """Why it cannot even be read."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What became of a row that is good: a number for each candidate, as they came, and the order."""

    scores: tuple[float, ...]
    logits: tuple[float, ...]
    order: tuple[int, ...]
