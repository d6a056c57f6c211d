"""A GPU is used where there is one; where it was asked for and is missing, a warning says what is missing."""

import logging

import pytest

from rerankd.backends import devices as module
from rerankd.backends.devices import CPU, Device, cuda_uuid, devices, what_cuda_lacks
from rerankd.errors import ConfigError


def there(_: Device) -> str:
    return ""


def missing(_: Device) -> str:
    return "the driver is missing"


def test_the_cpu_is_the_cpu():
    assert devices("cpu", there) == (CPU,)
    assert str(CPU) == "cpu"


@pytest.mark.parametrize(("name", "text"), [("", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1")])
def test_a_usable_gpu_comes_first_and_the_cpu_after_it(name, text):
    gpu, last = devices(name, there)
    assert str(gpu) == text
    assert last == CPU


def test_a_gpu_that_nobody_asked_for_is_not_missed(caplog):
    with caplog.at_level(logging.WARNING):
        assert devices("", missing) == (CPU,)
    assert caplog.text == ""


@pytest.mark.parametrize("name", ["cuda", "cuda:3"])
def test_a_gpu_that_was_asked_for_is_missed_with_the_reason(name, caplog):
    with caplog.at_level(logging.WARNING):
        assert devices(name, missing) == (CPU,)
    assert f"{name} was asked for, but the driver is missing" in caplog.text


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "mps"])
def test_another_name_is_a_wrong_setting(name):
    with pytest.raises(ConfigError, match="DEVICE"):
        devices(name, there)


class Driver:
    def __init__(self, count: int, status: int = 0) -> None:
        self.count, self.status = count, status

    def cuInit(self, _):
        return self.status

    def cuDeviceGetCount(self, count):
        count._obj.value = self.count
        return 0


class Named(Driver):
    def cuDeviceGet(self, handle, index):
        handle._obj.value = index
        return 0 if index < self.count else 101

    def cuDeviceGetUuid_v2(self, uuid, handle):
        uuid[:] = bytes(range(16))
        return 0


def test_a_device_is_named_for_good(monkeypatch):
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: Named(1))
    assert cuda_uuid(Device("cuda")) == "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f"
    assert cuda_uuid(Device("cuda", 1)) == ""
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: Driver(1))
    assert cuda_uuid(Device("cuda")) == "", "a driver that is too old"


def test_what_is_missing_is_named(monkeypatch):
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "onnxruntime-gpu" in what_cuda_lacks(Device("cuda"))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])

    def no_driver(_):
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(module.ctypes, "CDLL", no_driver)
    assert "NVIDIA driver is missing" in what_cuda_lacks(Device("cuda"))
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: Driver(2, status=100))
    assert "no device" in what_cuda_lacks(Device("cuda"))
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: Driver(2))
    assert "2 device(s), so there is no cuda:2" in what_cuda_lacks(Device("cuda", 2))
    assert what_cuda_lacks(Device("cuda", 1)) == ""
