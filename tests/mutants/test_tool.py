"""Needs the extra `mutants`; skipped visibly where it is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("mutmut", reason="needs the extra mutants")

CODE = """
class Part:
    @property
    def size(self):
        return self.width + 1

    @model_validator(mode="after")
    def _is_whole(self):
        if self.width < 1:
            raise ValueError(f"a part of {self.width + 2} pixels")
        log.warning("a part: %s", self.width - 3)
        return dict(zip(self.names, self.sizes, strict=True))

    @overload
    def other(self):
        return 4
"""


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    """The tool in a workplace of its own, with mutmut fitted as `tool.main` does; mutmut looks for its settings as it is imported."""
    (tmp_path / "pyproject.toml").write_text('[tool.mutmut]\nsource_paths = ["part.py"]\n')
    (tmp_path / "part.py").write_text(CODE)
    (tmp_path / "mutants").mkdir()
    monkeypatch.chdir(tmp_path)
    from mutmut import configuration
    from mutmut.mutation import file_mutation

    from tests.mutants import tool

    configuration.reset_config()
    monkeypatch.setattr(file_mutation, "MutationVisitor", tool.Visitor)
    monkeypatch.setattr(file_mutation, "function_trampoline_arrangement", tool.arrange)
    yield tool
    configuration.reset_config()


def mutants() -> Any:
    from mutmut.mutation import file_mutation

    return file_mutation.mutate_file_contents("part.py", CODE)


def test_texts_logs_and_strict_are_left_alone_and_properties_and_validators_changed(tool: ModuleType) -> None:
    code = mutants().code
    for changed in ("self.width - 1", "self.width + 2", "self.width <= 1", "self.width < 2", "zip(None, self.sizes,"):
        assert changed in code
    for kept in (
        "self.width - 2",
        "self.width + 3",
        "self.width + 3",
        "log.warning(None",
        "ValueError(None",
        "return 5",
    ):
        assert kept not in code
    assert "strict=False" not in code
    assert code.count("@property") == code.count("@model_validator") == 1, "a mutant is no validator of its own"


def test_a_share_is_drawn_by_the_seed_and_counted_as_a_part_of_all(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = len(mutants().mutant_names)
    monkeypatch.setattr(tool.Visitor, "share", 0.4)
    some = mutants()
    assert 0 < len(some.mutant_names) < every
    assert mutants().code == some.code
    monkeypatch.setattr(tool.Visitor, "seed", 2)
    assert mutants().code != some.code


def test_a_mutant_is_named_as_its_function_is(tool: ModuleType) -> None:
    assert tool._function("inspector.inflight.lease.xǁLeaseǁtake__mutmut_3") == "inspector.inflight.lease.Lease.take"
    assert tool._function("schemas.codec.x_decode__mutmut_12") == "schemas.codec.decode"
    assert tool._function("schemas.codec.x__read__mutmut_12") == "schemas.codec._read"


def test_what_survived_is_tried_again(tool: ModuleType) -> None:
    from mutmut.mutation.data import SourceFileMutationData

    data = SourceFileMutationData(path="part.py")
    data.exit_code_by_key = {"part.x_a__mutmut_1": 1, "part.x_a__mutmut_2": 0, "part.x_a__mutmut_3": -24}
    data.save()
    tool.forget()
    data.load()
    assert list(data.exit_code_by_key.values()) == [1, None, -24]
