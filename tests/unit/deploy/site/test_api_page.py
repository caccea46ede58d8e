"""A directive for every public name, found without importing the package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import inspector.anomaly
import schemas
import trainer
from deploy.site.api_page import FACES, clients_markdown, face_markdown

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("package", [trainer, inspector.anomaly, schemas], ids=list(FACES))
def test_every_public_name_has_one_directive(package: object) -> None:
    name = str(package.__name__)  # type: ignore[attr-defined]
    lines = face_markdown(name, ROOT).split("\n")
    shown = [line.rpartition(":: ")[2] for line in lines if line.startswith(".. auto")]
    assert sorted(shown) == sorted(f"{name}.{one}" for one in package.__all__)  # type: ignore[attr-defined]


def test_kinds_are_told_apart() -> None:
    text = face_markdown("trainer", ROOT)
    for line in (
        ".. autofunction:: trainer.train_dl_model",
        ".. autoclass:: trainer.DLDataset\n   :members:",
        ".. autoexception:: trainer.DatasetError",
        ".. autodata:: trainer.GroupBy",
    ):
        assert f"{line}\n" in text


def test_a_name_that_its_module_does_not_define_is_refused(tmp_path: Path) -> None:
    (tmp_path / "trainer").mkdir()
    (tmp_path / "trainer/__init__.pyi").write_text("from trainer.room import gone as gone\n")
    (tmp_path / "trainer/room.py").write_text("here = 1\n")
    with pytest.raises(LookupError, match=r"gone is not defined at the top of .*room\.py"):
        face_markdown("trainer", tmp_path)


def test_the_modules_of_the_clients_exist() -> None:
    for line in clients_markdown().split("\n"):
        if line.startswith(".. automodule:: "):
            path = ROOT / (line.rpartition(" ")[2].replace(".", "/") + ".py")
            assert path.is_file(), sys.path
