"""`rerankd evaluate`: does reranking help on this collection, and how long does it take?"""

import json
import math
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rerankd.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from rerankd.evaluation.collection import Collection
    from rerankd.evaluation.comparison import Comparison
    from rerankd.evaluation.evaluate import Evaluation
    from rerankd.evaluation.run import Run
    from rerankd.settings import Settings

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


_NO_LIMIT = "none"


def _budgets(values: list[str]) -> list[float | None]:
    read: list[float | None] = []
    for value in values:
        try:
            budget = None if value.strip().lower() == _NO_LIMIT else float(value)
        except ValueError:
            budget = -1.0
        if budget is not None and not 0 <= budget < math.inf:
            raise typer.BadParameter(
                "must be milliseconds of at least 0, or none", param_hint="'--budget-ms'"
            )
        read.append(budget)
    return read or [None]


def evaluate(
    folder: Annotated[
        Path,
        typer.Argument(
            help="A collection in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/test.tsv, runs/*.trec;"
            " or ir_datasets:ID, where that package and its data are there.",
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
    depth: Annotated[
        list[int],
        typer.Option(min=1, help="How many candidates of each query are reranked. Again for another depth."),
    ] = [24],  # noqa: B006 - typer reads it and never changes it
    budget_ms: Annotated[
        list[str],
        typer.Option(
            "--budget-ms",
            metavar="N|none",
            help="Milliseconds for each query. Without it: no limit. Again for another budget.",
        ),
    ] = [],  # noqa: B006
    model: Annotated[
        list[str],
        typer.Option(
            metavar="ID",
            help="A hub id, a folder or an alias (see rerankd models list). Without it CROSS_ENCODER_MODEL."
            " Again for another model.",
        ),
    ] = [],  # noqa: B006
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many queries, the same ones every time.")
    ] = None,
    relevant_from: Annotated[
        int, typer.Option(min=1, help="The lowest grade that counts as relevant in all measures but nDCG.")
    ] = 1,
    measure: Annotated[
        list[str],
        typer.Option(
            metavar="NAME@K",
            help="ndcg, mrr, recall, map or precision at a depth, instead of the usual three. Again for another.",
        ),
    ] = [],  # noqa: B006
    group: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            help="A field of the metadata, such as conversation: rank a query among its own group's documents.",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="REPORT.json",
            help="An earlier report (--json). Exit status 1 if a measure fell by more than the tolerance.",
        ),
    ] = None,
    tolerance: Annotated[
        float, typer.Option(min=0, max=1, help="By how much a measure may lie below the baseline's.")
    ] = 0.01,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as Markdown, too.")
    ] = None,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as a picture, too.")
    ] = None,
    at_budgets: Annotated[
        bool,
        typer.Option(
            "--at-budgets",
            help="Quality at budget: score everything once, then replay requests at a stated rate with each"
            " --budget-ms (without any: 25 to 500 and none). For choosing a model.",
        ),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            help="With --at-budgets: requests a second. Without it 70 % of what the slowest model can do."
        ),
    ] = None,
    live_ms: Annotated[
        float | None,
        typer.Option(
            "--live", metavar="MS", min=0, help="With --at-budgets: ask in real time at this budget, too."
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Rerank a judged collection, and compare the order before with the order after.

    Example: rerankd evaluate collections/trec_dl_2019 --relevant-from 2

    Models, depths and budgets may be given several times: all are evaluated, and compared with each other.
    """
    from rerankd.cli.at_budgets import at_budgets as _at_budgets
    from rerankd.cli.session import load_settings
    from rerankd.cli.terminal import fail, notice, output, written
    from rerankd.evaluation.baseline import falls, read_report, unsaid
    from rerankd.evaluation.chart import chart
    from rerankd.evaluation.collection import read_collection
    from rerankd.evaluation.comparison import Comparison
    from rerankd.evaluation.evaluate import notes, within
    from rerankd.evaluation.irds import PREFIX, read_ir_dataset
    from rerankd.evaluation.markdown import markdown as page
    from rerankd.evaluation.measures import MEASURES, read_measures
    from rerankd.evaluation.run import choose_run, read_run

    if not at_budgets and (rate is not None or live_ms is not None):
        raise typer.BadParameter("--rate and --live belong to --at-budgets")
    if at_budgets and baseline is not None:
        raise typer.BadParameter("--baseline does not go with --at-budgets")
    if rate is not None and not 0 < rate < math.inf:
        raise typer.BadParameter("must be above 0", param_hint="'--rate'")
    budgets = _budgets(budget_ms)
    measures = read_measures(measure) or MEASURES
    earlier = None if baseline is None else read_report(baseline)
    settings = load_settings()
    if str(folder).startswith(PREFIX):
        collection, first_stage = read_ir_dataset(str(folder).removeprefix(PREFIX), run)
    else:
        collection = read_collection(folder)
        first_stage = read_run(choose_run(folder, run), collection)
    # also where each evaluation does so itself: a wrong group is refused before a model is loaded
    own = first_stage if group is None else within(first_stage, collection, group)
    if at_budgets:
        _at_budgets(
            settings,
            collection,
            own,
            notes=notes(collection, first_stage, size=sample, relevant_from=relevant_from, group=group),
            models=model or [None],
            depth=_only(depth, "--depth"),
            budgets=budgets if budget_ms else [],
            rate=rate,
            live_ms=live_ms,
            size=sample,
            relevant_from=relevant_from,
            name=_only(measures if measure else measures[:1], "--measure"),
            markdown=markdown,
            svg=svg,
            json_output=json_output,
        )
        return
    options = {"size": sample, "relevant_from": relevant_from, "measures": measures, "group": group}
    comparison = Comparison(
        _evaluated(settings, model or [None], depth, budgets, collection, first_stage, options)
    )
    for note in comparison.first.notes:
        notice(note)
    written(markdown, lambda: page(comparison))
    written(svg, lambda: chart(comparison))
    if json_output:
        typer.echo(json.dumps(comparison.as_json()))
    else:
        _show(comparison, output())
    if earlier is not None:
        if unsaid(earlier):
            notice(f"the baseline does not say its {', '.join(unsaid(earlier))}: these were not compared")
        fallen = falls(comparison.as_json(), earlier, tolerance=tolerance)
        for fall in fallen:
            notice(f"{fall.measure} of {fall.system} fell from {fall.before:.4f} to {fall.now:.4f}")
        if fallen:
            fail(f"{len(fallen)} of the baseline's measures fell by more than {tolerance:g}", 1)


def _evaluated(
    settings: "Settings",
    models: "Sequence[str | None]",
    depths: "Sequence[int]",
    budgets: "Sequence[float | None]",
    collection: "Collection",
    first_stage: "Run",
    options: dict[str, Any],
) -> "list[Evaluation]":
    """One evaluation for every model, depth and budget."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from rerankd.cli.session import opened
    from rerankd.cli.terminal import progress_output
    from rerankd.evaluation.evaluate import evaluate

    results = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    screen = progress_output()
    for model in models:
        with opened(settings, model, require_model=True) as reranker:
            for depth, budget in product(depths, budgets):
                with Progress(
                    *columns, console=screen, transient=True, disable=not screen.is_terminal
                ) as bar:
                    task = bar.add_task("Reranking", total=None)
                    results.append(
                        evaluate(
                            collection,
                            first_stage,
                            reranker,
                            depth=depth,
                            budget_ms=budget,
                            progress=lambda done, total, bar=bar, task=task: bar.update(  # type: ignore[misc]
                                task, completed=done, total=total
                            ),
                            **options,
                        )
                    )
    return results


def _only(values: "Sequence[Any]", option: str) -> Any:
    if len(values) != 1:
        raise typer.BadParameter("only one with --at-budgets", param_hint=f"'{option}'")
    return values[0]


def _show(comparison: "Comparison", console: "Console") -> None:
    if len(comparison.systems) == 1:
        console.print(table(comparison.first))
        for line in summary(comparison.first):
            console.print(line, style="dim", soft_wrap=True)
        return
    console.print(systems(comparison))
    for pair in comparison.pairs():
        for name, gain in pair.gains.items():
            if gain.significant:
                console.print(
                    f"{name}: {pair.second} over {pair.first} {gain.mean:+.3f}"
                    f" ({gain.low:+.3f} to {gain.high:+.3f}, p = {gain.p:.4f})",
                    style="dim",
                    soft_wrap=True,
                )


def systems(comparison: "Comparison") -> "Table":
    """Each system's values, beside the retrieval order."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from rerankd.cli.terminal import printable

    first = comparison.first
    shown = Table(
        title=Text(printable(f"{first.dataset}: {len(first.judged):,} queries of {first.run}"), style="bold"),
        title_justify="left",
        box=SIMPLE_HEAD,
        header_style="dim",
    )
    shown.add_column("")
    for name in (*first.measures, "reranked", "p95 ms"):
        shown.add_column(name, justify="right")
    before = first.retrieval()
    shown.add_row("retrieval order", *(f"{before[name]:.3f}" for name in first.measures), "", "")
    for system in comparison.systems:
        result, gains = system.result, system.result.gains()
        cells = []
        for name, value in result.reranked().items():
            style = "green" if gains[name].significant and gains[name].mean > 0 else ""
            style = "red" if gains[name].significant and gains[name].mean < 0 else style
            cells.append(Text(f"{value:.3f}", style=style))
        share, latency = result.outcomes()["reranked"], result.latency_ms()["p95"]
        shown.add_row(printable(system.name), *cells, f"{share:.1%}", f"{latency:,.1f}")
    return shown


def table(result: "Evaluation") -> "Table":
    """Each measure before and after."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from rerankd.cli.terminal import printable

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
    for name in ("retrieval", "reranked", "change", "95 % interval", "p"):
        shown.add_column(name, justify="right")
    before, after = result.retrieval(), result.reranked()
    for name, gain in result.gains().items():
        change = gain.mean
        style = "green" if change > 0 else "red" if change < 0 else "dim"
        shown.add_row(
            name,
            f"{before[name]:.3f}",
            f"{after[name]:.3f}",
            Text(f"{change:+.3f}", style=style),
            Text(f"{gain.low:+.3f} to {gain.high:+.3f}", style="" if gain.significant else "dim"),
            f"{gain.p:.4f}",
        )
    return shown


def summary(result: "Evaluation") -> list[str]:
    """By which model, within which budget, with which outcomes, how fast."""
    from rerankd.cli.words import limit

    outcomes = " · ".join(f"{name} {share:.1%}" for name, share in result.outcomes().items() if share)
    latency = " · ".join(f"{name} {value:,.1f} ms" for name, value in result.latency_ms().items())
    return [f"{result.model()} · budget {limit(result.budget_ms)} · {outcomes}", latency]
