"""Score image files with a model, in batches, in their order."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from inspector.anomaly.errors import AnomalyError
from inspector.anomaly.model.model import AnomalyModel, apply_dl_model
from inspector.anomaly.preprocess.orientation import UPRIGHT
from inspector.anomaly.types import DLResult, DLSample
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.errors import UnreadableImageError
from trainer.listing.tally import Reason
from trainer.pictures.files import BATCH_SIZE, decode_picture, in_batches, pictures_at_once, read_ahead, read_bytes


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """One image file with its picture as the model saw it and its thresholded result, or why there is none."""

    path: Path
    sample: DLSample | None = None
    """As decoded for the model: perhaps reduced."""
    result: DLResult | None = None
    error: str | None = None
    """What is wrong with the file or the picture, in words that go on from its name."""
    reason: Reason | None = None
    """The same as the reason why it is left out."""
    is_orientation_ignored: bool = False
    """Whether an EXIF flag asks for the picture to be turned, and the model's parameters do not."""


def score_images(model: AnomalyModel, paths: Sequence[Path], *, batch_size: int = BATCH_SIZE) -> Generator[ScoredImage]:
    """Decode, check, score and threshold images in batches, and read ahead meanwhile; yields one outcome a path, in order.

    Whoever stops early closes the generator, which ends its threads.

    Raises:
        UncalibratedError: The model has no thresholds.
    """

    def read(path: Path) -> ScoredImage:
        try:
            sample, header = decode_picture(path, read_bytes(path), model.preprocess_param)
            model.check_geometry(sample)
        except UnreadableImageError as error:
            return ScoredImage(path, error=error.why, reason="unreadable")
        except AnomalyError as error:
            return ScoredImage(path, error=f"does not fit: {error}", reason="does not fit the model")
        is_ignored = header.orientation != UPRIGHT and not model.preprocess_param.apply_exif
        return ScoredImage(path, sample, is_orientation_ignored=is_ignored)

    size = pictures_at_once(model.preprocess_param, batch_size)
    with closing(read_ahead(paths, read, ahead=2 * size)) as images:
        for batch in in_batches(images, size):
            samples = [image.sample for image in batch if image.sample is not None]
            results = iter(apply_dl_model(model, samples, batch_size=size) if samples else [])
            for image in batch:
                if image.sample is None:
                    yield image
                else:
                    result = threshold_dl_anomaly_results(model, image.sample, next(results))
                    yield replace(image, result=result)
