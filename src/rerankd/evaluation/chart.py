"""A comparison as a picture: one point a system with its interval, the retrieval order as the line to beat."""

from html import escape

from rerankd.evaluation.comparison import Comparison
from rerankd.evaluation.drawing import text
from rerankd.evaluation.short import short

__all__ = ["chart"]

_WIDTH, _LEFT, _RIGHT = 760, 270, 40
_ROW, _TOP, _GAP = 30, 74, 54
_FAINT, _ACCENT = "#8896a5", "#0f766e"


def chart(comparison: Comparison) -> str:
    """An SVG with one panel a measure, readable on white; no script, no outside font."""
    first = comparison.first
    rows = len(comparison.systems)
    panel = rows * _ROW + _GAP + 24
    height = _TOP + panel * len(first.measures)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        f"<title>{escape(first.dataset)}: reranked order against retrieval order</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        text(24, 32, f"{first.dataset}", size=17, weight=600),
        text(24, 52, f"{len(first.judged):,} queries, mean and 95 % interval of the gain", fill=_FAINT),
    ]
    for number, measure in enumerate(first.measures):
        parts += _panel(comparison, measure, _TOP + number * panel)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(comparison: Comparison, measure: str, top: int) -> list[str]:
    base = comparison.first.retrieval()[measure]
    gains = [system.result.gains()[measure] for system in comparison.systems]
    ends = [base, *(base + end for gain in gains for end in (gain.low, gain.high))]
    margin = max(0.01, (max(ends) - min(ends)) * 0.08)
    low, high = max(0.0, min(ends) - margin), min(1.0, max(ends) + margin)

    def across(value: float) -> float:
        return round(_LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    floor = top + 24 + len(gains) * _ROW
    parts = [text(24, top + 12, measure, weight=600)]
    line = across(base)
    parts.append(
        f'<line x1="{line}" x2="{line}" y1="{top + 4}" y2="{floor}" stroke="{_FAINT}" stroke-dasharray="3 3"/>'
    )
    parts.append(text(line, floor + 17, f"retrieval {base:.3f}", fill=_FAINT, anchor="middle"))
    for number, (system, gain) in enumerate(zip(comparison.systems, gains, strict=True)):
        y = top + 24 + number * _ROW + _ROW // 2
        centre = across(base + gain.mean)
        parts += [
            text(_LEFT - 14, y + 4, _short(system.name), anchor="end"),
            f'<line x1="{across(base + gain.low)}" x2="{across(base + gain.high)}" y1="{y}" y2="{y}"'
            f' stroke="{_ACCENT}" stroke-width="2" stroke-linecap="round"/>',
            f'<circle cx="{centre}" cy="{y}" r="5" fill="{_ACCENT}"/>',
            text(centre, y - 9, f"{base + gain.mean:.3f}", anchor="middle", size=11),
        ]
    return parts


def _short(name: str) -> str:
    """What fits beside the picture; of a hub id the part after the owner tells most."""
    name = short(name)
    return name if len(name) <= 36 else f"{name[:35]}…"
