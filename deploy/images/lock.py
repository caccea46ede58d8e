"""Makes the lists of packages, with hashes, that the container images install: `python -m deploy.images.lock`.

Needs uv (`pip install uv`). Versions come from constraints.txt, hashes from the package index. Run it after each change of constraints.txt
or of the extras in pyproject.toml; tests/unit/deploy/images/test_locks.py fails until then. The build of torch without CUDA lies on an
index of its own; where that cannot be reached, PIP_FIND_LINKS names a folder that holds the wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.local.broker import CHECKOUT

IMAGES = CHECKOUT / "deploy" / "images"
PYTHON = "3.11"
"""Of the base image, Debian 12."""

PLATFORM = "x86_64-manylinux_2_28"
TORCH_CPU = "torch==2.13.0+cpu"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TOOLS = ("hatchling==1.33.0", "cyclonedx-bom==7.5.0")
"""What builds the wheel of this project and the list of what is in the image."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One file of pinned packages.

    Attributes:
        image: the image's folder.
        variant: `cpu` or `cuda`.
        extras: of pyproject.toml, which the image has.
    """

    image: str
    variant: str
    extras: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it lies."""
        return IMAGES / self.image / f"{self.variant}.lock"


LOCKS = tuple(
    Lock(image, variant, extras)
    for image, extras in (
        ("inspector", ("archive", "gate", "inspector", "otel", "store")),
        ("trainer", ("parquet", "release")),
    )
    for variant in ("cpu", "cuda")
)
TOOLS_LOCK = IMAGES / "tools.lock"


def main() -> int:
    """Write all locks; return the exit status."""
    uv = shutil.which("uv", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))))
    if uv is None:
        print("lock: uv is not here: pip install uv", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        for lock in LOCKS:
            extras = [word for extra in lock.extras for word in ("--extra", extra)]
            options = ["-c", "constraints.txt"]
            head = ""
            if lock.variant == "cpu":
                override = Path(folder, "override.txt")
                override.write_text(TORCH_CPU, encoding="utf-8")
                options += ["--override", str(override), *_where_torch_lies()]
                head = f"--extra-index-url {TORCH_CPU_INDEX}\n"
            _compile(uv, ["pyproject.toml", *extras, *options], lock.path, head=head)
        tools = Path(folder, "tools.in")
        tools.write_text("\n".join(TOOLS), encoding="utf-8")
        _compile(uv, [str(tools), "-c", "constraints.txt"], TOOLS_LOCK)
    return 0


def _where_torch_lies() -> list[str]:
    folders = os.environ.get("PIP_FIND_LINKS")
    return ["--find-links", folders] if folders else ["--extra-index-url", TORCH_CPU_INDEX]


def _compile(uv: str, arguments: list[str], path: Path, *, head: str = "") -> None:
    command = [uv, "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["--python-version", PYTHON, "--python-platform", PLATFORM, *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"lock: {path.name}: {done.stderr.strip()}")
    path.write_text(f"# Made by: python -m deploy.images.lock\n{head}{done.stdout}", encoding="utf-8")
    print(f"{path.relative_to(CHECKOUT)}: {done.stdout.count('==')} packages")


if __name__ == "__main__":
    sys.exit(main())
