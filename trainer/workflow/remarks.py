"""Warnings and notes about the chosen preprocessing, in sentences for the user."""

from __future__ import annotations

from typing import Final

from inspector.anomaly.model.param import DLModelParam
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import ImageGeometry

PIXELS_OF_DEFECT: Final = 6
"""So many pixels of the input a defect has to be across, roughly, to be seen: smaller discs on pictures of screws are found no more
often than ok pictures are rejected, by PaDiM and PatchCore, whatever their contrast; half of those of 12 pixels are found."""

USUAL_REDUCTION: Final = 4
"""Images that are reduced by no more than this get no note: a megapixel or two on the usual input."""

UNEVEN: Final = 1.25
"""From this ratio of both factors on, shapes are visibly squeezed."""


def warnings_of_constants(preprocess_param: DLPreprocessParam, param: DLModelParam) -> tuple[str, ...]:
    """Warn of constants that are not the backbone's; they are the user's own, and taken as they are."""
    own, trained = preprocess_param.normalization, param.normalization
    if preprocess_param.normalization_type != "constant_values" or own == trained:
        return ()
    warning = (
        f"the preprocessing parameters normalise by mean {_listed(own.mean)} and deviation {_listed(own.deviation)}, "
        f"but {param.backbone} was trained with {_listed(trained.mean)} and {_listed(trained.deviation)}. Unless this "
        "is intended, create the parameters again with create_dl_preprocess_param_from_model"
    )
    return (warning,)


def notes_of_reduction(preprocess_param: DLPreprocessParam, geometry: ImageGeometry) -> tuple[str, ...]:
    """Say how small a defect the model can see where images are much larger than its input.

    Args:
        preprocess_param: Say how an image is processed.
        geometry: Of the typical image.
    """
    is_crop = preprocess_param.domain_handling == "crop_domain"
    whole = geometry.cropped(preprocess_param.domain) if is_crop else geometry
    seen = preprocess_param.tile or whole
    width, height = preprocess_param.input_size
    across, down = seen.width / width, seen.height / height
    factor = max(across, down)
    if factor <= USUAL_REDUCTION:
        return ()
    kind, mend = "the domain" if is_crop else "an image", "--width and --height, or cut the images into tiles (--tile)"
    if preprocess_param.tile is not None:
        kind, mend = "a tile", "--width and --height, or smaller tiles"
    note = (
        f"{kind} of {seen.width}x{seen.height} pixels is reduced by {_factors(across, down)} to the model's input of "
        f"{width}x{height}, where a defect of less than about {_rough(PIXELS_OF_DEFECT * factor)} pixels across can "
        f"hardly be seen; to find smaller defects, fit with a larger {mend}"
    )
    return (note,)


def _factors(across: float, down: float) -> str:
    """One where both are about the same, since the rest of the squeeze is rounding to whole inputs."""
    if max(across, down) <= UNEVEN * min(across, down):
        return f"a factor of {max(across, down):.2g}"
    return f"factors of {across:.2g} across and {down:.2g} down"


def _rough(pixels: float) -> int:
    """Two digits: it is a rough figure."""
    return int(float(f"{pixels:.2g}"))


def _listed(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)
