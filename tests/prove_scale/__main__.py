"""Measures what is promised beyond one machine, one line a figure; fails when one is missed.

python -m tests.prove_scale           everything: about 15 minutes on two cores
python -m tests.prove_scale --row 2   only one: 1 failures, 2 goodput, 3 overhead, 4 two real scorers, 5 bulk,
                                      6 the flag, 7 scorers by load
"""

import sys

from tests.prove.command import Measure, prove
from tests.prove_scale import bulk, elastic, failures, goodput

__all__ = ["ROWS", "main"]

ROWS: dict[int, Measure] = {
    1: failures.measure,
    2: goodput.measure,
    3: goodput.measure_overhead,
    4: goodput.measure_real,
    5: bulk.measure,
    6: elastic.measure_flag,
    7: elastic.measure_scaling,
}


def main() -> int:
    return prove("tests.prove_scale", __doc__, ROWS)


if __name__ == "__main__":
    sys.exit(main())
