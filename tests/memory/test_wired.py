"""The memory as it is put together for use: a real database, the carried embedder, keys in files."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import rerankd
import rerankd.memory
from rerankd.core.secret import Secret
from rerankd.errors import BackendError, ConfigError, SealError, StoreError
from rerankd.memory.memory import Memory
from rerankd.memory.policy import MemoryPolicy, StorePolicy
from rerankd.memory.store.embedded import Urls
from rerankd.memory.types import VectorMode
from rerankd.settings import Settings
from rerankd.testing import fake_reranker
from rerankd.wiring import build_memory, open_memory
from tests.memory.database import Server

pytestmark = [pytest.mark.model, pytest.mark.threads]

TEXTS = [
    "In May I moved to Lisbon, into a flat near the river.",
    "My dog Bruno hates thunderstorms.",
    "The dentist wants to see me again in autumn.",
    "I am allergic to peanuts, since I was a child.",
    "We are planning to visit Japan next spring.",
]


def settings(urls: Urls, folder: Path, **store: Any) -> Settings:
    policy = StorePolicy(url=urls.app, maintain_url=urls.maintain, **store)
    return Settings(data_dir=folder, store=policy)


@asynccontextmanager
async def opened(chosen: Settings) -> AsyncIterator[Memory]:
    with fake_reranker() as reranker:
        async with build_memory(chosen, reranker) as memory:
            yield memory


@pytest.fixture(scope="module")
def urls(server: Server) -> Urls:
    return server.database()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


async def test_both_modes_find_the_same_by_meaning_and_apart_by_user(urls: Urls, folder: Path) -> None:
    found: dict[VectorMode, Any] = {}
    modes: tuple[VectorMode, ...] = ("plain", "sealed")
    for mode in modes:
        async with opened(settings(urls, folder, vectors=mode, tenant=mode)) as memory:
            await memory.add(TEXTS, user_id="ada")
            await memory.add(["I live in Oslo."], user_id="bob")
            found[mode] = [
                [
                    (str(chunk.text), round(chunk.retrieval_score, 3), chunk.retrieval_rank)
                    for chunk in await memory.query(query, user_id="ada", budget_ms=None)
                ]
                for query in ("Which city did I move to?", "What food must I avoid?", "Do I have a pet?")
            ]
    assert found["plain"] == found["sealed"]
    nearest = [min(answer, key=lambda chunk: chunk[2])[0] for answer in found["plain"]]
    assert nearest == [TEXTS[0], TEXTS[3], TEXTS[1]]
    assert all(len(answer) == len(TEXTS) for answer in found["plain"])


@pytest.mark.parametrize("mode", ["plain", "sealed"])
async def test_nobody_s_calls_fail_while_keys_and_peppers_rotate_and_modes_change(
    server: Server, tmp_path: Path, mode: VectorMode
) -> None:
    urls = server.database()
    users = [f"user {number}" for number in range(6)]
    other: VectorMode = "sealed" if mode == "plain" else "plain"
    async with (
        opened(settings(urls, tmp_path, vectors=mode)) as here,
        opened(settings(urls, tmp_path, vectors=other)) as there,
    ):
        for user in users:
            await here.add([f"memory of {user}"], user_id=user)
        stop = asyncio.Event()
        calls = 0

        async def use(memory: Memory, mine: list[str]) -> None:
            nonlocal calls
            while not stop.is_set():
                for user in mine:
                    recall = await memory.query("memory", user_id=user, budget_ms=None)
                    assert f"memory of {user}" in [str(chunk.text) for chunk in recall]
                    if calls % 5 == 0:
                        await memory.add(["more"], user_id=user)
                    calls += 1

        tasks = [asyncio.create_task(use(here, users[::2])), asyncio.create_task(use(there, users[1::2]))]
        for _ in range(2):
            await there.rotate_keys()
            await here.rotate_pepper()
            await there.reembed()
        stop.set()
        await asyncio.gather(*tasks)
        assert calls > 0
        assert sorted(os.listdir(tmp_path / "keys" / "database")) == ["key-3", "pepper-3"]


async def test_a_key_that_is_lost_is_an_error_when_the_memory_is_opened(
    server: Server, tmp_path: Path
) -> None:
    chosen = settings(server.database(), tmp_path)
    async with opened(chosen) as memory:
        await memory.add(TEXTS[:1], user_id="ada")
    (tmp_path / "keys" / "database" / "key-1").unlink()
    with pytest.raises(SealError, match="restore it from a backup"):
        async with opened(chosen):
            raise AssertionError
    assert not (tmp_path / "keys" / "database" / "key-1").exists(), "none is made in its place"


async def test_without_a_database_the_error_is_in_time_and_names_the_remedy(tmp_path: Path) -> None:
    url = Secret("postgresql://nobody@127.0.0.1:9/none")
    chosen = Settings(
        data_dir=tmp_path, store=StorePolicy(url=url, connect_timeout_ms=300, statement_timeout_ms=300)
    )
    with pytest.raises(StoreError):
        async with opened(chosen):
            raise AssertionError


async def test_without_the_maintaining_role_rotation_names_its_setting(urls: Urls, folder: Path) -> None:
    chosen = settings(urls, folder)
    async with opened(replace(chosen, store=replace(chosen.store, maintain_url=None))) as memory:
        with pytest.raises(StoreError, match="RERANKD_STORE_MAINTAIN_URL"):
            await memory.rotate_keys()


def test_keys_that_are_none_are_refused_by_their_setting(tmp_path: Path) -> None:
    chosen = Settings(data_dir=tmp_path, memory=MemoryPolicy(keys=Secret("1:AAAA")))
    with pytest.raises(ConfigError, match="RERANKD_MEMORY_KEYS"):
        build_memory(chosen, fake_reranker())


def test_without_the_extra_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rerankd.memory.store.postgres", None)
    with pytest.raises(BackendError, match=r"rerankd\[memory,embedded\]"):
        build_memory(Settings(data_dir=tmp_path), fake_reranker())


def test_it_opens_under_its_public_name_with_what_the_call_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANKD_DATA_DIR", str(tmp_path))
    memory = rerankd.memory.open("acme", vectors="sealed", reranker=fake_reranker())
    assert isinstance(memory, Memory)
    assert memory.tenant == "acme"
    assert memory._parts.mode == "sealed"
    assert open_memory(settings=Settings(data_dir=tmp_path), reranker=fake_reranker()).tenant == "default"
