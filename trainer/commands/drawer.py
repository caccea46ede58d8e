"""The pictures of the report, each drawn once: of what a fit kept, or read again where it kept nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.commands.procedures import Fitted
from trainer.dataset.dataset import DLDatasetSample
from trainer.dataset.files import read_picture
from trainer.errors import DatasetError
from trainer.evaluation.scoring import ScoredImage, score_images
from trainer.progress import StageProgress
from trainer.report.gallery import ScoredSample, draw_picture
from trainer.report.page import InspectedImage
from trainer.report.shown import small


class Drawer:
    """Draws the samples of a fit.

    Args:
        fitted: With what it kept for the report.
        progress: Told of each picture, as stage "report".
    """

    def __init__(self, fitted: Fitted, progress: StageProgress) -> None:
        self._fitted = fitted
        self._progress = progress
        self._drawn: dict[int, InspectedImage] = {}

    def __call__(self, scored: ScoredSample) -> InspectedImage:
        """Draw a sample, or return the picture that was drawn of it before.

        Raises:
            DatasetError: It cannot be read any more.
        """
        key = scored.sample.image_id
        if key not in self._drawn:
            self._drawn[key] = self._draw(scored)
            self._progress("report", len(self._drawn), len(self._drawn))
        return self._drawn[key]

    def unseen(self, scored: ScoredSample) -> InspectedImage:
        """The picture, with the score of a model that had not seen it, as the one that ships may have."""
        is_rejected = not scored.anomaly_score < self._fitted.calibration.classification_threshold
        return replace(self(scored), anomaly_score=scored.anomaly_score, is_rejected=is_rejected)

    def as_suspect(self, scored: ScoredSample) -> InspectedImage:
        """The same, of an image whose label is in doubt."""
        return replace(self.unseen(scored), is_suspect=True)

    def _draw(self, scored: ScoredSample) -> InspectedImage:
        dataset, path = self._fitted.dataset, self._fitted.dataset.image_path(scored.sample)
        image = self._fitted.shown.get(scored.sample) or small(self._scored(scored.sample, path))
        if image.result is None:
            raise DatasetError(f"image {path} {image.error}; it was readable before")
        # Kept pictures are small already; one that was decoded smaller still is read anew.
        picture = (
            read_picture(path, apply_exif=dataset.apply_exif).image if image.sample is None else image.sample.image
        )
        return draw_picture(scored, picture, image.result, dataset.read_mask(scored.sample))

    def _scored(self, sample: DLDatasetSample, path: Path) -> ScoredImage:
        model, picture = self._fitted.model, self._fitted.pictures.get(sample)
        if picture is None:
            (image,) = score_images(model, [path])
            return image
        (result,) = threshold_dl_anomaly_results(model, picture, apply_dl_model(model, picture))
        return ScoredImage(path, picture, result)
