"""FlashRank. It has no setting for threads or batches: ONNX Runtime's defaults, all passages in one batch."""

from typing import Any

from flashrank import Ranker, RerankRequest

from benchmarks.peers.contenders.odds import logit
from benchmarks.peers.files import FLASHRANK, FLASHRANK_NAME


class FlashRank:
    settings = "defaults (it has no setting for threads or batches)"
    weights = "int8"

    def __init__(self) -> None:
        self._ranker = Ranker(model_name=FLASHRANK_NAME, cache_dir=str(FLASHRANK), log_level="WARNING")

    def set_batch_size(self, size: int) -> None:
        raise SystemExit("FlashRank has no setting for batches")

    def close(self) -> None:
        pass

    def run(self, query: str, texts: list[str]) -> list[dict[str, Any]]:
        passages = [{"id": place, "text": text} for place, text in enumerate(texts)]
        answer: list[dict[str, Any]] = self._ranker.rerank(RerankRequest(query=query, passages=passages))
        return answer

    def logits(self, answer: list[dict[str, Any]]) -> list[float]:
        ordered = sorted(answer, key=lambda row: int(row["id"]))
        return [logit(float(row["score"])) for row in ordered]
