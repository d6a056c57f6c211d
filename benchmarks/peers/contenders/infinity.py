"""Infinity's engine within the process: no HTTP, its own batching queue and threads."""

import asyncio
from typing import Any

from infinity_emb import AsyncEmbeddingEngine, EngineArgs

from benchmarks.peers.files import FP32, INT8

_LIBRARY_SIZE = 32


class Infinity:
    def __init__(self, engine: str, threads: int | None, batch_size: int | None) -> None:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self.weights = "fp32" if engine == "torch" else "int8"
        size = batch_size or _LIBRARY_SIZE
        arguments = EngineArgs(
            model_name_or_path=str(FP32 if engine == "torch" else INT8),
            engine=engine,
            device="cpu",
            batch_size=size,
            bettertransformer=False,
            model_warmup=False,
            trust_remote_code=False,
        )
        self._loop = asyncio.new_event_loop()
        self._engine = AsyncEmbeddingEngine.from_args(arguments)
        self._loop.run_until_complete(self._engine.astart())
        told = f"batch_size={size}" if batch_size else f"defaults (batch_size={size})"
        self.settings = f"in process, {engine}, {told}, bettertransformer off"

    def set_batch_size(self, size: int) -> None:
        raise SystemExit("Infinity takes its batch size before it loads")

    def close(self) -> None:
        self._loop.run_until_complete(self._engine.astop())

    def run(self, query: str, texts: list[str]) -> Any:
        return self._loop.run_until_complete(self._engine.rerank(query=query, docs=texts, raw_scores=True))

    def logits(self, answer: Any) -> list[float]:
        scores = {each.index: float(each.relevance_score) for each in answer[0]}
        return [scores[place] for place in range(len(scores))]
