from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from inspector.anomaly.image import decode_image
from inspector.anomaly.model import FeatureNetwork
from inspector.anomaly.samples import preprocess_dl_samples
from inspector.anomaly.types import DLPreprocessParam, DLSample, ImageGeometry
from tests.models import ok_image
from trainer import features
from trainer.errors import DatasetError
from trainer.features import batch_features, build_network, default_input_size, read_samples

PARAM = DLPreprocessParam(image_width=64, image_height=32)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Pictures of different sizes, each to be told from the others by its width."""
    rng = np.random.default_rng(0)
    made = [tmp_path / f"{index}.png" for index in range(21)]
    for index, path in enumerate(made):
        path.write_bytes(ok_image(rng, width=64 + index, height=40))
    return made


def network_of(paths: Sequence[Path | DLSample], *, seed: int = 0, dims: int = 16) -> FeatureNetwork:
    return build_network(paths, PARAM, backbone="efficientnet_lite0", levels=(2, 3), grid_level=1, dims=dims, seed=seed)


# ------------------------------------------------------------------------------------------------------------ input size


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (250, 630, (256, 640)),
        (630, 250, (640, 256)),
        (256, 256, (256, 256)),
        (4000, 4000, (256, 256)),
        (10, 10, (256, 256)),
        (1920, 1080, (448, 256)),
        (1000, 990, (256, 256)),
        (640, 512, (320, 256)),
        (100, 10_000, (256, 1024)),
        (10_000, 100, (1024, 256)),
        (1, 65_535, (256, 1024)),
    ],
)
def test_the_default_input_keeps_the_aspect(width: int, height: int, expected: tuple[int, int]) -> None:
    found = default_input_size(ImageGeometry(width=width, height=height, channels=3))
    assert found == expected
    assert DLPreprocessParam(image_width=found[0], image_height=found[1]).input_size == found


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

    monkeypatch.setattr(features, "decode_image", decode)
    widths = [sample.original_width for batch in read_samples(paths[:4], PARAM) for sample in batch]
    assert widths == [64, 65, 66, 67]


def test_reading_runs_only_a_few_batches_ahead(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def decode(data: bytes, **options: object) -> object:
        read.append(1)
        return decode_image(data)

    monkeypatch.setattr(features, "decode_image", decode)
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


# --------------------------------------------------------------------------------------------------------------- network


def test_samples_pass_through_and_may_be_preprocessed_already(paths: list[Path]) -> None:
    read = [sample for batch in read_samples(paths[:4], PARAM) for sample in batch]
    network = network_of(paths)
    expected = batch_features(network, read)
    preprocess_dl_samples(read, PARAM)
    (batch,) = read_samples(read, PARAM)
    assert batch == read
    for level, wanted in zip(batch_features(network, batch), expected, strict=True):
        assert torch.equal(level, wanted)
    assert torch.equal(network_of(paths[:4]).embedding.projection, network_of(read).embedding.projection)


def test_no_image_is_refused() -> None:
    with pytest.raises(DatasetError, match="there is no image to learn from"):
        network_of([])


def test_the_same_seed_gives_the_same_embedding_bit_by_bit(paths: list[Path]) -> None:
    first, again, other = (network_of(paths, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.embedding.projection, again.embedding.projection)
    assert not torch.equal(first.embedding.projection, other.embedding.projection)


def test_levels_weigh_alike(paths: list[Path]) -> None:
    """Without a reduction, each level's share of the embedding has a mean square norm of 1: two levels make 2."""
    network = network_of(paths, dims=1000)
    assert network.embedding.projection.shape == (24 + 40, 24 + 40)
    embedded = torch.cat([network.embed([s.image for s in batch]) for batch in read_samples(paths, PARAM)])
    assert float(embedded.square().sum(-1).mean()) == pytest.approx(2.0, rel=1e-3)


def test_the_projection_is_orthonormal_but_for_the_levels_scales(paths: list[Path]) -> None:
    projection = network_of(paths, dims=16).embedding.projection.double()
    # Within a level all rows share one scale, so the rows' norms, level by level, add up to a share of the dimensions.
    scales = network_of(paths, dims=1000).embedding.projection.double().square().sum(1).sqrt()
    assert float(scales[:24].std()) == pytest.approx(0.0, abs=1e-6)
    assert float(scales[24:].std()) == pytest.approx(0.0, abs=1e-6)
    basis = projection / scales[:, None]
    torch.testing.assert_close(basis.T @ basis, torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-6)


def test_only_some_images_are_measured(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "SCALE_IMAGES", 3)
    for path in paths[:3]:
        path.write_bytes(b"")
    # A seed whose draw falls on sound files only would prove nothing: both happen among a few seeds.
    outcomes = set()
    for seed in range(12):
        try:
            network_of(paths, seed=seed)
            outcomes.add("sound")
        except DatasetError:
            outcomes.add("refused")
    assert outcomes == {"sound", "refused"}
