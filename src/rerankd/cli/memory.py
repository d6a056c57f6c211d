"""`rerankd memory`: a chat's long-term memory from the command line."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from rerankd.cli.options import Budget, Json, readable

if TYPE_CHECKING:
    from rerankd.memory.memory import Memory
    from rerankd.memory.rotation import Rotation
    from rerankd.memory.types import Recall
    from rerankd.settings import Settings

__all__ = ["register"]

T = TypeVar("T")

memory = typer.Typer(
    name="memory",
    no_args_is_help=True,
    help="Keep and ask a chat's long-term memory: sealed, apart for each user, and reranked.",
)

User = Annotated[str, typer.Option("--user", metavar="ID", help="Whose memories.", show_default=False)]
Plain = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


def register(app: typer.Typer) -> None:
    app.add_typer(memory)


@memory.callback()
def of(
    context: typer.Context,
    tenant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Whose users these are. Without it RERANKD_STORE_TENANT, which is default."
        ),
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(metavar="plain|sealed", help="How vectors are kept. Without it RERANKD_STORE_VECTORS."),
    ] = None,
) -> None:
    """Keep and ask a chat's long-term memory: sealed, apart for each user, and reranked.

    Without DATABASE_URL the memory brings a PostgreSQL of its own, in the data folder.
    """
    context.obj = {"store.tenant": tenant, "store.vectors": vectors}


@memory.command()
def add(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            callback=readable,
            help="One text a line, or one JSON object a line with text, metadata and created_at; - is standard"
            " input.",
            show_default=False,
        ),
    ],
    user: User,
    json_output: Json = False,
) -> None:
    """Remember texts of a user: all of them or, when one is refused, none.

    Example: rerankd memory add --user ada notes.txt
    """
    from rerankd.cli.inputs import read_memories

    given = read_memories(file)

    async def work(opened: "Memory") -> list[Any]:
        with _bar("Embedding", len(given)) as progress:
            return await opened.add(
                [each.text for each in given],
                user_id=user,
                metadata=[each.metadata for each in given],
                created_at=[each.created_at for each in given],
                progress=progress,
            )

    ids = _run(context, work)
    if json_output:
        typer.echo(json.dumps({"ids": [str(each) for each in ids]}))
    else:
        typer.echo(f"{len(ids)} memories added")


@memory.command()
def query(
    context: typer.Context,
    question: Annotated[str, typer.Argument(help="What is asked.", show_default=False)],
    user: User,
    top_k: Annotated[
        int | None, typer.Option(min=1, help="How many memories to return; 8 by default.")
    ] = None,
    top_k_ann: Annotated[
        int | None, typer.Option(min=1, help="How many of the nearest are reranked; 24 by default.")
    ] = None,
    budget_ms: Budget = None,
    json_output: Json = False,
) -> None:
    """Find the memories of a user that answer a question best, within a budget.

    Example: rerankd memory query --user ada "Where do I live?"
    """

    async def work(opened: "Memory") -> "Recall":
        budget = opened.policy.budget_ms if budget_ms is None else budget_ms
        return await opened.query(
            question, user_id=user, top_k_ann=top_k_ann, top_k_reranked=top_k, budget_ms=budget
        )

    recall = _run(context, work, asks=True)
    if json_output:
        typer.echo(json.dumps(recall.as_dict()))
        return
    from rerankd.cli.recalled import show_recall
    from rerankd.cli.terminal import output

    show_recall(output(), recall, query=question)


@memory.command()
def count(context: typer.Context, user: User) -> None:
    """Say how many memories a user has."""
    typer.echo(str(_run(context, lambda opened: opened.count(user_id=user))))


@memory.command()
def delete(
    context: typer.Context,
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of memories.", show_default=False)],
    user: User,
) -> None:
    """Forget memories of a user by their ids."""
    typer.echo(f"{_run(context, lambda opened: opened.delete(ids, user_id=user))} memories deleted")


@memory.command()
def erase(
    context: typer.Context,
    user: User,
    yes: Plain = False,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Rotate the key at once, so that nothing sealed opens any more.")
    ] = False,
) -> None:
    """Forget a user: the data key and every memory go, and nothing brings them back."""
    from rerankd.cli.terminal import fail, notice

    if not yes:
        fail("this erases every memory of the user for good: say --yes to do it", 2)
    done = _run(context, lambda opened: opened.erase_user(user_id=user, rotate=rotate))
    if not done.known:
        notice("there is no such user, so nothing was erased")
        return
    typer.echo(f"{done.rows} memories erased")
    if done.final:
        typer.echo("Final: nothing that is left anywhere opens what was erased, unless old keys were kept.")
    else:
        typer.echo(f"Not final yet: {done.remaining}")


@memory.command()
def export(context: typer.Context, user: User) -> None:
    """Print every memory of a user, oldest first, one JSON object a line."""

    async def work(opened: "Memory") -> None:
        async for each in opened.export_user(user_id=user):
            typer.echo(
                json.dumps(
                    {
                        "id": str(each.id),
                        "text": str(each.text),
                        "metadata": dict(each.metadata),
                        "created_at": each.created_at.isoformat(),
                    }
                )
            )

    _run(context, work)


@memory.command()
def rotate(
    context: typer.Context,
    pepper: Annotated[
        bool, typer.Option("--pepper", help="Rotate the pepper of the user hashes instead of the key.")
    ] = False,
) -> None:
    """Put the next key in force, wrap every user's key anew, and destroy the old one; questions go on meanwhile.

    What was erased before is gone for good afterwards. Can be run again after it was interrupted.
    """

    async def work(opened: "Memory") -> "Rotation":
        with _bar("Moving users", None) as progress:
            turn = opened.rotate_pepper if pepper else opened.rotate_keys
            return await turn(progress=lambda done: progress(done, 0))

    done = _run(context, work)
    typer.echo(f"{'pepper' if pepper else 'key'} {done.old} -> {done.new}: {done.users} users moved")
    if done.destroyed:
        typer.echo(f"Destroyed: {', '.join(done.destroyed)}")
    if done.remaining:
        typer.echo(f"Still to do: {done.remaining}")


@memory.command()
def reembed(context: typer.Context) -> None:
    """Make the vectors anew that another embedder made, or that are kept in the other mode."""

    async def work(opened: "Memory") -> Any:
        with _bar("Embedding", None) as progress:
            return await opened.reembed(progress=lambda done: progress(done, 0))

    done = _run(context, work)
    typer.echo(f"{done.memories} memories of {done.users} users embedded anew")
    if done.rejected:
        typer.echo(f"{done.rejected} memories do not open, and will never be returned")


@memory.command()
def migrate(
    partitions: Annotated[
        int | None,
        typer.Option(min=0, help="Split the table by user into so many parts. Only when it is first made."),
    ] = None,
) -> None:
    """Bring the database to this release's schema. Needs RERANKD_STORE_OWNER_URL where DATABASE_URL is set."""
    from rerankd.cli.session import load_settings
    from rerankd.cli.terminal import fail

    settings = load_settings()
    with _installed():
        from rerankd.memory.store.embedded import EmbeddedPostgres
        from rerankd.memory.store.migrate import APP_ROLE, MAINTAIN_ROLE, known_version, role_of
        from rerankd.memory.store.migrate import migrate as bring
    store = settings.store
    if store.url is None:
        with EmbeddedPostgres(settings.data_dir, partitions=partitions):
            typer.echo(f"The embedded database is at version {known_version()}")
        return
    if store.owner_url is None:
        fail("RERANKD_STORE_OWNER_URL: set it to the database as the owner of the tables sees it", 2)
    done = bring(
        store.owner_url,
        app_role=role_of(store.url) or APP_ROLE,
        maintain_role=role_of(store.maintain_url) or MAINTAIN_ROLE,
        partitions=partitions,
        connect_timeout_s=store.connect_timeout_ms / 1000,
    )
    steps = f": {', '.join(done.applied)}" if done.applied else ", as it was"
    typer.echo(f"The database is at version {done.after}{steps}")


@memory.command()
def check(context: typer.Context, json_output: Json = False) -> None:
    """See whether the database isolates users, the keys are here, and nothing is left to be done."""
    done = _run(context, lambda opened: opened.check())
    if json_output:
        typer.echo(json.dumps(asdict(done)))
        return
    typer.echo("isolation: in force, tried as the plain role")
    typer.echo(f"key: {done.key_id}, pepper: {done.pepper_id}")
    typer.echo(f"tenant: {done.tenant}, vectors: {done.vectors}, embedder: {done.embedder}")
    typer.echo(
        "users: not counted (RERANKD_STORE_MAINTAIN_URL is not set)"
        if done.census is None
        else f"users: {done.census.users}"
    )
    for remark in done.remarks:
        typer.echo(f"to do: {remark}")


# -- what they have in common -------------------------------------------------------------------------------


def _run(
    context: typer.Context, work: "Callable[[Memory], Coroutine[Any, Any, T]]", *, asks: bool = False
) -> T:
    """Open the memory, do it, and close it again."""
    from rerankd.cli.session import load_settings

    settings = load_settings(**{name: value for name, value in context.obj.items() if value is not None})
    # what it says of every attempt to connect, the error at the end says once
    logging.getLogger("psycopg.pool").addHandler(logging.NullHandler())
    logging.getLogger("psycopg.pool").propagate = False

    async def opened() -> T:
        async with _opened(settings, asks=asks) as memory:
            return await work(memory)

    return asyncio.run(opened())


@asynccontextmanager
async def _opened(settings: "Settings", *, asks: bool) -> "AsyncIterator[Memory]":
    """The memory. Only a question needs a reranker; nothing else waits for one to load."""
    from rerankd.cli.terminal import progress_output
    from rerankd.wiring import build, build_memory

    made = build_memory(settings, None if asks else build(settings))
    with progress_output().status("Opening the memory ..."):
        await made.__aenter__()
    try:
        yield made
    finally:
        await made.__aexit__(None, None, None)


@contextmanager
def _bar(what: str, total: int | None) -> "Iterator[Callable[[int, int], None]]":
    """A progress bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from rerankd.cli.terminal import progress_output

    screen = progress_output()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done, _: bar.update(task, completed=done)


@contextmanager
def _installed() -> Iterator[None]:
    from rerankd.errors import BackendError

    try:
        yield
    except ImportError as error:
        raise BackendError(
            f"the memory needs more: pip install 'rerankd[memory,embedded]' ({error})"
        ) from error
