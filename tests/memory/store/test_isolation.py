"""No tenant sees another's rows, whatever is asked: tried as the application's plain role, and past the store."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors

from rerankd.errors import StoreError
from rerankd.memory.policy import StorePolicy
from rerankd.memory.store import statements
from rerankd.memory.store.pool import Connection as PoolConnection
from rerankd.memory.store.postgres import PostgresStore
from rerankd.memory.types import Filter, UserRecord
from tests.memory.database import Server
from tests.memory.store.make import NEVER, add_user, hash_of, new_rows, unit

Connection = psycopg.Connection[tuple[object, ...]]
SEEN = "SELECT DISTINCT user_hash FROM memory_chunks"
SET = "SELECT set_config('app.user_hash', %s, true)"


@dataclass(frozen=True)
class Two:
    mine: UserRecord
    other: UserRecord
    ids: Sequence[UUID]
    """The other's rows."""


@pytest.fixture
async def two(store: PostgresStore) -> Two:
    mine, other = await add_user(store), await add_user(store)
    theirs = new_rows(3)
    for user, rows in ((mine, new_rows(3)), (other, theirs)):
        await store.insert(user, rows, seals=6, deadline=NEVER)
    return Two(mine, other, [row.id for row in theirs])


@pytest.fixture
def app(server: Server) -> Iterator[Connection]:
    """The application's role, without the store."""
    with psycopg.connect(server.urls.app, autocommit=True) as connection:
        found = connection.execute(
            "SELECT rolsuper OR rolbypassrls OR pg_has_role(current_user, 'rerankd_owner', 'MEMBER')"
            " FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        assert found == (False,), "a test of isolation as anybody else than a plain role proves nothing"
        yield connection


def seen(connection: Connection) -> set[object]:
    return {row[0] for row in connection.execute(SEEN).fetchall()}


def run_as(connection: Connection, tenant: str, statement: str, values: Sequence[object] = ()) -> None:
    with connection.transaction():
        connection.execute(SET, (tenant,))
        connection.execute(statement.encode(), values or None)


def test_without_a_tenant_nothing_is_seen(app: Connection, two: Two) -> None:
    """Never set; set to nothing; and in a session in which a tenant was set before."""
    assert seen(app) == set()
    for nothing in ("", None):
        with app.transaction():
            app.execute(SET, (nothing,))
            assert seen(app) == set()
            assert app.execute("SELECT count(*) FROM memory_users").fetchone() == (0,)
    with app.transaction():
        app.execute(SET, (two.mine.user_hash,))
        assert seen(app) == {two.mine.user_hash}
    assert app.execute("SELECT current_setting('app.user_hash', true)").fetchone() == ("",)
    assert seen(app) == set()


def test_a_tenant_sees_its_own_rows_without_asking_for_them(app: Connection, two: Two) -> None:
    for user in (two.mine, two.other):
        with app.transaction():
            app.execute(SET, (user.user_hash,))
            assert seen(app) == {user.user_hash}
            assert app.execute("SELECT user_hash FROM memory_users").fetchall() == [(user.user_hash,)]


def test_a_tenant_ends_with_its_transaction_however_that_ends(app: Connection, two: Two) -> None:
    """Committed, rolled back, or broken off by an error."""
    app.execute("BEGIN")
    app.execute(SET, (two.mine.user_hash,))
    app.execute("ROLLBACK")
    assert seen(app) == set()
    with pytest.raises(errors.DivisionByZero):
        run_as(app, two.mine.user_hash, "SELECT 1/0")
    assert seen(app) == set()


def test_a_savepoint_that_is_rolled_back_takes_its_tenant_with_it(app: Connection, two: Two) -> None:
    with app.transaction():
        app.execute(SET, (two.mine.user_hash,))
        with app.transaction(force_rollback=True):
            app.execute(SET, (two.other.user_hash,))
            assert seen(app) == {two.other.user_hash}
        assert seen(app) == {two.mine.user_hash}
        with pytest.raises(errors.DivisionByZero):
            run_as(app, two.other.user_hash, "SELECT 1/0")
        assert seen(app) == {two.mine.user_hash}


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan", "auto"])
def test_a_plan_that_was_prepared_for_one_tenant_serves_the_next_one_only_its_own(
    app: Connection, two: Two, mode: str
) -> None:
    app.execute(f"SET plan_cache_mode = {mode}")
    for _ in range(8):
        for user in (two.mine, two.other):
            with app.transaction():
                app.execute(SET, (user.user_hash,))
                assert app.execute(SEEN, prepare=True).fetchall() == [(user.user_hash,)]
        assert app.execute(SEEN, prepare=True).fetchall() == []


def test_a_row_cannot_be_written_for_somebody_else(app: Connection, two: Two) -> None:
    """Neither a memory nor a user; and without a tenant not even one's own."""
    columns = "(subject, text_cipher, meta_cipher, vector_cipher, user_hash)"
    insert = f"INSERT INTO memory_chunks {columns} VALUES (%s, '', '', '', %s)"
    with pytest.raises(errors.InsufficientPrivilege):
        run_as(app, two.mine.user_hash, insert, (two.other.subject, two.other.user_hash))
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(insert.encode(), (two.mine.subject, two.mine.user_hash))
    user = (
        "INSERT INTO memory_users (subject, user_hash, pepper_id, sealed_user_id, wrapped_key, key_id, embedder,"
        " vectors) VALUES (%s, %s, '', '', '', '', '', 'plain')"
    )
    with pytest.raises(errors.InsufficientPrivilege):
        run_as(app, two.mine.user_hash, user, (uuid4(), hash_of("planted")))


def test_a_row_without_a_tenant_is_an_error_and_not_nobodys(app: Connection, two: Two) -> None:
    """The column's default asks for the tenant, and the helper raises where there is none."""
    with pytest.raises(errors.InsufficientPrivilege, match="no tenant is set"):
        app.execute("SELECT memory_tenant()")
    with pytest.raises(errors.InsufficientPrivilege, match="no tenant is set"):
        run_as(app, "", "SELECT memory_tenant()")
    with pytest.raises(errors.InsufficientPrivilege, match="no tenant is set"):
        app.execute(
            "INSERT INTO memory_chunks (subject, text_cipher, meta_cipher, vector_cipher) VALUES (%s, '', '', '')",
            (two.mine.subject,),
        )
    with app.transaction():
        app.execute(SET, (two.mine.user_hash,))
        assert app.execute("SELECT memory_tenant()").fetchone() == (two.mine.user_hash,)


def test_another_tenants_rows_cannot_be_deleted_changed_or_emptied(app: Connection, two: Two) -> None:
    with app.transaction():
        app.execute(SET, (two.mine.user_hash,))
        assert app.execute("DELETE FROM memory_chunks WHERE id = ANY (%s)", (list(two.ids),)).rowcount == 0
        assert app.execute("DELETE FROM memory_users WHERE subject = %s", (two.other.subject,)).rowcount == 0
        counted = app.execute("UPDATE memory_users SET seals = 0 WHERE subject = %s", (two.other.subject,))
        assert counted.rowcount == 0
    for statement in (
        "TRUNCATE memory_chunks",
        "UPDATE memory_chunks SET labels = '{}'",
        "UPDATE memory_users SET wrapped_key = ''",
        "ALTER TABLE memory_chunks DISABLE ROW LEVEL SECURITY",
        "DROP POLICY memory_chunks_tenant ON memory_chunks",
        "CREATE POLICY all_of_it ON memory_chunks USING (true)",
        "SET ROLE rerankd_maintain",
        "SET SESSION AUTHORIZATION postgres",
        "UPDATE memory_epochs SET id = 'mine'",
        "COPY memory_chunks FROM STDIN",
    ):
        with pytest.raises((errors.InsufficientPrivilege, errors.FeatureNotSupported)):
            app.execute(statement.encode())


def test_switching_row_security_off_is_an_error_and_shows_nothing(app: Connection, two: Two) -> None:
    app.execute("SET row_security = off")
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(SEEN)


def test_a_copy_holds_the_tenants_own_rows_alone(app: Connection, two: Two) -> None:
    with app.transaction():
        app.execute(SET, (two.mine.user_hash,))
        with app.cursor().copy("COPY memory_chunks (user_hash) TO STDOUT") as copy:
            assert {row[0] for row in copy.rows()} == {two.mine.user_hash}


def test_a_function_of_the_callers_own_is_not_shown_others_rows(app: Connection, two: Two) -> None:
    """It would tell of every row that the planner let it see before the policy."""
    told: list[str] = []
    app.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
    app.execute(
        "CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS"
        " $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$"
    )
    with app.transaction():
        app.execute(SET, (two.mine.user_hash,))
        app.execute("SELECT count(*) FROM memory_chunks WHERE pg_temp.tell(user_hash)")
    assert set(told) == {two.mine.user_hash}


def test_statistics_of_columns_show_nothing_of_other_tenants(
    server: Server, app: Connection, two: Two
) -> None:
    with psycopg.connect(server.urls.owner, autocommit=True) as owner:
        owner.execute("ANALYZE memory_chunks")
    assert app.execute("SELECT * FROM pg_stats WHERE tablename LIKE 'memory_%'").fetchall() == []


def test_the_owner_of_the_tables_is_held_to_it_too(server: Server, two: Two) -> None:
    """Row-level security is forced and not only enabled."""
    with psycopg.connect(server.urls.owner, autocommit=True) as owner:
        assert seen(owner) == set()
        assert owner.execute("SELECT count(*) FROM memory_users").fetchone() == (0,)
        with owner.transaction():
            owner.execute(SET, (two.mine.user_hash,))
            assert seen(owner) == {two.mine.user_hash}


def test_a_partition_is_closed_to_the_application(server: Server) -> None:
    urls = server.database(partitions=2)
    with psycopg.connect(urls.app, autocommit=True) as connection:
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM memory_chunks_0000")
        assert connection.execute("SELECT count(*) FROM memory_chunks").fetchone() == (0,)


@pytest.mark.parametrize("bad", ["", "x", "A" * 64, "0" * 63 + "g"])
def test_only_what_has_the_form_of_a_user_hash_can_be_kept(app: Connection, two: Two, bad: str) -> None:
    """So that no row can ever belong to the tenant that is none."""
    columns = "(subject, text_cipher, meta_cipher, vector_cipher, user_hash)"
    insert = f"INSERT INTO memory_chunks {columns} VALUES (%s, '', '', '', %s)"
    with pytest.raises((errors.CheckViolation, errors.InsufficientPrivilege)):
        run_as(app, bad, insert, (two.mine.subject, bad))


# -- through the store's pool -----------------------------------------------------------------------------


@pytest.fixture
async def single(server: Server) -> AsyncIterator[PostgresStore]:
    """A store with one connection, which every call meets again."""
    opened = PostgresStore(server.urls.app, StorePolicy(pool_min=1, pool_max=1))
    await opened.open()
    yield opened
    await opened.close()


async def left_over(store: PostgresStore) -> tuple[object, object]:
    """The tenant that the pooled connection has between two calls, and what it sees."""
    async with store._database.plain() as connection:
        setting = await (await connection.execute("SELECT current_setting('app.user_hash', true)")).fetchone()
        rows = await (await connection.execute(SEEN)).fetchall()
    return (setting or ("",))[0] or "", {row[0] for row in rows}


async def test_a_pooled_connection_keeps_no_tenant_between_calls(single: PostgresStore, two: Two) -> None:
    """After reads, writes and refused writes alike; the next one to use it may be anybody."""
    user = two.mine
    await single.count(user.user_hash, deadline=NEVER)
    assert await left_over(single) == ("", set())
    await single.nearest(user.user_hash, unit(1), 5, Filter(), deadline=NEVER)
    assert await left_over(single) == ("", set())
    row = new_rows(1)[0]
    await single.insert(user, [row], seals=2, deadline=NEVER)
    assert await left_over(single) == ("", set())
    with pytest.raises(StoreError):
        await single.insert(user, [row], seals=2, deadline=NEVER)
    assert await left_over(single) == ("", set())


async def test_a_call_that_is_cancelled_at_any_moment_leaves_nothing_to_the_next(
    single: PostgresStore, two: Two
) -> None:
    for steps in range(40):
        call = asyncio.ensure_future(
            single.nearest(two.mine.user_hash, unit(steps), 5, Filter(), deadline=NEVER)
        )
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        found = await single.nearest(two.other.user_hash, unit(steps), 5, Filter(), deadline=NEVER)
        assert {row.id for row in found.rows} == set(two.ids)
        assert {row.subject for row in found.rows} == {two.other.subject}
    assert await left_over(single) == ("", set())


async def test_an_export_that_is_given_up_leaves_no_tenant(single: PostgresStore, two: Two) -> None:
    rows = single.export(two.mine.user_hash)
    await anext(rows)
    await rows.aclose()  # type: ignore[attr-defined]
    assert await left_over(single) == ("", set())


async def test_many_tenants_at_once_on_few_connections_each_get_their_own(store: PostgresStore) -> None:
    users = [await add_user(store) for _ in range(64)]
    for user in users:
        await store.insert(user, new_rows(3), seals=6, deadline=NEVER)

    async def ask(user: UserRecord, query: int) -> set[UUID]:
        found = await store.nearest(user.user_hash, unit(query), 24, Filter(), deadline=NEVER)
        assert found.user is not None
        assert found.user.subject == user.subject
        assert len(found.rows) == 3
        return {row.subject for row in found.rows}

    for query in range(4):
        answers = await asyncio.gather(*(ask(user, query) for user in users))
        assert answers == [{user.subject} for user in users]


async def test_a_tenants_rows_are_not_found_by_their_ids_under_another_hash(
    store: PostgresStore, two: Two
) -> None:
    found = await store.rows(two.mine.user_hash, two.ids, deadline=NEVER)
    assert found.rows == ()
    assert await store.delete(two.mine.user_hash, two.ids, deadline=NEVER) == 0
    assert await store.count(two.other.user_hash, deadline=NEVER) == 3


async def test_a_users_rows_are_found_by_their_index_however_much_of_the_table_they_are(
    server: Server,
) -> None:
    """Else others' rows are read on the way, and the time that it takes tells how many there are."""
    urls = server.database()
    store = PostgresStore(urls.app, StorePolicy(pool_max=1))
    await store.open()
    user = await add_user(store)
    await store.insert(user, new_rows(300), seals=600, deadline=NEVER)
    with psycopg.connect(urls.owner, autocommit=True) as owner:
        owner.execute("ANALYZE memory_chunks")
    query, values = statements.nearest(user.user_hash, unit(1), 24, Filter())

    async def plans(connection: PoolConnection) -> list[str]:
        found = []
        for setting in ("SELECT 1", "SET LOCAL enable_seqscan = on"):
            await connection.execute(setting.encode())
            rows = await statements.fetch(connection, "EXPLAIN " + query, values)
            found.append("\n".join(row[0] for row in rows))
        return found

    ours, left_to_the_planner = await store._database.run(plans, tenant=user.user_hash, reads=True)
    await store.close()
    assert "Seq Scan" not in ours
    assert "Seq Scan" in left_to_the_planner
