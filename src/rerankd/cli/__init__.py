"""The command line: one file a command or group of commands, each with a `register` that adds it.

Exit status: 0 it was done (also when reranking fell open: the outcome says so), 1 it could not be done, 2 wrong
use. Whatever is heavy is imported when a command runs, so that `--help` is quick.
"""

import io
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn, cast

import typer

from rerankd.cli import (
    batch,
    bench,
    demo,
    distill,
    doctor,
    evaluate,
    flag,
    keys,
    memory,
    models,
    rerank,
    serve,
    settings,
)
from rerankd.cli.terminal import fail, notice
from rerankd.errors import ConfigError, InvalidRequest, RerankdError

__all__ = ["app", "main"]

# typer carries a copy of click in newer versions and asks for the package in older ones; both have this class
_WrongUse = cast(
    "type[Exception]", next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
)

_INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it: 128 and the signal's number."""

app = typer.Typer(
    name="rerankd",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they would print variables, and with them texts
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings come from the environment and an optional TOML file: see rerankd settings."
    " Exit status: 0 done, also when reranking fell open; 1 it could not be done; 2 wrong use.",
)


def _register() -> None:
    for command in (
        rerank,
        serve,
        batch,
        memory,
        demo,
        bench,
        doctor,
        evaluate,
        distill,
        models,
        flag,
        keys,
        settings,
    ):
        command.register(app)
    for group in (app, *(each.typer_instance for each in app.registered_groups if each.typer_instance)):
        for info in group.registered_commands:
            # typer keeps a docstring's line breaks, which only suit the source's width
            info.help = info.help or _reflowed(info.callback.__doc__ if info.callback else None)


def _reflowed(text: str | None) -> str:
    """A docstring with one line a paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))


_register()


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"rerankd {version('rerankd')}")
        raise typer.Exit


@app.callback(
    help=_reflowed(
        """The best order that fits your budget, on time, every time, and it tells you which one you got.

        rerankd reorders the candidates that a first-stage search found, with a cross-encoder, inside a hard
        latency budget. Try it with rerankd demo."""
    )
)
def rerankd(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What comes before a command's name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `rerankd`. Ends the process with its exit status; an error is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # an arrow must not fail a command in a terminal without it
    try:
        status = app(arguments, prog_name="rerankd", standalone_mode=False)
    except _WrongUse as error:
        _refuse(error)
    except (InvalidRequest, ConfigError) as error:
        fail(str(error), 2)
    except RerankdError as error:
        fail(str(error), 1)
    except typer.Abort:  # how older versions of typer tell of Ctrl-C
        status = _INTERRUPTED
    if status == _INTERRUPTED:
        notice("interrupted")
    raise SystemExit(status or 0)


def _refuse(error: Any) -> NoReturn:
    """Wrong options or arguments: one line that says what, and where to read on."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # the help that was asked for by saying nothing
        raise SystemExit(error.exit_code)
    command = error.ctx.command_path if getattr(error, "ctx", None) is not None else "rerankd"
    fail(f"{error.format_message().rstrip('.')} (see {command} --help)", error.exit_code)
