from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from inspector.anomaly.preprocess.image import decode_image
from inspector.anomaly.preprocess.param import DLPreprocessParam
from tests.models import ok_image
from trainer.dataset import files
from trainer.dataset.files import read_samples
from trainer.errors import DatasetError

PARAM = DLPreprocessParam(image_width=64, image_height=32)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Pictures of different sizes, each to be told from the others by its width."""
    rng = np.random.default_rng(0)
    made = [tmp_path / f"{index}.png" for index in range(21)]
    for index, path in enumerate(made):
        path.write_bytes(ok_image(rng, width=64 + index, height=40))
    return made


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
        sample = decode_image(data)
        if sample.original_width == 64:
            assert second_is_done.wait(30)
        else:
            second_is_done.set()
        return sample

    monkeypatch.setattr(files, "decode_image", decode)
    widths = [sample.original_width for batch in read_samples(paths[:4], PARAM) for sample in batch]
    assert widths == [64, 65, 66, 67]


def test_reading_runs_only_a_few_batches_ahead(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def decode(data: bytes, **options: object) -> object:
        read.append(1)
        return decode_image(data)

    monkeypatch.setattr(files, "decode_image", decode)
    batches = read_samples(paths, PARAM, batch_size=2)
    next(batches)
    assert len(read) <= 2 * 2 + 2, "memory is bounded"
    batches.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"5\.png cannot be decoded \(empty\)"),
        (b"no picture", r"5\.png cannot be decoded \(unsupported\).*remove or replace it"),
        (None, r"5\.png cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(paths: list[Path], content: bytes | None, message: str) -> None:
    if content is None:
        paths[5].unlink()
    else:
        paths[5].write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        list(read_samples(paths, PARAM))
