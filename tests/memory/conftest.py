"""One database server for the whole run, started by the first test that asks for it."""

from collections.abc import Iterator

import pytest

pytest.importorskip("psycopg")

from tests.memory.database import Server, run_server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with run_server() as running:
        yield running
