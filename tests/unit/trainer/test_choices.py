"""The words that parameters may be set to are written down once, and naming them loads nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[3]


def literals(path: Path) -> list[tuple[str, ...]]:
    """The words of each `Literal[...]` of a module that names three or more, sorted."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "Literal":
            parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            words = [str(part.value) for part in parts if isinstance(part, ast.Constant)]
            if len(words) > 2:
                found.append(tuple(sorted(words)))
    return found


def test_no_choice_is_written_down_twice() -> None:
    """But on the wire, which the anomaly domain does not know."""
    homes = defaultdict(list)
    for package in ("inspector", "trainer"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for words in literals(path):
                homes[words].append(str(path.relative_to(ROOT)))
    assert ("fused", "padim", "patchcore", "student") in homes
    assert {words: places for words, places in homes.items() if len(places) > 1} == {}


def test_settings_load_no_heavy_library() -> None:
    program = (
        "import sys, trainer.settings.commands, trainer.choices, inspector.anomaly.choices\n"
        "print(*sorted({'torch', 'numpy', 'cv2', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("\n", "")
