"""`rerankd flag`: read and turn the run-time switch, in the flag file or through a server."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.cli.options import Json
from rerankd.core.flag import Flag, Mode
from rerankd.errors import ConfigError

if TYPE_CHECKING:
    from rerankd.settings import Settings

__all__ = ["register"]

Percent = Annotated[
    float,
    typer.Option(
        min=0, max=100, metavar="N", help="For so many percent of the requests; the others see off."
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="U",
        help="Ask the server there, with RERANKD_API_KEY. Without it the file that RERANKD_FLAG_FILE names.",
    ),
]

flag = typer.Typer(
    name="flag",
    no_args_is_help=True,
    help="Turn reranking on or off, or into shadow, while everything runs.\n\n"
    "The switch is in a file (RERANKD_FLAG_FILE, which every process that has it reads again within a second)"
    " or in a server (--url).",
)


def register(app: typer.Typer) -> None:
    app.add_typer(flag)


@flag.command()
def on(percent: Percent = 100, url: Url = None, json_output: Json = False) -> None:
    """Rerank."""
    _turn(Flag(Mode.ON, percent), url, json_output)


@flag.command()
def off(url: Url = None, json_output: Json = False) -> None:
    """Do not rerank: everybody gets the retrieval order at once, and no model is asked."""
    _turn(Flag(Mode.OFF), url, json_output)


@flag.command()
def shadow(percent: Percent = 100, url: Url = None, json_output: Json = False) -> None:
    """Rerank, answer in retrieval order all the same, and record what would have changed."""
    _turn(Flag(Mode.SHADOW, percent), url, json_output)


@flag.command()
def status(url: Url = None, json_output: Json = False) -> None:
    """Show how the switch stands, and where it is kept."""
    from rerankd.cli.session import load_settings

    settings = load_settings()
    if url is not None:
        from rerankd.cli.admin import read_flag_at

        _show(read_flag_at(url, settings.api_key), url, json_output)
        return
    from rerankd.flags.choice import choose

    source = choose(settings.flag, enabled=settings.enabled)
    seen = source.read({})
    if seen is None:
        from rerankd.cli.terminal import fail

        fail(f"the flag cannot be read from its source, {source.name}", 1)
    _show(seen, _name(source.name, settings), json_output)


def _turn(wanted: Flag, url: str | None, json_output: bool) -> None:
    from rerankd.cli.session import load_settings
    from rerankd.cli.terminal import fail, notice

    settings = load_settings()
    if url is not None:
        from rerankd.cli.admin import set_flag_at

        _show(set_flag_at(url, settings.api_key, wanted), url, json_output)
        return
    if settings.flag.openfeature_key:
        fail(
            f"the flag is OpenFeature's ({settings.flag.openfeature_key}): turn it where its provider keeps it",
            1,
        )
    if settings.flag.file is None:
        fail("there is no flag file to write: set RERANKD_FLAG_FILE, or give a server with --url", 2)
    from rerankd.flags.file import write_flag

    try:
        write_flag(settings.flag.file, wanted)
    except ConfigError as error:
        fail(str(error), 1)
    if not settings.enabled:
        notice("RERANK_ENABLED=false is set here: it keeps reranking off whatever the file says")
    _show(wanted, _name("file", settings), json_output)


def _name(source: str, settings: "Settings") -> str:
    """Where the flag is kept, for people."""
    if source == "file":
        return f"file {settings.flag.file}"
    if source == "memory":
        return "settings; each process has its own"
    return source


def _show(seen: Flag, source: str, json_output: bool) -> None:
    from rerankd.flags.notation import flag_to_object

    if json_output:
        typer.echo(json.dumps({**flag_to_object(seen), "source": source}))
        return
    share = "" if seen.mode is Mode.OFF else f" for {seen.percent:g} % of the requests"
    typer.echo(f"{seen.mode.value}{share} ({source})")
