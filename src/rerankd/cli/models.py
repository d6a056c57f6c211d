"""`rerankd models`: which models there are, fetching one, and checking their files."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from rerankd.cli.options import Json
from rerankd.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from rerankd.loading import Place
    from rerankd.models.checkpoint import Checkpoint
    from rerankd.models.policy import ModelPolicy
    from rerankd.models.registry import KnownModel
    from rerankd.models.resolve import FileCheck, ModelFiles
    from rerankd.settings import Settings

__all__ = ["register"]

T = TypeVar("T")

models = typer.Typer(
    name="models", no_args_is_help=True, help="List the known models, fetch one, and check their files."
)


def register(app: typer.Typer) -> None:
    app.add_typer(models)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listed:
    id: str
    aliases: tuple[str, ...]
    default: bool
    """Whether the settings choose it."""
    here: str
    """Where its files are: `package`, `cache`, `folder`; empty: not on this machine."""
    parameters_millions: float | None
    max_tokens: int
    languages: str
    licence: str


@models.command("list")
def list_models(json_output: Json = False) -> None:
    """Show the models that rerankd knows, and which of them are on this machine.

    Other cross-encoders work too, by their hub id or folder, if they have an ONNX file and a tokenizer.json.
    """
    from rerankd.cli.session import load_settings
    from rerankd.cli.terminal import columns, output
    from rerankd.models.registry import known_models

    settings = load_settings()
    listed = [_listed(settings, known) for known in known_models()]
    if json_output:
        typer.echo(json.dumps([asdict(each) for each in listed]))
        return
    from rich.text import Text

    console = output()
    table = columns(console, "model", "alias", "here")
    table.add_column("parameters", justify="right")
    table.add_column("window", justify="right")
    table.add_column("languages")
    table.add_column("licence")
    for each in listed:
        size = "" if each.parameters_millions is None else f"{each.parameters_millions:g} M"
        table.add_row(
            Text(each.id, style="bold" if each.default else ""),
            ", ".join(alias for alias in each.aliases if "/" not in alias),
            Text(each.here or "no", style="green" if each.here else "dim"),
            size,
            str(each.max_tokens or ""),
            each.languages,
            each.licence,
        )
    console.print(table)
    console.print(f"In use: {settings.model.model} (CROSS_ENCODER_MODEL).", style="dim", markup=False)


@models.command()
def pull(
    model: Annotated[str, typer.Argument(metavar="ID", help="A hub id or an alias.", show_default=False)],
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="cpu or cuda: what the files are for, also where there is no GPU yet; empty: for this machine.",
        ),
    ] = "",
    json_output: Json = False,
) -> None:
    """Fetch a model from the hub, check it, and remember its digests.

    For CUDA, a carried model that the hub cannot give is made from the carried file, once. From then on its files
    must stay as they are. HF_ENDPOINT, HF_HOME and HF_TOKEN mean what they usually do.
    """
    from rerankd.cli.session import load_settings
    from rerankd.models.registry import find

    if device and not re.fullmatch(r"cpu|cuda(:\d{1,3})?", device):
        raise typer.BadParameter(f"--device must be cpu, cuda or cuda:N, got {device!r}")
    settings = _with(load_settings(), model)
    files = _fetch(settings, device)
    if json_output:
        shown = {name: str(each) if isinstance(each, Path) else each for name, each in asdict(files).items()}
        typer.echo(json.dumps(shown))
        return
    from rerankd.models.resolve import ModelFiles

    revision = f" at {files.revision[:12]}" if files.revision else ""
    if isinstance(files, ModelFiles):
        typer.echo(f"{files.model}{revision}: {files.precision}, licence {files.licence}")
        typer.echo(f"  {files.onnx}")
    else:
        typer.echo(f"{files.model}{revision}: checkpoint for PyTorch, licence {find(files.model).licence}")
        typer.echo(f"  {files.folder}")
    typer.echo(f"  {files.tokenizer}")


@models.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]...",
            help="Which; without it the one in use and those that are here.",
            show_default=False,
        ),
    ] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Trust the named models' files as they are from now on.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Check that the files of models are the ones that were seen before. Exit status 1 if one is not.

    Known: as a release of rerankd has seen the bytes. Trusted: as when first used here. New: never used here.
    """
    from rerankd.cli.session import load_settings

    if accept and not names:
        raise typer.BadParameter("--accept needs the name of a model")
    settings = load_settings()
    checks: list[tuple[str, FileCheck]] = []
    failed: list[tuple[str, str]] = []
    for name in names or _here(settings):
        try:
            checks += [(name, check) for check in _verify(_with(settings, name), accept=accept)]
        except BackendError as error:
            failed.append((name, str(error)))
    failed += [(name, check.problem) for name, check in checks if check.problem]
    if json_output:
        files = [{"model": name, **asdict(check), "path": str(check.path)} for name, check in checks]
        typer.echo(json.dumps({"files": files, "problems": [problem for _, problem in failed]}))
    else:
        _print_checks(checks)
    if failed:
        from rerankd.cli.terminal import notice

        for name, problem in failed:
            notice(problem if problem.startswith(name) else f"{name}: {problem}")
        raise typer.Exit(1)


def _print_checks(checks: list[tuple[str, "FileCheck"]]) -> None:
    from rich.text import Text

    from rerankd.cli.terminal import columns, output

    console = output()
    table = columns(console, "model", "file", "status", "sha256")
    for name, check in checks:
        bad = bool(check.problem)
        table.add_row(
            Text(name),
            Text(check.name),
            Text("wrong" if bad else check.status, style="bold red" if bad else "green"),
            Text(check.sha256[:16], style="dim"),
        )
    if checks:
        console.print(table)


def _with(settings: "Settings", model: str) -> "Settings":
    return replace(settings, model=replace(settings.model, model=model))


def _listed(settings: "Settings", known: "KnownModel") -> _Listed:
    from rerankd.models.registry import find

    try:
        default = find(settings.model.model).id == known.id
    except ConfigError:
        default = False  # a folder
    return _Listed(
        id=known.id,
        aliases=known.aliases,
        default=default,
        here=_where(_with(settings, known.id)),
        parameters_millions=known.parameters_millions,
        max_tokens=known.max_tokens,
        languages=known.languages,
        licence=known.licence,
    )


def _where(settings: "Settings") -> str:
    """Where a model's files are on this machine; empty: nowhere. Nothing is downloaded or read."""
    from rerankd.backends.cpu import int8_path
    from rerankd.loading import places
    from rerankd.models.locate import locate

    for kind in dict.fromkeys(place.device.kind for place in places(settings.model)):
        try:
            return locate(settings.model, device=kind, int8=int8_path(), download=False).source
        except BackendError:
            continue
    return ""


def _here(settings: "Settings") -> list[str]:
    from rerankd.models.registry import known_models

    others = [known.id for known in known_models() if _where(_with(settings, known.id))]
    chosen = settings.model.model
    named = {name for known in known_models() if known.id in others for name in (known.id, *known.aliases)}
    return others if chosen in named else [chosen, *others]


def _fetch(settings: "Settings", device: str) -> "Checkpoint | ModelFiles":
    from rerankd.loading import fetch_at, places

    policy = replace(settings.model, download=True, device=device or settings.model.device)
    found = places(policy) if not device.startswith("cuda") else _on_cuda(policy)
    return _first(found, lambda place: fetch_at(place, policy, settings.data_dir))


def _on_cuda(policy: "ModelPolicy") -> list["Place"]:
    """Where the model would run on CUDA, on a machine that has none: an image is built before it meets its GPU."""
    from importlib.util import find_spec

    from rerankd.backends.devices import Device
    from rerankd.loading import Place
    from rerankd.models.checkpoint import is_checkpoint

    torch = [Place("torch", Device("cuda"))] if find_spec("torch") and not policy.file else []
    return torch if is_checkpoint(policy.model) else [*torch, Place("onnx", Device("cuda"))]


def _verify(settings: "Settings", *, accept: bool) -> tuple["FileCheck", ...]:
    from rerankd.loading import files_at, places

    policy = settings.model
    return _first(places(policy), lambda place: files_at(place, policy, settings.data_dir, accept=accept))


def _first(found: list["Place"], act: "Callable[[Place], T]") -> T:
    """Do it for the first place where it succeeds, as loading does."""
    *others, last = found
    for place in others:
        with suppress(BackendError):
            return act(place)
    return act(last)
