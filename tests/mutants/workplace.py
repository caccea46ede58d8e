"""A room's workplace: a copy of the checkout in out/mutants/ROOM, where mutmut makes and tries the mutants."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.mutants.rooms import Room

CHECKOUT: Final = Path(__file__).parents[2]
OUT: Final = CHECKOUT / "out" / "mutants"
TOOL: Final = Path(__file__).with_name("tool.py")

SETTINGS: Final = """
[tool.mutmut]
source_paths = ["inspector", "schemas", "trainer"]
only_mutate = ["{folder}/*"]
also_copy = ["deploy", "docs", "README.md"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist"]
pytest_add_cli_args_test_selection = {tests}
# A mutant has four times the processor time that its tests take, and 20 s, before it counts as one that never ends.
timeout_constant = 5.0
timeout_multiplier = 2.0
use_git_change_detection = false
"""


class Workplace:
    """Where the mutants of one room live and die."""

    def __init__(self, room: Room) -> None:
        """Nothing is written yet."""
        self.room = room
        self.folder = OUT / room.name

    def prepare(self, *, again: bool, share: float, seed: int) -> bool:
        """Copy what git knows, or does not ignore, of the checkout; return whether the last run goes on: it needs its workplace.

        Args:
            again: Keep the mutants that the last run drew, and what it killed of them.
            share: Of the mutants, which `seed` draws; 1: all.
            seed: Of the draw, and of the order in which mutants are tried.
        """
        draw = self.folder / "draw.json"
        if not (again and draw.exists()):
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            draw.write_text(json.dumps({"share": share, "seed": seed}), encoding="utf-8")
            again = False
        command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        listed = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            _copy(CHECKOUT / name, self.folder / name)
        settings = SETTINGS.format(folder=self.room.folder, tests=json.dumps(self.room.tests))
        project = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
        (self.folder / "pyproject.toml").write_text(project + settings, encoding="utf-8")
        if again:
            self._tool("forget")
        return again

    def run(self, processes: int) -> None:
        """Try the mutants that have no outcome yet.

        Raises:
            subprocess.CalledProcessError: mutmut ended with another status; it has said why.
        """
        self._tool("run", str(processes))

    def outcome(self) -> tuple[int, list[dict[str, str]]]:
        """Return how many mutants the room has, and what became of each that was made."""
        said = json.loads(self._tool("outcome", capture=True))
        return said["mutants"], said["found"]

    def _tool(self, *arguments: str, capture: bool = False) -> str:
        # CI: Hypothesis draws the same examples every time.
        done = subprocess.run(
            [sys.executable, "-P", str(TOOL), *arguments],
            cwd=self.folder,
            env={**os.environ, "CI": "1"},
            check=True,
            stdout=subprocess.PIPE if capture else None,
            text=True,
        )
        return done.stdout or ""


def _copy(source: Path, target: Path) -> None:
    """Copy a file, unless it is there: mutmut takes a file that is newer than its mutants for a changed one."""
    if not source.is_file() or (target.exists() and target.read_bytes() == source.read_bytes()):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
