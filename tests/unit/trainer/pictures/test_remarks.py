"""What is said of files: unreadable ones, orientation flags, formats and what the service would refuse; from every source alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspector.anomaly.preprocess.image_header import DEFAULT_LIMITS
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.settings.settings import LimitSettings
from tests.picture_files import SUFFIX_OF, flagged, noise, saved
from trainer.dataset.archive import read_dl_dataset_archive
from trainer.dataset.dataset import DLDataset
from trainer.dataset.manifest import read_dl_dataset_manifest
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import DatasetError
from trainer.pictures.probe import Probe
from trainer.pictures.remarks import LARGEST_DECODING_BYTES, notes_of_files

Read = Callable[..., DLDataset]


def named(index: int, suffix: str) -> str:
    return f"2026-03-01/ok/177236640000000{index % 10}_{index}_p{index}{suffix}"


@pytest.fixture(params=["folders", "manifest", "archive"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Read]:
    """A folder to put images to, named by `named`, and what reads them."""
    kind = request.param
    root = tmp_path / "line-1/top"
    (root / "2026-03-01/ok").mkdir(parents=True)

    def read(**options: Any) -> DLDataset:
        if kind == "archive":
            return read_dl_dataset_archive(tmp_path, "line-1", "top", **options)
        if kind == "folders":
            return read_dl_dataset_anomaly(root, all_ok=True, **options)
        names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*") if path.is_file())
        table = root / "images.csv"
        rows = [f"{name},ok" for name in names if name != "images.csv"]
        table.write_text("\n".join(["path,image_label", *rows]), encoding="utf-8")
        return read_dl_dataset_manifest(table, **options)

    return root, read


def test_every_format_is_read_from_every_source(source: tuple[Path, Read]) -> None:
    root, read = source
    pixels = noise(20, 30, 3)
    for index, (kind, suffix) in enumerate(SUFFIX_OF.items()):
        (root / named(index, suffix)).write_bytes(saved(pixels, kind))
    dataset = read()
    assert len(dataset.samples) == len(SUFFIX_OF)
    assert len({sample.pixel_digest for sample in dataset.samples}) == 1
    (note,) = [note for note in dataset.notes if "raw pixels" in note]
    assert note.startswith("1 BMP and 1 JPEG 2000 and 1 PNM and 1 TIFF and 1 WebP of 6 images: the service accepts")


def test_all_unreadable_images_are_named_at_once(source: tuple[Path, Read]) -> None:
    root, read = source
    for index in range(3):
        (root / named(index, ".png")).write_bytes(saved(noise(20, 30, 3, seed=index), "PNG"))
    for index in range(3, 26):
        (root / named(index, ".tif")).write_bytes(b"II*\0 cut")
    with pytest.raises(DatasetError) as caught:
        read()
    message = str(caught.value)
    assert message.startswith("23 of 26 images cannot be read: ")
    assert message.count(".tif is not a readable image (TIFF ends early") == 20
    assert (
        "and 3 more; replace or remove them, or leave them out with --skip-unreadable (skip_unreadable=True)" in message
    )


def test_unreadable_images_are_left_out_where_that_is_asked_for(source: tuple[Path, Read]) -> None:
    root, read = source
    for index in range(3):
        (root / named(index, ".png")).write_bytes(saved(noise(20, 30, 3, seed=index), "PNG"))
    (root / named(3, ".bmp")).write_bytes(b"")
    (root / named(4, ".png")).write_bytes(b"no picture")
    dataset = read(skip_unreadable=True)
    assert [sample.image_id for sample in dataset.samples] == [0, 1, 2]
    assert len(dataset.unreadable) == 2
    assert any(named(3, ".bmp") in one and "file is empty" in one for one in dataset.unreadable)
    (note,) = [note for note in dataset.notes if "left out" in note]
    assert note.startswith("2 of 5 images cannot be read and are left out, as requested: ")
    assert named(4, ".png") in note


def test_where_nothing_is_left_to_learn_from_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="no ok image to train on"):
        read_dl_dataset_anomaly(tmp_path, skip_unreadable=True)


def test_one_unreadable_image_is_named_with_its_mend(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"a\.png is not a readable image .* leave it out with --skip-unreadable"):
        read_dl_dataset_anomaly(tmp_path)


def test_flags_are_counted_and_ignored(source: tuple[Path, Read]) -> None:
    root, read = source
    pixels = noise(20, 30, 3)
    for index, orientation in enumerate((1, 3, 4)):
        (root / named(index, ".png")).write_bytes(flagged(pixels, "PNG", orientation))
    dataset = read()
    (note,) = [note for note in dataset.notes if "EXIF" in note]
    assert note.startswith("2 of 3 images have an EXIF orientation other than upright (")
    assert "which is ignored" in note
    assert "--apply-exif" in note
    assert len({sample.pixel_digest for sample in dataset.samples}) == 1


def test_flags_are_applied_where_that_is_asked_for(source: tuple[Path, Read]) -> None:
    root, read = source
    upright = noise(20, 30, 3)
    (root / named(0, ".png")).write_bytes(saved(upright, "PNG"))
    # 6 is shown turned by a quarter clockwise, so it is stored turned the other way.
    (root / named(1, ".tif")).write_bytes(flagged(np.ascontiguousarray(np.rot90(upright)), "TIFF", 6))
    with pytest.raises(DatasetError, match=r"1 image lies on a side by its EXIF orientation .* --apply-exif"):
        read()
    dataset = read(apply_exif=True)
    assert dataset.apply_exif
    assert {(sample.width, sample.height) for sample in dataset.samples} == {(30, 20)}
    assert len({sample.pixel_digest for sample in dataset.samples}) == 1
    (note,) = [note for note in dataset.notes if "EXIF" in note]
    assert "rotated upright, as requested. The service does the same with JPEG and PNG frames" in note
    with pytest.raises(
        DatasetError, match="read with apply_exif=True, but the preprocessing parameters say apply_exif=False"
    ):
        dataset.check_orientation(DLPreprocessParam(image_width=32, image_height=32))


PROBE = Probe(30, 20, 3, "", "", "png", 1000, 1)


def test_no_remark_without_need() -> None:
    assert notes_of_files([("a.png", PROBE)], apply_exif=False) == []


def test_pictures_that_the_service_would_refuse_are_noted_with_the_setting() -> None:
    large = replace(PROBE, num_bytes=15 * 2**20)
    vast = replace(PROBE, width=8000, height=8000)
    notes = notes_of_files([("a.png", PROBE), ("b.png", large), ("c.png", vast)], apply_exif=False)
    assert len(notes) == 2
    assert notes[0].startswith(
        "1 of 3 images has more than 8 MiB, up to 15.0 MiB (b.png): with default settings the service"
    )
    assert f"raise its limits.max_frame_bytes to {15 * 2**20} or more" in notes[0]
    assert notes[1].startswith("decoding c.png takes 366.2 MiB")
    assert f"raise its limits.max_bytes_in_flight to {4 * 8000 * 8000 * 3} or more" in notes[1]


def test_the_usual_limits_are_those_of_the_service() -> None:
    limits = LimitSettings()
    assert (limits.max_frame_bytes, limits.max_pixels) == (DEFAULT_LIMITS.max_bytes, DEFAULT_LIMITS.max_pixels)
    assert limits.max_bytes_in_flight // 2 == LARGEST_DECODING_BYTES
