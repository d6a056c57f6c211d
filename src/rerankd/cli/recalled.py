"""Recalled memories as a table: the new order, where each was by retrieval, and how long every stage took."""

from collections.abc import Collection
from dataclasses import asdict
from typing import TYPE_CHECKING

from rerankd.cli.terminal import columns, printable
from rerankd.cli.words import COLOURS, explain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from rerankd.memory.types import MemoryChunk, Recall

__all__ = ["line_of", "show_recall"]


def show_recall(
    console: "Console",
    recall: "Recall",
    *,
    query: str,
    answers: Collection[str] = (),
    rows: int | None = None,
) -> None:
    """Print a recall. `answers`: the texts that are known to answer the question."""
    from rich.text import Text

    table = columns(console)
    table.expand = True
    table.title, table.title_justify = Text(printable(query), style="bold"), "left"
    for name in ("rank", "was", "score", "nearness", "date"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("memory", no_wrap=True, overflow="ellipsis", ratio=1)
    for rank, chunk in enumerate(recall[:rows], 1):
        right = str(chunk.text) in answers
        table.add_row(
            str(rank),
            _was(rank, chunk),
            Text("-", style="dim") if chunk.score is None else f"{chunk.score:.3f}",
            Text(f"{chunk.retrieval_score:.3f}", style="dim"),
            Text(f"{chunk.created_at:%Y-%m-%d}", style="dim"),
            Text(printable(chunk.text[:500]), style="bold green" if right else ""),
        )
    console.print(table)
    console.print(line_of(recall))


def line_of(recall: "Recall") -> "Text":
    """Which order it is, and where the time went: one line."""
    from rich.text import Text

    line = Text()
    line.append(recall.outcome.value, style=f"bold {COLOURS[recall.outcome]}")
    if recall.reason is not None:
        line.append(f"/{recall.reason.value}")
    line.append(f" · {recall.depth} of {recall.candidates} scored")
    stages = asdict(recall.timings)
    total = stages.pop("total")
    spent = ", ".join(f"{name} {ms:.1f}" for name, ms in stages.items() if ms >= 0.05)
    line.append(f" · {total:.1f} ms ({spent})")
    if recall.dropped:
        line.append(f" · {recall.dropped} memories do not open: damage, or an attack", style="bold red")
    if recall.reason is not None:
        line.append(f"\n{explain(recall.reason)}", style="dim")
    return line


def _was(rank: int, chunk: "MemoryChunk") -> "Text":
    from rich.text import Text

    style = "green" if chunk.retrieval_rank > rank else "red" if chunk.retrieval_rank < rank else "dim"
    return Text(str(chunk.retrieval_rank), style=style)
