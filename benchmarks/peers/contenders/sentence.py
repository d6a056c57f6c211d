"""sentence-transformers' CrossEncoder on its three back ends: PyTorch and OpenVINO in fp32, ONNX in int8."""

from typing import Any

from sentence_transformers import CrossEncoder

from benchmarks.peers.contenders.odds import logit
from benchmarks.peers.files import FP32, INT8, OPENVINO

_LIBRARY_SIZE = 32


class SentenceTransformers:
    def __init__(self, backend: str, threads: int | None) -> None:
        self.weights = "int8" if backend == "onnx" else "fp32"
        self._encoder = CrossEncoder(**_arguments(backend, threads))
        self._batch_size = _LIBRARY_SIZE
        self._threads = threads
        self.settings = f"{backend}, defaults (batch_size={_LIBRARY_SIZE})"

    def set_batch_size(self, size: int) -> None:
        self._batch_size = size

    def close(self) -> None:
        pass

    def run(self, query: str, texts: list[str]) -> Any:
        return self._encoder.rank(query, texts, show_progress_bar=False, batch_size=self._batch_size)

    def logits(self, answer: Any) -> list[float]:
        scores = {row["corpus_id"]: float(row["score"]) for row in answer}
        return [logit(scores[place]) for place in range(len(scores))]


def _arguments(backend: str, threads: int | None) -> dict[str, Any]:
    common: dict[str, Any] = {"device": "cpu", "local_files_only": True}
    if backend == "torch":
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        return {"model_name_or_path": str(FP32), **common}
    if backend == "onnx":
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        if threads is not None:
            options.intra_op_num_threads = threads
        chosen = {
            "file_name": "onnx/model.onnx",
            "provider": "CPUExecutionProvider",
            "session_options": options,
            "export": False,
        }
        return {"model_name_or_path": str(INT8), "backend": "onnx", "model_kwargs": chosen, **common}
    if not (OPENVINO / "openvino").is_dir():
        CrossEncoder(str(FP32), backend="openvino", **common).save_pretrained(str(OPENVINO))
    chosen = {"file_name": "openvino/openvino_model.xml", "export": False}
    if threads is not None:
        chosen["ov_config"] = {"INFERENCE_NUM_THREADS": threads}
    return {"model_name_or_path": str(OPENVINO), "backend": "openvino", "model_kwargs": chosen, **common}
