"""Row 12: records that were changed, moved or made up do not open."""

import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from rerankd.errors import SealError
from rerankd.memory.sealing import DataKey, Sealer, open_record, seal_record
from tests.prove.line import Line

__all__ = ["measure"]

_TABLES = ("memory_chunks", "memory_users")
_COLUMNS = ("text_cipher", "meta_cipher", "vector_cipher", "sealed_user_id")


@dataclass(frozen=True)
class _Place:
    table: str
    column: str
    row: UUID


class _World:
    """Two users with keys of their own, one that has the first one's key under another id, and their records."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        key = DataKey(chance.randbytes(16), chance.randbytes(32))
        mine, other = self.uuid(), self.uuid()
        self.mine = Sealer(key, mine)
        self.other = Sealer(DataKey(chance.randbytes(16), chance.randbytes(32)), other)
        self.same_key = Sealer(key, other)
        self.same_secret = Sealer(DataKey(chance.randbytes(16), key.secret), mine)
        self.wrapping = {name: chance.randbytes(32) for name in (b"key-1", b"key-2")}

    def uuid(self) -> UUID:
        return UUID(bytes=self.chance.randbytes(16), version=4)

    def place(self) -> _Place:
        return _Place(self.chance.choice(_TABLES), self.chance.choice(_COLUMNS), self.uuid())

    def another(self, place: _Place) -> _Place:
        """The same but for one of table, column and row."""
        which = self.chance.randrange(3)
        if which == 0:
            return _Place(next(name for name in _TABLES if name != place.table), place.column, place.row)
        if which == 1:
            others = [name for name in _COLUMNS if name != place.column]
            return _Place(place.table, self.chance.choice(others), place.row)
        return _Place(place.table, place.column, self.uuid())


def measure(quick: bool) -> Iterator[Line]:
    tries = 2_000 if quick else 100_000
    world = _World(random.Random(12))
    tried: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    genuine = 0
    kinds: dict[str, Callable[[bytes], tuple[Sealer, bytes]]] = {
        "a bit flipped": lambda sealed: (world.mine, _flipped(sealed, world.chance)),
        "a byte changed in head, nonce or tag": lambda sealed: (world.mine, _edge(sealed, world.chance)),
        "cut or lengthened": lambda sealed: (world.mine, _resized(sealed, world.chance)),
        "another version": lambda sealed: (
            world.mine,
            bytes((world.chance.randrange(2, 256),)) + sealed[1:],
        ),
        "another key id": lambda sealed: (world.mine, sealed[:2] + world.chance.randbytes(16) + sealed[18:]),
        "the key id of another user's key": lambda sealed: (
            world.other,
            sealed[:2] + world.other.seal(b"", table="", column="", row=UUID(int=0))[2:18] + sealed[18:],
        ),
        "another user's key": lambda sealed: (world.other, sealed),
        "another user under the same key": lambda sealed: (world.same_key, sealed),
        "the same secret under another id": lambda sealed: (world.same_secret, sealed),
        "made up": lambda sealed: (world.mine, sealed[:18] + os.urandom(len(sealed) - 18)),
    }
    names = [*kinds, "another table, column or row", "a wrapped key of another user or key"]
    for number in range(tries):
        kind = names[number % len(names)]
        place = world.place()
        plain = world.chance.randbytes(world.chance.choice((0, 1, 40, 600)))
        tried[kind] += 1
        if kind == names[-1]:
            opened[kind] += _unwraps(world)
            continue
        sealed = world.mine.seal(plain, table=place.table, column=place.column, row=place.row)
        genuine += _opens(world.mine, sealed, place)
        if kind in kinds:
            sealer, forged = kinds[kind](sealed)
            opened[kind] += _opens(sealer, forged, place)
        else:
            opened[kind] += _opens(world.mine, sealed, world.another(place))
    total, sealed_ones = sum(opened.values()), tries - tried[names[-1]]
    yield Line(
        12,
        "forged, changed or moved records that open",
        "0 of 100,000",
        f"{total} of {tries:,} of {len(names)} kinds; of {sealed_ones:,} genuine ones {genuine:,} do"
        + (f": {dict(+opened)}" if total else ""),
        total == 0 and genuine == sealed_ones,
    )


def _opens(sealer: Sealer, record: bytes, place: _Place) -> bool:
    """By either way that the memory opens records: one by one, and a column at once."""
    try:
        sealer.open(record, table=place.table, column=place.column, row=place.row)
    except SealError:
        one = False
    else:
        one = True
    [plain] = sealer.open_column([(place.row, record)], table=place.table, column=place.column)
    return one or plain is not None


def _unwraps(world: _World) -> bool:
    """A data key that is put into another user's record, or tried with another key-encryption key."""
    (one, secret), (two, other) = world.wrapping.items()
    fields = (b"memory_users", b"wrapped_key", world.uuid().bytes)
    wrapped = seal_record(secret, one, world.chance.randbytes(48), *fields)
    tries = (
        (secret, one, wrapped, (*fields[:2], world.uuid().bytes)),
        (other, two, wrapped, fields),
        (other, one, wrapped, fields),
        (other, two, wrapped.replace(one, two, 1), fields),
        (secret, two, wrapped.replace(one, two, 1), fields),
    )
    for key, key_id, record, where in tries:
        try:
            open_record(key, key_id, record, *where)
        except SealError:
            continue
        return True
    return False


def _flipped(record: bytes, chance: random.Random) -> bytes:
    changed = bytearray(record)
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _edge(record: bytes, chance: random.Random) -> bytes:
    changed = bytearray(record)
    places = [*range(30), *range(len(changed) - 16, len(changed))]
    changed[chance.choice(places)] ^= chance.randrange(1, 256)
    return bytes(changed)


def _resized(record: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        return record[: chance.randrange(len(record))]
    return record + chance.randbytes(chance.randrange(1, 40))
