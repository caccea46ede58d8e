from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.preprocess.param import DLPreprocessParam
from trainer.errors import DatasetError
from trainer.formats.decode import decode_file
from trainer.pictures import files
from trainer.pictures.files import in_batches, read_ahead, read_picture, read_samples, whole_picture

PARAM = DLPreprocessParam(image_width=64, image_height=32)


# --------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 21])
@pytest.mark.parametrize("batch_size", [1, 4, 8, 100])
def test_files_are_read_in_order_whatever_the_batch(paths: list[Path], count: int, batch_size: int) -> None:
    batches = list(read_samples(paths[:count], PARAM, batch_size=batch_size))
    widths = [sample.original_width for batch in batches for sample in batch]
    assert widths == [64 + index for index in range(count)]
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert all(0 < len(batch) <= batch_size for batch in batches)


def test_order_does_not_depend_on_which_file_is_decoded_first(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file is held back until the second is done."""
    second_is_done = threading.Event()

    def decode(data: bytes, **options: object) -> object:
        decoded = decode_file(data, limits=files.READ_LIMITS)
        sample = decoded.sample
        if sample.original_width == 64:
            assert second_is_done.wait(30)
        else:
            second_is_done.set()
        return decoded

    monkeypatch.setattr(files, "decode_file", decode)
    widths = [sample.original_width for batch in read_samples(paths[:4], PARAM) for sample in batch]
    assert widths == [64, 65, 66, 67]


def test_reading_runs_only_a_few_batches_ahead(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def decode(data: bytes, **options: object) -> object:
        read.append(1)
        return decode_file(data, limits=files.READ_LIMITS)

    monkeypatch.setattr(files, "decode_file", decode)
    batches = read_samples(paths, PARAM, batch_size=2)
    next(batches)
    assert len(read) <= 2 * 2 + 2, "memory is bounded"
    batches.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"5\.png is not a readable image \(file is empty\)"),
        (b"no picture", r"5\.png is not a readable image .*; replace or remove it"),
        (None, r"5\.png cannot be read \(No such file or directory\); replace or remove it"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(paths: list[Path], content: bytes | None, message: str) -> None:
    if content is None:
        paths[5].unlink()
    else:
        paths[5].write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        list(read_samples(paths, PARAM))


# ------------------------------------------------------------------------------------------------------------- read ahead


@given(st.integers(0, 30), st.integers(1, 9))
def test_outcomes_come_in_order_and_no_more_than_asked_for_are_made_ahead(count: int, ahead: int) -> None:
    begun: list[int] = []

    def read(item: int) -> int:
        begun.append(item)
        return -item

    taken = 0
    for outcome in read_ahead(range(count), read, ahead=ahead):
        assert outcome == -taken
        taken += 1
        assert len(begun) <= taken + ahead
    assert taken == count
    assert sorted(begun) == list(range(count))


def test_what_a_read_raises_is_raised_in_its_place_and_nothing_more_is_begun() -> None:
    begun: list[int] = []

    def read(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise DatasetError("three")
        return item

    outcomes = read_ahead(range(100), read, ahead=4)
    assert [next(outcomes) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DatasetError, match="three"):
        next(outcomes)
    assert len(begun) <= 3 + 1 + 4


@given(st.lists(st.integers()), st.integers(1, 5))
def test_batches_are_parts_in_order(items: list[int], size: int) -> None:
    batches = list(in_batches(items, size))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(batches)


# --------------------------------------------------------------------------------------------------------- whole pictures


def test_a_picture_that_was_decoded_smaller_is_read_again_and_a_whole_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    ok, content = cv2.imencode(".jpg", np.zeros((128, 256, 3), np.uint8))
    assert ok
    path.write_bytes(content.tobytes())
    reduced = read_picture(path, PARAM)
    assert reduced.image.shape == (32, 64, 3)
    assert whole_picture(path, reduced).shape == (128, 256, 3)
    whole = read_picture(path)
    path.unlink()
    assert whole_picture(path, whole) is whole.image


def test_a_file_that_was_changed_is_refused(paths: list[Path]) -> None:
    digest = hashlib.sha256(paths[0].read_bytes()).hexdigest()
    assert read_picture(paths[0], digest=digest).original_width == 64
    with pytest.raises(DatasetError, match=r"1\.png has changed since the data set was read; read the data set again"):
        read_picture(paths[1], digest=digest)


def test_closing_ends_the_threads(paths: list[Path]) -> None:
    before = set(threading.enumerate())
    batches = read_samples(paths, PARAM, batch_size=2)
    next(batches)
    assert set(threading.enumerate()) > before
    batches.close()
    assert set(threading.enumerate()) == before
