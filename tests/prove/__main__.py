"""Measures what reliability.md promises of the library, one line a figure; fails when one is missed.

python -m tests.prove                 everything: about an hour on two cores
python -m tests.prove --quick         under a minute; timings are shown and not judged
python -m tests.prove --row 3 --row 4
"""

import sys

from tests.prove import (
    canary,
    circuit,
    event_loop,
    fail_open,
    hostile,
    mutants,
    overshoot,
    ranking,
    recovery,
    soak,
    workers,
)
from tests.prove.command import Measure, prove

__all__ = ["ROWS", "main"]

ROWS: dict[int, Measure] = {
    1: ranking.measure,
    2: fail_open.measure,
    3: overshoot.measure,
    4: event_loop.measure,
    5: workers.measure,
    7: circuit.measure,
    8: recovery.measure,
    14: canary.measure,
    16: hostile.measure,
    17: mutants.measure,
    18: soak.measure,
}


def main() -> int:
    return prove("tests.prove", __doc__, ROWS)


if __name__ == "__main__":
    sys.exit(main())
