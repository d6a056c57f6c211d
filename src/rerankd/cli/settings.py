"""`rerankd settings`: every setting, its value and where that comes from."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.cli.options import Json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rerankd.settings import Setting

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("settings")(settings)


def settings(
    prefix: Annotated[
        str,
        typer.Argument(help="Only settings whose name begins so: rerank, breaker.open.", show_default=False),
    ] = "",
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not at its default.")] = False,
    json_output: Json = False,
) -> None:
    """Show every setting: its value, where that comes from, its variable and what it means.

    A value comes from the environment, else from the TOML file that RERANKD_CONFIG names, else it is the
    default. Keys and passwords are hidden.
    """
    from rerankd.cli.session import load_settings
    from rerankd.cli.terminal import fail, output
    from rerankd.settings import describe

    found = [
        each
        for each in describe(load_settings())
        if each.name.startswith(prefix) and (not changed or each.source != "default")
    ]
    if prefix and not found and not changed:
        fail(f"no setting begins with {prefix!r}", 2)
    if json_output:
        typer.echo(json.dumps([asdict(each) for each in found]))
    else:
        console = output()
        console.print(_table(console, found))


def _table(console: "Console", found: list["Setting"]) -> "Table":
    from rich.text import Text

    from rerankd.cli.terminal import columns

    table = columns(console)
    table.add_column("setting, variables", overflow="fold")
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    table.add_column("meaning", ratio=1)
    for each in found:
        changed = each.source != "default"
        table.add_row(
            Text.assemble(
                (each.name, "bold"), *((f"\n  {variable}", "dim") for variable in (each.env, *each.aliases))
            ),
            Text(_value(each), style="bold green" if changed else ""),
            Text(each.source, style="" if changed else "dim"),
            Text(" ".join(each.doc.split())),
        )
    return table


def _value(each: "Setting") -> str:
    if each.value is None or each.value == "":
        return "not set"
    if isinstance(each.value, bool):
        return "true" if each.value else "false"
    shown = f"{each.value:g}" if isinstance(each.value, float) else str(each.value)
    return f"{shown} {each.unit}".rstrip() if each.unit else shown
