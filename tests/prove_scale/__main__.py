"""Measures what is promised beyond one machine, one line a figure; fails when one is missed.

python -m tests.prove_scale           everything: about 15 minutes on two cores
python -m tests.prove_scale --row 2   only one: 1 failures, 2 goodput, 3 overhead, 4 two real scorers, 5 bulk
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator

from tests.prove.line import Line
from tests.prove_scale import bulk, failures, goodput

__all__ = ["ROWS", "main"]

ROWS: dict[int, Callable[[bool], Iterator[Line]]] = {
    1: failures.measure,
    2: goodput.measure,
    3: goodput.measure_overhead,
    4: goodput.measure_real,
    5: bulk.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.prove_scale", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter; timings are shown and not judged")
    parser.add_argument("--row", type=int, action="append", choices=sorted(ROWS), help="only this row")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    failed = 0
    for number in arguments.row or sorted(ROWS):
        for line in ROWS[number](arguments.quick):
            print(line.text(quick=arguments.quick), flush=True)
            failed += line.fails(quick=arguments.quick)
    print("all figures hold" if not failed else f"{failed} figure(s) missed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
