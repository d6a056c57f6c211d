"""FlashRank. It has no setting for threads or batches: ONNX Runtime's defaults, all passages in one batch."""

import math
from typing import Any

from flashrank import Ranker, RerankRequest

from benchmarks.peers.files import FLASHRANK_NAME, flashrank_cache


class FlashRank:
    settings = "defaults (it has no setting for threads or batches)"

    def __init__(self) -> None:
        self._ranker = Ranker(
            model_name=FLASHRANK_NAME, cache_dir=str(flashrank_cache()), log_level="WARNING"
        )

    def run(self, query: str, texts: list[str]) -> list[dict[str, Any]]:
        passages = [{"id": place, "text": text} for place, text in enumerate(texts)]
        answer: list[dict[str, Any]] = self._ranker.rerank(RerankRequest(query=query, passages=passages))
        return answer

    def logits(self, answer: list[dict[str, Any]]) -> list[float]:
        ordered = sorted(answer, key=lambda row: int(row["id"]))
        return [math.log(float(row["score"]) / max(1 - float(row["score"]), 1e-12)) for row in ordered]
