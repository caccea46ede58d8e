"""How many threads the settings stand for on this machine."""

from __future__ import annotations

from inspector.anomaly.network.cores import usable_cores
from inspector.settings.settings import Settings


def device_threads(settings: Settings) -> int:
    """Return how many threads compute on the device: one on a GPU, else as many as the cores allow unless set."""
    if settings.on_gpu:
        return 1
    return settings.device_threads or max(1, usable_cores() // settings.torch_threads)


def decode_threads(settings: Settings) -> int:
    """Return how many threads decode, and encode beside: two at least, so that a slow picture leaves one to the others."""
    return max(2, settings.decode_threads or usable_cores())


def encode_threads(settings: Settings) -> int:
    """Return how many threads may be encoding: those that decode, and the one that `Workers` keeps for it."""
    return decode_threads(settings) + 1
