"""From decoded pictures to anomaly maps and scores: preprocessing, backbone, embedding, detector, scale.

On a GPU an `AnomalyModel` belongs to the device thread, but for its plain attributes and `check_geometry`; on a CPU several
threads may use it at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from inspector.anomaly.detectors.base import Detector, Embedding
from inspector.anomaly.domain import ASPECT_TOLERANCE, DomainView
from inspector.anomaly.domain_score import domain_score
from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.preprocess import preprocess_images
from inspector.anomaly.runtime import Runtime
from inspector.anomaly.samples import model_input
from inspector.anomaly.types import (
    DLPreprocessParam,
    DLResult,
    DLSample,
    ImageGeometry,
    Parameters,
    ScoreScale,
    Thresholds,
)

_BELOW_1 = 1.0 - 2.0**-24  # the largest float32 below 1


class ScoreRule(Parameters):
    """The image's score: the mean of the largest distances, `top_share` of all positions (at least one)."""

    kind: Literal["mean_of_top"] = "mean_of_top"
    top_share: float = Field(gt=0.0, le=1.0)

    def apply(self, distances: Tensor) -> Tensor:
        """(B, h, w) float32 -> (B,) float64."""
        flat = distances.flatten(1)
        count = max(1, round(self.top_share * flat.shape[1]))
        return flat.topk(count, dim=1).values.double().mean(1)


class FeatureNetwork:
    """Pictures to embeddings: the part of a model that is there before a detector is fitted."""

    def __init__(self, preprocess_param: DLPreprocessParam, runtime: Runtime, embedding: Embedding) -> None:
        self.preprocess_param = preprocess_param
        self.runtime = runtime
        self.embedding = embedding

    @torch.inference_mode()
    def features(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        """Pictures as `preprocess_images` takes them -> the backbone's levels, each (B, C, H', W') float32."""
        return self.runtime.features(preprocess_images(images, self.preprocess_param, self.runtime.device))

    @torch.inference_mode()
    def embed(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Pictures as `preprocess_images` takes them -> (B, h, w, D) float32 on the device."""
        return self.embedding(self.features(images))

    @torch.inference_mode()
    def embed_preprocessed(self, batch: Tensor) -> Tensor:
        """(B, 3, H, W) float32 as `preprocess_images` gives it -> (B, h, w, D) float32 on the device."""
        return self.embedding(self.runtime.features(batch))


class PendingScores:
    """A batch that was launched; on a GPU it may still be running."""

    def __init__(
        self,
        distances: Tensor,
        scale: ScoreScale,
        rule: ScoreRule,
        input_size: tuple[int, int],
        view: DomainView | None = None,
    ) -> None:
        self._scale = scale
        self._view = view
        size = (input_size[1], input_size[0])
        grid = (distances.shape[1], distances.shape[2])
        domain = None if view is None else domain_score(view, grid, size, distances.device)
        if domain is None:
            counted = distances
            maps = functional.interpolate(distances[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]
        else:
            counted, maps = domain.positions(distances), domain.map(distances)
        # A quotient that rounds to 1 stays below it, as scores do; NaN stays NaN.
        maps = maps.div_(maps + scale.s).clamp_max_(_BELOW_1)
        self._maps = maps.to("cpu", non_blocking=True)
        self._raw_scores = rule.apply(counted).to("cpu", non_blocking=True)
        self._done = torch.cuda.Event() if distances.is_cuda else None  # type: ignore[no-untyped-call]
        if self._done is not None:
            self._done.record()

    def finish(self) -> list[DLResult]:
        """Wait for the batch; one result a picture, in their order. On the thread that launched it."""
        if self._done is not None:
            self._done.synchronize()
        maps = self._maps.numpy()
        return [
            DLResult(anomaly_score=self._scale.to_score(raw), anomaly_image=anomaly_image, view=self._view)
            for raw, anomaly_image in zip(self._raw_scores.tolist(), maps, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What a result says about the model that made it; `digest` is the SHA-256 of the bundle's manifest."""

    name: str
    version: str
    digest: str


class AnomalyModel:
    """A fitted model. `read_dl_model` makes one from a bundle.

    Raises:
        GeometryError: The domain was drawn on pictures of another aspect than the model was trained with.
    """

    def __init__(
        self,
        *,
        identity: ModelIdentity,
        network: FeatureNetwork,
        detector: Detector,
        scale: ScoreScale,
        rule: ScoreRule,
        geometry: ImageGeometry,
        thresholds: Thresholds | None,
    ) -> None:
        self.identity = identity
        self.network = network
        self.detector = detector
        self.scale = scale
        self.rule = rule
        self.geometry = geometry
        self.thresholds = thresholds
        if self.preprocess_param.domain is not None:
            self.preprocess_param.domain.check_size(geometry.width, geometry.height)

    @property
    def name(self) -> str:
        """The bundle's name."""
        return self.identity.name

    @property
    def version(self) -> str:
        """The bundle's version."""
        return self.identity.version

    @property
    def digest(self) -> str:
        """SHA-256 of the bundle's manifest, hexadecimal."""
        return self.identity.digest

    @property
    def preprocess_param(self) -> DLPreprocessParam:
        """The stored preprocessing parameters."""
        return self.network.preprocess_param

    @property
    def input_size(self) -> tuple[int, int]:
        """(width, height) of the network's input. What `decode_image` takes is `preprocess_param.decode_target`."""
        return self.preprocess_param.input_size

    def check_geometry(self, sample: DLSample) -> None:
        """Refuse a picture unlike those of the training. Thread safe.

        Raises:
            GeometryError: The aspect differs by more than 2 %, or gray was trained and colour came, or the reverse.
        """
        trained = self.geometry
        if sample.channels != trained.channels:
            raise GeometryError(
                f"model {self.name} was trained with {trained.channels} channel(s), the picture has {sample.channels}"
            )
        ratio = (sample.original_width * trained.height) / (sample.original_height * trained.width)
        if not 1 / (1 + ASPECT_TOLERANCE) <= ratio <= 1 + ASPECT_TOLERANCE:
            raise GeometryError(
                f"model {self.name} was trained with {trained.width}x{trained.height} pictures, "
                f"got {sample.original_width}x{sample.original_height}: the aspect differs by more than "
                f"{ASPECT_TOLERANCE:.0%}"
            )

    @torch.inference_mode()
    def launch(self, images: Sequence[NDArray[np.uint8]]) -> PendingScores:
        """Start a batch; on a GPU this returns before it is done. Device threads only.

        Args:
            images: Each (H, W) gray or (H, W, 3) RGB uint8, of any size.
        """
        return self._launch(self.network.embed(images))

    @torch.inference_mode()
    def launch_preprocessed(self, batch: Tensor) -> PendingScores:
        """Start a batch (B, 3, H, W) float32 as `preprocess_images` gives it. Device threads only."""
        return self._launch(self.network.embed_preprocessed(batch))

    def _launch(self, embedded: Tensor) -> PendingScores:
        distances = self.detector.distances(embedded)
        return PendingScores(distances, self.scale, self.rule, self.input_size, self.preprocess_param.view)

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        """Run batches of these sizes, so that the first real one is no slower than the next. Device threads only."""
        width, height = self.input_size
        image = np.zeros((height, width, 3), np.uint8)
        if self.preprocess_param.domain is not None or self.preprocess_param.preprocess_steps:
            # These see the picture before it is resized: one as in the training.
            trained = self.geometry
            image = np.zeros((trained.height, trained.width, 3)[: 2 if trained.channels == 1 else 3], np.uint8)
        for size in batch_sizes:
            self.launch([image] * size).finish()


def apply_dl_model(model: AnomalyModel, samples: Sequence[DLSample], *, batch_size: int = 8) -> list[DLResult]:
    """Score any number of samples in batches of `batch_size`; a short last batch is not padded.

    A sample that `preprocess_dl_samples` has been through is taken as it is then, any other is preprocessed here.

    Returns:
        One result a sample, in their order, without a verdict (`threshold_dl_anomaly_results` adds it).

    Raises:
        ParameterError: `batch_size` is less than 1, or a sample was preprocessed with other parameters than the model's.
    """
    if batch_size < 1:
        raise ParameterError(f"batch_size must be at least 1, got {batch_size}")
    results: list[DLResult] = []
    for start in range(0, len(samples), batch_size):
        chunk = samples[start : start + batch_size]
        if any(sample.preprocessed is not None for sample in chunk):
            batch = model_input(chunk, model.preprocess_param, model.network.runtime.device)
            results += model.launch_preprocessed(batch).finish()
        else:
            results += model.launch([sample.image for sample in chunk]).finish()
    return results
