"""Settings of the process that decide how fast torch runs on a CPU; they must be made before torch is first imported."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_MAX_MMAP_THRESHOLD_BYTES = 32 * 2**20
_KEEP_BYTES = 256 * 2**20


def tune_process() -> None:
    """Tune threads and memory; call it first thing in every entry point that runs torch.

    torch's OpenMP threads would spin while they wait for each other. On a machine whose cores are shared with anything
    else (a broker, decoders, another job) they spin against the thread that they wait for: with one other busy process on
    two cores, a fit took 119 s instead of 20 s. A value of OMP_WAIT_POLICY that is set already is left alone.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    tune_malloc()


def tune_malloc() -> bool:
    """Let glibc keep freed memory instead of giving it back after every layer; call it before torch allocates.

    Without it each activation above 128 KiB is mapped anew and faulted in page by page. With a batch of 8 on each of two
    AVX-512 cores that takes 1.1 to 1.3 times as long; on one thread or with smaller batches the gain is within the noise
    (`make bench`: `malloc_gain`, one thread). At most 256 MiB are kept at the top of the heap.

    There is one heap for all threads: with one for each, what a thread has freed is of no use to the others, and the service's
    memory grew by 64 to 97 MiB under a burst (`tests/e2e/test_burst.py`) instead of by 54 to 68; its speed did not differ (14 pairs of runs: 1.00 ± 0.03).

    Returns:
        Whether the settings took effect; False on a C library without mallopt (macOS, musl).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(
        mallopt(_M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD_BYTES)
        and mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        and mallopt(_M_TOP_PAD, _KEEP_BYTES // 4)
        and mallopt(_M_ARENA_MAX, 1)
    )
