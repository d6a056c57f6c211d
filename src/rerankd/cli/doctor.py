"""`rerankd doctor`: the checklist before a deployment."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from rerankd.cli.options import Json

if TYPE_CHECKING:
    from rich.table import Table

    from rerankd.doctor.check import Profile, Report

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="cpu|gpu", help="What to hold the host to. Without it: what the device in use asks for."
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Check this host, its model and its behaviour before a deployment.

    Each line passes, fails with a remedy, or does not apply. Exit status 1 when one fails. It takes about a
    minute, most of which 100 queries without a deadline need.
    """
    from rerankd.cli.terminal import output
    from rerankd.doctor.check import Profile

    if profile is not None and profile not in [known.value for known in Profile]:
        raise typer.BadParameter(f"must be cpu or gpu, got {profile!r}", param_hint="--profile")
    report = _examine(None if profile is None else Profile(profile))
    if json_output:
        typer.echo(json.dumps(report.as_json()))
    else:
        console = output()
        console.print(table(report))
        console.print(verdict(report))
    raise typer.Exit(report.exit_status)


def _examine(profile: "Profile | None") -> "Report":
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from rerankd.cli.session import load_settings
    from rerankd.cli.terminal import progress_output
    from rerankd.doctor.check import Report
    from rerankd.doctor.examine import examine, usual_profile

    settings = load_settings()
    chosen = profile or usual_profile(settings)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    screen = progress_output()
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        return Report(chosen, tuple(examine(settings, chosen, progress=tell)))


_MARKS = {
    "pass": "[green]✓ pass[/]",
    "fail": "[bold red]✗ fail[/]",
    "not_applicable": "[dim]– n/a[/]",
}


def table(report: "Report") -> "Table":
    """The report for people."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    shown = Table(
        title=f"rerankd doctor, {report.profile.value} profile",
        title_justify="left",
        box=SIMPLE_HEAD,
        header_style="dim",
    )
    shown.add_column("check", no_wrap=True)
    shown.add_column("", no_wrap=True)
    shown.add_column("figure", overflow="fold", ratio=1)
    shown.add_column("remedy", overflow="fold", ratio=1)
    for check in report.checks:
        shown.add_row(check.name, _MARKS[check.status.value], escape(check.figure), escape(check.remedy))
    return shown


def verdict(report: "Report") -> str:
    """One line: how it stands."""
    if not report.failed:
        return "[green]Ready.[/]"
    names = ", ".join(check.name for check in report.failed)
    return f"[bold red]{len(report.failed)} of {len(report.checks)} failed:[/] {names}"
