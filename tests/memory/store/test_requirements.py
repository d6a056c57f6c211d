"""What a database must be, by its versions alone."""

import pytest

from rerankd.errors import StoreError
from rerankd.memory.store.requirements import check_extension, check_schema, check_server, parse_version


def test_versions_are_read_by_their_leading_numbers() -> None:
    assert parse_version("0.8.2") == (0, 8, 2)
    assert parse_version("0.10.0") > parse_version("0.8.2")
    assert parse_version("0.9.0-rc1") == (0, 9, 0)
    assert parse_version("unknown") == ()


def test_a_server_older_than_15_is_refused_with_the_remedy() -> None:
    check_server(150_000)
    check_server(180_004)
    with pytest.raises(StoreError, match=r"PostgreSQL 14; .* 15 or newer: upgrade the server"):
        check_server(140_012)


@pytest.mark.parametrize(
    ("installed", "available", "remedy"),
    [
        (None, None, "install pgvector 0.8.2"),
        (None, "0.8.5", "rerankd memory migrate"),
        ("0.8.1", "0.8.5", "ALTER EXTENSION vector UPDATE"),
        ("0.7.4", None, "0.8.2 or newer"),
    ],
)
def test_an_extension_that_is_missing_or_old_is_refused_with_the_remedy(
    installed: str | None, available: str | None, remedy: str
) -> None:
    with pytest.raises(StoreError, match=remedy):
        check_extension(installed, available)


def test_an_extension_that_is_new_enough_will_do() -> None:
    for version in ("0.8.2", "0.8.5", "0.10.0", "1.0"):
        check_extension(version, None)


@pytest.mark.parametrize(
    ("version", "remedy"), [(None, "memory migrate"), (1, "memory migrate"), (3, "upgrade rerankd")]
)
def test_a_schema_of_another_version_is_refused_with_the_remedy(version: int | None, remedy: str) -> None:
    check_schema(2, 2)
    with pytest.raises(StoreError, match=remedy):
        check_schema(version, 2)
