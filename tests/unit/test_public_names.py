"""`trainer` and `inspector.anomaly` show what a user needs, by one list each, and load nothing before it is used."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import trainer
import trainer.errors
from inspector import anomaly
from inspector.anomaly import errors as anomaly_errors
from inspector.anomaly.lazy import read_stub

ROOT = Path(__file__).parents[2]
PACKAGES = {"trainer": trainer, "inspector.anomaly": anomaly}


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_the_packages_load_no_torch_until_a_name_is_asked_for() -> None:
    loaded = "print('torch' in sys.modules, 'cv2' in sys.modules, 'pydantic' in sys.modules)"
    assert run(f"import sys, trainer, inspector.anomaly; dir(trainer); {loaded}").split() == ["False"] * 3
    assert run(f"import sys; from inspector.anomaly import apply_dl_model; {loaded}").split()[0] == "True"
    assert run(f"import sys; from trainer import DatasetError; {loaded}").split()[0] == "False"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_what_its_module_defines(package: str) -> None:
    module = PACKAGES[package]
    homes = read_stub(Path(module.__file__ or "").with_suffix(".pyi"))
    assert sorted(homes) == sorted(module.__all__)
    assert set(module.__all__) < set(dir(module))
    for name, home in homes.items():
        assert home.startswith(f"{package}."), f"{name} is of another package"
        value = getattr(module, name)
        assert value is getattr(importlib.import_module(home), name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__module__ == home, f"{name} is listed by another module than its own"
            assert value.__doc__
            assert not name.startswith("_")


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_no_name_is_no_attribute(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'train'"):
        _ = PACKAGES[package].train


def test_a_star_takes_the_public_names() -> None:
    code = "from trainer import *; from inspector.anomaly import *; print(train_dl_model.__name__, apply_dl_model.__name__)"
    assert run(code).split() == ["train_dl_model", "apply_dl_model"]


def test_a_room_is_imported_as_ever() -> None:
    assert run("from trainer import thresholds; print(thresholds.__name__)").strip() == "trainer.thresholds"


@pytest.mark.parametrize(("package", "errors"), [("trainer", trainer.errors), ("inspector.anomaly", anomaly_errors)])
def test_every_error_is_public(package: str, errors: object) -> None:
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert classes
    assert classes <= set(PACKAGES[package].__all__)


def types_of(annotation: object) -> Iterator[type]:
    """The classes that an annotation is made of."""
    if typing.get_origin(annotation) is typing.Literal:
        return
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        yield annotation
    for part in typing.get_args(annotation):
        yield from (kind for one in (part if isinstance(part, list) else [part]) for kind in types_of(one))


def annotations_of(value: object) -> Iterator[object]:
    """Of a function, or of a class, its attributes, properties and methods."""
    known = {"Tensor": torch.Tensor}  # imported for type checkers alone, so that no name loads torch
    if inspect.isfunction(value):
        yield from typing.get_type_hints(value, localns=known).values()
    elif inspect.isclass(value):
        yield from typing.get_type_hints(value, localns=known).values()
        for name, member in vars(value).items():
            bare = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if not name.startswith("_") and inspect.isfunction(bare):
                yield from typing.get_type_hints(bare, localns=known).values()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_type_that_a_public_name_takes_or_gives_is_public(package: str) -> None:
    named = [getattr(module, name) for module in PACKAGES.values() for name in module.__all__]
    public = {value for value in named if inspect.isclass(value)}
    strangers = {
        f"{kind.__name__} of {name}"
        for name in PACKAGES[package].__all__
        for annotation in annotations_of(getattr(PACKAGES[package], name))
        for kind in types_of(annotation)
        if kind.__module__.split(".")[0] in {"inspector", "trainer"} and kind not in public
        if not getattr(kind, "_is_protocol", False)  # a shape that many things have, not a thing to import
    }
    assert strangers == set()


def test_the_typing_test_uses_every_public_function_and_nothing_else() -> None:
    tree = ast.parse((ROOT / "tests" / "typing" / "api.py").read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    own = {module for module in modules if module and module.split(".")[0] in {"inspector", "trainer"}}
    assert own == {"inspector", "inspector.anomaly", "trainer"}
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for module in PACKAGES.values():
        functions = {name for name in module.__all__ if inspect.isfunction(getattr(module, name))}
        assert functions - used == set()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import trainer", "line 1 is not an import from a module with its full name"),
        ("x = 1", "line 1 is not an import"),
        ("from .errors import DatasetError as DatasetError", "line 1 is not an import"),
        ("from trainer.errors import DatasetError", "line 1: DatasetError is not exported; add 'as DatasetError'"),
        ("from trainer.errors import DatasetError as Error", "line 1: DatasetError is not exported"),
    ],
)
def test_a_stub_that_says_something_else_is_refused(tmp_path: Path, line: str, message: str) -> None:
    stub = tmp_path / "__init__.pyi"
    stub.write_text(line + "\n")
    with pytest.raises(ImportError, match=message):
        read_stub(stub)
