"""Where a model runs: on CUDA through PyTorch or ONNX Runtime where that is possible, on the CPU in any case.

In words. A folder says what it is: ONNX or safetensors. Any other model runs, on CUDA, from an fp16 checkpoint
where PyTorch is installed, else from an fp16 ONNX file; on the CPU from the ONNX file for the CPU. What cannot be
had or loaded in one place is tried in the next, and the log says why.

The heavy libraries are imported inside functions: by the loader's thread, and not by `import rerankd`.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rerankd.core.ports import Clock, Model
from rerankd.errors import BackendError
from rerankd.models.policy import ModelPolicy

if TYPE_CHECKING:
    from rerankd.backends.devices import Device
    from rerankd.models.checkpoint import Checkpoint
    from rerankd.models.resolve import FileCheck, ModelFiles

__all__ = ["Place", "Retreat", "fetch_at", "files_at", "load_at", "load_model", "places"]

_log = logging.getLogger(__name__)

LOSSES = 2
WITHIN = 600.0
"""Seconds. A device on which a model was lost so often in that time is left alone for as long."""


@dataclass(frozen=True, slots=True)
class Place:
    """A library and a device."""

    library: Literal["onnx", "torch"]
    device: "Device"

    def __str__(self) -> str:
        return f"{self.device} ({'PyTorch' if self.library == 'torch' else 'ONNX Runtime'})"


def places(policy: ModelPolicy) -> list[Place]:
    """Where the model may run, best first; the CPU is always the last.

    PyTorch is imported only where the NVIDIA driver sees a device, or the model is a checkpoint. A CUDA device that
    was asked for by name and is not usable is warned about, with what is missing. Raises `ConfigError` for a device
    of another name.
    """
    from rerankd.backends.devices import CPU, devices, what_cuda_lacks, what_driver_lacks, what_torch_lacks
    from rerankd.models.checkpoint import is_checkpoint
    from rerankd.models.locate import folder_of

    if is_checkpoint(policy.model):
        return [Place("torch", device) for device in devices(policy.device, what_torch_lacks)]
    by_name = folder_of(policy.model) is None and not policy.file

    def able(device: "Device") -> dict[Literal["torch", "onnx"], str]:
        """What each library lacks for the device."""
        missing = what_driver_lacks(device)
        if missing:
            return {"onnx": missing}
        lacks: dict[Literal["torch", "onnx"], str] = {"torch": what_torch_lacks(device)} if by_name else {}
        return {**lacks, "onnx": what_cuda_lacks(device)}

    def lacks(device: "Device") -> str:
        found = able(device)
        return "" if "" in found.values() else "; ".join(found.values())

    listed: list[Place] = []
    for device in devices(policy.device, lacks):
        if device == CPU:
            listed.append(Place("onnx", device))
        else:
            listed += [Place(library, device) for library, missing in able(device).items() if not missing]
    return listed


def load_model(policy: ModelPolicy, data_dir: Path) -> Model:
    """Find, verify and load the model, in the first of its places where that succeeds.

    Raises `BackendError` saying what failed in the last of them, `ConfigError` for a name that cannot be a model
    and for an int8 file that was asked for by name together with CUDA.
    """
    *others, last = places(policy)
    for place in others:
        try:
            return load_at(place, policy, data_dir)
        except BackendError as error:
            _log.warning("not on %s: %s", place, error)
    return load_at(last, policy, data_dir)


def files_at(
    place: Place, policy: ModelPolicy, data_dir: Path, *, accept: bool = False
) -> tuple["FileCheck", ...]:
    """Look at the files that would be loaded in that place; nothing is downloaded or made.

    `accept`: trust them as they are from now on. Raises `BackendError` when files are missing.
    """
    from rerankd.backends.cpu import int8_path
    from rerankd.models import resolve
    from rerankd.models.checkpoint import verify_checkpoint

    if place.library == "torch":
        return verify_checkpoint(policy, data_dir=data_dir, accept=accept)
    look = resolve.accept if accept else resolve.verify
    return look(policy, data_dir=data_dir, device=place.device.kind, int8=int8_path())


def load_at(place: Place, policy: ModelPolicy, data_dir: Path) -> Model:
    """Load the model in one place. Raises as `load_model` does."""
    load = _load_torch if place.library == "torch" else _load_onnx
    return load(place.device, policy, data_dir)


class Retreat:
    """Leaves CUDA alone for a while where models were lost on it again and again.

    A model is loaded anew only because the last one was lost at run time, so two loads on a device within ten
    minutes are two losses at the most. The first is met with another attempt there, which in a new process may well
    go well; after the second, the model stands in on the CPU until the ten minutes are over.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loaded: list[float] = []
        """When models were loaded on CUDA, as far as that still counts."""

    def choose(self, policy: ModelPolicy) -> ModelPolicy:
        """The policy by which to load now."""
        now = self._clock.now()
        self._loaded = [at for at in self._loaded if now - at < WITHIN]
        if len(self._loaded) < LOSSES:
            return policy
        _log.warning(
            "CUDA failed %d times within %.0f minutes: on the CPU for as long", len(self._loaded), WITHIN / 60
        )
        return replace(policy, device="cpu")

    def loaded(self, model: Model, policy: ModelPolicy) -> Model:
        """To be told what was loaded; on the CPU for want of CUDA, it says when to try again."""
        if model.scorer.traits.device != "cpu":
            self._loaded.append(self._clock.now())
        elif self._loaded and policy.device != "cpu":
            return replace(model, stands_in_s=WITHIN)
        return model


def fetch_at(place: Place, policy: ModelPolicy, data_dir: Path) -> "Checkpoint | ModelFiles":
    """The verified files for that place, downloaded or made where need be. Raises as `load_model` does."""
    from rerankd.backends.cpu import int8_path
    from rerankd.models.checkpoint import resolve_checkpoint
    from rerankd.models.resolve import resolve

    if place.library == "torch":
        return resolve_checkpoint(policy, data_dir=data_dir)
    return resolve(policy, data_dir=data_dir, device=place.device.kind, int8=int8_path())


def _load_onnx(device: "Device", policy: ModelPolicy, data_dir: Path) -> Model:
    """On the CPU without fusions that slow it, and in its lean form where there is one and it can be loaded."""
    from rerankd.backends.cpu import int8_path
    from rerankd.backends.onnx import OnnxScorer, evaluate
    from rerankd.models.pairs import PairTokenizer
    from rerankd.models.resolve import resolve
    from rerankd.models.rewriting.rewrite import lean

    files = resolve(policy, data_dir=data_dir, device=device.kind, int8=int8_path())
    tokenizer = PairTokenizer(files.tokenizer, max_tokens=files.max_tokens)

    def load(form: bytes | None) -> OnnxScorer:
        return OnnxScorer.load(
            files.onnx,
            model=files.model,
            device=device,
            batch_invariant=files.batch_invariant,
            activation=files.activation,
            pad_id=tokenizer.pad_id,
            lean=form,
            unfused=sooner,
        )

    sooner = policy.lean and device.kind == "cpu"
    form = lean(files.onnx, evaluate) if sooner else None
    try:
        scorer = load(form)
    except BackendError as error:
        if form is None:
            raise
        _log.warning("not in its lean form: %s", error)
        scorer = load(None)
    return Model(scorer=scorer, tokenizer=tokenizer, max_tokens=tokenizer.max_tokens, digest=files.sha256)


def _load_torch(device: "Device", policy: ModelPolicy, data_dir: Path) -> Model:
    from rerankd.models.checkpoint import resolve_checkpoint
    from rerankd.models.pairs import PairTokenizer

    try:
        from rerankd.backends.torch import TorchScorer
    except ImportError as error:
        raise BackendError(
            f"{policy.model}: a safetensors checkpoint needs PyTorch: pip install 'rerankd[torch]' ({error})"
        ) from error
    files = resolve_checkpoint(policy, data_dir=data_dir)
    tokenizer = PairTokenizer(files.tokenizer, max_tokens=files.max_tokens)
    scorer = TorchScorer.load(
        files.folder,
        model=files.model,
        device=device,
        activation=files.activation,
        pad_id=tokenizer.pad_id,
        max_tokens=tokenizer.max_tokens,
    )
    return Model(scorer=scorer, tokenizer=tokenizer, max_tokens=tokenizer.max_tokens, digest=files.sha256)
