"""All checks in their order."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from rerankd.backends.devices import (
    Device,
    cuda_uuid,
    what_cuda_lacks,
    what_driver_lacks,
    what_torch_lacks,
)
from rerankd.core.flag import Flag
from rerankd.core.ports import Observer
from rerankd.doctor.behaviour import (
    circuit_check,
    flag_check,
    metric_names,
    metrics_check,
    summary_check,
    try_circuit,
    try_flag,
)
from rerankd.doctor.check import Check, Profile
from rerankd.doctor.gpu import choose_gpu, cuda_check, gpu_checks, package_check
from rerankd.doctor.machine import machine_checks, read_machine
from rerankd.doctor.model import (
    REFERENCES,
    batch_check,
    device_check,
    file_checks,
    load_check,
    score_reference,
)
from rerankd.doctor.speed import QUERIES, WARM_UP, measure_speed, speed_checks
from rerankd.errors import RerankdError
from rerankd.flags.choice import choose
from rerankd.flags.policy import FlagPolicy
from rerankd.loading import files_at, places
from rerankd.metrics import PrometheusObserver
from rerankd.models.resolve import FileCheck
from rerankd.nvml import Nvml
from rerankd.settings import Settings
from rerankd.summary import Summary
from rerankd.wiring import build

__all__ = ["Progress", "examine", "usual_profile"]

Progress = Callable[[str, int, int], None]
"""Hears what is being done, how much of it is done, and of how much."""


def usual_profile(settings: Settings) -> Profile:
    """That of the device which the settings name; where they name none, `gpu` if CUDA is usable."""
    wanted = settings.model.device
    if wanted:
        return Profile.CPU if wanted == "cpu" else Profile.GPU
    return Profile.CPU if all(_lacks(Device("cuda")).values()) else Profile.GPU


def examine(
    settings: Settings, profile: Profile, *, queries: int = QUERIES, progress: Progress | None = None
) -> Iterator[Check]:
    """Look at the host, the model and the behaviour; each line comes as soon as it is known."""
    tell = progress or (lambda what, done, total: None)
    tell("Looking at the machine", 0, 0)
    yield from machine_checks(profile, read_machine(settings.data_dir))
    yield from _gpu(settings, profile)
    tell("Checking the model's files", 0, 0)
    yield from file_checks(_files(settings, profile))
    yield from _model(settings, profile, queries, tell)
    tell("Letting a fake model hang", 0, 0)
    yield circuit_check(try_circuit())
    yield flag_check(try_flag(), *_flag(settings))


def _gpu(settings: Settings, profile: Profile) -> Iterator[Check]:
    device = Device("cuda", _index(settings.model.device))
    yield package_check(name for name in ("onnxruntime", "onnxruntime-gpu") if _installed(name))
    nvml = Nvml()
    gpu = choose_gpu(nvml.read(), cuda_uuid(device), device.index)
    nvml.close()
    yield from gpu_checks(profile, gpu, own_pids=[os.getpid()])
    yield cuda_check(profile, _lacks(device))


def _lacks(device: Device) -> dict[str, str]:
    missing = what_driver_lacks(device)
    if missing:  # then there is no need to import PyTorch
        return {"driver": missing}
    return {"PyTorch": what_torch_lacks(device), "ONNX Runtime": what_cuda_lacks(device)}


def _model(settings: Settings, profile: Profile, queries: int, tell: Progress) -> Iterator[Check]:
    # this host's switch says nothing about its model
    on = replace(settings.uncached(), enabled=True, flag=FlagPolicy())
    prometheus, summary = PrometheusObserver(), Summary(batch_size=settings.batch.max_pairs)
    observers: tuple[Observer, ...] = (prometheus, summary)
    tell("Loading the model", 0, 0)
    try:
        reranker = build(on, observers=observers)
    except RerankdError as error:  # a name that cannot be a model
        yield Check.of(
            "Model loads", False, str(error), "set CROSS_ENCODER_MODEL to a folder, hub id or alias"
        )
        return
    with reranker:
        status = reranker.status()
        yield load_check(status)
        if status.model_state == "ready":
            tell("Scoring the test batch", 0, 0)
            seen = [score_reference(reranker, reference) for reference in REFERENCES]
            yield batch_check(status.model, REFERENCES, seen)
            yield device_check(profile, status)
            total = queries + WARM_UP
            speed = measure_speed(
                reranker, queries=queries, done=lambda done: tell("Reranking without a deadline", done, total)
            )
            yield from speed_checks(profile, speed)
        yield metrics_check(_names(prometheus))
        yield summary_check(summary.as_dict())


def _files(settings: Settings, profile: Profile) -> tuple[FileCheck, ...] | Exception:
    """The files that would be loaded first. A GPU host without a usable GPU is told of that in other lines."""
    policy = replace(settings.model, device="cpu") if profile is Profile.CPU else settings.model
    problem: Exception | None = None
    for place in places(policy):
        try:
            return files_at(place, policy, settings.data_dir)
        except (RerankdError, OSError) as error:
            problem = problem or error
    assert problem is not None
    return problem


def _names(prometheus: PrometheusObserver) -> frozenset[str] | ValueError:
    try:
        return metric_names(prometheus.render().decode())
    except ValueError as error:
        return error


def _flag(settings: Settings) -> tuple[Flag | None, str]:
    """What this host's own source says, and its name."""
    try:
        source = choose(settings.flag, enabled=settings.enabled)
        return source.read({}), source.name
    except (RerankdError, OSError) as error:
        return None, str(error)


def _installed(package: str) -> bool:
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def _index(device: str) -> int:
    number = device.partition(":")[2]
    return int(number) if number else 0
