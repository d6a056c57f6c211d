"""The teacher as a PyTorch network: a folder of safetensors, or a quantised ONNX file turned back into numbers."""

from pathlib import Path
from typing import Any

from rerankd.errors import BackendError

__all__ = ["network_of_checkpoint", "network_of_onnx"]

_INSTEAD = (
    "a teacher's weights are read from a BERT in dynamically quantised int8 ONNX or in safetensors: name as"
    " --teacher a folder with its config.json, model.safetensors and tokenizer.json, and no ONNX file"
)


def network_of_checkpoint(folder: Path) -> Any:
    """The network of a folder with `config.json` and safetensors."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.num_labels != 1:
        raise BackendError(
            f"{folder}: a teacher has one score a pair, this one has {config.num_labels} labels"
        )
    if config.model_type != "bert":
        raise BackendError(f"{folder}: the teacher must be a BERT, this one is a {config.model_type}")
    return AutoModelForSequenceClassification.from_pretrained(
        folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True
    )


def network_of_onnx(path: Path) -> Any:
    """The network of a BERT that ONNX Runtime has quantised dynamically; its weights as near as int8 kept them.

    Raises `BackendError` for a graph of another kind, saying what to do.
    """
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from rerankd.models.dequantise import bert_of

    try:
        bert = bert_of(path)
    except BackendError as error:
        raise BackendError(f"{error}; {_INSTEAD}") from None
    network = BertForSequenceClassification(BertConfig(**bert.config))
    try:
        network.load_state_dict(
            {name: torch.tensor(each) for name, each in bert.weights.items()}, strict=True
        )
    except RuntimeError as error:
        raise BackendError(
            f"{path.name}: not the graph of a BERT cross-encoder: {error}; {_INSTEAD}"
        ) from None
    return network
