"""Bringing a database to the memory's schema: numbered steps, forward only, each all or nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from rerankd.errors import StoreError
from rerankd.memory.store.requirements import check_extension, check_schema, check_server

__all__ = [
    "APP_ROLE",
    "MAINTAIN_ROLE",
    "MOST_PARTITIONS",
    "Migrated",
    "known_version",
    "migrate",
    "role_of",
    "schema_version",
]

APP_ROLE = "rerankd_app"
MAINTAIN_ROLE = "rerankd_maintain"
MOST_PARTITIONS = 1_024
_LOCK = 0x72657261  # one migration at a time in a database
_MAINTAIN_SINCE = 170_000
"""From this version others than the owner can be allowed to vacuum."""
_LEDGER = """
    CREATE TABLE IF NOT EXISTS memory_schema (
        version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()
    )"""

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """What a migration did."""

    before: int
    """The schema's version before; 0: there was none."""
    after: int
    applied: tuple[str, ...]
    """The names of the steps that were taken."""
    partitions: int
    """Into how many the table of memories is split; 0: it is not."""


def known_version() -> int:
    """The version of the schema that this release knows."""
    return max(_steps())


def schema_version(owner_url: str, *, connect_timeout_s: float = 5.0) -> int | None:
    """The version of the schema in the database; None: there is none. Raises `StoreError`."""
    try:
        with psycopg.connect(owner_url, connect_timeout=max(2, round(connect_timeout_s))) as connection:
            if _one(connection, "SELECT to_regclass('memory_schema')") is None:
                return None
            version: int | None = _one(connection, "SELECT max(version) FROM memory_schema")
            return version
    except psycopg.Error as error:
        raise StoreError(f"reading the schema's version failed: {_say(error)}") from None


def role_of(url: str | None) -> str | None:
    """The role that a database URL names; None where it names none. Raises `StoreError` for what is no URL."""
    if not url:
        return None
    try:
        user = conninfo_to_dict(url).get("user")
    except psycopg.ProgrammingError:
        # the parser's own message repeats the URL, and with it the password
        raise StoreError(
            "a database URL cannot be read: postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None
    return str(user) if user else None


def migrate(
    owner_url: str,
    *,
    app_role: str = APP_ROLE,
    maintain_role: str = MAINTAIN_ROLE,
    partitions: int | None = None,
    connect_timeout_s: float = 5.0,
) -> Migrated:
    """Apply the steps that are missing, and the grants anew; everything or nothing.

    `partitions`: split the table of memories by hash of the user, which helps vacuuming and very many users;
    0 or None: do not. Can only be chosen when the table is made. Roles that do not exist are made where the
    owner may make roles. Raises `StoreError` naming the remedy: too old a server, no pgvector, a newer schema.
    """
    if partitions is not None and not 0 <= partitions <= MOST_PARTITIONS:
        raise StoreError(f"partitions: must be from 0 to {MOST_PARTITIONS}, got {partitions}")
    try:
        with psycopg.connect(owner_url, connect_timeout=max(2, round(connect_timeout_s))) as connection:
            return _migrate(connection, app_role, maintain_role, partitions)
    except psycopg.Error as error:
        raise StoreError(f"migrating failed: {_say(error)}") from None


def _migrate(connection: Connection, app: str, maintain: str, partitions: int | None) -> Migrated:
    check_server(connection.info.server_version)
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    _make_extension(connection)
    owner = _one(connection, "SELECT current_user")
    for role in (app, maintain):
        _make_role(connection, role, owner)
    connection.execute(_LEDGER)
    before = _one(connection, "SELECT max(version) FROM memory_schema") or 0
    steps = _steps()
    if before > max(steps):
        check_schema(before, max(steps))
    names = {
        "app": sql.Identifier(app).as_string(connection),
        "maintain": sql.Identifier(maintain).as_string(connection),
    }
    made = before == 0
    applied = []
    for version, (name, text) in sorted(steps.items()):
        if version > before:
            plain = {"partitioning": "PARTITION BY HASH (user_hash)" if partitions else ""}
            connection.execute(_filled(text, names, plain))
            connection.execute("INSERT INTO memory_schema VALUES (%s, %s)", (version, name))
            applied.append(name)
    if made and partitions:
        _make_partitions(connection, partitions)
    there = _one(connection, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'memory_chunks'::regclass")
    if partitions is not None and partitions != there:
        raise StoreError(
            f"partitions: the table of memories has {there} and keeps them;"
            " to change that, export every user, drop the tables, and migrate again"
        )
    connection.execute(_filled(_read("grants.sql"), names, {}))
    if connection.info.server_version >= _MAINTAIN_SINCE:
        connection.execute(_filled('GRANT MAINTAIN ON memory_users, memory_chunks TO :"maintain"', names, {}))
    return Migrated(before=before, after=max(steps), applied=tuple(applied), partitions=there)


def _make_extension(connection: Connection) -> None:
    installed, available = _extension(connection)
    if installed is None and available is not None:
        try:
            with connection.transaction():
                connection.execute("CREATE EXTENSION vector")
        except errors.InsufficientPrivilege:
            raise StoreError(
                "this database has no pgvector, and its owner may not add it: as a superuser CREATE EXTENSION"
                " vector there, then run `rerankd memory migrate` again"
            ) from None
        installed, available = _extension(connection)
    check_extension(installed, available)


def _extension(connection: Connection) -> tuple[str | None, str | None]:
    row = connection.execute(
        "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
        " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _make_role(connection: Connection, role: str, owner: str) -> None:
    if role == owner:
        raise StoreError(
            f"{role} owns the tables and would pass by their protection:"
            " give DATABASE_URL and RERANKD_STORE_MAINTAIN_URL roles of their own"
        )
    found = connection.execute(
        "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", (role,)
    ).fetchone()
    make = sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS").format(sql.Identifier(role))
    if found is None:
        try:
            with connection.transaction():
                connection.execute(make)
        except errors.InsufficientPrivilege:
            command = make.as_string(connection)
            raise StoreError(
                f"there is no role {role}, and {owner} may not make one: run {command} PASSWORD '...'"
            ) from None
    elif found[0]:
        raise StoreError(
            f"the role {role} bypasses row-level security: ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS,"
            " or use a plain role"
        )


def _make_partitions(connection: Connection, count: int) -> None:
    for each in range(count):
        name = sql.Identifier(f"memory_chunks_{each:04}")
        connection.execute(
            sql.SQL(
                "CREATE TABLE {0} PARTITION OF memory_chunks FOR VALUES WITH (MODULUS {1}, REMAINDER {2})"
            ).format(name, sql.Literal(count), sql.Literal(each))
        )
        # Nobody has rights on a partition itself; should somebody be given some, no policy is no row.
        connection.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(name))
        connection.execute(sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY").format(name))


def _steps() -> dict[int, tuple[str, str]]:
    """Name and text of each numbered file, by number."""
    folder = resources.files("rerankd.memory.store") / "schema"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name[:4].isdigit())
    return {int(name[:4]): (name.removesuffix(".sql"), _read(name)) for name in names}


def _read(name: str) -> str:
    return (resources.files("rerankd.memory.store") / "schema" / name).read_text("utf-8")


def _filled(text: str, names: Mapping[str, str], plain: Mapping[str, str]) -> bytes:
    """The text with its variables filled in, as psql would: `:"name"` quoted, `:name` as it is."""
    for name, value in names.items():
        text = text.replace(f':"{name}"', value)
    for name, value in plain.items():
        text = text.replace(f":{name}", value)
    return text.encode()


def _one(connection: Connection, query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def _say(error: psycopg.Error) -> str:
    """What went wrong, without the values that details and contexts repeat."""
    primary = error.diag.message_primary
    if primary:
        return f"{primary} ({error.sqlstate})"
    return "the database cannot be reached; is it running, and is the owner's URL right?"
