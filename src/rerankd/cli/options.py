"""Options that several commands have."""

import math
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Budget", "Json", "ModelName", "readable"]


def _budget(value: str) -> float:
    if value.strip().lower() in ("none", "inf"):
        return math.inf
    try:
        budget = float(value)
    except ValueError:
        budget = math.nan
    if not budget >= 0:
        raise typer.BadParameter("must be a number of milliseconds of at least 0, or none")
    return budget


Budget = Annotated[
    float | None,
    typer.Option(
        "--budget-ms",
        parser=_budget,
        metavar="N|none",
        help="Milliseconds for an answer, from the call to the answer; none: no limit."
        " Without it the setting rerank.budget_ms, which is 250.",
    ),
]
"""None: the setting's; infinity: no limit."""

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="ID",
        help="A hub id, a folder or an alias (see rerankd models list). Without it CROSS_ENCODER_MODEL.",
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def readable(path: Path | None) -> Path | None:
    """Refuse a file that is not there before anything else is done; `-` is standard input."""
    if path is not None and str(path) != "-" and not path.is_file():
        raise typer.BadParameter(f"there is no file {str(path)!r}")
    return path
