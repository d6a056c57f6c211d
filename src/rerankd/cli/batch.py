"""`rerankd batch`: score whole collections of requests, without deadlines."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.cli.options import Json, ModelName

if TYPE_CHECKING:
    from rerankd.bulk.plan import Plan
    from rerankd.bulk.run import Summary, Told
    from rerankd.bulk.shard import Receipt
    from rerankd.settings import Settings

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("batch")(batch)


def batch(
    input: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Parquet or JSON lines: a file, a folder or a pattern, here or at any URL that fsspec knows.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUTPUT",
            help="A new folder, here or at a URL; or this job's own, where it goes on with what is left.",
            show_default=False,
        ),
    ],
    query_column: Annotated[
        str,
        typer.Option("--query-column", metavar="Q", help="The column of the queries.", show_default=False),
    ],
    candidates_column: Annotated[
        str,
        typer.Option(
            "--candidates-column",
            metavar="C",
            help="The column of the candidates: a list of texts, or of objects with text.",
            show_default=False,
        ),
    ],
    model: ModelName = None,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Name only the best K in the order; all are scored."),
    ] = None,
    long_text: Annotated[
        str,
        typer.Option(
            metavar="truncate|chunk",
            help="Texts longer than the model's window: cut them, or score overlapping chunks and take the best.",
        ),
    ] = "truncate",
    shard_rows: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Rows of an output file, and so what a kill can lose of each worker."
        ),
    ] = 250,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Score on a Ray cluster, a worker a GPU or core: RERANKD_RAY_ADDRESS, else RAY_ADDRESS, else"
            " one of this machine. The rows are the same.",
        ),
    ] = False,
    json_output: Json = False,
) -> None:
    """Score every row's candidates, and write the rows with their scores and order.

    Rows are streamed, so memory does not grow with the input. A run that was ended goes on where it was when the
    same command is given again. Rows that cannot be scored are in OUTPUT/_bad, each with its file, its place and
    the reason.

    Example: rerankd batch found.parquet scored --query-column question --candidates-column passages
    """
    from rerankd.bulk.job import Job
    from rerankd.bulk.plan import plan
    from rerankd.cli.session import load_settings
    from rerankd.cli.terminal import fail, notice

    if long_text not in ("truncate", "chunk"):
        raise typer.BadParameter("must be truncate or chunk", param_hint="'--long-text'")
    settings = load_settings(**{"model.model": model})
    job = Job(
        input=input,
        output=output,
        query_column=query_column,
        candidates_column=candidates_column,
        top_k=top_k,
        shard_rows=shard_rows,
        long_text="chunk" if long_text == "chunk" else "truncate",
        max_chunks=settings.rerank.max_chunks,
        max_candidates=settings.rerank.max_candidates,
    )
    if settings.remote.url:
        fail("RERANKD_REMOTE_URL: bulk work is done by a model of this machine; unset it", 2)
    planned = plan(job)
    summary = _on_ray(settings, planned) if ray else _here(settings, planned)
    if json_output:
        typer.echo(json.dumps({name: getattr(summary, name) for name in type(summary).__slots__}))
    else:
        typer.echo(f"{summary.good:,} rows, {summary.pairs:,} pairs, in {summary.shards:,} files")
    if summary.bad:
        notice(f"{summary.bad:,} rows could not be scored: {output.rstrip('/')}/_bad says which, and why")
    if summary.rows and not summary.good:
        fail("not one row could be scored", 1)


def _here(settings: "Settings", plan: "Plan") -> "Summary":
    """In this process."""
    from rerankd.bulk.run import run
    from rerankd.cli.terminal import progress_output
    from rerankd.wiring import load_model

    with progress_output().status("Loading the model ..."):
        model = load_model(settings.model, settings.data_dir)
    try:
        return _shown(plan, lambda told: run(plan, model, told))
    finally:
        model.scorer.close()


def _on_ray(settings: "Settings", plan: "Plan") -> "Summary":
    """On a cluster."""
    from rerankd.scale.data import run_on_ray

    return _shown(
        plan,
        lambda told: run_on_ray(
            plan, told, model=settings.model, data_dir=settings.data_dir, policy=settings.ray
        ),
    )


def _shown(plan: "Plan", work: "Callable[[Told], Summary]") -> "Summary":
    """Show how far the work is, how fast it goes, and how long it will take."""
    from rich.progress import BarColumn, Progress, TextColumn

    from rerankd.cli.pace import Pace
    from rerankd.cli.terminal import progress_output
    from rerankd.engine.clock import SystemClock

    screen = progress_output()
    columns = (
        TextColumn("Scoring"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} rows, {task.fields[pace]}"),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        pace = Pace(plan.rows, SystemClock())
        task = bar.add_task("", total=plan.rows, pace="")

        def told(receipt: "Receipt", earlier: bool) -> None:
            pace.done(receipt, earlier)
            bar.update(task, completed=pace.rows, pace=pace.words())

        return work(told)
