"""Scores of ok images by detectors that had not seen them, and the score scale that a model gets from its threshold."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from inspector.anomaly.detectors.base import Detector
from inspector.anomaly.domain.mask import cells_inside
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.model.pending import scores_of_pictures, scores_of_tiles
from inspector.anomaly.model.stitch import TILES_AT_ONCE, TiledDistances
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLResult, ScoreScale
from trainer.calibration.learning import fewer_folds, learning_factor
from trainer.calibration.spots import highest_spot, least_spot, tiles_seen
from trainer.dataset.dataset import DLDataset
from trainer.progress import StageProgress, silent
from trainer.thresholds.scores import CalibrationScores, PixelStatistics
from trainer.training.embed import OnRead, TrainingFeatures, embed_training_images
from trainer.training.fit import distances, fit_detector
from trainer.training.images import dataset_images
from trainer.training.train import DLTrainResult, resolve_preprocess_param, train_on_features
from trainer.training.train_param import DLTrainParam


def out_of_fold_scores(
    features: TrainingFeatures,
    folds: Sequence[int],
    param: DLModelParam,
    train_param: DLTrainParam,
    *,
    scale: ScoreScale,
    progress: StageProgress,
    checkpoint: Path | None = None,
) -> CalibrationScores:
    """Score every training image by a detector that was trained on the other folds, as the model's own was on all.

    A fold's images are judged as they are: their copies take part in the training of the others only. As these detectors have seen
    fewer images, their scores are brought to the level of one that has seen all (`learning_factor`), where images are enough to tell.

    Args:
        features: Of the images that the model was trained on.
        folds: Fold of each image, from 0.
        param: What the model was made of.
        train_param: As for the model.
        scale: Of the order of the distances, such as the model's: maps pass through it in float32.
        progress: Told how far the folds are, as stage "calibrate".
        checkpoint: student: folder; each fold has its own in there.

    Returns:
        Raw scores of the ok images in their order, their strongest spots, and their pixels.

    Raises:
        ParameterError: As `fit_detector`.
        OutputError: As `fit_detector`.
    """
    count, fewer = max(folds) + 1, fewer_folds(folds)
    judge = _Judge(features, folds, param, train_param, scale, progress, checkpoint, parts=count + bool(fewer))
    scores, spots, pixels = np.zeros(len(folds)), np.zeros(len(folds)), PixelStatistics()
    for fold in range(count):
        held = [image for image, number in enumerate(folds) if number == fold]
        scores[held], spots[held] = judge.scores(fold, set(range(count)) - {fold}, held, pixels)
    factor = 1.0
    if fewer:
        judged = [image for image, number in enumerate(folds) if number >= fewer]
        factor = learning_factor(
            scores[judged],
            judge.scores(count, range(fewer), judged)[0],
            of_folds=(len(folds) - np.bincount(folds))[[folds[image] for image in judged]],
            of_fewer=len(folds) - len(judged),
            of_all=len(folds),
        )
    return CalibrationScores(
        ok=(factor * scores).tolist(),
        spots=(factor * spots).tolist(),
        pixels=pixels.scaled(factor),
        folds=count,
        fold_factor=factor,
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    """Fits detectors on some folds and scores images of others."""

    features: TrainingFeatures
    folds: Sequence[int]
    param: DLModelParam
    train_param: DLTrainParam
    scale: ScoreScale
    progress: StageProgress
    checkpoint: Path | None
    parts: int
    """Detectors that are fitted, for the progress."""

    def scores(
        self, part: int, learnt: Container[int], judged: Sequence[int], pixels: PixelStatistics | None = None
    ) -> tuple[list[float], list[float]]:
        """Raw scores and strongest spots of images by a detector of the folds `learnt`.

        Maps are looked at where there are statistics to fill; without, there is no spot.
        """
        preprocess_param = self.features.preprocess_param
        view = preprocess_param.view
        inside = None if view is None or view.is_all else cells_inside(view, *preprocess_param.input_size)
        fitted = fit_detector(
            self.features,
            [image for image, fold in enumerate(self.folds) if fold in learnt],
            self.param,
            self.train_param,
            progress=_part_of(self.progress, part, self.parts),
            stage="calibrate",
            checkpoint=None if self.checkpoint is None else self.checkpoint / f"fold-{part}",
        )
        found: list[float] = []
        spots: list[float] = []
        with torch.inference_mode():
            results = _results(self.features, fitted.detector, judged, self.param, self.scale)
            for image, result in zip(judged, results, strict=True):
                found.append(self.scale.to_distance(result.anomaly_score))
                if pixels is not None:
                    raw = self.scale.map_to_distances(result.anomaly_image)
                    pixels.add(raw, inside)
                    spots.append(highest_spot(raw, least_spot(*raw.shape, tiles=self._tiles(image)), inside))
        return found, spots

    def _tiles(self, image: int) -> float:
        if self.features.grids is None:
            return 1.0
        columns, rows = self.features.grids[image]
        return tiles_seen(self.features.preprocess_param, columns.size, rows.size)


def _results(
    features: TrainingFeatures, detector: Detector, images: Sequence[int], param: DLModelParam, scale: ScoreScale
) -> Iterator[DLResult]:
    """What a model of this detector says of training images, as it would if it were given their pictures."""
    preprocess_param, rule = features.preprocess_param, param.score_rule
    view = preprocess_param.view
    if features.grids is None:
        for maps in distances(features, detector, images, param.batch_size):
            yield from scores_of_pictures(maps, scale, rule, preprocess_param.input_size, view).finish()
        return
    for image in images:
        grid = features.grids[image]
        tiles = torch.cat(list(distances(features, detector, [image], TILES_AT_ONCE)))
        yield from scores_of_tiles([TiledDistances(grid, tiles)], scale, rule, view).finish()


def train_and_score_folds(
    dataset: DLDataset,
    model: InitialModel,
    train_param: DLTrainParam,
    *,
    preprocess_param: DLPreprocessParam | None = None,
    progress: StageProgress | None = None,
    checkpoint: Path | str | None = None,
    on_read: OnRead | None = None,
) -> tuple[DLTrainResult, CalibrationScores | None]:
    """Train a model on the images of the split `train` and, where they have folds, score them by models of the other folds.

    The backbone runs over the images once for all of these.

    Args:
        dataset: As `split_dl_dataset` divided it: what to learn from, and the folds.
        model: Left as it is.
        train_param: As `create_dl_train_param` gives it for this model.
        preprocess_param: By default that of the data set, or else what the model asks for.
        progress: Told of the stages "features", "fit" and "calibrate".
        checkpoint: student: folder to go on from after an interruption.
        on_read: Given each training image with its picture, for whoever shows some of them; a cache has no picture.

    Returns:
        The outcome of the training, and `out_of_fold_scores`; None without folds.

    Raises:
        TrainerError: As `train_dl_model` and `out_of_fold_scores`.
        AnomalyError: As these.
    """
    progress = progress or silent
    folder = None if checkpoint is None else Path(checkpoint)
    preprocess_param = resolve_preprocess_param(model, preprocess_param or dataset.preprocess_param)
    images = dataset_images(dataset, preprocess_param)
    with embed_training_images(images, model.param, train_param, progress=progress, on_read=on_read) as features:
        result = train_on_features(features, model, train_param, progress, folder)
        if not dataset.folds:
            return result, None
        unseen = out_of_fold_scores(
            features,
            dataset.folds,
            model.param,
            train_param,
            scale=result.model.scale,
            progress=progress,
            checkpoint=folder,
        )
    unseen.groups = dataset.groups_of(dataset.train)
    return result, unseen


def _part_of(progress: StageProgress, fold: int, count: int) -> StageProgress:
    """The progress of one fold as a part of that of all."""

    def report(stage: str, done: int, total: int) -> None:
        progress(stage, fold * total + done, count * total)

    return report
