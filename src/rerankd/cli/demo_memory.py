"""The end of `rerankd demo`: the same reranker over a private memory, on a database of its own for the moment."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rerankd.memory.memory import Memory
    from rerankd.memory.types import Recall, VectorMode
    from rerankd.sample.conversation import Asked
    from rerankd.settings import Settings

__all__ = ["show_memory"]

_ROWS = 5
_TENANT = "demo"


def show_memory(console: "Console", settings: "Settings", budget: float) -> None:
    """Load a conversation into an embedded database in a temporary folder, ask it, and show who sees what.

    Whatever is missing for it (the extra, a database for this machine) is said, and nothing else fails.
    """
    from rerankd.errors import RerankdError

    console.print()
    console.print("A private memory of a chat, on a PostgreSQL that was started for this demo", style="bold")
    with _folder() as folder:
        try:
            asyncio.run(_show(console, _private(settings, folder), budget))
        except RerankdError as error:
            console.print(f"Left out: {error}", markup=False, style="yellow")


def _private(settings: "Settings", folder: Path) -> "Settings":
    """Settings whose memory is in the folder and nowhere else."""
    from rerankd.memory.policy import MemoryPolicy, StorePolicy

    return replace(settings, data_dir=folder, store=StorePolicy(tenant=_TENANT), memory=MemoryPolicy())


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="rerankd-demo-"))
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        folder.chmod(0o711)  # as root the database runs as another user, who has to get in
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Row:
    asked: "Asked"
    recall: "Recall"

    @property
    def places(self) -> tuple[int | None, int | None]:
        """Where the memory that answers it was, and where it is now."""
        for place, chunk in enumerate(self.recall, 1):
            if chunk.text == self.asked.answer:
                return chunk.retrieval_rank, place
        return None, None


async def _show(console: "Console", settings: "Settings", budget: float) -> None:
    from rerankd.cli.recalled import show_recall
    from rerankd.sample.conversation import asked
    from rerankd.wiring import build

    reranker = build(settings, require_model=True)
    async with reranker:
        async with _opened(settings, "plain", reranker) as memory:
            await _load(console, memory)
            rows = [await _ask(memory, each, budget) for each in asked()]
            console.print()
            show_recall(
                console,
                rows[0].recall,
                query=f"{rows[0].asked.user} asks: {rows[0].asked.question}",
                answers={rows[0].asked.answer},
                rows=_ROWS,
            )
            _show_places(console, rows, budget)
            await _show_apart(console, memory, settings, rows)
            plain = [await _ask(memory, each, None) for each in asked()]
        async with _opened(settings, "sealed", reranker) as memory:
            await _show_sealed(console, memory, plain)


def _opened(settings: "Settings", vectors: "VectorMode", reranker: object) -> "Memory":
    from rerankd.wiring import build_memory

    return build_memory(
        replace(settings, store=replace(settings.store, vectors=vectors)),
        reranker,  # type: ignore[arg-type]
    )


async def _ask(memory: "Memory", each: "Asked", budget: float | None) -> _Row:
    recall = await memory.query(each.question, user_id=each.user, budget_ms=budget, top_k_reranked=24)
    return _Row(each, recall)


async def _load(console: "Console", memory: "Memory") -> None:
    from rerankd.engine.clock import SystemClock
    from rerankd.sample.conversation import turns

    clock, said = SystemClock(), turns()
    began = clock.now()
    users = sorted({turn.user for turn in said})
    for user in users:
        own = [turn for turn in said if turn.user == user]
        await memory.add(
            [turn.text for turn in own], user_id=user, created_at=[turn.created_at for turn in own]
        )
    months = round((said[-1].created_at - said[0].created_at).days / 30.4)
    console.print(
        f"{len(said)} turns of {len(users)} people over {months} months, embedded, sealed and stored in"
        f" {clock.now() - began:.1f} s. The conversation is made up."
    )


def _show_places(console: "Console", rows: Sequence[_Row], budget: float) -> None:
    console.print()
    console.print(
        f"Ten questions within {budget:g} ms: where the memory that answers it was by nearness, and is now",
        style="bold",
    )
    console.print(_table(console, rows))
    before, after = (
        sum(1 / place if place else 0.0 for place in places) / len(rows)
        for places in zip(*(row.places for row in rows), strict=True)
    )
    slowest = max(row.recall.timings.total for row in rows)
    console.print(
        f"Mean reciprocal rank {before:.2f} before, {after:.2f} after · the slowest took {slowest:.0f} ms,"
        " embedding, database and opening included",
        style="bold",
    )
    console.print(
        "They were chosen because nearness alone misses them. For judged questions: docs/memory.md.",
        style="dim",
    )


def _table(console: "Console", rows: Sequence[_Row]) -> "Table":
    from rich.text import Text

    from rerankd.cli.terminal import columns
    from rerankd.cli.words import COLOURS

    table = columns(console)
    table.add_column("who")
    table.add_column("question", no_wrap=True, overflow="ellipsis", ratio=1)
    for name in ("was", "now"):
        table.add_column(name, justify="right")
    table.add_column("outcome", no_wrap=True)
    table.add_column("depth", justify="right")
    table.add_column("ms", justify="right")
    for row in rows:
        was, now = row.places
        better = was is not None and now is not None and now < was
        table.add_row(
            row.asked.user,
            Text(row.asked.question),
            Text(str(was or ""), style="dim"),
            Text(str(now or ""), style="bold green" if better else ""),
            Text(row.recall.outcome.value, style=COLOURS[row.recall.outcome]),
            f"{row.recall.depth}/{row.recall.candidates}",
            f"{row.recall.timings.total:.0f}",
        )
    return table


async def _show_apart(
    console: "Console", memory: "Memory", settings: "Settings", rows: Sequence[_Row]
) -> None:
    """One user's question under another's name; and the database without any user."""
    import psycopg

    from rerankd.memory.store.embedded import EmbeddedPostgres
    from rerankd.sample.conversation import turns

    asking = rows[0].asked
    others = sorted({turn.user for turn in turns()} - {asking.user})
    own = {turn.text for turn in turns() if turn.user == asking.user}
    console.print()
    console.print("Who sees what", style="bold")
    for other in others:
        recall = await memory.query(asking.question, user_id=other, budget_ms=None)
        seen = sum(chunk.text in own for chunk in recall)
        console.print(f"{asking.user}'s question asked by {other}: {seen} of {asking.user}'s memories")
    strange = await memory.of_tenant("another tenant").query(
        asking.question, user_id=asking.user, budget_ms=None
    )
    console.print(
        f"{asking.user}'s question asked by a {asking.user} of another tenant: {len(strange)} memories"
    )
    url = EmbeddedPostgres(settings.data_dir).urls().app
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM memory_chunks").fetchone()
    counted = found[0] if found else "?"
    console.print(
        f"SELECT count(*) FROM memory_chunks, by the application's role with no user set: {counted}"
    )


async def _show_sealed(console: "Console", memory: "Memory", plain: Sequence[_Row]) -> None:
    """The same users with sealed vectors answer the same."""
    done = await memory.reembed()
    sealed = [await _ask(memory, row.asked, None) for row in plain]
    same = sum(
        [chunk.id for chunk in one.recall] == [chunk.id for chunk in other.recall]
        for one, other in zip(plain, sealed, strict=True)
    )
    console.print()
    console.print("The same with sealed vectors", style="bold")
    console.print(
        f"{done.memories} vectors sealed as well: no row holds anything now that can be inverted to text."
        f" {same} of {len(plain)} questions: the same memories in the same order."
    )
