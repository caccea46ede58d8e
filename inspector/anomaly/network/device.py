"""Which devices torch can compute on here, and how a name such as `cuda` becomes a device."""

from __future__ import annotations

import torch

from inspector.anomaly.errors import ParameterError

DEVICE_PATTERN = r"^(cpu|cuda(:[0-9]{1,3})?)$"
"""What a device's name looks like; whether there is such a device is another question."""


def query_available_dl_devices() -> tuple[str, ...]:
    """Return the names of the devices that a model can run on here: `cpu`, then `cuda:0` and so on. Never empty."""
    return ("cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()) if torch.cuda.is_available()))


def available_device(name: str) -> torch.device:
    """Return the device of this name.

    Args:
        name: `cpu`, `cuda` (the current one) or `cuda:N`.

    Raises:
        ParameterError: The name is not a device's, or this machine does not have it.
    """
    try:
        device = torch.device(name)
    except RuntimeError as exc:
        raise ParameterError(f"device {name!r} is unknown; use cpu, cuda or cuda:N") from exc
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ParameterError(f"device {name!r} was requested, but torch finds no CUDA device; use device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ParameterError(
            f"device {name!r} was requested, but torch finds {torch.cuda.device_count()} CUDA device(s)"
        )
    if device.type not in ("cpu", "cuda"):
        raise ParameterError(f"device {name!r} is not supported; use cpu, cuda or cuda:N")
    return device
