"""Measures what reliability.md promises of the service, over HTTP, one line a figure; fails when one is missed.

python -m tests.prove_service                 everything: about half an hour on two cores
python -m tests.prove_service --quick         about a minute; timings are shown and not judged
python -m tests.prove_service --row 3 --row 8
"""

import itertools
import sys
from collections.abc import Iterator

from tests.prove.command import Measure, prove
from tests.prove.line import Line
from tests.prove_service import canary, event_loop, fuzzed, overload, recovery, soak, stopping

__all__ = ["ROWS", "main"]


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
    return prove("tests.prove_service", __doc__, ROWS)


if __name__ == "__main__":
    sys.exit(main())
