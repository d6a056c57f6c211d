"""From 1 to 1,000 replicas in virtual time: p99 and the shares of the outcomes, as a table and a picture.

python -m benchmarks.fleet [--most 1000] [--svg docs/pictures/fleet.svg]

Needs the checkout's tests: the simulation that it asks is the one that holds the library to its promises. The
figures depend on the seed alone, not on the machine that runs this.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from tests.sim.fleet import FleetReport, FleetScenario, run_fleet

SIZES = (1, 3, 10, 30, 100, 300, 1_000)
_WIDTH, _HEIGHT, _LEFT, _TOP, _PLOT = 760, 520, 70, 70, 170
_INK, _FAINT = "#1f2933", "#8896a5"
_SHARES = (("reranked", "#0f766e"), ("partial", "#7dd3c0"), ("skipped", "#d9a441"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.fleet", description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=SIZES[-1], help="replicas of the largest fleet")
    parser.add_argument("--svg", type=Path, help="where to write the picture")
    arguments = parser.parse_args()
    reports = []
    print(
        "| replicas | requests | lost | p50 ms | p99 ms | latest ms | reranked | partial | skipped | depth |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size in SIZES:
        if size <= arguments.most:
            reports.append(run_fleet(FleetScenario(replicas=size)))
            print(row(reports[-1]), flush=True)
    if arguments.svg is not None:
        arguments.svg.write_text(picture(reports), encoding="utf-8")


def row(report: FleetReport) -> str:
    shares = " | ".join(f"{report.share(name):.1%}" for name, _ in _SHARES)
    latest = max(report.seconds) * 1000
    depth = report.depths / (24 * report.requests)
    middle, tail = (report.percentile(share) * 1000 for share in (0.5, 0.99))
    return (
        f"| {report.scenario.replicas:,} | {report.requests:,} | {report.deaths}"
        f" | {middle:.0f} | {tail:.0f} | {latest:.0f} | {shares} | {depth:.1%} |"
    )


def picture(reports: Sequence[FleetReport]) -> str:
    """Two panels over the number of replicas: p99 against the budget, and the shares of the outcomes."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        "<title>p99 and outcomes from 1 to 1,000 replicas, simulated</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(24, 32, "From 1 to 1,000 replicas: simulated", size=17),
        _text(24, 52, "budget 250 ms, 60 % load, bursts, replicas that die and stragglers", fill=_FAINT),
    ]
    parts += _latency(reports, _TOP) + _outcomes(reports, _TOP + _PLOT + 60)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _across(replicas: int) -> float:
    return round(_LEFT + 20 + math.log10(replicas) / 3 * (_WIDTH - _LEFT - 160), 1)


def _latency(reports: Sequence[FleetReport], top: int) -> list[str]:
    def down(ms: float) -> float:
        return round(top + _PLOT - ms / 300 * _PLOT, 1)

    parts = [_text(24, top + 12, "ms")]
    for ms in (0, 100, 200):
        parts.append(_rule(down(ms), f"{ms}"))
    parts.append(
        f'<line x1="{_LEFT}" x2="{_WIDTH - 120}" y1="{down(250)}" y2="{down(250)}" stroke="{_INK}"'
        ' stroke-dasharray="4 3"/>'
    )
    parts.append(_text(_WIDTH - 112, down(250) + 4, "budget"))
    for share, name, colour in ((0.99, "p99", "#0f766e"), (0.5, "p50", "#7dd3c0")):
        points = [(_across(each.scenario.replicas), down(each.percentile(share) * 1000)) for each in reports]
        line = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in points]
        parts.append(_text(_WIDTH - 112, points[-1][1] + (16 if name == "p99" else 4), name, fill=colour))
    return parts


def _outcomes(reports: Sequence[FleetReport], top: int) -> list[str]:
    parts = [_text(24, top - 12, "share of the answers")]
    for share in (0, 50, 100):
        parts.append(_rule(round(top + _PLOT - share / 100 * _PLOT, 1), f"{share} %"))
    for report in reports:
        x, y = _across(report.scenario.replicas), float(top + _PLOT)
        for name, colour in _SHARES:
            height = report.share(name) * _PLOT
            y -= height
            parts.append(
                f'<rect x="{x - 18:.1f}" y="{y:.1f}" width="36" height="{height:.1f}" fill="{colour}"/>'
            )
        parts.append(_text(x, top + _PLOT + 18, f"{report.scenario.replicas:,}", anchor="middle"))
    for number, (name, colour) in enumerate(_SHARES):
        parts.append(_text(_WIDTH - 112, top + 20 + 20 * number, name, fill=colour))
    parts.append(_text(_WIDTH - 112, top + _PLOT + 18, "replicas", fill=_FAINT))
    return parts


def _rule(y: float, label: str) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - 120}" y1="{y}" y2="{y}" stroke="#e4e8ec"/>'
    return line + _text(_LEFT - 8, y + 4, label, fill=_FAINT, anchor="end")


def _text(x: float, y: float, text: str, *, size: int = 13, fill: str = _INK, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{fill}" text-anchor="{anchor}">{text}</text>'


if __name__ == "__main__":
    main()
