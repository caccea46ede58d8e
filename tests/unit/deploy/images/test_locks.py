"""The images' lists of packages: complete, hashed, and of the versions that the tests ran with."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.metadata import requires

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.images.lock import LOCKS, TOOLS, TOOLS_LOCK, TORCH_CPU, TORCH_CPU_INDEX, Lock
from deploy.local.broker import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
STALE = "run python -m deploy.images.lock"
OF_CUDA = re.compile(r"(nvidia|cuda)-.*|triton")
HERE = {str(key): str(value) for key, value in default_environment().items()}
LINUX = HERE | {
    "python_version": "3.11",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
}


@cache
def pins(text: str) -> dict[str, tuple[str, int]]:
    """Version and number of hashes of each package."""
    blocks = re.findall(
        r"^([a-z0-9.-]+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text, flags=re.MULTILINE
    )
    assert len(blocks) == len(re.findall(r"^[a-z0-9]", text, flags=re.MULTILINE)), (
        "something stands there without a hash"
    )
    return {canonicalize_name(name): (version, hashes.count("sha256:")) for name, version, hashes in blocks}


def constraints() -> dict[str, str]:
    lines = (CHECKOUT / "constraints.txt").read_text().splitlines()
    return {
        canonicalize_name(name): version
        for name, version in (line.split("==") for line in lines if "==" in line and line[0] != "#")
    }


def needed(extras: tuple[str, ...]) -> set[str]:
    """Every package that the extras bring on Linux, by what the packages installed here ask for."""
    found: set[str] = set()
    waiting = [Requirement(one) for one in PROJECT["project"]["dependencies"]]
    waiting += [Requirement(f"line-inspector[{','.join(extras)}]")]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name == "line-inspector":
            more = [
                Requirement(line) for extra in one.extras for line in PROJECT["project"]["optional-dependencies"][extra]
            ]
            waiting += more
            continue
        wanted = [Requirement(line) for line in requires(name) or []]
        following = [
            each
            for each in wanted
            if each.marker is None or any(each.marker.evaluate(LINUX | {"extra": extra}) for extra in ("", *one.extras))
        ]
        if name in found and not one.extras:
            continue
        found.add(name)
        waiting += [each for each in following if canonicalize_name(each.name) not in found or each.extras - one.extras]
    return found


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: f"{lock.image}-{lock.variant}")
def test_a_lock_has_the_versions_of_constraints_and_all_that_the_extras_need(lock: Lock) -> None:
    packages = pins(lock.path.read_text())
    expected = constraints()
    if lock.variant == "cpu":
        expected["torch"] = TORCH_CPU.removeprefix("torch==")
    strangers = {name for name in packages if name not in expected}
    assert lock.variant == "cuda" or strangers == set(), STALE
    assert {name for name in strangers if OF_CUDA.fullmatch(name) is None} == set(), STALE
    other = {name: version for name, (version, _) in packages.items() if version != expected.get(name, version)}
    assert other == {}, STALE
    missing = {name for name in needed(lock.extras) if OF_CUDA.fullmatch(name) is None} - set(packages)
    assert missing == set(), STALE
    assert all(hashes for _, hashes in packages.values())


def test_only_the_build_without_cuda_comes_from_an_index_of_its_own() -> None:
    for lock in LOCKS:
        options = [line for line in lock.path.read_text().splitlines() if line.startswith("--")]
        assert options == ([f"--extra-index-url {TORCH_CPU_INDEX}"] if lock.variant == "cpu" else [])
    assert constraints()["torch"] == TORCH_CPU.removeprefix("torch==").partition("+")[0]


def test_the_builder_is_the_one_that_pyproject_names() -> None:
    packages = pins(TOOLS_LOCK.read_text())
    assert {f"{name}=={packages[name][0]}" for name in ("hatchling", "cyclonedx-bom")} == set(TOOLS), STALE
    assert PROJECT["build-system"]["requires"] == [TOOLS[0]]
