"""How a model is trained: create_dl_train_param. The one place for every default of a training."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydantic import Field, ValidationError

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.param import InitialModel
from inspector.anomaly.parameters import Parameters
from schemas.refusal import refusals
from trainer.training.augmentation import Augmentation

IMAGES_SHOWN: Final = 3_000
"""By default a student is shown about this many images in total."""
CAMERA_TOLERANCE: Final = 1.0
LEAST_EPOCHS: Final = 10
MOST_EPOCHS: Final = 100
ERROR_THRESHOLD: Final = 0.001
"""A student's mean squared error that ends its training; HALCON's value."""

_WITHOUT: Final[Mapping[DetectorName, Mapping[str, str]]] = MappingProxyType(
    {
        "student": {},
        "padim": {
            "max_num_epochs": "it is trained in one pass",
            "error_threshold": "it is trained in one pass, which no error can end",
        },
        "patchcore": {
            "max_num_epochs": "it is trained in one pass",
            "error_threshold": "it is trained in one pass, which no error can end",
            "regularization_noise": "its bank holds patches as they are; give a larger coreset",
            "camera_tolerance": "its bank holds patches as they are; vary copies of the images with an augmentation",
        },
        "fused": {
            "max_num_epochs": "it is trained in one pass",
            "error_threshold": "it is trained in one pass, which no error can end",
        },
    }
)
"""What a detector has no use for, and why."""


class DLTrainParam(Parameters):
    """What a training depends on besides images and model; `create_dl_train_param` fills in the defaults.

    | | student | padim, fused | patchcore |
    |---|---|---|---|
    | `max_num_epochs` | passes over all images | refused | refused |
    | `error_threshold` | ends the training | refused | refused |
    | `domain_ratio` | share of the positions, drawn anew each epoch | 1 only: each has its own Gaussian | share of the patches that may enter the bank |
    | `regularization_noise` | added to the student's input | its square is added to every variance | refused |
    | `camera_tolerance` | of its Gaussians | of the Gaussians | refused |

    Attributes:
        max_num_epochs: None lets the number of images decide (`resolve_epochs`).
        error_threshold: A student's training ends after the epoch whose error is at or below it.
        domain_ratio: See above.
        regularization_noise: Standard deviation of Gaussian noise: for student in units of the root mean square of its
            input features, for padim and the Gaussians of fused in those of the embedding.
        camera_tolerance: How much of what a camera changes without the part is no anomaly, in units of noise of one gray value, 2 % of
            light and JPEG of quality 90 (`training.variation`); 0 tolerates only what the training images show.
        seed: Decides every random choice.
        augmentation: Varied copies of the training images; None for none.
    """

    max_num_epochs: int | None = Field(default=None, ge=1)
    error_threshold: float | None = Field(default=None, ge=0.0, le=1.0)
    domain_ratio: float = Field(default=1.0, gt=0.0, le=1.0)
    regularization_noise: float | None = Field(default=None, ge=0.0)
    camera_tolerance: float | None = Field(default=None, ge=0.0)
    seed: int = Field(default=0, ge=0, lt=2**31)
    augmentation: Augmentation | None = None


def create_dl_train_param(  # noqa: PLR0913 - its parameters, all named
    model: InitialModel,
    *,
    max_num_epochs: int | None = None,
    error_threshold: float | None = None,
    domain_ratio: float | None = None,
    regularization_noise: float | None = None,
    camera_tolerance: float | None = None,
    seed: int = 0,
    augmentation: Augmentation | None = None,
) -> DLTrainParam:
    """Return checked parameters for training a model, as the procedure of that name does.

    What is not given takes the default of the model's detector. HALCON's interval of evaluations and its display
    are not here: it ignores them for anomaly detection.

    Args:
        model: To be trained.
        max_num_epochs: See `DLTrainParam`; so are all others.
        error_threshold: 0 to 1.
        domain_ratio: Above 0, at most 1.
        regularization_noise: 0 or more.
        camera_tolerance: 0 or more.
        seed: 0 or more.
        augmentation: None for none.

    Raises:
        ParameterError: A parameter is out of its range, or the model's detector has no use for it.
    """
    detector = model.param.detector
    if detector == "student":
        error_threshold = ERROR_THRESHOLD if error_threshold is None else error_threshold
    if detector != "patchcore" and regularization_noise is None:
        regularization_noise = 0.0
    if detector != "patchcore" and camera_tolerance is None:
        camera_tolerance = CAMERA_TOLERANCE
    try:
        param = DLTrainParam(
            max_num_epochs=max_num_epochs,
            error_threshold=error_threshold,
            domain_ratio=1.0 if domain_ratio is None else domain_ratio,
            regularization_noise=regularization_noise,
            camera_tolerance=camera_tolerance,
            seed=seed,
            augmentation=augmentation,
        )
    except ValidationError as exc:
        raise ParameterError(f"training parameters: {refusals(exc)[0]}") from exc
    check_train_param(detector, param)
    return param


def check_train_param(detector: DetectorName, param: DLTrainParam) -> None:
    """Refuse what a detector has no use for, rather than ignore it.

    Raises:
        ParameterError: Names the parameter and the detector, and says what to do.
    """
    for name, why in _WITHOUT[detector].items():
        if getattr(param, name) is not None:
            raise ParameterError(f"{name} is not a parameter of {detector}: {why}; leave it out, or train a student")
    if detector in ("padim", "fused") and param.domain_ratio != 1:
        raise ParameterError(
            f"domain_ratio {param.domain_ratio:g} is not possible with {detector}: every position has its own "
            "Gaussian, which needs all images; leave it out, or restrict the domain of the preprocessing"
        )


def resolve_epochs(param: DLTrainParam, images: int) -> int:
    """Number of epochs for this many training images, including copies."""
    if param.max_num_epochs is not None:
        return param.max_num_epochs
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, round(IMAGES_SHOWN / max(images, 1))))
