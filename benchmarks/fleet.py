"""From 1 to 1,000 replicas in virtual time: p99 and the shares of the outcomes, as a table and a picture.

python -m benchmarks.fleet [--most 1000] [--svg docs/pictures/fleet.svg]

Needs the checkout's tests: the simulation that it asks is the one that holds the library to its promises. The
figures depend on the seed alone, not on the machine that runs this.
"""

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.sim.fleet import FleetReport, FleetScenario, run_fleet

from rerankd.evaluation.drawing import INK, text

SIZES = (1, 3, 10, 30, 100, 300, 1_000)
_WIDTH, _HEIGHT, _LEFT, _TOP, _PLOT = 760, 520, 70, 70, 170
_FAINT = "#8896a5"
_SHARES = (("reranked", "#0f766e"), ("partial", "#7dd3c0"), ("skipped", "#d9a441"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.fleet", description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=SIZES[-1], help="replicas of the largest fleet")
    parser.add_argument("--svg", type=Path, help="where to write the picture")
    arguments = parser.parse_args()
    rows: list[Row] = []
    print(
        "| replicas | requests | lost | p50 ms | p99 ms | latest ms | reranked | partial | skipped | depth |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for size in SIZES:
        if size <= arguments.most:
            rows.append(row_of(run_fleet(FleetScenario(replicas=size))))
            print(rows[-1].line(), flush=True)
    if arguments.svg is not None:
        arguments.svg.write_text(picture(rows), encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One size of the fleet; times in milliseconds, shares from 0 to 1."""

    replicas: int
    requests: int
    lost: int
    p50: float
    p99: float
    latest: float
    shares: Mapping[str, float]
    depth: float

    def line(self) -> str:
        shares = " | ".join(f"{self.shares[name]:.1%}" for name, _ in _SHARES)
        return (
            f"| {self.replicas:,} | {self.requests:,} | {self.lost} | {self.p50:.0f} | {self.p99:.0f}"
            f" | {self.latest:.0f} | {shares} | {self.depth:.1%} |"
        )


def row_of(report: FleetReport) -> Row:
    return Row(
        replicas=report.scenario.replicas,
        requests=report.requests,
        lost=report.deaths,
        p50=report.percentile(0.5) * 1000,
        p99=report.percentile(0.99) * 1000,
        latest=max(report.seconds) * 1000,
        shares={name: report.share(name) for name, _ in _SHARES},
        depth=report.depths / (24 * report.requests),
    )


def picture(rows: Sequence[Row]) -> str:
    """Two panels over the number of replicas: p99 against the budget, and the shares of the outcomes."""
    span = f"From {rows[0].replicas:,} to {rows[-1].replicas:,} replicas"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        f"<title>p99 and outcomes, {span}, simulated</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        text(24, 32, f"{span}: simulated", size=17),
        text(24, 52, "budget 250 ms, 60 % load, bursts, replicas that die and stragglers", fill=_FAINT),
    ]
    parts += _latency(rows, _TOP) + _outcomes(rows, _TOP + _PLOT + 60)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _across(replicas: int) -> float:
    return round(_LEFT + 20 + math.log10(replicas) / 3 * (_WIDTH - _LEFT - 160), 1)


def _latency(rows: Sequence[Row], top: int) -> list[str]:
    def down(ms: float) -> float:
        return round(top + _PLOT - ms / 300 * _PLOT, 1)

    parts = [text(24, top + 12, "ms")]
    for ms in (0, 100, 200):
        parts.append(_rule(down(ms), f"{ms}"))
    parts.append(
        f'<line x1="{_LEFT}" x2="{_WIDTH - 120}" y1="{down(250)}" y2="{down(250)}" stroke="{INK}"'
        ' stroke-dasharray="4 3"/>'
    )
    parts.append(text(_WIDTH - 112, down(250) + 4, "budget"))
    for name, colour in (("p99", "#0f766e"), ("p50", "#7dd3c0")):
        points = [(_across(each.replicas), down(getattr(each, name))) for each in rows]
        line = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in points]
        parts.append(text(_WIDTH - 112, points[-1][1] + (16 if name == "p99" else 4), name, fill=colour))
    return parts


def _outcomes(rows: Sequence[Row], top: int) -> list[str]:
    parts = [text(24, top - 12, "share of the answers")]
    for share in (0, 50, 100):
        parts.append(_rule(round(top + _PLOT - share / 100 * _PLOT, 1), f"{share} %"))
    for row in rows:
        x, y = _across(row.replicas), float(top + _PLOT)
        for name, colour in _SHARES:
            height = row.shares[name] * _PLOT
            y -= height
            parts.append(
                f'<rect x="{x - 18:.1f}" y="{y:.1f}" width="36" height="{height:.1f}" fill="{colour}"/>'
            )
        parts.append(text(x, top + _PLOT + 18, f"{row.replicas:,}", anchor="middle"))
    for number, (name, colour) in enumerate(_SHARES):
        parts.append(text(_WIDTH - 112, top + 20 + 20 * number, name, fill=colour))
    parts.append(text(_WIDTH - 112, top + _PLOT + 18, "replicas", fill=_FAINT))
    return parts


def _rule(y: float, label: str) -> str:
    line = f'<line x1="{_LEFT}" x2="{_WIDTH - 120}" y1="{y}" y2="{y}" stroke="#e4e8ec"/>'
    return line + text(_LEFT - 8, y + 4, label, fill=_FAINT, anchor="end")


if __name__ == "__main__":
    main()
