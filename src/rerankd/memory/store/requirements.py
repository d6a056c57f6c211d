"""What a database must be before the memory touches it; each refusal names the remedy."""

from rerankd.errors import StoreError

__all__ = [
    "OLDEST_EXTENSION",
    "OLDEST_SERVER",
    "check_extension",
    "check_schema",
    "check_server",
    "parse_version",
]

OLDEST_SERVER = 15
OLDEST_EXTENSION = (0, 8, 2)


def parse_version(text: str) -> tuple[int, ...]:
    """`0.8.2-rc1` as (0, 8, 2): the leading numbers."""
    numbers: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def check_server(number: int) -> None:
    """`number` as libpq gives it: 150004 is 15.4. Raises `StoreError` when it is too old."""
    if number < OLDEST_SERVER * 10_000:
        raise StoreError(
            f"the database is PostgreSQL {number // 10_000}; the memory needs {OLDEST_SERVER} or newer:"
            " upgrade the server, or unset DATABASE_URL to use the embedded one"
        )


def check_extension(installed: str | None, available: str | None) -> None:
    """Versions of pgvector: in this database, and on the server. Raises `StoreError` unless the first will do."""
    needed = ".".join(map(str, OLDEST_EXTENSION))
    if installed is None and available is None:
        raise StoreError(
            f"the database server has no pgvector: install pgvector {needed} or newer there"
            " (its package is often called postgresql-NN-pgvector), then run `rerankd memory migrate`"
        )
    if installed is None:
        raise StoreError(
            "this database has no pgvector: run `rerankd memory migrate`,"
            " or as a superuser CREATE EXTENSION vector"
        )
    if parse_version(installed) < OLDEST_EXTENSION:
        raise StoreError(
            f"this database has pgvector {installed}; the memory needs {needed} or newer:"
            " install it on the server, then as the extension's owner ALTER EXTENSION vector UPDATE"
        )


def check_schema(version: int | None, known: int) -> None:
    """`version` of the schema in the database, None without one. Raises `StoreError` unless it is `known`."""
    if version is None:
        raise StoreError("this database has no memory yet: run `rerankd memory migrate`")
    if version > known:
        raise StoreError(
            f"the memory's schema has version {version}, and this release knows {known}:"
            " upgrade rerankd; schemas do not go back"
        )
    if version < known:
        raise StoreError(
            f"the memory's schema has version {version} and must have {known}: run `rerankd memory migrate`"
        )
