"""Scores of real images as a calibration gets them: small draws of ok images judged by folds, and all others by their model.

    python -m tests.benchmarks.thresholds.real --set elpv_mono --out out/threshold-scores

The backbone runs once over a set; a draw fits detectors on what it gave, as `train_and_score_folds` does. One file a set: `SET.npz`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inspector.anomaly.choices import GeometryRule
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.model.pending import scores_of_pictures
from inspector.anomaly.types import ScoreScale
from tests.benchmarks.accuracy.sets import DATA
from trainer.calibration.learning import fewer_folds
from trainer.dataset.dataset import DLDataset, trained_geometry
from trainer.dataset.read import read_dl_dataset_anomaly
from trainer.pictures.files import read_samples
from trainer.prepare.split import SplitParam, split_dl_dataset
from trainer.progress import silent
from trainer.settings.quality import QUALITIES
from trainer.training.embed import TrainingFeatures, embed_training_images
from trainer.training.feature_store import FeatureStore
from trainer.training.fit import distances, fit_detector
from trainer.training.images import dataset_images
from trainer.training.network import default_input_size, embedded_batch
from trainer.training.train import resolve_preprocess_param
from trainer.training.train_param import DLTrainParam, create_dl_train_param

SETS = ("aws_cookie", "aws_alien", "mvtec_toothbrush", "kolektorsdd", "elpv_mono", "mvtec_screw", "magnetic_tile")
SIZES = (20, 40, 80, 150, 320)
DRAWS = 20
LEAST_FRESH = 12
"""Ok images that must be left to judge a threshold on."""
FOLDS = 5
HELD_OUT_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Embedded:
    """A set whose images went through the backbone."""

    ok: TrainingFeatures
    nok: TrainingFeatures
    param: DLModelParam
    train_param: DLTrainParam

    def scores(
        self, fitted_on: Sequence[int], judged: Sequence[int], *, has_nok: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Distances of ok images, and of all nok ones, by a model of some ok images."""
        fitted = fit_detector(self.ok, fitted_on, self.param, self.train_param, progress=silent)
        nok = range(len(self.nok)) if has_nok else ()
        return self._judge(self.ok, fitted.detector, judged), self._judge(self.nok, fitted.detector, nok)

    def _judge(self, features: TrainingFeatures, detector: object, images: Sequence[int]) -> NDArray[np.float64]:
        scale, found = ScoreScale(s=20.0), []
        view, size = features.preprocess_param.view, features.preprocess_param.input_size
        with torch.inference_mode():
            for maps in distances(features, detector, images, self.param.batch_size):  # type: ignore[arg-type]
                results = scores_of_pictures(maps, scale, self.param.score_rule, size, view).finish()
                found += [scale.to_distance(result.anomaly_score) for result in results]
        return np.asarray(found)


def embed(name: str) -> Embedded:
    """Run the backbone over all ok images of a set, train and test, and over its nok images.

    Raises:
        DatasetError: The set is not there.
    """
    rule: GeometryRule = "any" if name == "magnetic_tile" else "one-camera"
    read = read_dl_dataset_anomaly(DATA / name, geometry_rule=rule)
    dataset = split_dl_dataset(read, 100, overwrite_split=True, param=SplitParam(calibration_percent=0))
    width, height = default_input_size(trained_geometry(dataset.samples, rule))
    detector, backbone = QUALITIES["fast"]
    param = DLModelParam(detector=detector, backbone=backbone, image_width=width, image_height=height)
    initial = InitialModel(param)
    train_param = create_dl_train_param(initial, seed=0)
    images = dataset_images(dataset, resolve_preprocess_param(initial, None))
    ok = embed_training_images(images, param, train_param, progress=silent)
    return Embedded(ok, replace(ok, store=_nok_store(dataset, ok)), param, train_param)


def _nok_store(dataset: DLDataset, features: TrainingFeatures) -> FeatureStore:
    nok = [sample for sample in dataset.samples if sample.image_label == "nok"]
    store = FeatureStore(len(nok))
    for batch in read_samples([dataset.image_path(sample) for sample in nok], features.preprocess_param):
        store.append(embedded_batch(features.network, batch).cpu())
    return store


def draw(embedded: Embedded, size: int, seed: int) -> dict[str, NDArray[np.float64]]:
    """Calibrate by folds on `size` ok images as the product does, and by a held-out share, and judge all others.

    Returns:
        "folds" (size,) out-of-fold distances; "fewer" those by a model of the first folds, of the images of the others; "fresh" and "nok" distances by the model of all; with 320 images also
        "held", "held_fresh" and "held_nok" where 30 % were held out of the fit.
    """
    order = np.random.default_rng(1000 * size + seed).permutation(len(embedded.ok)).tolist()
    chosen, fresh = order[:size], order[size:]
    found: dict[str, NDArray[np.float64]] = {}
    folds = np.empty(size)
    for fold in range(FOLDS):
        held = [place for place in range(size) if place % FOLDS == fold]
        others = [chosen[place] for place in range(size) if place % FOLDS != fold]
        folds[held] = embedded.scores(others, [chosen[place] for place in held])[0]
    found["folds"] = folds
    first = fewer_folds([place % FOLDS for place in range(size)])
    fewer = [chosen[place] for place in range(size) if place % FOLDS < first]
    found["fewer"] = embedded.scores(fewer, [one for place, one in enumerate(chosen) if place % FOLDS >= first])[0]
    found["fresh"], found["nok"] = embedded.scores(chosen, fresh, has_nok=True)
    if size == SIZES[-1]:
        count = round(size * HELD_OUT_SHARE)
        judged, found["held_nok"] = embedded.scores(chosen[count:], [*chosen[:count], *fresh], has_nok=True)
        found["held"], found["held_fresh"] = judged[:count], judged[count:]
    return found


def main() -> int:
    """Write the scores of each set."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.thresholds.real", description=__doc__)
    parser.add_argument("--set", action="append", help="folder below the development images; all of them")
    parser.add_argument("--size", action="append", type=int, help="ok images in a draw; 20 to 320")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--out", type=Path, required=True, help="folder for one file a set")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.set or SETS:
        embedded = embed(name)
        found: dict[str, NDArray[np.float32]] = {}
        for size in arguments.size or SIZES:
            if len(embedded.ok) - size < LEAST_FRESH:
                continue
            for seed in range(arguments.draws):
                drawn = draw(embedded, size, seed)
                found |= {f"{size}/{seed}/{kind}": values.astype(np.float32) for kind, values in drawn.items()}
            np.savez_compressed(arguments.out / f"{name}.npz", allow_pickle=False, **found)
            print(f"{name}: {arguments.draws} draws of {size}", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
