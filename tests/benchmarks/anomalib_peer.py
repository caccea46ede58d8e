"""What a user would pick instead: anomalib's PatchCore and PaDiM on the sets of ../shared/data, with the backbone that is used here.

    pip install anomalib==2.7.0        # in an environment of its own, with '.[trainer]' too; it is not a dependency
    python -m tests.benchmarks.anomalib_peer --out tests/benchmarks/results/anomalib.json [--set elpv_mono ...] [--model PatchCore ...]

anomalib's own models, memory bank and maps; only its feature extractor is replaced, by the weights that `trainer fit` uses. Preprocessing
as there: 256 x 256 pixels, squashed; normalised as the backbone was trained. PatchCore's coreset is 1 %, of 300 images at most, drawn by the
seed: its time grows with the square. With --quick-coreset its patches, projected by anomalib and from the same first one, are chosen by the same rule
with the exact search that is used here (seconds instead of up to an hour). Goes on where it was cut off; prints one JSON object.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.backbones import LITE_NORMALIZATIONS
from inspector.anomaly.choices import LiteName
from inspector.anomaly.detectors.coreset import farthest_points
from inspector.anomaly.network.base import Backbone
from inspector.anomaly.network.weights import load_backbone
from tests.benchmarks.accuracy.cells import PEERS, SETS, peer_key
from tests.benchmarks.accuracy.sets import divided
from tests.benchmarks.store import write_store
from trainer.dataset.dataset import DLDataset, DLDatasetSample
from trainer.evaluation.image_measures import auroc
from trainer.evaluation.pixel_measures import PixelMeasures
from trainer.pictures.files import read_picture

SIDE = 256
BATCH = 16
CORESET = 0.01
MOST_IMAGES = 300
FIRST_DEFECTS = 200
BACKBONE: LiteName = "efficientnet_lite0"


class _Extractor(torch.nn.Module):
    """Takes the place of anomalib's: the levels by their layers' names."""

    def __init__(self, backbone: Backbone, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.backbone, self.names = backbone, [f"level{level}" for level in levels]
        self.out_dims = [backbone.level_channels[level] for level in levels]

    def forward(self, batch: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, self.backbone(batch), strict=True))


def load_anomalib(name: str) -> Any:
    """Return the module of an anomalib model.

    Raises:
        SystemExit: It is not installed.
    """
    if "torchvision" not in sys.modules:
        # PyPI's torchvision is built for CUDA and finds its operators in no CPU build of torch. None is used here.
        sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")
        library: Any = torch.library
        library.Library("torchvision", "DEF").define("nms(Tensor a, Tensor b, float c) -> Tensor")
    try:
        return importlib.import_module(f"anomalib.models.image.{name.lower()}.torch_model")
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"{error.name} is not installed: pip install anomalib==2.7.0, in an environment of its own"
        ) from error


def choose_quickly() -> None:
    """Let anomalib's coreset be chosen by an exact search that looks at the farthest patches alone; projection and rule stay its own."""
    sampling: Any = importlib.import_module("anomalib.models.components.sampling.k_center_greedy")

    def select(sampler: Any) -> list[int]:
        sampler.model.fit(sampler.embedding)
        features = sampler.model.transform(sampler.embedding)
        first = int(torch.randint(high=sampler.n_observations, size=(1,)))
        chosen: list[int] = farthest_points(features, first, sampler.coreset_size).tolist()
        return chosen

    sampling.KCenterGreedy.select_coreset_idxs = select


def fit(name: str, pictures: Tensor, seed: int) -> torch.nn.Module:
    """Train anomalib's model on (N, 3, 256, 256) float32, normalised."""
    module, levels = load_anomalib(name), PEERS[name]
    torch.manual_seed(seed)
    # anomalib's coreset draws its projection from numpy's own state: with another one it chooses other patches.
    np.random.seed(seed)  # noqa: NPY002
    extractor = _Extractor(load_backbone(BACKBONE, levels), levels).eval()
    model: Any
    if name == "PaDiM":
        model = module.PadimModel(layers=["layer1", "layer2"], backbone="resnet18", pre_trained=False, n_features=100)
        model.n_features_original = sum(extractor.out_dims)
        model.idx = torch.randperm(model.n_features_original)[: model.n_features]
    else:
        model = module.PatchcoreModel(layers=["layer1"], backbone="resnet18", pre_trained=False)
    model.feature_extractor, model.layers = extractor, extractor.names
    model.train()
    with torch.no_grad():
        for start in range(0, len(pictures), BATCH):
            model(pictures[start : start + BATCH])
        if name == "PaDiM":
            model.fit()
        else:
            model.subsample_embedding(CORESET)
    trained: torch.nn.Module = model.eval()
    return trained


def measure(name: str, set_name: str, seed: int) -> dict[str, Any]:
    """Train on the set's ok images, score its test images."""
    dataset = divided(set_name, seed)
    learnt = [sample for sample in dataset.samples if sample.split == "train"]
    drawn = np.random.default_rng(seed).permutation(len(learnt))[:MOST_IMAGES]
    pictures = torch.cat([_picture(dataset, learnt[index]) for index in sorted(drawn)])
    started = time.perf_counter()
    model = fit(name, pictures, seed)
    fit_seconds = time.perf_counter() - started
    tested = sorted((s for s in dataset.samples if s.split == "test"), key=lambda s: str(dataset.image_path(s)))
    scores: list[float] = []
    maps: list[NDArray[np.float32]] = []
    for sample in tested:
        with torch.no_grad():
            found: Any = model(_picture(dataset, sample))
        scores.append(float(found.pred_score))
        maps.append(found.anomaly_map.reshape(SIDE, SIDE).numpy())
    is_nok = np.array([sample.image_label == "nok" for sample in tested])
    ok, nok = np.array(scores)[~is_nok], np.array(scores)[is_nok]
    figures: dict[str, Any] = {"image_auroc": auroc(ok, nok), "aupro": _aupro(dataset, tested, maps)}
    if len(nok) > FIRST_DEFECTS:
        figures[f"image_auroc_of_the_first_{FIRST_DEFECTS}_nok_by_name"] = auroc(ok, nok[:FIRST_DEFECTS])
    return {**figures, "n_train": len(drawn), "fit_seconds": round(fit_seconds, 1)}


def _picture(dataset: DLDataset, sample: DLDatasetSample) -> Tensor:
    """(1, 3, 256, 256) float32."""
    image = read_picture(dataset.image_path(sample)).image
    colour = np.stack([image] * 3, axis=-1) if image.ndim == 2 else image
    pixels = torch.from_numpy(colour.copy()).permute(2, 0, 1)[None].float()
    small = functional.interpolate(pixels, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    normalization = LITE_NORMALIZATIONS[BACKBONE]
    mean, deviation = torch.tensor(normalization.mean), torch.tensor(normalization.deviation)
    return (small - mean[:, None, None]) / deviation[:, None, None]


def _aupro(dataset: DLDataset, tested: list[DLDatasetSample], maps: list[NDArray[np.float32]]) -> float | None:
    masks = [dataset.read_mask(sample) for sample in tested]
    if not any(mask is not None and mask.any() for mask in masks):
        return None
    middle = float(np.median(maps))
    measures = PixelMeasures()
    for anomaly_map, mask in zip(maps, masks, strict=True):
        if mask is not None:
            large = functional.interpolate(
                torch.from_numpy(anomaly_map)[None, None], size=mask.shape, mode="bilinear", align_corners=False
            )[0, 0].numpy()
            measures.add((large / (large + middle)).astype(np.float32), mask)
    found = measures.aupro()
    return None if found is None else found[0]


def main() -> int:
    """Measure what is missing, write it, print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.anomalib_peer", description=__doc__)
    parser.add_argument("--model", choices=PEERS, action="append", help="both by default")
    parser.add_argument("--set", choices=SETS, action="append", dest="sets", help="all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick-coreset", action="store_true", help="choose PatchCore's patches by our own search")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to go on with")
    arguments = parser.parse_args()
    if arguments.quick_coreset:
        load_anomalib("PatchCore")
        choose_quickly()
    stored = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"runs": {}}
    for set_name in arguments.sets or SETS:
        for name in arguments.model or PEERS:
            key = peer_key(set_name, name, arguments.seed)
            if key in stored["runs"]:
                continue
            stored["runs"][key] = measure(name, set_name, arguments.seed)
            if arguments.quick_coreset and name == "PatchCore":
                stored["runs"][key]["coreset"] = "chosen by our own search"
            stored["anomalib"] = importlib.metadata.version("anomalib")
            write_store(arguments.out, stored)
            print(key, stored["runs"][key], file=sys.stderr, flush=True)
    print(json.dumps(stored))
    return 0


if __name__ == "__main__":
    sys.exit(main())
