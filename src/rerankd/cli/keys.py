"""`rerankd keys`: the API keys of the service."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.cli.options import Json

if TYPE_CHECKING:
    from rerankd.http.keyfile import ApiKey, KeyFile

__all__ = ["register"]

keys = typer.Typer(
    name="keys",
    no_args_is_help=True,
    help="Make, list and revoke the service's API keys.\n\nA key is shown once, when it is made; the file"
    " (RERANKD_HTTP_KEYS_FILE, else keys.json in the data folder) keeps its SHA-256 only. A running service"
    " sees a change at once.",
)


def register(app: typer.Typer) -> None:
    app.add_typer(keys)


@keys.command()
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Whose key it is; each name may have two, to exchange them.")
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            metavar="S",
            help="rerank (the default), admin, memory:TENANT or memory:TENANT/USER; may be repeated.",
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Make a key, and print it: this once, and never again."""
    from rerankd.cli.terminal import notice
    from rerankd.engine.clock import utc_now

    file = _file()
    made, key = file.create(name, scope or ["rerank"], utc_now().date().isoformat())
    if json_output:
        typer.echo(json.dumps({**_row(made), "key": key}))
        return
    notice(f"key {made.id} of {made.name}, for {', '.join(made.scopes)}; its hash is in {file.path}")
    typer.echo(key)


@keys.command("list")
def list_keys(json_output: Json = False) -> None:
    """Show the live keys: their ids, names, scopes and dates."""
    from rerankd.cli.terminal import columns, notice, output

    found = _file().keys()
    if json_output:
        typer.echo(json.dumps([_row(each) for each in found]))
        return
    if not found:
        notice("there are no keys")
        return
    console = output()
    table = columns(console, "id", "name", "scopes", "created")
    for each in found:
        table.add_row(each.id, each.name, ", ".join(each.scopes), each.created)
    console.print(table)


@keys.command()
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as keys list shows it.")],
) -> None:
    """Take a key out: from now on it is refused."""
    from rerankd.cli.terminal import notice

    gone = _file().revoke(id)
    notice(f"key {gone.id} of {gone.name} is revoked")


def _file() -> "KeyFile":
    from rerankd.cli.session import load_settings
    from rerankd.http.keyfile import KeyFile
    from rerankd.wiring import keys_path

    return KeyFile(keys_path(load_settings()))


def _row(key: "ApiKey") -> dict[str, object]:
    return {"id": key.id, "name": key.name, "scopes": list(key.scopes), "created": key.created}
