"""Measures what reliability.md promises of the memory, one line a figure; fails when one is missed.

python -m tests.prove_memory                 everything: about a quarter of an hour on two cores
python -m tests.prove_memory --quick         under a minute; timings are shown and not judged
python -m tests.prove_memory --row 9 --row 10
"""

import sys

from tests.prove.command import Measure, prove
from tests.prove_memory import decoys, erasure, forged, latency, mutants, reads, restart

__all__ = ["ROWS", "main"]

ROWS: dict[int, Measure] = {
    8: restart.measure,
    9: reads.measure,
    10: decoys.measure,
    11: latency.measure,
    12: forged.measure,
    13: erasure.measure,
    17: mutants.measure,
}


def main() -> int:
    return prove("tests.prove_memory", __doc__, ROWS)


if __name__ == "__main__":
    sys.exit(main())
