"""The pictures of the report, each drawn once: from what a fit kept, or read again if it kept nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from inspector.anomaly.domain.mask import pixels_inside
from inspector.anomaly.model.model import apply_dl_model
from inspector.anomaly.verdict.threshold import threshold_dl_anomaly_results
from trainer.dataset.dataset import DLDatasetSample
from trainer.errors import DatasetError
from trainer.evaluation.scoring import ScoredImage, score_images
from trainer.pictures.files import read_picture
from trainer.progress import StageProgress
from trainer.report.gallery import ScoredSample, draw_picture
from trainer.report.page import InspectedImage
from trainer.report.shown import small
from trainer.synthesis.defects import DEFECT_KINDS, add_defect
from trainer.workflow.procedures import Fitted


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

    def painted(self, samples: Sequence[DLDatasetSample], *, seed: int) -> list[InspectedImage]:
        """Paint a defect into each of these ok images, another kind by turns, and draw what the model makes of it.

        An image in which none can be painted, since it is too small, is left out.

        Raises:
            DatasetError: One cannot be read any more.
        """
        drawn = []
        for index, (sample, kind) in enumerate(zip(samples, itertools.cycle(DEFECT_KINDS), strict=False)):
            path, model = self._fitted.dataset.image_path(sample), self._fitted.model
            picture = self._fitted.pictures.get(sample) or read_picture(path, model.preprocess_param)
            domain = model.preprocess_param.domain
            height, width = picture.image.shape[:2]
            inside = None if domain is None else pixels_inside(domain, width, height)
            try:
                defect = add_defect(picture.image, kind, seed=seed, index=index, inside=inside)
            except DatasetError:
                continue
            made = replace(picture, image=defect.picture)
            (result,) = threshold_dl_anomaly_results(model, [made], apply_dl_model(model, made))
            name = f"{sample.image_file_name}, {defect.kind}"
            as_nok = replace(sample, image_label="nok", image_file_name=name)
            drawn.append(draw_picture(ScoredSample(as_nok, result.anomaly_score), made.image, result, defect.mask))
            self._progress("report", len(self._drawn) + len(drawn), len(self._drawn) + len(drawn))
        return drawn

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
