"""Row 13: keys rotate while reads go on; what was erased opens with nothing that is left, the log included."""

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import psycopg

from rerankd.errors import RerankdError, SealError
from rerankd.memory.epochs import Epoch, FileEpochs
from rerankd.memory.keys import LocalKeys
from rerankd.memory.memory import Memory
from rerankd.memory.pepper import Peppers
from rerankd.memory.sealing import DataKey, Sealer, open_record
from rerankd.memory.store.maintenance import PostgresMaintenance
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.testing import FakeEmbedder
from rerankd.memory.types import UserRecord, VectorMode
from rerankd.memory.vectors import encode
from rerankd.testing import fake_reranker
from tests.memory.database import Server, run_server
from tests.memory.store.make import unit
from tests.prove.line import Line

__all__ = ["measure"]

_LOOKED_FOR = 40
"""Of so many of the memories every piece of their vectors is searched for, in every file."""
_PIECE = 48
"""Bytes that are searched for: a record of the log may be cut in two by the border of a page."""


class _Dense(FakeEmbedder):
    """Vectors without zeros, which can be told from anything else on a disk."""

    def _embed(self, text: str) -> np.ndarray:
        return np.asarray(unit(str(text)), dtype=np.float32)


@dataclass(frozen=True)
class _Remains:
    """In how many places something was found."""

    log: int = 0
    elsewhere: int = 0

    def __str__(self) -> str:
        return f"{self.log} in the log, {self.elsewhere} elsewhere"

    @property
    def total(self) -> int:
        return self.log + self.elsewhere


def measure(quick: bool) -> Iterator[Line]:
    count = 10 if quick else 200
    yield asyncio.run(_online(quick))
    yield from _sealed(count)
    yield from _plain(count)


# -- rotation while reads go on ---------------------------------------------------------------------------


async def _online(quick: bool) -> Line:
    users = [f"user {number}" for number in range(6 if quick else 60)]
    reads = failed = 0
    wrong: set[str] = set()
    with run_server() as server, tempfile.TemporaryDirectory() as keys:
        async with (
            _memory(server, Path(keys), "plain") as here,
            _memory(server, Path(keys), "plain") as there,
        ):
            for user in users:
                await here.add([f"memory of {user}"], user_id=user)
            stop = asyncio.Event()

            async def use(memory: Memory, mine: Sequence[str]) -> None:
                nonlocal reads, failed
                while not stop.is_set():
                    for user in mine:
                        try:
                            recall = await memory.query("memory", user_id=user, budget_ms=None)
                        except RerankdError as error:
                            failed += 1
                            wrong.add(type(error).__name__)
                        else:
                            failed += [str(chunk.text) for chunk in recall] != [f"memory of {user}"]
                        reads += 1

            readers = [asyncio.create_task(use(here, users[number::4])) for number in range(4)]
            rotations = 0
            for _ in range(2 if quick else 10):
                await there.rotate_keys()
                await there.rotate_pepper()
                rotations += 2
            stop.set()
            await asyncio.gather(*readers)
    return Line(
        13,
        f"reads that failed while keys and peppers of {len(users)} users rotated {rotations} times",
        "0",
        f"{failed} of {reads:,}" + (f": {sorted(wrong)}" if wrong else ""),
        failed == 0 and reads > 0,
    )


# -- what is left of an erased user -----------------------------------------------------------------------


def _sealed(count: int) -> Iterator[Line]:
    with run_server(options={}) as server, tempfile.TemporaryDirectory() as folder:
        keys = Path(folder) / "keys"
        texts = _texts(count)
        before = asyncio.run(_erased(server, keys, "sealed", texts))
        _settle(server)
        server.embedded.stop()
        data = server.embedded.data
        found = _search(data, [text.encode() for text in texts])
        vectors = _search(data, _of_vectors(texts))
        yield Line(
            13,
            f"texts and vectors of an erased user ({count} memories) in all files, the log included, sealed mode",
            "0",
            f"texts {found}, vectors {vectors}",
            found.total == vectors.total == 0,
        )
        taken = _taken(data, before.user.wrapped_key)
        old = before.epoch
        opens = sum(_opens(wrapped, before, epoch) for wrapped in taken for epoch in _epochs(keys))
        control = sum(_opens(wrapped, before, old) for wrapped in taken)
        yield Line(
            13,
            "its wrapped data key, taken from the log, opened by the keys that are left",
            "0 (and found, and opened by the old one, or nothing was tried)",
            f"{opens} of {len(taken)} taken; by the old key, which was kept aside for this, {control}",
            opens == 0 and control == len(taken) > 0,
        )
        secrets = _search(Path(folder), [old.secret, *_written(old)])
        stored = _search(data, [old.secret, *_written(old)])
        yield Line(
            13,
            "the old key-encryption key in the folder of the keys or the files of the database",
            "0",
            f"{secrets.total + stored.total}; left are {', '.join(sorted(each.name for each in keys.iterdir()))}",
            secrets.total + stored.total == 0,
        )


def _plain(count: int) -> Iterator[Line]:
    with run_server(options={}) as server, tempfile.TemporaryDirectory() as folder:
        texts = _texts(count)
        asyncio.run(_erased(server, Path(folder) / "keys", "plain", texts))
        data = server.embedded.data
        pieces = _of_vectors(texts)
        readable = _search(data, [text.encode() for text in texts])
        yield Line(
            13,
            f"texts of an erased user ({count} memories) in all files, the log included, plain mode",
            "0",
            str(readable),
            readable.total == 0,
        )
        at_once = _search(data, pieces)
        _settle(server)
        settled = _search(data, pieces)
        with psycopg.connect(server.urls.owner, autocommit=True) as owner:
            owner.execute("VACUUM FULL memory_chunks")
        _settle(server)
        rewritten = _search(data, pieces)
        yield Line(
            13,
            f"pieces of plain vectors that are left, of {len(pieces)}",
            "documented",
            f"at once {at_once}; after VACUUM and checkpoints {settled};"
            f" after VACUUM FULL and checkpoints {rewritten}",
            None,
        )


@dataclass(frozen=True)
class _Before:
    """What a thief of old backups would have."""

    user: UserRecord
    epoch: Epoch


async def _erased(server: Server, keys: Path, mode: VectorMode, texts: Sequence[str]) -> _Before:
    """Add, write everything out, erase, rotate."""
    async with _memory(server, keys, mode) as memory:
        await memory.add(texts, user_id="erased", metadata=[{"number": n} for n in range(len(texts))])
        await memory.add(["something that stays"], user_id="kept")
        _checkpoint(server)
        maintenance = PostgresMaintenance(server.urls.maintain)
        await maintenance.open()
        users = [user async for user in maintenance.users()]
        [epoch] = FileEpochs("key", keys).all().values()
        rows = {user.subject: [row async for row in maintenance.rows(user.subject)] for user in users}
        user = next(user for user in users if len(rows[user.subject]) == len(texts))
        await maintenance.close()
        erased = await memory.erase_user(user_id="erased")
        assert erased.rows == len(texts)
        assert not erased.final
        rotated = await memory.rotate_keys()
        assert rotated.destroyed == (epoch.id,)
        assert await memory.count(user_id="kept") == 1
    return _Before(user, epoch)


@asynccontextmanager
async def _memory(server: Server, keys: Path, mode: VectorMode) -> AsyncIterator[Memory]:
    def epochs(kind: str) -> FileEpochs:
        return FileEpochs(kind, keys, announce=lambda told: None)  # type: ignore[arg-type]

    with fake_reranker() as reranker:
        async with Memory(
            store=PostgresStore(server.urls.app),
            maintenance=lambda: PostgresMaintenance(server.urls.maintain),
            keys=LocalKeys(epochs("key")),
            peppers=Peppers(epochs("pepper")),
            embedder=_Dense(),
            reranker=reranker,
            vectors=mode,
        ) as memory:
            yield memory


def _texts(count: int) -> list[str]:
    return [f"a memory that nobody must find again, number {number:05}" for number in range(count)]


def _checkpoint(server: Server) -> None:
    with psycopg.connect(server.superuser(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def _settle(server: Server) -> None:
    """What a database does in time by itself: clean up, write out, begin another file of its log."""
    with psycopg.connect(server.urls.maintain, autocommit=True) as connection:
        connection.execute("VACUUM memory_chunks, memory_users")
    with psycopg.connect(server.superuser(), autocommit=True) as connection:
        for _ in range(2):
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")


def _of_vectors(texts: Sequence[str]) -> list[bytes]:
    wholes = [encode(unit(text)) for text in texts[:_LOOKED_FOR]]
    starts = range(0, len(wholes[0]) - _PIECE + 1, _PIECE)
    return [whole[start : start + _PIECE] for whole in wholes for start in starts]


def _search(folder: Path, wanted: Sequence[bytes]) -> _Remains:
    """How many of them are in a file."""
    log = elsewhere = 0
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            hits = sum(piece in content for piece in wanted)
            if "pg_wal" in path.parts:
                log += hits
            else:
                elsewhere += hits
    return _Remains(log, elsewhere)


def _taken(data: Path, wrapped: bytes) -> list[bytes]:
    """The wrapped key as it stands in files: where its beginning is, so many bytes."""
    taken = []
    for path in sorted(data.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        start = content.find(wrapped[:24])
        while start >= 0:
            taken.append(content[start : start + len(wrapped)])
            start = content.find(wrapped[:24], start + 1)
    return [each for each in taken if each == wrapped]


def _opens(wrapped: bytes, before: _Before, epoch: Epoch) -> bool:
    """With its own id, and as if it were named by this key: nothing that anybody could try."""
    renamed = bytes((wrapped[0], len(epoch.id))) + epoch.id.encode() + wrapped[2 + wrapped[1] :]
    for record in (wrapped, renamed):
        try:
            plain = open_record(
                epoch.secret,
                epoch.id.encode(),
                record,
                b"memory_users",
                b"wrapped_key",
                before.user.subject.bytes,
            )
            Sealer(DataKey.parse(plain), before.user.subject).open(
                before.user.sealed_user_id,
                table="memory_users",
                column="sealed_user_id",
                row=UUID(bytes=before.user.subject.bytes),
            )
        except SealError:
            continue
        return True
    return False


def _epochs(keys: Path) -> list[Epoch]:
    return list(FileEpochs("key", keys).all().values())


def _written(epoch: Epoch) -> Iterator[bytes]:
    yield base64.b64encode(epoch.secret)
    yield base64.urlsafe_b64encode(epoch.secret)
    yield epoch.secret.hex().encode()
