"""Migrations: all or nothing, forward only, and every refusal names its remedy."""

import psycopg
import pytest

import rerankd.memory.store.migrate as migrate_module
from rerankd.errors import StoreError
from rerankd.memory.store.migrate import known_version, migrate, role_of, schema_version
from tests.memory.database import Server

TABLES = ("memory_users", "memory_chunks", "memory_epochs")


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def database_of(url: str) -> str:
    return url.split("?")[0].rsplit("/", 1)[1]


def test_the_steps_are_numbered_without_a_gap() -> None:
    steps = migrate_module._steps()
    assert sorted(steps) == list(range(1, known_version() + 1))


def test_a_second_run_changes_nothing(server: Server) -> None:
    urls = server.database(migrated=False)
    first = migrate(urls.owner)
    assert (first.before, first.after, len(first.applied)) == (0, known_version(), known_version())
    second = migrate(urls.owner)
    assert (second.before, second.after, second.applied) == (known_version(), known_version(), ())
    assert schema_version(urls.owner) == known_version()


def test_a_step_that_fails_leaves_nothing_behind(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    urls = server.database(migrated=False)
    steps = {**migrate_module._steps(), known_version() + 1: ("broken", "CREATE TABLE half (); SELECT 1/0")}
    with monkeypatch.context() as patched:
        patched.setattr(migrate_module, "_steps", lambda: steps)
        with pytest.raises(StoreError, match="division by zero"):
            migrate(urls.owner)
    assert schema_version(urls.owner) is None
    assert run(urls.owner, "SELECT to_regclass('half'), to_regclass('memory_chunks')") == [(None, None)]


def test_a_newer_schema_is_refused_and_left_as_it_is(server: Server) -> None:
    urls = server.database()
    run(urls.owner, "INSERT INTO memory_schema VALUES (99, 'from_the_future')")
    with pytest.raises(StoreError, match=r"version 99.*upgrade rerankd"):
        migrate(urls.owner)


def test_a_database_without_pgvector_gets_it_where_the_owner_may_add_it(server: Server) -> None:
    """Only a superuser may, as pgvector is no trusted extension; else the remedy is named."""
    urls = server.database(migrated=False, extension=False)
    with pytest.raises(StoreError, match="its owner may not add it: as a superuser CREATE EXTENSION vector"):
        migrate(urls.owner)
    assert schema_version(urls.owner) is None
    migrate(server.superuser(database_of(urls.owner)))
    assert schema_version(urls.app) == known_version()


def test_a_server_that_is_too_old_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psycopg.ConnectionInfo, "server_version", property(lambda self: 140_000))
    with pytest.raises(StoreError, match="15 or newer"):
        migrate(server.urls.owner)


def test_the_owner_is_no_role_for_the_application(server: Server) -> None:
    with pytest.raises(StoreError, match="owns the tables"):
        migrate(server.urls.owner, app_role="rerankd_owner")


def test_a_role_that_bypasses_row_level_security_is_refused(server: Server) -> None:
    with pytest.raises(StoreError, match="NOSUPERUSER NOBYPASSRLS"):
        migrate(server.urls.owner, app_role="postgres")


def test_a_role_that_is_missing_is_made_or_its_command_is_named(server: Server) -> None:
    urls = server.database(migrated=False)
    with pytest.raises(StoreError, match='CREATE ROLE "some one" LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD'):
        migrate(urls.owner, app_role="some one")
    assert schema_version(urls.owner) is None
    migrate(server.superuser(database_of(urls.owner)), app_role="some one")
    assert run(urls.owner, "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = 'some one'") == [
        (False, False)
    ]


def test_an_error_repeats_neither_the_password_nor_a_value(server: Server) -> None:
    with pytest.raises(StoreError) as refused:
        migrate("postgresql://owner:s3cret@/nowhere?host=/nonexistent")
    assert "s3cret" not in str(refused.value)
    with pytest.raises(StoreError) as refused:
        role_of("postgresql://owner:s3cret@[")
    assert "s3cret" not in str(refused.value)
    assert role_of("postgresql://somebody@host/db") == "somebody"
    assert role_of(None) is None


@pytest.mark.parametrize("partitions", [0, 4])
def test_every_table_and_partition_is_protected_and_vectors_never_leave_their_row(
    server: Server, partitions: int
) -> None:
    """Row-level security enabled and forced; the storage of vectors is PLAIN, so that none is TOASTed."""
    urls = server.database(partitions=partitions)
    tables = run(
        urls.owner,
        "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class"
        " WHERE relname LIKE 'memory\\_%' AND relkind IN ('r', 'p') AND relname <> 'memory_schema'",
    )
    assert {name for name, *_ in tables} >= set(TABLES)
    assert len(tables) == len(TABLES) + partitions
    assert all(enabled and forced for _, enabled, forced in tables)
    storage = run(
        urls.owner,
        "SELECT attname, attstorage::text FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid"
        " WHERE relname LIKE 'memory\\_chunks%' AND relkind IN ('r', 'p')"
        " AND attname IN ('embedding', 'vector_cipher')",
    )
    assert sorted(set(storage)) == [("embedding", "p"), ("vector_cipher", "p")]
    assert len(storage) == 2 * (1 + partitions)


def test_the_number_of_partitions_cannot_change_later(server: Server) -> None:
    urls = server.database(partitions=2)
    assert migrate(urls.owner).partitions == 2
    with pytest.raises(StoreError, match=r"partitions: .* has 2 and keeps them"):
        migrate(urls.owner, partitions=8)
    with pytest.raises(StoreError, match="from 0 to"):
        migrate(urls.owner, partitions=-1)


def test_the_roles_may_do_what_they_need_and_no_more(server: Server) -> None:
    """The application may change no memory and no key, and empty no table; nobody else may do anything."""
    may = {
        (role, table): set(granted or ())
        for role, table, granted in run(
            server.urls.owner,
            "SELECT r.rolname, c.relname, array_agg(a.privilege_type)"
            " FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee"
            " WHERE c.relname LIKE 'memory\\_%' AND c.relkind IN ('r', 'p') AND r.rolname <> 'rerankd_owner'"
            " GROUP BY 1, 2",
        )
    }
    assert may == {
        ("rerankd_app", "memory_users"): {"SELECT", "INSERT", "DELETE"},
        ("rerankd_app", "memory_chunks"): {"SELECT", "INSERT", "DELETE"},
        ("rerankd_app", "memory_epochs"): {"SELECT", "INSERT"},
        ("rerankd_app", "memory_schema"): {"SELECT"},
        ("rerankd_maintain", "memory_users"): {"SELECT", "UPDATE", *vacuum(server)},
        ("rerankd_maintain", "memory_chunks"): {"SELECT", "UPDATE", *vacuum(server)},
        ("rerankd_maintain", "memory_epochs"): {"SELECT", "INSERT", "UPDATE"},
        ("rerankd_maintain", "memory_schema"): {"SELECT"},
    }
    public = run(
        server.urls.owner,
        "SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a"
        " WHERE c.relname LIKE 'memory\\_%' AND a.grantee = 0",
    )
    assert public == [(0,)]


def vacuum(server: Server) -> set[str]:
    """Before PostgreSQL 17 only the owner can be allowed to vacuum."""
    [(number,)] = run(server.urls.owner, "SELECT current_setting('server_version_num')::int")
    return {"MAINTAIN"} if int(str(number)) >= 170_000 else set()


def test_no_row_can_belong_to_a_tenant_without_the_form_of_one(server: Server) -> None:
    """Said by the tables themselves, so that not even whoever bypasses the policies can write one."""
    urls = server.database()
    admin = server.superuser(database_of(urls.owner))
    for bad in ("", "x", "A" * 64):
        for insert in (
            "INSERT INTO memory_users (user_hash, subject, pepper_id, sealed_user_id, wrapped_key, key_id,"
            f" embedder, vectors) VALUES ('{bad}', gen_random_uuid(), '', '', '', '', '', 'plain')",
            "SET session_replication_role = replica; INSERT INTO memory_chunks"  # without the reference
            " (user_hash, subject, text_cipher, meta_cipher, vector_cipher)"
            f" VALUES ('{bad}', gen_random_uuid(), '', '', '')",
        ):
            with pytest.raises(psycopg.errors.CheckViolation):
                run(admin, insert)


def test_the_application_cannot_change_what_is_in_force(server: Server) -> None:
    """It has to lock the row, which asks for the right to update; the policy lets no update through."""
    urls = server.database()
    run(urls.app, "INSERT INTO memory_epochs (kind, id) VALUES ('key', 'one')")
    assert run(urls.app, "SELECT id FROM memory_epochs FOR SHARE") == [("one",)]
    for change in ("UPDATE memory_epochs SET since = now()", "DELETE FROM memory_epochs"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            run(urls.app, change)
