"""Standard output and standard error."""

import logging
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["PlainLog", "columns", "fail", "notice", "output", "printable", "progress_output", "written"]


def output() -> "Console":
    """Standard output: colours on a terminal, plain elsewhere and with NO_COLOR."""
    from rich.console import Console

    if sys.stdout.isatty():
        console = Console(highlight=False)
        # by itself rich leaves bold and dim in
        return Console(highlight=False, color_system=None) if console.no_color else console
    # Into a pipe or file rich would assume 80 columns, which cuts texts off for nothing.
    return Console(highlight=False, width=shutil.get_terminal_size((120, 24)).columns)


def progress_output() -> "Console":
    """Standard error, for progress: standard output may be somebody's data."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def columns(console: "Console", *names: str) -> "Table":
    """A table with these columns: rules and margins on a terminal, else bare, for whatever reads it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if console.is_terminal:
        return Table(
            *names,
            box=SIMPLE_HEAD,
            show_edge=False,
            header_style="dim",
            pad_edge=False,
            collapse_padding=True,
        )
    return Table(*names, box=None, pad_edge=False, padding=(0, 2, 0, 0))


def notice(message: str) -> None:
    """One line on standard error."""
    typer.echo(f"rerankd: {printable(message)}", err=True)


def fail(message: str, status: int) -> NoReturn:
    """Say in one line why, and end with this exit status: 1 it could not be done, 2 wrong use."""
    notice(message)
    raise SystemExit(status)


def written(path: Path | None, made: Callable[[], str]) -> None:
    """Write a report to a file, if one was asked for. Ends with status 1 where it cannot be written."""
    if path is not None:
        try:
            path.write_text(made(), encoding="utf-8")
        except OSError as error:
            fail(f"{path} cannot be written: {error.strerror}", 1)


def printable(text: str) -> str:
    """The text in one line, without what a terminal would obey, and without lone surrogates, which no encoding
    has."""
    return "".join(
        character if character.isprintable() else " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


class PlainLog(logging.Handler):
    """What the library warns of, as a line of the command's own."""

    def emit(self, record: logging.LogRecord) -> None:
        notice(record.getMessage())
