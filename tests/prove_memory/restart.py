"""Row 8: the database is restarted, crashes or stays away under load; no wrong row, and soon well again."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from rerankd.core.deadline import Deadline
from rerankd.engine.clock import SystemClock
from rerankd.errors import StoreError
from rerankd.memory.policy import StorePolicy
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import Filter, UserRecord
from tests.memory.database import Server, run_server
from tests.memory.store.make import NEVER, add_user, new_rows, unit
from tests.prove.line import Line
from tests.prove_memory.rows import opened

__all__ = ["measure"]

_READERS = 8
_ROWS = 6
_BUDGET_MS = 500.0
_LATE_S = 0.1


@dataclass
class Seen:
    reads: int = 0
    errors: int = 0
    wrong: int = 0
    late: float = 0.0
    """The longest that an answer or error came after its deadline, in seconds."""
    last_error: float = 0.0
    other: list[str] = field(default_factory=list)


def measure(quick: bool) -> Iterator[Line]:
    away = (
        [(False, 0.0), (True, 0.0)]
        if quick
        else [(False, 0.0), (True, 0.0)] * 5 + [(False, 12.0), (True, 12.0)]
    )
    with run_server(options={}) as server:
        yield from asyncio.run(_measure(server, away, quick))


async def _measure(server: Server, away: list[tuple[bool, float]], quick: bool) -> list[Line]:
    seen, healthy = Seen(), [0.0]
    async with opened(server.urls.app, StorePolicy(pool_min=4, pool_max=4)) as store:
        users = [await add_user(store) for _ in range(_READERS)]
        for user in users:
            await store.insert(user, new_rows(_ROWS), seals=_ROWS, deadline=NEVER)
        stop = asyncio.Event()
        readers = [asyncio.create_task(_read(store, user, seen, stop)) for user in users]
        for immediate, seconds in away:
            await asyncio.sleep(0.3)
            accepts = await asyncio.to_thread(_outage, server, immediate, seconds)
            await asyncio.sleep(1 if quick else 8)
            # healthy is when nothing fails any more, and not when the first answer is there
            healthy.append(max(0.0, seen.last_error - accepts))
        stop.set()
        await asyncio.gather(*readers)
    return [
        Line(
            8,
            f"wrong or missing rows while the database was restarted {len(away)} times under load",
            "0",
            f"{seen.wrong} in {seen.reads:,} answers; {seen.errors:,} clear errors"
            + (f", others: {sorted(set(seen.other))}" if seen.other else ""),
            seen.wrong == 0 and not seen.other,
        ),
        Line(
            8,
            "the last error after the database accepts connections again",
            "≤ 5 s",
            f"at most {max(healthy):.2f} s, stopped, crashed or away for {max(s for _, s in away):.0f} s",
            max(healthy) <= 5.0,
            timed=True,
        ),
        Line(
            8,
            "an answer or an error after its deadline meanwhile",
            f"≤ {_LATE_S * 1000:.0f} ms",
            f"at most {seen.late * 1000:.1f} ms",
            seen.late <= _LATE_S,
            timed=True,
        ),
    ]


async def _read(store: PostgresStore, user: UserRecord, seen: Seen, stop: asyncio.Event) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        deadline = Deadline.after(SystemClock().now(), _BUDGET_MS)
        try:
            found = await store.nearest(user.user_hash, unit(number % 50), 24, Filter(), deadline=deadline)
        except StoreError:
            seen.errors += 1
            seen.last_error = time.monotonic()
        except Exception as error:
            seen.other.append(type(error).__name__)
        else:
            seen.reads += 1
            right = found.user is not None and {row.subject for row in found.rows} == {user.subject}
            seen.wrong += not right or len(found.rows) != _ROWS
        seen.late = max(seen.late, SystemClock().now() - deadline.at)
        await asyncio.sleep(0.005)


def _outage(server: Server, immediate: bool, seconds: float) -> float:
    """Stop it, leave it away, start it; when it accepts again."""
    server.embedded.halt(immediate=immediate)
    time.sleep(seconds)
    server.embedded.resume()
    while True:
        try:
            psycopg.connect(server.urls.app).close()
        except psycopg.OperationalError:
            time.sleep(0.01)
        else:
            return time.monotonic()
