"""Measures what reliability.md promises of the service, over HTTP, one line a figure; fails when one is missed.

python -m tests.prove_service                 everything: about half an hour on two cores
python -m tests.prove_service --quick         about a minute; timings are shown and not judged
python -m tests.prove_service --row 3 --row 8
"""

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Iterator

from tests.prove.line import Line
from tests.prove.others import Others
from tests.prove_service import canary, event_loop, fuzzed, overload, recovery, soak, stopping

__all__ = ["ROWS", "main"]

Measure = Callable[[bool], Iterator[Line]]


def _recovered(quick: bool) -> Iterator[Line]:
    return itertools.chain(recovery.measure(quick), stopping.measure(quick))


ROWS: dict[int, Measure] = {
    3: overload.late,
    4: event_loop.measure,
    6: overload.overload,
    8: _recovered,
    14: canary.measure,
    15: fuzzed.measure,
    18: soak.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.prove_service", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small numbers, about a minute")
    parser.add_argument("--row", type=int, action="append", choices=sorted(ROWS), help="only this row")
    arguments = parser.parse_args()
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
