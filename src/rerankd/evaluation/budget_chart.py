"""Quality at budget as a picture and as a table: the chart by which a person chooses a model."""

from collections.abc import Mapping, Sequence
from html import escape

from rerankd.evaluation.contest import Contest
from rerankd.evaluation.curve import Curve, Point
from rerankd.evaluation.drawing import apart, text
from rerankd.evaluation.short import short

__all__ = ["budget_chart", "budget_table"]

_WIDTH, _HEIGHT = 760, 460
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 190, 84, 60
_LETTER = 7.6
"""About how wide a letter of a name is; a name is never cut off, the picture grows."""
_SHARES, _ROW, _WIDE = 34, 16, 60
"""The bars of the outcomes: the room above them, the height of a model's row, and how wide one is."""
_OUTCOMES = (("reranked", 1.0), ("partial", 0.4), ("skipped", 0.0))
"""Each outcome and how strongly its share is painted."""
_FAINT, _GRID = "#66788a", "#e4e9ee"
_COLOURS = ("#0f766e", "#b45309", "#4338ca", "#be185d", "#4d7c0f", "#0369a1")


def budget_table(curves: Sequence[Curve], held: Sequence[Contest] = (), notes: Sequence[str] = ()) -> str:
    """Markdown: a row a budget; of each model the value, the mean depth and the share of each kind of answer.

    Kinds are reranked (in full), partial and skipped. Of a cascade also how many the larger model rescored, and,
    where it was `held` against them, its gain over the better single model. `notes` are listed below.
    """
    first = curves[0]
    gains = {(each.model, each.budget_ms): each for each in held}
    lines = [
        f"{first.measure} at {first.rate:.2f} requests a second; retrieval order {first.retrieval:.3f}.",
        "",
        "| budget | " + " | ".join(" | ".join(_head(each, gains)) for each in curves) + " |",
        "|---|" + "".join("--:|" * len(_head(each, gains)) for each in curves),
    ]
    for row in zip(*(each.points for each in curves), strict=True):
        cells = [_budget(row[0])]
        for each, point in zip(curves, row, strict=True):
            cells += [f"{point.value:.3f}", f"{point.depth:.1f}"]
            if each.cascade:
                cells.append(f"{point.refined_depth:.1f}")
            cells += [f"{point.outcomes[name]:.0%}" for name, _ in _OUTCOMES]
            gain = gains.get((each.model, point.budget_ms))
            if gain is not None:
                cells.append(
                    f"{gain.gain.mean:+.3f} ({gain.gain.low:+.3f} to {gain.gain.high:+.3f})"
                    f" over {_cell(gain.best)}"
                )
        lines.append("| " + " | ".join(cells) + " |")
    loads = ", ".join(f"{_cell(each.model)} {each.load:.0%}" for each in curves)
    lines += ["", f"The load is so much of what each can fully rerank here: {loads}."]
    lines += ["", *(f"- {note}" for note in notes)] if notes else []
    return "\n".join(lines) + "\n"


def budget_chart(title: str, curves: Sequence[Curve]) -> str:
    """An SVG with one line a model over the budgets, evenly spaced, and the retrieval order to beat.

    Below it, for each model and budget, which share of the answers is reranked, partial and skipped.
    """
    first = curves[0]
    tall = _HEIGHT + _SHARES + _ROW * len(curves)
    longest = max(len(short(each.model)) for each in curves)
    wide = _WIDTH - _RIGHT + max(_RIGHT, round(36 + _LETTER * longest))
    count = len(first.points)
    values = [first.retrieval, *(each.value for found in curves for each in found.points)]
    margin = max(0.01, (max(values) - min(values)) * 0.1)
    low, high = min(values) - margin, max(values) + margin

    def across(place: int) -> float:
        return round(_LEFT + place * (_WIDTH - _LEFT - _RIGHT) / max(1, count - 1), 1)

    def up(value: float) -> float:
        return round(_HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" role="img"'
        ' font-family="system-ui, sans-serif">',
        f"<title>{escape(title)}: {escape(first.measure)} at each budget</title>",
        f'<rect width="{wide}" height="{tall}" fill="#ffffff"/>',
        text(24, 34, title, size=17, weight=600),
        text(24, 56, f"{first.measure} at {first.rate:.2f} requests a second, by budget", fill=_FAINT),
    ]
    for value in _ticks(low, high):
        parts += [
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up(value)}" y2="{up(value)}" stroke="{_GRID}"/>',
            text(_LEFT - 10, up(value) + 4, f"{value:.2f}", fill=_FAINT, anchor="end", size=12),
        ]
    for place, each in enumerate(first.points):
        parts.append(
            text(across(place), _HEIGHT - _BOTTOM + 24, _budget(each), fill=_FAINT, anchor="middle", size=12)
        )
    level = up(first.retrieval)
    parts += [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{level}" y2="{level}" stroke="{_FAINT}"'
        ' stroke-dasharray="4 4"/>',
    ]
    names = [(level, "retrieval order", _FAINT)]
    for number, found in enumerate(curves):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(across(place), up(each.value)) for place, each in enumerate(found.points)]
        line = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in points]
        names.append((points[-1][1], short(found.model), colour))
    parts.append(
        text(
            _LEFT - 30,
            _HEIGHT + 12,
            "Answers: reranked (full), partial (light), skipped (white)",
            fill=_FAINT,
            size=12,
        )
    )
    for number, found in enumerate(curves):
        colour, below = _COLOURS[number % len(_COLOURS)], _HEIGHT + _SHARES + number * _ROW - 12
        for place, each in enumerate(found.points):
            parts += _shares(round(across(place) - _WIDE / 2, 1), below, each, colour)
        parts.append(text(_WIDTH - _RIGHT + 36, below + 10, short(found.model), fill=colour, size=11))
    for y, name, colour in apart(names, _HEIGHT - _BOTTOM):
        parts.append(text(_WIDTH - _RIGHT + 14, y + 4, name, fill=colour, weight=600, size=12))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(found: Curve, gains: Mapping[tuple[str, float | None], Contest]) -> list[str]:
    """The heads of a model's columns."""
    gain = (found.model, found.points[0].budget_ms) in gains
    return [
        _cell(found.model),
        "depth",
        *(["refined"] if found.cascade else []),
        *(name for name, _ in _OUTCOMES),
        *(["gain (95 % interval)"] if gain else []),
    ]


def _shares(x: float, y: float, point: Point, colour: str) -> list[str]:
    """One stacked bar."""
    told = ", ".join(f"{name} {point.outcomes[name]:.0%}" for name, _ in _OUTCOMES)
    tall = _ROW - 5
    bars, at = [], x
    for name, strength in _OUTCOMES:
        wide = round(point.outcomes[name] * _WIDE, 1)
        if strength:
            size = f'x="{at:.1f}" y="{y}" width="{wide}" height="{tall}"'
            bars.append(f'<rect {size} fill="{colour}" opacity="{strength}"/>')
        at += wide
    frame = f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{tall}" fill="none" stroke="{_GRID}"/>'
    return ["<g>", f"<title>{told}</title>", *bars, frame, "</g>"]


def _ticks(low: float, high: float) -> list[float]:
    step = next(each for each in (0.01, 0.02, 0.05, 0.1, 0.2) if (high - low) / each <= 8)
    first = int(low / step) + 1
    return [round(number * step, 4) for number in range(first, int(high / step) + 1)]


def _budget(point: Point) -> str:
    return "none" if point.budget_ms is None else f"{point.budget_ms:g} ms"


def _cell(text: str) -> str:
    return short(text).replace("|", "\\|")
