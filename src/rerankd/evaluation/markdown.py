"""A comparison as a page of Markdown."""

from rerankd.evaluation.comparison import Comparison
from rerankd.evaluation.significance import Difference

__all__ = ["markdown"]


def markdown(comparison: Comparison) -> str:
    """Tables of the values, the gains with their intervals, and how the answers were given."""
    first = comparison.first
    lines = [
        f"# {_cell(first.dataset)}",
        "",
        f"{len(first.judged):,} queries; the first stage is `{first.run}`. "
        "Gains are over the retrieval order, with their 95 % interval (paired bootstrap) and p-value (paired "
        "randomisation test).",
        "",
        *_row(["", *first.measures]),
        *_row(["---", *["---:"] * len(first.measures)]),
        *_row(["retrieval order", *(f"{value:.4f}" for value in first.retrieval().values())]),
    ]
    for system in comparison.systems:
        lines += _row([_cell(system.name), *(f"{value:.4f}" for value in system.result.reranked().values())])
    lines += ["", *_gains("Gain over the retrieval order", _over_retrieval(comparison), first.measures)]
    pairs = {f"{pair.second} over {pair.first}": pair.gains for pair in comparison.pairs()}
    if pairs:
        lines += ["", *_gains("Between systems", pairs, first.measures)]
    lines += ["", "## How they answered", ""]
    lines += _row(["", "depth", "budget", "reranked", "partial", "skipped", "p50 ms", "p95 ms", "p99 ms"])
    lines += _row(["---", *["---:"] * 8])
    for system in comparison.systems:
        result = system.result
        budget = "none" if result.budget_ms is None else f"{result.budget_ms:g} ms"
        shares = (f"{share:.1%}" for share in result.outcomes().values())
        latency = (f"{value:.1f}" for value in result.latency_ms().values())
        lines += _row([_cell(system.name), str(result.depth), budget, *shares, *latency])
    lines += ["", *(f"- {note}" for note in first.notes)] if first.notes else []
    return "\n".join(lines) + "\n"


def _over_retrieval(comparison: Comparison) -> dict[str, dict[str, Difference]]:
    return {system.name: system.result.gains() for system in comparison.systems}


def _gains(title: str, gains: dict[str, dict[str, Difference]], measures: tuple[str, ...]) -> list[str]:
    lines = [f"## {title}", "", *_row(["", *measures]), *_row(["---", *["---:"] * len(measures)])]
    for name, found in gains.items():
        lines += _row([_cell(name), *(_gain(found[measure]) for measure in measures)])
    return lines


def _gain(gain: Difference) -> str:
    return f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}), p = {gain.p:.4f}"


def _row(cells: list[str]) -> list[str]:
    return ["| " + " | ".join(cells) + " |"]


def _cell(text: str) -> str:
    """A name that cannot end its cell."""
    return text.replace("|", "\\|").replace("\n", " ")
