"""`rerankd bench`: latency, outcomes and throughput on this machine."""

import json
import math
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerankd.cli.options import Budget, Json, ModelName, readable

if TYPE_CHECKING:
    from rich.table import Table

    from rerankd.bench.arrivals import Arrivals
    from rerankd.bench.load import Shot
    from rerankd.bench.report import LoadReport
    from rerankd.core.answer import Ranking
    from rerankd.reranker import Reranker

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("bench")(bench)


def bench(
    queries: Annotated[int, typer.Option(min=1, metavar="N", help="How many queries are measured.")] = 100,
    candidates: Annotated[
        int | None,
        typer.Option(min=1, metavar="M", help="Candidates of each; 24 of the sample, or all in the file."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="F",
            callback=readable,
            help="Your own requests, used in turn: one JSON object a line with query and candidates, a list of"
            " texts. Without it a made-up support corpus of mixed lengths.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="R",
            help="Open arrivals: R queries a second in the mean, at random moments, however slow the answers are.",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, metavar="C", help="Closed arrivals: C callers, each waiting for its answer. [1]"),
    ] = None,
    budget_ms: Budget = None,
    warm_up: Annotated[int, typer.Option(min=0, metavar="W", help="Queries sent before, not measured.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the random arrivals and the sample's order.")] = 0,
    model: ModelName = None,
    json_output: Json = False,
) -> None:
    """Measure latency, outcomes and throughput on this machine.

    A latency counts from the moment at which a query was meant to be sent, so that waiting for a busy engine is
    part of it. With --budget-ms none every query is reranked to the end, which shows what the model costs here;
    with a budget the depth shows how much of the work fits into it.
    """
    from rerankd.bench.arrivals import Closed, Open
    from rerankd.cli.session import load_settings, opened
    from rerankd.cli.terminal import notice, output

    if rate is not None and concurrency is not None:
        raise typer.BadParameter("--rate and --concurrency exclude each other: arrivals are open or closed")
    arrivals = Open(rate=rate, seed=seed) if rate is not None else Closed(concurrency=concurrency or 1)
    work = _requests(file, candidates, seed, queries + warm_up)
    settings = load_settings()
    budget = settings.rerank.budget_ms if budget_ms is None else budget_ms
    with opened(settings, model, require_model=True) as reranker:
        shots = _measure(reranker, work, arrivals, budget, warm_up)
        status = reranker.status()
    from rerankd.bench.report import summarise

    report = summarise(shots)
    facts: dict[str, Any] = {
        "model": status.model,
        "device": status.device,
        "workers": status.workers,
        "arrivals": "open" if rate is not None else "closed",
        "rate": rate,
        "concurrency": None if rate is not None else concurrency or 1,
        "budget_ms": None if math.isinf(budget) else budget,
    }
    if json_output:
        typer.echo(json.dumps({**facts, **report.as_json()}))
    else:
        output().print(_table(facts, report))
    if report.late_ms > 20:
        notice(
            f"the load generator itself was up to {report.late_ms:.0f} ms late: the machine is too busy for it"
        )


def _requests(
    file: Path | None, candidates: int | None, seed: int, count: int
) -> Sequence[tuple[str, Sequence[Any]]]:
    if file is None:
        from rerankd.sample.workload import requests

        return list(islice(requests(candidates or 24, seed=seed), count))
    from rerankd.cli.inputs import read_requests

    given = read_requests(file)
    return [(each.query, each.candidates[:candidates]) for each in islice(cycle(given), count)]


def _measure(
    reranker: "Reranker",
    work: Sequence[tuple[str, Sequence[Any]]],
    arrivals: "Arrivals",
    budget_ms: float,
    warm_up: int,
) -> list["Shot"]:
    import asyncio

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from rerankd.bench.load import fire
    from rerankd.cli.terminal import progress_output

    async def send(number: int) -> "Ranking":
        query, candidates = work[number]
        return await reranker.arerank(query, candidates, budget_ms=budget_ms)

    async def run(done: Callable[[int], None]) -> list["Shot"]:
        return await fire(send, len(work) - warm_up, arrivals, warm_up=warm_up, done=done)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Drawing takes time from what is measured, so it is done seldom.
    console = progress_output()
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, refresh_per_second=2, disable=quiet) as bar:
        task = bar.add_task("Measuring", total=len(work))
        return asyncio.run(run(lambda count: bar.update(task, completed=count)))


def _table(facts: dict[str, Any], report: "LoadReport") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from rerankd.cli.words import COLOURS, limit
    from rerankd.core.types import Outcome

    sent = (
        f"open, {facts['rate']:g} a second"
        if facts["arrivals"] == "open"
        else f"closed, {facts['concurrency']} at a time"
    )
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()

    def line(name: str, *parts: str | Text) -> None:
        table.add_row(name, Text.assemble(*parts))

    line("model", f"{facts['model']} on {facts['device']}, {facts['workers']} workers")
    line(
        "queries",
        f"{report.requests} with {report.candidates:g} candidates, budget {limit(facts['budget_ms'])}, {sent}",
    )
    latency = report.latency_ms
    line(
        "latency",
        Text(f"p50 {latency['p50']:.1f}  p95 {latency['p95']:.1f}  p99 {latency['p99']:.1f}", style="bold"),
        f"  max {latency['max']:.1f} ms",
    )
    shares = [
        Text(f"{outcome.value} {report.outcomes[outcome.value]:.1%}  ", style=COLOURS[outcome])
        for outcome in Outcome
        if report.outcomes[outcome.value]
    ]
    line("outcomes", *shares)
    if report.reasons:
        line("reasons", "  ".join(f"{name} {share:.1%}" for name, share in report.reasons.items()))
    line("depth", f"{report.depth:.1f} of {report.candidates:g} scored in the mean")
    line(
        "throughput",
        f"{report.throughput:.2f} queries and {report.pairs_per_second:.0f} scores in time, a second",
    )
    return table
