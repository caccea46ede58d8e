"""The tables of docs/modules.md: every module with the first sentence of its docstring."""

from __future__ import annotations

import ast
from pathlib import Path

from deploy.site.cells import cell

PACKAGES = ("schemas", "inspector", "trainer")


def modules_markdown(root: Path) -> str:
    """Return a table for each room, in the order of the folders.

    Args:
        root: Folder of the packages.
    """
    parts: list[str] = []
    for package in PACKAGES:
        folders = sorted({path.parent for path in (root / package).rglob("*.py")})
        for folder in folders:
            modules = sorted(path for path in folder.glob("*.py") if path.stem != "__init__")
            if modules:
                level = "##" if folder == root / package else "###"
                rows = "".join(f"| `{path.stem}` | {cell(_first_line(path))} |\n" for path in modules)
                parts.append(
                    f"{level} {folder.relative_to(root)}/\n\n{cell(_first_line(folder / '__init__.py'))}\n\n"
                    f"| module | job |\n|---|---|\n{rows}"
                )
    return "\n".join(parts)


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n\n")[0]
