"""Large weights lie beside the bundles that share them, by their digest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inspector.anomaly.errors import BundleError
from inspector.anomaly.model import backbone_file
from inspector.anomaly.model.backbone_file import BACKBONE_FILE, SHARED_FOLDER, shared_file
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import read_manifest
from inspector.anomaly.model.model import apply_dl_model
from tests.bundles import samples, write
from tests.models import tiny_model


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_file, "LARGEST_INSIDE_BYTES", 1000)


def test_bundles_of_one_backbone_share_its_weights(tmp_path: Path) -> None:
    model = tiny_model()
    for name in ("first", "second"):
        write(tmp_path / name, model)
        assert BACKBONE_FILE not in {path.name for path in (tmp_path / name).iterdir()}
    digest = read_manifest(tmp_path / "first")[0].files[BACKBONE_FILE]
    assert list((tmp_path / SHARED_FOLDER).iterdir()) == [shared_file(tmp_path / "second", digest)]
    expected = [result.anomaly_score for result in apply_dl_model(model, samples())]
    for name in ("first", "second"):
        again = read_dl_model(tmp_path / name)
        assert [result.anomaly_score for result in apply_dl_model(again, samples())] == expected


def test_a_bundle_that_left_its_weights_behind_says_what_to_copy(tmp_path: Path) -> None:
    write(tmp_path / "model", tiny_model())
    moved = tmp_path / "elsewhere/model"
    shutil.copytree(tmp_path / "model", moved)
    digest = read_manifest(moved)[0].files[BACKBONE_FILE]
    with pytest.raises(
        BundleError, match=rf"Large weights are stored beside a bundle: .*elsewhere/backbones/{digest}\.safetensors"
    ):
        read_dl_model(moved)
    shutil.copytree(tmp_path / SHARED_FOLDER, moved.parent / SHARED_FOLDER)
    read_dl_model(moved)
    # Inside will do as well, whatever their size.
    shutil.rmtree(moved.parent / SHARED_FOLDER)
    shutil.copy(shared_file(tmp_path / "model", digest), moved / BACKBONE_FILE)
    read_dl_model(moved)


def test_shared_weights_that_were_altered_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "model", tiny_model())
    path = shared_file(tmp_path / "model", read_manifest(tmp_path / "model")[0].files[BACKBONE_FILE])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="was changed: its SHA-256"):
        read_dl_model(tmp_path / "model")


def test_weights_that_cannot_be_written_or_read_are_named(tmp_path: Path) -> None:
    model = tiny_model()
    (tmp_path / SHARED_FOLDER).write_text("a file")
    with pytest.raises(BundleError, match="cannot be written: File exists"):
        write(tmp_path / "model", model)
    (tmp_path / SHARED_FOLDER).unlink()
    write(tmp_path / "model", model)
    path = shared_file(tmp_path / "model", read_manifest(tmp_path / "model")[0].files[BACKBONE_FILE])
    path.unlink()
    path.mkdir()
    with pytest.raises(BundleError, match=r"\.safetensors cannot be read: Is a directory"):
        read_dl_model(tmp_path / "model")
