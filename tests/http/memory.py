"""A service with a memory of fakes, and keys of several tenants, spoken to without a socket."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from rerankd.core.ports import Observer
from rerankd.core.request import RerankPolicy
from rerankd.core.types import Pair
from rerankd.http.access import KeyAccess
from rerankd.http.app import create_app
from rerankd.http.keyfile import KeyFile
from rerankd.http.memory.opening import ServedMemory
from rerankd.http.policy import HttpPolicy
from rerankd.memory.memory import Memory
from rerankd.memory.policy import MemoryPolicy
from rerankd.memory.testing import FakeEmbedder, InMemoryEpochs, InMemoryStore, fake_memory
from rerankd.testing import fake_reranker, word_overlap

SCOPES = {
    "acme": ("memory:acme",),
    "other": ("memory:other",),
    "ada": ("memory:acme/ada",),
    "rerank": ("rerank",),
    "both": ("memory:acme", "memory:other"),
}


class Kept:
    """A running service, and what its memory is made of."""

    def __init__(self, client: httpx.AsyncClient, store: InMemoryStore, keys: dict[str, str]) -> None:
        self.client = client
        self.store = store
        self.keys = keys
        self.embedder = FakeEmbedder()
        self.epochs = InMemoryEpochs("key")

    async def post(self, call: str, body: Any, *, key: str | None = "acme", **headers: str) -> httpx.Response:
        if key is not None:
            headers["authorization"] = f"Bearer {self.keys.get(key, key)}"
        return await self.client.post(f"/api/v1/memory/{call}", json=body, headers=headers)

    async def added(self, texts: Sequence[Any], *, user: str = "ada", key: str = "acme") -> list[str]:
        answer = await self.post("add", {"user_id": user, "memories": list(texts)}, key=key)
        assert answer.status_code == 200, answer.text
        ids: list[str] = answer.json()["ids"]
        return ids

    async def recalled(self, query: str, *, user: str = "ada", key: str = "acme", **body: Any) -> list[str]:
        answer = await self.post("query", {"user_id": user, "query": query, **body}, key=key)
        assert answer.status_code == 200, answer.text
        return [each["text"] for each in answer.json()["results"]]


@asynccontextmanager
async def memory_service(
    folder: Path,
    scorer: Callable[[Pair], Any] = word_overlap,
    *,
    observers: Sequence[Observer] = (),
    policy: HttpPolicy | None = None,
    on: bool = True,
    make: Callable[[Kept], Memory] | None = None,
    anybody: bool = False,
) -> AsyncIterator[Kept]:
    """`make`: what makes the memory. `anybody`: as on loopback."""
    limits = policy or HttpPolicy()
    reranker = fake_reranker(scorer, policy=RerankPolicy(budget_ms=10_000), observers=observers)
    file = KeyFile(folder / "keys.json")
    keys = {name: file.create(name, scopes, "d")[1] for name, scopes in SCOPES.items()}
    kept = Kept(httpx.AsyncClient(), InMemoryStore(), keys)
    await kept.client.aclose()

    def made() -> Memory:
        return fake_memory(
            kept.store,
            keys=kept.epochs,
            embedder=kept.embedder,
            reranker=reranker,
            owns_reranker=False,
            policy=MemoryPolicy(budget_ms=10_000),
            observers=observers,
        )

    memory = ServedMemory(made if make is None else lambda: make(kept), retry_ms=20) if on else None
    app = create_app(
        reranker,
        policy=limits,
        access=KeyAccess(file, limits, reranker.clock, anybody=anybody),
        memory=memory,
    )
    transport = httpx.ASGITransport(app=app)
    async with reranker, httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        kept.client = client
        client.app = app  # type: ignore[attr-defined]
        if memory is None:
            yield kept
            return
        async with memory:
            if make is None:
                await memory._opening  # type: ignore[misc]
            yield kept
