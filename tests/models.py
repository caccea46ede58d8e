"""A tiny but real model for tests: the published backbone, fitted in a second on generated pictures of striped parts."""

from __future__ import annotations

import copy
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.backbones import SIZE_STEP
from inspector.anomaly.choices import BackboneName, DetectorName
from inspector.anomaly.detectors.base import Detector
from inspector.anomaly.detectors.detail import DETAIL_STRIDE
from inspector.anomaly.detectors.fine import unfold_fine
from inspector.anomaly.detectors.fused import fuse
from inspector.anomaly.detectors.padim import fit_padim
from inspector.anomaly.detectors.patchcore import fit_patchcore
from inspector.anomaly.detectors.student import Student
from inspector.anomaly.detectors.student_network import build_student
from inspector.anomaly.model.bundle import write_dl_model
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.model.model import AnomalyModel, ModelIdentity
from inspector.anomaly.model.param import DEFAULT_FEATURE_NORMALIZATION
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import ImageGeometry, ScoreScale, Thresholds
from inspector.anomaly.verdict.score import ScoreRule
from trainer.pictures.files import read_samples
from trainer.training.network import build_network

Picture = NDArray[np.uint8]

LEVELS, GRID_STRIDE = (3, 4), 16
DIMS = 32
FINE_DIMS = 8
NUM_TRAIN = 16
STUDENT_STEPS = 100
NUM_PROBES = 8
"""Pictures of each class that the scale is chosen on: ok ones below the threshold, nok ones above it, with room."""


def ok_picture(rng: np.random.Generator, *, width: int = 64, height: int = 64, channels: int = 3) -> Picture:
    """A striped part whose stripes, brightness and noise vary a little; (H, W) or (H, W, 3) uint8."""
    x, y = np.meshgrid(np.arange(width) / width, np.arange(height) / height)
    stripes = 128 + 50 * np.sin(2 * np.pi * (4 * x + y) + rng.uniform(-0.3, 0.3)) + rng.uniform(-6, 6)
    tinted = stripes if channels == 1 else stripes[..., None] * np.array([1.0, 0.8, 0.6])
    noisy = tinted + rng.normal(0, 2, tinted.shape)
    return np.asarray(noisy.clip(0, 255), dtype=np.uint8)


def nok_picture(rng: np.random.Generator, *, width: int = 64, height: int = 64, channels: int = 3) -> Picture:
    """The same part with a dark spot a quarter of the picture wide."""
    picture = ok_picture(rng, width=width, height=height, channels=channels)
    centre = (int(rng.uniform(0.3, 0.7) * width), int(rng.uniform(0.3, 0.7) * height))
    cv2.circle(picture, centre, max(2, min(width, height) // 8), (10,) * channels, thickness=-1)
    return picture


def encoded(picture: Picture, encoding: Literal["jpeg", "png"] = "png") -> bytes:
    """Encode a gray or RGB picture."""
    bgr = picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., ::-1])
    is_coded, data = cv2.imencode({"jpeg": ".jpg", "png": ".png"}[encoding], bgr)
    assert is_coded
    return data.tobytes()


def ok_image(
    rng: np.random.Generator,
    *,
    width: int = 64,
    height: int = 64,
    channels: int = 3,
    encoding: Literal["jpeg", "png"] = "png",
) -> bytes:
    """An encoded picture that the model of the same geometry calls ok."""
    return encoded(ok_picture(rng, width=width, height=height, channels=channels), encoding)


def nok_image(
    rng: np.random.Generator,
    *,
    width: int = 64,
    height: int = 64,
    channels: int = 3,
    encoding: Literal["jpeg", "png"] = "png",
) -> bytes:
    """An encoded picture that the model of the same geometry calls nok."""
    return encoded(nok_picture(rng, width=width, height=height, channels=channels), encoding)


def tiny_model(
    *,
    width: int = 64,
    height: int = 64,
    channels: Literal[1, 3] = 3,
    name: str = "tiny",
    detector: DetectorName = "padim",
    backbone: BackboneName = "efficientnet_lite0",
    seed: int = 0,
) -> AnomalyModel:
    """Fit a model on generated pictures; its input is about as large as they are.

    The same arguments are fitted once. What is returned is the caller's own, but for the frozen backbone.

    Args:
        width: Of the pictures, in pixels.
        height: Of the pictures, in pixels.
        channels: Of the pictures.
        name: Of the model.
        detector: What is fitted.
        backbone: The feature network.
        seed: Decides the pictures and every random choice.
    """
    fitted = _tiny_model(width, height, channels, detector, backbone, seed)
    network = fitted.network
    return AnomalyModel(
        identity=ModelIdentity(name, "1", ""),
        network=FeatureNetwork(network.preprocess_param, network.runtime, copy.deepcopy(network.embedding)),
        detector=copy.deepcopy(fitted.detector),
        scale=fitted.scale,
        rule=fitted.rule,
        geometry=fitted.geometry,
        thresholds=fitted.thresholds,
    )


@lru_cache(maxsize=8)  # each has a backbone of 14 MB
def _tiny_model(
    width: int, height: int, channels: Literal[1, 3], detector: DetectorName, backbone: BackboneName, seed: int
) -> AnomalyModel:
    rng = np.random.default_rng(seed)
    step = SIZE_STEP
    param = DLPreprocessParam(
        image_width=max(step, round(width / step) * step), image_height=max(step, round(height / step) * step)
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.png" for index in range(NUM_TRAIN)]
        for path in paths:
            path.write_bytes(ok_image(rng, width=width, height=height, channels=channels))
        predicts, is_refined = detector == "student", detector == "fused"
        network = build_network(
            paths,
            param,
            backbone=backbone,
            levels=LEVELS,
            grid_level=int(predicts or is_refined),
            dims=DIMS,
            seed=seed,
            keep_fine=predicts,
            fine_dims=FINE_DIMS if is_refined else 0,
            normalization=DEFAULT_FEATURE_NORMALIZATION[detector],
        )
        batches = read_samples(paths, param)
        embedded = torch.cat([network.embed([sample.image for sample in batch]) for batch in batches])
    fitted = _fitted(detector, embedded, seed)
    model = AnomalyModel(
        identity=ModelIdentity("", "", ""),
        network=network,
        detector=fitted,
        scale=ScoreScale(s=1.0),
        rule=ScoreRule(top_share=0.02),
        geometry=ImageGeometry(width=width, height=height, channels=channels),
        thresholds=Thresholds(classification=0.5, segmentation=0.5),
    )
    # A score of one half lies in the middle (of the logarithms) between the worst ok and the mildest nok picture.
    probes = (
        [picture(rng, width=width, height=height, channels=channels) for _ in range(NUM_PROBES)]
        for picture in (ok_picture, nok_picture)
    )
    ok, nok = (model.rule.apply(fitted.distances(network.embed(pictures))) for pictures in probes)
    assert float(ok.max()) < float(nok.min()), "the generated defects do not show"
    model.scale = ScoreScale(s=float(torch.sqrt(ok.max() * nok.min())))
    return model


def _fitted(detector: DetectorName, embedded: Tensor, seed: int) -> Detector:
    if detector == "patchcore":
        return fit_patchcore(embedded, coreset=200, seed=seed)
    if detector == "padim":
        return fit_padim(embedded)
    if detector == "fused":
        detail_ratio = GRID_STRIDE // DETAIL_STRIDE
        fine = unfold_fine(embedded[..., 2 * DIMS : -(detail_ratio**2)], 2)
        return fuse(
            fit_padim(embedded[..., :DIMS]),
            fit_patchcore(embedded[..., DIMS : 2 * DIMS], coreset=200, seed=seed),
            fit_patchcore(fine, coreset=100, seed=seed),
            torch.ones(fine.shape[1:3], dtype=torch.bool),
            torch.ones(tuple(detail_ratio // 2 * side for side in fine.shape[1:3]), dtype=torch.bool),
        )
    student = build_student(DIMS, embedded.shape[-1] - DIMS, complexity=2, seed=seed)
    student.learn_statistics([embedded])
    optimiser = torch.optim.AdamW(student.parameters(), lr=5e-3)
    for _ in range(STUDENT_STEPS):
        optimiser.zero_grad()
        student.errors(embedded).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return Student(student, fit_padim(embedded[..., :DIMS]))


def looking_through(model: AnomalyModel, param: DLPreprocessParam, geometry: ImageGeometry) -> AnomalyModel:
    """The same model behind other preprocessing, such as a domain; its detector stays as it was fitted without."""
    return AnomalyModel(
        identity=model.identity,
        network=FeatureNetwork(param, model.network.runtime, model.network.embedding),
        detector=model.detector,
        scale=model.scale,
        rule=model.rule,
        geometry=geometry,
        thresholds=model.thresholds,
    )


def make_bundle(
    folder: Path,
    *,
    width: int = 64,
    height: int = 64,
    channels: Literal[1, 3] = 3,
    name: str = "tiny",
    detector: DetectorName = "padim",
    seed: int = 0,
) -> Path:
    """Fit a `tiny_model` and write it to `folder / name`, with one golden picture of each class; returns that path."""
    model = tiny_model(width=width, height=height, channels=channels, name=name, detector=detector, seed=seed)
    rng = np.random.default_rng(seed + 1)
    golden = [picture(rng, width=width, height=height, channels=channels) for picture in (ok_picture, nok_picture)]
    write_dl_model(folder / name, model, created_at="2026-01-01T00:00:00+00:00", golden_images=golden)
    return folder / name


def write_tiny_bundle(path: Path) -> Path:
    """`make_bundle` for square gray pictures, such as those of `tests.frames`."""
    return make_bundle(path.parent, name=path.name, channels=1)
