"""What an error of a model says of the device; torch's own words, by torch itself where a CPU can be made to say them."""

from __future__ import annotations

import pytest
import torch

from inspector.inflight.fault import DeviceFault, device_fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "memory"),
        (torch.AcceleratorError("CUDA error: out of memory", 2), "memory"),
        (RuntimeError("std::bad_alloc"), "memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "memory"),
        (RuntimeError("CUDA error: the launch timed out and was terminated"), "lost"),
        (torch.AcceleratorError("CUDA error: misaligned address", 716), "lost"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_MAPPING_ERROR"), "lost"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), "doubtful"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), "doubtful"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"), "doubtful"),
        (torch.AcceleratorError("CUDA error: CUBLAS_STATUS_INTERNAL_ERROR", 999), "lost"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "other"),
        (ValueError("this picture breaks the model"), "other"),
    ],
)
def test_want_of_memory_and_a_lost_device_are_told_from_the_rest(error: Exception, fault: DeviceFault) -> None:
    assert device_fault(error) == fault


def test_torch_on_a_cpu_words_its_want_of_memory_so() -> None:
    with pytest.raises(RuntimeError) as wanting:
        torch.empty(1 << 55, dtype=torch.uint8)
    assert device_fault(wanting.value) == "memory", wanting.value


@pytest.mark.gpu
def test_torch_on_a_gpu_words_its_want_of_memory_so() -> None:
    with pytest.raises(torch.OutOfMemoryError) as wanting:
        torch.empty(1 << 45, dtype=torch.uint8, device="cuda")
    assert device_fault(wanting.value) == "memory", wanting.value
    assert torch.ones(1, device="cuda").item() == 1, "and it does not stick"
