"""`src.memory.query`: the host's names, over the same memory, the same reranker and the same isolation."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import src.memory.query
from src.memory import rerank
from src.memory.query import (
    MemoryChunk,
    close_memory,
    get_connection,
    get_memory,
    hmac_user,
    open_sealed,
    query_memory,
    seal,
    set_rls_context,
)

from rerankd.errors import InvalidRequest, SealError, StoreError
from rerankd.memory.store.embedded import Urls
from tests.memory.database import Server

pytestmark = [pytest.mark.model, pytest.mark.threads]

TEXTS = ["In May I moved to Lisbon.", "My dog Bruno hates thunder.", "I am allergic to peanuts."]


class Encoder:
    """A host's own cross-encoder: likes texts with `word` in them."""

    def __init__(self, word: str) -> None:
        self.word = word

    def predict(self, pairs: Any, **_: Any) -> list[float]:
        return [float(self.word in text) for _, text in pairs]


@pytest.fixture(scope="module")
def urls(server: Server) -> Urls:
    return server.database()


@pytest.fixture(autouse=True)
async def _memory(
    urls: Urls, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[None]:
    folder = tmp_path_factory.getbasetemp() / "query"
    monkeypatch.setenv("RERANKD_DATA_DIR", str(folder))
    monkeypatch.setenv("DATABASE_URL", urls.app)
    monkeypatch.setenv("RERANK_CIRCUIT_MS", "5000")
    monkeypatch.setenv("RERANKD_MEMORY_BUDGET_MS", "5000")
    encoder = Encoder("dog")
    monkeypatch.setattr(rerank, "get_cross_encoder", lambda: encoder)
    yield
    await close_memory()


@pytest.fixture
async def ada() -> str:
    memory = await get_memory()
    await memory.erase_user(user_id="ada")
    await memory.add(TEXTS, user_id="ada", metadata={"kind": "chat"})
    return "ada"


async def test_it_gives_a_plain_list_in_the_order_of_the_host_s_reranker(ada: str) -> None:
    found = await query_memory("Where do I live?", ada)
    assert type(found) is list
    assert all(type(chunk) is MemoryChunk for chunk in found)
    first = found[0]
    assert (str(first.text), first.metadata, first.score) == (TEXTS[1], {"kind": "chat"}, 0.7310585786300049)
    assert isinstance(first.id, UUID)
    assert len(await query_memory("Where do I live?", ada, top_k_ann=2, top_k_reranked=1)) == 1


async def test_another_user_finds_nothing(ada: str) -> None:
    assert await query_memory("Where do I live?", "bob") == []


async def test_what_is_switched_off_or_broken_costs_the_order_only(
    ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANK_ENABLED", "false")
    found = await query_memory("Which city did I move to?", ada)
    assert str(found[0].text) == TEXTS[0]
    assert [chunk.score for chunk in found] == [None] * 3
    monkeypatch.delenv("RERANK_ENABLED")

    def broken() -> None:
        raise RuntimeError

    monkeypatch.setattr(rerank, "get_cross_encoder", broken)
    assert len(await query_memory("Which city did I move to?", ada)) == 3


async def test_wrong_arguments_and_a_missing_database_are_errors(
    ada: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequest, match="user_id"):
        await query_memory("x", "")
    with pytest.raises(InvalidRequest, match="query"):
        await query_memory("", ada)
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:hidden@127.0.0.1:9/none")
    monkeypatch.setenv("RERANKD_STORE_CONNECT_TIMEOUT_MS", "300")
    monkeypatch.setenv("RERANKD_STORE_STATEMENT_TIMEOUT_MS", "300")
    with pytest.raises(StoreError):
        await query_memory("x", ada)
    with pytest.raises(StoreError) as caught:
        async with get_connection():
            raise AssertionError
    assert "hidden" not in str(caught.value)


async def test_the_memory_is_opened_once_for_a_loop() -> None:
    assert await get_memory() is await get_memory()
    await close_memory()
    await close_memory()


async def test_a_connection_takes_numbered_placeholders_and_sees_one_user_at_a_time(ada: str) -> None:
    user_hash = hmac_user(ada)
    assert re.fullmatch("[0-9a-f]{64}", user_hash)
    async with get_connection() as connection:
        assert await connection.fetch("SELECT $1::int + $2::int AS sum", 1, 2) == [{"sum": 3}]
        assert await connection.fetchrow("SELECT 1 AS one WHERE false") is None
        assert await connection.fetch("SELECT id FROM memory_chunks") == []
        async with set_rls_context(connection, ada):
            rows = await connection.fetch(
                """
                SELECT id, embedding, text_cipher, meta_cipher, created_at
                FROM memory_chunks
                WHERE user_hash = $1 AND embedding IS NOT NULL
                ORDER BY embedding <-> $2::vector
                LIMIT 2
                """,
                user_hash,
                np.ones(384, np.float32),
            )
            assert len(rows) == 2
            assert set(rows[0]) == {"id", "embedding", "text_cipher", "meta_cipher", "created_at"}
        async with set_rls_context(connection, "bob"):
            assert await connection.fetch("SELECT id FROM memory_chunks") == []
            assert await connection.execute("DELETE FROM memory_chunks WHERE user_hash = $1", user_hash) == 0
        assert await connection.fetch("SELECT id FROM memory_chunks") == []


async def test_what_the_memory_seals_does_not_open_with_the_host_s_primitive(ada: str) -> None:
    async with get_connection() as connection, set_rls_context(connection, ada):
        (row, *_) = await connection.fetch("SELECT text_cipher FROM memory_chunks")
    with pytest.raises(SealError):
        open_sealed(row["text_cipher"], aad=hmac_user(ada).encode())


def test_sealed_bytes_open_with_the_same_additional_data_only() -> None:
    sealed = seal(json.dumps({"a": 1}).encode(), aad=b"ada")
    assert json.loads(open_sealed(sealed, aad=b"ada")) == {"a": 1}
    for forged, aad in (
        (sealed, b"bob"),
        (sealed, b""),
        (sealed[:-1], b"ada"),
        (b"", b"ada"),
        (b"\x01" * 60, b"ada"),
    ):
        with pytest.raises(SealError):
            open_sealed(forged, aad=aad)


def test_the_module_is_the_one_behind_it() -> None:
    import rerankd.compat_memory

    assert src.memory.query is rerankd.compat_memory
    assert Path(rerankd.compat_memory.__file__).name == "compat_memory.py"
