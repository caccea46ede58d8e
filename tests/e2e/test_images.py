"""A built image of the inspector, run as it is meant to be run: read-only, without rights, as nobody.

Building takes minutes, so it is done by hand: `python -m deploy.images.build inspector`, then
`INSPECTOR_IMAGE=line-inspector:0.1.0-cpu pytest tests/e2e/test_images.py`. `PODMAN_RUN` replaces `podman run` where a machine wants
more words, such as `podman --runtime runc run --ulimit nofile=1024:1024`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from deploy.images.build import version
from deploy.images.lock import LOCKS

pytestmark = pytest.mark.slow

IMAGE = os.environ.get("INSPECTOR_IMAGE")
CLOSED = ("--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges")


@pytest.fixture
def image() -> str:
    if IMAGE is None:
        pytest.skip(
            "no image: build one (minutes) and name it in INSPECTOR_IMAGE; the first lines of this file say how"
        )
    return IMAGE


def run(image: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """Run a container; return what it prints."""
    podman = shlex.split(os.environ.get("PODMAN_RUN", "podman run"))
    command = [*podman, *CLOSED, *options, image, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_program_runs_as_nobody_on_a_read_only_root(image: str, tmp_path: Path) -> None:
    assert version() in run(image, "--version")
    program = (
        "import os, cv2, torch, obstore, pymodbus, aiokafka, pyarrow, inspector.service as s\n"
        "open('/tmp/x', 'w').close()\n"
        "try:\n    open('/opt/x', 'w')\nexcept OSError as exc:\n    print(os.getuid(), exc.errno, torch.__version__)\n"
    )
    script = tmp_path / "try.py"
    script.write_text(program)
    script.chmod(0o644)
    mount = f"--volume={script}:/try.py:ro"
    shown = run(image, "/try.py", options=(mount, "--entrypoint=/opt/line-inspector/bin/python"))
    assert shown.split()[:2] == ["10001", "30"], "EROFS: the root is read-only"


def test_the_image_tells_what_is_in_it(image: str) -> None:
    shown = json.loads(run(image, "/opt/line-inspector/sbom.cdx.json", options=("--entrypoint=/bin/cat",)))
    assert shown["bomFormat"] == "CycloneDX"
    parts = {f"{part['name']}=={part['version']}".lower().replace("_", "-") for part in shown["components"]}
    (lock,) = [lock for lock in LOCKS if lock.image == "inspector" and image.endswith(f"-{lock.variant}")]
    listed = {line.split(" ")[0] for line in lock.path.read_text().splitlines() if "==" in line and line[0] != "#"}
    assert listed <= parts
