"""A chat's long-term memory on PostgreSQL: sealed, isolated per user, exact, and reranked within one deadline.

    async with rerankd.memory.open(tenant="default", vectors="plain") as memory:
        await memory.add(["I moved to Lisbon in May."], user_id="ada")
        recall = await memory.query("Where do I live?", user_id="ada")

Needs the `memory` extra, and the `embedded` one where it is to bring its own database and embedder.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from rerankd.core.ports import Observer
    from rerankd.memory.memory import Memory
    from rerankd.memory.types import VectorMode
    from rerankd.reranker import Reranker

__all__ = ["open"]


def open(
    tenant: str | None = None,
    vectors: "VectorMode | None" = None,
    *,
    settings: object = None,
    reranker: "Reranker | None" = None,
    observers: "Sequence[Observer]" = (),
) -> "Memory":
    """A memory from the environment's settings; use it as an async context manager.

    `tenant`: whose memories these are, instead of `RERANKD_STORE_TENANT`. `vectors`: `plain` or `sealed`,
    instead of `RERANKD_STORE_VECTORS`. `settings`: a `Settings`, instead of the environment's. `reranker`: one
    that is in use already; without it the memory has one of its own.

    Without `DATABASE_URL` it starts a PostgreSQL of its own in the data folder. Raises `ConfigError` for a
    wrong setting, naming it; entering the context raises `StoreError`, `SealError` or `BackendError`, naming the
    remedy.
    """
    # by name: what knows all the parts stands above this layer
    made = import_module("rerankd.wiring").open_memory(
        tenant, vectors, settings=settings, reranker=reranker, observers=observers
    )
    return cast("Memory", made)
