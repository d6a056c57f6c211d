"""The store does not open unless isolation is in force; each of the ways to lose it is refused by name."""

import psycopg
import pytest

from rerankd.core.secret import Secret
from rerankd.errors import StoreError
from rerankd.memory.policy import StorePolicy
from rerankd.memory.store.embedded import Urls
from rerankd.memory.store.maintenance import PostgresMaintenance
from rerankd.memory.store.postgres import PostgresStore
from tests.memory.database import Server
from tests.memory.store.make import NEVER, add_user, new_rows


async def opens(url: str) -> None:
    store = PostgresStore(url, StorePolicy(pool_max=1))
    await store.open()
    await store.close()


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def superuser(server: Server, urls: Urls) -> Secret:
    return server.superuser(urls.app.split("?")[0].rsplit("/", 1)[1])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE memory_chunks NO FORCE ROW LEVEL SECURITY", "memory_chunks FORCE ROW LEVEL"),
        ("ALTER TABLE memory_users NO FORCE ROW LEVEL SECURITY", "memory_users FORCE ROW LEVEL"),
        ("ALTER TABLE memory_chunks DISABLE ROW LEVEL SECURITY", "memory_chunks ENABLE ROW LEVEL"),
        ("ALTER TABLE memory_epochs DISABLE ROW LEVEL SECURITY", "memory_epochs ENABLE ROW LEVEL"),
        ("DROP POLICY memory_chunks_tenant ON memory_chunks", "policies of memory_chunks"),
        ("CREATE POLICY more ON memory_users USING (true)", "policies of memory_users"),
        ("ALTER POLICY memory_chunks_tenant ON memory_chunks USING (true)", "policies of memory_chunks"),
        ("ALTER POLICY memory_chunks_tenant ON memory_chunks WITH CHECK (true)", "policies of memory_chunks"),
        (
            "ALTER POLICY memory_chunks_tenant ON memory_chunks"
            " USING (user_hash = current_setting('app.user_hash', true))",
            "policies of memory_chunks",
        ),
        ("ALTER POLICY memory_epochs_lock ON memory_epochs WITH CHECK (true)", "policies of memory_epochs"),
        ("GRANT TRUNCATE ON memory_chunks TO rerankd_app", "may TRUNCATE memory_chunks"),
        ("GRANT TRIGGER ON memory_users TO rerankd_app", "memory_users or put triggers"),
        ("DELETE FROM memory_schema", "rerankd memory migrate"),
        ("INSERT INTO memory_schema VALUES (99, 'future')", "upgrade rerankd"),
        ("DROP TABLE memory_schema", "rerankd memory migrate"),
    ],
)
async def test_a_database_whose_isolation_was_weakened_is_refused(
    server: Server, change: str, said: str
) -> None:
    urls = server.database()
    await opens(urls.app)
    run(urls.owner, change)
    with pytest.raises(StoreError, match=said):
        await opens(urls.app)


async def test_a_partition_without_protection_is_refused(server: Server) -> None:
    urls = server.database(partitions=2)
    await opens(urls.app)
    run(urls.owner, "ALTER TABLE memory_chunks_0001 DISABLE ROW LEVEL SECURITY")
    with pytest.raises(StoreError, match="memory_chunks_0001 ENABLE"):
        await opens(urls.app)


async def test_the_owner_is_refused(server: Server) -> None:
    """It can switch its own protection off."""
    with pytest.raises(StoreError, match="owns memory_"):
        await opens(server.urls.owner)


async def test_a_superuser_is_refused(server: Server) -> None:
    with pytest.raises(StoreError, match="postgres is a superuser"):
        await opens(superuser(server, server.urls))


async def test_the_maintaining_role_does_not_serve(server: Server) -> None:
    """It sees every user; a store under it would have no isolation but its own good will."""
    with pytest.raises(StoreError, match="policies of"):
        await opens(server.urls.maintain)


async def test_a_role_that_bypasses_or_may_become_one_that_does_is_refused(server: Server) -> None:
    urls = server.database()
    admin = superuser(server, urls)
    try:
        run(admin, "ALTER ROLE rerankd_app BYPASSRLS")
        with pytest.raises(StoreError, match="rerankd_app bypasses row-level security"):
            await opens(urls.app)
        run(
            admin,
            "ALTER ROLE rerankd_app NOBYPASSRLS",
            "CREATE ROLE seer BYPASSRLS",
            "GRANT seer TO rerankd_app",
        )
        with pytest.raises(StoreError, match="rerankd_app bypasses row-level security"):
            await opens(urls.app)
        run(admin, "REVOKE seer FROM rerankd_app", "GRANT rerankd_owner TO rerankd_app")
        with pytest.raises(StoreError, match="owns memory_"):
            await opens(urls.app)
        run(admin, "REVOKE rerankd_owner FROM rerankd_app", "GRANT rerankd_maintain TO rerankd_app")
        with pytest.raises(StoreError, match="policies of"):
            await opens(urls.app)
    finally:
        run(
            admin,
            "ALTER ROLE rerankd_app NOBYPASSRLS",
            "REVOKE rerankd_maintain FROM rerankd_app",
            "REVOKE rerankd_owner FROM rerankd_app",
        )
        run(admin, "DROP ROLE IF EXISTS seer")
    await opens(urls.app)


async def test_a_tenant_that_is_set_for_the_whole_session_is_refused(server: Server) -> None:
    urls = server.database()
    store = PostgresStore(urls.app, StorePolicy(pool_max=1))
    await store.open()
    user = await add_user(store)
    await store.insert(user, new_rows(1), seals=2, deadline=NEVER)
    await store.close()
    name = urls.app.split("?")[0].rsplit("/", 1)[1]
    run(superuser(server, urls), f"ALTER DATABASE {name} SET app.user_hash = '{user.user_hash}'")
    with pytest.raises(StoreError, match="set outside a transaction"):
        await opens(urls.app)


async def test_a_store_that_was_refused_leaves_no_connection_behind(server: Server) -> None:
    urls = server.database()
    run(urls.owner, "ALTER TABLE memory_chunks NO FORCE ROW LEVEL SECURITY")
    with pytest.raises(StoreError):
        await opens(urls.app)
    with psycopg.connect(server.superuser()) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND application_name = 'rerankd'",
            (urls.app.split("?")[0].rsplit("/", 1)[1],),
        ).fetchone()
    assert found == (0,)


async def test_maintenance_passes_a_preflight_of_its_own(server: Server) -> None:
    """Rows of all users it may see, but it is neither owner nor superuser, and the protection is in force."""
    urls = server.database()

    async def maintains(url: str) -> None:
        maintenance = PostgresMaintenance(url, StorePolicy(pool_max=1))
        await maintenance.open()
        await maintenance.close()

    await maintains(urls.maintain)
    for url, said in ((urls.owner, "owns memory_"), (urls.app, "policies of")):
        with pytest.raises(StoreError, match=said):
            await maintains(url)
    run(urls.owner, "ALTER TABLE memory_chunks NO FORCE ROW LEVEL SECURITY")
    with pytest.raises(StoreError, match="FORCE ROW LEVEL SECURITY"):
        await maintains(urls.maintain)
