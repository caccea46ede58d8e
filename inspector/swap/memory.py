"""Whether there is memory for one more model before it is loaded, because the old and the new one exist at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

COPIES: Final = 3
"""Of a bundle's bytes, while it is loaded: the file as read, its tensors, and what the network is built of."""
SPARE_BYTES: Final = 64 << 20
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def wanting_bytes(bundle: Path, device: str) -> int:
    """Return how many bytes there are too few to load a bundle; 0: it fits, or nobody can tell. Any thread.

    Args:
        bundle: its folder.
        device: where its tensors go; on a GPU there must be room there, too.
    """
    size = sum(file.stat().st_size for file in bundle.iterdir())
    wanted = COPIES * size + SPARE_BYTES
    wanting = [wanted - free for free in (_free_of_machine(), _free_of_cgroup()) if free is not None]
    if device.startswith("cuda"):
        wanting.append(size + SPARE_BYTES - _free_of_gpu(device))
    return max(0, *wanting) if wanting else 0


def _free_of_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free_of_cgroup() -> int | None:
    """What a container may still take; its file cache is given back when it is wanted."""
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((_CGROUP / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else int(limit) - used + int(stat.get("inactive_file", 0))


def _free_of_gpu(device: str) -> int:
    import torch  # noqa: PLC0415 only where there is a GPU

    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + kept)
