"""A folder of safetensors: whether it is whole, what it computes in best, and its network on a device.

Neither pickles nor code of the checkpoint are ever loaded.
"""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification
from transformers.utils import logging as library_log

from rerankd.backends.devices import Device
from rerankd.backends.failures import words
from rerankd.errors import BackendError

__all__ = ["CONFIG", "WEIGHTS", "check_files", "config_of", "network_of", "precisions"]

WEIGHTS = "model.safetensors"
CONFIG = "config.json"


def check_files(folder: Path) -> None:
    """Before anything is loaded: what is missing or cut short is named."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise BackendError(f"{folder / name}: is missing")
    path = folder / WEIGHTS
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        size = path.stat().st_size
        try:
            header: dict[str, Any] = json.loads(file.read(min(length, size)))
            ends = max(
                (each["data_offsets"][1] for name, each in header.items() if name != "__metadata__"),
                default=0,
            )
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            raise BackendError(f"{path}: is cut short or no safetensors file") from None
    if size != 8 + length + ends:
        raise BackendError(f"{path}: is cut short: {size:,} bytes of {8 + length + ends:,}")


def config_of(folder: Path) -> Any:
    """What `config.json` says. Raises `BackendError` for a model with several labels."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise BackendError(f"{folder / CONFIG}: cannot be used: {words(error)}") from error
    if config.num_labels != 1:
        raise BackendError(
            f"{folder / CONFIG}: has {config.num_labels} labels; a reranker gives one score a pair"
        )
    return config


def network_of(folder: Path, config: Any, device: Device, dtype: torch.dtype) -> torch.nn.Module:
    """The network on its device. One that is not wholly in the file would score at random, and is refused."""
    library_log.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        try:
            network, told = _read(folder, config, dtype, "sdpa")
        except ValueError:  # a kind of model that has no such attention
            network, told = _read(folder, config, dtype, "eager")
        network = network.eval().to(str(device))
    except (OSError, ValueError, KeyError, RuntimeError, AssertionError) as error:
        raise BackendError(f"{folder / WEIGHTS}: cannot be loaded on {device}: {words(error)}") from error
    absent = sorted([*told["missing_keys"], *(each[0] for each in told["mismatched_keys"])])
    if absent:
        raise BackendError(
            f"{folder / WEIGHTS}: is no reranker of the kind that its config says:"
            f" {len(absent)} weights are missing, as {absent[0]}"
        )
    return network  # type: ignore[no-any-return]


def _read(folder: Path, config: Any, dtype: torch.dtype, attention: str) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
        attn_implementation=attention,
        dtype=dtype,
    )


def precisions(device: Device, stored: torch.dtype | None = None) -> tuple[torch.dtype, ...]:
    """What to compute in, best first; each next one for a model whose scores are not finite in the one before.

    fp16 is closer to fp32 than bf16 by three bits: with the carried model and logits from -12 to 8, within 0.005
    against 0.04. So bf16 comes first only for checkpoints that are kept in it, as their values may be too large for
    fp16. Before compute capability 7.0 half precision is slower than fp32, and bf16 wants 8.0. On the CPU fp32 is
    fastest.
    """
    if device.kind == "cpu":
        return (torch.float32,)
    return _by_capability(torch.cuda.get_device_capability(str(device)), stored)


def _by_capability(capability: tuple[int, int], stored: torch.dtype | None) -> tuple[torch.dtype, ...]:
    if capability < (7, 0):
        return (torch.float32,)
    if capability < (8, 0):
        return (torch.float16, torch.float32)
    if stored is torch.bfloat16:
        return (torch.bfloat16, torch.float32)
    return (torch.float16, torch.bfloat16, torch.float32)
