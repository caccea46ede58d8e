"""Which parts of the service are watched, how long each may stand still, and the exit status for each."""

from __future__ import annotations

from collections.abc import Callable

from inspector.errors import ConfigError, DeviceLostError, HangError
from inspector.settings.watch.watchdog import WatchdogSettings
from inspector.watchdog.hang import Steps, Watched

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_LOOP_HANGS = 10
EXIT_DEVICE_HANGS = 11
EXIT_WORKER_HANGS = 12
EXIT_PARTITION_STALLS = 13
EXIT_SEND_HANGS = 14
EXIT_DEVICE_LOST = 15


def status_of(failure: BaseException) -> int:
    """Return what the process ends with after a failure."""
    if isinstance(failure, HangError):
        return failure.status
    if isinstance(failure, ConfigError):
        return EXIT_USAGE
    return EXIT_DEVICE_LOST if isinstance(failure, DeviceLostError) else EXIT_FAILED


def watched(
    limits: WatchdogSettings,
    *,
    beats: Callable[[], int],
    scoring: Steps,
    calling: Steps,
    working: Steps,
    sending: Steps,
    batch_takes_s: Callable[[], float],
) -> tuple[Watched, ...]:
    """Return what to watch.

    Args:
        limits: how long each may stand still.
        beats: how often the event loop has run its heartbeat.
        scoring: what device threads compute.
        calling: what they load and warm up.
        working: what decodes and encodes.
        sending: sends that are neither acknowledged nor failed.
        batch_takes_s: what the largest batch took when it was tried; 0 while that is not known.
    """
    return (
        Watched(
            "the event loop has not run for {seconds} s",
            limits.loop_s,
            EXIT_LOOP_HANGS,
            lambda: {"": beats()},
            drains=False,
        ),
        Watched(
            "the device hangs: thread {doer} has computed one batch for {seconds} s",
            limits.device_s,
            EXIT_DEVICE_HANGS,
            scoring,
            takes_s=batch_takes_s,
        ),
        Watched(
            "the device hangs: thread {doer} has loaded or warmed up models for {seconds} s",
            limits.load_s,
            EXIT_DEVICE_HANGS,
            calling,
        ),
        Watched(
            "thread {doer} has decoded or encoded one picture for {seconds} s",
            limits.worker_s,
            EXIT_WORKER_HANGS,
            working,
        ),
        Watched(
            "a send to {doer} was neither acknowledged nor did it fail for {seconds} s",
            limits.send_s,
            EXIT_SEND_HANGS,
            sending,
        ),
    )
