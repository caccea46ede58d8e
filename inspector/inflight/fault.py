"""What an error of a model says about the device, judged by its type and its text, because torch has hardly any types for this."""

from __future__ import annotations

from typing import Literal

DeviceFault = Literal["memory", "lost", "doubtful", "other"]
"""Want of memory, which fewer frames may mend; a device that nothing in this process mends; one of both; anything else."""

_MEMORY_TYPES = {"OutOfMemoryError"}
"""By name: the service knows no torch where no model runs. It is `torch.OutOfMemoryError` of any torch."""

_MEMORY_WORDS = (
    "out of memory",  # of CUDA, also where the pinned or a library's own memory is meant
    "can't allocate memory",  # torch's allocator on a CPU
    "not enough memory",  # the same, elsewhere than on Linux
    "std::bad_alloc",
    "cannot allocate memory",
    "insufficient memory",  # OpenCV
    "status_alloc_failed",  # cuBLAS, cuDNN, cuFFT
)

_LOST_TYPES = {"AcceleratorError"}
_LOST_WORDS = (
    "cuda error",
    "cuda driver error",
    "cudaerror",
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "misaligned address",
    "uncorrectable ecc error",
    "ecc error encountered",
    "gpu is lost",
    "device lost",
    "device is lost",
    "no cuda-capable device",
    "nccl error",
    "status_execution_failed",  # cuBLAS, cuDNN, cuFFT: what a kernel of theirs met before
    "status_mapping_error",
)

_DOUBTFUL_WORDS = ("status_not_initialized", "status_internal_error")
"""Of cuBLAS and cuDNN: the device is lost, or there is no room for a handle, which does not stick."""


def device_fault(error: BaseException) -> DeviceFault:
    """Return what an error of a model says of the device.

    An error of CUDA sticks to the process: each later call gives the same one, whatever it is asked
    (pytorch/pytorch#44624, #17425). Want of memory is the exception. What is doubtful is told by another try.
    """
    words = str(error).lower()
    name = type(error).__name__
    if isinstance(error, MemoryError) or name in _MEMORY_TYPES or any(word in words for word in _MEMORY_WORDS):
        return "memory"
    if name not in _LOST_TYPES and any(word in words for word in _DOUBTFUL_WORDS):
        return "doubtful"
    if name in _LOST_TYPES or any(word in words for word in _LOST_WORDS):
        return "lost"
    return "other"
