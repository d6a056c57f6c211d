"""fastembed, pointed at the local file by its own `add_custom_model` and `specific_model_path`."""

from fastembed.common.model_description import ModelSource
from fastembed.rerank.cross_encoder import TextCrossEncoder

from benchmarks.peers.files import INT8

_NAME = "local/ms-marco-MiniLM-L-12-v2-int8"
_LIBRARY_SIZE = 64


class FastEmbed:
    weights = "int8"

    def __init__(self, threads: int | None) -> None:
        TextCrossEncoder.add_custom_model(
            _NAME, sources=ModelSource(hf="cross-encoder/ms-marco-MiniLM-L-12-v2"), model_file="model.onnx"
        )
        self._encoder = TextCrossEncoder(_NAME, threads=threads, specific_model_path=str(INT8))
        self._batch_size = _LIBRARY_SIZE
        self.settings = f"defaults (batch_size={_LIBRARY_SIZE})"

    def set_batch_size(self, size: int) -> None:
        self._batch_size = size

    def close(self) -> None:
        pass

    def run(self, query: str, texts: list[str]) -> list[float]:
        return list(self._encoder.rerank(query, texts, batch_size=self._batch_size))

    def logits(self, answer: list[float]) -> list[float]:
        return answer
