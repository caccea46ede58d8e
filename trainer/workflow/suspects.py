"""What a fit says about suspects: the ok images that look unlike the others, and those that were left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inspector.anomaly.types import ScoreScale
from trainer.calibration.calibration import calibration_samples
from trainer.calibration.suspects import Suspect, name_suspects
from trainer.dataset.dataset import DLDataset
from trainer.thresholds.estimate import AnomalyThresholds


@dataclass(frozen=True, slots=True)
class NamedImage:
    """A suspect, or an image above the threshold, as the outcome and the bundle's record name it.

    Attributes:
        image_file_name: As in the data set.
        anomaly_score: By a model that had not seen it, on the scale of the model that ships.
        expected: How many images of a clean set are expected so far out or farther; None where that was not or cannot be told.
    """

    image_file_name: str
    anomaly_score: float
    expected: float | None = None


def suspects_among(dataset: DLDataset, found: AnomalyThresholds) -> tuple[Suspect, ...]:
    """The suspects among all ok images that the thresholds of a fit come from: held out, judged by folds, or both."""
    return name_suspects(calibration_samples(dataset), [found.scale.to_distance(score) for score in found.ok_scores])


def named_images(suspects: Sequence[Suspect], scale: ScoreScale) -> tuple[NamedImage, ...]:
    """The suspects with their scores."""
    return tuple(
        NamedImage(
            suspect.sample.image_file_name,
            scale.to_score(suspect.distance),
            # NaN is no JSON.
            suspect.expected if suspect.expected >= 0 else None,
        )
        for suspect in suspects
    )


def warning_of_suspects(suspects: Sequence[Suspect], n_scored: int) -> str:
    """The warning that names them all, and what to do."""
    looks = "looks" if len(suspects) == 1 else "look"
    return (
        f"{len(suspects)} of {n_scored} ok images {looks} unlike the others: {_names(suspects)}. Look at the report: "
        "if the part is bad, label the image nok or leave it out with --drop-suspects; if the part is good, keep the "
        "image and add more like it"
    )


def notes_of_suspects(dataset: DLDataset, dropped: Sequence[Suspect]) -> tuple[str, ...]:
    """What was left out, and what is not known of suspects."""
    notes: list[str] = []
    if dropped:
        images = "image was" if len(dropped) == 1 else "images were"
        notes.append(
            f"{len(dropped)} ok {images} left out because of --drop-suspects: {_names(dropped)}; the thresholds come "
            "from the other images, so the bound holds for parts like those"
        )
    if not dataset.folds:
        notes.append(
            f"suspects were looked for only among the {len(dataset.validation)} held-out images: the "
            f"{len(dataset.train)} training images were not scored by any other model; --drop-suspects scores all "
            "images by cross-validation"
        )
    return tuple(notes)


def _names(suspects: Sequence[Suspect]) -> str:
    return ", ".join(suspect.sample.image_file_name for suspect in suspects)
