"""What the service needs from a model, and how the frames of one camera are judged by it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.preprocess.param import DLPreprocessParam
from inspector.anomaly.types import DLResult, DLSample, Thresholds
from schemas import ModelReference


class Pending(Protocol):
    """A batch on the device."""

    def finish(self) -> Sequence[DLResult]:
        """Wait for the batch; as many results as images, in their order. On the thread that launched it."""
        ...


class Model(Protocol):
    """What the service needs of a loaded model; `inspector.anomaly.model.model.AnomalyModel` is one."""

    @property
    def name(self) -> str: ...  # noqa: D102 as in the bundle
    @property
    def version(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102
    @property
    def preprocess_param(self) -> DLPreprocessParam: ...  # noqa: D102
    @property
    def inputs_per_picture(self) -> int: ...  # noqa: D102
    @property
    def thresholds(self) -> Thresholds | None: ...  # noqa: D102

    @property
    def golden_images(self) -> Sequence[NDArray[np.uint8]]:
        """Pictures that came with it, (H, W) or (H, W, 3) RGB."""
        ...

    @property
    def golden_scores(self) -> Sequence[float]:
        """The score that each of them must have."""
        ...

    def check_geometry(self, sample: DLSample) -> None:
        """Raise `GeometryError` for a picture unlike those of the training."""
        ...

    def launch(self, images: Sequence[NDArray[np.uint8]]) -> Pending:
        """Start a batch. Device threads only; on a CPU several at once."""
        ...

    def warm_up(self, batch_sizes: Iterable[int]) -> None:
        """Run batches of these sizes, so that the first real one is no slower. Device threads only."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """How the frames of one camera are judged."""

    camera: str
    model: Model
    reference: ModelReference
    classification_threshold: float | None
    budget_us: int
    weight: float = 1.0
    """Seconds of the device that the camera gets while one of weight 1 gets one, when both want more than there is."""
    freshest_first: bool = False
    """Whether only the newest of the frames that wait counts when the camera has its turn."""
