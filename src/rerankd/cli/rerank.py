"""`rerankd rerank`: reorder the candidates of one query."""

import json
from pathlib import Path
from typing import Annotated

import typer

from rerankd.cli.options import Budget, Json, ModelName, readable

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("rerank")(rerank)


def rerank(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="What is searched for.", show_default=False)],
    candidates: Annotated[
        Path,
        typer.Option(
            "--candidates",
            "-c",
            metavar="FILE|-",
            callback=readable,
            help="The candidates in retrieval order: one text a line, or one JSON object a line with text and,"
            " where there are any, id, score and metadata. - reads standard input.",
        ),
    ],
    budget_ms: Budget = None,
    top_k: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Return the best K only; all are considered.")
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(metavar="S", help="Leave out candidates that scored below S (from 0 to 1)."),
    ] = None,
    on_deadline: Annotated[
        str | None,
        typer.Option(
            metavar="partial|retrieval",
            help="When the budget ends: partial sorts what was scored, the rest keeps its place;"
            " retrieval is all or nothing.",
        ),
    ] = None,
    long_text: Annotated[
        str | None,
        typer.Option(
            metavar="truncate|chunk|fit",
            help="Texts longer than the model's window: cut them, score overlapping chunks and take the best,"
            " or cut all as short as the budget asks for.",
        ),
    ] = None,
    model: ModelName = None,
    json_output: Json = False,
) -> None:
    """Reorder candidates, best first, inside a latency budget.

    The budget is for reranking; loading the model comes before it. Whatever the model does there is an answer in
    time: what was not scored keeps its place, and the outcome says which kind of order it is:
    reranked (all scored), partial (some) or skipped (none: the retrieval order).

    Example: rerankd rerank "how do I reset it" --candidates found.jsonl --budget-ms 150 --top-k 8
    """
    from rerankd.cli.inputs import read_candidates
    from rerankd.cli.session import load_settings, opened

    settings = load_settings()
    rows = read_candidates(candidates)
    budget = settings.rerank.budget_ms if budget_ms is None else budget_ms
    with opened(settings, model) as reranker:
        ranking = reranker.rerank(
            query,
            rows,
            budget_ms=budget,
            top_k=top_k,
            min_score=min_score,
            on_deadline=on_deadline,  # type: ignore[arg-type] # a wrong word is refused by name
            long_text=long_text,  # type: ignore[arg-type]
        )
    if json_output:
        typer.echo(json.dumps(ranking.as_dict()))
        return
    from rerankd.cli.order import show_order
    from rerankd.cli.terminal import output

    show_order(output(), ranking, query=query, budget_ms=budget)
