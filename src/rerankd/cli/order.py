"""An answer as a table: the new order, where everything came from, and how it came about."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from rerankd.cli.terminal import columns, printable
from rerankd.cli.words import COLOURS, explain, limit

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from rerankd.core.answer import RankedCandidate, Ranking
    from rerankd.core.types import CandidateId

__all__ = ["move", "order_table", "show_order", "verdict"]

_ARROWS = ("▲", "▼", "=", "✓", "–")
_ASCII = ("^", "v", "=", "*", "-")


def show_order(
    console: "Console",
    ranking: "Ranking",
    *,
    query: str,
    budget_ms: float | None,
    answers: Collection["CandidateId"] = (),
    rows: int | None = None,
) -> None:
    """Print an answer: its table, what kind of answer it is, and where the time went.

    `answers`: the candidates that are known to answer the query. `rows`: no more than so many.
    """
    console.print(order_table(console, ranking, query=query, answers=answers, rows=rows))
    console.print()
    for candidate in ranking:
        if candidate.id in answers:
            places = f"place {candidate.retrieval_rank} before, {candidate.rank} now"
            console.print(f"{_signs(console)[3]} answers the query: {places}", style="bold green")
    console.print(verdict(ranking, budget_ms=budget_ms))
    if ranking.depth:
        spent = ranking.timings
        console.print(
            f"queue {spent.queue:.1f} ms · tokenize {spent.tokenize:.1f} ms"
            f" · inference {spent.inference:.1f} ms"
            + (f" · refine {spent.refine:.1f} ms" if spent.refine else "")
            + f" · order {spent.order:.1f} ms",
            style="dim",
        )


def order_table(
    console: "Console",
    ranking: "Ranking",
    *,
    query: str,
    answers: Collection["CandidateId"] = (),
    rows: int | None = None,
) -> "Table":
    from rich.text import Text

    signs = _signs(console)
    named = any(isinstance(candidate.id, str) for candidate in ranking)
    table = columns(console)
    table.expand = True  # else the longest text would squeeze the other columns
    table.title, table.title_justify = Text(printable(query), style="bold"), "left"
    table.add_column("rank", justify="right")
    table.add_column("was", justify="right")
    table.add_column("", justify="left", no_wrap=True)
    table.add_column("score", justify="right")
    if answers:
        table.add_column("", no_wrap=True)
    if named:
        table.add_column("id", no_wrap=True, max_width=24, overflow="ellipsis")
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for candidate in ranking[:rows]:
        right = candidate.id in answers
        cells: list[Text | str] = [
            str(candidate.rank),
            Text(str(candidate.retrieval_rank), style="dim"),
            move(candidate, signs),
            _score(candidate, signs[4]),
        ]
        if answers:
            cells.append(Text(signs[3] if right else "", style="bold green"))
        if named:
            cells.append(Text(printable(str(candidate.id)), style="dim"))
        # no renderer needs more of a text than fits into a line, and one may be a megabyte long
        cells.append(Text(printable(candidate.text[:500]), style="bold" if right else ""))
        table.add_row(*cells, style="" if candidate.scored else "dim")
    left = len(ranking) - len(ranking[:rows])
    if left:
        table.caption = f"and {left} more"
        table.caption_justify = "left"
    return table


def verdict(ranking: "Ranking", *, budget_ms: float | None) -> "Text":
    """Which order it is, why, how deep, how long, by which model: one line."""
    from rich.text import Text

    line = Text()
    line.append(ranking.outcome.value, style=f"bold {COLOURS[ranking.outcome]}")
    if ranking.reason is not None:
        line.append(f"/{ranking.reason.value}")
    line.append(f" · {ranking.depth} of {ranking.candidates_total} scored")
    if ranking.refined_depth:
        line.append(f", {ranking.refined_depth} of them again by the larger model")
    line.append(f" · {ranking.elapsed_ms:.1f} ms, budget {limit(budget_ms)}")
    if ranking.model is not None:
        line.append(f" · {printable(ranking.model)}")
    if ranking.reason is not None:
        line.append(f"\n{explain(ranking.reason)}", style="dim")
    return line


def move(candidate: "RankedCandidate", signs: tuple[str, ...] = _ARROWS) -> "Text":
    """How many places it went up or down."""
    from rich.text import Text

    places = candidate.retrieval_rank - candidate.rank
    if places > 0:
        return Text(f"{signs[0]} {places}", style="green")
    if places < 0:
        return Text(f"{signs[1]} {-places}", style="red")
    return Text(signs[2], style="dim")


def _score(candidate: "RankedCandidate", none: str) -> "Text":
    from rich.text import Text

    if candidate.score is None:
        return Text(none, style="dim")
    style = "bold green" if candidate.score >= 0.5 else "yellow" if candidate.score >= 0.05 else "dim"
    return Text(f"{candidate.score:.3f}" if candidate.score >= 0.0005 else "<0.001", style=style)


def _signs(console: "Console") -> tuple[str, ...]:
    """Arrows, or what is left of them where the output's encoding has none."""
    try:
        "".join(_ARROWS).encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return _ASCII
    return _ARROWS
