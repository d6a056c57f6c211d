"""The words of PyTorch, ONNX Runtime and CUDA tell a lack of memory and a lost device from a run that failed."""

import pytest

from rerankd.backends.failures import translated
from rerankd.errors import BackendError, DeviceLost, OutOfMemory


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 44 GiB", OutOfMemory),
        ("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory", OutOfMemory),
        ("CUDA failure 2: out of memory ; GPU=0", OutOfMemory),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", OutOfMemory),
        ("CUDA error: an illegal memory access was encountered", DeviceLost),
        ("CUDA error: device-side assert triggered", DeviceLost),
        ("CUDA error: uncorrectable ECC error encountered", DeviceLost),
        ("CUDA failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=h", DeviceLost),
        ("CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED ; GPU=0", DeviceLost),
        ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", DeviceLost),
        ("index 70 is out of bounds for dimension 0 with size 64", BackendError),
        ("The size of tensor a (7) must match the size of tensor b (8)", BackendError),
    ],
)
def test_the_kind_of_a_failure(words: str, kind: type[BackendError]) -> None:
    problem = translated(RuntimeError(words), 3)
    assert type(problem) is kind
    assert str(problem).startswith("a run of 3 pair(s) failed: ")


def test_an_error_without_words_is_named_and_a_long_one_cut() -> None:
    assert str(translated(MemoryError(), 1)) == "a run of 1 pair(s) failed: MemoryError"
    assert len(str(translated(RuntimeError("x\n" * 1_000), 1))) < 350
