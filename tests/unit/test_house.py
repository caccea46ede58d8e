"""The house holds: tests mirror the rooms, modules stay small, and ARCHITECTURE.md names every room."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"trainer": "trainer", "inspector": "inspector", "anomaly": "inspector/anomaly", "schemas": "schemas"}
MOST_LINES = 400
MOST_MODULES = 12


def modules(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.py") if path.stem != "__init__"}


def rooms(package: str) -> list[Path]:
    """Folders of a package that hold modules, the package's own included."""
    root = ROOT / PACKAGES[package]
    inner = {path.parent for path in root.rglob("*.py")}
    if package == "inspector":
        inner = {path for path in inner if not path.is_relative_to(root / "anomaly")}
    return sorted(inner)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_test_lies_in_the_room_of_its_module_and_bears_its_name(package: str) -> None:
    folder = ROOT / "tests/unit" / package
    known = {path.relative_to(ROOT / PACKAGES[package]): modules(path) for path in rooms(package)}
    strangers = []
    for path in sorted(folder.rglob("test_*.py")):
        place, name = path.parent.relative_to(folder), path.stem.removeprefix("test_")
        # A long test is parted: test_split.py, test_split_groups.py. A room's own name is for what concerns all of it.
        own = known.get(place, set()) | {place.name}
        if not any(name == module or name.startswith(f"{module}_") for module in own):
            strangers.append(str(path.relative_to(ROOT)))
    assert strangers == []


@pytest.mark.parametrize("folder", ["schemas", "inspector", "trainer", "deploy", "tests"])
def test_no_module_is_too_long_to_read_in_one_go(folder: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert long == {}


def test_no_folder_of_deploy_has_more_modules_than_one_remembers() -> None:
    found = {path.parent for path in (ROOT / "deploy").rglob("*.py")}
    assert {str(path.relative_to(ROOT)): many for path in found if (many := len(modules(path))) > MOST_MODULES} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_has_more_modules_than_one_remembers(package: str) -> None:
    full = {str(path.relative_to(ROOT)): many for path in rooms(package) if (many := len(modules(path))) > MOST_MODULES}
    assert full == {}, "part it where imports cross least"


@pytest.mark.parametrize("package", ["trainer", "inspector", "anomaly"])
def test_architecture_has_a_line_for_each_room(package: str) -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    heading = {"anomaly": "inspector/anomaly"}.get(package, package)
    (part,) = re.findall(rf"^### {heading}/ .*?(?=^#|\Z)", page, flags=re.MULTILINE | re.DOTALL)
    root = ROOT / PACKAGES[package]
    expected = {f"{path.name}/" for path in rooms(package) if path != root} | modules(root)
    named = set(re.findall(r"`([a-z_]+/?)`", part))
    missing = expected - named - {"__main__"}
    assert missing == set()
    assert {name for name in named if name.endswith("/")} <= expected, "no room that is gone"


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "trainer/SEED.md"])
def test_documents_name_files_that_exist(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w/.])((?:tests|trainer|inspector|schemas|deploy)/[\w/.]*\w\.\w+)", text))
    named = {path.rstrip(".") for path in named if path.endswith((".py", ".md", ".json", ".toml"))}
    assert named, "or the pattern is wrong"
    assert {path for path in named if not (ROOT / path).exists()} == set()
