"""What every picture of figures draws alike: words, and names at the ends of lines."""

from collections.abc import Sequence
from html import escape

__all__ = ["INK", "apart", "text"]

INK = "#1f2933"
_LINE = 16
"""The height of a name."""


def text(
    x: float,
    y: float,
    words: str,
    *,
    size: int = 13,
    weight: int = 400,
    fill: str = INK,
    anchor: str = "start",
) -> str:
    """An SVG element with these words, whatever characters they hold."""
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{fill}"'
        f' text-anchor="{anchor}">{escape(words)}</text>'
    )


def apart(names: Sequence[tuple[float, str, str]], bottom: float) -> list[tuple[float, str, str]]:
    """Names, each with its height and colour, moved apart where they would lie upon each other, and all of them up
    where the lowest would fall below `bottom`."""
    placed: list[tuple[float, str, str]] = []
    for y, name, colour in sorted(names):
        placed.append((max(y, placed[-1][0] + _LINE) if placed else y, name, colour))
    low = max(0.0, placed[-1][0] - bottom) if placed else 0.0
    return [(round(y - low, 1), name, colour) for y, name, colour in placed]
