"""`rerankd evaluate --at-budgets`: which quality do callers get within how many milliseconds?"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from rerankd.core.ports import Model
    from rerankd.evaluation.collection import Collection
    from rerankd.evaluation.curve import Curve, Point
    from rerankd.evaluation.recording import Recording
    from rerankd.evaluation.run import Run
    from rerankd.settings import Settings

__all__ = ["at_budgets"]

_LOAD = 0.7
"""The usual rate, as a share of what the slowest model can do."""


def at_budgets(
    settings: "Settings",
    collection: "Collection",
    run: "Run",
    *,
    notes: Sequence[str],
    models: Sequence[str | None],
    depth: int,
    budgets: Sequence[float | None],
    rate: float | None,
    live_ms: float | None,
    size: int | None,
    relevant_from: int,
    name: str,
    markdown: Path | None,
    svg: Path | None,
    json_output: bool,
) -> None:
    """Record each model once, replay every budget, and show the curves.

    `notes`: what a reader should know about the figures, as `rerankd evaluate` says it.
    """
    from rerankd.cli.terminal import notice, output, written
    from rerankd.evaluation.budget_chart import budget_chart, budget_table
    from rerankd.evaluation.contest import contests
    from rerankd.evaluation.curve import BUDGETS_MS, curve
    from rerankd.evaluation.short import short
    from rerankd.models.names import AUTO, members_of

    entries = [members_of(settings.model.model if model is None else model) for model in models]
    if any(AUTO in members for members in entries):
        raise typer.BadParameter("auto picks one of them; name the models to compare", param_hint="'--model'")
    recorded = {
        model: _recorded(settings, model, collection, run, depth, size)
        for model in dict.fromkeys(chain.from_iterable(entries))
    }
    recordings = [tuple(recorded[model] for model in members) for members in entries]
    rate = rate or _LOAD * min(each.capacity() for each in recorded.values())
    options: dict[str, Any] = {"name": name, "relevant_from": relevant_from}
    curves = [
        curve(
            collection,
            first,
            refiner=next(iter(second), None),
            policy=settings.cascade,
            rate=rate,
            budgets_ms=budgets or BUDGETS_MS,
            **options,
        )
        for first, *second in recordings
    ]
    held = contests(curves)
    for note in notes:
        notice(note)
    written(markdown, lambda: f"# {collection.name}\n\n{budget_table(curves, held, notes)}")
    written(svg, lambda: budget_chart(collection.name, curves))
    confirmed: list[Point] = []
    if live_ms is not None:
        confirmed = [
            _confirmed(settings, model, collection, recording, live_ms, rate, options)
            for model, recording in zip(models, recordings, strict=True)
        ]
    if json_output:
        shape: dict[str, Any] = {
            "dataset": collection.name,
            "queries": recordings[0][0].judged,
            "depth": depth,
            "curves": [each.as_json() for each in curves],
            "contests": [each.as_json() for each in held],
            "notes": list(notes),
        }
        if live_ms is not None:
            shape["live"] = [
                {
                    "model": each.model,
                    "budget_ms": live_ms,
                    "value": round(point.value, 4),
                    "depth": round(point.depth, 2),
                    "refined_depth": round(point.refined_depth, 2),
                    "outcomes": {outcome: round(share, 4) for outcome, share in point.outcomes.items()},
                }
                for each, point in zip(curves, confirmed, strict=True)
            ]
        typer.echo(json.dumps(shape))
        return
    console = output()
    console.print(_table(collection.name, curves))
    for each in curves:
        console.print(
            f"{each.model}: {rate:.2f} requests a second are {each.load:.0%} of what it can fully rerank here",
            style="dim",
            soft_wrap=True,
        )
    for found in held:
        console.print(
            f"{_budget(found.budget_ms)}: {short(found.model)} over {short(found.best)}"
            f" {found.gain.mean:+.3f} ({found.gain.low:+.3f} to {found.gain.high:+.3f})",
            style="dim",
            soft_wrap=True,
        )
    for each, point in zip(curves, confirmed, strict=False):
        replayed = next((other.value for other in each.points if other.budget_ms == live_ms), None)
        against = "" if replayed is None else f" (replayed {replayed:.3f})"
        console.print(
            f"{each.model}, asked in real time with {live_ms:g} ms:"
            f" {each.measure} {point.value:.3f}{against}, depth {point.depth:.1f}"
            + (f", refined {point.refined_depth:.1f}" if each.cascade else ""),
            soft_wrap=True,
        )


def _recorded(
    settings: "Settings",
    model: str,
    collection: "Collection",
    run: "Run",
    depth: int,
    size: int | None,
) -> "Recording":
    from rerankd.engine.clock import SystemClock
    from rerankd.evaluation.recording import record

    with _loaded(settings, model) as found, _bar("Recording") as advance:
        return record(collection, run, found, SystemClock(), depth=depth, size=size, progress=advance)


@contextmanager
def _loaded(settings: "Settings", model: str) -> Iterator["Model"]:
    from rerankd.cli.terminal import progress_output
    from rerankd.wiring import load_model

    with progress_output().status("Loading the model ..."):
        found = load_model(replace(settings.model, model=model), settings.data_dir)
    try:
        yield found
    finally:
        found.close()


def _confirmed(
    settings: "Settings",
    model: str | None,
    collection: "Collection",
    recordings: "Sequence[Recording]",
    budget_ms: float,
    rate: float,
    options: dict[str, Any],
) -> "Point":
    """The same requests, in real time."""
    from rerankd.cli.session import opened
    from rerankd.evaluation.curve import point
    from rerankd.evaluation.live import ask

    recording, refiner = recordings[0], (*recordings[1:], None)[0]
    count = len(recording.queries)
    requests = count * max(1, -(-200 // count))
    with opened(settings, model, require_model=True) as reranker, _bar("Asking") as advance:
        answers = asyncio.run(
            ask(recording, reranker, budget_ms=budget_ms, rate=rate, requests=requests, progress=advance)
        )
    return point(collection, recording, budget_ms, answers, refiner=refiner, **options)


@contextmanager
def _bar(title: str) -> Iterator[Any]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from rerankd.cli.terminal import progress_output

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = progress_output()
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _table(title: str, curves: Sequence["Curve"]) -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from rerankd.cli.terminal import printable
    from rerankd.evaluation.short import short

    shown = Table(
        title=Text(printable(f"{title}: {curves[0].measure} at each budget"), style="bold"),
        title_justify="left",
        box=SIMPLE_HEAD,
        header_style="dim",
        caption=f"answers: {'/'.join(curves[0].points[0].outcomes)}",
        caption_justify="left",
    )
    shown.add_column("budget")
    for each in curves:
        shown.add_column(printable(short(each.model)), justify="right", overflow="fold")
        shown.add_column("depth", justify="right", style="dim")
        if each.cascade:
            shown.add_column("refined", justify="right", style="dim")
        shown.add_column("answers", justify="right", style="dim")
    before = curves[0].retrieval
    empty = (cell for each in curves for cell in (f"{before:.3f}", *[""] * (2 + each.cascade)))
    shown.add_row("(retrieval order)", *empty)
    for row in zip(*(each.points for each in curves), strict=True):
        cells = [_budget(row[0].budget_ms)]
        for each, point in zip(curves, row, strict=True):
            refined = [f"{point.refined_depth:.1f}"] if each.cascade else []
            cells += [
                f"{point.value:.3f}",
                f"{point.depth:.1f}",
                *refined,
                # in one column: with three a model, those of several would not fit beside each other
                "/".join(f"{100 * share:.0f}" for share in point.outcomes.values()) + " %",
            ]
        shown.add_row(*cells)
    return shown


def _budget(budget_ms: float | None) -> str:
    return "none" if budget_ms is None else f"{budget_ms:g} ms"
