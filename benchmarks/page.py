"""Writes docs/benchmarks.md and its pictures from the last figures.

    python -m benchmarks.page [--take]

`--take` first copies what artefacts/benchmarks/ has into benchmarks/results/, which is what the page is written
from; each figure keeps the machine and the date that it was measured on.
"""

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import limit
from benchmarks.chart import Axis, Line, chart
from benchmarks.machine import RESULTS, in_words

__all__ = ["PAGE", "PICTURES", "page", "pictures", "results"]

_ROOT = Path(__file__).resolve().parents[1]
_TAKEN = _ROOT / "benchmarks" / "results"
PAGE = _ROOT / "docs" / "benchmarks.md"
PICTURES = _ROOT / "docs" / "pictures"
_ORDER = ("mixed", "equal-20", "equal-55", "equal-106", "equal-310")
_OTHERS = {
    "first-answer": "python -m benchmarks.figures first-answer",
    "long-list": "python -m benchmarks.figures long-list",
    "memory": "python -m benchmarks.figures memory",
}
_CHARTED = (
    ("rerankd", "rerankd"),
    ("fastembed+tuned", "fastembed, tuned"),
    ("sentence-transformers-onnx+tuned", "s-t ONNX, tuned"),
    ("flashrank", "FlashRank"),
    ("fastembed", "fastembed"),
    ("sentence-transformers", "s-t torch"),
    ("sentence-transformers-openvino+tuned", "s-t OpenVINO, tuned"),
    ("infinity+batch-4", "Infinity, batch 4"),
)

Report = Mapping[str, Any]


def results(folder: Path = _TAKEN) -> dict[str, Report]:
    """The reports by the name of their file."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def page(found: Mapping[str, Report]) -> str:
    """The whole page as Markdown. What was not measured has no section."""
    parts = [
        "# Benchmarks",
        "",
        "Written by `python -m benchmarks.page` from [the figures](../benchmarks/results): do not edit. How each is"
        " measured, and what is compared with what: [benchmarks/peers](../benchmarks/peers/README.md). Requests of"
        " your own: [workload files](../benchmarks/peers/README.md#workloads).",
    ]
    if "peers" in found:
        parts += _peers(found["peers"])
    arrivals = {name: report for name, report in found.items() if name.startswith("arrivals-")}
    if arrivals:
        parts += _arrivals(arrivals)
    if "service" in found:
        parts += _service(found["service"])
    if "limit" in found:
        parts += limit.section(found["limit"])
    others = [(name, command) for name, command in _OTHERS.items() if name in found]
    if others:
        parts += [
            "",
            "## Long lists, memory, the first answer",
            "",
            "| wanted | measured | | command |",
            "|---|---|---|---|",
        ]
        for name, command in others:
            parts += [f"{_rule(rule)} `{command}` |" for rule in found[name]["rules"]]
        parts += [
            "",
            *(
                f"- `{name}`: {in_words(found[name]['machine'])} Others took {found[name]['others']:.0%} of it."
                for name, _ in others
            ),
        ]
    return "\n".join(parts) + "\n"


def _peers(report: Report) -> list[str]:
    contenders = report["contenders"]
    parts = [
        "",
        "## Beside other rerankers",
        "",
        "`make bench-peers`: every contender gets each request of 24 candidates in turn, each in a process of its"
        " own, never two at the same moment; from strings to the whole ranking, no deadline, the same weights.",
        "",
        in_words(report["machine"]),
        "",
        "![Pairs a second against the length of the candidates](pictures/peers.svg)",
        "",
        "Equal lengths, where padding costs nobody anything; pairs of a query and a candidate.",
    ]
    for workload in _workloads(report):
        tokens = workload["tokens"]
        parts += [
            "",
            f"### {workload['title'][0].upper()}{workload['title'][1:]}",
            "",
            f"Pairs of {tokens['mean']:.0f} tokens in the mean, {tokens['most']} at the most; medians of"
            f" {workload['rounds']} requests.",
            "",
            "| | weights | ms | 10-90 % | pairs/s | ours is … times as fast | CPU ms | MB | batch | others' load"
            " | max Δ logit | same top 8 |",
            "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for row in workload["rows"]:
            about = contenders[row["contender"]]
            cells = [
                row["contender"] + (" (wrong scores)" if about["wrong"] else ""),
                about["weights"],
                f"{row['median_ms']:.0f}",
                f"{row['p10_ms']:.0f}-{row['p90_ms']:.0f}",
                f"{row['pairs_per_second']:.0f}",
                f"{row['ratio']:.2f}",
                f"{row['cpu_ms']:.0f}",
                f"{row['rss_mb']:.0f}",
                str(row["batch_size"] or ""),
                f"{row['disturbed']:.0%}",
                f"{row['largest_logit_difference']:.2f}",
                f"{row['same_top_8']:.0%}",
            ]
            parts.append(f"| {' | '.join(cells)} |")
    parts += [
        "",
        "### What was set",
        "",
        "`int8` is the carried file itself, `fp32` the same weights dequantised. `+tuned`: as many threads as"
        " cores, and the quickest of four batch sizes for the workload, as in the column. MB: what the process held"
        " after the workload; earlier ones have left theirs in it. The differences of scores are to rerankd's: an"
        " int8 file gives a pair other scores when it shares a batch, and fp32 has no quantised activations.",
        "",
    ]
    for name, about in contenders.items():
        versions = ", ".join(f"{package} {version}" for package, version in about["versions"].items())
        wrong = f" **{about['wrong'][0].upper()}{about['wrong'][1:]}.**" if about["wrong"] else ""
        parts.append(f"- {name}: {about['settings']}; {about['weights']}; {versions}.{wrong}")
    parts += ["", "### Figures to reach", ""]
    for figure in report["figures"]:
        reached = "reached" if figure["reached"] else "**missed**"
        parts.append(
            f"- {reached}: {figure['workload']}, {figure['contender']}: {figure['ratio']:.2f}"
            f" (at least {figure['target']})"
        )
    return parts


def _arrivals(found: Mapping[str, Report]) -> list[str]:
    parts = [
        "",
        "## Under load",
        "",
        "`python -m benchmarks.arrivals [--model small]`: open arrivals within one process, 24 candidates of mixed"
        " lengths, a budget of 250 ms, in shares of what the model can score here without a deadline. A latency"
        " counts from the moment at which a request was meant to be sent. A head is the first 12 candidates.",
        "",
        "![Latency against arrival rate](pictures/arrivals.svg)",
        "",
        "![Depth against budget](pictures/depth.svg)",
    ]
    for report in found.values():
        parts += [
            "",
            f"### {report['alias']}: {report['model']}",
            "",
            in_words(report["machine"]),
            "",
            f"Capacity: {report['pairs_per_second']:.0f} pairs a second,"
            f" {report['pairs_per_second'] / 24:.1f} requests.",
            "",
            "| load | requests/s | sent | p50 ms | p95 | p99 | most | depth | whole heads | reranked | partial"
            " | skipped | scores/s in time | others' load |",
            "|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for each in report["levels"]:
            cells = [
                f"{each['load']:.0%}",
                f"{each['rate']:.1f}",
                f"{each['requests']}",
                *(f"{each[name]:.0f}" for name in ("p50_ms", "p95_ms", "p99_ms", "most_ms")),
                f"{each['depth']:.1f}",
                *(f"{each[name]:.1%}" for name in ("heads", "reranked", "partial", "skipped")),
                f"{each['in_time']:.0f}",
                f"{each['others']:.0%}",
            ]
            parts.append(f"| {' | '.join(cells)} |")
        parts += ["", "| wanted | measured | |", "|---|---|---|", *map(_rule, report["rules"])]
    return parts


def _service(report: Report) -> list[str]:
    overhead = report["overhead"]
    parts = [
        "",
        "## Over HTTP",
        "",
        f"`make bench-service`: {report['title']}, {report['candidates']} candidates, open arrivals in shares of"
        f" what rerankd can score here, a budget of {report['budget_ms']:.0f} ms; in time is what comes within it"
        f" and 25 ms. At each load the servers take turns, {report['turns']} each of {report['seconds']:.0f} s,"
        " another one first each time; each runs alone and is started anew for its turn.",
        "",
        f"Infinity {report['infinity']} has the same weights, with PyTorch in fp32 and with its ONNX engine"
        " (optimum) from the int8 file; the latter leaves out the token types, so its scores are wrong: here for"
        " its speed only. It knows no budget, and its callers wait up to 10 s. A latency counts from the moment"
        " at which a request was meant to be sent, until the answer or until its caller gave up. Depth is that of"
        " the answers in time, others' load the largest of a turn.",
        "",
        in_words(report["machine"]),
        "",
        f"Capacity: {report['pairs_per_second']:.0f} pairs a second,"
        f" {report['pairs_per_second'] / report['candidates']:.1f} requests.",
        "",
        "| server | load | requests/s | sent | in time | no answer | depth | p50 ms | p95 | p99 | sent late, p99 ms"
        " | others' load |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for each in report["levels"]:
        cells = [
            each["server"],
            f"{each['share']:.0%}",
            f"{each['rate']:.1f}",
            f"{each['requests']}",
            f"{each['in_time']:.1%}",
            f"{each['timed_out']:.1%}",
            # no answer in time has no depth
            f"{each['depth']:.1f}" if each["in_time"] else "",
            *(f"{each[name]:.0f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
            f"{each['sent_late_ms']:.0f}",
            f"{each['others']:.0%}",
        ]
        parts.append(f"| {' | '.join(cells)} |")
    if report["not_measured"]:
        parts += [
            "",
            "Not measured at the loads that are not in the table:",
            "",
            *(f"- {server}: {why}" for server, why in report["not_measured"].items()),
        ]
    return [
        *parts,
        "",
        f"HTTP and JSON alone (24 candidates of 500 characters, flag off): p50 {overhead['p50_ms']:.2f} ms, p99"
        f" {overhead['p99_ms']:.2f} ms of {overhead['requests']} requests.",
        "",
        "| wanted | measured | |",
        "|---|---|---|",
        *map(_rule, report["rules"]),
    ]


def _rule(rule: Mapping[str, Any]) -> str:
    held = "held" if rule["held"] else "**missed**"
    return f"| {rule['what']}: {rule['wanted']} | {rule['measured']} | {held} |"


def _workloads(report: Report) -> Sequence[Report]:
    known = {name: place for place, name in enumerate(_ORDER)}
    return sorted(report["workloads"], key=lambda each: known.get(each["name"], len(known)))


def pictures(found: Mapping[str, Report]) -> dict[str, str]:
    """File name → SVG, of what was measured."""
    drawn = {}
    if "peers" in found:
        drawn["peers.svg"] = _peers_chart(found["peers"])
    arrivals = [report for name, report in found.items() if name.startswith("arrivals-")]
    if arrivals:
        drawn["arrivals.svg"] = _arrivals_chart(arrivals)
        drawn["depth.svg"] = _depth_chart(arrivals)
    return drawn


def _peers_chart(report: Report) -> str:
    equal = sorted(
        (each for each in report["workloads"] if each["name"].startswith("equal-")),
        key=lambda each: each["tokens"]["mean"],
    )
    lines = []
    for contender, name in _CHARTED:
        points = tuple(
            (each["tokens"]["mean"], row["pairs_per_second"])
            for each in equal
            for row in each["rows"]
            if row["contender"] == contender
        )
        if points:
            lines.append(Line(name=name, points=points))
    return chart(
        "Pairs a second by length",
        f"24 candidates of equal length, {report['machine']['cores']} cores; both axes are logarithmic",
        Axis(title="tokens of a pair", ticks=(25, 50, 100, 200, 400), log=True),
        Axis(title="pairs a second", ticks=(5, 10, 20, 50, 100, 200, 500), log=True),
        lines,
    )


def _arrivals_chart(reports: Sequence[Report]) -> str:
    lines = [
        Line(
            name=f"{report['alias']}, {name}",
            points=tuple((each["load"] * 100, each[f"{name}_ms"]) for each in report["levels"]),
            dashed=name == "p50",
        )
        for report in reports
        for name in ("p99", "p50")
    ]
    return chart(
        "Latency by arrival rate",
        "ms from when a request was meant to be sent; budget 250 ms",
        Axis(
            title="arrivals, as a share of what can be scored without a deadline",
            ticks=(50, 100, 200, 400),
            unit=" %",
            log=True,
        ),
        Axis(title="ms", ticks=(0, 50, 100, 150, 200, 250, 300)),
        lines,
    )


def _depth_chart(reports: Sequence[Report]) -> str:
    lines = [
        Line(
            name=f"{report['alias']}",
            points=tuple((each["budget_ms"], each["depth"]) for each in report["depths"]),
        )
        for report in reports
    ]
    return chart(
        "Depth by budget",
        "candidates scored of 24, mean of 20 requests, one caller at a time",
        Axis(title="budget, ms", ticks=(0, 100, 200, 300, 400)),
        Axis(title="depth", ticks=(0, 4, 8, 12, 16, 20, 24)),
        lines,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.page", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--take", action="store_true", help="take this machine's figures into the checkout")
    if parser.parse_args().take:
        _TAKEN.mkdir(exist_ok=True)
        for path in sorted(RESULTS.glob("*.json")):
            shutil.copyfile(path, _TAKEN / path.name)
            print(f"taken: {path.name}")
    found = results()
    PAGE.write_text(page(found), encoding="utf-8")
    for name, drawn in pictures(found).items():
        (PICTURES / name).write_text(drawn, encoding="utf-8")
    print(f"Written: {PAGE.relative_to(_ROOT)} from {', '.join(found) or 'nothing'}")


if __name__ == "__main__":
    main()
