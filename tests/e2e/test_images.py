"""The images, run as deploy/compose runs them: a model is fitted, topics are made, and the inspector answers a camera's frames.

Building takes minutes, so it is done when asked: `BUILD_IMAGES=1 pytest tests/e2e/test_images.py`; more words for deploy.images.build stand
in its place, as in BUILD_IMAGES='--base localhost/debian:bookworm --wheels out/wheels'. INSPECTOR_IMAGE and TRAINER_IMAGE, both, name
images that are built already. PODMAN replaces `podman` where a machine wants more words, such as `podman --runtime runc`.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from deploy.images.build import IMAGES, version
from deploy.images.lock import LOCKS
from deploy.local.base import LOOPBACK, Broker, free_port
from deploy.local.broker import CHECKOUT

# A guard against a hang: both images may be built within.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]

COMPOSE = CHECKOUT / "deploy" / "compose"
SERVICES: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
CLOSED = ("--read-only", "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges")
"""What compose.yaml says of all of our services, in podman's words; tests/unit/deploy/compose checks that it does."""

PODMAN = shlex.split(os.environ.get("PODMAN", "podman"))
START_S = 1800.0
FRAMES = 6
PROBE = """
import os, sys
open('/tmp/x', 'w').close()
try:
    open('/opt/x', 'w')
except OSError as exc:
    print(os.getuid(), exc.errno)
for name in sys.argv[1:]:
    __import__(name)
"""
NEEDED = {
    "inspector": (
        "aiokafka",
        "cv2",
        "obstore",
        "opentelemetry.sdk",
        "pyarrow",
        "pymodbus",
        "torch",
        "inspector.service",
    ),
    "trainer": ("aiokafka", "cv2", "matplotlib", "obstore", "pyarrow", "torch", "trainer"),
}


class Built(NamedTuple):
    """Both images' names."""

    inspector: str
    trainer: str


@pytest.fixture(scope="module")
def built() -> Built:
    """Built before, or built now where somebody asks for it."""
    named = [os.environ.get(f"{image.upper()}_IMAGE") for image in IMAGES]
    wish = os.environ.get("BUILD_IMAGES")
    if shutil.which(PODMAN[0]) is None:
        pytest.skip(f"no images without {PODMAN[0]}: apt-get install podman buildah")
    if all(named):
        return Built(**dict(zip(IMAGES, map(str, named), strict=True)))
    if wish is None:
        pytest.skip("no images: BUILD_IMAGES=1 builds them (minutes); the first lines of this file say more")
    words = [] if wish == "1" else shlex.split(wish)
    for image in IMAGES:
        build = [sys.executable, "-m", "deploy.images.build", image, *words]
        assert subprocess.run(build, cwd=CHECKOUT, check=False).returncode == 0
    return Built(**{image: f"localhost/{name}:{version()}-cpu" for image, name in IMAGES.items()})


def run(image: str, *arguments: str, options: tuple[str, ...] = ()) -> str:
    """Run a container to its end; return what it prints."""
    command = [*PODMAN, "run", "--rm", *CLOSED, *options, image, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Machine:
    """What compose would start, by the same file: on the host's network, since Kafka runs beside, and with folders in place of volumes."""

    def __init__(self, built: Built, folder: Path, environment: Mapping[str, str]) -> None:
        self._images = {f"{name}:{version()}-cpu": getattr(built, image) for image, name in IMAGES.items()}
        self._folder = folder
        self._options = ("--network=host", *(f"--env={name}={value}" for name, value in environment.items()))

    def words(self, service: str, *, options: tuple[str, ...] = (), arguments: tuple[str, ...] = ()) -> list[str]:
        """The service's options, image and command."""
        wanted = SERVICES[service]
        words = [*CLOSED, *self._options, *options]
        for volume in wanted["volumes"]:
            source, _, rest = volume.partition(":")
            place = (COMPOSE / source).resolve() if source.startswith(".") else self._folder / source
            if not source.startswith("."):
                place.mkdir(exist_ok=True)
            words.append(f"--volume={place}:{rest}")
        if "user" in wanted:
            words.append(f"--user={wanted['user']}")
        if "entrypoint" in wanted:
            words.append(f"--entrypoint={json.dumps(wanted['entrypoint'])}")
        return [*words, self._images[wanted["image"]], *wanted["command"], *arguments]

    def run(self, service: str, *arguments: str) -> str:
        """Run the service to its end; return what it prints."""
        command = [*PODMAN, "run", "--rm", *self.words(service, arguments=arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, service: str, name: str) -> Iterator[None]:
        """The service for the duration of a block; at its end it stops by itself within compose's grace, and with status 0."""
        grace = SERVICES[service]["stop_grace_period"].removesuffix("s")
        options = (f"--name={name}", f"--stop-timeout={grace}", "--detach")
        asked("run", *self.words(service, options=options))
        try:
            yield
            asked("stop", name)
            assert asked("inspect", "--format={{.State.ExitCode}}", name).strip() == "0", asked("logs", name)
        finally:
            asked("rm", "--force", name)


def asked(*words: str) -> str:
    """What podman answers."""
    done = subprocess.run([*PODMAN, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"podman {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def is_ready(url: str) -> bool:
    """Whether the inspector says so."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 our own
            return bool(answer.read() == b"ok\n")
    except OSError:
        return False


@pytest.mark.parametrize("image", IMAGES)
def test_the_program_runs_as_nobody_on_a_read_only_root(built: Built, image: str, tmp_path: Path) -> None:
    closed = "--network=none"
    assert version() in run(getattr(built, image), "--version", options=(closed,))
    script = tmp_path / "probe.py"
    script.write_text(PROBE)
    script.chmod(0o644)
    options = (closed, f"--volume={script}:/probe.py:ro", "--entrypoint=/opt/line-inspector/bin/python")
    shown = run(getattr(built, image), "/probe.py", *NEEDED[image], options=options)
    assert shown.split() == ["10001", "30"], "EROFS: the root is read-only"


@pytest.mark.parametrize("image", IMAGES)
def test_the_image_tells_what_is_in_it(built: Built, image: str) -> None:
    name = getattr(built, image)
    text = run(name, "/opt/line-inspector/sbom.cdx.json", options=("--network=none", "--entrypoint=/bin/cat"))
    shown = json.loads(text)
    assert (shown["bomFormat"], shown["specVersion"]) == ("CycloneDX", "1.6")
    assert shown["metadata"]["component"]["name"] == "line-inspector"
    parts = {f"{part['name']}=={part['version']}".lower().replace("_", "-") for part in shown["components"]}
    (lock,) = [lock for lock in LOCKS if lock.image == image and name.endswith(f"-{lock.variant}")]
    listed = {line.split(" ")[0] for line in lock.path.read_text().splitlines() if "==" in line and line[0] != "#"}
    assert listed <= parts


def test_a_model_is_fitted_and_frames_are_answered_with_the_very_file_of_compose(
    built: Built, kafka_broker: Broker, unique_name: str, tmp_path: Path
) -> None:
    port = free_port()
    machine = Machine(
        built,
        tmp_path,
        {
            "INSPECTOR_KAFKA__BOOTSTRAP_SERVERS": kafka_broker.bootstrap_servers,
            "INSPECTOR_KAFKA__GROUP_ID": unique_name,
            "INSPECTOR_TOPICS__PREFIX": unique_name,
            "INSPECTOR_HTTP__HOST": LOOPBACK,
            "INSPECTOR_HTTP__PORT": str(port),
            "HEALTH_URL": f"http://{LOOPBACK}:{port}/healthz",
            "OMP_NUM_THREADS": "1",
        },
    )
    machine.run("model")
    assert (tmp_path / "models" / "cookie" / "bundle.json").is_file()
    assert f"{unique_name}.frames" in machine.run("topics")
    with machine.running("inspector", unique_name):
        give_up = time.monotonic() + START_S
        while not is_ready(f"http://{LOOPBACK}:{port}/readyz"):
            assert asked("inspect", "--format={{.State.Status}}", unique_name).strip() == "running", asked(
                "logs", unique_name
            )
            assert time.monotonic() < give_up, asked("logs", unique_name)
            time.sleep(1)
        asked("healthcheck", "run", unique_name)
        machine.run("camera", "--count", str(FRAMES), "--budget-ms", "600000")
        config = "/etc/line-inspector/inspector.toml"
        inside = ("exec", unique_name, "inspector")
        asked(*inside, "config", "--check", config)
        shown = asked(
            *inside, "results", "--follow", "--from-beginning", "--json", "--count", str(FRAMES), "--config", config
        )
    results = [json.loads(line) for line in shown.splitlines()]
    assert [result["status"] for result in results] == ["inspected"] * FRAMES
