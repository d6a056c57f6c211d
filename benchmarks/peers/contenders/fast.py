"""fastembed, pointed at the local file by its own `add_custom_model` and `specific_model_path`."""

from fastembed.common.model_description import ModelSource
from fastembed.rerank.cross_encoder import TextCrossEncoder

from benchmarks.peers.files import carried

_NAME = "local/ms-marco-MiniLM-L-12-v2-int8"


class FastEmbed:
    def __init__(self, threads: int | None) -> None:
        TextCrossEncoder.add_custom_model(
            _NAME, sources=ModelSource(hf="cross-encoder/ms-marco-MiniLM-L-12-v2"), model_file="model.onnx"
        )
        self._encoder = TextCrossEncoder(_NAME, threads=threads, specific_model_path=str(carried()))
        self.settings = "defaults (batch_size=64)" if threads is None else f"threads={threads}"

    def run(self, query: str, texts: list[str]) -> list[float]:
        return list(self._encoder.rerank(query, texts))

    def logits(self, answer: list[float]) -> list[float]:
        return answer
