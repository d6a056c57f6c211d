"""The command line of every collection of figures: rows to choose from, one line a figure, the machine's state."""

import argparse
import os
from collections.abc import Callable, Iterator, Mapping

from benchmarks.others import Others

from tests.prove.line import Line

__all__ = ["Measure", "prove"]

Measure = Callable[[bool], Iterator[Line]]
"""Gives a row's lines; told whether the quick form is wanted."""


def prove(name: str, summary: str, rows: Mapping[int, Measure]) -> int:
    """Measure the rows that the command line asks for, all by default. The exit status: 1 when one is missed.

    `summary`: the module's docstring, which says what each row is.
    """
    parser = argparse.ArgumentParser(
        prog=name, description=summary, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="small numbers; timings are shown and not judged"
    )
    parser.add_argument("--row", type=int, action="append", choices=sorted(rows), help="only this row")
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = "; others are busy here, timings will be worse than they should be" if load > cores / 4 else ""
    print(f"load average {load:.1f} on {cores} cores{busy}", flush=True)
    failed = 0
    for number in arguments.row or sorted(rows):
        others = Others()
        for line in rows[number](arguments.quick):
            print(line.text(quick=arguments.quick), flush=True)
            failed += line.fails(quick=arguments.quick)
        took = f"{others.seconds:.0f} s; others took {others.share():.0%} of the machine"
        print(f"{'':>9} ({took})", flush=True)
    print("all figures hold" if not failed else f"{failed} figure(s) missed")
    return 1 if failed else 0
