"""The text of docs/api: a directive of autodoc for every public name of a package, found without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

FACES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "trainer": "trainer/__init__.pyi",
        "inspector.anomaly": "inspector/anomaly/__init__.pyi",
        "schemas": "schemas/__init__.py",
    }
)
"""The file that lists the public names of each package, by imports."""
CLIENTS: Final = ("replay", "results", "topics", "acls")
"""The modules of inspector/clients that have functions for programs of one's own."""

_TITLES: Final = ("Functions", "Classes", "Errors", "Values and types")
_DIRECTIVES: Final[Mapping[str, str]] = MappingProxyType(
    {"Functions": "autofunction", "Classes": "autoclass", "Errors": "autoexception", "Values and types": "autodata"}
)


def face_markdown(package: str, root: Path) -> str:
    """Return a section each for functions, classes, errors and the rest, with a directive for every public name.

    Args:
        package: One of `FACES`.
        root: Folder of the packages.

    Raises:
        LookupError: A name is not defined at the top of the module that it is imported from; the message names both.
    """
    found: dict[str, list[str]] = {title: [] for title in _TITLES}
    for name, module in _imported(root / FACES[package]):
        found[_kind(name, root / (module.replace(".", "/") + ".py"))].append(f"{package}.{name}")
    return "\n".join(
        f"## {title}\n\n" + _block(_DIRECTIVES[title], sorted(names, key=str.lower))
        for title, names in found.items()
        if names
    )


def clients_markdown() -> str:
    """Return a section for each module of `CLIENTS`."""
    return "\n".join(
        f"## inspector.clients.{name}\n\n" + _block("automodule", [f"inspector.clients.{name}"]) for name in CLIENTS
    )


def _block(directive: str, names: list[str]) -> str:
    members = "\n   :members:" if directive in {"autoclass", "automodule"} else ""
    return "```{eval-rst}\n" + "\n\n".join(f".. {directive}:: {name}{members}" for name in names) + "\n```\n"


def _imported(listing: Path) -> Iterator[tuple[str, str]]:
    for node in ast.parse(listing.read_bytes()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
            yield from ((alias.name, node.module) for alias in node.names)


def _kind(name: str, file: Path) -> str:
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return "Errors" if name.endswith("Error") else "Classes"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return "Functions"
        targets = (
            node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", getattr(node, "name", None))]
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return "Values and types"
    raise LookupError(f"{name} is not defined at the top of {file}")
