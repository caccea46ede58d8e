"""The Containerfile: what a reviewer would look for in each image, and the command that builds from it."""

from __future__ import annotations

import fnmatch
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser
from prometheus_client import CollectorRegistry

from deploy.images.build import IMAGES, build_command, main, version
from deploy.images.lock import LOCKS
from deploy.local.broker import CHECKOUT
from inspector.cli import parse_arguments
from inspector.observe.health import Health, HealthServer
from inspector.settings.watch.http import HttpSettings

FILE = CHECKOUT / "deploy/images/Containerfile"
HEALTHCHECK = CHECKOUT / "deploy/images/inspector/healthcheck.py"


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions and their values, by stage; what stands before the first FROM is the stage `head`, the last one has no name."""
    parser = DockerfileParser(fileobj=io.BytesIO(FILE.read_bytes()))
    found: dict[str, list[tuple[str, str]]] = {"head": []}
    name = "head"
    for instruction, value in [(one["instruction"], one["value"]) for one in parser.structure]:
        if instruction == "FROM":
            name = value.partition(" AS ")[2]
            found[name] = []
        if instruction != "COMMENT":
            found[name].append((instruction, value))
    return found


def values(instruction: str, *names: str) -> list[str]:
    """Values of an instruction in these stages."""
    return [value for stage in names for name, value in stages()[stage] if name == instruction]


def test_one_argument_says_which_image() -> None:
    found = stages()
    assert set(found) == {"head", "build", "run", *IMAGES, ""}
    assert found[""] == [("FROM", "${IMAGE}")]
    for image in IMAGES:
        assert found[image][0] == ("FROM", f"run AS {image}")
    for stage in ("build", "run"):
        assert found[stage][0] == ("FROM", f"${{BASE}} AS {stage}")
    assert "IMAGE" in values("ARG", "head"), "without a default: whoever forgets it gets no image"
    assert "IMAGE" in values("ARG", "build")


def test_every_package_is_installed_by_its_hash() -> None:
    lines = [part.strip() for value in values("RUN", *stages()) for part in value.split("&&")]
    installing = [line for line in lines if re.search(r"\bpip\b.*\b(install|wheel)\b", line)]
    assert len(installing) == 4
    for line in installing:
        words = shlex.split(line)
        is_ours = "--no-deps" in words and ("--no-index" in words or "--no-build-isolation" in words)
        assert is_ours or ("--require-hashes" in words and "--only-binary" in words), line
    assert not any("pip" in value for value in values("RUN", "run", *IMAGES)), "what runs has no installer"


def test_what_runs_is_nobody_and_has_neither_builder_nor_lists() -> None:
    (user,) = values("USER", "run", *IMAGES)
    assert user == "10001:10001", "a number, or Kubernetes could not tell that it is not root"
    for value in values("RUN", *stages()):
        assert "apt-get install" not in value or "rm -rf /var/lib/apt/lists/*" in value
    (copied,) = values("COPY", "run")
    assert copied == "--from=build /opt/line-inspector /opt/line-inspector"
    (listing,) = [value for value in values("RUN", "build") if "cyclonedx-py environment" in value]
    assert {"--validate", "/opt/line-inspector/sbom.cdx.json"} <= set(shlex.split(listing))
    (environment,) = values("ENV", "run")
    assert "PYTHONDONTWRITEBYTECODE=1" in environment, "the root may be read-only"
    assert "HOME=/tmp" in environment


def test_the_inspector_asks_for_its_own_health_and_the_job_for_none() -> None:
    (check,) = values("HEALTHCHECK", "inspector")
    assert f"/opt/line-inspector/{HEALTHCHECK.name}" in check
    assert values("HEALTHCHECK", "trainer") == ["NONE"]
    (entry,) = values("ENTRYPOINT", "inspector")
    (command,) = values("CMD", "inspector")
    assert json.loads(entry) == ["inspector"]
    assert parse_arguments(json.loads(command)).command == "run"


@pytest.mark.parametrize("image", IMAGES)
def test_all_that_is_copied_is_there_and_sent_to_the_builder(image: str) -> None:
    lines = (CHECKOUT / ".dockerignore").read_text().splitlines()
    sent = [line[1:] for line in lines if line.startswith("!")]
    variants = {lock.variant for lock in LOCKS if lock.image == image}
    for value in values("COPY", "build", image):
        for source in shlex.split(value)[:-1]:
            for variant in variants:
                path = Path(source.replace("${IMAGE}", image).replace("${VARIANT}", variant))
                assert (CHECKOUT / path).exists(), path
                assert any(fnmatch.fnmatch(str(one), name) for one in (path, *path.parents) for name in sent), path


def test_the_command_names_variant_base_and_wheels(tmp_path: Path) -> None:
    command = build_command("buildah", "trainer", variant="cuda", tag="t:1", base="debian@sha256:0", wheels=tmp_path)
    assert command[:2] == ["buildah", "build"]
    assert command[-1] == "."
    arguments = {command[number + 1] for number, word in enumerate(command) if word == "--build-arg"}
    declared = {value.partition("=")[0] for value in values("ARG", "head", "build")}
    assert {one.partition("=")[0] for one in arguments} <= declared
    assert {"IMAGE=trainer", "VARIANT=cuda", "BASE=debian@sha256:0", "PIP_NO_INDEX=1"} <= arguments
    assert command[command.index("--format") + 1] == "docker", "or the health check would be left out"
    assert f"{tmp_path}:/build/wheels-given:ro" in command


def test_without_a_builder_a_sentence_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["inspector"]) == 1
    assert "neither buildah nor podman is here" in capsys.readouterr().err
    assert re.fullmatch(r"\d+\.\d+\.\d+", version())


def asked(url: str) -> Any:
    environment = os.environ | {"HEALTH_URL": url}
    return subprocess.run(
        [sys.executable, str(HEALTHCHECK)], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_the_health_check_says_what_the_service_says() -> None:
    health = Health(hang_after_s=3600)
    server = HealthServer(HttpSettings(port=0), health, CollectorRegistry())
    server.start()
    url = f"http://127.0.0.1:{server.port}/healthz"
    try:
        well = asked(url)
        health.fail("the device is gone")
        ill = asked(url)
    finally:
        server.stop()
    gone = asked(url)
    assert (well.returncode, well.stdout) == (0, "ok\n")
    assert ill.returncode == 1
    assert "503: failed: the device is gone" in ill.stderr
    assert gone.returncode == 1
    assert url in gone.stderr
