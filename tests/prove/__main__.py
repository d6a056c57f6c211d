"""Measures what reliability.md promises of the library, one line a figure; fails when one is missed.

python -m tests.prove                 everything: about an hour on two cores
python -m tests.prove --quick         under a minute; timings are shown and not judged
python -m tests.prove --row 3 --row 4
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator

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
from tests.prove.line import Line
from tests.prove.others import Others

__all__ = ["ROWS", "main"]

Measure = Callable[[bool], Iterator[Line]]

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
    parser = argparse.ArgumentParser(prog="tests.prove", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small numbers, under a minute")
    parser.add_argument("--row", type=int, action="append", choices=sorted(ROWS), help="only this row")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = "; others are busy here, timings will be worse than they should be" if load > cores / 4 else ""
    print(f"load average {load:.1f} on {cores} cores{busy}", flush=True)
    failed = 0
    for number in arguments.row or sorted(ROWS):
        others = Others()
        for line in ROWS[number](arguments.quick):
            print(line.text(quick=arguments.quick), flush=True)
            failed += line.fails(quick=arguments.quick)
        print(
            f"{'':>9} ({others.seconds:.0f} s; others took {others.share():.0%} of the machine)", flush=True
        )
    print("all figures hold" if not failed else f"{failed} figure(s) missed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
