"""What the figures were measured on, and with."""

from __future__ import annotations

import os
import platform
import re
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from inspector.anomaly.network.cores import usable_cores

PACKAGES = ("torch", "opencv-python-headless", "numpy", "aiokafka", "msgpack", "pydantic")
_INSTRUCTIONS = ("avx512f", "avx2", "asimd")


def describe_machine() -> dict[str, object]:
    """Return name, processor, cores and memory."""
    about = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)$", about, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", about, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "processor": model[1].strip() if model else platform.processor(),
        "instructions": next((name for name in _INSTRUCTIONS if name in known), None),
        "cores": usable_cores(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def describe_software() -> dict[str, str]:
    """Return the versions of what the figures depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


class Load:
    """What else the machine did between two moments. Children count once they have been waited for."""

    def __init__(self, broker_pid: int | None) -> None:
        """Start counting."""
        self._broker = None if broker_pid is None else psutil.Process(broker_pid)
        self._started = self._now()

    def _now(self) -> tuple[float, float, float, float]:
        """Return seconds: the clock's, and the processors' for all, for us and for other machines of the same host."""
        own = os.times()
        ours = sum(own[:4])
        if self._broker is not None:
            times = self._broker.cpu_times()
            ours += times.user + times.system
        every = psutil.cpu_times()
        stolen = getattr(every, "steal", 0.0)
        idle = every.idle + getattr(every, "iowait", 0.0)
        # A guest's time is part of the user's.
        guests = getattr(every, "guest", 0.0) + getattr(every, "guest_nice", 0.0)
        return time.monotonic(), sum(every) - idle - stolen - guests, ours, stolen

    def shares(self) -> dict[str, float]:
        """Return the shares of all cores' time since the start that went to us, to other processes and to other machines."""
        elapsed, busy, ours, stolen = (b - a for a, b in zip(self._started, self._now(), strict=True))
        total = elapsed * (psutil.cpu_count() or 1)
        return {
            "our_share": ours / total,
            "others_share": max(0.0, busy - ours) / total,
            "stolen_share": stolen / total,
        }
