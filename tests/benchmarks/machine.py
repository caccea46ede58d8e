"""What the figures were measured on, and with."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("torch", "opencv-python-headless", "numpy", "aiokafka", "msgpack", "pydantic")
_INSTRUCTIONS = ("avx512f", "avx2", "asimd")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        "load_before": round(os.getloadavg()[0], 2),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def describe_software() -> dict[str, str]:
    """Return the versions of what the figures depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
