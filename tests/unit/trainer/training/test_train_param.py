from __future__ import annotations

from typing import Any

import pytest

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.param import DLModelParam, InitialModel
from trainer.training.augmentation import Augmentation
from trainer.training.train_param import DLTrainParam, check_train_param, create_dl_train_param, resolve_epochs


def initial(detector: DetectorName) -> InitialModel:
    return InitialModel(DLModelParam(detector=detector))


def test_what_is_not_given_takes_the_default_of_the_detector() -> None:
    student = create_dl_train_param(initial("student"))
    assert (student.max_num_epochs, student.error_threshold) == (None, 0.001)
    assert (student.domain_ratio, student.regularization_noise, student.augmentation) == (1.0, 0.0, None)
    padim = create_dl_train_param(initial("padim"))
    assert (padim.error_threshold, padim.regularization_noise, padim.camera_tolerance) == (None, 0.0, 1.0)
    patchcore = create_dl_train_param(initial("patchcore"))
    assert (patchcore.error_threshold, patchcore.regularization_noise, patchcore.camera_tolerance) == (None, None, None)


def test_what_is_given_is_kept_and_survives_the_bundles_record() -> None:
    given = create_dl_train_param(
        initial("student"),
        max_num_epochs=7,
        error_threshold=0.0,
        domain_ratio=0.25,
        regularization_noise=0.5,
        camera_tolerance=0.3,
        seed=3,
        augmentation=Augmentation(flip_horizontal=True),
    )
    assert (given.max_num_epochs, given.error_threshold, given.domain_ratio) == (7, 0.0, 0.25)
    assert (given.regularization_noise, given.camera_tolerance, given.seed) == (0.5, 0.3, 3)
    assert DLTrainParam.model_validate_json(given.model_dump_json()) == given


@pytest.mark.parametrize(
    ("detector", "values", "message"),
    [
        ("student", {"max_num_epochs": 0}, "max_num_epochs"),
        ("student", {"error_threshold": 1.01}, "error_threshold"),
        ("student", {"error_threshold": -0.1}, "error_threshold"),
        ("student", {"domain_ratio": 0.0}, "domain_ratio"),
        ("student", {"domain_ratio": 1.1}, "domain_ratio"),
        ("student", {"regularization_noise": -1e-9}, "regularization_noise"),
        ("student", {"regularization_noise": float("nan")}, "regularization_noise"),
        ("fused", {"camera_tolerance": -1e-9}, "camera_tolerance"),
        ("padim", {"camera_tolerance": float("nan")}, "camera_tolerance"),
        ("patchcore", {"camera_tolerance": 1.0}, "camera_tolerance is not a parameter of patchcore: .*augmentation"),
        ("student", {"seed": -1}, "seed"),
        ("padim", {"max_num_epochs": 5}, "max_num_epochs is not a parameter of padim: .*leave it out"),
        ("padim", {"error_threshold": 0.1}, "error_threshold is not a parameter of padim"),
        ("padim", {"domain_ratio": 0.5}, "domain_ratio 0.5 is not possible with padim: .*leave it out"),
        ("patchcore", {"max_num_epochs": 5}, "max_num_epochs is not a parameter of patchcore"),
        ("patchcore", {"error_threshold": 0.1}, "error_threshold is not a parameter of patchcore"),
        (
            "patchcore",
            {"regularization_noise": 0.0},
            "regularization_noise is not a parameter of patchcore: .*larger coreset",
        ),
    ],
)
def test_what_is_out_of_range_or_of_no_use_is_refused_by_name(
    detector: DetectorName, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParameterError, match=message):
        create_dl_train_param(initial(detector), **values)


def test_parameters_made_for_another_detector_are_refused() -> None:
    with pytest.raises(ParameterError, match="error_threshold is not a parameter of padim"):
        check_train_param("padim", create_dl_train_param(initial("student")))


@pytest.mark.parametrize(("images", "epochs"), [(1, 100), (31, 97), (60, 50), (300, 10), (3000, 10)])
def test_epochs_follow_the_number_of_images(images: int, epochs: int) -> None:
    assert resolve_epochs(DLTrainParam(), images) == epochs
    assert resolve_epochs(DLTrainParam(max_num_epochs=4), images) == 4
