"""The memory as `rerankd serve --memory` serves it: the embedded database, the carried models, the scorer in a
process of its own."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from rerankd.errors import BackendError, ConfigError
from rerankd.http.keyfile import KeyFile
from rerankd.http.policy import HttpPolicy
from rerankd.memory.policy import MemoryPolicy
from rerankd.settings import Settings
from rerankd.wiring import build_service, keys_path

pytest.importorskip("psycopg")

TEXTS = [
    "In May I moved to Lisbon, into a flat near the river.",
    "My dog Bruno hates thunderstorms.",
    "I am allergic to peanuts, since I was a child.",
]


@pytest.fixture
def settings() -> Iterator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="rerankd-test-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)  # as root the database is another user
    try:
        yield Settings(
            data_dir=folder,
            http=HttpPolicy(listen_port=0, memory=True),
            memory=MemoryPolicy(budget_ms=10_000),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.model
@pytest.mark.threads
async def test_memories_are_kept_found_reranked_and_apart(settings: Settings) -> None:
    file = KeyFile(keys_path(settings))
    mine, theirs = (file.create(name, [f"memory:{name}"], "d")[1] for name in ("acme", "other"))
    service = build_service(settings)
    listening = asyncio.Event()
    running = asyncio.create_task(service.run(lambda server: listening.set()))
    await listening.wait()
    try:
        url = f"http://127.0.0.1:{service.server.port}"
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:

            async def post(call: str, key: str, **body: object) -> httpx.Response:
                headers = {"authorization": f"Bearer {key}"}
                return await client.post(
                    f"/api/v1/memory/{call}", json={"user_id": "ada", **body}, headers=headers
                )

            assert (await client.get("/health")).status_code == 200, "it listens before the memory is open"
            while (await client.get("/api/v1/status")).json()["memory"] != "ready":
                await asyncio.sleep(0.05)
            while (await client.get("/ready")).status_code != 200:
                await asyncio.sleep(0.05)
            first = {"text": TEXTS[0], "created_at": "2026-05-02T10:00:00+02:00", "metadata": {"n": 1}}
            added = await post("add", mine, memories=[first, *TEXTS[1:]])
            assert len(added.json()["ids"]) == 3, added.text
            found = (await post("query", mine, query="Which city do I live in?", budget_ms=10_000)).json()
            assert found["outcome"] == "reranked", found
            best = found["results"][0]
            assert (best["text"], best["metadata"]) == (TEXTS[0], {"n": 1})
            assert best["created_at"].startswith("2026-05-02T08:00:00")
            assert found["timings_ms"]["embed"] > 0
            # the same user id under another tenant is another user
            assert (await post("query", theirs, query="Which city do I live in?")).json()["results"] == []
            late = await post("query", mine, query="Which city do I live in?", budget_ms=0)
            assert (late.status_code, late.json()["error"]["type"]) == (503, "embedder_error")
            erased = (await post("erase", mine)).json()
            assert (erased["rows"], erased["known"]) == (3, True)
            assert (await post("query", mine, query="Where?")).json()["results"] == []
    finally:
        service.server.stop()
        await asyncio.wait_for(running, 60)
    assert not (settings.data_dir / "postgres" / "data" / "postmaster.pid").exists()


def test_a_wrong_setting_stops_the_start(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(settings, memory=MemoryPolicy(keys="1:AAAA"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="RERANKD_MEMORY_KEYS"):
        build_service(wrong)
    monkeypatch.setitem(__import__("sys").modules, "rerankd.memory.store.postgres", None)
    with pytest.raises(BackendError, match=r"rerankd\[memory,embedded\]"):
        build_service(settings)


def test_some_of_each_budget_is_kept_for_the_way_of_an_answer(settings: Settings) -> None:
    reranks = replace(settings.rerank, guard_ms=2.0)
    served = replace(
        settings, rerank=reranks, http=replace(settings.http, memory=False, answer_ms=6.0, isolated=False)
    )
    service = build_service(served)
    assert service.reranker.policy.guard_ms == 8.0
    service.reranker.close()
