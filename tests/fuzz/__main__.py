"""Fuzzes the service by its own description; fails when anything should not have come back.

python -m tests.fuzz                 20,000 requests: some minutes
python -m tests.fuzz --cases 1000 --seed 7
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz.cases import fuzz
from tests.fuzz.server import served

__all__ = ["main"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000, help="how many requests, about")
    parser.add_argument("--seed", type=int, default=0, help="other requests")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (url, key):
        fuzzed = fuzz(url, key, arguments.cases, start=arguments.seed * 1_000)
    for name, count in sorted(fuzzed.cases.items()):
        print(f"{count:>6}  {name}")
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(fuzzed.statuses.items()))
    print(f"{fuzzed.total} requests: {statuses}")
    for line in fuzzed.failed():
        print(f"FAIL  {line}")
    print(
        f"server errors {len(fuzzed.server_errors)}, schema violations {len(fuzzed.violations)},"
        f" let in without a key {len(fuzzed.let_in)}"
    )
    return 1 if fuzzed.failed() or fuzzed.total < arguments.cases * 0.9 else 0


if __name__ == "__main__":
    sys.exit(main())
