"""What callers of the memory write, checked by mypy and never run."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import assert_type
from uuid import UUID

import rerankd.memory
from rerankd.core.types import Outcome
from rerankd.memory.memory import Memory
from rerankd.memory.types import Erasure, MemoryChunk, Recall


async def use(texts: list[str]) -> list[str]:
    async with rerankd.memory.open(tenant="default", vectors="sealed") as memory:
        assert_type(memory, Memory)
        ids = await memory.add(texts, user_id="ada", metadata={"kind": "chat"}, created_at=datetime.now(UTC))
        assert_type(ids, list[UUID])
        await memory.add(texts, user_id="ada", metadata=[{"n": 1}, None], progress=lambda done, total: None)
        recall = await memory.query("a question", user_id="ada", budget_ms=None, metadata={"kind": "chat"})
        assert_type(recall, Recall)
        assert_type(recall[0], MemoryChunk)
        assert_type(recall[:3], Sequence[MemoryChunk])
        assert_type(recall.outcome, Outcome)
        assert_type(await memory.delete([*ids, str(ids[0])], user_id="ada"), int)
        assert_type(await memory.erase_user(user_id="ada", rotate=True), Erasure)
        return [chunk.text async for chunk in memory.export_user(user_id="ada")]
