"""What a user said, asked or is called appears in the answer and nowhere else, whatever fails."""

import logging
import traceback
from typing import Any

import pytest

from rerankd.core.events import MemoryFailed, MemoryQueried, RecordsRejected
from rerankd.engine.clock import SystemClock
from rerankd.errors import BackendError, RerankdError, StoreError
from rerankd.logs import LogObserver
from rerankd.memory.epochs import FileEpochs
from rerankd.memory.testing import FakeEmbedder, InMemoryEpochs, InMemoryStore, fake_memory
from rerankd.metrics import PrometheusObserver
from rerankd.testing import RecordingObserver, fake_reranker

pytestmark = pytest.mark.threads

CANARY = "canary-7f3a"
USER = f"{CANARY}@example.com"
TEXTS = [f"the {CANARY} number {number} sings" for number in range(6)]
METADATA = {CANARY: CANARY}


async def _use(memory: Any, errors: list[BaseException], **_: Any) -> None:
    """Call everything, whether it works or not."""
    ids: list[Any] = []

    async def added() -> None:
        ids.extend(await memory.add(TEXTS, user_id=USER, metadata=METADATA))

    async def exported() -> None:
        async for _ in memory.export_user(user_id=USER):
            pass

    calls = (
        added,
        lambda: memory.query(f"where does the {CANARY} sing", user_id=USER, metadata=METADATA),
        lambda: memory.query(f"where does the {CANARY} sing", user_id=USER, budget_ms=0),
        lambda: memory.add([*TEXTS, ""], user_id=USER),
        lambda: memory.add(TEXTS, user_id=USER, metadata={CANARY: object()}),
        lambda: memory.add(TEXTS, user_id=USER, created_at=CANARY),
        lambda: memory.query("\ud800" + CANARY, user_id=USER),
        lambda: memory.query(CANARY, user_id=USER + "\ud800"),
        lambda: memory.query(CANARY, user_id=USER, top_k_ann=CANARY),
        lambda: memory.delete([CANARY], user_id=USER),
        lambda: memory.delete(ids[:1], user_id=USER),
        lambda: memory.count(user_id=USER),
        exported,
        lambda: memory.rotate_keys(),
        lambda: memory.rotate_pepper(),
        lambda: memory.reembed(),
        lambda: memory.check(),
        lambda: memory.erase_user(user_id=USER),
    )
    for call in calls:
        try:
            await call()
        except RerankdError as error:
            errors.append(error)


def _damaged(store: InMemoryStore) -> None:
    for record, rows in store.records().values():
        for row in list(rows.values())[:2]:
            object.__setattr__(row, "text_cipher", row.meta_cipher)
        object.__setattr__(record, "sealed_user_id", b"")


@pytest.mark.parametrize("trouble", ["none", "database", "embedder", "reranker", "damage", "key"])
@pytest.mark.parametrize("mode", ["plain", "sealed"])
async def test_no_text_is_told(caplog: pytest.LogCaptureFixture, trouble: str, mode: Any) -> None:
    caplog.set_level(logging.DEBUG)
    store, keys, embedder = InMemoryStore(), InMemoryEpochs("key"), FakeEmbedder()
    recording, metrics = RecordingObserver(), PrometheusObserver()

    def score(pair: Any) -> float:
        if trouble == "reranker" and CANARY in pair.text:
            raise RuntimeError(f"cannot score {pair.text}")
        return 0.0

    errors: list[BaseException] = []
    made = fake_memory(
        store,
        keys=keys,
        embedder=embedder,
        vectors=mode,
        reranker=fake_reranker(score),
        observers=[recording, metrics, LogObserver(SystemClock())],
    )
    async with made as memory:
        await memory.add(TEXTS, user_id=USER, metadata=METADATA)
        if trouble == "database":
            store.fails = StoreError("gone")
        elif trouble == "embedder":
            embedder.fails = BackendError("gone")
        elif trouble == "damage":
            _damaged(store)
        elif trouble == "key":
            keys.destroy(keys.first().id)
        await _use(memory, errors)
    told = caplog.text + repr(recording.events) + metrics.render().decode()
    told += "".join("".join(traceback.format_exception(error)) + repr(error) for error in errors)
    told = "\n".join(line for line in told.splitlines() if "CANARY" not in line)  # a traceback's source lines
    assert CANARY not in told
    assert "canary" not in told.lower().replace("test_canary", "")
    seen = {type(event) for event in recording.events}
    assert MemoryFailed in seen, "a budget of nothing always fails"
    assert (MemoryQueried in seen) == (trouble in ("none", "reranker", "damage"))
    assert (RecordsRejected in seen) == (trouble == "damage")


def test_no_secret_is_shown(tmp_path: Any) -> None:
    epoch = FileEpochs("key", tmp_path, announce=lambda message: None).first()
    assert repr(epoch.secret) not in repr(epoch)
