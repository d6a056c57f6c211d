"""With the service's packages: it starts, answers in retrieval order without a model, and ends."""

import asyncio
import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()
os.environ["RERANKD_HTTP_LISTEN_PORT"] = "0"

import rerankd
from rerankd.settings import Settings
from rerankd.wiring import build_service


async def main() -> None:
    service = build_service(Settings.load())
    listening = asyncio.Event()
    running = asyncio.create_task(service.run(lambda server: listening.set()))
    await asyncio.wait_for(listening.wait(), 30)
    async with rerankd.AsyncClient(f"http://127.0.0.1:{service.server.port}") as client:
        ranking = await client.rerank("a question", ["a text", "another"], budget_ms=5_000)
    assert ranking.outcome == "skipped", ranking
    assert ranking.reason in ("model_loading", "model_unavailable"), ranking
    service.server.stop()
    await asyncio.wait_for(running, 30)


asyncio.run(main())
