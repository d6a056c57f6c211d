"""The fixed list of faults."""

from dataclasses import dataclass

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault: a place in the source, and the tests that must fail because of it."""

    name: str
    file: str
    """Path below `src/rerankd`."""
    old: str
    """The exact text, found once in the file."""
    new: str
    tests: tuple[str, ...]
    """Node ids for pytest."""


MUTANTS: tuple[Mutant, ...] = ()
