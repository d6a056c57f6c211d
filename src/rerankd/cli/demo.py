"""`rerankd demo`: what reranking inside a budget looks like, with a real model and made-up passages."""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.cli.options import Budget, ModelName

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rerankd.cli.slowed import SlowScorer
    from rerankd.core.answer import Ranking
    from rerankd.reranker import Reranker
    from rerankd.sample.questions import Question
    from rerankd.settings import Settings

__all__ = ["register"]

SHOWN = "q07"
"""The question whose whole table is shown."""
SLOW_S = 1.0
"""How much longer each run of the slow model takes: no 24 candidates fit into any budget then."""
SLOW_CALLS = 20
"""Most calls to it. The circuit opens after ten, if the machine is not so busy that runs of a second are usual."""
PATIENCE_S = 15.0
"""How long to wait for the circuit to close; it takes 2 to 3 seconds."""


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    budget_ms: Budget = None,
    model: ModelName = None,
    picture: Annotated[
        Path | None, typer.Option(hidden=True, help="Only write the first table there, as an SVG picture.")
    ] = None,
) -> None:
    """See real candidates reranked by a real cross-encoder inside a budget, and what happens when that fails.

    The passages are made up, and the first-stage order is plain BM25. Everything else is as it is in use: the
    model, the budgets, the times. The flag of the settings is left alone; the demo has its own.
    """
    from rerankd.cli.demo_memory import show_memory
    from rerankd.cli.terminal import output
    from rerankd.flags.policy import FlagPolicy
    from rerankd.sample.questions import questions
    from rerankd.settings import Settings

    if budget_ms is not None and math.isinf(budget_ms):
        raise typer.BadParameter("the demo is about budgets: give it one, in milliseconds")
    settings = Settings.load(None, None, **{"model.model": model})
    settings = replace(settings, enabled=True, flag=FlagPolicy())
    budget = settings.rerank.budget_ms if budget_ms is None else budget_ms
    first = next(question for question in questions() if question.id == SHOWN)
    if picture is not None:
        _paint(picture, settings, first, budget)
        return
    console = output()
    _introduce(console, len(questions()), budget)
    with _loaded(console, settings) as reranker:
        _show_first(console, reranker, first, budget)
        _show_all(console, reranker, questions(), budget)
        _heading(console, "When it is switched off, or goes wrong")
        _show_off(console, reranker, first, budget)
    _show_slow(console, settings, first, budget)
    show_memory(console, settings, budget)
    console.print()
    console.print(
        "Next: rerankd rerank QUERY --candidates FILE, rerankd memory --help, rerankd bench, rerankd doctor"
    )


# -- the parts ---------------------------------------------------------------------------------------------


def _introduce(console: "Console", asked: int, budget: float) -> None:
    from rich.text import Text

    console.print(
        Text.assemble(
            ("rerankd demo", "bold"),
            f": {asked} questions with 24 candidates each, in the order of BM25, reordered by a cross-encoder"
            f" within {budget:g} ms. The product and its passages are made up; the model and the times are real.",
        )
    )


@contextmanager
def _loaded(console: "Console", settings: "Settings") -> Iterator["Reranker"]:
    from rerankd.cli.session import opened

    with opened(settings, require_model=True) as reranker:
        status = reranker.status()
        console.print(
            f"Model: {status.model} on {status.device} with {status.workers} workers,"
            f" loaded and calibrated in {status.load_seconds or 0:.1f} s",
            markup=False,
        )
        yield reranker


def _show_first(console: "Console", reranker: "Reranker", question: "Question", budget: float) -> None:
    from rerankd.cli.age import process_age
    from rerankd.cli.order import show_order

    ranking = reranker.rerank(question.text, question.candidates, budget_ms=budget)
    age = process_age()
    console.print()
    show_order(console, ranking, query=question.text, budget_ms=budget, answers=_answers(question))
    if age is not None:
        console.print(
            f"This first answer was there {age:.1f} s after the command began, loading included.",
            style="bold",
        )


def _show_all(console: "Console", reranker: "Reranker", asked: Sequence["Question"], budget: float) -> None:
    from rerankd.bench.percentiles import percentiles

    rows = [
        _Row(question, reranker.rerank(question.text, question.candidates, budget_ms=budget))
        for question in asked
    ]
    _heading(
        console, f"All {len(rows)} questions: where the passage that answers it was, and where it is now"
    )
    console.print(_summary(console, rows))
    before, after = (sum(values) / len(rows) for values in zip(*(row.ndcg for row in rows), strict=True))
    late = sum(row.ranking.elapsed_ms > budget for row in rows)
    spread = percentiles([row.ranking.elapsed_ms for row in rows])
    console.print(
        f"nDCG@10 {before:.2f} before, {after:.2f} after · p50 {spread['p50']:.0f} ms, p95 {spread['p95']:.0f} ms"
        f" · {len(rows) - late} of {len(rows)} within {budget:g} ms",
        style="bold",
    )
    if any(row.ranking.depth < row.ranking.candidates_total for row in rows):
        console.print(
            "Partial: the budget ended before all were scored. Those that were are sorted, the others kept their"
            " places. More cores or a smaller model score more.",
            style="dim",
        )


def _show_off(console: "Console", reranker: "Reranker", question: "Question", budget: float) -> None:
    from rerankd.core.flag import Flag, Mode

    reranker.set_flag(Flag(Mode.OFF))
    ranking = reranker.rerank(question.text, question.candidates, budget_ms=budget)
    reranker.set_flag(Flag(Mode.ON))
    _tell(console, "Flag off", [ranking])


def _show_slow(console: "Console", settings: "Settings", question: "Question", budget: float) -> None:
    """The model gets slow while it is in use, and fast again."""
    from rerankd.core.types import Reason
    from rerankd.engine.clock import SystemClock

    clock = SystemClock()
    with _slow_reranker(settings) as (reranker, scorer):
        scorer.delay_s = SLOW_S
        asked: list[Ranking] = []
        while len(asked) < SLOW_CALLS and (not asked or asked[-1].reason is not Reason.CIRCUIT_OPEN):
            asked.append(reranker.rerank(question.text, question.candidates, budget_ms=budget))
        _tell(console, "Model made slow", asked)
        scorer.delay_s = 0.0
        since, healed = clock.now(), None
        while clock.now() - since < PATIENCE_S and (healed is None or not healed.depth):
            threading.Event().wait(0.05)
            healed = reranker.rerank(question.text, question.candidates, budget_ms=budget)
        if healed is not None:
            _tell(console, f"{clock.now() - since:.1f} s after it was fast again", [healed])


@contextmanager
def _slow_reranker(settings: "Settings") -> Iterator[tuple["Reranker", "SlowScorer"]]:
    from rerankd.cli.session import loaded
    from rerankd.cli.slowed import SlowScorer, slowed
    from rerankd.core.ports import Model
    from rerankd.reranker import Reranker
    from rerankd.wiring import load_model

    scorers: list[SlowScorer] = []

    def load() -> Model:
        model, scorer = slowed(load_model(settings.model, settings.data_dir))
        scorers.append(scorer)
        return model

    reranker = Reranker(
        load,
        name=settings.model.model,
        policy=settings.rerank,
        breaker=settings.breaker,
        batch=settings.batch,
        estimate=settings.estimate,
        watch=settings.watch,
        require_model=True,
    )
    with loaded(reranker):
        yield reranker, scorers[-1]


# -- how they look -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    question: "Question"
    ranking: "Ranking"

    @property
    def orders(self) -> tuple[list[str], list[str]]:
        """Passage ids before and after."""
        return [p.id for p in self.question.candidates], [str(c.id) for c in self.ranking]

    @property
    def ndcg(self) -> tuple[float, float]:
        from rerankd.sample.gain import ndcg

        before, after = self.orders
        return ndcg(before, self.question.grades), ndcg(after, self.question.grades)

    @property
    def places(self) -> tuple[int | None, int | None]:
        from rerankd.sample.gain import first_place

        before, after = self.orders
        return first_place(before, self.question.grades), first_place(after, self.question.grades)


def _summary(console: "Console", rows: Sequence[_Row]) -> "Table":
    from rich.text import Text

    from rerankd.cli.terminal import columns
    from rerankd.cli.words import COLOURS

    table = columns(console)
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
            Text(row.question.text),
            Text(str(was or ""), style="dim"),
            Text(str(now or ""), style="bold green" if better else ""),
            Text(row.ranking.outcome.value, style=COLOURS[row.ranking.outcome]),
            f"{row.ranking.depth}/{row.ranking.candidates_total}",
            f"{row.ranking.elapsed_ms:.0f}",
        )
    return table


def _tell(console: "Console", what: str, rankings: Sequence["Ranking"]) -> None:
    """What callers got, equal answers in one line."""
    from itertools import groupby

    from rich.padding import Padding
    from rich.text import Text

    from rerankd.cli.words import COLOURS, explain

    console.print(Text(what, style="bold"))
    for (outcome, reason), group in groupby(rankings, key=lambda each: (each.outcome, each.reason)):
        seen = list(group)
        slowest = max(each.elapsed_ms for each in seen)
        took = (
            f"{slowest:.1f} ms" if len(seen) == 1 else f"{len(seen)} answers, the slowest in {slowest:.1f} ms"
        )
        line = Text.assemble(
            (outcome.value, COLOURS[outcome]), "" if reason is None else f"/{reason.value}", f" · {took}"
        )
        if reason is not None:
            line.append(f" · {explain(reason)}", style="dim")
        if seen[-1].depth:
            line.append(f" · {seen[-1].depth} of {seen[-1].candidates_total} scored", style="dim")
        console.print(Padding(line, (0, 0, 0, 2)))


def _heading(console: "Console", text: str) -> None:
    console.print()
    console.print(text, style="bold", markup=False)


def _answers(question: "Question") -> set[str]:
    return {key for key, grade in question.grades.items() if grade >= 2}


# -- the picture -------------------------------------------------------------------------------------------


def _paint(path: Path, settings: "Settings", question: "Question", budget: float) -> None:
    """Write the first table of a real run, its first ten rows, as an SVG."""
    import io

    from rich.console import Console

    from rerankd.cli.order import show_order
    from rerankd.cli.session import opened

    with opened(settings, require_model=True) as reranker:
        ranking = reranker.rerank(question.text, question.candidates, budget_ms=budget)
    console = Console(
        record=True,
        width=110,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        highlight=False,
    )
    show_order(console, ranking, query=question.text, budget_ms=budget, answers=_answers(question), rows=10)
    path.write_text(_svg(console), encoding="utf-8")
    typer.echo(f"{path}: {ranking.outcome.value}, {ranking.depth} of {ranking.candidates_total} scored")


def _svg(console: "Console") -> str:
    """The picture without the web fonts that rich refers to: it must look the same without a network."""
    import re

    from rich._export_format import CONSOLE_SVG_FORMAT

    plain = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    plain = plain.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    return console.export_svg(title="rerankd demo", code_format=plain, unique_id="demo")
