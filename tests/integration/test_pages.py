"""What pages show can be typed: every command, option, setting and program on them exists."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from deploy.site.commands_page import PROGRAMS, command_names, help_text
from inspector.settings.file import load_settings
from inspector.settings.settings import CameraSettings, Settings
from trainer import OkOnlyParam, estimate_threshold

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
IDS = [path.relative_to(CHECKOUT).as_posix() for path in PAGES]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^    .*\n)+", re.MULTILINE)
_COMMAND = re.compile(rf"(?:^|[\s`]){{1}}((?:{'|'.join(PROGRAMS)}) [a-z][^`\n|&>]*)")
# Programs that other tests run: the README's and the guides' by test_readme*.py, the step's by test_readme.py.
RUN_ELSEWHERE = {"README.md", "docs/camera.md", "docs/actuator.md"}


def code(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of every block; an indented one has no language."""
    text = page.read_text("utf-8")
    yield from _FENCED.findall(text)
    for block in _INDENTED.findall(_FENCED.sub("", text)):
        yield "", re.sub(r"^    ", "", block, flags=re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command of ours, in blocks and within sentences."""
    text = page.read_text("utf-8").replace("\\\n", " ")
    parts = [block for language, block in code(page) if language not in {"python", "text", "c"}]
    parts += re.findall(r"`((?:trainer|inspector) [^`\n]+)`", _FENCED.sub("", text))
    for part in parts:
        for line in part.replace("\\\n", " ").replace("docker compose exec inspector ", "").splitlines():
            for found in _COMMAND.findall(line.split("  #")[0]):
                yield shlex.split(found, comments=True)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_command_and_option_that_is_shown_exists(page: Path) -> None:
    for program, command, *words in commands(page):
        assert command in command_names(program), f"{program} {command}"
        known = set(re.findall(r"--[a-z][\w.-]*", help_text(program, command)))
        typed = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--help"}
        assert typed <= known, f"{program} {command}: {sorted(typed - known)}"


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_module_that_is_to_be_run_exists(page: Path) -> None:
    for name in re.findall(r"python -m ((?:tests|deploy|schemas|inspector|trainer)[\w.]*)", page.read_text("utf-8")):
        assert importlib.util.find_spec(name) is not None, name


def unknown_keys(table: dict[str, Any], model: type[BaseModel]) -> Iterator[str]:
    for key, value in table.items():
        field = model.model_fields.get(key)
        if field is None:
            yield key
        elif isinstance(value, dict) and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from (f"{key}.{inner}" for inner in unknown_keys(value, field.annotation))
        elif key == "cameras":
            yield from (inner for camera in value for inner in unknown_keys(camera, CameraSettings))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_setting_that_is_shown_exists(page: Path) -> None:
    for language, block in code(page):
        if language == "toml" or re.match(r"\[\[?[a-z]+\]|[a-z_]+ += ", block):
            assert list(unknown_keys(tomllib.loads(block), Settings)) == [], block


def test_the_smallest_settings_file_is_valid(tmp_path: Path) -> None:
    (block,) = (block for language, block in code(CHECKOUT / "docs/settings.md") if language == "toml")
    (tmp_path / "inspector.toml").write_text(block)
    assert [camera.key for camera in load_settings(tmp_path / "inspector.toml").cameras] == ["line1/cam1"]


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_import_of_a_program_works(page: Path) -> None:
    """Programs that need more than their imports are run where `RUN_ELSEWHERE` says."""
    for language, block in code(page):
        if language == "python":
            tree = ast.parse(block)
            imports: list[ast.stmt] = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            if len(imports) < len(tree.body) and page.relative_to(CHECKOUT).as_posix() not in RUN_ELSEWHERE:
                assert page.name == "chaos.md", f"{page.name} has a program that no test runs"
            exec(compile(ast.Module(imports, []), str(page), "exec"), {})  # noqa: S102 - our own document


def test_the_bounds_of_the_page_on_thresholds_are_those_that_are_computed() -> None:
    page = (CHECKOUT / "docs/thresholds.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| 5 % \| ([\d.]+) % \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for count, bound in rows:
        distances = np.random.default_rng(0).lognormal(size=int(count))
        estimate = estimate_threshold(distances, OkOnlyParam())
        assert f"{100 * estimate.false_reject_bound:.1f}" == bound
