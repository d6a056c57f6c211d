"""The teacher as a PyTorch network: a folder of safetensors, or a quantised ONNX file turned back into numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerankd.errors import BackendError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["network_of_checkpoint", "network_of_onnx"]

_TENSORS = ("_quantized", "_scale", "_zero_point")
_EMBEDDINGS = ("word_embeddings", "token_type_embeddings", "position_embeddings")


def network_of_checkpoint(folder: Path) -> Any:
    """The network of a folder with `config.json` and safetensors."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.num_labels != 1:
        raise BackendError(
            f"{folder}: a teacher has one score a pair, this one has {config.num_labels} labels"
        )
    return AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )


def network_of_onnx(path: Path) -> Any:
    """The network of a BERT that ONNX Runtime has quantised dynamically; its weights as near as int8 kept them.

    Raises `BackendError` for a graph of another kind.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    weights = _weights(path)
    words = weights["bert.embeddings.word_embeddings.weight"]
    layers = 1 + max(int(name.split(".layer.")[1].split(".")[0]) for name in weights if ".layer." in name)
    width = weights["bert.encoder.layer.0.intermediate.dense.bias"].shape[0]
    config = BertConfig(
        vocab_size=words.shape[0],
        hidden_size=words.shape[1],
        num_hidden_layers=layers,
        num_attention_heads=12,
        intermediate_size=width,
        max_position_embeddings=weights["bert.embeddings.position_embeddings.weight"].shape[0],
        num_labels=1,  # type: ignore[call-arg]
    )
    network = BertForSequenceClassification(config)
    wanted = network.state_dict()
    try:
        state = {name: torch.tensor(_turned(value, wanted[name].shape)) for name, value in weights.items()}
        network.load_state_dict(state, strict=True)
    except (KeyError, RuntimeError, ValueError) as error:
        raise BackendError(f"{path.name}: not the graph of a BERT cross-encoder: {error}") from None
    return network


def _weights(path: Path) -> Mapping[str, "np.ndarray[Any, Any]"]:
    import numpy as np
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    stored = {each.name: numpy_helper.to_array(each) for each in graph.initializer}

    def real(name: str) -> Any:
        whole, scale, zero = (stored[f"{name}{part}"].astype(np.float32) for part in _TENSORS)
        return (whole - zero) * scale

    found = {
        name: value
        for name, value in stored.items()
        if name.startswith(("bert.", "classifier.")) and not name.endswith(_TENSORS)
    }
    try:
        for part in _EMBEDDINGS:
            found[f"bert.embeddings.{part}.weight"] = real(f"bert.embeddings.{part}.weight")
        for node in graph.node:
            if node.op_type == "MatMulInteger":
                weight = node.input[1].removesuffix("_quantized")
                if weight.startswith("onnx::"):  # an anonymous MatMul: its node is named after the module
                    module = node.name.removeprefix("/bert/").removesuffix("/MatMul_quant").replace("/", ".")
                    found[f"bert.{module}.weight"] = real(weight).T
                else:
                    found[weight] = real(weight).T
    except KeyError as error:
        raise BackendError(f"{path.name}: not a dynamically quantised BERT: no {error}") from None
    return found


def _turned(value: "np.ndarray[Any, Any]", shape: Any) -> "np.ndarray[Any, Any]":
    """Graphs keep some matrices the other way round."""
    import numpy as np

    return np.ascontiguousarray(value if value.shape == tuple(shape) else value.T)
