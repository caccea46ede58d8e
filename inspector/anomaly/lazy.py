"""Imports the public names of a package when they are first used (PEP 562), as listed in the package's own stub.

The stub `__init__.pyi` is the only list of these names. Type checkers and editors read it instead of `__init__.py`; at run time
this module reads in it where each name is defined. It imports nothing, so a program that only needs the settings loads no torch, and the
package does not import its own modules, which would be a circular import.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path


def lazy_names(package: str, file: str) -> tuple[list[str], Callable[[], list[str]], Callable[[str], object]]:
    """Return `__all__`, `__dir__` and `__getattr__` of a package.

    Args:
        package: Its `__name__`.
        file: Its `__file__`; the stub lies beside it.

    Raises:
        ImportError: The stub holds anything but lines such as `from package.room import name as name`.
    """
    homes = read_stub(Path(file).with_suffix(".pyi"))
    names = sorted(homes)

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # found once: the next one who asks does not come here
        return value

    return names, list_names, find


def read_stub(stub: Path) -> dict[str, str]:
    """Return the module in which each name of a stub is defined.

    Raises:
        ImportError: See `lazy_names`.
    """
    homes: dict[str, str] = {}
    for node in ast.parse(stub.read_bytes()).body:
        if not isinstance(node, ast.ImportFrom) or node.level or node.module is None:
            raise ImportError(f"{stub} line {node.lineno} is not an import from a module with its full name")
        for alias in node.names:
            if alias.asname != alias.name:
                raise ImportError(f"{stub} line {alias.lineno}: {alias.name} is not exported; add 'as {alias.name}'")
            homes[alias.name] = node.module
    return homes
