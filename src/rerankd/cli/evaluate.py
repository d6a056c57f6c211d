"""`rerankd evaluate`: does reranking help on this collection, and how long does it take?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.errors import RerankdError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rerankd.evaluation.evaluate import Evaluation

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(help="A collection in BEIR layout: corpus, queries, qrels/test.tsv, runs/*.trec."),
    ],
    run: Annotated[
        Path | None,
        typer.Option(help="The first-stage run; without it runs/bm25.trec, else the only file there."),
    ] = None,
    depth: Annotated[int, typer.Option(min=1, help="How many candidates of each query are reranked.")] = 24,
    budget_ms: Annotated[
        float | None, typer.Option(min=0, help="Milliseconds for each query; without it there is no limit.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A hub id, a folder or an alias.")] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many queries; the same ones every time.")
    ] = None,
    relevant_from: Annotated[
        int, typer.Option(min=1, help="The lowest grade that counts as relevant for MRR and recall.")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
) -> None:
    """Rerank a judged collection and compare the order before and after."""
    from rich.console import Console

    notice = Console(stderr=True)
    try:
        result = _evaluate(folder, run, depth, budget_ms, model, sample, relevant_from, notice)
    except RerankdError as error:
        notice.print(f"rerankd evaluate: {error}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    for note in result.notes:
        notice.print(f"Note: {note}", markup=False, highlight=False, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
    else:
        Console().print(table(result))


def _evaluate(
    folder: Path,
    run: Path | None,
    depth: int,
    budget_ms: float | None,
    model: str | None,
    size: int | None,
    relevant_from: int,
    notice: "Console",
) -> "Evaluation":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    import rerankd
    from rerankd.evaluation.collection import read_collection
    from rerankd.evaluation.evaluate import evaluate
    from rerankd.evaluation.run import choose_run, read_run

    collection = read_collection(folder)
    first_stage = read_run(choose_run(folder, run), collection)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        rerankd.open(model, require_model=True) as reranker,
        Progress(*columns, console=notice, transient=True) as bar,
    ):
        task = bar.add_task(f"Reranking {collection.name}", total=None)
        return evaluate(
            collection,
            first_stage,
            reranker,
            depth=depth,
            budget_ms=budget_ms,
            size=size,
            relevant_from=relevant_from,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def table(result: "Evaluation") -> "Table":
    """The result for people."""
    from rich.table import Table

    from rerankd.evaluation.measures import MEASURES

    budget = "no limit" if result.budget_ms is None else f"{result.budget_ms:g} ms"
    shown = Table(
        title=f"{result.dataset}, {len(result.judged):,} queries, first {result.depth} of {result.run}",
        caption=f"{result.model()}, budget {budget}\n{_outcomes(result)}\n{_latency(result)}",
        caption_justify="left",
    )
    shown.add_column("measure")
    for name in ("retrieval", "reranked", "change"):
        shown.add_column(name, justify="right")
    before, after = result.retrieval(), result.reranked()
    for name in MEASURES:
        change = after[name] - before[name]
        shown.add_row(name, f"{before[name]:.3f}", f"{after[name]:.3f}", f"{change:+.3f}")
    return shown


def _outcomes(result: "Evaluation") -> str:
    return " · ".join(f"{name} {share:.1%}" for name, share in result.outcomes().items() if share)


def _latency(result: "Evaluation") -> str:
    return " · ".join(f"{name} {value:,.1f} ms" for name, value in result.latency_ms().items())
