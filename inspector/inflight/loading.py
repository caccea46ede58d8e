"""The code that loads torch: models from their bundles, and how many threads torch computes with. Device threads only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from inspector.errors import ConfigError
from inspector.inflight.route import Model
from inspector.settings.settings import Settings


def set_torch_threads(threads: int) -> None:
    """Let one forward pass use this many threads; this is a setting of the calling thread."""
    import torch  # noqa: PLC0415 only where a model runs

    torch.set_num_threads(threads)


def require_device(settings: Settings) -> None:
    """Find out whether the device of these settings is here; the first question to a driver may hang.

    Raises:
        ConfigError: It is not.
    """
    if not settings.on_gpu:
        return
    from inspector.anomaly.errors import ParameterError  # noqa: PLC0415
    from inspector.anomaly.network.device import available_device  # noqa: PLC0415

    try:
        available_device(settings.device)
    except ParameterError as exc:
        raise ConfigError(f"device: {exc}") from exc


def bundle_reader(settings: Settings) -> Callable[[Path], Model]:
    """Return what loads and verifies a bundle as these settings want it: device, digests, signatures."""
    digests = {settings.models[name]: digest for name, digest in settings.model_digests.items()}

    def read(path: Path) -> Model:
        from inspector.anomaly.model.bundle import read_dl_model  # noqa: PLC0415 loads torch
        from inspector.anomaly.model.signature import Signers  # noqa: PLC0415

        signers = Signers.of_files(settings.trusted_keys, is_required=settings.require_signature)
        return read_dl_model(path, device=settings.device, digest=digests.get(path), signers=signers)

    return read
