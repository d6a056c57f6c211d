"""The stores that have to keep the same contract."""

from collections.abc import AsyncIterator

import pytest

from rerankd.memory.policy import StorePolicy
from rerankd.memory.store.maintenance import PostgresMaintenance
from rerankd.memory.store.postgres import PostgresStore
from tests.memory.database import Server


@pytest.fixture
async def postgres_store(server: Server) -> AsyncIterator[PostgresStore]:
    opened = PostgresStore(server.urls.app, StorePolicy(pool_max=4))
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def store(postgres_store: PostgresStore) -> PostgresStore:
    return postgres_store


@pytest.fixture
async def postgres_maintenance(server: Server) -> AsyncIterator[PostgresMaintenance]:
    opened = PostgresMaintenance(server.urls.maintain, StorePolicy(pool_max=2))
    await opened.open()
    yield opened
    await opened.close()
