"""Each package draws its errors as a tree in the docstring of its `errors` module: the classes are just these."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

PACKAGES = ("schemas", "inspector", "inspector.anomaly", "trainer")


def drawn(text: str) -> dict[str, str | None]:
    """The parent of each class in a docstring's tree; None for the root."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in text.splitlines():
        found = re.match(r"^(?P<bars>[ |]*(?:\+-- )?)(?P<name>\w+Error)(?:\s|$)", line)
        if found is None:
            continue
        depth = (len(found["bars"]) + 3) // 5 if found["bars"] else 0
        path[depth:] = [found["name"]]
        parents[found["name"]] = path[depth - 1] if depth else None
    return parents


@pytest.mark.parametrize("package", PACKAGES)
def test_the_tree_in_the_docstring_is_that_of_the_classes(package: str) -> None:
    module = importlib.import_module(f"{package}.errors")
    classes = {
        name: value
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == module.__name__
    }
    parents = {
        name: value.__bases__[0].__name__ if value.__bases__[0].__name__ in classes else None
        for name, value in classes.items()
    }
    assert parents == drawn(module.__doc__ or "")
    assert list(parents.values()).count(None) == 1, "one root"


def test_a_tree_is_read_as_it_is_drawn() -> None:
    tree = """Errors.

    RootError
     +-- FirstError   one
     |    +-- InnerError  two
     +-- OtherError
    """
    assert drawn(inspect.cleandoc(tree)) == {
        "RootError": None,
        "FirstError": "RootError",
        "InnerError": "FirstError",
        "OtherError": "RootError",
    }
