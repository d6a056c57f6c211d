"""What share of this machine's int8 limit the product's CPU path reaches.

    make bench-limit                     some two minutes, on an idle machine
    python -m benchmarks.limit --quick   a round of the small model, to see that it runs

The limit is ONNX Runtime's own integer product by itself, of a large shape: uint8 by int8, one thread a worker, the
best of many runs and shapes; for one worker, and for all at once. The path is the scorer on encoded pairs, of one
length each and of the mixed workload; its operations are counted from the graph that it runs
(`benchmarks/operations.py`), the integer products alone. Both in turns within one process. What is missing to 100 %
is all that is no integer product, and what these lose between other nodes: the table of operators tells.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS, in_words, machine, save
from benchmarks.others import Others

__all__ = ["SCHEMA", "section"]

SCHEMA = 1
MODELS = ("large", "small")
ROUNDS = 12
LEAST = 0.01
"""Operators with less of the time than this are told together."""


def section(report: Mapping[str, Any]) -> list[str]:
    """The report as a section of docs/benchmarks.md. Needs no package, as the page is written without any."""
    return [
        "",
        "## Share of the int8 limit",
        "",
        "`make bench-limit`: integer operations a second (GOPS) of the scorer on encoded pairs, as a share of what"
        " ONNX Runtime's integer product reaches by itself in a large shape; both in turns, medians of"
        f" {report['rounds']} rounds. The attention multiplies floats: its operations are counted by themselves,"
        " and in no share.",
        "",
        f"{in_words(report['machine'])} int8 by {report['int8']}. Others took {report['others']:.0%} of it.",
        "",
        *tables(report),
    ]


def tables(report: Mapping[str, Any]) -> list[str]:
    """In Markdown: the limit, the path, and where the time goes."""
    workers = report["workers"]
    lines = [
        f"| rows, weights | GOPS of one worker | GOPS of {workers} at once |",
        "|---|--:|--:|",
        *(
            f"| {rows}, {inner} x {outer} | {each['core']:.0f} | {each['machine']:.0f} |"
            for each in report["shapes"]
            for rows, inner, outer in [each["shape"]]
        ),
        f"| the limit: the best of each round | {report['limit']['core']:.0f} | {report['limit']['machine']:.0f} |",
        "",
        f"| model | tokens | integer GOP a pair | float GOP | ms a pair | GOPS | of the limit"
        f" | GOPS of {workers} workers | of the limit |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for model in report["models"]:
        for row in model["rows"]:
            cells = [
                model["alias"],
                f"mixed, mean {row['tokens']:.0f}" if row["pairs"] == "mixed" else f"{row['tokens']:.0f}",
                f"{row['integer_gop']:.2f}",
                f"{row['float_gop']:.2f}",
                f"{row['ms']:.2f}",
                *_reached(row["core"]),
                *_reached(row["machine"]),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| model | operator (mixed pairs, one worker) | of the nodes' time |", "|---|---|--:|"]
    for model in report["models"]:
        shown = {name: share for name, share in model["operators"].items() if share >= LEAST}
        shown["all others"] = max(0.0, sum(model["operators"].values()) - sum(shown.values()))
        lines += [f"| {model['alias']} | {name} | {share:.1%} |" for name, share in shown.items()]
    lines.append("")
    for model in report["models"]:
        products = model["products"]
        lines.append(
            f"- {model['alias']}: the nodes with integer products, and the quantising that is fused into them, take"
            f" {products['time']:.0%} of the nodes' time; by themselves they reach {products['gops']:.0f} GOPS,"
            f" {products['share']:.0%} of the limit of one worker."
        )
    return lines


def _reached(scope: Mapping[str, float]) -> tuple[str, str]:
    return f"{scope['gops']:.0f}", f"{scope['share']:.0%}"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks.limit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one round of the small model, to see that it runs",
    )
    parser.add_argument(
        "--output", type=Path, help=f"instead of {RESULTS.parent.name}/{RESULTS.name}/limit.json"
    )
    arguments = parser.parse_args()
    # not above: the page asks this file for its section where no package is installed
    from benchmarks.int8_path import measured
    from rerankd.backends.cpu import int8_path

    about, watch = machine(), Others()
    models, rounds = (MODELS[1:], 1) if arguments.quick else (MODELS, arguments.rounds)
    found = measured(models, rounds, quick=arguments.quick)
    report = {"schema": SCHEMA, "machine": about, "others": watch.share(), "int8": int8_path(), **found}
    print("\n".join(tables(report)))
    print(f"\nOther programs took {report['others']:.0%} of the machine meanwhile.")
    if arguments.output or not arguments.quick:
        save(arguments.output or RESULTS / "limit.json", report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
