"""Scores of synthetic defects as the shipped model would give them. It cannot score them itself: it has learnt from their pictures."""

from __future__ import annotations

import numpy as np

from trainer.calibration.calibration import calibration_samples
from trainer.dataset.dataset import DLDataset
from trainer.selection.result import ModelSelection
from trainer.thresholds.estimate import AnomalyThresholds


def scores_of_defects(dataset: DLDataset, found: AnomalyThresholds, selection: ModelSelection) -> list[float]:
    """Scores of the defects that the chosen model was tried on, brought to the scale of the thresholds.

    In the trial it had learnt from fewer images, so its distances are larger. They are multiplied by the median ratio of what
    the same ok images score in the calibration; where that is of other images, by the ratio of the two medians.

    Args:
        dataset: Divided.
        found: The thresholds, with the scores that they come from.
        selection: Of the model that has them.

    Returns:
        None of them where nothing was tried.
    """
    scores = selection.chosen.scores
    if scores is None:
        return []
    names = [sample.image_id for sample in calibration_samples(dataset)]
    calibrated = dict(zip(names, (found.scale.to_distance(score) for score in found.ok_scores), strict=True))
    both = [
        (calibrated[one], ok)
        for one, ok in zip(selection.image_ids, scores.ok.tolist(), strict=True)
        if one in calibrated
    ]
    if both:
        factor = float(np.median([there / here for there, here in both if here > 0]))
    else:
        factor = float(np.median(list(calibrated.values())) / np.median(scores.ok))
    return [found.scale.to_score(factor * distance) for distance in scores.defects.ravel().tolist()]
