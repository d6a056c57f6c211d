"""A line chart as an SVG: readable on white, no script, no outside font."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from rerankd.evaluation.drawing import apart, text

__all__ = ["Axis", "Line", "chart"]

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 210, 84, 64
_FAINT, _GRID = "#66788a", "#e4e9ee"
_COLOURS = ("#0f766e", "#b45309", "#4338ca", "#be185d", "#4d7c0f", "#0369a1", "#7c2d12", "#6b21a8", "#374151")


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """What is along an axis, and the values that are written at it; the outermost are its ends."""

    title: str
    ticks: tuple[float, ...]
    unit: str = ""
    log: bool = False

    def share(self, value: float) -> float:
        """Where a value lies between the ends, from 0 to 1; what is outside lies at the nearer end."""
        low, high = self.ticks[0], self.ticks[-1]
        held = min(high, max(low, value))
        if self.log:
            return (math.log(held) - math.log(low)) / (math.log(high) - math.log(low))
        return (held - low) / (high - low)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    name: str
    points: tuple[tuple[float, float], ...]
    dashed: bool = False


def chart(title: str, subtitle: str, across: Axis, up: Axis, lines: Sequence[Line]) -> str:
    """The lines, each with its name at its end, the first one strongest. What is upwards, `subtitle` should say."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
        ' font-family="system-ui, sans-serif">',
        f"<title>{escape(title)}: {escape(subtitle)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        text(24, 34, title, size=17, weight=600),
        text(24, 56, subtitle, fill=_FAINT),
    ]
    for value in up.ticks:
        y = _down(up, value)
        parts += [
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="{_GRID}"/>',
            text(_LEFT - 10, y + 4, f"{value:g}{up.unit}", fill=_FAINT, anchor="end", size=12),
        ]
    for value in across.ticks:
        told = f"{value:g}{across.unit}"
        parts.append(
            text(_over(across, value), _HEIGHT - _BOTTOM + 22, told, fill=_FAINT, anchor="middle", size=12)
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(text(middle, _HEIGHT - 16, across.title, fill=_FAINT, anchor="middle", size=12))
    names = []
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(_over(across, x), _down(up, y)) for x, y in line.points]
        joined = " ".join(f"{x},{y}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if line.dashed else ""
        width = 3 if number == 0 else 1.8
        parts.append(
            f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>'
        )
        parts += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in points]
        names.append((points[-1][1], line.name, colour))
    for y, name, colour in apart(names, _HEIGHT - _BOTTOM):
        parts.append(text(_WIDTH - _RIGHT + 14, y + 4, name, fill=colour, weight=600, size=12))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _over(axis: Axis, value: float) -> float:
    return round(_LEFT + axis.share(value) * (_WIDTH - _LEFT - _RIGHT), 1)


def _down(axis: Axis, value: float) -> float:
    return round(_HEIGHT - _BOTTOM - axis.share(value) * (_HEIGHT - _TOP - _BOTTOM), 1)
