"""Refuse to serve unless isolation is in force: what is not checked is not there some day.

The application's role must be a plain one that neither owns the tables nor may become somebody who passes by
their protection; every table and partition must have row-level security, enabled and forced; and the policies
that apply to the role must be ours, word for word, and no others: one more permissive policy opens everything.
"""

from collections.abc import Iterable
from typing import Any, Literal

from rerankd.errors import StoreError
from rerankd.memory.store.migrate import known_version
from rerankd.memory.store.pool import Connection
from rerankd.memory.store.requirements import check_extension, check_schema, check_server

__all__ = ["Role", "preflight"]

Role = Literal["app", "maintain"]

_TENANT = "(user_hash = NULLIF(current_setting('app.user_hash'::text, true), ''::text))"
_OPEN = ("true", "true")
_TABLES = ("memory_users", "memory_chunks", "memory_epochs")
_OF_TENANTS = ("memory_users", "memory_chunks")
_POLICIES: dict[Role, set[tuple[str, str, str | None, str | None]]] = {
    "app": {
        ("memory_users", "*", _TENANT, _TENANT),
        ("memory_chunks", "*", _TENANT, _TENANT),
        ("memory_epochs", "r", "true", None),
        ("memory_epochs", "a", None, "true"),
        ("memory_epochs", "w", "true", "false"),
    },
}
_POLICIES["maintain"] = _POLICIES["app"] | {(table, "*", *_OPEN) for table in _TABLES}
"""Table, command, USING and WITH CHECK, as PostgreSQL writes them."""

_WHO = """
    SELECT r.rolname,
           r.rolsuper OR EXISTS (SELECT FROM pg_roles a WHERE a.rolsuper AND pg_has_role(r.oid, a.oid, 'MEMBER')),
           r.rolbypassrls OR EXISTS (
               SELECT FROM pg_roles a WHERE a.rolbypassrls AND pg_has_role(r.oid, a.oid, 'MEMBER'))
    FROM pg_roles r WHERE r.rolname IN (current_user, session_user)"""
_PROTECTION = """
    SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
           pg_has_role(c.relowner, 'MEMBER') OR pg_has_role(session_user, c.relowner, 'MEMBER'),
           has_table_privilege(c.oid, 'TRUNCATE') OR has_table_privilege(c.oid, 'TRIGGER')
    FROM pg_class c
    WHERE c.oid = ANY (%(tables)s::regclass[])
       OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = ANY (%(tables)s::regclass[]))
    ORDER BY c.relname"""
_APPLYING = """
    SELECT c.relname, p.polcmd::text, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
    WHERE p.polpermissive
      AND (p.polrelid = ANY (%(tables)s::regclass[])
           OR p.polrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = ANY (%(tables)s::regclass[])))
      AND EXISTS (SELECT FROM unnest(p.polroles) AS named (oid)
                  WHERE named.oid = 0 OR pg_has_role(named.oid, 'MEMBER')
                     OR pg_has_role(session_user, named.oid, 'MEMBER'))"""


async def preflight(connection: Connection, role: Role) -> None:
    """Raises `StoreError` naming what is wrong and the remedy. Runs in a transaction without a tenant."""
    check_server(connection.info.server_version)
    [(installed, available, ledger)] = await _all(
        connection,
        "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
        " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),"
        " to_regclass('memory_schema')::text",
    )
    check_extension(installed, available)
    known = known_version()
    if ledger is None:
        check_schema(None, known)
    [(version,)] = await _all(connection, "SELECT max(version) FROM memory_schema")
    check_schema(version, known)
    _check_role(await _all(connection, _WHO))
    _check_protection(await _all(connection, _PROTECTION))
    found = {tuple(row) for row in await _all(connection, _APPLYING)}
    if found != _POLICIES[role]:
        names = sorted({str(row[0]) for row in found ^ _POLICIES[role]})
        raise StoreError(
            f"the row-level security policies of {', '.join(names)} are not the memory's own for this role:"
            " one is missing, changed or too many. Drop what is foreign, and run `rerankd memory migrate`"
        )
    if role == "app":
        await _check_nothing_is_seen(connection)


def _check_role(found: Iterable[tuple[Any, ...]]) -> None:
    for name, superuser, bypasses in found:
        if superuser or bypasses:
            what = "is a superuser" if superuser else "bypasses row-level security"
            raise StoreError(
                f"the role {name} {what}, or may become somebody who does, and would see every tenant:"
                " connect as a plain role (NOSUPERUSER NOBYPASSRLS), as `rerankd memory migrate` makes one"
            )


def _check_protection(found: Iterable[tuple[Any, ...]]) -> None:
    for table, enabled, forced, owns, empties in found:
        if owns:
            raise StoreError(
                f"this role owns {table}, or may become its owner, who can switch its protection off:"
                " connect as the plain role that `rerankd memory migrate` was run for"
            )
        if not enabled or not forced:
            how = "FORCE" if enabled else "ENABLE"
            raise StoreError(
                f"row-level security is not in force on {table}:"
                f" as its owner run ALTER TABLE {table} {how} ROW LEVEL SECURITY"
            )
        if empties:
            raise StoreError(
                f"this role may TRUNCATE {table} or put triggers on it, which no policy holds back:"
                " as its owner run `rerankd memory migrate`"
            )


async def _check_nothing_is_seen(connection: Connection) -> None:
    """By what happens, too: where no tenant is set there is nothing to see."""
    [(tenant, *seen)] = await _all(
        connection,
        "SELECT current_setting('app.user_hash', true), "
        + ", ".join(f"EXISTS (SELECT FROM {table})" for table in _OF_TENANTS),
    )
    if tenant:
        raise StoreError(
            "app.user_hash is set outside a transaction, for this role, database or pooled connection:"
            " ALTER ROLE ... RESET app.user_hash, and reset connections of the pooler"
        )
    if any(seen):
        raise StoreError(
            "rows are visible although no tenant is set: run `rerankd memory migrate` as the owner"
        )


async def _all(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    # no parameters where there are none: a % in the text would be taken for one
    names = {"tables": list(_TABLES)} if "%(tables)s" in query else None
    cursor = await connection.execute(query.encode(), names)
    return await cursor.fetchall()
