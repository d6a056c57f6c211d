"""The default model in the forms that the report compares, all with the weights of the carried int8 file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerankd.backends.devices import CPU, Device
from rerankd.backends.onnx import OnnxScorer
from rerankd.backends.torch import TorchScorer
from rerankd.core.ports import Model, Scorer
from rerankd.core.types import Pair, Text
from rerankd.models.dequantise import graph_of
from rerankd.models.half import GRAPH, half_checkpoint, half_graph, write_checkpoint
from rerankd.models.pairs import PairTokenizer
from rerankd.models.policy import ModelPolicy
from rerankd.models.registry import find
from rerankd.models.resolve import resolve

__all__ = ["Forms"]

WINDOW = 512
NAME = "cross-encoder/ms-marco-MiniLM-L-12-v2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """Makes the files once, and loads a form on a device."""

    folder: Path
    """Where they are kept."""

    def tokenizer(self) -> PairTokenizer:
        return PairTokenizer(self._carried().tokenizer, max_tokens=WINDOW)

    def torch(
        self, device: Device, *, dtypes: Sequence[Any] = (), full: bool = False, tokens: int = 0
    ) -> TorchScorer:
        """`full`: from fp32 weights; else from those that are made for CUDA, in fp16."""
        return TorchScorer.load(
            self._full_checkpoint()
            if full
            else _there(half_checkpoint(find("large"), self.folder, make=True)),
            model=NAME,
            device=device,
            dtypes=dtypes,
            max_tokens=WINDOW,
            max_batch_tokens=tokens,
        )

    def onnx(self, device: Device, *, full: bool = False) -> OnnxScorer:
        path = (
            self._full_graph() if full else _there(half_graph(find("large"), self.folder, make=True)) / GRAPH
        )
        return OnnxScorer.load(path, model=NAME, device=device, batch_invariant=True)

    def carried(self) -> OnnxScorer:
        """The int8 file on the CPU, which takes over when a GPU is lost."""
        return OnnxScorer.load(self._carried().onnx, model=NAME, device=CPU)

    def model(self, scorer: Scorer) -> Model:
        return Model(scorer=scorer, tokenizer=self.tokenizer(), max_tokens=WINDOW)

    def pairs(self, tokens: int, count: int) -> list[Pair]:
        """So many pairs of exactly that length."""
        ids = [101, *([2_054] * (tokens - 2)), 102]
        return [Pair(Text(""), Text(""), tokens, ids=ids) for _ in range(count)]

    def _carried(self) -> Any:
        return resolve(ModelPolicy(), data_dir=self.folder)

    def _full_graph(self) -> Path:
        path = self.folder / "fp32.onnx"
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(graph_of(self._carried().onnx).SerializeToString())
        return path

    def _full_checkpoint(self) -> Path:
        folder = self.folder / "torch-fp32"
        if not (folder / "config.json").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_checkpoint(self._carried().onnx, folder, half=False)
        return folder


def _there(path: Path | None) -> Path:
    assert path is not None, "the default model is carried by a package"
    return path
