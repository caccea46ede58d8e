"""From decoded pictures to anomaly maps and scores: preprocessing, backbone, embedding, detector, scale.

On a GPU only the device thread may use an `AnomalyModel`, except for its plain attributes and `check_geometry`. On a CPU several
threads may use it at once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.anomaly.detectors.base import Detector
from inspector.anomaly.domain.domain import ASPECT_TOLERANCE
from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.model.feature_network import FeatureNetwork
from inspector.anomaly.model.param import DLModelParam, InitialModel
from inspector.anomaly.model.pending import PendingScores, scores_of_pictures, scores_of_tiles
from inspector.anomaly.model.stitch import TILES_AT_ONCE, tiled_distances
from inspector.anomaly.network.runtime import TorchRuntime
from inspector.anomaly.preprocess.cut import check_whole, grid_of
from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.preprocess.samples import as_samples, model_input, name_of, picture_seen
from inspector.anomaly.types import DLResult, DLSample, ImageGeometry, ScoreScale, Thresholds
from inspector.anomaly.verdict.score import ScoreRule

BATCH_TOLERANCE = 1e-5
"""Largest relative difference that batch-mates, padding or the size of the batch make to a score, on one device; to a
distance or a value of a map too, or twice as much where torch has no fused operations."""

DEFAULT_BATCH_SIZE: int = DLModelParam.model_fields["batch_size"].default


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What a result says about the model that produced it; `digest` is the SHA-256 of the bundle's manifest."""

    name: str
    version: str
    digest: str


class AnomalyModel:
    """A fitted model. `read_dl_model` makes one from a bundle.

    Args:
        identity: Name, version and digest.
        network: Pictures to embeddings.
        detector: Fitted on that network's embeddings.
        scale: Brings distances to [0, 1).
        rule: How a map becomes a score.
        geometry: Of the pictures that it was trained with.
        thresholds: None if the model gives no verdicts.
        fitted_with: The detector's own parameters (`DLModelParam.own`); empty if they were not recorded.
        meta_data: The user's notes.
        golden_images: A few pictures of the training, (H, W) or (H, W, 3) uint8, that a bundle is to be tested with.

    Attributes:
        golden_scores: The scores that those pictures must have, as recorded in the bundle; empty if the model was not
            read from a bundle.
        batch_size: Images that `apply_dl_model` computes at once; as in HALCON not stored in a bundle.
        batch_size_multiplier: Without effect; kept because HALCON's programs set it.

    Raises:
        GeometryError: The domain was drawn on pictures with another aspect ratio than the training pictures,
            or is used with the geometry `any`.
    """

    def __init__(  # noqa: PLR0913 - its parts, all named
        self,
        *,
        identity: ModelIdentity,
        network: FeatureNetwork,
        detector: Detector,
        scale: ScoreScale,
        rule: ScoreRule,
        geometry: ImageGeometry,
        thresholds: Thresholds | None,
        fitted_with: Mapping[str, int | float] | None = None,
        meta_data: Mapping[str, str] | None = None,
        golden_images: Iterable[NDArray[np.uint8]] = (),
    ) -> None:
        self.identity = identity
        self.network = network
        self.detector = detector
        self.scale = scale
        self.rule = rule
        self.geometry = geometry
        self.thresholds = thresholds
        self.fitted_with = dict(fitted_with or {})
        self.meta_data = dict(meta_data or {})
        self.golden_images = tuple(golden_images)
        self.golden_scores: tuple[float, ...] = ()
        self.batch_size = DEFAULT_BATCH_SIZE
        self.batch_size_multiplier = 1
        geometry.check_domain(self.preprocess_param.domain)

    def __repr__(self) -> str:
        width, height = self.input_size
        calibrated = "not calibrated" if self.thresholds is None else "calibrated"
        return f"<{type(self).__name__} {self.name} {self.version}: {self.detector.kind}, {width} x {height} px, {calibrated}>"

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

    @property
    def inputs_per_picture(self) -> int:
        """How many inputs of the network a picture of the typical size becomes: its tiles, or one."""
        if self.preprocess_param.tile is None:
            return 1
        return len(grid_of(self.preprocess_param, self.geometry.width, self.geometry.height))

    def check_geometry(self, sample: DLSample) -> None:
        """Refuse a picture unlike those of the training. Thread safe.

        The aspect is what is compared, not the size: a camera that is switched to 2 x 2 binning is scored as before, with
        half the detail, and so is one whose pictures only became larger. Watch the scores of ok parts after such a change.
        A model of the geometry `any` takes every size and aspect. Tiles show a picture in its own scale, so with them and
        geometry one-camera the size has to be the same, too.

        Raises:
            GeometryError: The aspect differs by more than 2 % (with geometry one-camera), with tiles also the size, or the
                decoder reduced the picture; or gray was trained and colour came, or the reverse.
        """
        trained = self.geometry
        if sample.channels != trained.channels:
            raise GeometryError(
                f"model {self.name} was trained with {trained.channels} channel(s), the picture has {sample.channels}; "
                "use pictures of the camera that it was trained for"
            )
        if not trained.fits_aspect(sample.original_width, sample.original_height):
            raise GeometryError(
                f"model {self.name} was trained with {trained.width}x{trained.height} pictures, got "
                f"{sample.original_width}x{sample.original_height}: the aspect ratio differs by more than "
                f"{ASPECT_TOLERANCE:.0%}; use pictures of the camera that it was trained for, or train with --geometry any"
            )
        if self.preprocess_param.tile is not None:
            check_whole(sample, "the picture")
            if not trained.fits_size(sample.original_width, sample.original_height):
                raise GeometryError(
                    f"model {self.name} was trained on tiles of {trained.width}x{trained.height} pictures, got "
                    f"{sample.original_width}x{sample.original_height}, whose tiles would show parts at another size; "
                    "send pictures of the trained size, or train with --geometry any (geometry_rule='any')"
                )

    def calibrate(self, thresholds: Thresholds | None, scale: ScoreScale | None = None) -> None:
        """Give the model thresholds, or none, and perhaps the scale that they belong to. Nobody else may use it meanwhile.

        Its digest becomes empty where that makes it another model than its bundle says.
        """
        scale = self.scale if scale is None else scale
        if (thresholds, scale) != (self.thresholds, self.scale):
            self.identity = replace(self.identity, digest="")
        self.thresholds, self.scale = thresholds, scale

    def move_to(self, device: torch.device) -> None:
        """Move to another device; the model must not be used elsewhere meanwhile. If this fails, the model is unchanged.

        Raises:
            ParameterError: The backbone does not run in torch.
        """
        network = self.network
        if not isinstance(network.runtime, TorchRuntime):
            raise ParameterError(
                f"model {self.name} does not run in torch and cannot be moved; load it again on {device}"
            )
        detector = type(self.detector).from_tensors(self.detector.tensors(), device)
        embedding = network.embedding.moved(device)
        # A copy: the runtime takes its backbone over, and half a moved network would be none.
        runtime = TorchRuntime(copy.deepcopy(network.runtime.backbone), device)
        self.network = FeatureNetwork(network.preprocess_param, runtime, embedding)
        self.detector = detector

    @torch.inference_mode()
    def launch(self, images: Sequence[NDArray[np.uint8]]) -> PendingScores:
        """Start a batch; on a GPU this returns before it is done. Device threads only.

        Each picture's score and map are those that it has alone, within `BATCH_TOLERANCE`.

        Args:
            images: Each (H, W) gray or (H, W, 3) RGB uint8, of any size.
        """
        if self.preprocess_param.tile is None:
            return self._launch(self.network.embed(images))
        tiled = tiled_distances(self.network, self.detector, images)
        return scores_of_tiles(tiled, self.scale, self.rule, self.preprocess_param.view)

    @torch.inference_mode()
    def launch_preprocessed(self, batch: Tensor) -> PendingScores:
        """Start a batch (B, 3, H, W) float32 as `preprocess_images` gives it. Device threads only."""
        return self._launch(self.network.embed_preprocessed(batch))

    def _launch(self, embedded: Tensor) -> PendingScores:
        distances = self.detector.distances(embedded)
        return scores_of_pictures(distances, self.scale, self.rule, self.input_size, self.preprocess_param.view)

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        """Run batches of these sizes, so that the first real one is no slower than the next. Device threads only."""
        if self.preprocess_param.tile is not None:
            # Pictures of any number make full batches of tiles.
            tile = self.preprocess_param.tile
            for size in (1, TILES_AT_ONCE):
                self.detector.distances(self.network.embed([np.zeros((tile.height, tile.width, 3), np.uint8)] * size))
            return
        width, height = self.input_size
        image = np.zeros((height, width, 3), np.uint8)
        if self.preprocess_param.domain is not None or self.preprocess_param.preprocess_steps:
            # These see the picture before it is resized: one as in the training.
            trained = self.geometry
            image = np.zeros((trained.height, trained.width, 3)[: 2 if trained.channels == 1 else 3], np.uint8)
        for size in batch_sizes:
            self.launch([image] * size).finish()


def trained_model(model: object) -> AnomalyModel:
    """The model itself, where it is a trained one.

    Raises:
        ParameterError: It is not trained, or no model; says what to give instead.
    """
    if isinstance(model, AnomalyModel):
        return model
    if isinstance(model, InitialModel):
        raise ParameterError(
            f"this {model.param.detector} model is not trained; use the `model` that train_dl_model returns"
        )
    if isinstance(getattr(model, "model", None), AnomalyModel):
        raise ParameterError(f"a {type(model).__name__} is not a model; use its `model`")
    raise ParameterError(f"a {type(model).__name__} is not a model; use what read_dl_model or train_dl_model returns")


def apply_dl_model(
    model: AnomalyModel | InitialModel, samples: DLSample | Sequence[DLSample], *, batch_size: int | None = None
) -> list[DLResult]:
    """Score any number of samples, batch by batch; a short last batch is not padded.

    Args:
        model: A trained one.
        samples: One, or any number of them, also none.
        batch_size: Images computed at once; None for the model's `batch_size`.

    A sample that was preprocessed by `preprocess_dl_samples` is used as it is; any other is preprocessed here. A whole
    picture is halved in the same way as the decoder halves files and frames, so an array gets the same score as its
    file.

    Returns:
        One result a sample, in their order, without a verdict (`threshold_dl_anomaly_results` adds it).

    Raises:
        ParameterError: `batch_size` is less than 1, the model is not trained, something is no sample, or a sample was
            preprocessed with other parameters than the model's.
        GeometryError: A sample's original size or channels are not those of the training; names it. No sample is scored
            then.
    """
    model = trained_model(model)
    size = model.batch_size if batch_size is None else batch_size
    if size < 1:
        raise ParameterError(f"batch_size must be at least 1, got {size}")
    samples = as_samples(samples)
    for sample in samples:
        try:
            model.check_geometry(sample)
        except GeometryError as exc:
            raise GeometryError(f"{name_of(sample)}: {exc}") from exc
    results: list[DLResult] = []
    for start in range(0, len(samples), size):
        chunk = samples[start : start + size]
        if any(sample.preprocessed is not None for sample in chunk):
            batch = model_input(chunk, model.preprocess_param, model.network.runtime.device)
            results += model.launch_preprocessed(batch).finish()
        else:
            results += model.launch([picture_seen(sample, model.preprocess_param) for sample in chunk]).finish()
    return results
