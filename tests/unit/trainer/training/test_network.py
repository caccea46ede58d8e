from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import preprocess_dl_samples
from inspector.anomaly.types import DLSample, ImageGeometry
from trainer.errors import DatasetError
from trainer.pictures.files import read_samples
from trainer.training import network as features
from trainer.training.network import batch_features, build_network, default_input_size

PARAM = DLPreprocessParam(image_width=64, image_height=32)


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


@pytest.mark.parametrize(
    ("width", "height", "step", "expected"),
    [
        (100, 100, 14, (252, 252)),
        (640, 480, 14, (336, 252)),
        (100, 10_000, 14, (252, 1022)),
        (640, 512, 16, (320, 256)),
    ],
)
def test_the_default_input_is_whole_patches(width: int, height: int, step: int, expected: tuple[int, int]) -> None:
    found = default_input_size(ImageGeometry(width=width, height=height, channels=3), size_step=step)
    assert found == expected
    assert DLPreprocessParam(size_step=step, image_width=found[0], image_height=found[1]).input_size == found


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
    with pytest.raises(DatasetError, match="there is no image to train on"):
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
