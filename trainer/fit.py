"""Train a detector on embedded ok images: create_dl_train_param, train_dl_model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from inspector.anomaly.backbone import BackboneName
from inspector.anomaly.detectors.base import Detector, DetectorName
from inspector.anomaly.detectors.padim import fit_padim
from inspector.anomaly.detectors.patchcore import fit_patchcore
from inspector.anomaly.score import ScoreRule
from inspector.anomaly.types import Parameters
from trainer.progress import StageProgress


class DLTrainParam(Parameters):
    """What a training depends on besides the images; chosen by `create_dl_train_param`, recorded in the bundle.

    Attributes:
        backbone: The frozen network.
        levels: Its levels in use, by rising stride.
        grid_level: Index into `levels` of the one that gives the grid of positions.
        embedding_dims: Dimensions after the random projection.
        top_share: Share of the positions whose mean distance is the image's score.
        neighbourhood: PaDiM: side of the square of positions that a Gaussian learns from.
        neighbour_share: PaDiM: weight of that square against the position itself.
        regularization: PaDiM: share of the mean variance added to every variance.
        coreset: PatchCore: patches in the memory bank.
    """

    detector: DetectorName
    backbone: BackboneName = "efficientnet_lite0"
    levels: tuple[int, ...] = (4, 6)
    grid_level: int = 0
    embedding_dims: int = Field(default=160, ge=8)
    top_share: float = Field(default=0.01, gt=0.0, le=1.0)
    neighbourhood: int = Field(default=3, ge=1)
    neighbour_share: float = Field(default=0.3, ge=0.0, le=1.0)
    regularization: float = Field(default=0.3, gt=0.0)
    coreset: int = Field(default=2000, ge=1)
    seed: int = 0

    @property
    def rule(self) -> ScoreRule:
        """How a map becomes a score."""
        return ScoreRule(top_share=self.top_share)


def create_dl_train_param(
    detector: Literal["patchcore", "padim"] = "padim", *, coreset: int | None = None, seed: int = 0
) -> DLTrainParam:
    """Return the parameters of a training.

    Args:
        detector: `padim` (the default: better on unseen ok images, several times as fast) or `patchcore`.
        coreset: Patches in PatchCore's memory bank; None for the default. PaDiM has none.
        seed: Decides every random choice.
    """
    values: dict[str, int] = {} if coreset is None else {"coreset": coreset}
    return DLTrainParam(detector=detector, seed=seed, **values)  # type: ignore[arg-type]


def train_dl_model(
    embedded: Tensor, train_param: DLTrainParam, progress: StageProgress, *, stage: str = "fit"
) -> Detector:
    """Fit the detector.

    Args:
        embedded: (N, h, w, D) float32 on the CPU, the embeddings of N ok images.
        train_param: See `DLTrainParam`.
        progress: Told of the coreset's growth.
        stage: The name that `progress` is told.

    Raises:
        ParameterError: Fewer images than the detector needs, or no variation among them.
    """
    if train_param.detector == "patchcore":
        return fit_patchcore(
            embedded,
            coreset=train_param.coreset,
            seed=train_param.seed,
            progress=lambda done, total: progress(stage, done, total),
        )
    detector = fit_padim(
        embedded,
        neighbourhood=train_param.neighbourhood,
        neighbour_share=train_param.neighbour_share,
        regularization=train_param.regularization,
    )
    progress(stage, 1, 1)
    return detector
