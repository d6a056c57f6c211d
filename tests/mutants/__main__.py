"""`python -m tests.mutants [--quick]`: one line a fault; exit status 1 when one is not killed."""

import argparse
import sys

from tests.mutants.runner import Result, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the first fault of each file")
    results = run(parser.parse_args().quick, tell=_print)
    alive = [result for result in results if not result.killed]
    print(f"{len(results) - len(alive)} of {len(results)} killed")
    return 1 if alive else 0


def _print(result: Result) -> None:
    print(result, flush=True)
    if result.output:
        print(result.output, flush=True)


if __name__ == "__main__":
    sys.exit(main())
