"""What a fit says of suspects, in words and in figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inspector.anomaly.types import ScoreScale
from tests.splits import dataset, ok_images
from trainer.calibration.suspects import Suspect
from trainer.dataset.dataset import DLDataset
from trainer.prepare.split import split_dl_dataset
from trainer.thresholds.estimate import estimate_anomaly_thresholds
from trainer.thresholds.scores import CalibrationScores
from trainer.workflow.suspects import named_images, notes_of_suspects, suspects_among, warning_of_suspects


def divided(count: int) -> DLDataset:
    return split_dl_dataset(dataset(ok_images(count)))


def suspects(count: int) -> list[Suspect]:
    return [Suspect(sample, 3.0, 0.25) for sample in divided(20).samples[:count]]


def test_held_out_images_and_those_judged_by_folds_are_looked_at_together() -> None:
    images = split_dl_dataset(dataset(ok_images(30, "train") + ok_images(6, "validation")))
    distances = np.random.default_rng(0).lognormal(0, 0.1, 36)
    distances[[2, 6 + 4]] = 9.0, 8.0  # scores of validation images come first
    found = estimate_anomaly_thresholds(CalibrationScores(ok=distances.tolist(), folds=5))
    named = [suspect.sample for suspect in suspects_among(images, found)]
    assert named == [images.validation[2], images.train[4]]


def test_every_suspect_is_named_with_what_to_do() -> None:
    said = warning_of_suspects(suspects(7), 60)
    assert said.startswith("7 of 60 ok images look unlike the others: 0000.png, 0001.png,")
    assert "0006.png" in said
    assert "--drop-suspects" in said
    assert "1 of 60 ok images looks unlike the others" in warning_of_suspects(suspects(1), 60)


def test_what_was_left_out_is_noted_and_nothing_where_nothing_was() -> None:
    assert notes_of_suspects(divided(20), []) == ()
    (note,) = notes_of_suspects(divided(20), suspects(2))
    assert note.startswith("2 ok images were left out because of --drop-suspects: 0000.png, 0001.png;")


def test_images_that_no_other_model_scored_are_said_to_be_unknown() -> None:
    (note,) = notes_of_suspects(divided(1000), [])
    assert "only among the 300 held-out images: the 700 training images were not scored by any other model" in note


def test_scores_are_on_the_scale_of_the_model_and_every_value_is_json() -> None:
    (sample,) = divided(20).samples[:1]
    known, unknown = named_images([Suspect(sample, 3.0, 0.25), Suspect(sample, 1.0, math.nan)], ScoreScale(s=1.0))
    assert (known.image_file_name, known.expected) == ("0000.png", 0.25)
    assert known.anomaly_score == pytest.approx(0.75)
    assert unknown.expected is None
