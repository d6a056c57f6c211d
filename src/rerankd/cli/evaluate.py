"""`rerankd evaluate`: does reranking help on this collection, and how long does it take?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.cli.options import Json, ModelName

if TYPE_CHECKING:
    from rich.table import Table

    from rerankd.evaluation.evaluate import Evaluation

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A collection in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/test.tsv, runs/*.trec.",
            show_default=False,
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option(
            help="The first-stage run to rerank: a path, or a name in FOLDER/runs."
            " Without it runs/bm25.trec, else the only file there."
        ),
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="How many candidates of each query are reranked.")] = 24,
    budget_ms: Annotated[
        float | None,
        typer.Option("--budget-ms", min=0, help="Milliseconds for each query. Without it: no limit."),
    ] = None,
    model: ModelName = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many queries, the same ones every time.")
    ] = None,
    relevant_from: Annotated[
        int, typer.Option(min=1, help="The lowest grade that counts as relevant for MRR and recall.")
    ] = 1,
    json_output: Json = False,
) -> None:
    """Rerank a judged collection, and compare the order before with the order after.

    Example: rerankd evaluate collections/trec_dl_2019 --relevant-from 2
    """
    from rerankd.cli.session import load_settings, opened
    from rerankd.cli.terminal import notice, output, progress_output
    from rerankd.evaluation.collection import read_collection
    from rerankd.evaluation.evaluate import evaluate
    from rerankd.evaluation.run import choose_run, read_run

    settings = load_settings()
    collection = read_collection(folder)
    first_stage = read_run(choose_run(folder, run), collection)
    with opened(settings, model, require_model=True) as reranker:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        screen = progress_output()
        with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
            task = bar.add_task("Reranking", total=None)
            result = evaluate(
                collection,
                first_stage,
                reranker,
                depth=depth,
                budget_ms=budget_ms,
                size=sample,
                relevant_from=relevant_from,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
    for note in result.notes:
        notice(note)
    if json_output:
        typer.echo(json.dumps(result.as_json()))
        return
    console = output()
    console.print(table(result))
    for line in summary(result):
        console.print(line, style="dim", soft_wrap=True)


def table(result: "Evaluation") -> "Table":
    """Each measure before and after."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from rerankd.cli.terminal import printable
    from rerankd.evaluation.measures import MEASURES

    shown = Table(
        title=Text(
            printable(
                f"{result.dataset}: {len(result.judged):,} queries, first {result.depth} of {result.run}"
            ),
            style="bold",
        ),
        title_justify="left",
        box=SIMPLE_HEAD,
        header_style="dim",
    )
    shown.add_column("measure")
    for name in ("retrieval", "reranked", "change"):
        shown.add_column(name, justify="right")
    before, after = result.retrieval(), result.reranked()
    for name in MEASURES:
        change = after[name] - before[name]
        style = "green" if change > 0 else "red" if change < 0 else "dim"
        shown.add_row(name, f"{before[name]:.3f}", f"{after[name]:.3f}", Text(f"{change:+.3f}", style=style))
    return shown


def summary(result: "Evaluation") -> list[str]:
    """By which model, within which budget, with which outcomes, how fast."""
    from rerankd.cli.words import limit

    outcomes = " · ".join(f"{name} {share:.1%}" for name, share in result.outcomes().items() if share)
    latency = " · ".join(f"{name} {value:,.1f} ms" for name, value in result.latency_ms().items())
    return [f"{result.model()} · budget {limit(result.budget_ms)} · {outcomes}", latency]
